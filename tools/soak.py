"""Thousands of runs in one process, and what they leave behind.

Runs in real confined shells, some at a time: each looks at its context, asks sub-calls in a batch, and answers. Every second one asks a server on the
loopback, the others a scripted model. One in ten ends otherwise: an error of the provider, a cell that runs into its time-out, a child that dies, a stop
from outside, a reader that goes away. Every `--every` runs it waits until none is at work and prints the memory, file descriptors and threads of this
process and of the fork server. It fails if they grow.

    python tools/soak.py [--runs 2000] [--at-once 8] [--every 200]
"""
import argparse,gc,os,sys,threading,time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from speed import Server,said

os.environ['RLM_OFFLINE'] = '1'

def status(pid, key):
    try: return next(int(l.split()[1]) for l in Path(f'/proc/{pid}/status').read_text().splitlines() if l.startswith(key+':'))
    except (OSError,StopIteration): return 0

def fds(pid): return len(os.listdir(f'/proc/{pid}/fd'))

def children(pid):
    "Processes whose parent is `pid`, zombies too"
    res = []
    for p in Path('/proc').glob('[0-9]*'):
        try: st = p.joinpath('stat').read_text().rsplit(')',1)[1].split()
        except OSError: continue
        if int(st[1])==pid: res.append(int(p.name))
    return res

def held()->dict:
    "What this process and its fork server hold"
    from rlm import sandbox
    gc.collect()
    srv,me = sandbox.fork_server().proc.pid,os.getpid()
    return dict(rss=status(me,'VmRSS')/1024, fds=fds(me), threads=status(me,'Threads'), server_rss=status(srv,'VmRSS')/1024, server_fds=fds(srv), shells=len(children(srv)), others=len(children(me)))

CELL = 'part = context[{i}:{i}+2000]\nreplies = llm_query_batched([f"{{part}} {{k}}" for k in range(4)])\nprint(len(part), replies[0][:20], "x"*3000)'
WAYS = 'error','timeout','dies','stop','leave'

def replies(i, way):
    "What the root says in run `i`"
    from rlm.lm import LMError
    fence = '```python\n{}\n```'.format
    yield fence(CELL.format(i=i%1000))
    if way=='error': yield LMError('auth','no such key')
    if way=='timeout': yield fence('len(context)\nwhile True: pass')
    if way=='dies': yield fence('len(context)\nimport os\nos._exit(3)')
    if way in ('stop','leave'): yield fence('len(context)\nimport time\ntime.sleep(30)')
    yield fence(f'FINAL(len(context)+{i})')

def make(i, way, url):
    "What answers run `i`"
    from rlm import RLM
    from rlm.lm import ScriptedLM
    if not way and i%2: return RLM('openai/gpt-5-mini', base_url=url, api_key='x')
    return RLM(ScriptedLM(replies(i, way)), ScriptedLM(lambda ms: f'read {len(ms[0]["content"])} characters'), cell_timeout=.3 if way=='timeout' else 60)

def one(i, way, ctx, url):
    "Run `i`; returns whether it ended as it should"
    run = make(i, way, url).run('[[root]] How long is it?', ctx)
    if way=='stop': threading.Timer(.5, run.stop).start()
    with run.sh:
        for ev in (evs:=run.play()):
            if way=='leave' and type(ev).__name__=='CodeStarted' and ev.step==2: break
        evs.close()
    a = run.result()
    want = dict(error='error', stop='interrupted', leave='interrupted').get(way, 'answer')
    if a.status!=want or (want=='answer' and a.answer not in (len(ctx),len(ctx)+i)): print(f'run {i} ({way or "plain"}): {a!r}', file=sys.stderr, flush=True); return False
    return True

def settle(pred, seconds=10):
    "Wait until `pred` holds"
    end = time.monotonic()+seconds
    while not pred() and time.monotonic()<end: time.sleep(.05)

def soak(runs:int, at_once:int=8, every:int=200, one_in:int=10, say=print):
    "The samples, and how many runs ended as they should"
    ctx,rows,good,t0 = 'The ferry left at nine with forty passengers and came back in the fog.\n'*1500,[],0,time.monotonic()
    names = 'rss','fds','threads','server_rss','server_fds','shells','others'
    say(f'{"runs":>6} {"seconds":>8} '+' '.join(f'{k:>10}' for k in names))
    srv = Server(keepalive=.5)  # so that between samples its connections end
    url = srv.script([said('rlm', CELL.format(i=0)), said('rlm', 'FINAL(len(context))')])
    def run(i): return one(i, WAYS[i//one_in%len(WAYS)] if i%one_in==one_in-1 else '', ctx, url)
    for lo in range(0, runs, every):
        with ThreadPoolExecutor(at_once) as ex: good += sum(ex.map(run, range(lo, min(lo+every, runs))))
        time.sleep(.6)
        settle(lambda: (now:=held())['shells']==0 and (not rows or all(now[k]<=rows[0][k] for k in ('fds','threads'))), 5)
        rows.append(held())
        say(f'{min(lo+every,runs):>6} {time.monotonic()-t0:>8.1f} '+' '.join(f'{rows[-1][k]:>10.{1 if "rss" in k else 0}f}' for k in names))
    srv.close()
    return rows,good

def growth(rows)->list:
    "What is not flat: descriptors, threads and processes to the last one; memory, once it has settled in the first half, to a tenth"
    a,b,half = rows[0],rows[-1],rows[len(rows)//2:]
    res = [f'{k}: {a[k]} -> {b[k]}' for k in ('fds','threads','server_fds','others') if b[k]>a[k]]
    if b['shells']: res.append(f'{b["shells"]} shells are left')
    return res+[f'{k}: {half[0][k]:.1f} -> {b[k]:.1f} MB' for k in ('rss','server_rss') if b[k]>1.1*half[0][k]]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--runs', type=int, default=2000); p.add_argument('--at-once', type=int, default=8); p.add_argument('--every', type=int, default=200)
    a = p.parse_args()
    rows,good = soak(a.runs, a.at_once, a.every)
    bad = growth(rows)+([f'{a.runs-good} runs did not end as they should'] if good<a.runs else [])
    print('flat' if not bad else 'NOT FLAT: '+'; '.join(bad))
    return 1 if bad else 0

if __name__=='__main__': sys.exit(main())
