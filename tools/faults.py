"""Put every fault of tests/faults.py into a run, and write what became of it to nbs/faults.qmd.

    python tools/faults.py            write the page; takes a minute or two
    python tools/faults.py --check    fail if it would be another one
    python tools/faults.py --new      run only those that the page does not have yet

The tests do the same row by row, so the page cannot grow stale.
"""
import os,sys,tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT/'nbs'/'faults.qmd'
sys.path[:0] = [str(ROOT),str(ROOT/'tests')]
os.environ.setdefault('RLM_OFFLINE', '1')
from faults import ROWS,World,hardened,play

HEAD = """---
title: Faults
description: What can go wrong around a run, and what becomes of it
---

A provider fails, a model talks nonsense, the code that it writes does not end, a disk fills up, somebody presses Ctrl-C. Each line of this page is such a fault,
put into a real run: the real loop, the confined shell, and HTTP to a server on this machine that gives the replies and the faults. However a run ends, it gives the
right answer or a status that says what happened. It takes a bounded time, leaves no process, thread, descriptor or file behind but its log, and the log's last line
agrees with the `Answer`. The bill is the sum of what the server says it gave with the replies that arrived whole; a reply that was
on its way when its call was cancelled is not among them, though a provider may charge for it.

Each line is also a test. The provider's faults are tried both ways, directly and through litellm; Ctrl-C in a script and in a Jupyter kernel. A reply of the root model takes 110 tokens here, one of the sub-model 25,
so the last column can be checked by hand. `python tools/faults.py` runs all of it and writes this page.
"""

def end(name, row):
    "How a row ends: the same in all its variants"
    ends = set()
    for v in row.variants():
        if 'hardened' in v and not hardened(): continue
        with tempfile.TemporaryDirectory() as d: ends.add(play(row, World(d, *v)))
    if len(ends)>1: raise AssertionError(f'{name} ends in more than one way: {ends}')
    print(name, *ends, file=sys.stderr)
    return ends.pop()

def page(known=()):
    "The page; lines that are `known` are taken as they are"
    parts = dict.fromkeys(r.part for r in ROWS.values())
    def line(k, r): return next((o for o in known if o.startswith(r.line('').rstrip('| '))), None) or r.line(end(k, r))
    def rows(part): return [line(k, r) for k,r in ROWS.items() if r.part==part]
    return '\n'.join([HEAD, *[line for p in parts for line in (f'## {p}', '', '| Fault | What rlm does | The run ends as | Counted |', '|---|---|---|---|', *rows(p), '')]])

if __name__=='__main__':
    new = page(PAGE.read_text(encoding='utf-8').splitlines() if '--new' in sys.argv else ())
    if '--check' in sys.argv: sys.exit(PAGE.read_text(encoding='utf-8')!=new and f'{PAGE.name} is out of date: run tools/faults.py')
    PAGE.write_text(new, encoding='utf-8')
