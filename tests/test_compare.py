"The page of a comparison: made from committed records alone, the same each time, and never without its text by hand"
import json,re,sys
from pathlib import Path
import pytest
sys.path.insert(0, str(Path(__file__).parent.parent/'tools'))
import compare
from rlm.lm import ScriptedLM
from rlm.suite import suite
from rlm.tables import demo_records
from rlm.tasks import Task,add_task

ARMS = dict(vanilla=(.95,.10,1.,0), retrieve=(.7,.01,.3,0), rlm1=(.9,.02,.4,1.2))

def put(d, arms, seed=0, rlm_settings={}):
    "A folder of made-up records"
    d.mkdir(parents=True)
    rs = [{**r, 'cost':0.} for t in ('niah','graphwalks') for r in demo_records(t, (4096,32768), 8, arms, seed, 8192, 2, 'local')]
    (d/'records.jsonl').write_text(''.join(json.dumps(r)+'\n' for r in rs))
    runs = [dict(tasks=['graphwalks','niah'], arms=[a], lengths=[l], n=8, seed=0, official=False) for a in arms for l in (4096,32768)]
    (d/'suite.json').write_text(json.dumps(dict(rlm='0.1.0', model='local', sub_model='local', settings=dict(window=None, max_steps=10, passages=2048, chunk=16384, max_cost=None), rlm_settings=rlm_settings, context_window=8192, runs=runs)))
    return d

@pytest.fixture(scope='module')
def dirs(tmp_path_factory):
    d = tmp_path_factory.mktemp('sets')
    return dict(after=put(d/'after', ARMS), before=put(d/'before', dict(rlm1=(.6,.1,.4,1.2)), 1), nosearch=put(d/'nosearch', dict(rlm1=(.7,.1,.4,1.2)), 1, dict(search=False)))

@pytest.fixture(scope='module')
def built(dirs): return compare.build(dirs, 'It is **better** at length.')

def test_the_page_is_the_same_twice(dirs, built): assert compare.build(dirs, 'It is **better** at length.')==built

def test_the_page_has_all_it_should(built):
    text,pics = built
    assert [o[3:] for o in text.splitlines() if o.startswith('## ')]==['What the figures say','What was run','Score against length','The same questions','Accuracy against cost','By type of answer','Failures','With search and without','Before and after','What a bigger budget would need']
    assert 'It is **better** at length.' in text and text.count(':::')%2==0 and '\n\n\n' not in text
    assert sorted(pics)==sorted(re.findall(r'\]\((comparison-\w+\.svg)\)', text)) and all(v.lstrip().startswith('<?xml') for v in pics.values())
    assert 'RLM_WINDOW=8192 rlm bench graphwalks niah --model local --max-steps 10 --passages 2048 --arms vanilla,retrieve,rlm1 --lengths 4K,32K --n 8 --seed 0 --out after' in text
    assert 'Too few questions' in text and '| rlm1 [after] | rlm1 [before] |' in text and '| rlm1 [after] | rlm1 [nosearch] |' in text and '2512.24601' in text

def test_scores_are_those_of_the_records(dirs, built):
    rs = [r for r in map(json.loads, (dirs['after']/'records.jsonl').read_text().splitlines()) if r['task']=='niah' and r['length']==4096 and r['arm']=='rlm1']
    row = next(o for o in built[0].split('### niah')[1].splitlines() if o.startswith('| 4,096'))
    assert f'{sum(r["score"] for r in rs)/len(rs):.2f}' in row.split('|')[5]

def test_what_a_bigger_budget_takes():
    res = compare.Results(demo_records('niah', (1000,2000), 4, dict(vanilla=(1,0,1.,0)), window=1500))
    ins = [r['usage']['prompt_tokens'] for r in res if r['arm']=='vanilla' and r['length']==1000]
    row = compare.budget_table(res, {'M':(2.,0.)}, 100)[0]
    assert row['runs']==200 and row['million tokens in']==pytest.approx(100*(sum(ins)/4+2000)/1e6) and row['M, dollars']==pytest.approx(2*row['million tokens in'])

def test_nothing_is_published_without_the_text_by_hand(tmp_path):
    (tmp_path/'_c.md').write_text('TODO: say it')
    with pytest.raises(SystemExit, match='_c.md is not written yet'): compare.read_reading(tmp_path/'_c.md')
    (tmp_path/'_c.md').write_text('Said.')
    assert compare.read_reading(tmp_path/'_c.md')=='Said.'

def test_long_texts_are_cut_once():
    r = dict(prediction=[[1,2]]*9999, gold='short', error=None, meta={'a':1}, log='logs/x.jsonl', score=1.)
    c = compare.compact(r)
    assert len(c['prediction'])==compare.CUT and c['cut']==dict(prediction=len(json.dumps(r['prediction']))) and c['gold']=='short' and c['meta']=={'a':1} and c['log'] is None and c['score']==1
    assert compare.compact(c)==c

T = add_task(Task('t_compare', lambda length, rng, window, j: dict(context='fog\n'*length, question='How many?', gold=j, meta=dict(x='y'*3000)), lambda a,s: float(str(a)==str(s.gold)), 'made up', lengths=(100,), trivial=dict(zero=lambda q,c: 0)))
kw = dict(isolation='none', mode='code', preset='strong', progress=False, lengths=100)

def test_collected_records_can_be_gone_on_with(tmp_path):
    model = ScriptedLM(lambda ms: '0')
    res = suite(T, model, arms=['vanilla','trivial'], n=2, out=tmp_path/'out', **kw)
    compare.collect(tmp_path/'out', 'x', 'at the start', tmp_path/'sets')
    assert compare.load_setup(tmp_path/'sets'/'x')['note']=='at the start' and [*compare.found(tmp_path/'sets')]==['x']
    back = compare.restore('x', tmp_path/'back', tmp_path/'sets')
    assert len(suite(T, ScriptedLM([]), arms=['vanilla','trivial'], n=2, out=back, **kw))==len(res)==4   # no reply is asked for
    more = suite(T, model, arms=['vanilla','trivial'], n=3, out=back, **kw)
    assert len(more)==6 and len(model.asked)==3 and [r['score'] for r in more if r['i']<2]==[r['score'] for r in res]
    with pytest.raises(ValueError, match='another setup'): suite(T, model, arms='vanilla', n=3, out=back, chunk=100, **kw)
    with pytest.raises(SystemExit, match='not empty'): compare.restore('x', back, tmp_path/'sets')
    with pytest.raises(SystemExit, match="no set 'y'; there are: x"): compare.restore('y', tmp_path/'z', tmp_path/'sets')

def test_a_folder_of_this_machine_is_not_committed(tmp_path):
    suite(Task('t_private', lambda length, rng, window, j: dict(context='fog', question=f'What is in {tmp_path}/out?', gold=0), lambda a,s: 0., 'made up', lengths=(100,), trivial=dict(zero=lambda q,c: 0)), ScriptedLM([]), arms='trivial', n=1, out=tmp_path/'out', **kw)
    with pytest.raises(SystemExit, match='name a folder of this machine'): compare.collect(tmp_path/'out', 'x', sets=tmp_path/'sets')

def test_calls_are_put_together_again():
    run = lambda **k: dict(dict(tasks=['niah'], arms=['vanilla'], lengths=[4096], n=4, seed=0, official=False), **k)
    one = compare.merged([run(), run(lengths=[100]), run(arms=['rlm1'], lengths=[100,4096]), run(arms=[f'trivial:{k}' for k in compare.TASKS['niah'].trivial]), run(n=9)])
    assert [(r['arms'],r['lengths'],r['n']) for r in one]==[(['vanilla','rlm1'],[100,4096],4),(['trivial'],[4096],4),(['vanilla'],[4096],9)]

def test_the_commands_are_what_the_command_line_takes(dirs):
    from rlm.cli import parse
    for args in compare.commands(compare.load_setup(dirs['after']), 'x', n=3, lengths=[100]):
        a = parse(args)[1]
        assert (a.tasks,a.model,a.n,a.lengths,a.max_steps,a.passages,a.arms)==(['graphwalks','niah'],'local',3,['100'],10,2048,['vanilla','retrieve','rlm1'])

def test_the_committed_page_is_up_to_date():
    if not compare.found() or 'TODO' in compare.READING.read_text(encoding='utf-8'): pytest.skip('the page is not there yet')
    text,pics = compare.build(compare.found(), compare.read_reading())
    headings = lambda s: [o for o in s.splitlines() if o.startswith(('#','| --- ','!['))]
    assert headings(compare.PAGE.read_text(encoding='utf-8'))==headings(text) and all((compare.DOCS/k).exists() for k in pics)

def test_switches_are_options():
    setup = dict(model='local', sub_model='local', settings={}, rlm_settings=dict(search=False), runs=[dict(tasks=['niah'], arms=['rlm1'], lengths=[4096], n=2, seed=0)])
    assert '--no-search' in compare.commands(setup, 'x')[0] and '--search' in compare.commands({**setup, 'rlm_settings':dict(search=True)}, 'x')[0]
    with_emb = compare.commands({**setup, 'settings':dict(embeddings=dict(model='openai/m', temperature=0.))}, 'x')[0]
    assert with_emb[with_emb.index('--embeddings')+1]=='openai/m'
