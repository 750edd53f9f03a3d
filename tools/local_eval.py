"""How the local model does as an RLM, and what it does without one.

Sets of 20 questions: `needle` hides a number in 400,000 characters (about 100,000 tokens) of Python's documentation, asked for in the words of RULER's
single needle (arXiv 2404.06654); `doc` asks about that documentation itself (`pydoc_data.topics`, which every Python has), answers judged by a regular expression; `held` is the same with
questions that were not looked at while the prompts were worked on; `absent` has 5 questions the document does not answer, where right is to say so.
Arms: `rlm`, and `vanilla`, the whole text in one prompt. Each answer is one line of OUT/results.jsonl as soon as it is there, and its log is beside it; what is there
already is not asked again.

    python tools/local_eval.py --out eval_out [--model local] [--arms rlm vanilla] [--sets needle doc] [--n 20]
"""
import argparse,json,random,re,time
from pathlib import Path
from pydoc_data.topics import topics

DOC = [ # question, what a right answer matches
    ('Which exception is raised by a failing assert statement?', r'AssertionError'),
    ('What is the name of the built-in variable that is true under normal circumstances and decides whether assert statements are executed?', r'__debug__'),
    ('In the debugger, which command prints a stack trace with the most recent frame at the bottom?', r'\b(w|bt)\b|w\(here\)|^\W*where\b'),
    ('Which string method returns a copy suited for caseless matching, more aggressive than lowercasing?', r'casefold'),
    ('Which method is called to implement truth value testing?', r'__bool__'),
    ('Which statement lets a nested function rebind a variable of the enclosing function?', r'nonlocal'),
    ('What are identifiers of a class that begin with two underscores transformed by?', r'mangl'),
    ('Which character does str.zfill() fill a string with on its left?', r'0|zero'),
    ('In which order does dict.popitem() return pairs?', r'LIFO|last[- ]in|reverse'),
    ('Which method does a dict subclass define so that it is called when a key is not present?', r'__missing__'),
    ('What does the pass statement do when it is executed?', r'nothing|null operation'),
    ('Which exception is raised by a raise statement when there is no active exception to re-raise?', r'RuntimeError'),
    ('Does the power operator bind more or less tightly than a unary operator on its left?', r'\bmore\b'),
    ('Which exception is raised when an asynchronous iterator has no more items?', r'StopAsyncIteration'),
    ('What happens when a finally clause executes a return statement while an exception is saved?', r'discard|lost|not re-?raised|swallow|suppress'),
    ('Which attribute of a class restricts the variables of its instances, so that no __dict__ is created?', r'__slots__'),
    ('How many arguments does __exit__ take for the exception, besides self?', r'\b(3|three)\b|exc_type'),
    ('In a chained comparison such as a < b < c, how often is b evaluated?', r'\bonce\b|one time|\b1\b'),
    ('Which method is called to create a new instance of a class, before __init__?', r'__new__'),
    ('What does the underscore match in a case pattern of a match statement?', r'anything|any|wildcard|always|everything'),
]
HELD = [ # the same kind of questions, never looked at while prompts and messages were worked on
    ('Which debugger command continues execution until the current function returns?', r'^\W*r\b|r\(eturn\)|\breturn\b'),
    ('Which string method returns a list of the lines of a string, broken at line boundaries?', r'splitlines'),
    ('Which method removes all items from a mutable sequence?', r'clear'),
    ('Which attribute of a function holds the name of the module it was defined in?', r'__module__'),
    ('Which object is returned by functions that do not explicitly return a value?', r'\bNone\b'),
    ('Which method is called when an instance is about to be destroyed?', r'__del__'),
    ('Which exception does popitem() raise when the dictionary is empty?', r'KeyError'),
    ('Which method is called to implement the built-in function len()?', r'__len__'),
    ('Which method of a descriptor is called to set the attribute on an instance of the owner class?', r'__set__'),
    ('What must the value of the second operand of a division not be?', r'zero|\b0\b'),
    ('The result of the modulo operator always has the same sign as which operand?', r'second|right'),
    ('Which keyword creates an anonymous function?', r'lambda'),
    ('Which method is called by the built-in function repr() to compute the official string representation?', r'__repr__'),
    ('Which arguments do the shifting operators accept?', r'int'),
    ('Which method makes the instances of a class callable like a function?', r'__call__'),
    ('Which statement terminates the nearest enclosing loop?', r'break'),
    ('Which string method returns True if there are only whitespace characters in the string?', r'isspace'),
    ('With which letter does an imaginary literal end?', r'\bj\b'),
    ('Which method of a class is called with the name when an attribute lookup has not found the attribute in the usual places?', r'__getattr__'),
    ('What does the literal ... denote?', r'ellipsis'),
]
ABSENT = [ # the document does not say; right is an answer that says so
    'Who wrote the first version of the Python debugger?', 'How many people use Python?', 'Which company pays for the documentation?',
    'What is the largest integer that a float can hold exactly?', 'In which city was the language named?']
_adjectives = 'amber brisk calm dusty eager frosty gentle hollow jolly mellow'.split()
_nouns = 'anchor badger candle dagger easel falcon garnet harbor igloo kettle'.split()

def text(): return '\n\n'.join(topics[k] for k in sorted(topics))

def needle(i):
    "Needle question `i`: the context, the question, a pattern for the right answer"
    r,base = random.Random(f'needle/{i}'),text()[:400_000]
    key,value = f'{r.choice(_adjectives)}-{r.choice(_nouns)}',r.randint(1_000_000,9_999_999)
    at = base.index('\n', int(len(base)*(i+.5)/20))+1
    ctx = base[:at]+f'One of the special magic numbers for {key} is: {value}.\n'+base[at:]
    return ctx, f'What is the special magic number for {key} mentioned in the provided text?', str(value)

def questions(rows): return lambda i: (text(), *rows[i])
SETS = dict(needle=needle, doc=questions(DOC), held=questions(HELD), absent=questions([(o, r"\bnot? \b|n't\b|unknown|none\b|no answer") for o in ABSENT]))

def ask(arm, model, ctx, q, log):
    "One question by one arm"
    from rlm.core import RLM
    from rlm.benchmarks import benchmark_vanilla
    if arm=='vanilla':
        r = benchmark_vanilla(ctx, q, model=model)
        return dict(answer=str(r['answer']), status=r['status'], error=r['error'], tokens=r['tokens'], steps=1)
    a = RLM(model, log=log, max_steps=10)(q, ctx)
    return dict(answer=str(a), status=a.status, error=a.error, tokens=a.usage.tokens, steps=a.steps, sub_calls=sum(1 for e in a.trajectory if type(e).__name__=='SubReplied'))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, required=True); p.add_argument('--model', default='local'); p.add_argument('--n', type=int, default=20)
    p.add_argument('--arms', nargs='+', default=['rlm','vanilla']); p.add_argument('--sets', nargs='+', choices=list(SETS), default=['needle','doc','held'])
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    res = a.out/'results.jsonl'
    rows = [json.loads(l) for l in res.read_text().splitlines()] if res.exists() else []
    done = {(r['set'],r['arm'],r['i']) for r in rows}
    for s in a.sets:
        for arm in a.arms:
            for i in range(min(a.n, 5) if s=='absent' else a.n):
                if (s,arm,i) in done: continue
                ctx,q,want = SETS[s](i)
                t = time.time()
                r = ask(arm, a.model, ctx, q, a.out/f'{s}-{arm}-{i}.jsonl')
                r = dict(set=s, arm=arm, i=i, question=q, ok=bool(r['status']=='answer' and re.search(want, r['answer'], re.I)), seconds=round(time.time()-t,1), **r)
                rows.append(r)
                with res.open('a') as f: f.write(json.dumps(r)+'\n')
                print(f"{s:6} {arm:7} {i:2} {'right' if r['ok'] else 'WRONG'} {r['seconds']:6.1f}s {r['steps']} steps {r['status']}: {r['answer'][:100]!r}", flush=True)
    for s in a.sets:
        for arm in a.arms:
            o = [r for r in rows if r['set']==s and r['arm']==arm]
            if o: print(f"{s:6} {arm:7} {sum(r['ok'] for r in o)}/{len(o)} right, median {sorted(r['seconds'] for r in o)[len(o)//2]:.0f} s")

if __name__=='__main__': main()
