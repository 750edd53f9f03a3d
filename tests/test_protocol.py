"""A child that lies. Here the child is not even ours: a thread at the other end of the socket that says whatever an attacker would. The host must end the child or carry on;
it may not raise, hang or grow."""
import itertools,json,os,random,resource,socket,struct,subprocess,sys,threading,time
from concurrent.futures import Future
from pathlib import Path
import pytest
from hypothesis import HealthCheck,given,settings,strategies as st
import rlm.sandbox as sandbox
from rlm.frames import FRAME,Frames,Lost,_Builder,_parse,frame
from rlm.sandbox import SandboxShell
from rlm.shell import CrossError,Opaque,Result,unpack

pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='Linux')

class FakeChild:
    "Stands where the fork server's child would: `script(self)` runs in a thread and speaks for it"
    script = None
    def __init__(self, cfg):
        self.sock,self.me = socket.socketpair()
        self.pid,self.signals,self.frames = 0,[],Frames(room=1<<16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
    def run(self):
        try: self.say(t='hello', report={}); type(self).script(self)
        except OSError: pass
        finally: self.me.close()
    def signal(self, sig): self.signals.append(sig)
    def memory(self, n): pass
    def ended(self): return None
    def raw(self, b): self.me.sendall(b)
    def say(self, blobs=(), **m): self.raw(b''.join(frame(m, blobs)))
    def hear(self):
        "The next message of the host"
        while True:
            for j,blobs in self.frames: return json.loads(j),blobs
            if not self.frames.take(self.me): raise OSError('gone')
    def result(self, m, **kw):
        "A cell that ended well"
        self.say(t='res', id=m['id'], **(dict(stdout='', value='1', error=None, error_type=None, status='ok', omitted=0, seconds=.1, names=[])|kw))
    def wait(self):
        while True: self.hear()

@pytest.fixture
def host(monkeypatch):
    "A shell whose child follows `script`"
    shells = []
    def make(script, **kw):
        monkeypatch.setattr(sandbox, '_Forked', type('Fake', (FakeChild,), dict(script=script)))
        shells.append(SandboxShell('process', **(dict(cell_timeout=20, grace=.3)|kw)))
        return shells[-1]
    yield make
    for s in shells: s.close()

def lost(sh, secs=5, **kw):
    start = time.monotonic()
    r = sh.run_cell('1', **kw)
    assert isinstance(r, Result) and r.status=='lost' and r.final is None and time.monotonic()-start<secs+10, r
    return r

def after_exec(f):
    "A script that waits for the cell and then does `f(child, message)`"
    def script(c):
        m,_ = c.hear()
        while m['t']!='exec': c.say(t='res', id=m['id']); m,_ = c.hear()
        f(c, m)
        c.wait()
    return script

def raw(j, *blobs): return struct.pack(f'>II{len(blobs)}I', len(j), len(blobs), *map(len, blobs))+j+b''.join(blobs)

garbage = dict(noise=b'\xff'*100, text=b'GET / HTTP/1.1\r\n\r\n', no_json=raw(b'{nope'), empty=raw(b''), number=raw(b'1'), array=raw(b'[]'), null=raw(b'null'), two_megabytes_of_brackets=raw(b'['*2_000_000), braces=raw(b'{"a":'*500_000), four_gigabytes=struct.pack('>II', 2**32-1, 0),
    many_blobs=struct.pack('>II', 10, 2**31), long_blob=struct.pack('>III', 10, 1, 2**32-1), long_blobs=struct.pack('>II60I', 10, 60, *[2_000_000]*60), deep=raw(b'{"t":"final","value":'+b'['*5000+b']'*5000+b'}'), long_number=raw(b'{"t":"final","value":'+b'9'*1_000_000+b'}'),
    bad_utf8=raw(b'{"t":"\xff\xfe"}'), pickle=raw(b"\x80\x04cos\nsystem\n(S'true'\ntR."), no_kind=raw(b'{}'), unknown_kind=raw(b'{"t":"root"}'), kind_is_a_list=raw(b'{"t":["call"]}'), nul=b'\0'*8, two_documents=raw(b'{"t":"res"}{"t":"res"}'))

@pytest.mark.parametrize('name', garbage)
def test_garbage_ends_the_child(host, name): lost(host(after_exec(lambda c,m: c.raw(garbage[name]))))

ok = dict(t='call', id=1, fn='add', a=[], k={})
calls = dict(unknown=dict(ok, fn='eval'), no_name=dict(ok, fn=None), name_is_a_list=dict(ok, fn=['add']), no_id=dict(ok, id=None), id_is_a_list=dict(ok, id=[1]), id_is_a_text=dict(ok, id='1'), args_are_none=dict(ok, a=None), args_are_a_text=dict(ok, a='ab'), kwargs_are_a_list=dict(ok, k=[1]), kwargs_by_number={**ok, 'k':{'$':'dict','v':[[1,2]]}},
    unknown_tag=dict(ok, a={'$':'eval','v':'1'}), blob_that_is_not_there=dict(ok, a=[{'$':'blob','v':0}]), negative_blob=dict(ok, a=[{'$':'blob','v':-1}]), blob_by_text=dict(ok, a=[{'$':'blob','v':'0'}]), set_of_lists=dict(ok, a=[{'$':'set','v':[[1]]}]), colliding=dict(ok, a=[{'$':'set','v':[i*(2**61-1) if i<4 else {'$':'int','v':hex(i*(2**61-1))} for i in range(5000)]}]),
    fraction=dict(ok, a=[{'$':'Fraction','v':[{'$':'int','v':'f'*400_000},{'$':'int','v':'e'*400_001}]}]), zero=dict(ok, a=[{'$':'Fraction','v':[1,0]}]), fraction_in_words=dict(ok, a=[{'$':'Fraction','v':['1e999999999',1]}]), opaque_of_a_list=dict(ok, a=[{'$':'opaque','t':'x','v':[1]}]), base64=dict(ok, a=[{'$':'bytes','v':'é'}]), date=dict(ok, a=[{'$':'date','v':'9'*1_000_000}]),
    span=dict(ok, a=[{'$':'timedelta','v':[10**30,0,0]}]), complex=dict(ok, a=[{'$':'complex','v':[1,2,3]}]), int_of_words=dict(ok, a=[{'$':'int','v':'twelve'}]), no_value=dict(ok, a=[{'$':'dict'}]), dict_of_triples=dict(ok, a=[{'$':'dict','v':[[1,2,3]]}]), tag_is_a_list=dict(ok, a=[{'$':['int'],'v':1}]), tag_is_null_inside=dict(ok, a=[{'$':0,'v':1}]))

@pytest.mark.parametrize('name', calls)
def test_a_call_that_cannot_be_one_ends_the_child(host, name):
    called = []
    sh = host(after_exec(lambda c,m: c.say(**calls[name])))
    sh.bind('add', lambda *a, **k: called.append(a))
    lost(sh)
    assert not called

def test_a_blob_named_a_million_times(host):
    sh = host(after_exec(lambda c,m: c.say([b'x'*1_000_000], t='final', value=[{'$':'blob','v':0}]*500_000)))
    lost(sh)

quotes = dict(no_list=dict(a=1), numbers=[1], opaque={'$':'opaque','t':'x','v':'y'}, many=['x']*101, long=['x'*10_001], blob=[{'$':'blob','v':7}], deep=[['x']])

@pytest.mark.parametrize('name', quotes)
def test_forged_quotes_end_the_child(host, name): lost(host(after_exec(lambda c,m: c.say(t='final', value='x', quotes=quotes[name]))))

results = dict(no_names=dict(names=None), stdout=dict(stdout=5), value=dict(value=[1]), error=dict(error=1), kind=dict(error_type=[]), status=dict(status='root'), unhashable_status=dict(status=[1]), omitted=dict(omitted='x'), seconds=dict(seconds='x'), tag=dict(stdout={'$':'tuple','v':[]}), gone=dict(stdout={'$':'blob','v':3}), err=dict(err='x'))

@pytest.mark.parametrize('name', results)
def test_a_forged_result_ends_the_child(host, name): lost(host(after_exec(lambda c,m: c.result(m, **results[name]))))

def test_a_result_of_another_cell_is_none(host):
    def f(c, m):
        for i in (m['id']+1, m['id']-1, -1, 10**30, None, 'x', [1]): c.result(dict(id=i), value='forged')
        c.result(m, value='right')
    assert host(after_exec(f)).run_cell('1').value=='right'

def test_a_second_hello_changes_nothing(host):
    sh = host(after_exec(lambda c,m: (c.say(t='hello', report=dict(isolation='hardened', held=1)), c.say(t='failed', error='x'), c.result(m))))
    assert sh.run_cell('1').status=='ok' and sh.report=={'isolation':'process'}

def test_results_are_cut_again(host):
    long = '\x1b[2J'+'x'*3_000_000
    r = host(after_exec(lambda c,m: c.result(m, stdout=long, value=long, error=long, error_type=long, names=[long,'a']))).run_cell('1', max_output=1000)
    assert all(len(o)<22_000 for o in (r.stdout, r.value, r.error, r.error_type)) and len(r.stdout)<2000

def test_the_first_answer_counts_and_later_ones_cost_nothing(host):
    def f(c, m):
        for v in ('first','second',{'$':'eval'}): c.say(t='final', value=v, name=5)
        c.result(m)
    r = host(after_exec(f)).run_cell('1')
    assert r.final.value=='first' and r.final.name is None

@pytest.mark.parametrize('part', [1,4,7,9,30])
def test_half_a_frame_and_then_silence(host, part):
    r = lost(host(after_exec(lambda c,m: c.raw(raw(b'{"t":"res","id":1,"stdout":""}')[:part]))), timeout=.3)
    assert 'interrupt' in r.error

def test_silence_at_the_start(host, monkeypatch):
    sh = host(lambda c: c.wait())
    monkeypatch.setattr(FakeChild, 'say', lambda self, *a, **k: None)
    old = SandboxShell._until
    monkeypatch.setattr(SandboxShell, '_until', lambda self, want, seconds: old(self, want, .2))
    with pytest.raises(sandbox.IsolationUnavailable, match='does not start'): sh.run_cell('1')

def test_ids_used_twice(host):
    gate = Future()
    sh = host(after_exec(lambda c,m: (c.say(**ok), c.say(**ok))))
    sh.bind('add', lambda: gate)
    lost(sh)

def test_a_million_calls_in_one_cell_end(host, monkeypatch):
    monkeypatch.setattr(sandbox, '_MAX_CALLS', 500)
    n,errors = [0],[]
    def add(): n[0] += 1
    def f(c, m):
        for i in range(2000):
            c.say(**dict(ok, id=i))
            a,_ = c.hear()
            if 'err' in a: errors.append(a['err'])
        c.result(m)
    sh = host(after_exec(f))
    sh.bind('add', add)
    assert sh.run_cell('1').status=='ok' and n[0]==500 and len(errors)==1500 and 'more than 500 calls' in errors[0][1]

def test_a_storm_of_calls_is_taken_in_so_many_at_once(host):
    most,gate = [0],threading.Event()
    def slow(): most[0] = max(most[0], threading.active_count()); gate.wait(5)
    def f(c, m):
        for i in range(5000): c.say(**dict(ok, id=i))
    threading.Timer(1.5, gate.set).start()
    sh = host(after_exec(f))
    sh.bind('add', slow)
    r = sh.run_cell('1', timeout=.2)
    assert most[0]<1200 and r.status=='lost'

def test_requests_between_cells_meet_a_liar(host):
    "Names, variables, descriptions: of the wrong kind, or refused with an error of the child's choosing"
    said = itertools.cycle([dict(v=5), dict(v={'$':'eval'}), dict(v=[1,'a',None]), dict(err=['StopIteration','x']), dict(err=['SystemExit','x']), dict(err=5), dict(err=[[1],2]), dict(v={'a':1,'b':'c'}), dict()])
    def script(c):
        while True: c.say(t='res', id=c.hear()[0]['id'], **next(said))
    sh = host(script)
    for f in (lambda: list(sh.user_ns), lambda: repr(sh.user_ns), lambda: sh.user_ns['x'], lambda: 'x' in sh.user_ns, lambda: sh.user_ns.__setitem__('x', 1), lambda: sh.user_ns.pop('x', 1))*9:
        try: f()
        except (KeyError,RuntimeError,CrossError): pass

def test_a_child_that_reads_a_byte_a_second(host, monkeypatch):
    def script(c):
        while True: c.me.recv(1); time.sleep(.02)
    sh = host(script)
    sh.stage('context', 'x'*3_000_000)
    old,start = SandboxShell._until,time.monotonic()
    monkeypatch.setattr(SandboxShell, '_until', lambda self, want, seconds: old(self, want, min(seconds, .5)))
    with pytest.raises(sandbox.IsolationUnavailable): sh.run_cell('1')
    assert time.monotonic()-start<30

# Anything at all

def odd():
    "Values as a child would pack them, or nearly"
    leaf = st.one_of(st.none(), st.booleans(), st.integers(-2**70, 2**70), st.floats(), st.text(max_size=20), st.sampled_from(['$','blob','int','0x1f','nan','1e9','set']))
    def more(c): return st.one_of(st.lists(c, max_size=5), st.dictionaries(st.sampled_from(['$','v','t','a']), c, max_size=4),
        st.builds(lambda t,v: {'$':t,'v':v,'t':'x'}, st.sampled_from(['int','float','complex','Decimal','Fraction','datetime','date','time','timedelta','bytes','str','tuple','set','frozenset','dict','blob','blobb','opaque','eval']), c))
    return st.recursive(leaf, more, max_leaves=12)

@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(odd(), st.lists(st.binary(max_size=10), max_size=3))
def test_unpack_gives_a_value_or_says_no(j, blobs):
    try: v = unpack(json.loads(json.dumps(j)), blobs)
    except CrossError: return
    assert isinstance(v, (type(None),bool,int,float,complex,str,bytes,list,dict,tuple,set,frozenset,Opaque)) or type(v).__module__ in ('decimal','fractions','datetime')

@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.binary(max_size=200), odd().map(lambda o: json.dumps(o).encode()), st.text(max_size=100).map(lambda s: s.encode('utf-8','surrogatepass'))))
def test_parse_gives_an_object_or_says_no(b):
    try: assert isinstance(_parse(b), dict)
    except Lost: pass

@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), st.lists(st.binary(max_size=3000), max_size=4)), max_size=6), st.randoms(use_true_random=False), st.binary(max_size=12))
def test_frames_come_out_as_they_went_in_however_they_are_cut(msgs, rnd, tail):
    a,b = socket.socketpair()
    with a,b:
        data,got,f = b''.join(itertools.chain(*(frame(m, bs) for m,bs in msgs)))+tail,[],Frames(FRAME, room=64)
        try:
            while data:
                n = rnd.randint(1, max(1, min(len(data), 5000)))
                a.sendall(data[:n]); data = data[n:]
                while select_in(b): f.take(b); got += [(json.loads(j), bs) for j,bs in f]
        except (Lost,ValueError): assert tail
        assert got[:len(msgs)]==[(m, list(bs)) for m,bs in msgs] or tail

def select_in(s):
    import select
    return select.select([s],[],[],0)[0]

@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(st.binary(max_size=30), odd().map(lambda o: raw(json.dumps(o).encode())),
    st.builds(lambda t,i,v,bs: raw(json.dumps(dict(t=t, id=i, fn='add', a=v, k={}, v=v, value=v, stdout=v, names=[], status='ok')).encode(), *bs), st.sampled_from(['call','final','res','hello','failed','ret']), st.one_of(st.integers(0,5), odd()), odd(), st.lists(st.binary(max_size=5), max_size=2))), min_size=1, max_size=4))
def test_whatever_a_child_sends_the_host_gives_a_result(messages):
    old,sandbox._Forked = sandbox._Forked,type('Fake', (FakeChild,), dict(script=after_exec(lambda c,m: ([c.raw(b) for b in messages], c.me.shutdown(socket.SHUT_WR)))))
    try:
        with SandboxShell('process', cell_timeout=5, grace=.2) as sh:
            sh.bind('add', lambda *a: a)
            assert isinstance(sh.run_cell('1'), Result)
    finally: sandbox._Forked = old

# Memory of the host, measured in a host process of its own

host_program = '''
import sys,threading,json,struct,time
sys.path[:0] = [{tests!r}, {root!r}]
from test_protocol import *
def high(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])//1024
def flood(c, m):
{flood}
sandbox._Forked = type('Fake', (FakeChild,), dict(script=after_exec(flood)))
sh = SandboxShell('process', cell_timeout={timeout}, grace=.3)
sh.bind('add', lambda *a, **k: time.sleep(.2))
before = high()
r = sh.run_cell('1')
print(json.dumps([r.status, high()-before, len(r.stdout)]))
import os
os._exit(0)
'''

floods = dict(
    results='''    for i in range(3000): c.say(t='res', id=-i, stdout='x'*200_000)''',
    finals='''    for i in range(60): c.say([b'x'*10_000_000], t='final', value={'$':'blob','v':0})''',
    huge_arguments='''    for i in range(40): c.say([b'x'*30_000_000], **dict(ok, id=i, a=[{'$':'blob','v':0}]))''',
    small_calls='''    for i in range(5000): c.say(**dict(ok, id=i, a=['x'*1000]))''',
    many_parts='''    c.raw(raw(b'{"t":"res","id":-1,"a":['+b'{"a":1},'*6_000_000+b'1]}'))''',
    as_many_parts_as_allowed='''    c.raw(raw(b'{"t":"res","id":-1,"a":['+b'{"a":1},'*1_300_000+b'1]}'))''',
    wide_text='''    c.raw(raw(b'{"t":"res","id":-1,"a":"'+b'x'*60_000_000+"😀".encode()+b'"}'))''',
    half_a_frame_of_64_megabytes='''    c.raw(struct.pack('>II', (64<<20)-100, 0)+b'x'*60_000_000)''',
    output='''    c.result(m, stdout='x'*60_000_000)''')

@pytest.mark.parametrize('name', floods)
def test_a_flood_does_not_grow_the_host(name):
    here = Path(__file__).resolve()
    code = host_program.format(tests=str(here.parent), root=str(Path(sandbox.__file__).parent.parent), flood=floods[name], timeout=2)
    p = subprocess.run([sys.executable,'-c',code], capture_output=True, text=True, timeout=240)
    assert p.returncode==0, p.stderr[-2000:]
    status,grew,out = json.loads(p.stdout.splitlines()[-1])
    print(name, status, grew)
    assert grew<900 and out<200_000, (status, grew)  # the liar runs in the same process here, with its own copies; megabytes
