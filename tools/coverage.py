"""How long it takes to say where an answer came from: citations and coverage of a large context, for runs that read little and runs that read all of it.

The context is made up of words of a made-up vocabulary, with line breaks, from a seed. Each row is measured once; the memory is the most that Python's allocator held beyond
context and prompts, in a second pass, as measuring it takes time.

    python tools/coverage.py             100 MB
    python tools/coverage.py --mb 10
"""
import argparse,os,platform,random,time,tracemalloc
from rlm.events import CodeRan,RootReplied,RunStarted,SubReplied
from rlm.provenance import check

def text(n, seed=0):
    "`n` characters of words in lines"
    r = random.Random(seed)
    words = [''.join(r.choices('etaoinshrdlucmfwypvbgkjqxz', [12,9,8,7.5,7,6.7,6.3,6,5.9,4.2,4,2.8,2.7,2.4,2.2,2.3,2,2,1.9,1,1.5,.8,.15,.1,.15,.07], k=r.choice([2,3,3,4,4,5,6,7,8,9]))) for _ in range(30_000)]
    res,size = [],0
    while size<n:
        res.append(' '.join(r.choices(words, k=12))+'\n')
        size += len(res[-1])
    return ''.join(res)[:n]

def events(root, subs):
    "A run whose root was shown some texts, and whose sub-models were given some"
    res = [RunStarted(messages=[dict(role='user', content='Question')]), RootReplied()]
    for o in root: res += [CodeRan(text=o), RootReplied()]
    return res+[SubReplied(prompt='What is said of the ferry?\n'+o, content='Nothing.') for o in subs]

def runs(ctx, seed=1):
    "Runs that read more and more, and what they quote"
    r = random.Random(seed)
    def cuts(k, n): return [ctx[i:i+n] for i in (r.randrange(len(ctx)-n) for _ in range(k))]
    there = [' '.join(ctx[i:i+100].split()[1:-1]) for i in (r.randrange(len(ctx)-100) for _ in range(5))]
    false = [' '.join('zebra' if i==5 else w for i,w in enumerate(o.split())) for o in there]
    size = min(40_000, len(ctx)//4)
    yield 'root shown 20 outputs of 2,000', events(cuts(20,min(2000,size)), []), []
    yield 'the same, and 5 quotes that are there', events(cuts(20,min(2000,size)), []), there
    yield 'the same, and 5 that are not', events(cuts(20,min(2000,size)), []), false
    yield 'an output of 10,000 numbered lines of 70', events(['\n'.join(f'{i}: {o}' for i,o in enumerate(cuts(10_000,70)))], []), []
    yield 'sub-models given 1,000 pieces of 10,000', events([], cuts(1000,min(10_000,size))), []
    whole = [ctx[i:i+size] for i in range(0, len(ctx), size)]
    yield 'sub-models given all of it, in order', events([], whole), []
    yield 'sub-models given all of it, shuffled', events([], r.sample(whole, len(whole))), []

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--mb', type=float, default=100, help='millions of characters of the context (default: 100)')
    args = p.parse_args()
    ctx = text(int(args.mb*1e6))
    load = f', load {os.getloadavg()[0]:.1f}' if hasattr(os,'getloadavg') else ''
    print(f'{len(ctx):,} characters; Python {platform.python_version()}, {os.cpu_count()} cores{load}\n\n| run | characters of prompts | read | seconds | memory |\n| --- | ---: | ---: | ---: | ---: |')
    for name,evs,quotes in runs(ctx):
        t = time.perf_counter()
        cites,cov = check(None, evs, ctx, quotes)
        t = time.perf_counter()-t
        tracemalloc.start()
        check(None, evs, ctx, quotes)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        n = sum(len(getattr(o,'text','') or getattr(o,'prompt','')) for o in evs)
        print(f'| {name}{f" ({sum(o.found for o in cites)} found)" if quotes else ""} | {n:,} | {cov.read/cov.chars:.2%} | {t:.1f} | {peak/1e6:,.0f} MB |', flush=True)

if __name__=='__main__': main()
