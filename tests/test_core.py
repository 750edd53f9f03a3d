"The loop: every way a reply can be odd, and every way a run can end"
import _thread,asyncio,copy,gc,io,json,os,re,signal,subprocess,sys,textwrap,threading,time
from pathlib import Path
import pytest
from rlm.budget import Budget,Usage
from rlm.events import *
from rlm.events import STATUSES,read_log
from rlm.lm import LM,LMError,ScriptedLM,ReplayLM,as_response
from rlm.presets import Preset
from rlm.prompts import FINAL_PROMPT,REPL_SYSTEM_PROMPT,nudge
from rlm.tools import ToolError,make_run_repl,prep_shell
from rlm.core import RLM,Answer,Run,advanced_toolloop

TEXT = 'Day 1: fog.\nDay 2: hail, the ferry stayed.\nDay 3: sun.'
BOTH = pytest.mark.parametrize('isolation', ['none','auto'])

def py(code): return f'```python\n{code}\n```\n'
def use(content, i=10, o=5, **kw): return as_response(content, usage=dict(prompt_tokens=i, completion_tokens=o, total_tokens=i+o), **kw)
def tool(*calls, content=None, **kw): return as_response(content, [c if isinstance(c,dict) else (c if isinstance(c,tuple) else ('run_repl', json.dumps(dict(code=c)))) for c in calls], **kw)

def ask(root, sub=lambda m: 'yes', isolation='none', question='What was the weather?', **kw):
    root = root if isinstance(root,LM) else ScriptedLM(root)
    sub = sub if isinstance(sub,LM) else ScriptedLM(sub, model='sub')
    a = RLM(root, sub, isolation=isolation, **kw)(question, TEXT)
    check(a, root)
    return a

def check(a, root=None):
    "What holds for every run, however it ended"
    assert a.status in STATUSES and a.ok==(a.status=='answer')
    evs = a.trajectory
    assert isinstance(evs[0],RunStarted) and isinstance(evs[-1],RunEnded) and [type(o) for o in evs].count(RunEnded)==1
    assert all(x.t<=y.t for x,y in zip(evs,evs[1:])) and all(x.step<=y.step for x,y in zip(evs,evs[1:]))
    paid = [o for o in evs if isinstance(o,(RootReplied,SubReplied))]
    for k in ('calls','prompt_tokens','completion_tokens'): assert getattr(a.usage,k)==sum(o.usage[k] for o in paid), k
    subs = [[o.id for o in evs if isinstance(o,c)] for c in (SubStarted,SubReplied)]
    assert sorted(subs[0])==sorted(subs[1])
    if root is not None: append_only(root)

def append_only(root):
    "Each request begins with the last one, byte for byte"
    for a,b in zip(root.asked, root.asked[1:]): assert json.dumps(b[:len(a)])==json.dumps(a)

def notes(a, kind='nudge'): return [o.text for o in a.trajectory if isinstance(o,Noted) and o.kind==kind]
def shown(root, i=-1): return root.asked[i][-1]['content']

# answers

@pytest.mark.parametrize('value', ['3','"a"','[1,{"a":(2,)}]','{"k":1}','0','False','0.0','[]','{}','()','1+2j','float("inf")','b"x"','{1,2}','"{x}"','"FINAL(4)"','"```"','"\\ud800"','"x"*200_000','__import__("datetime").date(2024,1,2)'])
@BOTH
def test_values_keep_their_type(value, isolation):
    a = ask([py(f'context\nFINAL({value})')], isolation=isolation)
    want = eval(value)
    assert a.status=='answer' and a.answer==want and type(a.answer)==type(want)
    str(a); repr(a)

@pytest.mark.parametrize('expr', ['open("/dev/null")','(x for x in "ab")','__import__("threading").Lock()','print','type("Odd",(),{"__repr__":lambda s: "odd"})()','{("a",1):2}'])
def test_values_that_cannot_be_copied(expr, tmp_path):
    a = ask([py(f'context\nFINAL({expr})')], log=tmp_path/'a.jsonl')
    assert a.status=='answer' and a.answer is not None and isinstance(read_log(a.log)[-1],RunEnded)

@pytest.mark.parametrize('bad', ['None','""','"  "'])
def test_no_answer_is_refused(bad):
    a = ask([py(f'context\nFINAL({bad})'), py('FINAL(1)')])
    assert a.answer==1 and 'the answer is' in a.trajectory[4].text

@pytest.mark.parametrize('blank', ['...','"your answer"'])
@BOTH
def test_a_blank_is_no_answer(blank, isolation):
    root = ScriptedLM([py(f'context\nFINAL({blank})'), py('FINAL(3)')])
    assert ask(root, isolation=isolation).answer==3 and nudge('placeholder') in shown(root)

@BOTH
def test_final_var(isolation):
    a = ask([py('rows = context.count("Day")\nFINAL_VAR("row")'), py('FINAL_VAR("rows")')], isolation=isolation)
    assert a.answer==3 and "no variable 'row'" in a.found and 'rows' in a.found

@pytest.mark.parametrize('text,answer', [('FINAL(Torvik)','Torvik'), ('FINAL(n)',3), ('FINAL_VAR(n)',3), ('FINAL_VAR("n")',3), ('FINAL(n+1)',4), ('FINAL(f"{n} days")','3 days'), ('FINAL(re.sub("a","b","a"))','b'), ('FINAL("n")','n'), ('**FINAL(3.10)**','3.10'),
    ('<think>FINAL(no)</think>FINAL(yes)','yes')])
def test_final_in_text(text, answer):
    assert ask([py('import re\nn = context.count("Day")\nprint(n)'), text]).answer==answer

def test_final_var_of_nothing_in_text():
    a = ask([py('print(context)'), 'FINAL_VAR(nothing)', 'FINAL(x)'])
    assert a.answer=='x' and "no variable 'nothing'" in notes(a)[0]

def test_final_beside_code():
    root = ScriptedLM([py('print(context)')+'\nFINAL(guess)', 'FINAL(sun)'])
    a = ask(root)
    assert a.answer=='sun' and nudge('beside') in shown(root)
    assert ask([py('n = context.count("Day")')+'\nFINAL_VAR(n)']).answer==3  # read after the code has run
    assert ask([py('n = context.count("Day")')+'\nFINAL(n)']).answer==3
    root = ScriptedLM([tool('print(context)', content='FINAL(guess)'), 'FINAL(sun)'], tools=True)
    assert ask(root).answer=='sun' and nudge('beside') in shown(root)

def test_guess_before_looking():
    a = ask(['FINAL(sun)', 'FINAL(sun)'])
    assert a.answer=='sun' and notes(a)==[nudge('unseen')] and a.usage.calls==2
    assert notes(ask(['FINAL(your answer)', py('print(context)'), 'FINAL(...)', 'FINAL(x)']))==[nudge('placeholder')]*2

def test_code_after_final_does_not_run():
    a = ask([py('context\nFINAL(1)')+py('x = 1/0')])
    assert a.answer==1 and [type(o) for o in a.trajectory].count(CodeRan)==1
    a = ask(ScriptedLM([tool('context\nFINAL(1)', 'FINAL(2)')], tools=True))
    assert a.answer==1 and [type(o) for o in a.trajectory].count(CodeRan)==1

def test_swallowed_final_counts():
    assert ask([py('try: context; FINAL(1)\nexcept Exception: pass\nFINAL(2)')]).answer==1

# odd replies

@pytest.mark.parametrize('reply,problem', [(None,'empty'), ('','empty'), ('<think>x</think>','empty'), ('I think so.','prose'), (as_response('```python\nprint(', finish_reason='length'),'cut'),
    (as_response(None, refusal='no'),'refusal'), (as_response('', finish_reason='content_filter'),'refusal')])
@pytest.mark.parametrize('tools', [False,True])
def test_odd_replies_get_a_message(reply, problem, tools):
    root = ScriptedLM([as_response(None) if reply is None else reply, py('context\nFINAL(1)')], tools=tools)
    a = ask(root)
    assert a.answer==1 and notes(a)==[nudge(problem)] and shown(root)==nudge(problem)
    assert all(m['content'] for m in root.asked[-1])

def test_a_bounded_number_of_tries():
    root = ScriptedLM(lambda m: 'Perhaps hail.' if FINAL_PROMPT in m[-1]['content'] else 'Hm.')
    a = ask(root)
    assert (a.status,a.answer,a.usage.calls)==('fallback','Perhaps hail.',5) and 'of no use' in a.error and not a.ok
    a = ask([*['Hm.']*3, py('print(context)'), *['Hm.']*3, 'FINAL(1)'])  # a useful step resets the count
    assert a.answer==1

def test_the_same_code_again_is_a_mistake():
    for code in ('print(context)', 'context\n1/0'):
        a = ask(lambda m: 'FINAL(1)' if FINAL_PROMPT in m[-1]['content'] else py(code))
        assert (a.status,a.steps)==('fallback',5)

def test_a_cell_that_prints_nothing():
    root = ScriptedLM([py('x = context'), py('FINAL(1)')])
    ask(root)
    assert nudge('nothing') in shown(root)

def test_an_error_keeps_what_was_assigned_and_stops_the_blocks():
    root = ScriptedLM([py('n = len(context)\nprint("seen")\nn/0')+py('n = 5'), py('FINAL(n)')])
    a = ask(root)
    assert a.answer==len(TEXT) and 'seen' in shown(root) and 'ZeroDivisionError' in shown(root)

def test_bare_code_and_calls_in_text():
    assert ask(['print(context)', 'FINAL(1)']).answer==1
    assert ask(['<tool_call>{"name": "run_repl", "arguments": {"code": "context\\nFINAL(2)"}}</tool_call>']).answer==2

@pytest.mark.parametrize('call,msg', [(('run_repl','{"code": "pri'),'not valid JSON'), (('run_repl','{}'),'also needs: code'), (('run_repl','{"code": 3}'),'also needs: code'), (('nope','{}'),"no tool 'nope'"), (('','{}'),"no tool ''"),
    (('FINAL','{"answer": 3}'),'FINAL is a function in the shell'), (('run_repl','[1'),'SyntaxError|incomplete')])
def test_wrong_calls_are_answered(call, msg):
    root = ScriptedLM([tool(call), tool('context\nFINAL(1)')], tools=True)
    a = ask(root)
    assert a.answer==1 and re.search(msg, shown(root)) and root.asked[-1][-1]['role']=='tool'
    c = root.asked[-1][-2]['tool_calls'][0]['function']
    assert isinstance(json.loads(c['arguments']), dict) and c['name']

def test_arguments_forgiven():
    for args in ('context\nFINAL(1)', "{'code': 'context;FINAL(1)'}", '{"code": "context\nFINAL(1)"}'): assert ask(ScriptedLM([tool(('run_repl',args))], tools=True)).answer==1

def test_cut_call_is_not_run():
    root = ScriptedLM([tool(('run_repl','context; print("half')  , finish_reason='length'), tool('context;FINAL(1)')], tools=True)
    assert ask(root).answer==1 and nudge('cut') in shown(root)

def test_every_call_of_a_reply_is_answered():
    "Right, wrong and unknown ones, and also when the tries are used up in the middle"
    root = ScriptedLM([tool('print(context)', ('nope','{}'), ('run_repl','{"co'), '1/0', 'print(2)'), *[tool(*[('nope','{}')]*5)], 'FINAL(x)'], tools=True)
    a = ask(root)
    assert a.status=='fallback' and a.answer=='x'
    for m,rest in ((m,root.asked[-1][i+1:]) for i,m in enumerate(root.asked[-1]) if m.get('tool_calls')):
        assert [o.get('tool_call_id') for o in rest[:5]]==[c['id'] for c in m['tool_calls']]

def test_mixed_modes():
    assert ask(ScriptedLM([py('print(context)'), tool('FINAL(1)')], tools=True)).answer==1
    assert ask(ScriptedLM([py('print(context)'), 'FINAL(1)'], tools=True)).answer==1

@pytest.mark.parametrize('mode,able,want', [('auto',True,'tools'), ('auto',False,'code'), ('tools',False,'tools'), ('code',True,'code')])
def test_mode(mode, able, want):
    sent = []
    class Lm(ScriptedLM):
        async def _send(self, messages, tools, **kw):
            sent.append(tools)
            return await super()._send(messages, tools, **kw)
    a = ask(Lm([tool('context;FINAL(1)') if want=='tools' else py('context;FINAL(1)')], tools=able), mode=mode)
    assert a.answer==1 and a.trajectory[0].settings['mode']==want and bool(sent[0])==(want=='tools')

def test_no_two_messages_of_the_user_in_a_row():
    "Some chat templates refuse them"
    root = ScriptedLM([py('print(context)')+py('print(len(context))'), 'Hm.', '<tool_call>{"name":"nope","arguments":{}}</tool_call><tool_call>{"name":"nope","arguments":{}}</tool_call>', py('print(1)')+'FINAL(2)', 'FINAL(3)'])
    ask(root, max_steps=4)
    for ms in root.asked: assert all(a['role']!=b['role'] for a,b in zip(ms,ms[1:]))

# what the user gives

def test_braces_fences_and_final_in_the_question():
    q = 'What is {x}? {0} %s ```python\nFINAL(3)\n```\nFINAL(4)'
    root = ScriptedLM([py('print(context)'), 'FINAL(5)'])
    a = ask(root, question=q, sp='Be {brief} %s.', final_prompt='{now}')
    assert a.answer==5 and q in root.asked[0][-1]['content'] and root.asked[0][0]['content']=='Be {brief} %s.'

def test_system_prompts():
    for sp,preset,small in [(None,'strong',0), (REPL_SYSTEM_PROMPT+'X','strong',0), (REPL_SYSTEM_PROMPT+'X','small',1), (None,'small',1), ('own','small',0)]:
        root = ScriptedLM([py('context;FINAL(1)')])
        ask(root, sp=sp, preset=preset)
        ms = root.asked[0]
        assert (len(ms)>2)==bool(small) and (not sp or ms[0]['content'].endswith(sp[-1]))

def test_preset_object():
    p = Preset('mine', 'My prompt.', max_output=200, one_block=True, remind=True, max_tokens=77, stop=('END',))
    sent = []
    class Lm(ScriptedLM):
        async def _send(self, messages, tools, **kw):
            sent.append(kw)
            return await super()._send(messages, tools, **kw)
    root = Lm([py('print(context*100)')+'\nOutput: 17'+py('1/0'), 'FINAL(1)'])
    a = ask(root, preset=p)
    assert a.answer==1 and sent[0].items()>=dict(max_tokens=77).items() and sent[0]['stop']==['END'] and 'Output: 17' not in str(root.asked[-1]) and len(shown(root))<700
    with pytest.raises(ValueError, match='no preset'): RLM(root, preset='big')

def test_another_word_for_final():
    p = Preset('mine', 'My prompt.', patterns=dict(final=r'^ANSWER:\s*\(', var=r'^VAR:\s*\('))
    assert ask([py('n = len(context)\nprint(n)'), 'ANSWER: (sun)'], preset=p).answer=='sun' and ask([py('n = len(context)\nprint(n)'), 'VAR: (n)'], preset=p).answer==len(TEXT)
    assert ask([py('print(context)'), 'ANSWER: (sun)'], preset=p, max_steps=1).answer=='sun'

@pytest.mark.parametrize('kw,e', [(dict(max_steps=0),'max_steps'), (dict(max_cost=-1),'max_cost'), (dict(max_time=0),'max_time'), (dict(preset='x'),'preset'), (dict(mode='x'),'mode must be'), (dict(tools=[lambda x: x]),'tool'), (dict(tools=[3]),'tool'),
    (dict(log='/dev/null/x'),'cannot be written')])
def test_bad_settings(kw, e):
    root = ScriptedLM([])
    with pytest.raises(ValueError, match=e): RLM(root, isolation='none', **kw)('Who?', TEXT)
    assert not root.asked

@pytest.mark.parametrize('q,c', [('',TEXT), (' ',TEXT), (None,TEXT), (3,TEXT), ('Who?',''), ('Who?',None), ('Who?',Path('/no/such/file')), ('Who?',b'\xff\xfe\xfa'*3), ('Who?',[])])
def test_bad_input(q, c):
    root = ScriptedLM([])
    with pytest.raises(ValueError): RLM(root, isolation='none')(q, c)
    assert not root.asked

def test_unknown_price():
    for root,sub in [(LM('openai/own',base_url='http://127.0.0.1:9'),ScriptedLM([])), (ScriptedLM([]),LM('openai/own',base_url='http://127.0.0.1:9'))]:
        with pytest.raises(ValueError, match='max_cost=1 cannot be kept'): RLM(root, sub, max_cost=1, isolation='none')('Who?', TEXT)

def test_odd_contexts():
    for c in (['a',{'b':[1,None]}], {'a':'b'}, b'bytes', 'half \ud800 a pair', 'x'*2_000_000): assert RLM(ScriptedLM([py('FINAL(str(type(context)))')]), isolation='none')('Who?', c).ok

# tools

def feet(metres:float # A length
)->float:
    "Convert metres to feet."
    return round(metres/.3048, 1)

async def later(n:int)->int:
    "Waits a little"
    await asyncio.sleep(.01)
    return n+1

def fails(n:int)->int:
    "Raises"
    raise KeyError(n)

def quits()->str:
    "Ends the process"
    raise SystemExit(3)

@BOTH
def test_tools_both_ways(isolation):
    a = ask([py('FINAL([feet(100), later(1)])')], tools=[feet,later], isolation=isolation)
    assert a.answer==[328.1,2]
    root = ScriptedLM([tool(('feet','{"metres": "100"}'), ('later','{"n": 1}'), ('fails','{"n": 1}'), ('feet','{"m": 1}'), ('quits','{}')), 'FINAL(ok)'], tools=True)
    a = ask(root, tools=[feet,later,fails,quits], isolation=isolation)
    got = [m['content'] for m in root.asked[-1] if m['role']=='tool']
    assert a.answer=='ok' and got[:2]==['328.1','2'] and 'KeyError' in got[2] and 'no parameter m' in got[3] and 'SystemExit' in got[4]

def test_one_tool_need_not_be_a_list(): assert ask([py('FINAL(feet(1))')], tools=feet).answer==3.3

def test_names_that_are_taken():
    def search(q:str)->str:
        "x"
    def other(q:str)->str:
        "x"
    other.__name__ = 'feet'
    for tools in ([search], [feet,feet], [feet,other]):
        with pytest.raises(ToolError, match='taken|two tools'): ask([], tools=tools)
    with prep_shell('x', model=ScriptedLM([]), isolation='none') as a, prep_shell('x', model=ScriptedLM([]), isolation='none') as b:
        with pytest.raises(ToolError, match='another shell'): advanced_toolloop('Who?', tools=[make_run_repl(b)], sh=a, model=ScriptedLM([]))

def test_slow_tool_and_max_time():
    def slow()->str:
        "Takes long"
        time.sleep(20)
    t = time.monotonic()
    a = ask(ScriptedLM([tool(('slow','{}')), 'FINAL(x)'], tools=True), tools=[slow], max_time=.6)
    assert a.status=='budget' and time.monotonic()-t<10 and 'max_time' in a.error

# the ways to end

def test_steps():
    root = ScriptedLM(lambda m: '<think>x</think>' if FINAL_PROMPT in m[-1]['content'] else py(f'print({len(m)}, context)'))
    a = ask(root, max_steps=3)
    assert (a.status,a.answer,a.steps,a.usage.calls)==('steps',None,3,4) and 'max_steps' in a.error and 'Day' in a.found

@pytest.mark.parametrize('last,answer', [('FINAL(hail)','hail'), ('I think hail.','I think hail.'), ('FINAL(n)',7), ('FINAL_VAR(n)',7), ('FINAL_VAR(m)',None), (py('print(1)'),None), ('It is:\n'+py('print(1)'),'It is:'), ('FINAL()',None), ('FINAL(your answer)',None)])
def test_last_word(last, answer):
    a = ask([py('n = 7\nprint(context)'), last], max_steps=1)
    assert (a.status,a.answer)==('steps' if answer is None else 'fallback', answer)

@pytest.mark.parametrize('tools', [False,True])
def test_max_calls_leaves_a_last_word(tools):
    root = ScriptedLM(lambda m: 'FINAL(best)' if FINAL_PROMPT in m[-1]['content'] else (tool if tools else py)('context\nprint(llm_query_batched(["a"]*50))'), tools=tools)
    a = ask(root, max_calls=10)
    assert (a.status,a.answer)==('budget','best') and a.usage.calls<=10 and 'max_calls' in a.error
    assert notes(a,'budget') and any('Budget:' in m['content'] for m in root.asked[-1])

def test_max_tokens_leaves_a_last_word():
    root = ScriptedLM(lambda m: use('FINAL(best)' if FINAL_PROMPT in m[-1]['content'] else py('context\nprint(llm_query_batched(["a"*4000]*50))'), 1500, 50))
    a = ask(root, sub=ScriptedLM(lambda m: use('x',1000,10), max_tokens=100), max_tokens=30_000)
    assert (a.status,a.answer)==('budget','best') and a.usage.tokens<=30_000

def test_max_cost_is_kept():
    root = ScriptedLM(lambda m: use('FINAL(best)' if FINAL_PROMPT in m[-1]['content'] else py('context\nprint(llm_query_batched(["a"*4000]*50))'), 1500, 50), prices=(10,10))
    a = ask(root, sub=ScriptedLM(lambda m: use('x',1000,10), max_tokens=100, prices=(10,10)), max_cost=.3)
    assert (a.status,a.answer)==('budget','best') and .1<a.usage.cost<=.3

def test_a_budget_too_small_for_the_first_call():
    root = ScriptedLM([])
    a = ask(root, max_tokens=5)
    assert (a.status,a.answer,a.usage.calls)==('budget',None,0) and 'max_tokens' in a.error and not root.asked

def test_one_call_is_enough_if_it_answers():
    a = ask([py('context;FINAL(1)')], max_calls=1)
    assert a.answer==1 and a.ok

def test_max_time_in_a_root_call():
    t = time.monotonic()
    a = ask(ScriptedLM(['x'], delay=60), max_time=.5)
    assert a.status=='budget' and 'max_time' in a.error and time.monotonic()-t<10

@BOTH
@pytest.mark.parametrize('code', ['import time\nwhile True: time.sleep(.01)', 'llm_query("x")'])
def test_max_time_in_a_cell(isolation, code):
    t = time.monotonic()
    a = ask([py('context\nx = 1\n'+code), 'FINAL(x)', 'FINAL(x)'], sub=ScriptedLM(lambda m: 'x', delay=60), max_time=2, isolation=isolation)
    assert a.status=='budget' and 'max_time' in a.error and time.monotonic()-t<20

def test_time_is_held_back_for_the_last_word():
    class Lm(ScriptedLM):
        async def _send(self, messages, tools, **kw):
            await asyncio.sleep(.15)
            return await super()._send(messages, tools, **kw)
    a = ask(Lm(lambda m: 'FINAL(best)' if FINAL_PROMPT in m[-1]['content'] else py('context\nimport time\ntime.sleep(60)')), max_time=4)
    assert (a.status,a.answer)==('budget','best') and a.seconds<5

@pytest.mark.parametrize('kind', ['auth','quota','model','bad_request','context'])
def test_provider_fails_the_root(kind):
    a = ask([use(py('print(context)')), LMError(kind,'says no')])
    assert a.status=='error' and 'says no' in a.error and a.answer is None and (a.usage.calls,a.usage.prompt_tokens)==(1,10) and 'Day' in a.found

@pytest.mark.parametrize('kind', ['auth','quota','model'])
@BOTH
def test_provider_fails_the_sub_model(kind, isolation):
    a = ask([py('try: llm_query("x")\nexcept Exception: pass\nprint("on")'), 'FINAL(1)'], sub=lambda m: LMError(kind,'says no'), isolation=isolation)
    assert a.status=='error' and 'says no' in a.error
    a = ask([py('llm_query_batched(["x"]*99)\nFINAL(1)')], sub=lambda m: LMError(kind,'says no'), isolation=isolation)
    assert a.status=='error' and a.answer==1 and not a.ok  # kept, and no success

def test_a_failed_sub_call_is_the_models_business():
    a = ask([py('context\nx = llm_query_batched(["a","b"])\nprint(x)'), py('FINAL(x)')], sub=lambda m: LMError('bad_request','no b') if m[-1]['content']=='b' else 'A')
    assert a.ok and a.answer[0]=='A' and 'no b' in a.answer[1]

def test_our_own_failure(monkeypatch):
    import rlm.run
    monkeypatch.setattr(rlm.run, 'parse_reply', lambda *a: 1/0)
    a = ask([use('x')])
    assert a.status=='error' and 'ZeroDivisionError' in a.error and a.usage.prompt_tokens==10

def test_retries_are_told():
    a = ask(ScriptedLM([LMError('server','down'), py('context;FINAL(1)')], max_wait=.01))
    assert a.ok and 'down' in notes(a,'retry')[0] and a.usage.calls==1

def test_a_lost_shell(monkeypatch):
    a = ask([py('context\nx = 1\nimport os\nos._exit(3)'), py('FINAL(len(context))')], isolation='auto')
    assert a.answer==len(TEXT) and notes(a,'shell') and next(o for o in a.trajectory if isinstance(o,CodeRan)).result['status']=='lost'

def test_cell_timeout_keeps_variables():
    a = ask([py('x = len(context)\nwhile True: pass'), py('FINAL(x)')], isolation='auto', cell_timeout=1)
    assert a.answer==len(TEXT) and 'TimeoutError' in a.found

def test_window_is_full():
    root = ScriptedLM(lambda m: 'FINAL(best)' if FINAL_PROMPT in m[-1]['content'] else py(f'print({len(m)}, context, "x"*4000)'))
    root.window = 3500  # the first output alone fills it: see test_window for what becomes of more
    a = ask(root)
    assert (a.status,a.answer)==('fallback','best') and 'window' in a.error and max(o.est_tokens for o in a.trajectory if isinstance(o,RootAsked))<3500

# 80 %

@pytest.mark.parametrize('tools', [False,True])
def test_warning_is_appended_never_edited_in(tools):
    one = (lambda c: tool(c)) if tools else py
    root = ScriptedLM([one(f'print({i}, context)') for i in range(8)]+['FINAL(1)'], tools=tools)
    a = ask(root, max_calls=10)
    assert len(notes(a,'budget'))==1
    said = [m for m in root.asked[-1] if 'Budget:' in str(m['content'])]
    assert len(said)==1 and said[0]['role']==('tool' if tools else 'user')

def test_model_can_ask_for_the_budget(): assert ask([py('context;FINAL(SHOW_BUDGET()["calls"])')], max_calls=10).answer<=9

# the log

@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full')
def test_full_disk():
    root = ScriptedLM([py('print(context)'), 'FINAL(1)'])
    a = ask(root, log='/dev/full')
    assert a.status=='error' and 'cannot be written any more' in a.error and not root.asked

@pytest.mark.parametrize('at', ['RootReplied','SubReplied','CodeRan'])
@BOTH
def test_disk_fills_up(at, isolation, tmp_path, monkeypatch):
    from rlm.events import Log
    write = Log.write
    def full(self, ev):
        if type(ev).__name__==at: raise OSError(28,'No space left on device')
        write(self, ev)
    monkeypatch.setattr(Log, 'write', full)
    a = ask([py('print(llm_query(context))\nprint("used")'), 'FINAL(1)'], log=tmp_path/'a.jsonl', isolation=isolation)
    assert a.status=='error' and 'No space left' in a.error and a.usage.calls>=1
    if at=='SubReplied': assert 'used' not in (a.found or '')

def test_log_is_the_trajectory(tmp_path):
    a = ask([py('print(llm_query_batched(["a","b",3]))'), 'Hm.', py('FINAL({"a":1})')], log=tmp_path/'x'/'a.jsonl')
    assert a.log==tmp_path/'x'/'a.jsonl' and [type(o) for o in read_log(a.log)]==[type(o) for o in a.trajectory] and read_log(a.log)[-1].answer=={'a':1}

def test_no_key_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setenv('SOME_API_KEY', 'sk-environment')
    a = ask(ScriptedLM([py('print("sk-environment", "sk-passed-in", context)'), LMError('bad_request','key sk-passed-in is bad')], api_key='sk-passed-in'), log=tmp_path/'a.jsonl')
    s = a.log.read_text()
    assert 'sk-environment' not in s and 'sk-passed-in' not in s and a.status=='error'

def short(a): return sorted((o.step, type(o).__name__, *(str(getattr(o,k,'')) for k in ('id','text','content','error','answer','status') if not (k=='id' and isinstance(o,(RunStarted,SubStarted,SubReplied))))) for o in a.trajectory)

@BOTH
def test_replay(isolation, tmp_path):
    "Errors, batches, nudges and all: the same events, the same bill, no model"
    sub = lambda m: LMError('bad_request','bad') if m[-1]['content']=='b' else use(m[-1]['content']*2, 3, 2)
    root = [use(py('x = llm_query_batched(["a","b","a",3,"c"])\nprint(x)')), use('Hm.'), use(py('context\n1/0')), use(tool(('nope','{}'))['choices'][0]['message']['content'] or ''), use(py('FINAL({"x": x})'))]
    a = ask(root, sub, log=tmp_path/'a.jsonl', isolation=isolation)
    assert a.ok
    b = RLM(ReplayLM(a.log), ReplayLM(a.log,'sub'), isolation=isolation, preset='strong')('What was the weather?', TEXT)
    check(b)
    assert short(a)==short(b) and (b.usage.prompt_tokens,b.usage.cost)==(a.usage.prompt_tokens,a.usage.cost)

# readers

def test_events_and_early_close(tmp_path):
    rlm = RLM(ScriptedLM([py('print(context)'), 'FINAL(1)']), isolation='none', log=tmp_path/'a.jsonl')
    assert isinstance(list(rlm.events('Who?', TEXT))[-1], RunEnded)
    for n in range(1,6):
        p = tmp_path/f'{n}.jsonl'
        g = RLM(ScriptedLM([py('print(context)'), 'FINAL(1)']), isolation='none', log=p).events('Who?', TEXT)
        for _ in range(n): next(g)
        if n%2: g.close()
        else: del g; gc.collect()
        assert read_log(p)[-1].status=='interrupted' and 'closed' in read_log(p)[-1].error

@BOTH
def test_close_while_sub_calls_are_in_flight(isolation, tmp_path):
    sub = ScriptedLM(lambda m: 'x', delay=60)
    with prep_shell(TEXT, model=sub, isolation=isolation) as sh:
        run = Run('Who?', sh, ScriptedLM([py('context\nllm_query_batched(["a"]*5)')]), log=tmp_path/'a.jsonl')
        g = run.play()
        if isolation=='none': threading.Timer(.5, sh.interrupt).start()
        for ev in g:
            if isinstance(ev, SubStarted if isolation!='none' else CodeStarted): break
        t = time.monotonic()
        g.close()
        assert time.monotonic()-t<15
        check(run.result())
        assert run.result().status=='interrupted' and run.ledger.reserved==Usage() and not sh.sub.live
        a = [*advanced_toolloop('Who?', sh=sh, model=ScriptedLM([py('context\nFINAL(2)')]))][-1]  # the shell can be used again
        assert a['answer']==2

def test_sub_calls_of_a_thread_end_with_the_run():
    a = ask([py('context\nimport threading\ndef quiet():\n    try: llm_query("x")\n    except RuntimeError: pass\nfor i in range(3): threading.Thread(target=quiet, daemon=True).start()\nimport time; time.sleep(.3)'), 'FINAL(1)'], sub=ScriptedLM(lambda m: 'x', delay=60))
    assert a.ok and [o.error for o in a.trajectory if isinstance(o,SubReplied)]==['cancelled']*3

def test_two_runs_on_one_shell():
    with prep_shell(TEXT, model=ScriptedLM(lambda m: use('y',3,1)), isolation='none') as sh:
        for i in range(2):
            last = [*advanced_toolloop('Who?', sh=sh, model=ScriptedLM([use(py('n = llm_query(context)')), use(f'FINAL({i})'), ]))][-1]
            assert last['answer']==i and (last['usage'].calls,last['usage'].by['sub'].prompt_tokens)==(3,3)
        assert sh.user_ns['n']=='y'
        g = advanced_toolloop('Who?', sh=sh, model=ScriptedLM(['x']*9)); next(g)
        with pytest.raises(RuntimeError, match='another question'): list(advanced_toolloop('Who?', sh=sh, model=ScriptedLM(['x'])))
        g.close()
        assert sh.run_cell('llm_query("by hand")').value=="'y'"

def test_one_rlm_in_several_threads(tmp_path):
    rlm = RLM(ScriptedLM(lambda m: py('FINAL((context, llm_query(context)))')), ScriptedLM(lambda m: use(m[-1]['content'].upper(),1,1)), isolation='none', log=tmp_path)
    res = {}
    ts = [threading.Thread(target=lambda i=i: res.update({i: rlm('Who?', f'context {i}')})) for i in range(6)]
    for t in ts: t.start()
    for t in ts: t.join()
    for i,a in res.items():
        check(a)
        assert a.answer==(f'context {i}', f'CONTEXT {i}') and a.usage.calls==2
    assert len(res)==6 and sorted(len(read_log(p)) for p in tmp_path.iterdir())==sorted(len(a.trajectory) for a in res.values())

def test_a_run_is_played_once():
    with prep_shell(TEXT, model=ScriptedLM([]), isolation='none') as sh:
        run = Run('Who?', sh, ScriptedLM([py('context;FINAL(1)')]))
        assert run.result().status=='interrupted'
        list(run.play())
        with pytest.raises(RuntimeError, match='has been played'): list(run.play())

def test_async_callers():
    async def go():
        rlm = RLM(ScriptedLM(lambda m: py('FINAL(len(context))'), delay=.05), isolation='none')
        return await asyncio.gather(*[rlm.acall('Who?', 'x'*i) for i in range(1,6)])
    assert [a.answer for a in asyncio.run(go())]==[1,2,3,4,5]

def test_async_caller_cancelled_at_once(tmp_path):
    rlm = RLM(ScriptedLM(['x']*99, delay=.5), isolation='auto', log=tmp_path/'a.jsonl')
    async def go():
        t = asyncio.create_task(rlm.acall('Who?', TEXT))
        await asyncio.sleep(.001)
        t.cancel()
        with pytest.raises(asyncio.CancelledError): await t
    asyncio.run(go())
    if (tmp_path/'a.jsonl').exists(): assert read_log(tmp_path/'a.jsonl')[-1].status=='interrupted'

@BOTH
def test_cancelled_async_caller(isolation, tmp_path):
    rlm = RLM(ScriptedLM([py('context\nwhile True: pass')]), isolation=isolation, log=tmp_path/'a.jsonl')
    async def go():
        with pytest.raises(asyncio.TimeoutError): await asyncio.wait_for(rlm.acall('Who?', TEXT), 2)
    t = time.monotonic()
    asyncio.run(go())  # waits for its threads
    assert time.monotonic()-t<20 and read_log(tmp_path/'a.jsonl')[-1].status=='interrupted'

# the seed's interface

def test_items_of_the_toolloop():
    with prep_shell(TEXT, model=ScriptedLM(lambda m: use('y',3,1)), isolation='none') as sh:
        run_repl = make_run_repl(sh)
        root = ScriptedLM([use(None, tool_calls=[('run_repl','{"code": "print(llm_query(context))"}'), ('feet','{"metres": 1}')]), use('FINAL(3)')], tools=True)
        items = [*advanced_toolloop('Who?', sp=REPL_SYSTEM_PROMPT, tools=[run_repl,feet], sh=sh, model=root, max_steps=50, verbose=False)]
    assert items[0].choices[0].message.tool_calls[0].function.name=='run_repl'
    assert items[1:3]==[dict(role='tool',tool_call_id='call_0',name='run_repl',content='y'), dict(role='tool',tool_call_id='call_1',name='feet',content='3.3')]
    last = items[-1]
    assert (last['type'],last['answer'],last['status'])==('final',3,'answer') and (last['usage'].calls,last['usage'].prompt_tokens,last['usage'].completion_tokens)==(3,23,11)
    assert [isinstance(o,dict) and o.get('type')=='final' for o in items].count(True)==1

def test_max_output_of_run_repl():
    with prep_shell(TEXT, model=ScriptedLM([]), isolation='none') as sh:
        for repl,n in ((make_run_repl(sh,300),300), (make_run_repl(sh),5000), (make_run_repl(sh,9000),9000)):
            items = [*advanced_toolloop('Who?', tools=[repl], model=ScriptedLM([py('context\nprint("x"*50_000)'), 'FINAL(1)']))]
            assert n<=len(items[1]['content'])<n+200

def test_toolloop_needs_a_shell():
    with pytest.raises(ValueError, match='prep_shell'): advanced_toolloop('Who?', model=ScriptedLM([]))

@pytest.mark.parametrize('status,root,kw', [('error',[LMError('auth','no')],{}), ('steps',[py('print(context)'),''],dict(max_steps=1)), ('budget',[],dict(max_tokens=5)), ('fallback',[py('print(context)'),'x'],dict(max_steps=1))])
def test_last_item_of_every_ending(status, root, kw):
    with prep_shell(TEXT, model=ScriptedLM([]), isolation='none') as sh:
        last = [*advanced_toolloop('Who?', sh=sh, model=ScriptedLM(root), **kw)][-1]
    assert last['type']=='final' and last['status']==status and (last['answer'] is None)==(status!='fallback') and last['error'] and isinstance(last['usage'],Usage)

def test_verbose(capsys):
    a = ask([py('print(llm_query(context))'), 'FINAL(sun)'], verbose=True)
    out = capsys.readouterr()
    assert a.ok and 'sun' in out.out+out.err

def test_answer_shows_itself():
    a = ask([py('context;FINAL("x"*5000)')])
    assert len(repr(a))<1500 and "status='answer'" in repr(a) and str(a)=='x'*5000
    a = ask([LMError('auth','no key')])
    assert 'no key' in str(a) and "status='error'" in repr(a) and a._repr_html_() and a._repr_markdown_()

# Ctrl-C: in processes of their own

HEAD = '''
import sys,os,signal,threading,time,json
from rlm.core import *
from rlm.core import Run
from rlm.tools import prep_shell,make_run_repl
from rlm.lm import ScriptedLM
from rlm.events import *
def ctrl_c(after): threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
def py(code): return f'```python\\n{code}\\n```'
iso = sys.argv[1]
def out(a): print(json.dumps([a.status, a.answer, a.usage.calls, type(a.trajectory[-1]).__name__]))
'''
CASES = dict(
    root="ctrl_c(1.5); out(RLM(ScriptedLM([py('context;print(1)'), 'x'], delay=1), isolation=iso)('Who?', 'text'))",
    cell="ctrl_c(2); out(RLM(ScriptedLM([py('context\\nimport time\\nwhile True: time.sleep(.01)')]), isolation=iso)('Who?', 'text'))",
    subs="ctrl_c(2); out(RLM(ScriptedLM([py('context\\nllm_query_batched([\"a\"]*9)')]), ScriptedLM(lambda m: 'x', delay=60), isolation=iso)('Who?', 'text'))",
    reader="""
rlm = RLM(ScriptedLM([py('context;print(1)'), 'FINAL(1)']), isolation=iso, log=sys.argv[2])
try:
    for ev in rlm.events('Who?', 'text'):
        if isinstance(ev, CodeRan): os.kill(os.getpid(), signal.SIGINT); time.sleep(5)
except KeyboardInterrupt: pass
ev = None
import gc; gc.collect()
e = read_log(sys.argv[2])[-1]
print(json.dumps([e.status, e.answer, e.usage['calls'], type(e).__name__]))""",
    toolloop="""
sh = prep_shell('text', model=ScriptedLM([]), isolation=iso)
ctrl_c(2)
for item in advanced_toolloop('Who?', sh=sh, tools=[make_run_repl(sh)], model=ScriptedLM([py('context\\nx = 5\\nimport time\\nwhile True: time.sleep(.01)')])): pass
assert sh.user_ns['x']==5 and item['type']=='final'
print(json.dumps([item['status'], item['answer'], item['usage'].calls, 'RunEnded']))
sh.close()""",
    view="""
import rlm.view
show = rlm.view.Console.show
def slow(self, ev):
    if isinstance(ev, CodeRan): os.kill(os.getpid(), signal.SIGINT); time.sleep(5)
    show(self, ev)
rlm.view.Console.show = slow
sys.stdout,real = sys.stderr,sys.stdout
a = RLM(ScriptedLM([py('context;print(1)'), 'FINAL(1)']), isolation=iso, verbose=True)('Who?', 'text')
sys.stdout = real
out(a)""")

@pytest.mark.skipif(os.name=='nt', reason='signals')
@pytest.mark.parametrize('case', CASES)
def test_ctrl_c(case, tmp_path):
    "Wherever Ctrl-C arrives, there is an answer that says so, and the process ends by itself"
    ps = {iso: subprocess.Popen([sys.executable,'-c',HEAD+CASES[case],iso,str(tmp_path/f'{iso}.jsonl')], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for iso in ('none','auto')}
    for iso,p in ps.items():
        out,err = p.communicate(timeout=90)
        assert p.returncode==0, err
        status,answer,calls,last = json.loads(out.strip().splitlines()[-1])
        assert (status,answer,last)==('interrupted',None,'RunEnded') and calls==(1 if case!='root' else calls), (iso,out,err)

def test_signed_thinking_goes_back():
    "What a provider signed of the model's thinking is in the next request, where it asks for it"
    signed = [dict(type='thinking', thinking='hm', signature='abc')]
    root = ScriptedLM([as_response('```python\nprint(context)\n```', thinking_blocks=signed), 'FINAL(3)'])
    assert RLM(root, isolation='none')('How many?', 'three ships').answer==3
    assert root.asked[1][-2]['thinking_blocks']==signed

def test_keywords_beside_a_ready_lm():
    with pytest.raises(ValueError, match='temperature'): RLM(ScriptedLM([]), temperature=0)
    r = RLM('openai/x', sub_model=ScriptedLM([]), temperature=0)
    assert r.lm.temperature==0 and r.sub_lm.temperature is None

def test_streamed_pieces_are_events_but_not_kept(tmp_path):
    "A reader sees a streamed reply come; log and trajectory hold it once, whole"
    from fakeserver import FakeServer
    from rlm.events import RootDelta
    with FakeServer(['```python\nprint(len(context))\n```','FINAL(11)']) as s:
        r = RLM('openai/x', base_url=s.url, stream=True, isolation='none', log=tmp_path/'a.jsonl')
        evs = list(r.events('How long?', 'hello world'))
    assert evs[-1].answer==11
    for step in (1,2):
        said = next(o.reply['content'] for o in evs if isinstance(o, RootReplied) and o.step==step)
        assert ''.join(o.text for o in evs if isinstance(o, RootDelta) and o.step==step)==said
    assert not any(isinstance(o, RootDelta) for o in read_log(tmp_path/'a.jsonl'))


# ## What small models are helped with

FAILS,WORKS = '```python\nint("fog")  # context\n```','```python\nprint(context.count("fog"))\n```'

def copying(m, seen=None):
    "A small model that writes the failing code until its history is gone"
    if seen is not None: seen.append(m)
    text = m[-1]['content']
    if 'An earlier attempt ended so' in text: return WORKS
    return 'Final Answer: 3' if text.startswith('OUTPUT\n"""\n3\n') else FAILS

def test_copied_mistake_begins_anew():
    seen = []
    a = RLM(ScriptedLM(lambda m: copying(m, seen), model='tiny-1b'))('How often is fog mentioned?', 'fog, fog and fog')
    assert (str(a.answer), a.status, a.steps)==('3', 'answer', 4)
    assert [len(m)-len(seen[0]) for m in seen]==[0, 2, 0, 2]
    assert "ValueError" in seen[2][-1]['content'] and FAILS not in str(seen[2][len(seen[0])-1:])

def test_strong_model_keeps_its_history():
    seen = []
    RLM(ScriptedLM(lambda m: copying(m, seen)), max_steps=4)('How often is fog mentioned?', 'fog, fog and fog')
    assert all(b[:len(a)]==a for a,b in zip(seen, seen[1:]))

def test_begun_anew_is_resumed(tmp_path):
    log = tmp_path/'run.jsonl'
    want = RLM(ScriptedLM(copying, model='tiny-1b'), log=log)('How often is fog mentioned?', 'fog, fog and fog')
    lines = log.read_text().splitlines()
    for k in range(2, len(lines)):
        part = tmp_path/f'{k}.jsonl'
        part.write_text('\n'.join(lines[:k])+'\n')
        a = RLM.resume(part, model=ScriptedLM(copying, model='tiny-1b'))
        assert (a.answer, a.usage)==(want.answer, want.usage), k

def recorded(replies, seen, **kw):
    "A small model with these replies, and the messages it was shown"
    def says(m): seen.append(m); return replies[len(seen)-1]
    return RLM(ScriptedLM(says, model='tiny-1b'), **kw)

LOOKS = '```python\nprint(context[:100])\n```'

@pytest.mark.parametrize('first', ['10', 'FINAL(10)', ''])
def test_small_model_that_replies_before_it_looks_is_asked_anew(first):
    "It would go on as it began: Qwen2.5-Coder-1.5B replied 10, then the words in which it was told that this is no code, and then 10"
    seen = []
    a = recorded([first, LOOKS, 'FINAL(7)'], seen)('Which number?', 'the number is 7')
    assert (a.answer, a.status)==(7, 'answer') and [len(m)-len(seen[0]) for m in seen]==[0, 0, 2]
    assert seen[0][-1]['content'].endswith('that finds the passages:') and seen[1][-1]['content']==seen[0][-1]['content'].replace('\n\nNow the', '\n\nNothing of `context` has been seen yet.\n\nNow the')
    assert any(isinstance(o,Noted) and o.kind=='nudge' for o in a.trajectory)

@pytest.mark.parametrize('copy', ['FINAL(There was no code and no FINAL in your reply.)', 'FINAL(nothing was printed)', 'FINAL("Nothing was found or printed, so nothing of the text stands behind that answer.")'])
def test_what_the_run_has_said_is_no_answer(copy):
    for preset in ('small','strong'):
        a = RLM(ScriptedLM([LOOKS, copy, 'FINAL(7)']), preset=preset)('Which number?', 'the number is 7')
        assert a.answer==7 and any('answer itself in the parentheses' in o.text for o in a.trajectory if isinstance(o,Noted))
    for text in ('the code failed', 'The search found nothing.', 'Nothing', 'the text stands behind that answer'): assert RLM(ScriptedLM([LOOKS, f'FINAL({text})']))('What?', 'the number is 7').answer==text

def searched(word): return f'```python\nhits = search("{word}")\nprint(hits)\n```'

def test_a_search_that_found_nothing_twice_begins_anew():
    seen = []
    a = recorded([searched('astronaut'), searched('astronaut'), searched('station'), 'FINAL(Mabel)'], seen, max_depth=0)('Who is an astronaut?', 'Mabel docked at the space station.\n\nOtis stayed at home.')
    assert (a.answer, a.status)==('Mabel', 'answer') and [len(m)-len(seen[0]) for m in seen]==[0, 2, 0, 2]
    assert "An earlier attempt ended so" in seen[2][-1]['content'] and "0 matches for 'astronaut'" in seen[2][-1]['content'] and seen[2][-1]['content'].endswith('that finds the passages:')
    assert seen[1][-1]['content'].endswith('Now another ```python block:') and 'sub-model' not in seen[1][-1]['content']

def test_an_answer_from_a_search_that_found_nothing_is_questioned_once():
    reads = '```python\nhits = search("astronaut")\nprint(llm_query(str(hits)+" Who?"))\n```'
    text = 'Mabel docked at the space station.'
    small = lambda *replies: RLM(ScriptedLM(list(replies), model='tiny-1b'), sub_model=ScriptedLM(lambda m: 'Astronauts'))('Who is an astronaut?', text)
    a = small(reads, 'FINAL(Astronauts)', LOOKS, 'FINAL(Mabel)')
    assert a.answer=='Mabel' and any('nothing of the text stands behind' in o.text for o in a.trajectory if isinstance(o,Noted))
    assert small(reads, 'FINAL(nobody)', LOOKS, 'FINAL(nobody)').ok
    assert small(LOOKS, reads, 'FINAL(Mabel)').steps==3  # something had been seen before
    assert small('```python\nn = context.count("Mabel")\n```', 'FINAL(n)').answer==1  # nothing printed, but computed from the text

def test_empty_results_are_pointed_out():
    "What prints only zeros or empty lists may not have found how the text is written"
    seen = []
    def says(m):
        seen.append(m)
        return '```python\nprint([o for o in context if o=="x"])\n```' if len(seen)==1 else 'FINAL(none)'
    RLM(ScriptedLM(says, model='tiny-1b'))('Which lines have an x?', 'fog')
    assert 'The result is empty' in seen[1][-1]['content']

def missing(seen, search='hits = search("heights")\nprint(llm_query(str(hits)))'):
    "A small model whose first search finds nothing, and that does as the example shows when it is told to read"
    def says(m):
        seen.append(m[-1]['content'])
        shown = next((o['content'] for o in m if 'pieces =' in o['content']), '')
        return shown if 'Have all of the text read' in seen[-1] else 'FINAL(Ilse)' if 'END OF OUTPUT' in seen[-1] else f'```python\n{search}\n```'
    return says

def reads(m):
    "A sub-model that names somebody whatever it is given, and knows one sentence"
    text = "\n".join(o["content"] for o in m)
    return ('yes' if 'balcon' in text else 'no') if 'yes, no' in text else 'Ilse' if 'balcon' in text else 'Nils'

FOG = 'Fog lay over the harbour. '*60

def test_search_without_a_match_leads_to_reading():
    "A sub-model that was handed an empty search names anyone; so the text is read, piece by piece"
    seen = []
    a = RLM(ScriptedLM(missing(seen), model='tiny-1b'), ScriptedLM(reads, model='tiny-1b'))('Who is afraid of heights?', FOG+'Ilse takes no seat on a balcony. '+FOG)
    assert 'rests on no passage' in seen[1] and 'OUTPUT\n"""\nIlse' in seen[2] and a.answer=='Ilse'

def test_reading_that_finds_nothing_says_so():
    seen = []
    RLM(ScriptedLM(missing(seen), model='tiny-1b'), ScriptedLM(reads, model='tiny-1b'))('Who is afraid of heights?', FOG)
    assert 'no passage says it' in seen[2]

@pytest.mark.parametrize('context,kw', [(FOG*120, {}), ([FOG], {}), (FOG, dict(max_depth=0))])
def test_what_cannot_be_read_whole_is_searched_in_other_words(context, kw):
    seen = []
    search = 'print(search("heights"))' if kw else 'print(llm_query(str(search("heights"))))'
    RLM(ScriptedLM(missing(seen, search), model='tiny-1b'), ScriptedLM(reads, model='tiny-1b'), **kw)('Who is afraid of heights?', context)
    assert ('rests on no passage' in seen[1])==(not kw) and 'Search for other words' in seen[1]

def test_one_search_of_two_that_finds_is_enough():
    seen = []
    RLM(ScriptedLM(missing(seen, 'print(search("heights"), search("fog"))'), model='tiny-1b'), ScriptedLM(reads))('Who is afraid of heights?', FOG)
    assert 'rests on no passage' not in seen[1]

def test_a_run_that_reads_is_resumed(tmp_path):
    log,text = tmp_path/'run.jsonl',FOG+'Ilse takes no seat on a balcony. '+FOG
    models = lambda: dict(model=ScriptedLM(missing([]), model='tiny-1b'), sub_model=ScriptedLM(reads, model='tiny-1b'))
    want = RLM(*models().values(), log=log)('Who is afraid of heights?', text)
    lines = log.read_text().splitlines()
    for k in range(2, len(lines), 3):
        part = tmp_path/f'{k}.jsonl'
        part.write_text('\n'.join(lines[:k])+'\n')
        a = RLM.resume(part, **models())
        assert (a.answer, a.usage, a.steps)==(want.answer, want.usage, 3), k

@pytest.mark.parametrize('text,void', [('[]',True), ("''",False), ('0',True), ("0 {'a': 0, 'b': 0}",True), ('none',True), ('10',False), ('[0, 1]',False), ('fog',False), ('fog 0',True)])
def test_is_void(text, void):
    from rlm.signs import is_void
    assert is_void(text)==void

def test_examples_follow_the_question():
    from rlm.presets import small_preset
    last = lambda q, **kw: [o['content'] for o in small_preset(question=q, **kw).examples if o['role']=='assistant'][-2]
    assert 'llm_map' in last('Which label is the most frequent?') and 'llm_map' not in str(small_preset(question='Which label?', sub_calls=False).examples)
    assert 'search(' in last('Who is it?') and 'B) ' not in last('Who is it?')
    ends = small_preset(question='Which?\n\nA) one\nB) two').examples
    assert ends[-1]['content']=='FINAL(B)'
    assert 'FINAL(sorted(reached))' in small_preset(question='List all places that a boat goes to').examples[-1]['content']
    assert 'FINAL(sorted(parents))' in small_preset(question='List the parents of a node of the graph').examples[-1]['content']
    assert 'FINAL(sorted(layer))' in small_preset(question='Which nodes does a BFS from here reach?').examples[-1]['content']

def test_a_table_has_examples_of_its_own():
    pd = pytest.importorskip('pandas')
    root = ScriptedLM(['```python\nprint(context.groupby("boat")["tons"].sum().idxmax())\n```', 'FINAL(Elbe)'], model='tiny-1b')
    a = RLM(root)('Which kind of boat carried the most?', pd.DataFrame(dict(boat=['Brage','Elbe','Elbe'], tons=[3,2,2])))
    asked = root.asked[0]
    assert a.answer=='Elbe' and 'a long table' in asked[0]['content'] and 'with pandas' in asked[0]['content'] and 'groupby("lighthouse")' in asked[-4]['content'] and 'search("' not in str(asked)

def test_a_reply_that_was_cut_off_is_told_so():
    "Asked anew without that word, the model would write the same block again"
    seen = []
    cut = as_response('```python\nfor i in range(10):\n    print(', finish_reason='length')
    a = recorded([cut, LOOKS, 'FINAL(7)'], seen)('Which number?', 'the number is 7')
    assert a.answer==7 and 'Write a shorter block' in seen[1][-1]['content'] and len(seen[1])==len(seen[0])

def test_asked_anew_is_another_request_each_time(tmp_path):
    "A cache would answer the same one with the same reply"
    seen = []
    lm = ScriptedLM(lambda m: seen.append(m) or '10', model='tiny-1b', cache=tmp_path/'c.sqlite')
    a = RLM(lm)('Which number?', 'the number is 7')
    assert a.status!='answer' and not any(o.cached for o in a.trajectory if isinstance(o,RootReplied)) and len({str(m) for m in seen})==len(seen)

def test_what_leads_into_code_is_not_before_a_request_for_none():
    seen = []
    recorded(['x','x','x','x','seven'], seen)('Which number?', 'the number is 7')
    assert '```python' not in seen[-1][-1]['content'] and 'No more code can be run' in seen[-1][-1]['content']
    seen = []
    recorded(['```python\nx=1\n```','seven'], seen, max_steps=1)('Which number?', 'the number is 7')
    assert 'Now another' not in seen[-1][-1]['content'] and 'No more code can be run' in seen[-1][-1]['content']

def test_an_output_beside_a_vain_search_counts():
    both = '```python\nprint(search("astronaut"))\nprint(context[:300])\n```'
    a = RLM(ScriptedLM([both, 'FINAL(Mabel)'], model='tiny-1b'))('Who is an astronaut?', 'Mabel docked at the space station.')
    assert (a.answer, a.steps)==('Mabel', 2)

def test_a_good_output_after_copies_stays():
    call = '<tool_call>{"name":"run_repl","arguments":{"code":"print([])"}}</tool_call>'
    seen = []
    recorded([call, call, '```python\nprint(context)\n```', 'FINAL(7)'], seen)('Which number?', 'the number is 7')
    assert 'An earlier attempt' not in str(seen[-1]) and 'the number is 7' in seen[-1][-1]['content']

def test_an_id_without_quotes_is_named():
    "As the local model wrote it eight times, told only that the syntax is invalid"
    seen = []
    a = recorded(['```python\nlayer = {3b9b4d7d27}\nprint(context)\n```', '```python\nlayer = {"3b9b4d7d27"}\nprint(context)\n```', 'FINAL(a)'], seen)('Which nodes does a BFS from 3b9b4d7d27 reach?', '3b9b4d7d27 -> a')
    assert a.ok and '3b9b4d7d27 is no number' in seen[1][-1]['content'] and seen[1][-1]['content'].endswith('Now another ```python block:')
    assert 'is no number' not in str(seen[2][-1])

def test_an_answer_that_rests_on_an_empty_result_is_questioned_once():
    "As the local model counted labels: it split the lines at what is not in them, and answered from 0 and 0"
    wrong,right = 'rows = [o for o in context.splitlines() if " : " in o]\nprint(len(rows), 0)','print(context.count("x"))'
    a = RLM(ScriptedLM([f'```python\n{wrong}\n```', 'FINAL(N)', f'```python\n{right}\n```', 'FINAL(3)']), preset='small')('How many?', 'x x x')
    assert a.answer==3 and [o.text[:20] for o in a.trajectory if isinstance(o,Noted)]==['Nothing was found or']
    b = RLM(ScriptedLM([f'```python\n{wrong}\n```', 'FINAL(0)', 'FINAL(0)']), preset='small')('How many?', 'x x x')
    assert b.answer==0 and b.steps==3
    assert RLM(ScriptedLM([f'```python\n{wrong}\n```', 'FINAL(0)']), preset='strong')('How many?', 'x x x').steps==2

def test_a_context_that_the_model_makes_up_does_not_take_the_place_of_the_real_one():
    "As the local model did, asked how blanks are removed"
    replies = ['text = " a "\nprint(text.strip())', 'context = "   Hello, World!   "\nprint(context.strip())', 'print(context)']
    for iso in ('none','auto'):
        a = RLM(ScriptedLM([f'```python\n{o}\n```' for o in replies]+['FINAL(strip)']), preset='small', isolation=iso)('How do I remove blanks?', 'Use strip.')
        outs = [o for o in a.trajectory if isinstance(o,CodeRan)]
        assert a.ok and outs[2].result['stdout']=='Use strip.\n' and 'is there again now' in outs[1].text and 'not looked at' in outs[0].text
    ok = 'context = context.lower()\nprint(context)'
    a = RLM(ScriptedLM([f'```python\n{ok}\n```', '```python\nprint(context)\n```', 'FINAL(1)']), preset='small')('How?', 'Use STRIP.')
    assert [o.result['stdout'] for o in a.trajectory if isinstance(o,CodeRan)]==['use strip.\n']*2

def test_the_letter_that_stands_for_the_answer_is_none():
    q = "How many? End your answer with 'Answer: N', where N is the number."
    for first in ('FINAL(N)', '```python\nFINAL("N")\n```'):
        a = RLM(ScriptedLM(['```python\nprint(context.count("x"), "Answer: N")\n```', first, 'FINAL(3)']), preset='small')(q, 'x x x')
        assert a.answer==3 and any('itself in the parentheses' in o.text for o in a.trajectory if isinstance(o,(Noted,CodeRan)))
    assert RLM(ScriptedLM(['```python\nprint(context)\n```', 'FINAL(N)']), preset='small')('Which letter?', 'x x x').answer=='N'
    assert RLM(ScriptedLM(['```python\nprint(context)\n```', 'FINAL(A)']))('Which one, where A is yes and B is no?', 'x x x').answer=='A'

def test_a_small_model_is_told_what_it_has_not_imported():
    lm = ScriptedLM(['```python\nprint(Counter(context))\n```', '```python\nfrom collections import Counter\nprint(Counter(context)["a"])\n```', 'FINAL(3)'], model='some-1b')
    a = RLM(lm, isolation='none')('How many a?', 'banana')
    assert a.answer in (3,'3') and 'first line: from collections import Counter' in lm.asked[1][-1]['content']
