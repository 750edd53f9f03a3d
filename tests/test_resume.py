"Runs that are cut off and go on: nothing is paid twice, nothing is lost"
import json,os,random,re,signal,subprocess,sys,threading,time
from pathlib import Path
import pytest
from rlm.budget import Usage
from rlm.context import ContextError
from rlm.core import RLM,answer_of
from rlm.events import *
from rlm.events import from_json,read_log,to_json
from rlm.lm import LMError,ScriptedLM,as_response
from rlm.prompts import FINAL_PROMPT
from rlm.tape import Tape

TEXT = 'Day 1: fog.\nDay 2: hail, the ferry stayed.\nDay 3: sun.'
BOTH = pytest.mark.parametrize('isolation', ['none','auto'])

def py(code): return f'```python\n{code}\n```\n'
def use(content, i=10, o=5, **kw): return as_response(content, usage=dict(prompt_tokens=i, completion_tokens=o, total_tokens=i+o), **kw)
def untimed(ev):
    d = json.loads(to_json(ev))
    for o in (d, d.get('result') or {}):
        for k in ('t','seconds'): o.pop(k, None)
    return d

class Script:
    "A root that says its nth reply to the request with n replies in it, and a sub-model; both count what they are asked"
    def __init__(self, root, sub=lambda p: p.upper(), tools=False):
        self.asked,self.prompts = [],[]
        def say(m):
            n = sum(o['role']=='assistant' for o in m)
            self.asked.append(n)
            r = root[n]
            return r() if callable(r) else r
        def answer(m):
            self.prompts.append(m[-1]['content'])
            r = sub(m[-1]['content'])
            return r if isinstance(r,BaseException) else use(r, len(m[-1]['content']), 3)
        self.root,self.sub = ScriptedLM(say, tools=tools),ScriptedLM(answer, model='sub')

STEPS = [use(py('print(len(context))'), 100, 7), use(py('lines = context.splitlines()\nfirst = llm_query("one " + lines[0])'), 120, 8),
         use(py('rest = llm_query_batched(["many "+o for o in lines]*3)\nprint(rest[-1])'), 140, 9), use('Hm.', 150, 2), use(py('n = {"first": first, "rest": rest}'), 160, 9), use('FINAL_VAR("n")', 170, 4)]
ANSWER = {'first':'ONE DAY 1: FOG.', 'rest':[f'MANY {o}'.upper() for o in TEXT.split('\n')]*3}

def whole(tmp_path, isolation='none', **kw):
    "A run that came to its end"
    s = Script(STEPS)
    a = RLM(s.root, s.sub, isolation=isolation, log=tmp_path/'whole.jsonl', **kw)('The weather?', TEXT)
    assert a.answer==ANSWER and a.status=='answer'
    return a,s

def cut(log, n, path):
    "The first `n` lines of a log"
    path.write_text(''.join(log.read_text().splitlines(keepends=True)[:n]))
    return path

# going on

@BOTH
def test_resume_after_every_line(tmp_path, isolation):
    "Wherever the log ends, the run goes on to the same answer and the same bill, and asks for nothing that is in the log"
    a,_ = whole(tmp_path, isolation)
    lines = a.log.read_text().splitlines()
    for n in range(1, len(lines)) if isolation=='none' else range(1, len(lines), 7):
        p,s = cut(a.log, n, tmp_path/f'{n}.jsonl'),Script(STEPS)
        before = [from_json(o) for o in lines[:n]]
        b = RLM.resume(p, model=s.root, sub_model=s.sub)
        assert (b.answer,b.status,b.steps)==(ANSWER,'answer',6), n
        assert {k:(u.calls,u.prompt_tokens,u.completion_tokens) for k,u in b.usage.by.items()}=={k:(u.calls,u.prompt_tokens,u.completion_tokens) for k,u in a.usage.by.items()}, n
        assert len(s.asked)==6-sum(isinstance(o,RootReplied) for o in before) and len(s.prompts)==10-sum(isinstance(o,SubReplied) for o in before), n
        again = read_log(p)
        assert [untimed(o) for o in again[:n]]==[untimed(o) for o in before] and isinstance(again[-1],RunEnded)
        assert [type(o) for o in b.trajectory]==[type(o) for o in again], n
        assert sorted(t for o in again if (t:=type(o).__name__) not in ('Noted','SubStarted'))==sorted(t for o in a.trajectory if (t:=type(o).__name__) not in ('Noted','SubStarted')), n
        assert [o.t for o in again]==sorted(o.t for o in again)

def test_the_root_reads_the_same_messages(tmp_path):
    a,s = whole(tmp_path)
    for n in range(1, len(a.trajectory), 5):
        t = Script(STEPS)
        RLM.resume(cut(a.log, n, tmp_path/f'{n}.jsonl'), model=t.root, sub_model=t.sub)
        assert t.root.asked==s.root.asked[len(s.root.asked)-len(t.root.asked):], n

def test_resume_twice_and_three_times(tmp_path):
    "A run that is cut off again and again"
    a,_ = whole(tmp_path)
    p,s = cut(a.log, 9, tmp_path/'cut.jsonl'),Script(STEPS)
    for _ in range(30):
        b = RLM.resume(p, model=s.root, sub_model=s.sub)
        lines = p.read_text().splitlines()
        if len(s.asked)>40: break
        keep = next((i for i,o in enumerate(lines) if i>len(lines)*2//3), len(lines))
        assert b.answer==ANSWER and b.usage.calls>=16
        assert b.usage.calls==sum(o.usage['calls'] for o in b.trajectory if isinstance(o,(RootReplied,SubReplied)))
        p.write_text('\n'.join(lines[:keep])+'\n')

def test_ended_runs_need_no_model(tmp_path):
    a,_ = whole(tmp_path)
    b = RLM.resume(a.log)
    assert (b.answer,b.status,b.steps,b.log,str(b.usage))==(a.answer,a.status,a.steps,a.log,str(a.usage)) and b.usage.by.keys()==a.usage.by.keys()
    assert len(read_log(a.log))==len(a.trajectory)
    assert answer_of(read_log(a.log)).question=='The weather?'

@pytest.mark.parametrize('limit,raised,status', [(dict(max_steps=3), dict(max_steps=9), 'fallback'), (dict(max_calls=6), dict(max_calls=60), 'budget'), (dict(max_tokens=5000), dict(max_tokens=100_000), 'budget')])
def test_a_higher_limit_goes_on(tmp_path, limit, raised, status):
    "With the old limit the recorded answer stands; with a higher one the run goes on from where it was, and nothing that it paid for is asked again"
    def root(m): return use('My best guess: hail.', 50, 5) if FINAL_PROMPT in m[-1]['content'] else STEPS[sum(o['role']=='assistant' for o in m)]
    s = ScriptedLM(root)
    sub = Script(STEPS)
    a = RLM(s, sub.sub, isolation='none', log=tmp_path/'a.jsonl', **limit)('The weather?', TEXT)
    assert a.status==status, a
    n = len(s.asked)
    b = RLM.resume(a.log, model=s, sub_model=sub.sub)
    assert (b.status,b.answer,len(s.asked))==(a.status,a.answer,n)
    b = RLM.resume(a.log, model=s, sub_model=sub.sub, **raised)
    assert b.status=='answer' and b.answer['first']==ANSWER['first']
    assert b.usage.calls==sum(o.usage['calls'] for o in b.trajectory if isinstance(o,(RootReplied,SubReplied)))
    assert len(s.asked)-n==6-sum(isinstance(o,RootReplied) for o in a.trajectory)+sum(getattr(o,'last',False) for o in a.trajectory)

# what is not served again

def test_failures_in_the_cell_that_was_cut_off_are_tried_again(tmp_path):
    "The provider was down; it is not any more"
    down = [True]
    def sub(p): return LMError('quota','no money') if down[0] and 'Day 2' in p else p.upper()
    steps = [py('x = [llm_query(o) for o in context.splitlines()]'), 'FINAL_VAR("x")']
    s = Script(steps, sub)
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl')('Who?', TEXT)
    assert a.status=='error' and len(s.prompts)==2
    down[0],p = False,cut(a.log, next(i for i,o in enumerate(a.trajectory) if isinstance(o,SubReplied) and o.error)+1, tmp_path/'cut.jsonl')
    b = RLM.resume(p, model=s.root, sub_model=s.sub)
    assert b.answer==[o.upper() for o in TEXT.split('\n')] and s.prompts==[TEXT.split('\n')[i] for i in (0,1,1,2)]

def test_failures_in_cells_that_ended_are_not(tmp_path):
    s = Script([py('x = llm_query_batched(context.splitlines())'), py('y = 1'), lambda: LMError('server','down'), 'FINAL_VAR("x")'], lambda p: LMError('bad_request','odd') if 'Day 2' in p else p)
    s.root.retries = 0
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl')('Who?', TEXT)
    assert a.status=='error' and len(s.prompts)==3
    t = Script([None, None, 'FINAL_VAR("x")'])
    b = RLM.resume(a.log, model=t.root, sub_model=t.sub)
    assert b.ok and b.answer[1].startswith('[llm_query failed') and not t.prompts and t.asked==[2]

@BOTH
def test_code_that_asks_otherwise_asks_anew(tmp_path, isolation):
    "Code that draws other prompts the second time is served what fits, and pays for the rest"
    s = Script([py('import time\nt = llm_query(f"now {time.time()}")'), lambda: LMError('auth','no key')])
    a = RLM(s.root, s.sub, isolation=isolation, log=tmp_path/'a.jsonl')('Who?', TEXT)
    t = Script([None, 'FINAL_VAR("t")'])
    b = RLM.resume(a.log, model=t.root, sub_model=t.sub)
    assert b.ok and len(t.prompts)==1 and b.usage.by['sub'].calls==2

def test_secrets_in_prompts_are_found_again(tmp_path, monkeypatch):
    "The log has a name in place of a secret; the prompt is known all the same"
    monkeypatch.setenv('HARBOUR_PASSWORD', 'tide-and-time-77')
    s = Script([py('x = llm_query("tide-and-time-77 "+context)'), lambda: LMError('auth','no key'), 'FINAL_VAR("x")'])
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl')('Who?', TEXT)
    assert 'tide-and' not in a.log.read_text()
    t = Script([None, 'FINAL_VAR("x")'])
    assert RLM.resume(a.log, model=t.root, sub_model=t.sub).ok and not t.prompts

# tools of the user's

def test_tools_are_not_called_twice(tmp_path):
    "By tool calls and from code: what a tool did once, it does not do again"
    sent = []
    def send(to:str, times:int=1)->list:
        "Send a letter"
        sent.append(to)
        if to=='nobody': raise LookupError('no such address')
        return [to]*times
    for tools in (True, False):
        sent.clear()
        first = as_response(None, [('send', '{"to": "Anna", "times": 2}')]) if tools else py('a = send("Anna", times=2)\ntry: send("nobody")\nexcept LookupError as e: print("failed:", e)\nprint(context[:3], a)')
        s = Script([first, lambda: LMError('auth','no key')], tools=tools)
        a = RLM(s.root, s.sub, isolation='none', log=tmp_path/f'{tools}.jsonl', tools=[send])('Who?', TEXT)
        assert len(sent)==(1 if tools else 2) and a.status=='error'
        t = Script([None, py('FINAL((context[:3], 1))') if tools else py('FINAL(a)')], tools=tools)
        with pytest.raises(ValueError, match='had the tools send: give them again'): RLM.resume(a.log, model=t.root, sub_model=t.sub)
        b = RLM.resume(a.log, model=t.root, sub_model=t.sub, tools=[send])
        assert b.ok and len(sent)==(1 if tools else 2) and b.answer==(('Day',1) if tools else ['Anna','Anna'])

def test_an_async_tool_is_not_called_twice(tmp_path):
    sent = []
    async def send(to:str)->str:
        "Send a letter"
        sent.append(to)
        return 'sent to '+to
    s = Script([py('a = send("Anna")\nprint(context[:3], a)'), lambda: LMError('auth','no key')])
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl', tools=[send])('Who?', TEXT)
    t = Script([None, py('FINAL(a)')])
    assert RLM.resume(a.log, model=t.root, sub_model=t.sub, tools=[send]).answer=='sent to Anna' and sent==['Anna']

# shells

@BOTH
def test_cells_that_raised_or_ran_out_of_time(tmp_path, isolation):
    "Their variables come back as far as they had come"
    s = Script([py('a = len(context)\n1/0'), py('b = 2\nwhile True: pass'), lambda: LMError('auth','no key')])
    a = RLM(s.root, s.sub, isolation=isolation, cell_timeout=1, log=tmp_path/'a.jsonl')('Who?', TEXT)
    assert a.status=='error'
    t = Script([None, None, py('FINAL((a, b))')])
    assert RLM.resume(a.log, model=t.root, sub_model=t.sub).answer==(len(TEXT), 2)

def test_what_was_lost_with_a_shell_stays_lost(tmp_path):
    s = Script([py('a = len(context)\nb = llm_query("x")'), py('import os\nos._exit(1)'), py('c = 3'), lambda: LMError('auth','no key')])
    a = RLM(s.root, s.sub, isolation='auto', log=tmp_path/'a.jsonl')('Who?', TEXT)
    t = Script([None, None, None, py('FINAL((c, "a" in globals()))')])
    b = RLM.resume(a.log, model=t.root, sub_model=t.sub)
    assert b.answer==(3, False) and not t.prompts and b.usage.by['sub'].calls==1

def test_code_that_ends_otherwise_is_noted(tmp_path):
    flag = tmp_path/'flag'
    s = Script([py(f'import os\nif os.path.exists({str(flag)!r}): raise ValueError("new")\ncontext'), lambda: LMError('auth','no key')])
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl')('Who?', TEXT)
    flag.touch()
    t = Script([None, py('FINAL(1)')])
    b = RLM.resume(a.log, model=t.root, sub_model=t.sub)
    assert b.ok and any('ended otherwise (error, not ok)' in o.text for o in b.trajectory if isinstance(o,Noted))

# settings and bad input

def test_settings_come_from_the_log(tmp_path):
    (tmp_path/'t.txt').write_text(TEXT)
    s = Script([py('print(context)'), lambda: LMError('auth','no key')])
    RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl', max_steps=7, max_calls=30, cell_timeout=11, preset='small', search=False, final_prompt='Well?')('Who?', tmp_path/'t.txt')
    seen = []
    class Spy(RLM):
        def _finish(self, run): seen.append((self, run)); return super()._finish(run)
    t = Script([None, py('FINAL(1)')])
    from rlm import core
    old,core.RLM = core.RLM,Spy
    try: Spy.resume(tmp_path/'a.jsonl', model=t.root, sub_model=t.sub, max_calls=40)
    finally: core.RLM = old
    rlm,run = seen[0]
    assert (rlm.budget.max_steps,rlm.budget.max_calls,rlm.cell_timeout,rlm.preset,rlm.final_prompt,run.sh.isolation,run.mode)==(7,40,11,'small','Well?','none','code')

def test_models_are_made_again(tmp_path):
    from rlm.core import _remake
    RLM('openai/m', 'openai/s', base_url='http://user:secret@127.0.0.1:9/v1', temperature=.5, timeout=1, retries=0, prices=(1,2), reasoning_effort='low', extra_headers={'Authorization':'Bearer abc'},
        isolation='none', log=tmp_path/'a.jsonl')('Who?', TEXT)
    assert 'secret@' not in (tmp_path/'a.jsonl').read_text() and 'Bearer' not in (tmp_path/'a.jsonl').read_text()
    rlm = _remake(Tape(read_log(tmp_path/'a.jsonl')), None, None, dict(api_key='k'))
    for lm,name in ((rlm.lm,'openai/m'), (rlm.sub_lm,'openai/s')):
        assert (lm.model,lm.base_url,lm.temperature,lm.timeout,lm.retries,tuple(lm.prices),lm.kw,lm.api_key)==(name,'http://127.0.0.1:9/v1',.5,1,0,(1,2),dict(reasoning_effort='low'),'k')

def test_the_context_must_be_the_same(tmp_path):
    f = tmp_path/'t.txt'
    f.write_text(TEXT)
    s = Script([py('print(context)'), lambda: LMError('auth','no key')])
    RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl')('Who?', f)
    f.write_text(TEXT+'!')
    t = Script([None, py('FINAL(context[-1])')])
    with pytest.raises(ContextError, match='t.txt has changed since'): RLM.resume(tmp_path/'a.jsonl', model=t.root, sub_model=t.sub)
    with pytest.raises(ContextError, match='it differs|has changed'): RLM.resume(tmp_path/'a.jsonl', 'another', model=t.root, sub_model=t.sub)
    assert not t.asked
    assert RLM.resume(tmp_path/'a.jsonl', TEXT, model=t.root, sub_model=t.sub).answer=='.'

def test_a_long_text_is_given_again(tmp_path):
    text = TEXT*50_000
    s = Script([py('print(context[:9])'), lambda: LMError('auth','no key')])
    RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl')('Who?', text)
    assert (tmp_path/'a.jsonl').stat().st_size<100_000
    t = Script([None, py('FINAL(len(context))')])
    with pytest.raises(ContextError, match='Give it again: context='): RLM.resume(tmp_path/'a.jsonl', model=t.root, sub_model=t.sub)
    assert RLM.resume(tmp_path/'a.jsonl', text, model=t.root, sub_model=t.sub).answer==len(text)

@pytest.mark.parametrize('make,match', [(lambda p: None, 'cannot be read'), (lambda p: p.write_text(''), 'no run in this log'), (lambda p: p.write_text('Dear diary\n\nx'), 'line 1'), (lambda p: p.mkdir(), 'cannot be read'),
    (lambda p: p.write_bytes(b'\xff\xfe\x00\n\n'), 'line 1'), (lambda p: p.write_text('['*100_000+'\n\n'), 'line 1')])
def test_logs_that_are_none(tmp_path, make, match):
    make(tmp_path/'a.jsonl')
    with pytest.raises(LogError, match=match): RLM.resume(tmp_path/'a.jsonl')

def test_a_run_that_is_going_on_is_not_resumed(tmp_path):
    "It would pay for everything twice"
    s = Script([py('print(context)'), 'FINAL(1)'])
    g = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl').events('Who?', TEXT)
    next(g),next(g)
    t = Script([None]*9)
    with pytest.raises(LogError, match='by another run'): RLM.resume(tmp_path/'a.jsonl', model=t.root, sub_model=t.sub)
    assert isinstance(list(g)[-1],RunEnded) and not t.asked

# replaying

@BOTH
def test_replay_gives_the_same_events(tmp_path, isolation):
    "Errors, batches side by side, nudges, retries, a budget warning, a tool: byte for byte but for times"
    def sub(p): return LMError('bad_request','odd') if 'Day 2' in p else p.upper()
    failed = []
    def flaky():
        if not failed: failed.append(1); return LMError('server','down')
        return use(py('x = llm_query_batched(context.splitlines()*8+[3,""])\nfrom concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(8) as ex: y = list(ex.map(lambda i: llm_query(f"q{i}"), range(20)))'), 90, 9)
    def twice(n:int)->int:
        "Double a number"
        return 2*n
    s = Script([flaky, use('Hm.'), use(py('print(context)\n1/0')), use(py('print(sorted({"c","b","a"}), twice(21))')), use(py('FINAL({"x": x, "y": y})'))], sub)
    s.root.max_wait = .01
    s.sub.delay = .002
    a = RLM(s.root, s.sub, isolation=isolation, log=tmp_path/'a.jsonl', max_calls=47, tools=[twice], mode='code')('Who?', TEXT)
    assert a.ok and any(isinstance(o,Noted) and o.kind=='budget' for o in a.trajectory)
    for i in range(2):
        b = RLM.replay(a.log, new_log=tmp_path/f'{i}.jsonl', tools=[twice])
        assert (b.answer,b.status,str(b.usage))==(a.answer,a.status,str(a.usage))
        assert [untimed(o) for o in read_log(a.log)]==[untimed(o) for o in read_log(tmp_path/f'{i}.jsonl')]

def test_replay_of_runs_that_failed(tmp_path):
    for i,root in enumerate(([py('x = llm_query("a")'), lambda: LMError('auth','no key')], [lambda: LMError('quota','no money')], ['Hm.']*9)):
        s = Script(root)
        a = RLM(s.root, s.sub, isolation='none', log=tmp_path/f'{i}.jsonl')('Who?', TEXT)
        b = RLM.replay(a.log, new_log=tmp_path/f'{i}b.jsonl')
        assert (b.status,b.error,b.answer)==(a.status,a.error,a.answer) and [untimed(o) for o in read_log(a.log)]==[untimed(o) for o in read_log(tmp_path/f'{i}b.jsonl')]

def test_replay_of_half_a_run_says_so(tmp_path):
    a,_ = whole(tmp_path)
    b = RLM.replay(cut(a.log, 9, tmp_path/'cut.jsonl'))
    assert b.status=='error' and 'holds no more replies' in b.error

def test_replay_of_a_resumed_run(tmp_path):
    a,_ = whole(tmp_path)
    p,s = cut(a.log, 11, tmp_path/'cut.jsonl'),Script(STEPS)
    RLM.resume(p, model=s.root, sub_model=s.sub)
    b = RLM.replay(p)
    assert (b.answer,b.status,b.usage.calls)==(a.answer,a.status,a.usage.calls)

# other ways to speak, other limits

def test_resume_of_tool_calls_after_every_line(tmp_path):
    "Tool calls side by side, malformed arguments, an unknown tool, signed thinking"
    def call(*codes, **kw): return as_response(None, [o if isinstance(o,tuple) else ('run_repl', json.dumps(dict(code=o))) for o in codes], usage=dict(prompt_tokens=50, completion_tokens=5, total_tokens=55), **kw)
    steps = [call('a = llm_query("one")', 'print(a)\nb = len(context)', thinking_blocks=[dict(type='thinking', thinking='Hm', signature='abc')]), call(('run_repl','{"code": '), ('nope','{}')), call('1/0'), call('FINAL([a, b])')]
    s = Script(steps, tools=True)
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'whole.jsonl')('The weather?', TEXT)
    assert a.answer==['ONE', len(TEXT)]
    for n in range(1, len(a.trajectory)):
        t = Script(steps, tools=True)
        b = RLM.resume(cut(a.log, n, tmp_path/f'{n}.jsonl'), model=t.root, sub_model=t.sub)
        assert (b.answer,b.status,b.usage.calls)==(a.answer,'answer',a.usage.calls), n
        assert t.root.asked==s.root.asked[len(s.root.asked)-len(t.root.asked):], n
        had = a.trajectory[:n]
        assert len(t.asked)==4-sum(isinstance(o,RootReplied) for o in had) and len(t.prompts)==1-sum(isinstance(o,SubReplied) for o in had)

def test_time_goes_on_where_it_stopped(tmp_path):
    "What was used of max_time is used; a higher one goes on"
    s = Script([py('a = llm_query("one")'), py('b = llm_query("two")'), py('c = llm_query("three")'), py('if "c" not in globals(): c = llm_query("three")\nprint(c)'), 'FINAL_VAR("c")'])
    s.sub.delay = .8
    a = RLM(s.root, s.sub, isolation='none', log=tmp_path/'a.jsonl', max_time=2)('Who?', TEXT)
    assert a.status=='budget' and 'max_time' in a.error
    n = len(s.prompts)
    assert RLM.resume(a.log, model=s.root, sub_model=s.sub).status=='budget' and len(s.prompts)==n
    b = RLM.resume(a.log, model=s.root, sub_model=s.sub, max_time=60)
    assert (b.answer,b.status)==('THREE','answer') and 2.4<b.seconds<20 and s.prompts.count('one')==s.prompts.count('two')==1
    p = cut(a.log, next(i for i,o in enumerate(a.trajectory) if isinstance(o,SubReplied))+1, tmp_path/'cut.jsonl')
    t = Script([None, py('import time\ntime.sleep(30)')])
    b = RLM.resume(p, model=t.root, sub_model=t.sub, max_time=3)
    assert b.status=='budget' and 2.5<b.seconds<15

def test_an_interrupted_run_goes_on(tmp_path):
    "Ctrl-C while sub-calls are in flight"
    s = Script([py('a = llm_query_batched([f"q{i}" for i in range(20)])'), 'FINAL_VAR("a")'])
    s.sub.delay,s.sub.max_concurrency = .1,4
    rlm = RLM(s.root, s.sub, isolation='auto', log=tmp_path/'a.jsonl')
    run = rlm.run('Who?', TEXT)
    with run.sh:
        for ev in run.play():
            if isinstance(ev,SubReplied) and ev.id>=6 and not ev.error: run.stop()
    assert run.result().status=='interrupted'
    done = [o.prompt for o in run.events if isinstance(o,SubReplied) and not o.error]
    t = Script([None, 'FINAL_VAR("a")'])
    b = RLM.resume(tmp_path/'a.jsonl', model=t.root, sub_model=t.sub)
    assert b.answer==[f'Q{i}' for i in range(20)] and not set(done)&set(t.prompts) and len(t.prompts)==20-len(done)
