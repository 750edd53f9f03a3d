"""An OpenAI-compatible server on the loopback, whose replies and faults a test decides.

    with FakeServer(['first reply', Fault(429, headers={'Retry-After':'1'}), tool('run_repl', code='1+1')]) as s:
        litellm.completion('openai/fake', messages, base_url=s.url, api_key='x')
    s.requests[0].body['messages']

The script is a list, taken from the front by one request after the other, or a function of the `Request` that gives the
reply (use one where requests come side by side). A reply is a string, or one of the things below. A list that has run
out answers 400 and says so, which no client retries; `repeat=True` gives its last entry again and again instead.
The server never goes out to a network, and `close` ends every thread of it, hanging ones too.
"""
import json,socket,struct,threading,time
from dataclasses import dataclass,field
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer

@dataclass
class Reply:
    "A chat completion"
    content:str|None=''
    tool_calls:list=field(default_factory=list) # Of `(name, arguments)`; arguments are a dict, or a string sent as it is
    reasoning:str|None=None # Sent as `reasoning_content`
    finish_reason:str|None=None # `'stop'`, or `'tool_calls'` where there are any, if not given
    usage:dict|None|bool=True # `True`: counted as 4 characters a token; `None`: left out; a dict is sent as it is
    delay:float=0. # Seconds before the first byte
    model:str|None=None # What the reply says it is from; the model of the request if not given
    cut:int|None=None # When streaming: drop the connection after so many chunks
    cut_clean:bool=False # Drop it by an orderly close instead of a reset
    pace:float=0. # When streaming: seconds before each chunk
    message:dict=field(default_factory=dict) # More fields of the message, e.g. `{'refusal':'no'}`

@dataclass
class Fault:
    "Any other answer: an error, HTML, broken JSON"
    status:int=500
    body:object=None # A dict is sent as JSON, text as it is; an error in OpenAI's form if not given
    headers:dict=field(default_factory=dict)
    content_type:str|None=None # JSON for a dict, else HTML
    delay:float=0.

@dataclass
class Hang:
    "Take the request and say nothing for `seconds` (or until the server closes), then drop the connection"
    seconds:float=3600.

@dataclass
class Drop:
    "Drop the connection: at once, or after the first `after` bytes of a reply whose header promises more"
    after:int=0
    reset:bool=True # A hard reset instead of a clean close

@dataclass
class Drip:
    "A reply whose bytes come one by one, `every` seconds, for ever: alive, and never done"
    every:float=.02

@dataclass
class Request:
    "What came in"
    n:int # From 1
    path:str
    headers:dict # Names in lower case
    body:dict
    t:float # `time.monotonic()` at arrival
    in_flight:int=1 # How many were open when it arrived, itself included

    @property
    def messages(self): return self.body.get('messages',[])
    @property
    def model(self): return self.body.get('model')
    @property
    def prompt(self):
        "The text of the last message"
        c = self.messages[-1].get('content') if self.messages else ''
        return c if isinstance(c,str) else ''.join(o.get('text','') for o in c or [])

HTML = Fault(200, '<html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>')

def tool(name='run_repl', content='', reasoning=None, usage=True, **args):
    "A reply that calls one tool"
    return Reply(content, [(name,args)], reasoning, usage=usage)

def code(src, prose='', fence='repl'):
    "A reply with a fenced block of code"
    return Reply(f'{prose}\n```{fence}\n{src}\n```\n'.lstrip())

def _error(status, text): return {'error':dict(message=text, type='server_error' if status>=500 else 'invalid_request_error', param=None, code=None)}

def _tokens(text): return max(1, len(text)//4)

class FakeServer:
    "The server; starts at once, ends with `close` or with its `with` block"
    def __init__(self, script=('ok',), key=None, repeat=False, models=('fake',), idle=60.):
        self.script = script if callable(script) else list(script)
        self.key,self.repeat,self.models,self.idle = key,repeat,models,idle # With a `key`, any other one gets a 401; a connection without requests is closed after `idle` seconds
        self.requests,self.peak,self.errors = [],0,[] # `peak`: most requests open at once; `errors`: exceptions of a script function
        self.given = [] # The `usage` of each reply that was sent whole
        self._open,self._lock,self._closed = 0,threading.Lock(),threading.Event()
        self._srv = _Server(('127.0.0.1',0), _Handler)
        self._srv.fake = self
        self._thread = threading.Thread(target=self._srv.serve_forever, kwargs=dict(poll_interval=.02), daemon=True)
        self._thread.start()

    @property
    def port(self): return self._srv.server_address[1]
    @property
    def url(self): return f'http://127.0.0.1:{self.port}/v1'
    def __enter__(self): return self
    def __exit__(self, *args): self.close()

    def close(self):
        self._closed.set()
        self._srv.shutdown()
        self._srv.server_close()
        self._thread.join(5)

    def take(self, req):
        "The reply to `req`"
        if callable(self.script):
            try: return self.script(req)
            except Exception as e:
                self.errors.append(e)
                return Fault(400, _error(400, f'the script failed: {type(e).__name__}: {e}'))
        with self._lock:
            if not self.script: return Fault(400, _error(400, f'the script has run out at request {req.n}'))
            return self.script[0] if self.repeat and len(self.script)==1 else self.script.pop(0)

class _Server(ThreadingHTTPServer):
    daemon_threads,request_queue_size,block_on_close = True,1024,False
    def handle_error(self, request, client_address): pass # clients that go away are part of the tests

class _Handler(BaseHTTPRequestHandler):
    protocol_version,disable_nagle_algorithm = 'HTTP/1.1',True
    def log_message(self, *args): pass

    def setup(self):
        self.timeout = self.server.fake.idle
        super().setup()

    def do_GET(self):
        if self.path.rstrip('/').endswith('/models'): return self.send(200, dict(object='list', data=[dict(id=o, object='model') for o in self.server.fake.models]))
        self.send(404, _error(404, f'no such path: {self.path}'))

    def do_POST(self):
        f = self.server.fake
        raw = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        try: body = json.loads(raw or b'{}')
        except ValueError: return self.send(400, _error(400, 'the request is no JSON'))
        with f._lock:
            f._open += 1
            f.peak = max(f.peak, f._open)
            req = Request(len(f.requests)+1, self.path, {k.lower():v for k,v in self.headers.items()}, body, time.monotonic(), f._open)
            f.requests.append(req)
        try: self.answer(f, req)
        finally:
            with f._lock: f._open -= 1

    def answer(self, f, req):
        if f.key and req.headers.get('authorization')!=f'Bearer {f.key}': return self.send(401, _error(401, 'Incorrect API key provided'))
        if not self.path.rstrip('/').endswith(('/chat/completions','/embeddings')): return self.send(404, _error(404, f'no such path: {self.path}'))
        o = f.take(req)
        if isinstance(o,str): o = Reply(o)
        if getattr(o,'delay',0): f._closed.wait(o.delay)
        if isinstance(o,Hang):
            f._closed.wait(o.seconds)
            return self.drop(True)
        if isinstance(o,Drop):
            if o.after:
                data = json.dumps(completion(req,Reply('x'*(o.after+1000)))).encode()
                self.head(200, 'application/json', len(data))
                self.wfile.write(data[:o.after])
                self.wfile.flush()
            return self.drop(o.reset)
        if isinstance(o,Drip): return self.drip(f, o)
        if isinstance(o,Fault): return self.send(o.status, _error(o.status, f'fault {o.status}') if o.body is None else o.body, o.headers, o.content_type)
        if req.body.get('stream'): return self.stream(f, req, o)
        self.send(200, completion(req, o))
        f.given.append(_usage(req, o))

    def head(self, status, content_type, n, headers=()):
        self.send_response(status)
        self.send_header('Content-Type', content_type)
        self.send_header('Content-Length', str(n))
        for k,v in dict(headers).items(): self.send_header(k, v)
        self.end_headers()

    def send(self, status, body, headers=(), content_type=None):
        js = not isinstance(body,(str,bytes))
        data = json.dumps(body).encode() if js else body.encode() if isinstance(body,str) else body
        self.head(status, content_type or ('application/json' if js else 'text/html'), len(data), headers)
        self.wfile.write(data)

    def drip(self, f, o):
        "Byte after byte, until someone has had enough"
        self.head(200, 'application/json', 1_000_000)
        self.close_connection = True
        while not f._closed.wait(o.every):
            self.wfile.write(b' ')
            self.wfile.flush()

    def drop(self, reset):
        "Close the connection, by a reset if asked"
        self.close_connection = True
        if reset: self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii',1,0))
        self.wfile.flush()
        if not reset: self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def stream(self, f, req, o):
        "Server-sent events"
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Connection', 'close')
        self.end_headers()
        self.close_connection = True
        for i,d in enumerate(chunks(req, o)):
            if o.cut is not None and i>=o.cut: return self.drop(not o.cut_clean)
            if o.pace: f._closed.wait(o.pace)
            self.wfile.write(b'data: '+json.dumps(d).encode()+b'\n\n')
            self.wfile.flush()
        self.wfile.write(b'data: [DONE]\n\n')
        f.given.append(_usage(req, o))

def _usage(req, o):
    "The `usage` of a reply"
    if o.usage is not True: return o.usage
    calls = ''.join(a if isinstance(a,str) else json.dumps(a) for _,a in o.tool_calls)
    p,c = _tokens(json.dumps(req.messages)),_tokens((o.content or '')+(o.reasoning or '')+calls)
    return dict(prompt_tokens=p, completion_tokens=c, total_tokens=p+c)

def _calls(req, o):
    return [dict(id=f'call_{req.n}_{i}', type='function', function=dict(name=k, arguments=a if isinstance(a,str) else json.dumps(a)))
            for i,(k,a) in enumerate(o.tool_calls)]

def _base(req, o, kind): return dict(id=f'chatcmpl-{req.n}', object=kind, created=1700000000, model=o.model or req.model)

def _finish(o): return o.finish_reason or ('tool_calls' if o.tool_calls else 'stop')

def completion(req, o):
    "The body of a whole reply"
    msg = dict(role='assistant', content=o.content, **o.message)
    if o.reasoning: msg['reasoning_content'] = o.reasoning
    if o.tool_calls: msg['tool_calls'] = _calls(req, o)
    res = dict(_base(req,o,'chat.completion'), choices=[dict(index=0, message=msg, finish_reason=_finish(o))])
    u = _usage(req, o)
    return res if u is None else {**res, 'usage':u}

def chunks(req, o, size=12):
    "The same in pieces; usage only where the request asked for it"
    base = _base(req, o, 'chat.completion.chunk')
    def chunk(fin=None, **delta): return dict(base, choices=[dict(index=0, delta=delta, finish_reason=fin)])
    def cut(s): return [s[i:i+size] for i in range(0, len(s or ''), size)]
    yield chunk(role='assistant', content='')
    for s in cut(o.reasoning): yield chunk(reasoning_content=s)
    for s in cut(o.content): yield chunk(content=s)
    for i,c in enumerate(_calls(req, o)):
        args = c['function']['arguments']
        yield chunk(tool_calls=[dict(c, index=i, function=dict(c['function'], arguments=''))])
        for s in cut(args): yield chunk(tool_calls=[dict(index=i, function=dict(arguments=s))])
    if o.message: yield chunk(**o.message)
    yield chunk(_finish(o))
    u = _usage(req, o)
    if u is not None and (req.body.get('stream_options') or {}).get('include_usage'): yield dict(base, choices=[], usage=u)
