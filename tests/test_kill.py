"A run of 6 steps and 200 sub-calls, killed by SIGKILL at 50 random points, goes on to the same answer, and pays for nothing twice but for what was in flight"
import json,os,random,signal,subprocess,sys,threading,time
import pytest
from fakeserver import FakeServer,Reply
from faults import family
from rlm.core import RLM
from rlm.events import RootReplied,SubReplied,read_log

pytestmark = pytest.mark.skipif(sys.platform=='win32', reason='needs fork and SIGKILL')

TEXT = '\n'.join(f'Day {i}: the tide stood at {i*7%40} feet.' for i in range(100))
QUESTION = 'How high did the tide stand?'
STEPS = ['print(len(context))\nlines = context.splitlines()', 'a = llm_query_batched(["Read: "+o for o in lines])',
    'from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(16) as ex: b = list(ex.map(lambda o: llm_query("Check: "+o), lines[:60]))',
    'c = []\nfor o in lines[:10]: c.append(llm_query(f"After {c[-1:]}: {o}"))', 'd = llm_query_batched(["Again: "+o for o in a[:30]])', 'FINAL([len(a), b[7], c[-1], d[29]])']
N_ROOT,N_SUB = 6,200

def reply(req):
    "Depends on the request alone, so that a repeated request costs and says the same"
    if req.messages[0]['role']=='system': return Reply(f"```python\n{STEPS[sum(o['role']=='assistant' for o in req.messages)]}\n```", delay=.002)
    return Reply(f'{len(req.prompt)} {req.prompt[-25:]}', usage=dict(prompt_tokens=len(req.prompt), completion_tokens=3, total_tokens=len(req.prompt)+3), delay=.004)

nursery = '''
import ctypes,json,os,sys
import openai, rlm.core, rlm.sandbox
if sys.platform=='linux': ctypes.CDLL(None).prctl(36, 1)  # what a host leaves behind becomes a child of this process
for line in sys.stdin:
    m = json.loads(line)
    pid = os.fork()
    if not pid:
        try: rlm.core.RLM('openai/fake', base_url=m['url'], log=m['log'], retries=0)(m['question'], m['text'])
        finally: os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print('gone', flush=True)
'''

class Nursery:
    "A process that has imported rlm, and forks a host for each run"
    def __init__(self): self.p = subprocess.Popen([sys.executable,'-c',nursery], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    def start(self, **m):
        self.p.stdin.write(json.dumps(m)+'\n')
        self.p.stdin.flush()
        return int(self.p.stdout.readline())
    def wait(self): assert self.p.stdout.readline()=='gone\n'
    def close(self):
        self.p.stdin.close()
        self.p.wait(20)

def settled(server):
    "How many requests have come, when none is open any more"
    n,same = -1,0
    while same<4:  # on a busy machine some are still on their way
        same = same+1 if n==len(server.requests) and not server._open else 0
        n = len(server.requests)
        time.sleep(.03)
    return n

def shells(pid):
    "The processes of confined shells below a process"
    def cmd(p):
        try: return open(f'/proc/{p}/cmdline').read()
        except OSError: return ''
    return [p for p in family(pid) if 'rlm.sandbox' in cmd(p)] if sys.platform=='linux' else []

def expected():
    with FakeServer(reply) as s:
        a = RLM('openai/fake', base_url=s.url)(QUESTION, TEXT)
        assert a.ok and len(s.requests)==N_ROOT+N_SUB and a.usage.by['sub'].calls==N_SUB, a
    return a

def test_killed_at_50_random_points(tmp_path):
    want,rnd,repeated = expected(),random.Random(7),[]
    nest = Nursery()
    try:
        for i in range(50):
            at,wait = rnd.randint(1, N_ROOT+N_SUB),rnd.choice([0,0,.001,.003,.008])
            pid,lock = [],threading.Event()
            def script(req):
                if req.n==at and not lock.is_set():
                    lock.set()
                    time.sleep(wait)
                    os.kill(pid[0], signal.SIGKILL)
                return reply(req)
            with FakeServer(script) as s:
                log = tmp_path/f'{i}.jsonl'
                pid.append(nest.start(url=s.url, log=str(log), question=QUESTION, text=TEXT))
                nest.wait()
                had = read_log(log)
                assert lock.is_set() and had
                paid,came = sum(isinstance(o,(RootReplied,SubReplied)) and not getattr(o,'error',None) for o in had),settled(s)
                a = RLM.resume(log)
                assert (a.answer,a.status,a.steps)==(want.answer,'answer',6), (i,at,a)
                for k in ('root','sub'):
                    u,w = a.usage.by[k],want.usage.by[k]
                    assert (u.calls,u.prompt_tokens,u.completion_tokens)==(w.calls,w.prompt_tokens,w.completion_tokens), (i,at,k)
                assert settled(s)==N_ROOT+N_SUB+came-paid and 0<=came-paid<=33, (i,at)
                repeated.append(came-paid)
                prompts = [json.dumps(o.messages) for o in s.requests]
                assert len(set(prompts))>=len(prompts)-(came-paid), (i,at)
        end = time.monotonic()+20
        while (left:=shells(nest.p.pid)) and time.monotonic()<end: time.sleep(.1)
        assert not left
    finally: nest.close()
    assert any(repeated) and max(repeated)<=33
