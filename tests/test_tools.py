"Sub-calls, and functions of the user's as tools"
import asyncio,subprocess,sys,threading,time,typing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import pytest
from rlm.budget import Budget,BudgetSpent,Ledger,Usage
from rlm.context import ContextError
from rlm.events import Noted,SubReplied,SubStarted
from rlm.lm import LM,LMError,ScriptedLM,as_response,submit,wait
from rlm.tools import *
from rlm.tools import SubCalls,ToolError,call_tool,tool_schema,prep_shell,make_run_repl,FAILED,RESERVED

USE = dict(prompt_tokens=7, completion_tokens=3, total_tokens=10)

def subs(reply=lambda m: as_response('ok', usage=USE), budget=None, **kw):
    evs = []
    return SubCalls(ScriptedLM(reply, **kw), Ledger(budget), evs.append), evs

def kinds(evs, cls): return [o for o in evs if isinstance(o,cls)]

def test_usage_is_exact_to_the_token():
    "Answered, failed, declined and empty calls: what was paid is counted, what failed is not"
    replies = {'a':as_response('ok',usage=USE), 'b':LMError('bad_request','no'), 'c':as_response('',usage=USE), 'd':as_response('',usage=USE,refusal='I will not'), 'e':as_response('ok',usage=USE)}
    s,evs = subs(lambda m: replies[m[-1]['content']])
    res = wait(s.llm_query_batched(list('abcde')))
    assert [o.startswith(FAILED) for o in res]==[False,True,True,True,False] and 'I will not' in res[3] and 'empty reply' in res[2]
    u = s.ledger.usage
    assert (u.calls,u.prompt_tokens,u.completion_tokens)==(4,28,12) and s.ledger.reserved==Usage()
    assert sorted(o.id for o in kinds(evs,SubStarted))==sorted(o.id for o in kinds(evs,SubReplied))==[1,2,3,4,5]
    assert sum(o.usage['prompt_tokens'] for o in kinds(evs,SubReplied))==28

def test_cut_reply_says_so():
    s,_ = subs(lambda m: as_response('half', finish_reason='length'))
    assert wait(s.llm_query('x')).startswith('half [') and 'cut off' in wait(s.llm_query('x'))

def test_thinking_of_the_sub_model_is_left_out():
    s,_ = subs(lambda m: '<think>hm</think>yes')
    assert wait(s.llm_query('x'))=='yes'

@pytest.mark.parametrize('p,e', [(3,TypeError), (None,TypeError), (['a'],TypeError), ('',ValueError), (' \n',ValueError), (b'x',TypeError)])
def test_bad_prompts(p, e):
    s,evs = subs()
    with pytest.raises(e, match='llm_query'): s.llm_query(p)
    res = wait(s.llm_query_batched(['a',p,'b']))
    assert res[0]==res[2]=='ok' and res[1].startswith(FAILED) and s.ledger.usage.calls==2

@pytest.mark.parametrize('ps', ['abc', None, 3, {'a':1}, dict])
def test_bad_batches(ps):
    with pytest.raises(TypeError, match='list of texts'): subs()[0].llm_query_batched(ps)

def test_empty_batch(): assert wait(subs()[0].llm_query_batched([]))==[]

def test_surrogates_and_braces():
    s,evs = subs(lambda m: m[-1]['content'])
    assert wait(s.llm_query('{x} \ud800'))=='{x} \ud800' or '?' in wait(s.llm_query('{x} \ud800'))

def test_budget_cuts_a_batch():
    s,evs = subs(budget=Budget(max_calls=3))
    res = wait(s.llm_query_batched(list('abcde')))
    assert res[:3]==['ok']*3 and all('budget is spent' in o for o in res[3:])
    assert '3 of 5' in kinds(evs,Noted)[0].text
    with pytest.raises(BudgetSpent): wait(s.llm_query('x'))
    assert s.ledger.reserved==Usage()

def test_max_time_ends_a_slow_call():
    s,_ = subs(delay=30, budget=Budget(max_time=.5))
    t = time.monotonic()
    with pytest.raises(RuntimeError): wait(s.llm_query('x'))
    assert time.monotonic()-t<10 and s.ledger.reserved==Usage()

@pytest.mark.parametrize('kind', ['auth','quota','model','offline'])
def test_a_failure_all_would_share_stops_the_batch(kind):
    n = []
    def reply(m): n.append(1); raise LMError(kind, 'wrong key')
    s,evs = subs(reply, max_concurrency=4)
    res = wait(s.llm_query_batched(['x']*200))
    assert len(n)<=4 and all('wrong key' in o for o in res) and s.fatal.kind==kind and s.ledger.reserved==Usage()

def test_too_long_a_prompt_says_how_long_it_may_be():
    s,_ = subs(lambda m: LMError('context','too long'))
    s.lm.window = 1000
    with pytest.raises(RuntimeError, match='4,000 characters'): wait(s.llm_query('x'*9000))

def test_ten_thousand_prompts():
    s,evs = subs(lambda m: as_response(m[-1]['content'], usage=USE))
    ps,t = [f'p{i}' for i in range(10_000)],time.process_time()
    assert wait(s.llm_query_batched(ps))==ps
    assert time.process_time()-t<20
    assert s.ledger.usage.calls==10_000 and len(kinds(evs,SubReplied))==10_000 and s.ledger.reserved==Usage()

def test_no_more_in_flight_than_allowed():
    live,most = [0],[0]
    s,evs = subs(max_concurrency=5, delay=.005)
    def see(ev):
        live[0] += 1 if isinstance(ev,SubStarted) else -1
        most[0] = max(most[0], live[0])
    s.publish = see
    wait(s.llm_query_batched(['x']*60))
    assert most[0]==5

def test_64_threads():
    s,evs = subs(lambda m: as_response(m[-1]['content'], usage=USE), budget=Budget(max_calls=5000))
    def work(i): return [wait(s.llm_query(f'{i} {j}')) for j in range(5)]
    with ThreadPoolExecutor(64) as ex: res = list(ex.map(work, range(64)))
    assert res==[[f'{i} {j}' for j in range(5)] for i in range(64)]
    assert s.ledger.usage.calls==320 and s.ledger.usage.prompt_tokens==320*7 and sorted(o.id for o in kinds(evs,SubReplied))==list(range(1,321))

@pytest.mark.parametrize('after', [0, .05])
def test_cancelled_calls_give_back_what_they_reserved(after):
    s,evs = subs(delay=60, max_concurrency=3)
    futs = [s.llm_query('x'), s.llm_query_batched(['y']*50)]
    time.sleep(after)
    for f in futs: f.cancel()
    s.end()
    assert s.ledger.reserved==Usage() and s.ledger.usage.calls==0 and s.live==0
    assert all(o.error=='cancelled' for o in kinds(evs,SubReplied)) and len(kinds(evs,SubReplied))==len(kinds(evs,SubStarted))

def test_nothing_is_published_after_the_end():
    s,evs = subs(delay=60)
    s.llm_query('x'); time.sleep(.1); s.end()
    n = len(evs)
    s.lm.delay = 0
    assert wait(s.llm_query('y'))=='ok' and len(evs)==n and s.ledger.usage.calls==1  # counted all the same

def test_one_run_at_a_time():
    s,_ = subs()
    s.begin(Ledger())
    with pytest.raises(RuntimeError, match='another question'): s.begin(Ledger())
    s.end(); s.begin(Ledger())

# the shell

@pytest.mark.parametrize('isolation', ['none','auto'])
def test_prep_shell(isolation):
    with prep_shell('some text', model=ScriptedLM(lambda m: m[-1]['content'].upper()), isolation=isolation) as sh:
        repl = make_run_repl(sh)
        assert repl('context')=="'some text'" and repl('llm_query("a")')=="'A'" and repl('llm_query_batched(["a",3])[0]')=="'A'" and repl('x = 1')=='(no output)'
        assert 'TypeError: llm_query takes a text' in repl('llm_query(3)')
        assert repl('from concurrent.futures import ThreadPoolExecutor\nlist(ThreadPoolExecutor(8).map(llm_query, "abcdefgh"))')==str(list('ABCDEFGH'))
        assert len(make_run_repl(sh, 100)('print("x"*10_000)'))<300
        assert 'ZeroDivisionError' in repl('print("seen")\n1/0') and 'seen' in repl('print("seen")\n1/0')

@pytest.mark.parametrize('ctx', ['', '  ', [], {}, None, 3, object()])
def test_bad_context_costs_nothing(ctx):
    with pytest.raises(ContextError): prep_shell(ctx, model=ScriptedLM([]), isolation='none')

def test_a_shell_that_cannot_be_furnished_is_closed(monkeypatch):
    import rlm.tools
    shs,make = [],rlm.tools.make_shell
    monkeypatch.setattr(rlm.tools, 'make_shell', lambda *a,**k: shs.append(make(*a,**k)) or shs[-1])
    monkeypatch.setattr(rlm.tools, 'describe', None)
    monkeypatch.setattr(rlm.tools.SubCalls, '__init__', lambda *a: 1/0)
    with pytest.raises(ZeroDivisionError): prep_shell('x', model=ScriptedLM([]), isolation='none')
    assert shs[0].closed

# tools

@dataclass
class Point: x:int; y:int

class Holder:
    def method(self, n:int # A number
    )->int:
        "A method"
        return n+1

def plain(
    a:str, # First
    b:int=2, # Second
    c:typing.Optional[list[int]]=None,
    d:typing.Literal['x','y']='x'
)->str:
    "Does it {well}"
    return f'{a} {b} {c} {d}'

def test_plain_types_have_the_schema_that_pydantic_would_give():
    from pydantic import TypeAdapter
    from rlm.tools import _plain_types
    for t,name in _plain_types.items(): assert TypeAdapter(t).json_schema()==dict(type=name)

def test_the_schema_of_run_repl_takes_no_slow_import():
    code = "import sys\nfrom rlm.tools import make_run_repl,tool_schema\ns = tool_schema(make_run_repl(object()))\nprint(s['function']['parameters'], {'pydantic','fastcore.docments'} & set(sys.modules))"
    out = subprocess.run([sys.executable,'-c',code], capture_output=True, text=True)
    assert out.stdout.strip().endswith('set()') and "'description': 'Python code; print what you want to see'" in out.stdout, out

def test_schema():
    f = tool_schema(plain)['function']
    p = f['parameters']['properties']
    assert f['description']=='Does it {well}' and p['a']==dict(type='string', description='First') and p['b']['default']==2 and p['d']['enum']==['x','y'] and f['parameters']['required']==['a']
    assert tool_schema(Holder().method)['function']['parameters']['required']==['n']

def test_schema_of_nested_types():
    def far(p:Point, q:list[Point])->float:
        "How far"
        return p.x
    s = tool_schema(far)['function']['parameters']
    assert s['$defs']['Point']['required']==['x','y'] if '$defs' in s else s['properties']['p']['required']==['x','y']
    assert call_tool(far, dict(p=dict(x=3,y=4), q=[]))=='3'

def named(name, f=plain):
    def g(a:str)->str:
        "Does it"
        return a
    g.__name__ = name
    return g

def no_doc(a:str): return a
def no_type(a): "Does it"
def stars(*a:str): "Does it"
def kwstars(**a:str): "Does it"
def lost_type(a:'Nowhere'): "Does it"
def odd_type(a:threading.Lock): "Does it"
def positional(a:str, /): "Does it"

@pytest.mark.parametrize('f,msg', [(no_doc,'no docstring'), (no_type,"'a' has no type"), (stars,'cannot be given by name'), (kwstars,'cannot be given'), (lost_type,'Nowhere'), (odd_type,'no JSON schema|signature'),
    (positional,'cannot be given'), (3,'must be a function'), (lambda x: x,'letters'), (named('bad name'),'letters'), (named('x'*65),'letters'), (len,'.'), *[(named(o),'taken') for o in sorted(RESERVED)]])
def test_no_tool(f, msg):
    with pytest.raises(ToolError, match=msg): tool_schema(f)

@pytest.mark.parametrize('args,out', [(dict(a='x'),'x 2 None x'), (dict(a='x',b='3'),'x 3 None x'), (dict(a='x',c=[1]),'x 2 [1] x'), ({},'also needs: a'), (dict(a=1),'argument a'), (dict(a='x',z=1),'no parameter z'),
    (dict(a='x',b='many'),'argument b'), (dict(a='x',d='z'),'argument d')])
def test_calls(args, out): assert out in call_tool(plain, args)

def returning(v):
    def f()->str:
        "Gives a value"
        if isinstance(v, BaseException): raise v
        return v() if callable(v) else v
    return f

class Odd:
    def __str__(self): return 'odd'

loop = []; loop.append(loop)

@pytest.mark.parametrize('v,out', [('x','x'), (None,'null'), (3,'3'), ({'é':[1]},'{"é": [1]}'), ({('a',1):2},"('a', 1)"), (Odd(),'odd'), (loop,'[[...]]'), ('x'*10**6,'characters cut'), (b'x',"b'x'"), (float('nan'),'NaN'),
    (ValueError('no {x}'),'Error: f raised ValueError: no {x}'), (SystemExit(3),'raised SystemExit'), (StopIteration(),'raised StopIteration'), (RuntimeError('x'*10**6),'characters cut')])
def test_any_value_is_text(v, out):
    s = call_tool(returning(v), {})
    assert out in s and len(s)<6000

def test_async_tools():
    async def slow(n:int)->int:
        "Waits"
        await asyncio.sleep(.01)
        if n<0: raise ValueError('below 0')
        return n*2
    assert call_tool(slow, dict(n=2))=='4' and 'below 0' in call_tool(slow, dict(n=-1))
