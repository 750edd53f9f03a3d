"A comparison on several processes: a worker or the runner is killed in the middle, and every (sample, arm) has one record"
import json,os,re,signal,subprocess,sys,threading,time
from collections import Counter
from pathlib import Path
import pytest
from rlm.suite import suite
from fakeserver import FakeServer,Reply

N,ARMS = 5,('vanilla','map_reduce','rlm1')

def reader(req, delay=.05):
    "Finds the needle, with code if it is spoken to as the root of a run"
    p,rx = req.prompt,r'special magic numbers? for \S+ is: (\d+)'
    if req.messages[0]['role']!='system':
        got = re.findall(rx, p)
        if 'Do not answer it now' in p: return Reply(re.search(rx, p)[0] if got else 'NOTHING', delay=delay)
        return Reply(f'Final Answer: {got[0]}' if got else 'unknown', delay=delay)
    if got:=re.findall(r"\['(\d+)'\]", p): return Reply(f'FINAL({got[0]})', delay=delay)
    return Reply(f'```repl\nimport re\nprint(re.findall({rx!r}, context))\n```', delay=delay)

def settings(url): return dict(model='openai/fake', base_url=url, prices=(1,1), lengths=600, n=N, chunk=200, isolation='process', preset='strong', mode='code', arms=ARMS)

def check(out):
    recs = [json.loads(l) for l in (out/'records.jsonl').read_text().splitlines()]
    assert Counter((r['id'],r['arm']) for r in recs)==Counter((f'niah/600/0/{i}',a) for i in range(N) for a in ARMS)
    assert not [r for r in recs if r['void'] or r['error']] and {r['score'] for r in recs}=={1.}
    assert all((out/r['log']).exists() for r in recs)
    return recs

def when(cond, f, seconds=60):
    "Call `f` from a thread as soon as `cond()` holds"
    def go():
        end = time.monotonic()+seconds
        while not cond() and time.monotonic()<end: time.sleep(.01)
        f()
    t = threading.Thread(target=go, daemon=True)
    t.start()
    return t

def test_worker_killed(tmp_path):
    distributed = pytest.importorskip('distributed')
    killed = []
    with FakeServer(reader) as s, distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster, distributed.Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        def kill():
            killed.append(len(s.requests))
            os.kill(pids[0], signal.SIGKILL)
        t = when(lambda: len(s.requests)>=8, kill)
        res = suite('niah', **settings(s.url), out=tmp_path, executor=client, progress=False)
        t.join()
        assert killed and killed[0]<len(s.requests) and len(res)==N*len(ARMS) and res.left==0
        recs = check(tmp_path)
        assert len(s.requests)-5<=sum(r['usage']['calls'] for r in recs)<=len(s.requests)  # of the one that was killed, at most what was in flight is lost

script = '''
import sys
from rlm.suite import suite
suite('niah', **eval(sys.argv[1]), out=sys.argv[2], workers=3, progress=False)
'''

def test_runner_killed(tmp_path):
    recs = tmp_path/'records.jsonl'
    n = lambda: recs.read_bytes().count(b'\n') if recs.exists() else 0
    with FakeServer(reader) as s:
        p = subprocess.Popen([sys.executable,'-c',script,repr(settings(s.url)),str(tmp_path)])
        when(lambda: n()>=4, p.kill).join()
        assert p.wait(30)==-signal.SIGKILL
        done = recs.read_bytes()
        assert 4<=n()<N*len(ARMS)
        with recs.open('ab') as f: f.write(b'{"id": "niah/6')
        res = suite('niah', **settings(s.url), out=tmp_path, workers=3, progress=False)
        assert res.left==0 and recs.read_bytes().startswith(done)
        assert sum(r['usage']['calls'] for r in check(tmp_path))>=len(s.requests)-3*5  # at most what was in flight is paid twice
