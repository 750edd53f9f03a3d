"Conversations: what goes on, what is remembered, and what a log gives back"
import asyncio,json,os,signal,subprocess,sys,threading,time
from dataclasses import dataclass
from pathlib import Path
import pytest
from fakeserver import FakeServer,Reply
from rlm.chat import Chat,about,exchange,recap,settled,still_there
from rlm.core import RLM,answer_of
from rlm.events import *
from rlm.events import from_json,read_log,to_json
from rlm.images import Image
from rlm.lm import LMError,ScriptedLM,as_response
from rlm.search import Hits

TEXT = 'Day 1: fog.\nDay 2: hail, the ferry stayed.\nDay 3: sun.'
MORE = 'Day 4: snow.\nDay 5: the ferry was sold to Torvik.'
BOTH = pytest.mark.parametrize('isolation', ['none','auto'])
TOOLS = pytest.mark.parametrize('tools', [False,True])

def py(code): return f'```python\n{code}\n```\n'
def use(content, calls=(), i=10, o=5): return as_response(content, calls, usage=dict(prompt_tokens=i, completion_tokens=o, total_tokens=i+o))
def untimed(ev):
    d = json.loads(to_json(ev))
    for o in (d, d.get('result') or {}):
        for k in ('t','seconds'): o.pop(k, None)
    return d
def counts(u): return {k:(v.calls,v.prompt_tokens,v.completion_tokens) for k,v in u.by.items()}

QUESTIONS = ['The weather?', 'And the first letters?', 'Who has the ferry?']
STEPS = {'The weather?': ['lines = context.splitlines()\nfirst = llm_query("one " + lines[0])\nprint(first)', 'rest = llm_query_batched(["many "+o for o in lines])\nprint(len(rest))', 'FINAL([first, len(rest)])'],
         'And the first letters?': ['def letters(os): return [o[:1] for o in os]\nprint(letters(rest))', None, 'FINAL(letters(rest + [history[0]["question"]]))'],
         'Who has the ferry?': ['print(context_2[-20:])\nbuyer = llm_query("who " + context_2)', 'FINAL([buyer, len(lines)])']}
ANSWERS = [['ONE DAY 1: FOG.',3], ['M','M','M','T'], [f'WHO {MORE}'.upper(),3]]

class Script:
    "A root that does the steps of the question it is asked, and a sub-model; both count what they are asked"
    def __init__(self, steps=STEPS, sub=str.upper, tools=False, window=None):
        self.asked,self.prompts,self.requests = [],[],[]
        def say(m):
            self.requests.append(m)
            i = max(i for i,o in enumerate(m) if o['role']=='user' and 'Question: ' in o['content'])
            q = m[i]['content'].split('Question: ')[-1].split('\n')[0]
            n = sum(o['role']=='assistant' for o in m[i:])
            self.asked.append((q,n))
            s = steps[q][n]
            if callable(s): s = s()
            if s is None: return use('Hm.', i=sum(len(str(o['content'])) for o in m), o=2)
            if isinstance(s,BaseException) or s.startswith('FINAL(') and s.endswith('.)'): return s
            return use('I look.', [('run_repl', json.dumps(dict(code=s)))]) if tools else use(py(s), i=len(m))
        def answer(m):
            self.prompts.append(m[-1]['content'])
            return use(sub(m[-1]['content']), i=len(m[-1]['content']), o=3)
        self.root,self.sub = ScriptedLM(say, tools=tools),ScriptedLM(answer, model='sub')
        self.root.window = window

def talk(chat):
    "The whole conversation"
    chat(QUESTIONS[0])
    chat(QUESTIONS[1])
    chat.add(MORE)
    chat(QUESTIONS[2])
    return chat

def whole(path, isolation='none', tools=False, **kw):
    s = Script(tools=tools)
    with RLM(s.root, s.sub, isolation=isolation, **kw).chat(TEXT, log=path) as chat: talk(chat)
    assert [a.answer for a in chat.answers]==ANSWERS and all(a.ok for a in chat.answers)
    return chat,s

def cut(log, n, path):
    path.write_text(''.join(Path(log).read_text().splitlines(keepends=True)[:n]))
    return path

def go_on(chat):
    "What is left of the conversation"
    if chat.pending: chat.resume()
    n = len(chat.answers)
    if n<1: chat(QUESTIONS[0])
    if n<2: chat(QUESTIONS[1])
    if 'context_2' not in chat.contexts: chat.add(MORE)
    if n<3: chat(QUESTIONS[2])

# going on

@BOTH
@TOOLS
def test_three_questions(tmp_path, isolation, tools):
    chat,s = whole(tmp_path/'c.jsonl', isolation, tools)
    for x,y in zip(s.requests, s.requests[1:]): assert y[:len(x)]==x  # append-only
    assert counts(chat.usage)['root'][0]==8 and chat.usage.calls==8+5==sum(a.usage.calls for a in chat.answers)
    for m in s.requests:  # what providers ask for: a result for each call, none beside it
        ids = [c['id'] for o in m for c in o.get('tool_calls') or ()]
        assert [o['tool_call_id'] for o in m if o['role']=='tool']==ids
        assert not any(x['role']==y['role']=='user' for x,y in zip(m, m[1:]))
    said = s.requests[-1]
    assert any("Your answer was: " in str(o['content']) for o in said) and 'context_2' in str(said)
    with pytest.raises(RuntimeError, match='conversation is closed'): chat('More?')

def test_first_question_is_asked_as_any_other():
    s,t = Script(),Script()
    with RLM(s.root, s.sub, isolation='none').chat(TEXT) as chat: chat(QUESTIONS[0])
    RLM(t.root, t.sub, isolation='none')(QUESTIONS[0], TEXT)
    assert s.requests==t.requests

@BOTH
def test_load_after_every_line(tmp_path, isolation):
    "Wherever the log ends, the conversation goes on to the same answers and the same bill, and asks for nothing that is in the log"
    chat,s0 = whole(tmp_path/'c.jsonl', isolation)
    lines = (tmp_path/'c.jsonl').read_text().splitlines()
    for n in range(1, len(lines)+1) if isolation=='none' else range(1, len(lines)+1, 9):
        p,s,before = cut(tmp_path/'c.jsonl', n, tmp_path/f'{n}.jsonl'),Script(),[from_json(o) for o in lines[:n]]
        with RLM.load_chat(p, model=s.root, sub_model=s.sub) as b:
            assert not s.asked and not s.prompts, n  # loading asks nobody
            go_on(b)
        assert [a.answer for a in b.answers]==ANSWERS, n
        assert counts(b.usage)==counts(chat.usage), n
        assert len(s.asked)==8-sum(isinstance(o,RootReplied) for o in before) and len(s.prompts)==5-sum(isinstance(o,SubReplied) for o in before), n
        assert s.requests==s0.requests[len(s0.requests)-len(s.requests):], n  # and the root reads the same
        assert [untimed(o) for o in read_log(p)[:n]]==[untimed(o) for o in before] and not b.notes
        assert [type(o) for o in read_log(p) if not isinstance(o,(Noted,SubStarted))]==[type(o) for o in read_log(tmp_path/'c.jsonl') if not isinstance(o,(Noted,SubStarted))] or n<len(lines)

def test_load_with_tool_calls(tmp_path):
    whole(tmp_path/'c.jsonl', tools=True)
    lines = (tmp_path/'c.jsonl').read_text().splitlines()
    for n in range(1, len(lines)+1, 4):
        s = Script(tools=True)
        with RLM.load_chat(cut(tmp_path/'c.jsonl', n, tmp_path/f'{n}.jsonl'), model=s.root, sub_model=s.sub) as b: go_on(b)
        assert [a.answer for a in b.answers]==ANSWERS, n

def test_replay(tmp_path):
    "The same events, and nobody is asked"
    whole(tmp_path/'c.jsonl')
    chat = RLM.replay_chat(tmp_path/'c.jsonl', new_log=tmp_path/'r.jsonl', model=ScriptedLM([]), sub_model=ScriptedLM([], model='sub'))
    chat.close()
    a,b = ([untimed(o) for o in read_log(tmp_path/f'{k}.jsonl')] for k in 'cr')
    for d in (a[0],b[0]): d.pop('id')
    for d in (*a,*b): d.pop('source', None), (d.get('settings') or {}).pop('root', None), (d.get('settings') or {}).pop('sub', None)
    for d in a: d.get('settings',{}).get('chat',{}).pop('id',None)
    for d in b: d.get('settings',{}).get('chat',{}).pop('id',None)
    assert sorted(map(json.dumps, a))==sorted(map(json.dumps, b)) and [d['event'] for d in a if 'Sub' not in d['event']]==[d['event'] for d in b if 'Sub' not in d['event']]

def test_replay_of_a_question_that_failed(tmp_path):
    s = Script({'A?':['x = 1', LMError('quota','no money')], 'B?':['FINAL(x)']})
    with RLM(s.root, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat: chat('A?'), chat('B?')
    r = RLM.replay_chat(tmp_path/'c.jsonl', model=ScriptedLM([]))
    assert [(a.status,a.answer,a.error) for a in r.answers]==[(a.status,a.answer,a.error) for a in chat.answers]==[('error',None,'no money'),('answer',1,None)]
    r.close()

# killed

host = '''
import sys
from rlm.core import RLM
chat = RLM('openai/fake', base_url=sys.argv[1], retries=0).chat(open(sys.argv[3]).read(), log=sys.argv[2])
print(chat('First?'), flush=True)
print(chat('Second?'), flush=True)
'''

@pytest.mark.skipif(sys.platform=='win32', reason='needs SIGKILL')
def test_killed_in_the_middle_of_a_question(tmp_path):
    "kill -9 in the second question: it goes on with that one, and asks only what was in flight again"
    (tmp_path/'t.txt').write_text(TEXT)
    steps = {'First?':['lines = context.splitlines()','FINAL(len(lines))'], 'Second?':['a = [llm_query("A "+o) for o in lines]','b = [llm_query("B "+o) for o in lines]','FINAL(b[-1][:4])']}
    hang = threading.Event()
    def reply(req):
        if req.messages[0]['role']!='system':
            if req.prompt.startswith('B Day 2') and not hang.is_set(): hang.set(); return Reply('late', delay=60)
            return Reply(req.prompt)
        i = max(i for i,o in enumerate(req.messages) if o['role']=='user' and 'Question: ' in o['content'])
        q = req.messages[i]['content'].split('Question: ')[-1]
        return Reply(py(steps[q][sum(o['role']=='assistant' for o in req.messages[i:])]))
    with FakeServer(reply) as server:
        p = subprocess.Popen([sys.executable,'-c',host,server.url,str(tmp_path/'c.jsonl'),str(tmp_path/'t.txt')], stdout=subprocess.PIPE, text=True, env={**os.environ,'OPENAI_API_KEY':'x'})
        assert p.stdout.readline()=='3\n' and hang.wait(60)
        p.kill()
        p.wait(20)
        n = len(server.requests)
        with RLM.load_chat(tmp_path/'c.jsonl', api_key='x') as chat:
            assert len(server.requests)==n and chat.pending[0].question=='Second?' and [a.answer for a in chat.answers]==[3]
            a = chat.resume()
        assert a.answer=='B Da' and a.ok
        assert [r.prompt for r in server.requests[n:] if r.messages[0]['role']!='system']==['B Day 2: hail, the ferry stayed.','B Day 3: sun.']
        assert len(server.requests)==n+3 and a.usage.calls==3+6

# faults between

@BOTH
@TOOLS
def test_errors_in_between(tmp_path, isolation, tools):
    "A dead provider, a spent budget and Ctrl-C leave the conversation usable, also from its log"
    box = []
    steps = {'One?':['n = len(context)\nprint(n)', 'FINAL(n)'], 'Dead?':['m = n+1\nprint(m)', LMError('quota','no money left')], 'Stop?':['k = m+1', lambda: (box[0].stop(), 'z = 1')[1]], 'Last?':['FINAL([n, m, k])']}
    s = Script(steps, tools=tools)
    chat = RLM(s.root, s.sub, isolation=isolation).chat(TEXT, log=tmp_path/'c.jsonl')
    box.append(chat)
    got = [chat(q) for q in steps]
    chat.close()
    assert [a.status for a in got]==['answer','error','interrupted','answer'] and got[-1].answer==[54,55,56]
    last = s.requests[-1]
    assert 'no money' not in str(last) and 'history[1]["steps"]' in str(last) and 'history[2]["steps"]' in str(last)
    assert not [c for o in last[5 if tools else 4:] for c in o.get('tool_calls') or ()]
    assert [d['status'] for d in map(exchange, chat.answers)]==['answer','error','interrupted','answer'] and exchange(got[1])['steps'][0]['output']=='55'
    t = Script({**steps, 'More?':['FINAL([n, m, k, len(history)])']}, tools=tools)
    with RLM.load_chat(tmp_path/'c.jsonl', model=t.root, sub_model=t.sub) as b:
        assert not b.pending and not t.asked and [a.status for a in b.answers]==[a.status for a in got]
        assert b('More?').answer==[54,55,56,4]
    assert t.requests[0][:len(last)]==last
    assert [str(a.usage) for a in b.answers[:4]]==[str(a.usage) for a in got]

def test_a_failed_question_goes_on_or_is_let_go(tmp_path):
    s = Script({'One?':['n = len(context)', LMError('quota','no money left')]})
    with RLM(s.root, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat: assert chat('One?').status=='error'
    (tmp_path/'d.jsonl').write_text((tmp_path/'c.jsonl').read_text())
    t = Script({'One?':[None,'FINAL(n)']})
    with RLM.load_chat(tmp_path/'c.jsonl', model=t.root) as chat:
        assert chat.resume().answer==54 and t.asked==[('One?',1)] and chat.answers[0].usage.calls==2 and len(chat.answers)==1
    t = Script({'Two?':['FINAL(n+1)']})
    with RLM.load_chat(tmp_path/'d.jsonl', model=t.root) as chat:
        assert chat('Two?').answer==55 and [a.status for a in chat.answers]==['error','answer']

def test_a_killed_question_is_let_go_and_its_bill_kept(tmp_path):
    chat,_ = whole(tmp_path/'c.jsonl')
    n = next(i for i,o in enumerate(read_log(tmp_path/'c.jsonl')) if isinstance(o,SubReplied))+1
    s = Script({'Else?':['FINAL([len(context), history[0]["status"]])']})
    with RLM.load_chat(cut(tmp_path/'c.jsonl', n, tmp_path/'d.jsonl'), model=s.root, sub_model=s.sub) as chat:
        assert chat('Else?').answer==[54,'interrupted'] and chat.answers[0].usage.calls==2 and counts(chat.answers[0].usage)=={'root':(1,2,5),'sub':(1,15,3)}
    with RLM.load_chat(tmp_path/'d.jsonl', model=s.root, sub_model=s.sub) as again: assert again.usage.calls==3 and not again.pending

def test_interrupted_by_ctrl_c(tmp_path):
    def slow(): signal.raise_signal(signal.SIGINT); return 'x = 1'
    s = Script({'One?':['n = 7', 'import time\ntime.sleep(30)'], 'Two?':['FINAL(n)']})
    with RLM(s.root).chat(TEXT) as chat:
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        assert chat('One?').status=='interrupted' and chat('Two?').answer==7

def test_limits(tmp_path):
    s = Script({'One?':['a = 1','b = 2','FINAL(a)'], 'Two?':['FINAL(b)'], 'Three?':['FINAL(3)']})
    with RLM(s.root, isolation='none', max_steps=9).chat(TEXT, total_calls=4, log=tmp_path/'c.jsonl') as chat:
        assert [chat(q).status for q in ('One?','Two?','Three?')]==['answer','answer','budget'] and len(s.asked)==4 and chat.usage.calls==4 and 'what was left of total_calls=4' in chat.answers[-1].error
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root) as chat: assert not chat.pending and chat('Three?').status=='budget' and len(s.asked)==4
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root, total_calls=6) as chat:
        assert chat.pending and chat.resume().answer==3 and len(s.asked)==5 and [a.status for a in chat.answers]==['answer','answer','budget','answer']
    with pytest.raises(ValueError, match='total_cost must be a number above 0, not -1'): RLM(s.root).chat(TEXT, total_cost=-1)
    with pytest.raises(ValueError, match='window_share must lie between 0 and 1'): RLM(s.root).chat(TEXT, window_share=2)
    with pytest.raises(ValueError, match='price of openai/my-own is not known'): RLM('openai/my-own', base_url='http://127.0.0.1:9/v1', isolation='none').chat(TEXT, total_cost=1)

def test_each_question_has_the_limits_for_itself():
    s = Script({q:['a = 1','FINAL(a)'] for q in ('One?','Two?','Three?')})
    with RLM(s.root, isolation='none', max_calls=3).chat(TEXT) as chat: assert [chat(q).ok for q in ('One?','Two?','Three?')]==[True]*3

def test_one_question_at_a_time(tmp_path):
    go,there = threading.Event(),threading.Event()
    s = Script({'One?':[lambda: (there.set(), go.wait(20), 'FINAL(1)')[2]], 'Two?':['FINAL(2)']})
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        t = threading.Thread(target=chat, args=('One?',))
        t.start()
        assert there.wait(20)
        for f in (lambda: chat('Two?'), lambda: chat.add(MORE), lambda: next(chat.events('Two?'))):
            with pytest.raises(RuntimeError, match="at work on the question 'One\\?'"): f()
        go.set()
        t.join(20)
        assert chat('Two?').answer==2 and [a.answer for a in chat.answers]==[1,2]

def test_bad_questions_change_nothing():
    s = Script({'One?':['FINAL(1)']})
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        for q in ('', None, 3):
            with pytest.raises(ValueError, match='question'): chat(q)
        with pytest.raises(ValueError): chat('One?', output_type=object())
        assert chat('One?').answer==1 and len(chat.answers)==1

def test_events_that_are_not_read_to_the_end():
    s = Script({'One?':['n = 1','FINAL(n)'], 'Two?':['FINAL(n+1)']})
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        evs = chat.events('One?')
        for ev in evs:
            if isinstance(ev,CodeRan): break
        evs.close()
        assert chat.answers[0].status=='interrupted' and chat('Two?').answer==2

def test_async_and_cancelled():
    s = Script({'One?':['n = 1','import time\ntime.sleep(20)'], 'Two?':['FINAL(n)']})
    async def go(chat):
        t = asyncio.ensure_future(chat.acall('One?'))
        while ('One?',1) not in s.asked: await asyncio.sleep(.05)
        t.cancel()
        with pytest.raises(asyncio.CancelledError): await t
        while chat.lock.locked(): await asyncio.sleep(.05)
        return await chat.acall('Two?')
    with RLM(s.root).chat(TEXT) as chat:
        t = time.monotonic()
        assert asyncio.run(go(chat)).answer==1 and time.monotonic()-t<15 and chat.answers[0].status=='interrupted'

def test_lost_shell():
    "A shell that dies takes the variables with it; contexts and history are there again"
    s = Script({'One?':['n = 1','FINAL(n)'], 'Two?':['import os\nos._exit(3)','FINAL([len(context), len(context_2), history[0]["answer"], "n" in globals()])']})
    with RLM(s.root).chat(TEXT) as chat:
        chat('One?')
        chat.add(MORE)
        assert chat('Two?').answer==[len(TEXT),len(MORE),1,False]

# contexts

@BOTH
def test_added_contexts(tmp_path, isolation):
    (tmp_path/'m.txt').write_text(MORE)
    s = Script({'One?':['print(search("ferry"))','FINAL(search("ferry")[0].text.)'.replace('.)',')')], 'Two?':['h = search("ferry sold Torvik", k=1)\nprint(h)','FINAL([h[0].name, h[0].part, context_2[h[0].start:h[0].end]==h[0].text, context_3["a"]])']})
    with RLM(s.root, isolation=isolation, search=True).chat(TEXT, log=tmp_path/'c.jsonl') as chat:
        chat('One?')
        assert (chat.add(tmp_path/'m.txt'),chat.add({'a':'A third part, which is about something else altogether.'}))==('context_2','context_3')
        a = chat('Two?')
        assert a.answer==['context_2',None,True,'A third part, which is about something else altogether.'] and 'context_2[0:' in next(o.text for o in a.trajectory if isinstance(o,CodeRan))
        told = s.requests[-2][-1]['content']
        assert "context_2 == 'Day 4" in told and '`context_3` is a dict' in told and "context_3['a'] ==" in told
        assert {p.part for p in a.coverage.parts}=={'context','context_2',('context_3','a')} and a.citations[-1].places[0].part==('context_3','a')
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root, sub_model=s.sub) as b:
        assert list(b.contexts)==['context','context_2','context_3'] and b.answers[1].coverage==a.coverage and b.sh.user_ns['context_2']==MORE
    (tmp_path/'m.txt').write_text(MORE+'!')
    with pytest.raises(ValueError, match='has changed since'): RLM.load_chat(tmp_path/'c.jsonl', model=s.root)
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root, added=dict(context_2=MORE)) as b: assert b.sh.user_ns['context_2']==MORE

def test_a_name_that_is_taken():
    s = Script({'One?':['context_2 = "mine"\nhistory = "mine"','FINAL(1)'], 'Two?':['FINAL([context_2, context_3[:5], history, len(chat_history)])']})
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        chat('One?')
        assert chat.add(MORE)=='context_3' and chat('Two?').answer==['mine','Day 4','mine',1]

def test_added_context_is_guarded_and_checked():
    s = Script({'One?':['FINAL(1)'], 'Two?':['try: rlm_query("?", context_2)\nexcept ValueError as e: print(e)','FINAL(2)']})
    with RLM(s.root, s.sub, isolation='none', max_depth=2).chat(TEXT) as chat:
        chat('One?')
        chat.add(MORE)
        with pytest.raises(ValueError, match='empty'): chat.add('')
        with pytest.raises(ValueError): chat.add(object())
        assert list(chat.contexts)==['context','context_2']
        assert 'the whole context again' in next(o.text for o in chat('Two?').trajectory if isinstance(o,CodeRan))

@pytest.mark.parametrize('text', ["it's a `context` with context[0]", 'a "context" of context', "\\'context\\'", 'plain'])
def test_description_under_another_name(text):
    got = about('context_2', text)
    assert got.startswith('`context_2` is a str of') and f'context_2 == {text!r}' in got

def test_a_large_context_is_in_the_log_once(tmp_path):
    big = 'x y '*100_000
    s = Script({f'Q{i}?':['FINAL(1)'] for i in range(5)})
    with RLM(s.root, isolation='none').chat(big, log=tmp_path/'c.jsonl') as chat:
        for i in range(5): chat(f'Q{i}?')
    assert (tmp_path/'c.jsonl').stat().st_size<1.2*len(big)
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root) as b: assert b.sh.user_ns['context']==big and len(b.answers)==5

# typed answers

@dataclass
class Stay:
    days:list[int]

def few(v): return 'too many' if len(v.days)>1 else None

@BOTH
def test_typed_questions(tmp_path, isolation):
    s = Script({'Days?':['FINAL({"days": [1,2]})','FINAL({"days": [2]})'], 'How many?':['FINAL("none")','FINAL(3)'], 'Text?':['FINAL("three")']})
    with RLM(s.root, isolation=isolation).chat(TEXT, log=tmp_path/'c.jsonl') as chat:
        assert chat('Days?', Stay, few).answer==Stay([2]) and chat('How many?', int).answer==3 and chat('Text?').answer=='three'
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root) as b:
        assert [a.answer for a in b.answers]==[{'days':[2]},3,'three']
        assert [{k:v for k,v in m.items()} for m in b.messages]==[{k:v for k,v in m.items()} for m in chat.messages]

def test_a_check_has_to_be_given_again(tmp_path):
    s = Script({'Days?':['FINAL({"days": [1,2]})', LMError('quota','no money')]})
    with RLM(s.root, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat: chat('Days?', Stay, few)
    t = Script({'Days?':[None,'FINAL({"days": [2]})']})
    with RLM.load_chat(tmp_path/'c.jsonl', model=t.root) as b:
        with pytest.raises(ValueError, match=r'had a check of its answer, few: give it again, chat.resume\(validator='): b.resume()
        assert b.resume(Stay, few).answer==Stay([2]) and t.asked==[('Days?',1)]

def test_refused_in_text_by_a_check_comes_back(tmp_path):
    s = ScriptedLM([py('print(context)'), 'FINAL({"days": [1,2]})', 'FINAL({"days": [2]})', 'FINAL(7)'])
    with RLM(s, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat: assert chat('Days?', dict(days=list[int]), lambda v: len(v['days'])==1).answer=={'days':[2]} and chat('More?').answer==7
    with RLM.load_chat(tmp_path/'c.jsonl', model=ScriptedLM([])) as b: assert b.messages==chat.messages and [a.answer for a in b.answers]==[{'days':[2]},7]

def test_tools_have_to_be_given_again(tmp_path):
    def feet(m:float)->float:
        "Convert metres"
        return m*3
    s = Script({'One?':['f = feet(2.)\nprint(f)','FINAL(f)'], 'Two?':['FINAL(f+1)']})
    with RLM(s.root, isolation='none', tools=[feet], mode='code').chat(TEXT, log=tmp_path/'c.jsonl') as chat: chat('One?')
    with pytest.raises(ValueError, match='had the tools feet: give them again'): RLM.load_chat(tmp_path/'c.jsonl', model=s.root)
    def feet(m:float)->float:
        "Convert metres"
        raise AssertionError('not called again')
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root, tools=[feet]) as b: assert b('Two?').answer==7

# shortening

def test_compaction(tmp_path):
    "Before the window is full the messages are replaced by a record; the shell and all of the history are kept"
    qs = [f'Question {i}?' for i in range(12)]
    s = Script({q:[f'v{i} = "x"*{i}\nprint(context*20)', f'FINAL(len(history)*100+len(v{max(i-1,0)}))' if i else 'FINAL(0)'] for i,q in enumerate(qs)}, window=4500)
    with RLM(s.root, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat: got = [chat(q) for q in qs]
    assert [a.answer for a in got]==[0,*(i*100+i-1 for i in range(1,12))] and all(a.ok for a in got)
    sizes = [sum(len(str(o['content'])) for o in m)//4 for m in s.requests]
    assert max(sizes)<.8*4500 and sum(b<a for a,b in zip(sizes, sizes[1:]))>=2
    starts = [o for o in read_log(tmp_path/'c.jsonl') if isinstance(o,RunStarted)]
    anew = [i for i,o in enumerate(starts) if not o.settings['chat']['goes_on']]
    assert anew[0]==0 and len(anew)>=3 and all(starts[i].messages[0]['role']=='system' for i in anew)
    said = starts[anew[1]].messages[-1]['content']
    assert said.startswith('Earlier in this conversation:\n1. Question: Question 0?\n   Answer: 0') and '`v0` (str, 0 characters)' in said and '`history` is a list' in said and said.endswith(f'Question: Question {anew[1]}?') and '`context` is a str of' in said and said.count('Question: Question')==anew[1]+1
    t = Script({'More?':['FINAL([o["answer"] for o in history][-1])']}, window=4500)
    with RLM.load_chat(tmp_path/'c.jsonl', model=t.root) as b: assert b.messages==chat.messages and b('More?').answer==1110

def test_no_compaction_where_there_is_room():
    s = Script({f'Q{i}?':['print(context*20)','FINAL(1)'] for i in range(6)}, window=200_000)
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        for i in range(6): chat(f'Q{i}?')
    for x,y in zip(s.requests, s.requests[1:]): assert y[:len(x)]==x

def test_small_models_begin_anew():
    "The examples are those of the question's kind, and stand in front"
    root = ScriptedLM([py('ferry = "Ida"\nprint(context)'), py('FINAL(ferry)'), py('FINAL(len(ferry))')])
    with RLM(root, isolation='none', preset='small').chat(TEXT) as chat: got = [chat(q).answer for q in ('Who sold the ferry?','How many of the days mention hail? Count them.')]
    assert got==['Ida',3]
    first,last = root.asked[0],root.asked[-1]
    assert last[0]['role']=='system' and last[0]!=first[0] and '1. Question: Who sold the ferry?\n   Answer: Ida' in last[-1]['content'] and '`ferry` (str, 3 characters)' in last[-1]['content'] and '`context` is a str of' in last[-1]['content']

def test_record():
    past = [dict(question=f'Q{i}?', answer=None if i in (2,3) else i, status={2:'error',3:'budget'}.get(i,'answer'), steps=[]) for i in range(5)]
    assert recap(past).count('Question:')==5 and '(none: the question was broken off)' in recap(past) and '(none was found)' in recap(past)
    assert '(Questions 1 to 3 are in `h`.)' in recap(past, 75, 'h') and recap(past, 75, 'h').count('Answer:')==2
    names = {f'v{i}':'int 1' for i in range(40)}
    assert '`v39`' in still_there(names, 'history', 2) and '`v3`' not in still_there(names, 'history', 2) and '15 more' in still_there(names, 'history', 2)

# logs

def test_wrong_logs(tmp_path):
    chat,s = whole(tmp_path/'c.jsonl')
    RLM(ScriptedLM(['FINAL(1)']*3), isolation='none', log=tmp_path/'r.jsonl')('One?', TEXT)
    with pytest.raises(LogError, match='not the log of a conversation: RLM.resume'): RLM.load_chat(tmp_path/'r.jsonl')
    for f in (RLM.resume, RLM.replay):
        with pytest.raises(LogError, match='is the log of a conversation: RLM.load_chat'): f(tmp_path/'c.jsonl', model=s.root)
    (tmp_path/'e.jsonl').write_text('')
    with pytest.raises(LogError, match='not the log of a conversation$'): RLM.load_chat(tmp_path/'e.jsonl')
    with pytest.raises(LogError, match='cannot be read'): RLM.load_chat(tmp_path/'none.jsonl')
    assert answer_of(read_log(tmp_path/'c.jsonl')).answer==ANSWERS[2]

def test_log_in_a_folder_and_of_the_rlm(tmp_path):
    s = Script({'One?':['FINAL(1)']})
    for kw,given in ((dict(log=str(tmp_path/'runs')+os.sep),{}), ({},dict(log=str(tmp_path/'runs')+os.sep))):
        with RLM(s.root, isolation='none', **kw).chat(TEXT, **given) as chat: chat('One?')
        assert chat.log.path==tmp_path/'runs'/f'{chat.id}.jsonl' and [type(o).__name__ for o in read_log(chat.log.path)][:2]==['ChatStarted','RunStarted'] and chat.answers[0].log==chat.log.path

def test_another_run_in_the_log(tmp_path):
    s = Script({'One?':['FINAL(1)'], 'Two?':['FINAL(len(history))']})
    with RLM(s.root, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat: chat('One?')
    RLM(ScriptedLM([py('context'), 'FINAL(9)']), isolation='none', log=tmp_path/'c.jsonl')('Else?', TEXT)
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root) as b: assert [a.answer for a in b.answers]==[1] and b('Two?').answer==1

def test_a_question_that_cannot_begin(monkeypatch):
    s = Script({'One?':['FINAL(1)'], 'Two?':['FINAL(len(history))']})
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        chat('One?')
        with monkeypatch.context() as m:
            m.setattr(RLM, '_run_in', lambda *a, **kw: 1/0)
            with pytest.raises(ZeroDivisionError): chat('Two?')
        assert chat('Two?').answer==1 and chat.history=='history'

def test_settings_come_again(tmp_path):
    s = Script({'One?':['FINAL(1)'], 'Two?':['FINAL(2)']}, window=3000)
    with RLM(s.root, s.sub, isolation='none', max_steps=7, max_depth=0, sp='Be brief. Use ```python blocks.', cell_timeout=9, encoding='latin-1').chat(TEXT, log=tmp_path/'c.jsonl', total_cost=3, window_share=.25) as chat: chat('One?')
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root, sub_model=s.sub, max_steps=8) as b:
        r = b.rlm
        assert (r.budget.max_steps,r.max_depth,r.sp,r.cell_timeout,r.encoding,r.isolation,b.totals,b.window_share,b.id)==(8,0,'Be brief. Use ```python blocks.',9,'latin-1','none',dict(max_cost=3),.25,chat.id)

def test_another_conversation_has_the_log(tmp_path):
    s = Script({'One?':['FINAL(1)']})
    with RLM(s.root, isolation='none').chat(TEXT, log=tmp_path/'c.jsonl') as chat:
        with pytest.raises(LogError, match='is being written by another'): RLM.load_chat(tmp_path/'c.jsonl', model=s.root)
        chat('One?')
    with RLM.load_chat(tmp_path/'c.jsonl', model=s.root) as b: assert len(b.answers)==1

def test_keys_stay_out_of_the_log(tmp_path):
    s = Script({'One?':['FINAL(1)']})
    s.root.api_key = 'sk-very-secret-0123'
    with RLM(s.root, isolation='none').chat('The key is sk-very-secret-0123.', log=tmp_path/'c.jsonl') as chat: chat('One?')
    assert 'very-secret' not in (tmp_path/'c.jsonl').read_text()

# what a person sees

def test_shown():
    s = Script({'One?':['FINAL("<b>1</b>")']})
    with RLM(s.root, isolation='none').chat(TEXT) as chat:
        assert repr(chat).startswith("Chat('scripted', 0 questions; 0 calls")
        chat('One?')
        chat.add(MORE)
        assert "1 question, context_2;" in repr(chat) and '&lt;b&gt;' in chat._repr_html_() and '<b>1' not in chat._repr_html_()
    assert 'closed' in repr(chat)

def test_settled():
    "What is left of a question can be sent to any provider"
    a = RLM(ScriptedLM([py('FINAL(3)')]), isolation='none')('One?', TEXT)
    call = lambda i: dict(id=f'c{i}', type='function', function=dict(name='run_repl', arguments='{}'))
    m = [dict(role='user', content='q'), dict(role='assistant', content='', tool_calls=[call(1),call(2),call(3)]), dict(role='tool', tool_call_id='c1', content='x')]
    got,said = settled(m, a)
    assert [(o['tool_call_id'],o['content']) for o in got[3:]]==[('c2','Your answer was: 3'),('c3','(not run: the answer had been given)')] and not said
    assert settled(m[:1], a)[0][-1]==dict(role='assistant', content='Your answer was: 3')
    assert settled([*m[:1], dict(role='assistant', content='x')], a)==([*m[:1], dict(role='assistant', content='x')],'Your answer was: 3')

# the command line

from test_cli import cmd,env,here
from rlm.cli import parse
import rlm.cli as cli

CLI = {'Who is it about?':['who = context[:4]','FINAL(who)'], 'And who else?':['print(context_2)','FINAL([who, context_2[:4]])'], 'Fails?':['1/0', None, None, None, None, None, None], 'Again?':['FINAL(len(history))']}

@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/'a.txt').write_text('Ida signed the lease.\n'*20)
    (tmp_path/'b b.txt').write_text('Olav signed the amendment.\n')
    return tmp_path

def reply(req):
    i = max(i for i,o in enumerate(req.messages) if o['role']=='user' and 'Question: ' in o['content'])
    s = CLI[req.messages[i]['content'].split('Question: ')[-1]][sum(o['role']=='assistant' for o in req.messages[i:])]
    return Reply(py(s) if s else 'Hm.')

def chatted(server, *args, lines='', timeout=100):
    r = subprocess.run([*cmd('chat', *args), *(() if '--resume' in args else ('--model','openai/fake','--base-url',server.url))], input=lines, capture_output=True, text=True, timeout=timeout, env=env(OPENAI_API_KEY='x'))
    assert 'Traceback' not in r.stderr+r.stdout, r.stderr
    return r

def test_command_line_from_a_pipe(files):
    with FakeServer(reply) as s:
        r = chatted(s, 'a.txt', '--log', 'c.jsonl', lines='Who is it about?\n\n/add nope.txt\n/add "b b.txt"\n/nope\n/vars\nAnd who else?\n/cost\n')
        assert (r.returncode,r.stdout)==(0,'Ida \n["Ida ", "Olav"]\n'), r.stderr
        for o in ('nope.txt does not exist', 'context_2: b b.txt', 'there is no command /nope', 'who: str, 4 characters', '2 questions: 4 calls', 'step 2', 'rlm chat --resume c.jsonl'): assert o in r.stderr, o
        n = len(s.requests)
        r = chatted(s, '--resume', 'c.jsonl', '-q', lines='Again?')
        assert (r.returncode,r.stdout,r.stderr)==(0,'2\n','') and len(s.requests)==n+1
        assert [o.name for o in read_log('c.jsonl') if isinstance(o,ContextAdded)]==['context_2'] and 'b b.txt' in str(read_log('c.jsonl'))
        r = chatted(s, '--resume', 'c.jsonl', '--json', '-q', '--max-calls', '3', lines='Again?\nFails?\n/quit\nAgain?')
        got = [json.loads(o) for o in r.stdout.splitlines()]
        assert (got[0]['answer'],got[0]['status'],got[1]['status'],len(got))==(3,'answer','budget',2)
        assert r.returncode==4 and got[0]['coverage']['n_parts']==2 and got[0]['log']=='c.jsonl'

def test_command_line_goes_on_with_a_killed_question(files):
    with FakeServer(reply) as s:
        chatted(s, 'a.txt', '--log', 'c.jsonl', lines='Who is it about?\n')
        lines = Path('c.jsonl').read_text().splitlines(keepends=True)
        n = next(i for i,o in enumerate(lines) if '"CodeRan"' in o)+1
        Path('c.jsonl').write_text(''.join(lines[:n]))
        before = len(s.requests)
        r = chatted(s, '--resume', 'c.jsonl', lines='Again?\n')
        assert r.stdout=='Ida \n1\n' and len(s.requests)==before+2 and '0 questions so far' in r.stderr

def test_bad_command_lines(files, capsys):
    model = ScriptedLM(['FINAL(1)'])
    RLM(ScriptedLM(['FINAL(1)']*2), isolation='none', log='r.jsonl')('One?', TEXT)
    for args,said in ((['chat'],'name a file'), (['chat','-'],'where the questions come from'), (['chat','nope.txt'],'does not exist'), (['chat','a.txt','--max-steps','0'],'--max-steps'), (['chat','a.txt','--resume','r.jsonl','--log','x'],'leave --log out'),
                      (['chat','--resume','r.jsonl'],'not the log of a conversation'), (['chat','a.txt','--total-cost','-1'],'total_cost'), (['chat','a.txt','--nope'],'--nope')):
        rc,out,err = here(capsys, *args, model=model)
        assert (rc,out)==(2,'') and said in err, (args,err)
    with RLM(ScriptedLM(['FINAL(1)']*2), isolation='none').chat('x'*2_000_000, log='big.jsonl') as chat: chat('One?')
    rc,out,err = here(capsys, 'chat', '--resume', 'big.jsonl', model=model)
    assert rc==2 and 'rlm chat --resume LOG FILE' in err
    rc,out,err = here(capsys, 'ask', '--resume', 'big.jsonl', model=model)
    assert rc==2 and 'is the log of a conversation' in err

@pytest.mark.skipif(sys.platform=='win32', reason='needs a pty')
def test_at_a_terminal(files):
    "A prompt, Ctrl-C in a question, which leaves the conversation, and Ctrl-D"
    import pty
    def slow(req): return Reply('late', delay=30) if 'Slow?' in str(req.messages[-1]) else reply(req)
    with FakeServer(slow) as s:
        pid,fd = pty.fork()
        if not pid: os.execve(sys.executable, [*cmd('chat','a.txt','--model','openai/fake','--base-url',s.url,'--log','c.jsonl')], env(OPENAI_API_KEY='x'))
        seen = ''
        def until(text, n=1):
            nonlocal seen
            t = time.monotonic()
            while seen.count(text)<n and time.monotonic()-t<60: seen += os.read(fd, 65536).decode(errors='replace')
        until('rlm> ')
        os.write(fd, b'Slow?\n')
        while not s.requests: time.sleep(.05)
        os.write(fd, b'\x03')
        until('rlm> ', 2)
        os.write(fd, b'Who is it about?\n')
        until('rlm> ', 3)
        os.write(fd, b'\x04')
        assert os.waitpid(pid, 0)[1]==0 and 'Interrupted' in seen and '\nIda' in seen.replace('\r','') and 'Traceback' not in seen, seen
    assert [o.status for o in read_log('c.jsonl') if isinstance(o,RunEnded)]==['interrupted','answer']

@pytest.mark.skipif(sys.platform=='win32', reason='needs signals')
@pytest.mark.parametrize('busy', [True,False])
def test_terminated(files, busy):
    "SIGTERM ends the conversation, in a question and between two"
    with FakeServer(lambda req: Reply('late', delay=30)) as s:
        p = subprocess.Popen(cmd('chat','a.txt','--model','openai/fake','--base-url',s.url,'--log','c.jsonl'), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env(OPENAI_API_KEY='x'))
        if busy: p.stdin.write('Slow?\n'); p.stdin.flush()
        while not (s.requests if busy else Path('c.jsonl').exists() and Path('c.jsonl').stat().st_size): time.sleep(.05)
        p.terminate()
        p.wait(60)  # with its input still open
        out,err = p.communicate(timeout=60)
        assert p.returncode==143 and 'Traceback' not in err, err

# what runs start, and images

def test_children_are_not_asked_again(tmp_path):
    def say(m):
        child = 'Day 3' in str(m[1]['content']) and 'The whole' not in str(m)
        if child: return py('print(context)') if len(m)<3 else 'FINAL(sun)'
        return [py('w = rlm_query("The weather?", context[-11:])\nprint(w)'), 'FINAL_VAR("w")', py('FINAL(w*2)')][sum(o['role']=='assistant' for o in m)]
    text = 'The whole log. '*9+TEXT
    with RLM(ScriptedLM(say), isolation='none', max_depth=2).chat(text, log=tmp_path/'c.jsonl') as chat: assert chat('The whole weather?').answer=='sun' and chat('The whole twice?').answer=='sunsun'
    with RLM.load_chat(tmp_path/'c.jsonl', model=ScriptedLM([])) as b: assert [a.answer for a in b.answers]==['sun','sunsun'] and b.sh.user_ns['w']=='sun' and str(b.usage)==str(chat.usage)

def test_an_image_is_added(tmp_path):
    from test_images import png_of
    seen = []
    sub = ScriptedLM(lambda m: (seen.append(m[-1]['content']), 'a dot')[1], model='sub', vision=True)
    root = ScriptedLM([py('print(context)'), 'FINAL(1)', py('d = llm_query("What is it?", images=[context_2["a"]])\nFINAL(d)')])
    with RLM(root, sub, isolation='none').chat(TEXT) as chat:
        chat('One?')
        chat.add({'a':png_of(2,2)})
        assert chat('And the image?').answer=='a dot' and isinstance(seen[0], list)
        assert "context_2['a']" in (said:=root.asked[-1][-1]['content']) and 'Now also in the shell: `llm_query' in said and "images=[context_2" in said
