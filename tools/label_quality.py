"""How well a model tells one of several labels: asked in one message, with the instruction apart, and as `llm_map` does it for a small model, which also takes off what the model leans to.

    python tools/label_quality.py                       the local model, 60 questions of two windows each
    python tools/label_quality.py --model ollama/qwen2.5:3b --n 100

The questions are those of the task `oolong`, from its own bank; their labels and what these mean stand at the head of the window.
"""
import argparse,sys
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from rlm.lm import get_lm,wait
from rlm.mapping import as_messages,choice_prompt,map_prompt,read_choice
from rlm.tools import SubCalls
from rlm.oolong import LABELS,draw_items,show_window

def each(prompt): return lambda lm,items,instruction,ch: [read_choice(lm.complete(as_messages(prompt(o, instruction, ch))).content, ch) for o in items]

WAYS = {'in one message': each(lambda o,i,ch: map_prompt([o], i, ch)), 'instruction apart': each(choice_prompt), 'llm_map': lambda lm,*args: wait(SubCalls(lm).llm_map(*args))}

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--model', default='local')
    p.add_argument('--n', type=int, default=60, metavar='N', help='questions of each window')
    p.add_argument('--seeds', nargs='+', default=['calib','second'])
    a = p.parse_args(argv)
    lm,ch = get_lm(a.model),list(LABELS.values())
    lm.max_tokens = 12
    for seed in a.seeds:
        items = draw_items(16384, Random(seed))
        instruction = show_window(items).split('\n\n')[0]+' Which label has this line?'
        some = Random(0).sample(items, a.n)
        for k,ask in WAYS.items():
            said = ask(lm, [f'Instance: {o[2]}' for o in some], instruction, ch)
            print(f'{seed:<10}{k:<20}{sum(s==o[3] for s,o in zip(said,some))} of {a.n} right, {said.count(None)} without an answer', flush=True)

if __name__=='__main__': main()
