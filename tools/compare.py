"""The page nbs/comparison.qmd and its figures, from the records in nbs/recorded/bench; and those records from the folder of a benchmark, and back.

    python tools/compare.py                         write the page; what it says at its head is in nbs/_comparison.md, by hand
    python tools/compare.py --draft DIR [--sets OUT...]   write it to DIR, before that text is there; from other folders if some are given
    python tools/compare.py --check                 fail if it would be another one
    python tools/compare.py --collect OUT NAME      put the records of the benchmark in OUT into nbs/recorded/bench/NAME, without logs
    python tools/compare.py --restore NAME DIR      make a folder of them again, with which `rlm bench --out DIR` goes on
    python tools/compare.py --run OUT               do again all that the records hold, in OUT/NAME (days, with the local model on two cores)

The sets `before`, `rawlabels`, `nosearch` and `meaning`, if they are there, hold runs by older prompts, with labels as a small model gives them, without `search` and with search by meaning: they are shown only beside those of the other sets on the same questions. Needs `pip install '.[bench]'`.
"""
import argparse,json,os,shlex,shutil,sys
from inspect import signature
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from rlm.benchmarks import Setup
from rlm.figures import pictures,score_by_cost,score_by_length
from rlm.stats import spread
from rlm.suite import TASKS
from rlm.tables import Results,Table,groups,is_trivial,read_records,read_results,show_value,usage_part

DOCS = ROOT/'nbs'
SETS,READING,PAGE = DOCS/'recorded'/'bench',DOCS/'_comparison.md',DOCS/'comparison.qmd'
CUT = 2000     # characters of a prediction, a right answer or an error that a collected record keeps
N = 160        # questions a point that show a difference of ten points four times in five
PRICES = {'GPT-5':(1.25,10.), 'GPT-5 mini':(.25,2.)}   # list prices, dollars per million tokens in and out
LOCAL_WINDOW = 32768
ASIDE = dict(   # sets that are shown only beside the others: title, name of the figure, what they are
    nosearch=('With search and without', 'search', 'The set `nosearch` was made without `search` in the shell (`--no-search`), and with examples that do without it; all else is the same.'),
    meaning=('Search by meaning', 'meaning', 'The set `meaning` was made with an embedding model for `retrieve` and for the `search` of recursive runs, all-MiniLM-L6-v2 behind a server of its own (`OPENAI_BASE_URL`); all else is the same.'),
    rawlabels=('Labels as they are given', 'labels', 'The set `rawlabels` was made with labels as the model gives them; in the others, what it leans to is taken off (`08b_mapping`). All else is the same.'),
    before=('Before and after', 'before_after', 'The set `before` was made with the prompts as they were before the tasks showed where they are weak; all else is the same. The questions are of seeds that were not used to change the prompts.'))

# --- records

def load_setup(d): return json.loads((Path(d)/'suite.json').read_text(encoding='utf-8'))

def compact(r:dict)->dict:
    "A record without its log, and with its long texts cut; `cut` says how long they were"
    text = {k:v if isinstance(v:=r.get(k), str) else json.dumps(v) for k in ('prediction','gold','error','meta')}
    long = {k:len(v) for k,v in text.items() if len(v)>CUT}
    return {**r, 'log':None, **{k:text[k][:CUT] if k!='meta' else {} for k in long}, **({'cut':{**long, **r.get('cut',{})}} if long else {})}

def collect(out, name, note='', sets=SETS)->Path:
    "Put the records of a benchmark among the committed ones"
    out,to = Path(out).expanduser(),Path(sets)/name
    rs,notes = read_records(out)
    lines = [json.dumps(compact(r), ensure_ascii=False)+'\n' for r in rs]
    private = f'{out.resolve()}',f'{ROOT}/',f'{Path.home()}/'
    if bad:=[l for l in lines if any(o in l for o in private)]: raise SystemExit(f'{len(bad)} records name a folder of this machine; the first: {bad[0][:300]}')
    to.mkdir(parents=True, exist_ok=True)
    (to/'records.jsonl').write_text(''.join(lines), encoding='utf-8', newline='\n')
    (to/'suite.json').write_text(json.dumps({**load_setup(out), **({'note':note} if note else {})}, indent=1)+'\n', encoding='utf-8', newline='\n')
    print(f'{to}: {len(rs):,} records, {sum(map(len,lines)):,} characters', *notes, file=sys.stderr)
    return to

def restore(name, to, sets=SETS)->Path:
    "Make a folder with which a benchmark can go on"
    src,to = Path(sets)/name,Path(to).expanduser()
    if not src.is_dir(): raise SystemExit(f'there is no set {name!r}; there are: {", ".join(found(sets)) or "none"}')
    if to.exists() and any(to.iterdir()): raise SystemExit(f'{to} is not empty')
    return Path(shutil.copytree(src, to, dirs_exist_ok=True))

def found(sets=SETS)->dict:
    "Folder of each committed set, by its name"
    return {p.parent.name:p.parent for p in sorted(Path(sets).glob('*/records.jsonl'))}

# --- commands

def length_text(l): return f'{l//1024}K' if l%1024==0 else str(l)

def _trivials(arms, tasks):
    "All trivial arms of the tasks by their common name"
    every = {f'trivial:{k}' for t in tasks if t in TASKS for k in TASKS[t].trivial}
    return [a for a in arms if not is_trivial(a)]+(['trivial'] if every and every<={*arms} else [a for a in arms if is_trivial(a)])

def merged(runs)->list:
    "Calls that did parts of the same, as few calls: first their lengths together, then their arms"
    runs = [{**r, 'arms':_trivials(r['arms'], r['tasks'])} for r in runs]
    for k in ('lengths','arms'):
        gs = {}
        for r in runs: gs.setdefault(json.dumps({o:v for o,v in r.items() if o!=k}), []).append(r)
        runs = [{**g[0], k:sorted(dict.fromkeys(v for r in g for v in r[k])) if k=='lengths' else [*dict.fromkeys(v for r in g for v in r[k])]} for g in gs.values()]
    part = lambda a,b: a is not b and a['n']==b['n'] and a['seed']==b['seed'] and a.get('official')==b.get('official') and all({*a[k]}<={*b[k]} for k in ('tasks','lengths','arms'))
    return [r for i,r in enumerate(runs) if not any(part(r,o) and not (part(o,r) and i<j) for j,o in enumerate(runs))]

def options(setup:dict)->list:
    "The settings of a setup that are not the usual ones, as options of `rlm bench`"
    usual = {k:p.default for k,p in signature(Setup).parameters.items()}
    own = {k:v for k,v in {**setup.get('settings',{}), **setup.get('rlm_settings',{})}.items() if v is not None and v!=usual.get(k)}
    own = {'run_cost' if k=='max_cost' else k:v for k,v in own.items()}
    return ['--model', setup['model'], *(['--sub-model', setup['sub_model']] if setup.get('sub_model')!=setup['model'] else []), *(o for k,v in own.items() for o in ([f'--{k}', v['model']] if k=='embeddings' else [f'--{"" if v else "no-"}{k}'] if isinstance(v,bool) else [f'--{k.replace("_","-")}', str(v)]))]

def commands(setup:dict, out:str, **over)->list: # Of lists of arguments
    "The calls of `rlm bench` that a set came from"
    runs = [{**r, **{k:v for k,v in over.items() if v}} for r in setup['runs']]
    return [['bench', *r['tasks'], *options(setup), '--arms', ','.join(r['arms']), '--lengths', ','.join(map(length_text, r['lengths'])), '--n', str(r['n']), '--seed', str(r['seed']),
             *(['--official'] if r.get('official') else []), '--out', out] for r in merged(runs)]

def environment(setup)->dict: return {'RLM_WINDOW':str(setup['context_window'])} if setup['model'].startswith('local') and setup.get('context_window') not in (None,LOCAL_WINDOW) else {}

def shell_line(setup, args): return ' '.join([*(f'{k}={v}' for k,v in environment(setup).items()), 'rlm', shlex.join(args)])

def run(out, names=(), sets=SETS, **over)->int:
    "Do again what the sets hold"
    from rlm.cli import main
    for name,d in found(sets).items():
        if name not in names if names else name in ASIDE: continue
        setup = load_setup(d)
        os.environ.update(environment(setup))
        for args in commands(setup, str(Path(out)/name), **over):
            print(f'$ {shell_line(setup, args)}', file=sys.stderr)
            if rc:=main(args): return rc
    return 0

# --- tables

def as_one(res:Results)->Results:
    "All tasks together"
    return Results([{**r, 'task':'all tasks'} for r in [*res.records, *res.void]], res.out, (), res.windows, res.dirs)

def focal(res)->list:
    "The arms that the others are compared with"
    return [a for a in res.arms if next(r.get('base_arm') or a for r in res if r['arm']==a) in ('rlm','rlm1')]

def span(lo, hi): return '–' if lo is None else f'[{lo:+.2f}, {hi:+.2f}]'

def pair_row(r:dict)->dict:
    return dict(task=r['task'], length=r['length'], a=r['arm_a'], b=r['arm_b'], n=r['n'], contexts=r['clusters'], score_a=show_value('score',r['mean_a']), score_b=show_value('score',r['mean_b']), diff=r['diff'],
        interval=span(r['low'],r['high']), wins=r['wins'], losses=r['losses'], ties=r['ties'])

def pair_tables(res, pairs)->list: # Of Markdown
    "Pairs of arms: all tasks together, each task, and each length of each task in a box that opens"
    one = [r for a,b in pairs for r in as_one(res).pairs(a,b)]
    each = [r for a,b in pairs for r in res.pairs(a,b)]
    last = {(r['task'],r['arm_a'],r['arm_b']):r for r in each}   # the last of each has all lengths
    at = lambda r: (r['task'], pairs.index((r['arm_a'],r['arm_b'])))
    md = lambda rs: Table(map(pair_row, rs)).to_markdown()
    return ['All tasks together:', '', md(one), 'By task, all lengths together:', '', md(sorted(last.values(), key=at)), *folded('By task and length', md(sorted(each, key=at)))]

def folded(title, text): return [f'::: {{.callout-note collapse="true" title="{title}"}}', '', text, ':::', '']

def cost_table(res)->Table:
    "What a question took, by length and arm, in means; seconds as the median"
    gs,at = groups((r for r in res if not is_trivial(r['arm'])), 'length', 'arm'),res.arms.index
    mean = lambda rs,role,k: round(sum(usage_part(r,role,k) for r in rs)/len(rs))
    return Table({'length':l, 'arm':a, 'n':len(rs), 'score':sum(r['score'] for r in rs)/len(rs), 'root in':mean(rs,'root','prompt_tokens'), 'of them cached':mean(rs,'root','cached_tokens'), 'root out':mean(rs,'root','completion_tokens'),
        'sub in':mean(rs,'sub','prompt_tokens'), 'sub out':mean(rs,'sub','completion_tokens'), 'calls':round(sum(r['usage']['calls'] for r in rs)/len(rs),1), 'seconds':round(spread([r['seconds'] for r in rs])['p50'],1)}
        for (l,a),rs in sorted(gs.items(), key=lambda o: (o[0][0],at(o[0][1]))))

def score_tables(res)->list:
    "A table for each task, with the trivial answers that it has"
    return [o for t in res.tasks for o in (f'### {t}', '', Table({k:v for k,v in r.items() if k!='task'} for r in res.where(task=t).score_table()).to_markdown())]

def set_row(name, setup, rs)->dict:
    "What a set is made of"
    vs = lambda k: ', '.join(sorted({str(r[k]) for r in rs if r.get(k)}))
    real = [r for r in rs if not is_trivial(r['arm'])]
    model = setup['model']+(f' + {setup["sub_model"]}' if setup.get('sub_model')!=setup['model'] else '')
    return dict(set=name, model=model, window=setup.get('context_window'), questions=len({r['id'] for r in rs}), seed=', '.join(sorted({str(r['seed']) for r in rs})), arms=', '.join(sorted({r['base_arm'] for r in real})), runs=len(real),
        hours=round(sum(r['seconds'] or 0 for r in real)/3600,1), tokens_in=sum(r['usage']['prompt_tokens'] for r in real), tokens_out=sum(r['usage']['completion_tokens'] for r in real), rlm=vs('rlm'), python=vs('python'), note=setup.get('note',''))

# --- what more would take

def needed_table(res)->Table:
    "How many paired questions each task would need"
    last = {(r['task'],r['arm_b']):r for a in focal(res)[:1] for r in [*as_one(res).pairs(a), *res.pairs(a)]+[o for b in res.arms if b!=a and not is_trivial(b) for o in [*as_one(res).pairs(a,b), *res.pairs(a,b)]]}
    return Table({'task':t, 'asked':' to '.join(f'{o:,}' for o in sorted({min(r['n'] for r in rs),max(r['n'] for r in rs)})), 'needed':' to '.join(f'{o:,}' for o in sorted({min(r['needed'] for r in rs),max(r['needed'] for r in rs)}))} for (t,),rs in groups(last.values(),'task').items())

def tokens_of(r)->tuple:
    "Tokens in and out of a record; a context that did not fit counts as read once, as a model that takes it would"
    u = r['usage']
    return (u['prompt_tokens'] or r['length'] if r.get('error_kind')=='context' else u['prompt_tokens']),u['completion_tokens']

def budget_table(res, prices=PRICES, n=N)->Table:
    "Tokens and dollars of `n` questions at each point that an arm was measured at"
    rows = []
    for a in [o for o in res.arms if not is_trivial(o)]:
        points = [[tokens_of(r) for r in rs] for rs in groups((r for r in res if r['arm']==a), 'task', 'length').values()]
        tin,tout = (n*sum(sum(t[i] for t in p)/len(p) for p in points)/1e6 for i in (0,1))
        rows.append({'arm':a, 'points':len(points), 'runs':n*len(points), 'million tokens in':tin, 'million tokens out':tout, **{f'{k}, dollars':tin*i+tout*o for k,(i,o) in prices.items()}})
    total = {k:'' if k=='points' else sum(r[k] for r in rows) for k in rows[0] if k!='arm'} if rows else {}
    return Table([*rows, {'arm':'all', **total}] if rows else [])

# --- the page

HEAD = """---
title: Comparison
description: Is it better, when, and at what price
---

The same model is asked the same questions in several ways (*arms*): the whole context in one prompt (`vanilla`), with its middle cut out (`truncate`), the passages that a search finds (`retrieve`),
notes on each part (`map_reduce`), and as a recursive language model without sub-calls (`rlm0`), with them (`rlm1`), and with runs within runs (`rlm2`). Each task also has *trivial* answers that no model gives:
an arm that is not above them has not read. The tasks and scores are in the chapters on [tasks](tasks.html), the arms in [benchmarks](benchmarks.html). All figures and tables are
computed from the records in `nbs/recorded/bench` by `python tools/compare.py`; only the next section is written by hand."""

PUBLISHED = """For scale, what others measured with large models (Zhang, Kraska and Khattab, [arXiv 2512.24601](https://arxiv.org/abs/2512.24601); score in percent, in brackets dollars a query). Their CodeQA is
LongBench-v2's, and their questions are not the ones asked here.

| | OOLONG, 131K | OOLONG-Pairs, 32K | CodeQA | BrowseComp+, 1,000 documents |
|---|---|---|---|---|
| GPT-5 in one prompt | 44.0 (0.14) | 0.1 (0.16) | 24.0 | 0.0 |
| GPT-5, without sub-calls | 36.0 | 43.9 | 58.0 | 88.0 |
| GPT-5, depth 1 | 56.0 (0.43) | 58.0 (0.33) | 62.0 (0.11) | 91.3 (0.99) |
| Qwen3-Coder-480B, in one prompt → depth 1 | 36 → 48 | 0.1 → 23.1 | 20 → 56 | 0 → 44.7 |
| Qwen3-8B, fine-tuned, depth 1 | 32 | 5.2 | 32 | 14 |
"""

def cost_pictures(res)->dict:
    "Accuracy against cost: for each length, all tasks together; and for each task, of the arms that were measured wherever `rlm1` was"
    named = Results([{**r, 'task':f'{length_text(r["length"]):>6} tokens, all tasks'} for r in res if not is_trivial(r['arm'])], windows=res.windows)  # in the order of lengths
    a = score_by_cost(named)
    a.name,a.caption = 'cost_by_length',a.caption.replace(' Dashed: the best trivial baseline.','')
    points = {o:{(r['task'],r['length']) for r in res if r['arm']==o} for o in res.arms}
    full = [o for o in res.arms if is_trivial(o) or points[o]>=points[(focal(res) or [o])[0]]]
    b = score_by_cost(res.where(arm=full))
    return {o.name:o for o in (a,b)}

def figure(p, prefix): return f'![{p.caption}]({prefix}{p.name}.svg)\n'

def aside(name, dirs, prefix, pics)->list:
    "The section on a set of `ASIDE`; its figure is put among `pics`"
    dirs = {k:d for k,d in dirs.items() if k==name or k not in ASIDE}
    if name not in dirs or len(dirs)<2: return []
    title,pic,said = ASIDE[name]
    res = read_results(*dirs.values())
    of = {r['arm']:(r['base_arm'],r['folder']) for r in res if not is_trivial(r['arm'])}
    pairs = [(a,b) for b,(base,f) in of.items() if f==name for a,(base2,f2) in of.items() if base2==base and f2!=name]
    pairs = [p for p in pairs if res.pairs(*p)]
    if not pairs: return []
    fig = score_by_length(res.where(arm=sorted({a for p in pairs for a in p})))
    fig.name = pic
    pics[fig.name] = fig
    return [f'## {title}', '', figure(fig, prefix), said, '', *pair_tables(res, pairs)]

def build(dirs:dict, reading:str, prices=PRICES, prefix='comparison-')->tuple: # Its text, and its figures by name of file
    "The page"
    main = {k:d for k,d in dirs.items() if k not in ASIDE} or dirs
    res,setups = read_results(*main.values()),{k:load_setup(d) for k,d in dirs.items()}
    pics,own = {**pictures(res), **cost_pictures(res)},{k:read_results(d).records for k,d in dirs.items()}
    pairs = [(a,b) for a in focal(res)[:1] for b in res.arms if b!=a and not is_trivial(b)]
    pic = lambda k: [figure(pics[k], prefix)] if k in pics else []
    lines = [shell_line(setups[k], args) for k in main for args in commands(setups[k], k)]
    price = ', '.join(f'{k} {i:g} and {o:g}' for k,(i,o) in prices.items())
    parts = [HEAD, '', '## What the figures say', '', reading.strip(), '',
        '## What was run', '', *(f'- {o}' for o in res.sentences()), '', Table(set_row(k, setups[k], own[k]) for k in dirs).to_markdown(), *folded('The commands', '\n'.join(['```sh', *lines, '```'])),
        '## Score against length', '', *pic('score_by_length'), 'Means with their 95 % intervals: Wilson\'s for answers that are right or wrong, otherwise a bootstrap over contexts, from 8 contexts on.', '', *score_tables(res),
        '## The same questions', '', '`a` against `b` on the questions that both had: `diff` is the mean of `a` minus that of `b`, with a paired bootstrap interval that draws whole contexts (none with fewer than 8).', '',
        *(pair_tables(res, pairs) if pairs else []), *pic('turned'),
        '## Accuracy against cost', '', 'A local model has no price, so cost is counted in tokens, in and out, by root and sub-models; seconds are those of the machine that ran it. Means of a question, all tasks together; seconds are the median.', '',
        *pic('cost_by_length'), cost_table(res).to_markdown(), 'By task, all lengths together; arms that were not asked at all lengths are left out:', '', *pic('score_by_cost'), *pic('cost_percentiles'), *folded('By task', '\n'.join(o for t in res.tasks for o in (f'**{t}**', '', cost_table(res.where(task=t)).to_markdown()))),
        '## By type of answer', '', *pic('score_by_kind'), *folded('As a table', Table({k:v for k,v in r.items() if k!='interval'} for r in res.by_kind()).to_markdown()),
        '## Failures', '', 'Runs that did not end with an answer of their own. They count with the score they have; none was left out, none repeated.', '', res.failures().to_markdown(),
        *(o for k in ASIDE for o in aside(k, dirs, prefix, pics)),
        '## What a bigger budget would need', '', f'How many questions, asked of two arms, show a difference of ten points four times in five, by how often `{focal(res)[0] if pairs else "rlm1"}` and the other arms differed here:', '', needed_table(res).to_markdown(),
        f'And what {N} questions at each point would take, by the tokens measured here: an estimate, as another model writes another number of steps. A context that did not fit counts as read once, cached input as input at full price. Dollars per million tokens in and out: {price}.', '',
        budget_table(res, prices).to_markdown(), PUBLISHED]
    return '\n'.join(parts).replace('\n\n\n','\n\n'),{f'{prefix}{p.name}.svg':p.svg() for p in pics.values()}

def read_reading(path=READING)->str:
    "The text by hand; refused while it is not written"
    text = Path(path).read_text(encoding='utf-8')
    if 'TODO' in text: raise SystemExit(f'{Path(path).name} is not written yet: it has the word TODO. Write what the figures say (--draft DIR shows them), and run this again')
    return text

def price_of(s):
    k,_,v = s.rpartition('=')
    i,o = map(float, v.split(','))
    return k,(i,o)

def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--collect', nargs=2, metavar=('OUT','NAME')); p.add_argument('--note', default='', help='with --collect: what tells this set from others, such as a commit')
    p.add_argument('--restore', nargs=2, metavar=('NAME','DIR'))
    p.add_argument('--run', metavar='OUT'); p.add_argument('--n', type=int); p.add_argument('--seed', type=int)
    p.add_argument('--lengths', type=lambda s: s.split(','), help='such as 4K,32K'); p.add_argument('--arms', type=lambda s: s.split(','))
    p.add_argument('--sets', nargs='+', default=[], help='with --run: names of sets (all but those shown beside others); with --draft: folders')
    p.add_argument('--price', type=price_of, action='append', metavar='NAME=IN,OUT', help='dollars per million tokens, for the estimate; may be repeated')
    p.add_argument('--draft', metavar='DIR'); p.add_argument('--check', action='store_true')
    return p

def main(argv=None):
    a = parser().parse_args(argv)
    if a.collect: return print(collect(*a.collect, note=a.note))
    if a.restore: return print(restore(*a.restore))
    if a.run:
        from rlm.cli import length_of
        sys.exit(run(a.run, a.sets, n=a.n, seed=a.seed, arms=a.arms, lengths=[length_of(o) for o in a.lengths or ()]))
    dirs = {Path(o).resolve().name:Path(o) for o in a.sets} if a.draft and a.sets else found()
    if not dirs: raise SystemExit(f'there are no records in {SETS}: --collect OUT NAME puts some there')
    text,pics = build(dirs, READING.read_text(encoding='utf-8') if a.draft else read_reading(), dict(a.price) if a.price else PRICES)
    if a.check: return sys.exit((not PAGE.exists() or PAGE.read_text(encoding='utf-8')!=text) and f'{PAGE.name} is out of date: run tools/compare.py')
    to = Path(a.draft) if a.draft else DOCS
    to.mkdir(parents=True, exist_ok=True)
    for k,v in {PAGE.name:text, **pics}.items(): (to/k).write_text(v, encoding='utf-8', newline='\n')
    print(to/PAGE.name)

if __name__=='__main__':
    try: main()
    except (ValueError,OSError) as e: sys.exit(str(e))
