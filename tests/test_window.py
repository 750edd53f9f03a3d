"A conversation that outgrows the model's window loses its oldest turns and nothing else"
import json
import pytest
from rlm import RLM
from rlm.events import CodeRan,Noted,RootReplied,read_log
from rlm.lm import LMError,ScriptedLM,as_response,est_tokens
from rlm.window import shorten

N = 12
def code(i): return f'v{i} = {i}\nprint("step {i}", "x"*1500)' if i<N else 'print(len(earlier_steps), earlier_steps[-1]["code"][:3], sum([v1, v2, v11]))'

class Small(ScriptedLM):
    "A model that counts its turns by what it has said, and refuses what is too long for it"
    def __init__(self, window=None, known=True, tools=False, refuse=True):
        window = window or (6000 if known else 4000)
        self.turn,self.most,self.refuse,self.refused = 0,window,refuse,0
        super().__init__(self.say, tools=tools, retries=0)
        self.window = window if known else None
    def say(self, messages):
        if self.refuse and est_tokens(messages)>self.most:
            self.refused += 1
            return LMError('context', 'scripted: context: the prompt is too long. Send less at a time.')
        self.turn += 1
        if self.turn>N: return 'FINAL(done)'
        return as_response('', [('run_repl', json.dumps(dict(code=code(self.turn))))]) if self.tools else f'```python\n{code(self.turn)}\n```'

def ask(lm, preset='strong', **kw): return RLM(lm, preset=preset, **kw)('Which?', 'a context')
def windows(a): return [o for o in a.trajectory if getattr(o,'kind','')=='window']

@pytest.mark.parametrize('preset', ['strong','small'])
@pytest.mark.parametrize('known', [True,False])
def test_it_goes_on(preset, known):
    lm = Small(None if preset=="strong" else 4500, known)
    a = ask(lm, preset)
    last = [o for o in a.trajectory if isinstance(o,CodeRan)][-1]
    assert a.answer=='done' and a.status=='answer' and windows(a) and last.result['stdout'].endswith(' 14\n') and int((n:=last.result['stdout'].split())[0])==int(n[1][1:])
    assert lm.refused==(0 if known else len(windows(a)))
    told = lm.asked[-1]
    q = next(m['content'] for m in told if 'left out here' in m['content'])
    assert q.endswith('finds the passages:')==(preset=='small') and q.count('left out here')==1 and 'Which?' in q and '`v1` (int' in q and told[0]['role']=='system'

def test_turns_stay_whole():
    lm = Small(tools=True)
    a = ask(lm)
    assert a.ok and windows(a)
    for ms in lm.asked:
        n = sum(len(m.get('tool_calls') or ()) for m in ms)
        assert n==sum(m['role']=='tool' for m in ms) and ms[-1]['role'] in ('tool','user') and ms[2:3]==[] or ms[2]['role']=='assistant'

def test_what_is_too_long_by_itself_ends_as_before():
    lm = Small(3000, refuse=False)
    a = ask(lm)
    assert a.status in ('fallback','steps') and 'fills the window' in a.error

def test_an_unknown_window_that_is_too_small_is_an_error():
    a = ask(Small(100, known=False))
    assert a.status=='error' and 'too long' in a.error

@pytest.mark.parametrize('known', [True,False])
def test_resume_and_replay(tmp_path, known):
    log = tmp_path/'a.jsonl'
    whole = Small(known=known)
    a = ask(whole, log=log)
    lines = log.read_text().splitlines()
    b = RLM.replay(log, 'a context')
    assert b.answer==a.answer and [getattr(o,'kind','') for o in b.trajectory if isinstance(o,Noted)]==[getattr(o,'kind','') for o in a.trajectory if isinstance(o,Noted)]
    replies = [i for i,l in enumerate(lines) if '"event": "RootReplied"' in l]
    for cut in (replies[6]+1, replies[8]+3, len(lines)-3):
        log.write_text('\n'.join(lines[:cut])+'\n')
        again = Small(known=known)
        again.turn = sum(i<cut for i in replies)
        c = RLM.resume(log, 'a context', again)
        assert c.answer=='done' and c.usage.calls==a.usage.calls and len(windows(c))==len(windows(a))
        assert not again.asked or again.asked[-1]==whole.asked[-1]

def test_in_a_conversation():
    lm = Small()
    with RLM(lm, preset='strong').chat('a context') as chat:
        assert chat('Which?').answer=='done'
        lm.turn = N
        assert chat('And then?').answer=='done' and est_tokens(lm.asked[-1])<6000

def test_the_least_is_kept():
    ms = [dict(role='user', content='q')]+[dict(role=r, content='x'*400) for _ in range(5) for r in ('assistant','user')]
    assert shorten(ms, 1, lambda m: True)==([ms[0],*ms[3:]],4) and shorten(ms, 1, lambda m: False)==([ms[0],*ms[-2:]],1) and shorten(ms[:1], 1, lambda m: False)==(ms[:1],0)

def test_dense_text_is_counted_as_the_provider_counts_it():
    "As with the local model and a list of hexadecimal names: 4,130 tokens where 2,024 were expected"
    class Dense(Small):
        def say(self, messages):
            n = 2*est_tokens(messages)
            if n>self.most: self.refused += 1; return LMError('context', 'scripted: context: too long')
            self.turn += 1
            return as_response('FINAL(done)' if self.turn>N else f'```python\n{code(self.turn)}\n```', usage=dict(prompt_tokens=n, completion_tokens=9, total_tokens=n+9))
    lm = Dense(9000)
    a = ask(lm)
    assert a.answer=='done' and windows(a) and not lm.refused
    lm = Dense(5200, known=False)
    a = ask(lm)
    assert a.answer=='done' and lm.refused==len(windows(a))>0
