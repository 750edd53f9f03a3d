"The runner: order, records, resuming, the cap, forecasts, executors, and what it refuses"
import io,json,pickle,re,signal,threading,time
from collections import Counter
from concurrent.futures import BrokenExecutor,Future,ThreadPoolExecutor
from pathlib import Path
import pytest
from rlm import cli
from rlm.events import Log,read_log
from rlm.lm import LMError,ScriptedLM
from rlm.suite import *
from rlm.suite import Guess
from rlm.tasks import TASKS,Sample,Task,add_task
from fakeserver import FakeServer,Fault
from test_dask import reader as served

def make(length, rng, window, j):
    n = window.randrange(1000,9999)+j
    return dict(context='Fog all day.\n'*(length*4//13-6)+f'The ferry was sold for {n-j} crowns, and later for as many and {j} more.\n', question=f'For how many crowns was it sold, with {j} more?', gold=n, kind='number', meta=dict(n=n))

T = add_task(Task('t_ferry', make, lambda a,s: float(str(a)==str(s.gold)), 'made up', lengths=(500,1000), trivial=dict(zero=lambda q,c: 0, one=lambda q,c: 1), per_window=2))

def reader(messages):
    p = messages[-1]['content']
    if messages[0]['role']=='system': return '```repl\nimport re\nFINAL(sum(map(int, re.findall(r"(?:for|and) (\\d+)", context))))\n```'
    m = re.search(r'sold for (\d+) crowns.*?and (\d+) more', p, re.S)
    if 'Do not answer it now' in p: return m[0] if m else 'NOTHING'
    return f'Final Answer: {int(m[1])+int(m[2])}' if m else 'Final Answer: unknown'

kw = dict(isolation='none', mode='code', preset='strong', progress=False)

def lm(f=reader, **k): return ScriptedLM(f, prices=(1,1), **k)
def records(out): return [json.loads(l) for l in (Path(out)/'records.jsonl').read_text().splitlines()]
def keys(rs): return Counter((r['id'],r['arm']) for r in rs)

def test_order_of_jobs():
    jobs = make_jobs(['t_ferry','niah'], ['vanilla','rlm','trivial:zero'], [500,200], n=4)
    assert [o.length for o in jobs]==sorted(o.length for o in jobs) and len({o.key for o in jobs})==len(jobs)==2*4*3+2*4*2
    first = [(o.arm,o.i) for o in jobs if o.task=='t_ferry'][:6]
    assert first==[('vanilla',0),('vanilla',1),('rlm1',0),('rlm1',1),('trivial:zero',0),('trivial:zero',1)]
    assert {o.task for o in jobs[:9]}=={'t_ferry','niah'} and pickle.loads(pickle.dumps(jobs))==jobs
    assert len({o.log for o in make_jobs('niah:keys=4,values=2', 'trivial', 100)})==20*3 and '/' not in jobs[0].log[5:]

def test_records(tmp_path):
    res = suite(T, lm(), arms=('vanilla','truncate','retrieve','map_reduce','rlm0','rlm1','trivial'), lengths=500, n=3, chunk=200, out=tmp_path, **kw)
    rs = records(tmp_path)
    assert keys(rs)==keys(res)==Counter({(f't_ferry/500/0/{i}',a):1 for i in range(3) for a in ('vanilla','truncate','retrieve','map_reduce','rlm0','rlm1','trivial:zero','trivial:one')})
    assert set(rs[0])=={'id','task','length','seed','i','kind','window','arm','model','sub_model','question','gold','prediction','score','status','error','error_kind','seconds','usage','cost','steps','sub_calls','context_chars',
        'hash','log','void','rlm','python','time','meta'}
    for r in rs:
        assert r['score']==(0 if r['arm'].startswith('trivial') else 1), r
        assert r['hash']==T.sample(500, r['i']).hash and r['meta']==dict(n=r['gold']) and r['kind']=='number'
        if r['log']: assert read_log(tmp_path/r['log'])[-1].answer in (r['prediction'],str(r['prediction'])) and r['cost']==pytest.approx(r['usage']['cost']) and r['usage']['by']['root']['calls']
        else: assert r['cost']==0
    assert {r['sub_calls'] for r in rs if r['arm']=='map_reduce'}=={4} and res.left==0

def test_the_same_call_does_what_is_missing(tmp_path):
    model = lm()
    suite(T, model, arms='vanilla', lengths=500, n=2, out=tmp_path, **kw)
    suite(T, model, arms=['vanilla','truncate'], lengths=[500,600], n=3, out=tmp_path, **kw)
    assert len(model.asked)==len(records(tmp_path))==2*2*3 and max(keys(records(tmp_path)).values())==1
    assert len(json.loads((tmp_path/'suite.json').read_text())['runs'])==2
    with (tmp_path/'records.jsonl').open('a') as f: f.write('{"id": "t_fer')
    suite(T, lm([]), arms=['vanilla'], lengths=500, n=3, out=tmp_path, **kw)
    assert len(records(tmp_path))==12

@pytest.mark.parametrize('other,says', [(dict(chunk=100),'settings.chunk was 16384 and is 100'), (dict(model=ScriptedLM([], model='m2')),"model was 'scripted' and is 'm2'"), (dict(mode='tools'),"rlm_settings.mode was 'code' and is 'tools'"),
    (dict(temperature=.5),'root.temperature was None and is 0.5')])
def test_another_setup_is_refused(tmp_path, other, says):
    k = dict(kw, model='openai/x' if 'temperature' in other else lm(), arms='trivial', lengths=500, n=1, out=tmp_path)
    suite(T, **k)
    with pytest.raises(ValueError, match=re.escape(says)): suite(T, **{**k, **other})
    assert len(records(tmp_path))==2

def test_a_second_runner_is_refused(tmp_path):
    (tmp_path/'logs').mkdir()
    one = Records(tmp_path)
    with pytest.raises(ValueError, match='another runner'): suite(T, lm(), arms='trivial', out=tmp_path, **kw)
    one.close()
    suite(T, lm(), arms='trivial', lengths=500, n=1, out=tmp_path, **kw)

def test_failures_are_results(tmp_path):
    def model(messages):
        n = len(model.seen)
        model.seen.append(n)
        return [LMError('context','scripted: context: too long'), LMError('bad_request','scripted: bad request: no'), '', reader(messages)][n]
    model.seen = []
    res = suite(T, lm(model, retries=0), arms='vanilla', lengths=500, n=4, workers=1, out=tmp_path, **kw)
    assert [(r['error_kind'],r['score'],r['void'],r['prediction'] is None) for r in records(tmp_path)]==[('context',0,None,True),('bad_request',0,None,True),('empty',0,None,True),(None,1,None,False)]
    suite(T, lm([]), arms='vanilla', lengths=500, n=4, workers=1, out=tmp_path, **kw)  # and are not tried again
    assert len(res)==len(records(tmp_path))==4

@pytest.mark.parametrize('kind', ['auth','model','quota','offline'])
@pytest.mark.parametrize('arm', ['vanilla','map_reduce','rlm1'])
def test_what_all_runs_would_share_stops_it(tmp_path, arm, kind):
    text = 'scripted was not asked: calls are off (RLM_OFFLINE)' if kind=='offline' else f'scripted: {kind}: no'
    bad = lm(lambda m: LMError(kind, text) if len(bad.asked)>2 else reader(m))
    with pytest.raises(SuiteError, match=re.escape(text)): suite(T, bad, arms=arm, lengths=500, n=6, workers=1, out=tmp_path, **kw)
    assert all(r['score']==1 for r in records(tmp_path)) and len(records(tmp_path))<6
    n = len(records(tmp_path))
    res = suite(T, lm(), arms=arm, lengths=500, n=6, workers=1, out=tmp_path, **kw)
    assert {r['score'] for r in res}=={1} and len(res)==6>n

def test_no_server(tmp_path):
    with pytest.raises(SuiteError, match='five runs in a row'): suite(T, 'openai/x', base_url='http://127.0.0.1:9/v1', retries=0, arms=['vanilla','trivial'], lengths=500, out=tmp_path, **kw)

def test_the_cap_counts_runs_that_were_begun_and_are_not_asked_for_now(tmp_path):
    suite(T, lm(), arms=['vanilla','truncate'], lengths=500, n=1, out=tmp_path, **kw)
    rs = records(tmp_path)
    spent = {r['arm']:r['cost'] for r in rs}
    (tmp_path/'records.jsonl').write_text('')  # as if it had been killed before the records were written
    m = lm()
    res = suite(T, m, arms=['truncate'], lengths=500, n=2, out=tmp_path, max_cost=sum(spent.values())*1.01, **kw)
    assert not any(r['i'] for r in res) and res.left>=1 and not m.asked
    res = suite(T, m, arms=['truncate'], lengths=500, n=2, out=tmp_path, max_cost=sum(spent.values())*9, **kw)
    assert res.left==0 and len(m.asked)==1

def test_the_end_says_what_failed_and_where_it_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    def fails(ms): raise LMError('other', 'no reply')
    k = dict(kw, progress=True, lengths=500, n=1)
    suite(T, lm(fails), arms=['vanilla','trivial:zero'], out='a', **k)
    assert 'All 2 runs are done, $0 spent. Without an answer of their own: 1 (other 1)' in capsys.readouterr().err
    suite(T, lm(), arms=['vanilla'], max_cost=1e-6, **k)
    assert re.search(r'the same call, in the folder bench-[\d-]+, with a higher cap goes on', capsys.readouterr().err)

def test_interrupted(tmp_path):
    told = []
    def model(messages):
        if len(slow.asked)>=15 and not told:
            slow.delay = 60  # the calls after this one are cancelled
            told.append(threading.Timer(.05, signal.raise_signal, (signal.SIGINT,)).start())
        n = sum(m['role']=='assistant' for m in messages)
        return reader(messages) if n>4 else f'```repl\nx = {n}*len(context)\nprint(x)\n```'
    slow = lm(model)
    with pytest.raises(KeyboardInterrupt): suite(T, slow, arms='rlm1', lengths=500, n=6, workers=2, out=tmp_path, **kw)
    n = len(records(tmp_path))
    assert n<6 and all(r['status']=='answer' for r in records(tmp_path))
    model2 = lm(model)
    res = suite(T, model2, arms='rlm1', lengths=500, n=6, out=tmp_path, **kw)
    assert len(res)==6 and max(keys(records(tmp_path)).values())==1 and {r['score'] for r in res}=={1}
    assert 6*6<=len(slow.asked)+len(model2.asked)<=6*6+2 and len(model2.asked)<6*(6-n)  # runs that had begun went on

def test_the_cap_holds_among_workers(tmp_path):
    model = lm(delay=.01)
    res = suite(T, model, arms='vanilla', lengths=500, n=20, workers=8, max_cost=.008, out=tmp_path, **kw)
    spent = sum(r['cost'] for r in records(tmp_path))
    assert .004<spent<=.008 and 0<len(res)<20 and res.left==20-len(res) and 'not done' in res.notes[-1] and len(model.asked)==len(res)
    more = suite(T, model, arms='vanilla', lengths=500, n=20, workers=8, max_cost=.1, out=tmp_path, **kw)
    assert more.left==0 and len(model.asked)==20

def test_a_run_that_its_share_has_cut_off_is_void(tmp_path):
    def model(messages):
        n = sum(m['role']=='assistant' for m in messages)
        return reader(messages) if n>=6 else f'```repl\nx = {n}*len(context)\nprint(x, "{n}"*3000)\n```'
    one = suite(T, lm(model), arms='rlm1', lengths=500, n=1, out=tmp_path/'a', **kw)
    cost = one.records[0]['cost']
    assert cost>.005
    res = suite(T, lm(model), arms='rlm1', lengths=500, n=2, workers=1, max_cost=cost*.8+.05-.05, out=tmp_path/'b', **kw)
    assert res.left==2 and not len(res)
    class Hopeful(Guess):
        def need(self, job): return self.need_of.get(job.key, .001)
    import rlm.suite as m
    old,m.Guess = m.Guess,Hopeful
    try: res = suite(T, lm(model), arms='rlm1', lengths=500, n=1, workers=1, max_cost=cost*.7, out=tmp_path/'b', **kw)
    finally: m.Guess = old
    v, = records(tmp_path/'b')
    assert v['void']=='cap' and 0<v['cost']<=cost*.7 and len(res)==0 and res.left==1 and len(res.void)==1 and (tmp_path/'b'/v['log']).exists()
    done = suite(T, lm(model), arms='rlm1', lengths=500, n=1, max_cost=1, out=tmp_path/'b', **kw)
    assert len(done)==1 and done.records[0]['cost']==pytest.approx(cost) and done.records[0]['score']==1

def test_a_users_limit_for_a_run_is_a_result(tmp_path):
    res = suite(T, lm(lambda m: '```repl\nprint(len(context)*%d)\n```'%len(m)), arms='rlm1', lengths=500, n=2, run_cost=.004, max_cost=1, out=tmp_path, **kw)
    assert {(r['status'],r['error_kind'],r['void']) for r in res}=={('budget','max_cost',None)} and all(r['cost']<=.004 for r in res)

def test_what_a_killed_run_has_paid_counts_once(tmp_path):
    suite(T, lm(), arms='map_reduce', lengths=500, n=2, chunk=200, workers=1, out=tmp_path, **kw)
    a,b = (tmp_path/'records.jsonl').read_text().splitlines()
    (tmp_path/'records.jsonl').write_text(a+'\n')
    p = tmp_path/json.loads(b)['log']
    ls = p.read_text().splitlines()
    p.write_text('\n'.join(l for l in ls if 'RootReplied' not in l and 'RunEnded' not in l)+'\n')
    jobs = make_jobs(T, 'map_reduce', 500, n=2)
    paid = paid_in_logs(tmp_path, jobs[1:])
    assert 0<paid[jobs[1].key]<json.loads(b)['cost']
    model = lm()
    res = suite(T, model, arms='map_reduce', lengths=500, n=2, chunk=200, out=tmp_path, max_cost=1, **kw)
    assert len(model.asked)==1 and res.records[1]['cost']==pytest.approx(json.loads(b)['cost'])

def test_money_that_cannot_be_counted_is_refused(tmp_path):
    for k in ('max_cost','run_cost'):
        with pytest.raises(ValueError, match='price of openai/x is not known'): suite(T, 'openai/x', base_url='http://127.0.0.1:9/v1', arms='vanilla', out=tmp_path/'o', **{k:1}, **kw)
    assert not (tmp_path/'o').exists()
    with pytest.raises(ValueError, match='max_cost must be'): suite(T, lm(), arms='trivial', max_cost=0, out=tmp_path, **kw)

def test_forecast_is_near_what_it_takes(tmp_path):
    k = dict(arms=['vanilla','retrieve','map_reduce','rlm1','trivial'], lengths=4000, n=3, chunk=1000, passages=1000, isolation='none', mode='code')
    f = {a:u for a,_,u in forecast(T, lm(), **k)}
    suite(T, lm(), **k, out=tmp_path, progress=False)
    for a in ('vanilla','retrieve','map_reduce'):
        got = [r['usage'] for r in records(tmp_path) if r['arm']==a]
        n = sum(u['prompt_tokens'] for u in got)
        assert f[a].calls==sum(u['calls'] for u in got) and (f[a].prompt_tokens>n if a=='retrieve' else f[a].prompt_tokens==pytest.approx(n, rel=.9))
    assert f['trivial:zero'].cost==0 and 'map_reduce' in repr(forecast(T, lm(), **k))
    known = {a:u for a,_,u in forecast(T, lm(), **{**k,'n':6}, out=tmp_path)}
    assert known['rlm1'].calls==3 and f['rlm1'].calls>=8*3
    assert forecast(T, 'openai/x', base_url='http://127.0.0.1:9/v1', arms='vanilla').total().cost is None

def test_processes(tmp_path):
    with FakeServer(lambda r: served(r, 0)) as s:
        res = suite('niah', 'openai/fake', base_url=s.url, prices=(1,1), arms=['vanilla','trivial:grep'], lengths=600, n=2, executor='processes', workers=2, progress=False, out=tmp_path)
    assert len(res)==4 and {r['score'] for r in res if r['arm']=='vanilla'}=={1} and all((tmp_path/r['log']).exists() for r in res if r['log'])
    with pytest.raises(ValueError, match='by its name'): suite(T, lm(), executor='processes', out=tmp_path, **kw)

class Elsewhere:
    "An executor whose workers do not see the folder, and are lost as often as `lose` says"
    _max_workers = 2
    def __init__(self, lose=0): self.lose,self.n = lose,0
    def submit(self, f, job, setup, out, share):
        self.n += 1
        res = Future()
        if self.n<=self.lose: res.set_exception(BrokenExecutor('gone'))
        else: res.set_result(f(job, setup, '', share))
        return res

def elsewhere(out, ex, **k):
    with FakeServer(lambda r: served(r, 0)) as s: return suite('niah', 'openai/fake', base_url=s.url, arms='vanilla', lengths=600, executor=ex, workers=1, progress=False, out=out, **k)

def test_logs_come_back_from_where_the_folder_is_not(tmp_path):
    res = elsewhere(tmp_path, Elsewhere(), n=2)
    assert all(read_log(tmp_path/r['log'])[-1].answer==r['prediction'] for r in res)

def test_lost_workers(tmp_path):
    res = elsewhere(tmp_path/'a', Elsewhere(2), n=2)
    assert len(res)==2 and not res.void
    res = elsewhere(tmp_path/'b', Elsewhere(3), n=2)
    assert [(r['void'],r['error_kind']) for r in res.void]==[('worker','worker')] and len(res)==1 and res.left==1
    assert len(elsewhere(tmp_path/'b', Elsewhere(), n=2))==2

def test_published_samples(tmp_path):
    def official(n=50, length=None, revision=None):
        calls.append((n, length, revision))
        return [Sample('t_pub@who/what', 700+i, 0, i, 'The ferry was sold for 5 crowns, and 1 more.', 'For how many?', 6, window=f'w{i}', meta=dict(revision='abc')) for i in range(n)]
    calls,t = [],add_task(Task('t_pub', make, lambda a,s: float(str(a)==str(s.gold)), 'made up', trivial=dict(six=lambda q,c: 6), official=official))
    try:
        for _ in range(2): res = suite(t, lm(), arms=['vanilla','trivial'], n=3, lengths=9, official=True, out=tmp_path, **kw)
        assert [r['score'] for r in res]==[1]*6 and {r['id'] for r in res}=={f't_pub@who/what/{700+i}/0/{i}' for i in range(3)} and set(calls)=={(3,9,None),(3,9,'abc')}
    finally: TASKS.pop('t_pub')
    with pytest.raises(ValueError, match='t_ferry has no published'): make_jobs(T, official=True)
    with pytest.raises(ValueError, match='leave lengths out'): make_jobs('graphwalks', official=True, lengths=5)

def test_a_log_that_another_worker_holds_is_left_to_it(tmp_path):
    (tmp_path/'logs').mkdir()
    job, = make_jobs(T, 'vanilla', 500, n=1)
    held = Log(tmp_path/job.log)
    res = do_job(job, make_setup(lm()), str(tmp_path))
    assert res['record']['score']==1 and 'RunEnded' in res['text'] and (tmp_path/job.log).read_text()==''
    held.close()

def test_lengths_that_are_usual(): assert {o.length for o in make_jobs('niah', 'trivial', n=1)}=={8_000,32_000,128_000}

def test_what_is_answered_becomes_json():
    assert as_json([{(2,1),(1,2)}, {1:None}, float('inf'), 10**5000, 'x', b'y', ...])[:3]==[[[1,2],[2,1]], {'1':None}, 'inf']

def test_a_scorer_that_fails_is_named(tmp_path):
    t = add_task(Task('t_bad', make, lambda a,s: 1/0, 'made up', trivial=dict(zero=lambda q,c: 0)))
    try:
        with pytest.raises(SuiteError, match='scorer of t_bad failed on t_bad/500/0/0, trivial:zero: ZeroDivisionError'): suite(t, lm(), arms='trivial', lengths=500, n=1, out=tmp_path, **kw)
    finally: TASKS.pop('t_bad')

@pytest.mark.parametrize('bad,says', [(dict(seed='x'), "seed must be a whole number, not 'x'"), (dict(tasks='nosuch'),'there is no task'), (dict(arms='chain'),'there is no arm'), (dict(arms='trivial:two'),'trivial:one'), (dict(lengths=[0]),'above 0'), (dict(lengths='8K'),"not '8K'"), (dict(n=0),'n must be'),
    (dict(workers=0),'workers must be'), (dict(executor='thread'),"not 'thread'"), (dict(max_step=3),'max_step'), (dict(chunks=3),'Was chunk meant'), (dict(tasks=[]),'at least one task'), (dict(arms=[]),'at least one')])
def test_bad_input(tmp_path, bad, says):
    with pytest.raises(ValueError, match=re.escape(says)): suite(**{**dict(tasks='t_ferry', model='openai/x', arms='trivial', n=1, out=tmp_path, progress=False), **bad})
    assert not (tmp_path/'records.jsonl').exists() or not records(tmp_path)

def test_progress_is_a_line_now_and_then(tmp_path, capsys):
    suite(T, lm(), arms=['vanilla','trivial'], lengths=500, n=2, max_cost=5, out=tmp_path, **{**kw,'progress':True})
    err = capsys.readouterr().err
    assert 'vanilla' in err and ' left' in err and '[####################] 6/6' in err and '6/6' in err and 'All 6 runs are done' in err and err.count('\n')<20
    suite(T, lm(), arms='trivial', lengths=500, n=2, out=tmp_path, **kw)
    assert capsys.readouterr().err==''

def bench(*args):
    with FakeServer(lambda r: served(r, 0)) as s: return cli.main(['bench', *args, '--base-url', s.url, '--model', 'openai/fake'])

def test_command_line(tmp_path, capsys):
    out = str(tmp_path/'b')
    what = ['niah','--lengths','1K','--arms','vanilla,trivial','-n','2','--out',out]
    assert bench(*what, '--forecast', '--prices', '1', '1')==0 and 'trivial:grep' in capsys.readouterr().out and not Path(out).exists()
    assert bench(*what, '--prices', '1', '1', '--max-cost', '.003')==4 and 'is reached' in capsys.readouterr().err
    assert bench(*what, '--quiet')==0
    io = capsys.readouterr()
    assert io.err=='' and '| niah | 1,024 | 2 | 1.00' in io.out and len(records(out))==8
    assert cli.main(['bench','--list'])==0 and 'oolong_pairs' in capsys.readouterr().out
    assert cli.main(['bench','report',out])==0 and Path(capsys.readouterr().out.strip()).exists()

@pytest.mark.parametrize('args,says', [([],'no task is named'), (['nosuch'],'there is no task'), (['niah','--lengths','8KB'],"'8KB'"), (['niah','--arms','chain'],'no arm'), (['report','nowhere'],'no folder nowhere'), (['niah','-n','0'],'n must be'),
    (['niah','--max-cost','1','--model','openai/x','--base-url','http://127.0.0.1:9'],'--prices IN OUT'), (['niah','--workers','0'],'workers')])
def test_command_line_mistakes(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['bench', *args])==2 and says in capsys.readouterr().err

@pytest.mark.parametrize('s,n', [('4K',4096), ('32k',32768), ('1M',2**20), ('0.5M',2**19), ('8000',8000)])
def test_lengths(s, n): assert cli.length_of(s)==n

def test_another_window_is_another_setup(tmp_path, monkeypatch):
    "The local model with another RLM_WINDOW answers other questions"
    from rlm.suite import check_setup,make_setup
    monkeypatch.setenv('RLM_WINDOW', '8192')
    check_setup(tmp_path, make_setup('local'), n=1)
    check_setup(tmp_path, make_setup('local'), n=2)
    monkeypatch.setenv('RLM_WINDOW', '4096')
    with pytest.raises(ValueError, match='context_window was 8192 and is 4096'): check_setup(tmp_path, make_setup('local'), n=1)
