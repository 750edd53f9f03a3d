"""How fast rlm is, beside bare clients and other packages of its kind, all measured in the same run.

Everything is asked of one OpenAI-compatible server on the loopback (speed/server.py) that follows a script and keeps the time of each request, so what is
measured is the package's own time: from the moment a reply was sent to the moment the next request came in. Each measurement is a process of its own
(speed/drive.py) and the packages take turns, so that a noisy machine is noisy for all of them. Figures are medians; start-up and import, which are only
fair with bytecode on disk, are the best of several, after one start that is not counted.

    python tools/speed.py                         rlm, the bare openai client and litellm
    python tools/speed.py --peers ~/rlm-peers     and the other packages, each in a virtual environment that is made there once (about 1 GB)
    python tools/speed.py --quick --only rlm      a smoke test of a few seconds
"""
import argparse,datetime,itertools,json,os,platform,statistics,subprocess,sys,threading,time,urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent/'speed'
PEERS = dict(rlms='rlms==0.1.3', minrlm='minrlm==0.1.5', recursive_llm='recursive-llm==0.5.0')
OURS = 'rlm','rlm_none','openai','litellm'
NAMES = dict(rlm='rlm', rlm_none='rlm, not confined', recursive_llm='recursive-llm')
FULL = dict(reps=5, few=3, steps=10, chars=1_000_000, subs=64, many=1000, delay=.05, pause=2., keepalive=1., batch=16, big=(100_000_000, 1_000_000_000), printed=20_000)
QUICK = dict(FULL, reps=1, few=1, steps=3, chars=50_000, subs=8, many=40, delay=.01, pause=.6, keepalive=.2, batch=4, big=(2_000_000,))

# ---- scripts: what the root says, in a form that each package's dialect is made of

END = dict(rlm='FINAL({})', minrlm='FINAL(str({}))', rlms='answer["content"] = str({})\nanswer["ready"] = True')
BATCH = dict(minrlm='sub_llm_batch([(p, "") for p in {}])')
def family(package): return 'rlm' if package in OURS else package

def ctx(package): return 'input_0' if package=='minrlm' else 'context'
def ask(package, p): return f'sub_llm({p})' if package=='minrlm' else f'llm_query({p})'
def batch(package, ps): return BATCH.get(package, 'llm_query_batched({})').format(ps)
def end(package, v): return END.get(family(package), END['rlms']).format(v)

def said(package, code, **kw):
    "A reply of the root in which it runs `code`"
    fence = dict(rlms='```repl\n{}\n```', recursive_llm='{}').get(package, '```python\n{}\n```')
    return dict(text=fence.format(code), code=code, **kw)

def steps(package, n, size=80):
    "`n` cells that print `size` characters each, and the answer"
    c = ctx(package)
    return [said(package, f'print({c}[{i*size}:{(i+1)*size}])') for i in range(n)] + [said(package, end(package, f'len({c})'))]

def subs(package, n, batched=True):
    "A cell that asks `n` sub-calls and counts the right replies"
    c = f'part = {ctx(package)}[:9]\n'
    got = batch(package, f'[f"[[sub:{{i}}]]" for i in range({n})]') if batched else f'[{ask(package, chr(102)+chr(34)+"[[sub:{i}]]"+chr(34))} for i in range({n})]'
    return [said(package, c+f'got = {got}\nright = sum([str(r).strip() == f"ok {{i}}" for i, r in enumerate(got)])\nprint(right)'), said(package, end(package, 'right'))]

def batches(package, k, n, pause):
    "`k` batches with a pause before each but the first"
    first,last = subs(package, n)
    first = said(package, 'total = 0\n'+first['code'].replace('print(right)', 'total = total + right\nprint(1, total)'))
    more = [said(package, first['code'].replace('total = 0\n','').replace('print(1,', f'print({i+2},'), delay=pause) for i in range(k-1)]
    return [first, *more, said(package, end(package, 'total'))]

# ---- the server, and one measurement

class Server:
    "The server's process"
    def __init__(self, keepalive=60):
        self.proc = subprocess.Popen([sys.executable, str(HERE/'server.py'), '--keepalive', str(keepalive)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url,self.n = f'http://127.0.0.1:{self.proc.stdout.readline().strip()}',itertools.count()
    def __enter__(self): return self
    def __exit__(self, *a): self.close()
    def close(self): self.proc.communicate()
    def call(self, path, data=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url+path, data and json.dumps(data).encode())) as r: return json.load(r)
    def script(self, root, **kw):
        "The address of a new run"
        name = f'r{next(self.n)}'
        self.call(f'/_run/{name}', dict(root=root, **kw))
        return f'{self.url}/{name}/v1'
    def log(self, url): return self.call('/_run/'+url.split('/')[3])

def environment(package):
    "Of a driver: no keys, no proxies, nothing from the network, bytecode on disk"
    drop = 'PYTHONDONTWRITEBYTECODE','PYTHONPATH','PYTHONSTARTUP'
    env = {k:v for k,v in os.environ.items() if k not in drop and not k.lower().endswith('_proxy') and not k.endswith('_API_KEY')}
    env |= dict(OPENAI_API_KEY='x', LITELLM_LOCAL_MODEL_COST_MAP='True', RLM_OFFLINE='1', NO_PROXY='*')
    return env | (dict(PYTHONPATH=str(HERE.parent.parent)) if package.startswith('rlm') and package!='rlms' else {})

class Failed(Exception): "A measurement that a package could not give, and why"

def drive(package, python, urls, watch=False, **job):
    "One process of a package; returns what it printed, when it was started, and its memory if `watch`"
    t = time.monotonic()
    p = subprocess.Popen([python, str(HERE/'drive.py'), package, json.dumps(dict(job, urls=urls, wait=watch))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(package), cwd='/')
    mem = None
    if watch:
        ready,mem = json.loads(p.stdout.readline() or '{}'),Memory(p.pid)
        mem.start()
        p.stdin.write('\n')
        p.stdin.flush()
    try: out,err = p.communicate(timeout=job.get('timeout', 300))
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        raise Failed(f'no end in {job.get("timeout", 300)} s') from None
    finally: mem and mem.stop()
    if p.returncode or not out.strip(): raise Failed((err.strip().split('\n') or ['?'])[-1][-200:])
    res = dict(json.loads(out.strip().split('\n')[-1]), started=t)
    if watch: res |= dict(rss=ready['rss'], chars=ready['chars'], memory=mem)
    for r in res['runs']:
        if r['error']: raise Failed(r['error'])
    return res

def within(log, run, who='root'): return [o for o in log if o['who']==who and run['start']<=o['t']<=run['end'] and 'sent' in o]
def gaps(rs): return [b['t']-a['sent'] for a,b in zip(rs, rs[1:])]

# ---- memory of a process and its children

def tree(pid):
    "Ids of a process and all below it"
    kids = {}
    for p in Path('/proc').glob('[0-9]*'):
        try: kids.setdefault(int(p.joinpath('stat').read_text().rsplit(')',1)[1].split()[1]), []).append(int(p.name))
        except (OSError,IndexError,ValueError): pass  # it has ended
    res = [pid]
    for o in res: res += kids.get(o, [])
    return res

def proc(pid, name, *keys):
    "Figures of /proc/PID/NAME in bytes; 0 where there are none"
    try: d = dict(l.split(':',1) for l in Path(f'/proc/{pid}/{name}').read_text().splitlines() if ':' in l)
    except OSError: d = {}
    return [int(d[k].split()[0])*1024 if k in d else 0 for k in keys]

class Memory(threading.Thread):
    "Watches a process and its children: the most that all held together (shared pages counted once), and the most of each"
    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid,self.most,self.each,self.done = pid,0,{},threading.Event()
    def run(self):
        while not self.done.wait(.03):
            pids = tree(self.pid)
            self.most = max(self.most, sum(proc(p, 'smaps_rollup', 'Pss')[0] or proc(p, 'status', 'VmRSS')[0] for p in pids))  # of a confined child, only root may read the first
            for p in pids: self.each[p] = max(self.each.get(p,0), proc(p, 'status', 'VmHWM')[0])
    def stop(self): self.done.set(); self.join()
    @property
    def child(self): return max((v for p,v in self.each.items() if p!=self.pid), default=None)

# ---- tasks: each gives rows to the figures of a package

class Bench:
    "What is measured, and where the figures go"
    def __init__(self, packages, cfg, out=print):
        self.packages,self.cfg,self.out,self.got,self.notes = packages,cfg,out,{},{}
    def put(self, row, package, v):
        if v is not None: self.got.setdefault(row, {}).setdefault(package, []).append(v)
    def fail(self, rows, package, why):
        for r in rows: self.notes.setdefault((r, package), why)
    def each(self, rows, f, reps=1, only=lambda p: True):
        "`f` for every package, in turn, `reps` times"
        for rep in range(reps):
            for package,python in self.packages.items():
                if not only(package): self.fail(rows, package, 'it is a client without a loop')
                elif (rows[0],package) not in self.notes or rep==0:
                    t = time.monotonic()
                    try: f(package, python, rep)
                    except Failed as e: self.fail(rows, package, str(e))
                    self.out(f'  {rows[0]}: {NAMES.get(package,package)} {rep+1}/{reps}, {time.monotonic()-t:.1f} s')

def has_loop(package): return package not in ('openai','litellm')

def start(b, srv):
    rows = ['start','import']
    def f(package, python, rep):
        url = srv.script(steps(package, 1))
        r = drive(package, python, [url])
        if rep: b.put('start', package, srv.log(url)[0]['t']-r['started']); b.put('import', package, r['imported'])
    b.each(rows, f, b.cfg['reps']+1)

def ten_steps(b, srv):
    rows,n = ['step','run'],b.cfg['steps']
    def f(package, python, rep):
        url = srv.script(steps(package, n))
        r,log = drive(package, python, [url]*4, chars=b.cfg['chars'], steps=n+1),srv.log(url)
        for run in r['runs'][1:]:
            rs = within(log, run)
            if len(rs)!=n+1: raise Failed(f'{len(rs)} requests instead of {n+1}; answer {run["answer"]!r:.100}')
            b.put('step', package, statistics.mean(gaps(rs)))
            if has_loop(package): b.put('run', package, run['end']-run['start']-sum(o['sent']-o['t'] for o in rs))
        if not has_loop(package): b.fail(['run'], package, 'it is a client without a loop')
    b.each(rows, f, b.cfg['few'])

def sub_calls(b, srv, row, n, batched, reps):
    def f(package, python, rep):
        if not has_loop(package): urls = [srv.script([], sub_delay=b.cfg['delay'])]*2
        else: urls = [srv.script(steps(package, 1)), srv.script(subs(package, n, batched), sub_delay=b.cfg['delay'])]
        r,log = drive(package, python, urls, subs=n, batched=batched),srv.log(urls[1])
        run = r['runs'][1]
        if run['answer']!=str(n): raise Failed(f'{run["answer"]!r:.80} of {n} right')
        b.put(row, package, gaps(within(log, run))[0] if has_loop(package) else run['end']-run['start'])
    b.each([row], f, reps)

def big(b, srv, chars, name):
    rows = [f'{name} {o}' for o in ('first','cell','tree','host','child')]
    def f(package, python, rep):
        url = srv.script(steps(package, 1))
        r,log = drive(package, python, [url], watch=True, chars=chars),srv.log(url)
        run,mem = r['runs'][0],r['memory']
        if run['answer']!=str(r['chars']): raise Failed(f'answer {run["answer"]!r:.80} instead of {r["chars"]}')
        for row,v in zip(rows, (log[0]['t']-run['start'], log[1]['t']-run['start'], mem.most-r['chars'], r['peak']-r['chars'], mem.child and mem.child-r['chars'])): b.put(row, package, v)
        if mem.child is None: b.fail(rows[-1:], package, 'it runs the code in the host process')
    b.each(rows, f, b.cfg['few'] if chars<=100_000_000 else 1, has_loop)

def prompt(body):
    "Tools and messages of a request, in the order in which providers read them; the messages as they were sent, but for the bracket that closes them"
    i = body.index('"messages":')+len('"messages":')
    i += body[i]==' '
    return json.dumps(json.loads(body).get('tools',[]))+body[i:json.JSONDecoder().raw_decode(body, i)[1]-1]

def cacheable(bodies):
    "Tokens of the requests at 4 characters each, the share of them (after the first) that a prompt cache can serve, and whether each request extends the last"
    texts = list(map(prompt, bodies))
    pairs = list(zip(texts, texts[1:]))
    served = sum(len(os.path.commonprefix(p)) for p in pairs)
    return sum(map(len, texts))/4, served/sum(len(b) for _,b in pairs), all(b.startswith(a) for a,b in pairs)

def prints(b, srv):
    n,rows = b.cfg['steps'],['tokens','share','extends']
    def f(package, python, rep):
        url = srv.script(steps(package, n, b.cfg['printed']), record=True)
        drive(package, python, [url], chars=b.cfg['printed']*(n+1))
        bodies = [o['body'] for o in srv.log(url)]
        if len(bodies)!=n+1: raise Failed(f'{len(bodies)} requests instead of {n+1}')
        for row,v in zip(rows, cacheable(bodies)): b.put(row, package, v)
    b.each(rows, f, only=has_loop)

def pauses(b):
    c = b.cfg
    def f(package, python, rep):
        url = srv.script(batches(package, 3, c['batch'], c['pause']))
        run,log = drive(package, python, [url])['runs'][0],srv.log(url)
        b.put('batches', package, float(run['answer'])/(3*c['batch']) if run['answer'].isdigit() else 0.)
        b.put('asked', package, sum(o['who']=='sub' for o in log)/(3*c['batch']))
    with Server(c['keepalive']) as srv: b.each(['batches','asked'], f, only=has_loop)

# ---- the table

def secs(v): return f'{v*1000:.1f} ms' if v<.1 else f'{v:.2f} s'
def mb(v): return f'{v/2**20:.0f} MB'
def share(v): return f'{v:.2f}'

def table_rows(c):
    "Row: key, what it is, how it is written, what is best ('low', 'high', 'all' of it, or only 'told'), and what it must keep to"
    size = {o:f'{o//1_000_000:,} MB' for o in c['big']}
    yield from [('step', f'own time a step, {c["steps"]} steps, {c["chars"]:,} characters', secs, 'low', None), ('run', f'own time of such a run, warm', secs, 'low', None),
        ('seq', f'{c["subs"]} sub-calls of {c["delay"]*1000:.0f} ms, one after the other', secs, 'low', None), ('batch', f'{c["subs"]} sub-calls of {c["delay"]*1000:.0f} ms, batched', secs, 'low', None),
        ('many', f'{c["many"]:,} sub-calls of {c["delay"]*1000:.0f} ms, batched', secs, 'low', None)]
    for n,s in size.items():
        yield from [(f'{s} first', f'{s}: to the first request', secs, 'low', 3.), (f'{s} cell', f'{s}: to the result of the first cell', secs, 'low', 3.),
            (f'{s} tree', f'{s}: peak of all processes, beyond one copy of the context', mb, 'told', None), (f'{s} host', f'{s}: peak of the host, beyond the context', mb, 'low', 64<<20), (f'{s} child', f'{s}: peak of the child, beyond the context', mb, 'low', 64<<20)]
    yield from [('import', 'import', secs, 'low', None), ('start', 'start of the process to the first request', secs, 'low', None),
        ('tokens', f'prompt tokens, {c["steps"]} steps that print {c["printed"]:,} characters each', lambda v: f'{v:,.0f}', 'told', None), ('share', 'share of them that a prompt cache can serve', share, 'high', None),
        ('extends', 'each request extends the last, byte for byte', lambda v: 'yes' if v else 'no', 'all', 1),
        ('batches', f'replies right in three batches, {c["pause"]:g} s apart, keep-alive {c["keepalive"]:g} s', share, 'all', 1), ('asked', 'requests for them, as a share of those needed', share, 'all', 1)]

def value(b, row, package):
    "The figure of a package: the median, or for start and import the best"
    vs = b.got.get(row, {}).get(package)
    return None if not vs else min(vs) if row in ('start','import') else statistics.median(vs)

LEVEL = .03 # two figures that differ by less are level: the same measurement, made twice, differs by as much

def ahead(kind, ours, peers, goal):
    "Whether rlm is ahead of the best peer and keeps to the goal"
    if ours is None: return '-'
    if kind=='all': return 'yes' if ours==goal else 'NO'
    if kind=='told' or not peers and goal is None: return ''
    if goal is not None and ours>goal: return 'NO'
    best = (min if kind=='low' else max)(peers) if peers else None
    if best is None or (ours<best if kind=='low' else ours>best): return 'yes'
    return 'level' if abs(ours/best-1)<=LEVEL else 'NO'

REMARKS = dict(
    seq='nearly all of it is the time of the model',
    tokens='how much of what a cell prints is shown to the model: rlm 5,000 characters, rlms 20,000, minrlm and recursive-llm 2,000',
    share='grows with what is sent again each time: the first request of minrlm has 19,000 characters, that of rlm 3,000')

def grid(b, main='rlm'):
    "The table as lists of text, and the footnotes"
    cols,notes,lines = list(b.packages),{},[]
    for key,what,fmt,kind,goal in table_rows(b.cfg):
        vals = {p:value(b, key, p) for p in cols}
        if all(v is None for v in vals.values()): continue
        def cell(p):
            if vals[p] is None: return f'- [{notes.setdefault(b.notes.get((key,p),"not measured"), len(notes)+1)}]'
            more = f' (x{vals[p]/vals[main]:.2g})' if kind in ('low','told') and p!=main and vals.get(main) and vals[main]>0 else ''
            return fmt(vals[p])+more
        lines.append([what+(f' [{notes.setdefault(REMARKS[key], len(notes)+1)}]' if key in REMARKS else ''), *map(cell, cols), ahead(kind, vals.get(main), [vals[p] for p in PEERS if vals.get(p) is not None], goal)])
    return [['', *(NAMES.get(p,p) for p in cols), 'ahead?'], *lines], {i:w for w,i in notes.items()}

def machine():
    cpu = next((l.split(':',1)[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), platform.processor())
    return f'{os.cpu_count()} cores ({cpu}), {os.sysconf("SC_PAGE_SIZE")*os.sysconf("SC_PHYS_PAGES")/2**30:.0f} GB, {platform.system()} {platform.release()}, Python {platform.python_version()}'

def versions(b):
    from importlib.metadata import version,PackageNotFoundError
    def known(o):
        try: return [f'{o} {version(o)}']
        except PackageNotFoundError: return []
    mine = sum(map(known, ('rlm','openai','litellm','aiohttp','ipython')), [])
    return ', '.join(mine+[PEERS[p].replace('==',' ') for p in b.packages if p in PEERS])

def show(b):
    "The table for a terminal"
    rows,notes = grid(b)
    w = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return '\n'.join(['  '.join(c.ljust(n) for c,n in zip(r,w)).rstrip() for r in rows]+['']+[f'[{i}] {n}' for i,n in notes.items()])

PAGE = """---
title: Speed and memory
description: What rlm takes beside what the models take
---

A run waits for models most of its time. This page is about the rest: what rlm itself takes, beside two clients that only make the calls and three other packages of
its kind. The model is a server on the same machine that answers at once, or after as long as it is told, so that nothing else is left in the figures. All are
measured in one run of one command, in turn, so that what disturbs one disturbs all: `{command}` writes this page anew. A ratio in brackets is to the figure of rlm.
rlm runs the code of the model in a confined process, as it does by default. rlms and minrlm run it in the process that calls them, recursive-llm in a child that
restricts the language.

Measured on {date} on {machine}, other work on the machine when it began: load {load:.1f}. {versions}.

"""

def markdown(b):
    "The page of the docs"
    rows,notes = grid(b)
    bar = lambda r: '| '+' | '.join(r)+' |'
    return PAGE.format(command=b.command, date=datetime.date.today(), machine=machine(), versions=versions(b), load=b.load)+'\n'.join([bar(rows[0]), bar(['---']*len(rows[0])), *map(bar, rows[1:]), '']+[f'{i}. {n}' for i,n in notes.items()])+'\n'

# ---- the command

def make_peers(folder, names, out):
    "The interpreter of each peer, in a virtual environment of its own"
    res = {}
    for k in names:
        d,py = folder/k,folder/k/'bin'/'python'
        if not py.exists():
            out(f'  making {d} with {PEERS[k]}')
            subprocess.run([sys.executable, '-m', 'venv', str(d)], check=True)
        if subprocess.run([py, '-c', f'import importlib.metadata as m; assert m.version({PEERS[k].split("==")[0]!r})=={PEERS[k].split("==")[1]!r}'], capture_output=True).returncode:
            subprocess.run([py, '-m', 'pip', 'install', '-q', PEERS[k]], check=True, env=environment(k), stdout=subprocess.DEVNULL)
        res[k] = str(py)
    return res

def measure(b, only=None):
    "All tasks"
    c = b.cfg
    with Server() as srv:
        tasks = dict(start=lambda: start(b, srv), steps=lambda: ten_steps(b, srv), seq=lambda: sub_calls(b, srv, 'seq', c['subs'], False, c['few']), batch=lambda: sub_calls(b, srv, 'batch', c['subs'], True, c['few']),
            many=lambda: sub_calls(b, srv, 'many', c['many'], True, c['few']), prints=lambda: prints(b, srv), pauses=lambda: pauses(b), big=lambda: [big(b, srv, n, f'{n//1_000_000:,} MB') for n in c['big']])
        for k,f in tasks.items():
            if not only or k in only: f()

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--peers', type=Path, help='folder of the virtual environments of the other packages; made where missing')
    p.add_argument('--only', nargs='+', help=f'packages, of {", ".join((*OURS,*PEERS))}')
    p.add_argument('--tasks', nargs='+', help='of start steps seq batch many prints pauses big')
    p.add_argument('--quick', action='store_true', help='small sizes, once each')
    p.add_argument('--json', type=Path, help='all samples'); p.add_argument('--markdown', type=Path, help='the table for the docs')
    a = p.parse_args()
    out = lambda s: print(s, file=sys.stderr, flush=True)
    want = a.only or [*OURS, *PEERS]
    peers = make_peers(a.peers.expanduser().resolve(), [k for k in PEERS if k in want], out) if a.peers else {}
    b = Bench({**{k:sys.executable for k in OURS if k in want}, **peers}, QUICK if a.quick else FULL, out)
    b.command = 'python tools/speed.py'+(' --quick' if a.quick else '')+(' --peers DIR' if a.peers else '')+' --markdown nbs/speed.qmd'
    b.load = os.getloadavg()[0]
    measure(b, a.tasks)
    print(show(b))
    if not a.peers and not a.only: print(f'\nNot measured: {", ".join(o.replace("=="," ") for o in PEERS.values())}. --peers DIR installs them into virtual environments below DIR and measures them too.')
    if a.json: a.json.write_text(json.dumps(dict(machine=machine(), versions=versions(b), date=str(datetime.date.today()), settings=b.cfg, samples=b.got, notes=[[*k,v] for k,v in b.notes.items()]), indent=1))
    if a.markdown: a.markdown.write_text(markdown(b))

if __name__=='__main__': main()
