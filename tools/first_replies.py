"""What a small model replies first to a question about a fact: code, or an answer that it cannot know yet; with the end of the first message that leads into code, and without.

    python tools/first_replies.py                       the local model, 12 questions of the task niah, seed 11
    python tools/first_replies.py --model ollama/qwen2.5:3b --n 30

Each way is asked with `search` and with sub-calls, without sub-calls, and without both.
"""
import argparse,sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from rlm.context import describe
from rlm.lm import get_lm
from rlm.presets import example_messages,examples_for,kind_of,small_preset
from rlm.prompts import SEARCH_DOC,first_message,parse_reply
from rlm.tasks import get_task

def messages(question:str, context:str, search:bool, sub_calls:bool, cue:bool)->list:
    "What the model is asked"
    p = small_preset(search, sub_calls, question, len(context))
    kind = kind_of(question)
    if not cue:
        p = replace(p, cue='')
        p.examples = [m for e in examples_for(kind, search, sub_calls, len(context), question) for m in example_messages(e, p, search)]
    asked = first_message(question, describe(context, p.sample), SEARCH_DOC if search else None)+p.cue
    return [dict(role='system', content=p.sp), *p.examples, dict(role='user', content=asked)]

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--model', default='local')
    p.add_argument('--n', type=int, default=12, metavar='N', help='questions')
    p.add_argument('--task', default='niah')
    p.add_argument('--seed', type=int, default=11)
    a = p.parse_args(argv)
    lm,qs = get_lm(a.model),get_task(a.task).samples(4096, a.n, a.seed)
    lm.max_tokens = 100
    for search,sub_calls in ((True,True),(True,False),(False,False)):
        for cue in (False,True):
            said = [lm.complete(messages(s.question, s.context, search, sub_calls, cue)).content for s in qs]
            code = [o for o in map(parse_reply, said) if o.code]
            found = sum(('search(' if search else 'finditer(') in o.code[0] for o in code)
            print(f'search={search!s:<6} sub_calls={sub_calls!s:<6} cue={cue!s:<6} {len(code)} of {a.n} are code, {found} as in the examples', flush=True)

if __name__=='__main__': main()
