"Run in an environment that holds nothing but the installed wheel: what a user gets from `pip install rlm`"
import importlib.metadata as md,importlib.util,os,subprocess,sys,time
os.environ['RLM_OFFLINE'] = '1'
t = time.perf_counter()
import rlm
assert time.perf_counter()-t<.5, 'import rlm is slow'
assert 'litellm' not in sys.modules and 'IPython' not in sys.modules, 'import rlm is not light'
assert 'site-packages' in rlm.__file__, f'{rlm.__file__} is not the installed wheel'

asked = [r for r in md.requires('rlm') if 'extra ==' not in r]
assert sorted(r.split('!')[0].split('>')[0].split('<')[0].strip() for r in asked)==['fastcore','ipython','litellm'], asked
extra = [o for o in ('nbdev','execnb','jupytext','pytest','xllamacpp','bm25s') if importlib.util.find_spec(o)]
assert not extra, f'the wheel brought {extra}'

from rlm import RLM
from rlm.lm import ScriptedLM,as_response
doc = 'Day 1: fog.\n'*5000+'Day 2: the ferry was sold to Torvik.\n'
root = ScriptedLM([as_response(None, [('run_repl','{"code": "i = context.index(\'sold\')\\nprint(context[i:i+20])"}')]), '```python\nFINAL(llm_query("Who bought it? "+context[i:i+20]))\n```'], tools=True)
a = RLM(root, ScriptedLM(['Torvik']))('Who bought the ferry?', doc)
assert a.ok and a.answer=='Torvik' and a.usage.calls==3, a
out = subprocess.run([sys.executable,'-m','rlm','--help'], capture_output=True, text=True)
assert out.returncode==0 and 'ask' in out.stdout, out
print('the wheel works:', a)
