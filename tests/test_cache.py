"The cache of replies: shared by processes, harmless when it fails, and never wrong"
import asyncio,json,os,sqlite3,subprocess,sys,threading,time,warnings
from pathlib import Path
import pytest
import fakeserver as fs
from fakeserver import FakeServer,Fault,Hang
from rlm import RLM
from rlm.budget import Usage
from rlm.cache import *
from rlm.lm import *

here = Path(__file__).parent
def M(s='hi'): return [dict(role='user', content=s)]

@pytest.fixture
def path(tmp_path): return tmp_path/'sub'/'replies.sqlite'

def lm_at(s, cache, **kw): return LM('openai/fake', s.url, cache=cache, **{**dict(retries=1, max_wait=.05, timeout=20), **kw})

# ---- the file

def test_get_put(path):
    c = Cache(path)
    v = {'a':[1,None,'é\ud800'], 'b':1.5}
    c.put('k', v); c.put('k2', 0); c.put('k', v)
    assert (c.get('k'),c.get('k2'),c.get('no'),c.get('no',7),len(c),'k' in c,'no' in c)==(v,0,None,7,2,True,False) and c.size>0
    c.close()
    assert c.get('k')==v and Cache(path).get('k')==v
    c.clear()
    assert len(c)==0 and Cache(path).get('k') is None and bool(c)
    if os.name=='posix': assert os.stat(path).st_mode & 0o077==0

def test_usual_path(monkeypatch, tmp_path):
    monkeypatch.setenv('RLM_HOME', str(tmp_path/'home'))
    assert LM('openai/x', cache=True).cache.path==tmp_path/'home'/'replies.sqlite'
    assert LM('openai/x').cache is None and LM('openai/x', cache=False).cache is None

def test_what_is_no_cache(path, tmp_path):
    path.parent.mkdir()
    path.write_bytes(os.urandom(10_000))
    with pytest.raises(CacheError, match='cannot be used as a cache.*Give another path'): LM('openai/x', cache=path)
    other = tmp_path/'bookmarks.sqlite'
    con = sqlite3.connect(other); con.execute('CREATE TABLE places(url)'); con.commit(); con.close()
    with pytest.raises(CacheError, match='another program'): Cache(other)
    con = sqlite3.connect(other)
    assert con.execute('SELECT name FROM sqlite_master').fetchall()==[('places',)]
    con.close()
    with pytest.raises(CacheError): Cache(tmp_path)  # a folder
    with pytest.raises(CacheError): Cache(other/'x')  # below a file

def test_damaged_later(path):
    "A file that goes bad while a run uses it is said once, and calls are made without it"
    c = Cache(path)
    for i in range(200): c.put(str(i), 'x'*1000)
    c.close()
    b = bytearray(path.read_bytes())
    b[4096:] = os.urandom(len(b)-4096)
    path.write_bytes(b)
    with warnings.catch_warnings(record=True) as w:
        warnings.simplefilter('always')
        try: got = [c.get(str(i)) for i in range(200)]
        finally: c.close()
        c.put('new', 1)
    assert all(o in (None,'x'*1000) for o in got) and len(w)==1 and 'calls are made without it' in str(w[0].message)

def test_locked(path):
    c = Cache(path, wait=.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute('BEGIN EXCLUSIVE')
    with pytest.warns(RuntimeWarning, match='locked'): c.put('a', 1)
    c.put('b', 1)  # said once
    other.execute('COMMIT'); other.close()
    c.put('c', 3)
    assert (c.get('a'),c.get('c'))==(None,3)

def test_full_disk(path):
    c = Cache(path)
    c.put('a', 1)
    c.con.execute(f'PRAGMA max_page_count={c._ask("PRAGMA page_count")}')  # SQLite then reports a full disk
    with FakeServer(lambda r: 'x'*50_000) as s, pytest.warns(RuntimeWarning, match='full') as w:
        rs = [lm_at(s, c).complete(M(str(i%2))) for i in range(4)]
        assert len(s.requests)==4 and sum(o.category is RuntimeWarning for o in w)==1
    assert not any(r.cached for r in rs) and c.get('a')==1

def test_read_only(path):
    if os.name!='posix' or os.geteuid()==0: pytest.skip('root may write everywhere')
    Cache(path).close()
    path.chmod(0o400); path.parent.chmod(0o500)
    try:
        with pytest.raises(CacheError): Cache(path)
    finally: path.parent.chmod(0o700)

MANY = '''
import sys
from rlm.cache import Cache
path,me = sys.argv[1],int(sys.argv[2])
c = Cache(path, wait=30)
for i in range(100):
    c.put(f'{me}-{i}', dict(me=me, i=i, text='x'*(i*50)))
    c.put(f'shared-{i}', dict(text=str(i)*100))
    assert c.get(f'{me}-{i}')['i']==i
    v = c.get(f'shared-{(i*7)%100}')
    assert v is None or v['text']==str((i*7)%100)*100
'''

def test_many_processes_at_once(path):
    "They make the file, write and read it at the same time; nothing is lost or mixed up"
    env = {**os.environ, 'PYTHONPATH':str(here.parent)}
    ps = [subprocess.Popen([sys.executable,'-W','error','-c',MANY,str(path),str(i)], stderr=subprocess.PIPE, env=env, text=True) for i in range(8)]
    errs = [p.communicate(timeout=180)[1] for p in ps]
    assert not any(errs), errs
    c = Cache(path)
    assert len(c)==900 and all(c.get(f'{m}-{i}')==dict(me=m, i=i, text='x'*(i*50)) for m in range(8) for i in (0,50,99))

def test_threads(path):
    c = Cache(path)
    def work(n):
        for i in range(50): c.put(f'{n}-{i}', i); assert c.get(f'{n}-{i}')==i
    ts = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in ts: t.start()
    for t in ts: t.join(60)
    assert len(c)==400

@pytest.mark.skipif(not hasattr(os,'fork'), reason='fork')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_fork(path):
    c = Cache(path)
    c.put('a', 1)
    pid = os.fork()
    if pid==0:
        try: c.put('b', c.get('a')+1)
        finally: os._exit(0)
    os.waitpid(pid, 0)
    assert c.get('b')==2

# ---- in front of a model

def test_asked_once(path):
    with FakeServer(lambda r: f're {r.prompt}') as s:
        a = lm_at(s, path).complete(M())
        b = lm_at(s, path, api_key='another-key', timeout=9, retries=0, stream=True).complete(M())  # another process would find it just so
        assert len(s.requests)==1
    assert (a.content,a.cached,b.content,b.cached)==('re hi',False,'re hi',True) and b.usage==Usage(0,0,0,0,0.,from_cache=1)
    assert (b.tool_calls,b.finish_reason,b.model,b.message)==(a.tool_calls,a.finish_reason,a.model,a.message) and b.response.choices[0].message.content=='re hi'
    assert str(a.usage+b.usage).startswith('1 call, 1 more from the cache, ')

@pytest.mark.parametrize('direct', [True,False])
def test_all_of_a_reply_comes_back(path, direct):
    o = fs.Reply('I look.', [('run_repl',{'code':'print(1)'})], reasoning='hmm')
    with FakeServer([o]) as s:
        a,b = [lm_at(s, path, direct=direct).complete(M(), [dict(type='function', function=dict(name='run_repl', parameters={}))]) for _ in range(2)]
    def all_(r): return r.content,r.reasoning,r.tool_calls,r.finish_reason,r.refusal,r.message,r.model
    assert all_(a)==all_(b) and b.cached

def test_what_makes_a_request_another(path):
    with FakeServer(lambda r: 'ok') as s, FakeServer(lambda r: 'ok') as s2:
        def n(s=s, model='openai/fake', messages=M(), tools=None, ask={}, **kw):
            LM(model, s.url, cache=path, retries=0, **kw).complete(messages, tools, **ask)
            return len(s.requests)
        assert [n(), n(), n(temperature=1.), n(temperature=1.), n(ask=dict(temperature=1.)), n(max_tokens=5), n(ask=dict(stop=['x'])), n(seed=1), n(model='openai/other'), n(messages=M('ho'))]==[1,1,2,2,2,3,4,5,6,7]
        assert n(tools=[dict(type='function', function=dict(name='f', parameters={}))])==8 and n(tools=[])==8 and n(s2)==1

def test_keys_are_not_kept(path):
    with FakeServer(lambda r: 'ok') as s: lm_at(s, path, api_key='sk-very-secret-key').complete(M('a private question'))
    kept = b''.join(p.read_bytes() for p in path.parent.iterdir())
    assert b'very-secret' not in kept and b'private question' not in kept

@pytest.mark.parametrize('bad', [fs.Reply('cut o', finish_reason='length'), fs.Reply(None, message=dict(refusal='no')), fs.Reply(''), fs.Reply('  '), fs.Reply('', finish_reason='content_filter'), Fault(400), Fault(500)], ids=lambda o: str(o)[:30])
def test_bad_replies_are_not_kept(path, bad):
    with FakeServer([bad,bad,'good'] if isinstance(bad,Fault) and bad.status==500 else [bad,'good']) as s:
        lm = lm_at(s, path)
        try: assert not lm.complete(M()).cached
        except LMError: pass
        r = lm.complete(M())
    assert (r.content,r.cached)==('good',False)

def test_streamed_once():
    with FakeServer([fs.Reply('some text in several pieces')]) as s:
        import tempfile
        with tempfile.TemporaryDirectory() as d:
            lm,got = lm_at(s, f'{d}/c.sqlite'),[]
            lm.complete(M(), on_delta=got.append)
            assert len(got)>1
            got.clear()
            assert lm.complete(M(), on_delta=got.append).cached and got==['some text in several pieces']
            lm.cache.close()

def _batch(lm, prompts):
    async def go(): return await asyncio.gather(*[lm.acomplete(M(p)) for p in prompts], return_exceptions=True)
    return wait(submit(go()))

def test_same_requests_in_flight(path):
    with FakeServer(lambda r: fs.Reply(f're {r.prompt}', delay=.2)) as s:
        lm = lm_at(s, path)
        rs = _batch(lm, ['a','b']*20)
        assert [r.content for r in rs]==['re a','re b']*20 and len(s.requests)==2
    assert sum(r.usage.calls for r in rs)==2 and sum(r.usage.from_cache for r in rs)==38 and sum(not r.cached for r in rs)==2

def test_same_failure_in_flight(path):
    with FakeServer(lambda r: Fault(401, delay=.2)) as s:
        rs = _batch(lm_at(s, path), ['a']*5)
        assert {type(r) for r in rs}=={LMError} and {r.kind for r in rs}=={'auth'} and len(s.requests)==1

def test_the_first_is_cancelled(path):
    "Those who waited for it are not left behind"
    with FakeServer(lambda r: Hang() if r.n==1 else 're') as s:
        lm = lm_at(s, path)
        a,b,c = [submit(lm.acomplete(M())) for _ in range(3)]
        while not s.requests: time.sleep(.01)
        a.cancel()
        assert [wait(b).content,wait(c).content]==['re','re'] and len(s.requests)==2

def test_waiting_has_its_own_timeout(path):
    with FakeServer(lambda r: Hang()) as s:
        lm = lm_at(s, path)
        a = submit(lm.acomplete(M()))
        while not s.requests: time.sleep(.01)
        with pytest.raises(LMError, match='same request') as e: lm.complete(M(), timeout=.2)
        a.cancel()
    assert e.value.kind=='timeout'

def test_fallbacks_share_it(path):
    with FakeServer(lambda r: 'b here' if r.model=='b' else Fault(401)) as s:
        lm = LM('a', s.url, cache=path, retries=0, fallbacks=['b'])
        assert [lm.complete(M()).cached for _ in range(2)]==[False,True] and [r.model for r in s.requests]==['a','b','a']

def test_offline_hit(path, monkeypatch):
    "What is in the cache needs no network"
    with FakeServer(['ok']) as s:
        key = lm_at(s, path)._key(M(), None, {})
        lm = LM('openai/gpt-4o', api_key='x', cache=path)
        lm.cache.put(lm._key(M(), None, {}), as_response('from before'))
        with offline(): assert lm.complete(M()).content=='from before'

def test_runs(path):
    "Two runs of the same question: the second asks nothing, costs nothing, and says so"
    def reply(r): return fs.code('print(llm_query_batched([f"is {i}?" for i in range(5)]))\nFINAL(42)') if len(r.messages)>1 else f'yes: {r.prompt}'
    with FakeServer(reply) as s:
        rlm = RLM('openai/fake', base_url=s.url, cache=path, isolation='none', mode='code')
        a,n = rlm('What?', 'a context'),len(s.requests)
        b = RLM('openai/fake', base_url=s.url, cache=path, isolation='none', mode='code')('What?', 'a context')
        assert n==6 and len(s.requests)==6
    assert (a.answer,b.answer,b.status)==(42,42,'answer')
    assert (b.usage.calls,b.usage.tokens,b.usage.cost,b.usage.from_cache)==(0,0,0.,6) and '6 more from the cache' in str(b.usage)

def test_shared_by_processes(path):
    "Another process finds what this one was told"
    with FakeServer(lambda r: f're {r.prompt}') as s:
        lm_at(s, path).complete(M('a'))
        code = f'from rlm.lm import *\nr = LM("openai/fake", {s.url!r}, cache={str(path)!r}).complete([dict(role="user", content="a")])\nassert (r.content,r.cached)==("re a",True)'
        p = subprocess.run([sys.executable,'-c',code], env={**os.environ,'PYTHONPATH':str(here.parent)}, capture_output=True, text=True, timeout=60)
        assert p.returncode==0, p.stderr
        assert len(s.requests)==1
