"""A lean OpenAI-compatible server for measuring clients: it costs some 50 microseconds a request, and keeps the time of each.

    python server.py [--keepalive SECONDS]       prints its port, serves until its stdin is closed

POST /_run/NAME with a script opens a run; its requests then go to http://127.0.0.1:PORT/NAME/v1. GET /_run/NAME gives what came in.
A script is {"root": [{"text", "code", "delay"}], "sub_delay": s, "record": bool}. A request that holds `[[root]]` is the root's: it gets the entry
whose number is the count of assistant messages since then, as a call of `run_repl` where tools are offered and as `text` where not. Any other
is a sub-call: `[[sub:7]]` in it is answered `ok 7`. Times are of `time.monotonic`, which all processes of a machine share.
"""
import argparse,asyncio,json,re,sys,threading,time

_assistant,_sub,_length = re.compile(rb'"role":\s*"assistant"'),re.compile(rb'\[\[sub:(\d+)\]\]'),re.compile(rb'content-length:\s*(\d+)', re.I)
RUNS = {}

def completion(msg, n_in, finish='stop'):
    "The body of a reply"
    n_out = len(msg.get('content') or '')//4+1
    usage = dict(prompt_tokens=n_in, completion_tokens=n_out, total_tokens=n_in+n_out)
    return dict(id='chatcmpl-1', object='chat.completion', created=1700000000, model='gpt-5-mini', choices=[dict(index=0, message=dict(role='assistant', **msg), finish_reason=finish)], usage=usage)

def answer(run, body):
    "What a request is answered: the reply, the seconds to wait, and who asked"
    at = body.find(b'[[root]]')
    if at<0:
        m = _sub.search(body)
        return completion(dict(content=f'ok {m[1].decode()}' if m else 'ok'), len(body)//4), run['sub_delay'], 'sub'
    i = len(_assistant.findall(body, at))
    r = run['root'][min(i, len(run['root'])-1)]
    if r.get('code') and b'"tools"' in body:
        call = dict(id=f'call_{i}', type='function', function=dict(name='run_repl', arguments=json.dumps(dict(code=r['code']))))
        return completion(dict(content=None, tool_calls=[call]), len(body)//4, 'tool_calls'), r.get('delay',0), 'root'
    return completion(dict(content=r['text']), len(body)//4), r.get('delay',0), 'root'

class Http(asyncio.Protocol):
    "One connection"
    keepalive = 60.
    def connection_made(self, tr): self.tr,self.buf,self.timer = tr,b'',None; self.rest()
    def connection_lost(self, e): self.timer and self.timer.cancel()
    def rest(self):
        if self.timer: self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(self.keepalive, self.tr.close)

    def data_received(self, data):
        self.buf = self.buf+data if self.buf else data
        while (end:=self.buf.find(b'\r\n\r\n'))>=0:
            head = self.buf[:end]
            n = int(m[1]) if (m:=_length.search(head)) else 0
            if len(self.buf)<end+4+n: return
            body,self.buf = self.buf[end+4:end+4+n],self.buf[end+4+n:]
            self.timer.cancel()
            method,path,_ = head.split(b'\r\n',1)[0].decode().split(' ')
            self.request(method, path, body, time.monotonic())

    def request(self, method, path, body, t):
        name = path.split('/')[1]
        if name=='_run': return self.control(method, path.split('/')[2], body)
        run = RUNS.get(name)
        if run is None or not path.endswith('/chat/completions'): return self.send(dict(error=dict(message=f'no such path: {path}')), 404)
        res,delay,who = answer(run, body)
        rec = dict(who=who, t=t, n=len(body), **(dict(body=body.decode()) if run.get('record') and who=='root' else {}))
        run['log'].append(rec)
        if delay: asyncio.get_running_loop().call_later(delay, self.send, res, 200, rec)
        else: self.send(res, 200, rec)

    def control(self, method, name, body):
        if method=='POST': RUNS[name] = dict(sub_delay=0, log=[])|json.loads(body)
        if name not in RUNS: return self.send(dict(error='no such run'), 404)
        self.send(RUNS[name]['log'] if method=='GET' else {})

    def send(self, res, status=200, rec=None):
        data = json.dumps(res).encode()
        if rec: rec['sent'] = time.monotonic()
        if self.tr.is_closing(): return
        self.tr.write(b'HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n'%(status, len(data))+data)
        self.rest()

async def main(keepalive):
    Http.keepalive = keepalive
    loop = asyncio.get_running_loop()
    srv = await loop.create_server(Http, '127.0.0.1', 0, backlog=2048)
    print(srv.sockets[0].getsockname()[1], flush=True)
    end = asyncio.Event()
    def watch(): sys.stdin.read(); loop.call_soon_threadsafe(end.set)
    threading.Thread(target=watch, daemon=True).start()
    await end.wait()

if __name__=='__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--keepalive', type=float, default=60)
    asyncio.run(main(p.parse_args().keepalive))
