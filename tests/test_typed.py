"Typed answers: FINAL is checked where it is called, a run never ends well with a value of another form, and logs make the same values again"
import datetime as dt,enum,json,os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal,Optional,Union
import pytest
from rlm import RLM
from rlm.benchmarks import benchmark_rlm
from rlm.core import advanced_toolloop,answer_of
from rlm.events import CodeRan,LogError,Noted,RunEnded,RunStarted,read_log,to_json
from rlm.lm import LMError,ScriptedLM,as_response
from rlm.prompts import FINAL_PROMPT
from rlm.tools import make_run_repl,prep_shell

DOC = 'Day 1: fog.\nDay 2: hail, the ferry stayed.\nDay 3: sun.'
class Weather(enum.Enum): FOG,HAIL,SUN = 'fog','hail','sun'
class Odd(enum.Enum): A,B = (1,2),object()
@dataclass
class Stay:
    day:int
    why:Weather
    on:Optional[dt.date] = None

def cell(code): return f'```python\n{code}\n```'
def run(*replies, output_type=None, isolation='auto', **kw): return RLM(ScriptedLM(list(replies)), ScriptedLM(lambda m: 'hail'), isolation=isolation, **kw)('Which?', DOC, output_type)
def outputs(a): return [o.text for o in a.trajectory if isinstance(o, CodeRan)]

def model():
    from pydantic import BaseModel
    class Report(BaseModel):
        day:int
        kinds:list[Weather] = []
        at:Optional[dt.date] = None
    return Report

def cases():
    Report = model()
    return [(int,'"2"',2), (float,'2.5',2.5), (bool,'2>1',True), (str,'2',"2"), (list[int],'(1, "2")',[1,2]), (dict[str,float],'{"a": 1}',{'a':1.}), (Optional[int],'None',None), (Literal['fog','sun'],'"Fog"','fog'), (tuple[int,str],'[1, "a"]',(1,'a')),
            (dt.date,'"2024-05-17"',dt.date(2024,5,17)), (dt.date,'__import__("datetime").date(2024,5,17)',dt.date(2024,5,17)), (dt.datetime,'"2024-05-17T09:30"',dt.datetime(2024,5,17,9,30)), (Weather,'"hail"',Weather.HAIL), (Weather,'"HAIL"',Weather.HAIL), (Odd,'(1, 2)',Odd.A), (Odd,'"B"',Odd.B),
            (Stay,'dict(day="2", why="hail")',Stay(2,Weather.HAIL)), (Report,'{"day": 2, "kinds": ["fog"], "at": "2024-05-17"}',Report(day=2, kinds=['fog'], at='2024-05-17')), ({'type':'array','items':{'type':'integer'}},'(1, 2)',[1,2]), (['fog','sun'],'"sun"','sun'),
            (dict(day=int),'{"day": 2}',{'day':2}), (Union[int,str],'"none"','none'), (int,'10**5000',10**5000), (set[int],'{1, 2}',{1,2}), ('list[str]','["a"]',['a'])]

@pytest.mark.parametrize('i', range(len(cases())))
@pytest.mark.parametrize('way', ['code','variable','text'])
def test_every_type(i, way, tmp_path):
    T,given,want = cases()[i]
    if way=='text' and any(o in given for o in ('import','>','**','dict(')): way = 'variable'  # no literal
    last = dict(code=cell(f'FINAL({given})'), variable='FINAL_VAR(v)', text=f'FINAL({given})')[way]
    log = tmp_path/'run.jsonl'
    a = run(cell(f'context; v = {given}'), last, output_type=T, isolation='none', log=log)
    assert (a.status,type(a.answer))==('answer',type(want)) and (a.answer==want or str(a.answer)==str(want)), a.error
    json.loads(log.read_text().splitlines()[-1])  # plain data
    T2 = type(a.answer) if isinstance(T, type) and T.__module__ not in ('builtins','datetime') else T
    for b in (RLM.resume(log, output_type=T2), RLM.replay(log, output_type=T2)): assert type(b.answer) is type(a.answer) and b.answer==a.answer

def test_by_type_name_only(tmp_path):
    for i,(T,given) in enumerate([(list[int],'["1"]'), (Optional[dt.date],'"2024-05-17"'), (Literal['a','b'],'"A"'), (dict(day=int),'{"day": 1}')]):
        a = run(cell(f'FINAL({given}) if context else 0'), output_type=T, isolation='none', log=tmp_path/f'{i}.jsonl')
        for b in (RLM.resume(a.log), RLM.replay(a.log)): assert a.ok and type(b.answer) is type(a.answer) and b.answer==a.answer
    a = run(cell('FINAL({"day": 2, "why": "hail"}) if context else 0'), output_type=Stay, isolation='none', log=tmp_path/'stay.jsonl')
    with pytest.warns(UserWarning, match='output_type=Stay'): b = RLM.resume(a.log)
    assert a.answer==Stay(2,Weather.HAIL) and b.answer=={'day':2,'why':'hail','on':None}

def test_a_form_that_a_log_cannot_give(tmp_path):
    from pydantic import BaseModel,ConfigDict,Field
    class Ref(BaseModel):
        model_config = ConfigDict(regex_engine='python-re')
        no:str = Field(pattern='(?=A)A-1')
    a = run(cell('FINAL({"no": "A-1"}) if context else 0'), output_type=Ref, isolation='none', log=tmp_path/'r.jsonl')
    with pytest.raises(ValueError, match='give it again, output_type=Ref'), pytest.warns(UserWarning): RLM.resume(a.log)
    assert a.ok and RLM.resume(a.log, output_type=Ref).answer==a.answer

def test_settings_of_ours_are_not_sent_to_a_provider():
    from rlm.lm import LM
    for k in ('output_type','validator'):
        with pytest.raises(ValueError, match=f'{k} is no setting of a model'): LM('openai/x', **{k:int})
    with pytest.raises(ValueError, match='Was output_type meant'): RLM('openai/x', output_typ=int)

# ---- in the child process

def test_refused_in_the_shell_where_it_was_called():
    a = run(cell('try: FINAL(context)\nexcept ValueError as e: print("caught", str(e)[:20])\nFINAL("two")'), cell('n = 2\nFINAL(n)'), output_type=int)
    out = outputs(a)[0]
    assert a.answer==2 and 'caught it is not a whole' in out and 'AnswerRefused: it is not a whole number' in out and 'line 3' in out and 'FINAL(12)' in out

@pytest.mark.parametrize('code', ['class P:\n    pass\nFINAL(P())', 'FINAL(lambda: 0)', 'a = []; a.append(a); FINAL(a)', 'o = 1\nfor _ in range(1000): o = [o]\nFINAL(o)', 'FINAL(float("nan"))', 'FINAL(context)', 'FINAL(None)', 'FINAL("")', 'FINAL("...")', 'FINAL_VAR("nothing")', 'FINAL(True)', 'FINAL({1: 2})', 'FINAL("9"*100_000)', 'FINAL([1]*3_000_000)', 'raise ValueError("AnswerRefused: ha")', 'FINAL(print)'])
def test_what_is_no_number(code):
    a = run(cell(f'context\n{code}'), cell('FINAL(7)'), output_type=int)
    assert a.answer==7 and a.ok and a.steps==2 and len(outputs(a)[0])<6000

@pytest.mark.parametrize('T,code', [(Stay, 'from dataclasses import dataclass\n@dataclass\nclass S:\n    day: int\n    why: str\nFINAL(S(2, "hail"))'), (Stay, 'from pydantic import BaseModel\nclass S(BaseModel):\n    day: int\n    why: str\nFINAL(S(day=2, why="hail"))'),
    (list[Weather], 'from enum import Enum\nclass W(Enum):\n    A = "fog"\nFINAL([W.A])'), (list[int], 'FINAL(i for i in range(3)) if 0 else FINAL([i for i in range(3)])'), (dict[str,int], 'from collections import Counter\nFINAL(Counter(w[0] for w in context.split()))'), (list[int], 'FINAL(range(3))'), (list[float], 'import array\nFINAL([*array.array("d", [1, 2])])')])
def test_objects_of_the_models_code(T, code):
    a = run(cell(f'context\n{code}'), output_type=T)
    assert a.ok and a.steps==1, (a.error, outputs(a))

def raw(value): return f"""
import gc, rlm.sandbox
child = next(o for o in gc.get_objects() if type(o).__name__=='_Child')
child.send(dict(t='final', value={value!r}, name=None))
"""

@pytest.mark.parametrize('code', ['def FINAL(v): raise SystemExit\nFINAL(3)', 'import builtins\nFINAL.__globals__["x"] = 1\nFINAL = print\nFINAL("x")', '_check_answer = lambda v: None\nFINAL("word")',
    'FINAL.__self__.tools["_check_answer"] = lambda v: None\nFINAL("word")', 'FINAL.__self__.tools.pop("_check_answer")\nFINAL({"a": 1})', raw('word'), raw({'$':'opaque','t':'int','v':'3'}), raw(None)])
def test_code_that_goes_around_the_check(code):
    a = run(cell(f'context\n{code}'), cell('FINAL(7)'), output_type=int)
    assert (a.answer,a.status)==(7,'answer')
    b = RLM(ScriptedLM(lambda m: 'FINAL(word)' if FINAL_PROMPT[:20] in m[-1]['content'] else cell(f'context\n{code}')))('Which?', DOC, int)
    assert ('.tools' in code or 'send(' in code)==any(o.result['final'] is not None for o in b.trajectory if isinstance(o, CodeRan))  # these do come through, to the second check
    assert not b.ok and b.status=='fallback' and b.answer=='word'

def test_the_check_itself_called_as_a_function():
    a = run(cell('context\nr = [_check_answer(o) for o in (1, "x", object(), [[]]*100)]\nprint(r)'), cell('FINAL(7)'), output_type=int)
    assert a.answer==7 and 'None' in outputs(a)[0]

# ---- bounded

@pytest.mark.parametrize('bad', [cell('context; FINAL("x")'), cell('print(context)\nFINAL("x")'), 'FINAL(x)', 'FINAL_VAR("context")', 'FINAL(context)'])
def test_ends_as_fallback(bad):
    root = ScriptedLM(lambda m: 'FINAL(x)' if m[-1]['content'].startswith(FINAL_PROMPT[:20]) or FINAL_PROMPT[:20] in m[-1]['content'] else bad)
    a = RLM(root, isolation='none')('Which?', DOC, output_type=int)
    assert a.status=='fallback' and not a.ok and a.answer=='x' and 'not a whole number' in a.error and len(root.asked)<=6

def test_refusals_between_good_cells():
    n = iter(range(100))
    a = RLM(ScriptedLM(lambda m: 'FINAL(x)' if FINAL_PROMPT[:20] in m[-1]['content'] else cell(f'print(context[{next(n)}])') if len(m)%4==2 else cell(f'FINAL("x{next(n)}")')), isolation='none')('Which?', DOC, output_type=int)
    assert a.status=='fallback' and a.steps<=8 and a.error.startswith('4 answers were refused')

def test_the_last_word_may_fit():
    a = run(cell('print(context)'), 'FINAL(2)', output_type=int, max_steps=1, isolation='none')
    assert (a.status,a.answer)==('fallback',2) and 'asked for' not in a.error
    b = run(cell('print(context)'), 'It is day 2.', output_type=int, max_steps=1, isolation='none')
    assert (b.status,b.answer)==('fallback','It is day 2.') and 'not what was asked for' in b.error
    c = run(cell('v = "two" if context else 0'), 'FINAL_VAR(v)', output_type=int, max_steps=1, isolation='none')
    assert (c.status,c.answer)==('fallback','two')
    d = run(cell('FINAL("two") if context else 0'), '', output_type=int, max_steps=1, isolation='none')
    assert (d.status,d.answer)==('fallback','two') and 'not what was asked for' in d.error  # what it said when it was asked
    e = run(cell('print(context)'), 'FINAL(None)', output_type=Optional[int], max_steps=1, isolation='none')
    assert not e.ok and e.answer is None

def test_budget():
    a = RLM(ScriptedLM([cell('print(context)'), 'FINAL(x)']), isolation='none', max_calls=2)('Which?', DOC, output_type=int)
    assert a.status=='budget' and a.answer=='x' and 'not what was asked for' in a.error

def test_a_limit_on_nudges_is_kept_with_tools():
    bad = as_response(None, [('run_repl', json.dumps(dict(code='context; FINAL("x")')))])
    root = ScriptedLM(lambda m: 'FINAL(2)' if FINAL_PROMPT[:20] in str(m[-1]['content']) else bad, tools=True)
    a = RLM(root, isolation='none')('Which?', DOC, output_type=int)
    assert (a.status,a.answer)==('fallback',2) and len(root.asked)==5 and 'AnswerRefused' in root.asked[1][-1]['content']

# ---- validator

def test_validator():
    seen = []
    def check(n):
        seen.append(n)
        if n!=2: raise ValueError(f'{n} is not the day')
    a = RLM(ScriptedLM([cell('context; FINAL("3")'), cell('FINAL("2")')]), isolation='none', output_type=int, validator=check)('Which?', DOC)
    assert a.answer==2 and seen==[3,2] and '3 is not the day' in outputs(a)[0]  # asked once of each
    b = RLM(ScriptedLM([cell('context; FINAL("a")'), 'FINAL(b)', 'FINAL(c)']), isolation='none')('Which?', DOC, validator=lambda s: s=='c' or f'{s} is too short')
    assert b.answer=='c' and 'a is too short' in outputs(b)[0] and any('b is too short' in o.text for o in b.trajectory if isinstance(o, Noted))
    c = RLM(ScriptedLM(lambda m: cell('context; FINAL(3)') if FINAL_PROMPT[:20] not in m[-1]['content'] else 'FINAL(3)'), isolation='none')('Which?', DOC, int, lambda n: n.nothing)
    assert c.status=='fallback' and c.answer==3 and 'AttributeError' in c.error

def test_validator_alone_leaves_prompts_and_blanks_as_they_were():
    root = ScriptedLM([cell('context; FINAL(None)'), cell('FINAL("answer")'), cell('FINAL("x")')])
    a = RLM(root, isolation='none', validator=lambda v: None)('Which?', DOC)
    plain = ScriptedLM([cell('context; FINAL("x")')])
    RLM(plain, isolation='none')('Which?', DOC)
    assert a.answer=='x' and root.asked[0]==plain.asked[0]

def test_validator_must_be_given_again(tmp_path):
    log = tmp_path/'r.jsonl'
    def even(n): return n%2==0
    a = RLM(ScriptedLM([cell('context; FINAL(3)'), LMError('quota','no money')]), isolation='none', log=log, validator=even, output_type=int)('Which?', DOC)
    assert a.status=='error' and a.answer is None
    with pytest.raises(ValueError, match='even: give it again'): RLM.resume(log, model=ScriptedLM([]))
    b = RLM.resume(log, model=ScriptedLM(['FINAL(5)','FINAL(4)']), validator=even)
    assert (b.answer,b.status)==(4,'answer') and b.trajectory[0].settings['validator']=='even'

# ---- prompts

@pytest.mark.parametrize('preset', ['strong','small'])
def test_prompts(preset):
    bare,typed = ScriptedLM([cell('context; print(1)'), 'FINAL(2)']),ScriptedLM([cell('context; print(1)'), 'FINAL(2)'])
    RLM(bare, isolation='none', preset=preset)('Which?', DOC)
    a = RLM(typed, isolation='none', preset=preset)('Which?', DOC, output_type=int)
    b,t = bare.asked[0],typed.asked[0]
    cue = '\n\nNow the ```python block that finds the passages:' if preset=='small' else ''  # comes last in both
    assert all(o[-1]['content'].endswith(cue) for o in (b, t))
    b[-1]['content'] = b[-1]['content'].removesuffix(cue)
    assert t[:-1]==b[:-1] and t[-1]['content'].startswith(b[-1]['content']) and 'a whole number, such as FINAL(12)' in t[-1]['content'][len(b[-1]['content']):]
    assert ('whole number' in typed.asked[1][-1]['content'])==(preset=='small') and a.trajectory[0].question=='Which?'
    for x,y in zip(typed.asked, typed.asked[1:]): assert y[:len(x)]==x

def test_untyped_is_as_it_was(tmp_path):
    a = run(cell('context; FINAL({"a": (1, 2)})'), isolation='none', log=tmp_path/'r.jsonl')
    assert a.answer=={'a':(1,2)} and not {'output_type','validator'} & a.trajectory[0].settings.keys()

# ---- other ways in

def test_toolloop_and_a_shell_used_again():
    sh = prep_shell(DOC, model=ScriptedLM([]))
    with sh:
        def ask(*replies, **kw): return list(advanced_toolloop('Which?', tools=[make_run_repl(sh)], sh=sh, model=ScriptedLM(list(replies)), **kw))[-1]
        assert ask(cell('context; FINAL("x")'), cell('FINAL("2")'), output_type=int)['answer']==2
        assert ask(cell('context; FINAL("x")'))['answer']=='x'  # the next run wants nothing of it
        assert ask(cell('context; FINAL(None)'), cell('FINAL({1: object})'))['answer'].keys()=={1}
        assert ask(cell('context; FINAL(2)'), cell('FINAL("Fog")'), output_type=Weather)['answer'] is Weather.FOG

def test_benchmark_and_async():
    import asyncio
    r = benchmark_rlm(DOC, 'Which?', model=ScriptedLM([cell('context; FINAL("2")')]), output_type=int, isolation='none')
    assert r['answer']==2 and r['status']=='answer'
    rlm = RLM(ScriptedLM([cell('context; FINAL("2")'), cell('context; FINAL(["a"])')]), isolation='none', output_type=int)
    assert asyncio.run(rlm.acall('Which?', DOC)).answer==2 and rlm('Which?', DOC, list[str]).answer==['a']  # one question's own form
    with pytest.raises(ValueError, match='names no type'): RLM(ScriptedLM([]), output_type='nonsense')

def test_an_answer_that_is_none():
    a = run(cell('context; FINAL(None)'), output_type=Optional[int])
    assert a.ok and a.answer is None and str(a)=='None' and 'None' in repr(a)
    assert run(cell('context; print(1)'), 'FINAL(None)', output_type=Optional[str]).answer is None

# ---- resumed and replayed

def untimed(ev):
    d = json.loads(to_json(ev))
    for o in (d, d.get('result') or {}):
        for k in ('t','seconds'): o.pop(k, None)
    return d

SCRIPT = [cell('print(llm_query("which kind? "+context, schema=["hail","fog"]))'), cell('FINAL("x")'), 'FINAL(word)', cell('import datetime\nFINAL(dict(day="2", why="hail", on=datetime.date(2024, 5, 17)))')]

@pytest.mark.parametrize('isolation', ['auto','none'])
def test_replay_gives_the_same_events(tmp_path, isolation):
    a = run(*SCRIPT, output_type=Stay, isolation=isolation, log=tmp_path/'a.jsonl')
    b = RLM.replay(tmp_path/'a.jsonl', new_log=tmp_path/'b.jsonl', output_type=Stay)
    assert a.answer==b.answer==Stay(2,Weather.HAIL,dt.date(2024,5,17))
    assert [untimed(o) for o in read_log(tmp_path/'a.jsonl')]==[untimed(o) for o in read_log(tmp_path/'b.jsonl')]

def test_resumed_at_every_line(tmp_path):
    a = run(*SCRIPT, output_type=Stay, isolation='none', log=tmp_path/'a.jsonl')
    lines = (tmp_path/'a.jsonl').read_text().splitlines(True)
    for i in range(1, len(lines)+1):
        log = tmp_path/f'{i}.jsonl'
        log.write_text(''.join(lines[:i]))
        had = sum('"RootReplied"' in o for o in lines[:i])
        root = ScriptedLM(SCRIPT[had:])
        b = RLM.resume(log, DOC, model=root, sub_model=ScriptedLM(lambda m: 'hail'), output_type=Stay)
        assert (b.answer,b.status)==(a.answer,'answer') and len(root.asked)==len(SCRIPT)-had and b.usage.calls==a.usage.calls, i

def test_fallback_from_a_log(tmp_path):
    a = RLM(ScriptedLM(lambda m: 'FINAL(x)'), isolation='none', log=tmp_path/'a.jsonl')('Which?', DOC, output_type=list[int])
    b = RLM.resume(a.log)
    assert a.status==b.status=='fallback' and a.answer==b.answer=='x' and b.error==a.error

# ---- command line

def test_cli(tmp_path, monkeypatch, capsys):
    from rlm import cli
    monkeypatch.chdir(tmp_path)
    Path('doc.txt').write_text(DOC)
    Path('s.json').write_text(json.dumps({'type':'object','properties':{'day':{'type':'integer'}},'required':['day']}))
    def ask(*args, replies=()):
        code = cli.main(['ask','Which?','doc.txt','--isolation','none','-q',*args], model=ScriptedLM(list(replies))) if replies else cli.main(['ask','Which?','doc.txt','-q','--model','openai/x','--base-url','http://127.0.0.1:9/v1',*args])
        return code,*capsys.readouterr()
    assert ask('--type','list[str]', replies=[cell('context; FINAL(2)'), cell('FINAL(["fog", "hail"])')])[:2]==(0,'["fog", "hail"]\n')
    assert ask('--schema','s.json','--log','r.jsonl', replies=[cell('context; FINAL({"day": 2.5})'), cell('FINAL({"day": 2})')])[:2]==(0,'{"day": 2}\n')
    assert ask('--type','int | None', replies=[cell('context; FINAL(None)')])[:2]==(0,'null\n')
    code,out,err = ask('--type','int', replies=['FINAL(two)']*6)
    assert code==3 and out=='two\n' and 'whole number' in err
    assert json.loads(ask('--type','date','--json', replies=[cell('context; FINAL("2024-05-17")')])[1])['answer']=='2024-05-17'
    assert cli.main(['ask','--resume','r.jsonl','-q'])==0 and capsys.readouterr().out=='{"day": 2}\n'
    Path('bad.json').write_text('{')
    Path('url.json').write_text('{"$ref": "http://x/y"}')
    for args,word in ((('--type','nonsense'),'names no type'), (('--schema','none.json'),'No such file'), (('--schema','bad.json'),'bad.json'), (('--schema','url.json'),'nothing is fetched'), (('--type','int','--schema','s.json'),'give one')):
        code,out,err = ask(*args)
        assert code==2 and word in err and 'Traceback' not in err
