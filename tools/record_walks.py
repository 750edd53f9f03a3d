"""Record the runs that the walk-through notebooks replay, with the real local model: python tools/record_walks.py

Writes nbs/recorded/*.jsonl. The notebooks play them again without a model, so that they run anywhere; say date and model there when they are recorded anew."""
from pathlib import Path
from pydoc_data.topics import topics
from rlm.core import RLM,advanced_toolloop
from rlm.tools import prep_shell,make_run_repl
from rlm.benchmarks import benchmark_vanilla,benchmark_rlm

out = Path(__file__).parent.parent/'nbs'/'recorded'
doc = '\n\n'.join(topics[k] for k in sorted(topics))

def fresh(name):
    (out/name).unlink(missing_ok=True)
    return out/name

out.mkdir(exist_ok=True)
a = RLM('local', log=fresh('events.jsonl'), verbose=True)('Which method does a dict subclass define so that it is called when a key is not present?', doc)
print(a.status, a)

sh = prep_shell(doc, model='local')
for item in advanced_toolloop('In which order does dict.popitem() return pairs?', tools=[make_run_repl(sh, max_output=2400)], sh=sh, model='local', verbose=True, log=fresh('seed.jsonl')): pass
print(item)
sh.close()

q = 'Which exception is raised by a raise statement when there is no active exception to re-raise?'
print(benchmark_vanilla(doc, q, model='local', log=fresh('vanilla.jsonl')))
print(benchmark_rlm(doc, q, model='local', log=fresh('rlm.jsonl'), verbose=True))
