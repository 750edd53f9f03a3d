"The server the other tests lean on does what they believe it does"
import json,time
from concurrent.futures import ThreadPoolExecutor
import httpx,pytest
from fakeserver import *

def post(s, stream=False, key='x', timeout=5, **kw):
    body = dict(model='fake', messages=[dict(role='user', content='hello')], stream=stream, **kw)
    return httpx.post(s.url+'/chat/completions', json=body, headers=dict(Authorization=f'Bearer {key}'), timeout=timeout)

def test_script():
    with FakeServer(['one', tool(code='1+1'), Reply(None, usage=None)]) as s:
        a,b,c,d = [post(s) for _ in range(4)]
    assert a.json()['choices'][0]['message']['content']=='one' and a.json()['usage']['total_tokens']>0
    f = b.json()['choices'][0]['message']['tool_calls'][0]['function']
    assert f['name']=='run_repl' and json.loads(f['arguments'])=={'code':'1+1'} and b.json()['choices'][0]['finish_reason']=='tool_calls'
    assert c.json()['choices'][0]['message']['content'] is None and 'usage' not in c.json()
    assert d.status_code==400 and 'run out at request 4' in d.text
    assert [o.prompt for o in s.requests]==['hello']*4

def test_faults():
    with FakeServer([Fault(429, headers={'Retry-After':'7'}), Fault(), HTML, Hang(), Drop(), Drop(after=50, reset=False), Drop(reset=False)]) as s:
        r = post(s)
        assert (r.status_code,r.headers['retry-after'],r.json()['error']['message'])==(429,'7','fault 429')
        assert post(s).status_code==500
        assert post(s).headers['content-type']=='text/html'
        with pytest.raises(httpx.ReadTimeout): post(s, timeout=.3)
        for _ in range(3):
            with pytest.raises(httpx.TransportError): post(s)

def test_key_and_models():
    with FakeServer(['yes'], key='right') as s:
        assert post(s, key='wrong').status_code==401 and post(s, key='right').status_code==200
        assert httpx.get(s.url+'/models').json()['data'][0]['id']=='fake'

def test_stream():
    def read(r): return [json.loads(l[6:]) for l in r.text.splitlines() if l.startswith('data: {')]
    with FakeServer([Reply('some text in pieces', [('f',{'a':1})], 'thinking'), Reply('cut off in the middle', cut=2)]) as s:
        ds = read(post(s, stream=True, stream_options=dict(include_usage=True)))
        with pytest.raises(httpx.TransportError): post(s, stream=True)
    deltas = [d['choices'][0]['delta'] for d in ds if d['choices']]
    assert ''.join(d.get('content') or '' for d in deltas)=='some text in pieces'
    assert ''.join(c['function']['arguments'] for d in deltas for c in d.get('tool_calls',[]))=='{"a": 1}'
    assert ds[-1]['usage']['total_tokens']>0

def test_function_and_load():
    with FakeServer(lambda r: Reply(f'{r.n}', delay=.05)) as s, ThreadPoolExecutor(32) as ex:
        rs = list(ex.map(lambda _: post(s, timeout=30), range(64)))
        assert len({r.json()['choices'][0]['message']['content'] for r in rs})==64 and 1<s.peak<=32

def test_drip_and_pace():
    with FakeServer([Drip(.01), Reply('a text in some pieces', pace=.05), Reply('cut off in the middle', cut=2, cut_clean=True)]) as s:
        t = time.monotonic()
        with httpx.stream('POST', s.url+'/chat/completions', json={}, timeout=5) as r: assert len(next(r.iter_bytes()))>0
        post(s, stream=True)
        assert time.monotonic()-t>=.15
        assert '[DONE]' not in post(s, stream=True).text

def test_close_ends_hanging():
    s = FakeServer([Hang()])
    with ThreadPoolExecutor(1) as ex:
        f = ex.submit(post, s, timeout=30)
        while not s.requests: time.sleep(.01)
        t = time.monotonic()
        s.close()
        assert isinstance(f.exception(timeout=10), httpx.TransportError) and time.monotonic()-t<5
