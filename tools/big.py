"""Make a text of many gigabytes, open it, work with it in a confined shell, and print what that took.

    python tools/big.py                  # 10 GB in the folder for temporary files, removed afterwards
    python tools/big.py --gb 1 --dir /data
"""
import argparse,os,resource,shutil,sys,tempfile,time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from rlm.bigtext import open_text
from rlm.context import ContextError,fingerprint
from rlm.sandbox import make_shell
from rlm.scan import scan

def block():
    "About a megabyte of a log, one character in fifty of more than one byte"
    return ''.join(f'{i//3600:02}:{i//60%60:02}:{i%60:02} worker-{i%7} handled request {i*7919%100_000:05} for Zoë – {i%900} ms\n' for i in range(17_000))

MARK = 'ERROR out of connections: pool "größe 50" exhausted 🔥\n'

def make(path, size):
    "Copies of the block, the mark after half of them, and another text at the end; returns what is known of it"
    one,end = block(),'the very end – Ende\n'
    n = max(size//len(one.encode()), 2)
    with open(path, 'wb') as f:
        raw = one.encode()
        for i in range(n):
            if i==n//2: f.write(MARK.encode())
            f.write(raw)
        f.write(end.encode())
    return dict(chars=len(one)*n+len(MARK)+len(end), mark=len(one)*(n//2), n=n, lines=one.count('\n')*n+2, one=one)

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024

def timed(what, f):
    t = time.perf_counter()
    try: return f()
    finally: print(f'{what:<66} {time.perf_counter()-t:6.1f} s', flush=True)

def main(gb, folder):
    free = shutil.disk_usage(folder).free
    if free<(gb*1.05)*1e9: sys.exit(f'{folder} has {free/1e9:.0f} GB free, too little for a file of {gb:g} GB')
    path = Path(folder)/f'rlm-big-{os.getpid()}.log'
    try: work(path, int(gb*1e9))
    finally: path.unlink(missing_ok=True)

def work(path, size):
    know = timed(f'write {size/1e9:g} GB', lambda: make(path, size))
    before = peak()
    t = timed('open it: check every byte, make the index', lambda: open_text(path))
    assert (t.n_chars,t.n_lines)==(know['chars'],know['lines']), 'the length is not exact'
    m = know['mark']
    timed('fingerprint', lambda: fingerprint(t))
    assert timed('scan for words in the host', lambda: scan(t, 'exhausted connections pool', 1))[0].text.count(MARK[:20])==1
    print(f'host: {size/1e9:g} GB, index of {len(t.starts)*16/1e6:.1f} MB, peak memory {peak():.0f} MB ({before:.0f} MB before)')
    with make_shell('auto', cell_timeout=3600) as sh:
        sh.stage('context', t)
        def cell(code, want):
            r = timed(f'cell: {code}', lambda: sh.run_cell(code))
            assert r.value==repr(want), r.text[:500]
        cell('len(context)', know['chars'])
        cell('context[-20:-1]', 'the very end – Ende')
        cell(f'context[{m}:{m+24}]', MARK[:24])
        cell("context.find('ERROR')", m)
        cell("context.search(r'pool \"größe (\\d+)\"').span(1)", (m+MARK.index('50'), m+MARK.index('50')+2))
        cell("context.count('Zoë')", know['one'].count('Zoë')*know['n'])
        cell("sum(1 for m in context.finditer(r'worker-3 .* (8\\d\\d) ms'))", sum(1 for l in know['one'].splitlines() if 'worker-3' in l and int(l.split()[-2]) in range(800,900))*know['n'])
        cell("sum(1 for line in context.lines())", know['lines'])
        cell("sum(len(piece) for _,piece in context.chunks(1_000_000))", know['chars'])
        r = sh.run_cell("next(o for o in open('/proc/self/status') if o.startswith('VmHWM')).split()[1]") if sys.platform=='linux' else None
        if r and r.value: print(f'child ({sh.isolation}): peak memory {int(r.value.strip(chr(39)))/1024:.0f} MB')
    t.close()
    at = (size//2)//100*100
    with open(path, 'r+b') as f: f.seek(at); f.write(b'\xff')
    try: timed(f'a byte that is no UTF-8 at {at:,}', lambda: open_text(path))
    except ContextError as e: print('  ', str(e).replace(str(path), 'FILE'))
    print(f'host: peak memory {peak():.0f} MB')

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--gb', type=float, default=10.)
    p.add_argument('--dir', default=tempfile.gettempdir())
    args = p.parse_args()
    main(args.gb, args.dir)
