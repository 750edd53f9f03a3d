"Whatever a server sends: a reply, or a failed call with a kind; however a stream is cut: the same reply"
import asyncio,json
import pytest
from hypothesis import given,strategies as st
from properties import examples
from fakeserver import FakeServer,Fault
import rlm.direct as direct
from rlm.direct import read_body,ServerError
from rlm.lm import *
from rlm.lm import RETRIED

M = [dict(role='user', content='hi')]
words = 'choices','message','delta','content','tool_calls','function','name','arguments','id','index','usage','prompt_tokens','completion_tokens','total_tokens','prompt_tokens_details','cached_tokens','finish_reason','error','code','model','refusal','reasoning_content','service_tier','detail'
leaf = st.none()|st.booleans()|st.integers(-5,10**20)|st.floats(allow_nan=False)|st.text(max_size=8)|st.sampled_from(['stop','gpt-4o-mini','tool_calls'])
junk = st.recursive(leaf, lambda o: st.lists(o, max_size=3)|st.dictionaries(st.sampled_from(words), o, max_size=5), max_leaves=20)
def likely(key): return st.fixed_dictionaries(dict(choices=st.lists(st.fixed_dictionaries({key:st.fixed_dictionaries(dict(content=junk), optional=dict(tool_calls=junk|st.lists(st.fixed_dictionaries(dict(function=junk)),max_size=2), refusal=junk, reasoning_content=junk))}, optional=dict(finish_reason=junk)), max_size=2)),
                           optional=dict(usage=junk, model=junk, error=junk, service_tier=junk))

def outcome(f):
    try: r = f()
    except LMError as e: return e.kind
    assert isinstance(r.content,str) and isinstance(r.reasoning,str) and isinstance(r.finish_reason,str) and all(type(v) is int and v>=0 for v in (r.usage.prompt_tokens,r.usage.completion_tokens,r.usage.cached_tokens))
    assert all(isinstance(o[k],str) for c in r.tool_calls for o,k in ((c,'id'),(c['function'],'name'),(c['function'],'arguments')))
    json.dumps(r.message).encode()
    return r

def as_call(get):
    "What `LM` makes of the outcome of `post_chat`"
    class Fake(LM):
        async def _send(self, *a, **kw): return await res if asyncio.iscoroutine(res:=get()) else res
    return outcome(lambda: Fake('openai/gpt-4o-mini', retries=0, api_key='x').complete(M))

@examples(150)
@given(junk|likely('message'))
def test_any_json_for_a_reply(d):
    raw = json.dumps(d).encode()
    kind = as_call(lambda: read_body(raw))
    assert not isinstance(kind,str) or kind in (*RETRIED,'context','auth','quota','model','bad_request'), kind

@examples(60)
@given(st.binary(max_size=300)|st.text('[{"', max_size=3).map(lambda o: o.encode()*10_000), st.sampled_from([200,400,404,429,500]))
def test_any_bytes_for_a_body(raw, status):
    with pytest.raises((ServerError,LMError)): to_reply(read_body(raw, status), M)

class Body:
    "An answer whose body is these lines"
    status = 200
    def __init__(self, lines): self.content = self.lines(lines)
    async def lines(self, ls):
        for o in ls: yield o

def stream(ds, on_delta=None):
    return direct._read_stream(Body([b'data: '+json.dumps(o).encode()+b'\n' for o in ds]+[b'\n',b': ping\n',b'data: [DONE]\n']), on_delta)

@examples(150)
@given(st.lists(junk.filter(lambda o: isinstance(o,dict))|likely('delta'), max_size=4))
def test_any_json_for_a_stream(ds):
    kind = as_call(lambda: stream(ds))
    assert not isinstance(kind,str) or kind in (*RETRIED,'context','auth','quota','model','bad_request'), kind

def pieces(s): return st.lists(st.integers(0,len(s)), max_size=4).map(lambda cuts: [s[a:b] for a,b in zip([0,*sorted(cuts)],[*sorted(cuts),len(s)])])
replies = st.tuples(st.text(max_size=40), st.text(max_size=20), st.lists(st.tuples(st.sampled_from(['run_repl','other']), st.text(max_size=20)), max_size=3))

@examples(100)
@given(st.data(), replies, st.booleans())
def test_however_a_stream_is_cut(data, reply, same_index):
    "Also with the same index for all calls, which are then told apart by their ids"
    text,thought,calls = reply
    ds = [dict(reasoning_content=o) for o in data.draw(pieces(thought))] + [dict(content=o) for o in data.draw(pieces(text))]
    for i,(name,args) in enumerate(calls):
        j = 0 if same_index else i
        ds += [dict(tool_calls=[dict(index=j, id=f'c{i}', type='function', function=dict(name=name, arguments=''))])] + [dict(tool_calls=[dict(index=j, function=dict(arguments=o))]) for o in data.draw(pieces(args))]
    got = []
    d = asyncio.run(stream([dict(model='m', choices=[dict(index=0, delta=o)]) for o in ds]+[dict(choices=[dict(index=0, delta={}, finish_reason='stop')]), dict(choices=[], usage=dict(prompt_tokens=3, completion_tokens=4, total_tokens=7))], got.append))
    m = d['choices'][0]['message']
    assert (m['content'] or '',m.get('reasoning_content') or '')==(text,thought) and ''.join(got)==text and d['usage']['total_tokens']==7
    assert [(c['id'],c['function']['name'],c['function']['arguments']) for c in m.get('tool_calls',[])]==[(f'c{i}',*c) for i,c in enumerate(calls)]

def test_a_reply_where_a_stream_was_asked_for():
    got = []
    with FakeServer(lambda r: Fault(200, dict(choices=[dict(message=dict(content='whole'), finish_reason='stop')]))) as s:
        assert LM('openai/x', s.url, stream=True).complete(M, on_delta=got.append).content=='whole' and got==['whole']

def test_a_stream_by_another_name():
    "Some servers stream, and call it plain text"
    chunk = json.dumps(dict(choices=[dict(index=0, delta=dict(content='pieces'), finish_reason='stop')]))
    with FakeServer(lambda r: Fault(200, f'data: {chunk}\r\n\r\ndata: [DONE]\r\n\r\n', content_type='text/plain')) as s:
        assert LM('openai/x', s.url, stream=True).complete(M).content=='pieces'

def test_without_aiohttp(monkeypatch):
    monkeypatch.setattr('rlm.lm.available', lambda: False)
    assert LM('x', 'http://127.0.0.1:9/v1')._way(dict(model='openai/x', api_base='http://127.0.0.1:9/v1', api_key='k'), M, {}) is None
