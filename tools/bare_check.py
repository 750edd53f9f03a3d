"Run in an environment that holds nothing but the installed wheel: what a user gets from `pip install rlm`"
import importlib,importlib.metadata as md,importlib.util,os,pkgutil,subprocess,sys,tempfile,time
os.environ['RLM_OFFLINE'] = '1'
t = time.perf_counter()
import rlm
assert time.perf_counter()-t<.5, 'import rlm is slow'
assert 'litellm' not in sys.modules and 'IPython' not in sys.modules, 'import rlm is not light'
assert 'site-packages' in rlm.__file__, f'{rlm.__file__} is not the installed wheel'

asked = [r for r in md.requires('rlm') if 'extra ==' not in r]
assert sorted(r.split('!')[0].split('>')[0].split('<')[0].strip() for r in asked)==['fastcore','ipython','litellm'], asked
extra = [o for o in ('nbdev','execnb','jupytext','pytest','xllamacpp','bm25s','numpy','scipy','matplotlib','distributed','datasets','PIL','pandas','pyarrow','markitdown','pathspec') if importlib.util.find_spec(o)]
assert not extra, f'the wheel brought {extra}'

from rlm import RLM
from rlm.lm import ScriptedLM,as_response
doc = 'Day 1: fog.\n'*5000+'Day 2: the ferry was sold to Torvik.\n'
root = ScriptedLM([as_response(None, [('run_repl','{"code": "i = context.index(\'sold\')\\nprint(context[i:i+20])"}')]), '```python\nFINAL(llm_query("Who bought it? "+context[i:i+20]))\n```'], tools=True)
a = RLM(root, ScriptedLM(['Torvik']))('Who bought the ferry?', doc)
assert a.ok and a.answer=='Torvik' and a.usage.calls==3, a
assert a.citations[0].line==5001 and 0<a.coverage.root<a.coverage.chars, a.coverage
for T in (list[int],{'type':'array','items':{'type':'integer'}}):  # litellm brings what checks them
    a = RLM(ScriptedLM(['```python\nFINAL(["x"]) if context else 0\n```','FINAL([2])']))('Which days?', doc, output_type=T)
    assert a.ok and a.answer==[2], a

png = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x01\x08\0\0\0\0'
root = ScriptedLM(['```python\nprint(context)\ncontext.crop((0,0,1,1))\n```', '```python\nFINAL(llm_query("What is it?", images=[context]))\n```'])
b = RLM(root, ScriptedLM(lambda m: m[-1]['content'][0]['type']))('What is it?', png)
assert b.answer=='image_url' and 'pip install "rlm[images]"' in root.asked[1][-1]['content'], b

def cli(*args):
    r = subprocess.run([sys.executable,'-m','rlm',*args], capture_output=True, text=True)
    return r.returncode,r.stdout+r.stderr
code,out = cli('--help')
assert code==0 and 'ask' in out and 'bench' in out, out

# benchmarks: all but statistics, figures, retrieval, clusters and published data works without an extra
for o in pkgutil.iter_modules(rlm.__path__): importlib.import_module(f'rlm.{o.name}')
from rlm.tasks import TASKS
assert {'niah','niah_latent','graphwalks','copy','oolong','oolong_pairs','multihop','codeqa'}<=set(TASKS), sorted(TASKS)
for t in TASKS.values():
    s = t.sample(t.lengths[0], 0)
    assert t.score(s.gold, s)==(t.name!='oolong_pairs'), t.name  # whose gold are the two sides of its pairs
fake = ['--model','openai/fake','--base-url','http://127.0.0.1:9/v1','--quiet']
with tempfile.TemporaryDirectory() as d:
    few = ['bench','niah','--lengths','1K','-n','2','--out',f'{d}/a',*fake]
    code,out = cli(*few, '--arms', 'trivial')
    assert code==0 and 'pip install "rlm[bench]"' in out and open(f'{d}/a/records.jsonl').read().count('\n')==6, out
    for args,extra in [((*few,'--arms','retrieve'),'bench'), (('bench','report',f'{d}/a'),'bench'), ((*few,'--arms','vanilla','--executor','dask'),'dask'), (('bench','oolong','--official','--arms','vanilla','--out',f'{d}/b',*fake),'official')]:
        code,out = cli(*args)
        assert code==1 and f'pip install "rlm[{extra}]"' in out and 'Traceback' not in out, (args,code,out)

print('the wheel works:', a)
