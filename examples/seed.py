"""The loop in a script's own hands, over a document that comes with every Python.

    python examples/seed.py                                            # the local model: pip install '.[local]'
    python examples/seed.py --model openai/gpt-5-mini                  # any model of litellm's, by its key in the environment
    python examples/seed.py --model openai/NAME --base-url http://localhost:8000/v1
"""
import argparse
from pydoc_data.topics import topics
from rlm.tools import prep_shell, make_run_repl
from rlm.core import advanced_toolloop
from rlm.prompts import REPL_SYSTEM_PROMPT
from rlm.benchmarks import benchmark_vanilla, benchmark_rlm

p = argparse.ArgumentParser()
p.add_argument('--model', default='local')
p.add_argument('--base-url')
p.add_argument('--query', default='Which string method is meant for caseless matching?')
p.add_argument('--benchmarks', action='store_true', help='then ask again, with the whole document in one prompt and by a recursive run')
args = p.parse_args()
where = dict(model=args.model, base_url=args.base_url)
context = '\n\n'.join(topics.values())

def list_topics(
    start:str # How their names begin; '' for all
)->list[str]:
    "The names of the topics of the document that begin with `start`"
    return [o for o in topics if o.startswith(start)]

# The shell's model is the one that `llm_query` asks; the loop's model writes the code
sh = prep_shell(context, **where)
run_repl = make_run_repl(sh)
responses = advanced_toolloop(args.query, sp=REPL_SYSTEM_PROMPT+'\nAnswer in a few words.', tools=[run_repl, list_topics], sh=sh,
                              **where, max_steps=50, verbose=True)
for item in responses:
    if isinstance(item, dict) and item.get("type") == "final": print(item["answer"], item["status"], item["usage"], sep=' | ')
print('left in the shell:', sh.user_ns)
sh.close()

if args.benchmarks:
    print(benchmark_vanilla(context, args.query, **where))
    print(benchmark_rlm(context, args.query, **where, verbose=True))
