"Runs that the code of a run starts: bounded, on one bill, in one log, and resumed with it"
import json,threading
import pytest
from rlm import children as rlm_children
from rlm import RLM
from rlm.budget import Budget
from rlm.children import Children,add_children
from rlm.events import ChildEvent,CodeRan,RootReplied,SubReplied,read_log
from rlm.lm import LMError,ScriptedLM
from rlm.run import Run
from rlm.tools import prep_shell

PARTS = ['hail '*3+'fog '*50, 'hail '*4+'fog '*50]
ASK = '```python\nres = rlm_query_batched(["child: how much hail?"]*len(context), context)\nprint(res)\n```'

def script(ask=ASK, child='```python\nn = context.count("hail")\nprint(n, llm_query("leaf: " + context))\n```'):
    "A root that asks children of its parts, children that count and ask a leaf, a leaf that says 'many'"
    def reply(m):
        q,last = m[1]['content'] if len(m)>1 else m[0]['content'],m[-1]['content']
        if q.startswith('leaf:'): return 'many'
        if 'child:' in q.split('Question:')[-1]: return child if len(m)==2 else f'FINAL({last.split()[0]})'
        return ask if len(m)==2 else '```python\nFINAL(sum(res))\n```' if 'rlm_query failed' not in last else '```python\nFINAL(res)\n```'
    return reply

def rlm(lm=None, **kw): return RLM(lm or ScriptedLM(script()), max_depth=2, **kw)

def test_answers_and_bill():
    a = rlm()('How much hail?', PARTS)
    assert (a.answer, a.status)==(7, 'answer')
    kids = [o for o in a.trajectory if isinstance(o, ChildEvent)]
    assert {o.child for o in kids}=={'1','2'} and sum(o.inner['event']=='RunEnded' for o in kids)==2
    replies = [o for o in a.trajectory if isinstance(o,(RootReplied,SubReplied)) or getattr(o,'key','')]
    assert a.usage.calls==len(replies)==2+2*3 and a.usage.by['root'].calls==2 and a.usage.by['sub'].calls==6
    total = sum(o.usage['prompt_tokens']+o.usage['completion_tokens'] for o in replies)
    assert a.usage.tokens==total

def test_without_depth_it_is_one_call():
    a = RLM(ScriptedLM(lambda m: '```python\nFINAL(rlm_query("leafy?", context[0]))\n```' if len(m)>1 else 'one call'))('How much hail?', PARTS)
    assert a.answer=='one call' and a.usage.calls==2 and not any(isinstance(o, ChildEvent) for o in a.trajectory)
    a = RLM(ScriptedLM(['```python\nllm_query("x")\n```', '```python\nFINAL("llm_map" in globals())\n```']), max_depth=0)('How much hail?', PARTS)
    assert a.answer is False and "NameError" in next(o.text for o in a.trajectory if isinstance(o, CodeRan))

@pytest.mark.parametrize('v', [-1, 1.5, True, 'two'])
def test_bad_depth(v):
    with pytest.raises(ValueError, match='max_depth must be a whole number'): RLM(ScriptedLM([]), max_depth=v)('q', 'context')

def test_whole_context_is_refused():
    ask = '```python\ntry: rlm_query("child: hail?", context)\nexcept ValueError as e: res = [str(e)]\nprint(res)\n```'
    a = rlm(ScriptedLM(lambda m: ask if len(m)==2 else '```python\nFINAL(res)\n```'))('How much hail?', PARTS)
    assert 'Give rlm_query a part' in a.answer[0] and a.usage.calls==2
    long = 'x'*1000
    sh = prep_shell(long, ScriptedLM([]), max_depth=2)
    with sh:
        assert sh.holds(long) and sh.holds('Here: '+long) and not sh.holds(long[:-1]) and not sh.holds([long[:9]])

@pytest.mark.parametrize('args', ['"", context[0]', '"child: q", ""', '"child: q", None', '"child: q", 3', '3, context[0]'])
def test_bad_arguments(args):
    a = rlm(ScriptedLM(lambda m: f'```python\ntry: rlm_query({args})\nexcept (TypeError,ValueError) as e: FINAL(str(e))\n```'))('How much hail?', PARTS)
    assert 'rlm_query' in a.answer and a.usage.calls==1

def test_failure_is_text():
    boom = script(child=LMError('context', 'too long'))
    a = rlm(ScriptedLM(boom))('How much hail?', PARTS)
    first = next(o for o in a.trajectory if isinstance(o, CodeRan))
    assert first.text.count('[rlm_query failed: error')==len(PARTS) and a.status=='steps' and a.answer is None

@pytest.mark.parametrize('end', ['```python\nFINAL(res)\n```', 'FINAL(res)', 'FINAL([rlm_query failed: error: too long])'])
def test_what_failed_is_no_answer(end):
    said = []
    def reply(m):
        said.append(m[-1]['content'])
        return script(child=LMError('context', 'too long'))(m) if 'Question:' in m[-1]['content'] and 'child:' in m[1]['content'].split('Question:')[-1] or len(m)==2 else end
    a = rlm(ScriptedLM(reply))('How much hail?', PARTS)
    assert (a.answer, a.status)==(None, 'steps') and any('a call that failed, and no result' in o for o in said)

def test_fatal_ends_the_run():
    a = rlm(ScriptedLM(script(child=LMError('auth', 'wrong key'))))('How much hail?', PARTS)
    assert a.status=='error' and 'wrong key' in a.error

def test_one_budget():
    a = rlm(max_calls=6)('How much hail?', PARTS)
    assert a.usage.calls<=6
    a = rlm(max_tokens=4000)('How much hail?', PARTS)
    assert a.usage.tokens<=4000

def test_share():
    sh = prep_shell(PARTS, ScriptedLM([]), max_depth=2)
    with sh:
        run = Run('q', sh, ScriptedLM([]), budget=Budget(max_steps=50, max_calls=10, max_cost=1., max_time=60))
        add_children(run)
        b = sh.sub.children.share()
        assert (b.max_steps, b.max_calls, b.max_cost)==(20, 5, .5) and 50<b.max_time<=60
        assert Children(run, most=0).n==0
        with pytest.raises(ValueError, match='llm_query_batched'): Children(run, most=0).check('part')

def test_deeper():
    def reply(m):
        q = m[1]['content'] if len(m)>1 else ''
        n = q.count('|')
        return f'```python\nFINAL(rlm_query("deeper|{"|"*n}", context[:len(context)//2]))\n```' if len(m)>1 else 'the leaf'
    a = RLM(ScriptedLM(reply), max_depth=3)('go', 'ferry '*100)
    assert a.answer=='the leaf' and a.usage.calls==4
    assert {o.child for o in a.trajectory if isinstance(o, ChildEvent)}=={'1','1.1'}

def test_resume_from_every_line(tmp_path):
    whole = tmp_path/'whole.jsonl'
    want = rlm(log=whole)('How much hail?', PARTS)
    lines = whole.read_text().splitlines()
    for k in range(1, len(lines), 4):
        part = tmp_path/f'{k}.jsonl'
        part.write_text('\n'.join(lines[:k])+'\n')
        paid = sum(isinstance(o,(RootReplied,SubReplied)) or bool(getattr(o,'key','')) for o in read_log(part))
        lm = ScriptedLM(script())
        a = RLM.resume(part, model=lm)
        assert (a.answer, a.status, a.usage)==(7, 'answer', want.usage), k
        assert len(lm.asked)==want.usage.calls-paid, k
        log = read_log(part)
        assert sum(isinstance(o,(RootReplied,SubReplied)) or bool(getattr(o,'key','')) for o in log)==want.usage.calls

def test_replay(tmp_path):
    want = rlm(log=tmp_path/'a.jsonl')('How much hail?', PARTS)
    a = RLM.replay(tmp_path/'a.jsonl', model=ScriptedLM([]))
    assert (a.answer, a.usage)==(want.answer, want.usage)
    kinds = lambda t: sorted(o.inner['event'] for o in t if isinstance(o, ChildEvent))
    assert kinds(a.trajectory)==kinds(want.trajectory)

def test_replay_fails_where_the_run_did(tmp_path):
    careful = '```python\ntry: print(context.count("hail"), llm_query("leaf: " + context))\nexcept RuntimeError: print(0)\n```'
    for i,bad in enumerate([script(child=LMError('context', 'too long')), lambda m: LMError('server', 'down') if m[0]['content'].startswith('leaf:') else script(child=careful)(m)]):
        want = rlm(ScriptedLM(bad), log=tmp_path/f'{i}.jsonl')('How much hail?', PARTS)
        a = RLM.replay(tmp_path/f'{i}.jsonl', model=ScriptedLM([]))
        assert (a.answer, a.status, a.usage)==(want.answer, want.status, want.usage)
        lines = (tmp_path/f'{i}.jsonl').read_text().splitlines()
        part = tmp_path/f'{i}-part.jsonl'
        part.write_text('\n'.join(lines[:-3])+'\n')
        a = RLM.resume(part, model=ScriptedLM(bad))
        assert (a.answer, a.status, a.usage)==(want.answer, want.status, want.usage)

def test_stopped_while_a_child_gets_its_shell(monkeypatch):
    begun,go,made = threading.Event(),threading.Event(),threading.Event()
    prep = rlm_children.prep_shell
    def slow(*args, **kw):
        begun.set()
        assert go.wait(30)
        try: return prep(*args, **kw)
        finally: made.set()
    monkeypatch.setattr(rlm_children, 'prep_shell', slow)
    lm = ScriptedLM(script('```python\nFINAL(rlm_query("child: how much hail?", context[0]))\n```'))
    run = rlm(lm).run('How much hail?', PARTS)
    with run.sh:
        t = threading.Thread(target=lambda: list(run.play()))
        t.start()
        assert begun.wait(30)
        run.stop()
        t.join(30)
        assert run.result().status=='interrupted'
        go.set()
        assert made.wait(30)
        for o in [o for o in threading.enumerate() if o.name=='rlm-cell']: o.join(30)
    assert len(lm.asked)==1  # the child that came too late has asked nobody

def test_time_ends_children():
    lm = ScriptedLM(script(child='```python\nimport time\ntime.sleep(60)\n```'))
    a = rlm(lm, max_time=4)('How much hail?', PARTS)
    assert a.seconds<30 and a.status in ('budget','fallback')

def test_log_is_plain_json(tmp_path):
    rlm(log=tmp_path/'a.jsonl')('How much hail?', PARTS)
    assert all('event' in json.loads(l) for l in (tmp_path/'a.jsonl').read_text().splitlines())

def test_views():
    import io
    from rlm.view import Console,answer_html
    a = rlm()('How much hail?', PARTS)
    out = io.StringIO()
    c = Console(out)
    for ev in a.trajectory: c.show(ev)
    assert '→ child 1: child: how much hail?' in out.getvalue() and '← child 2: 4' in out.getvalue()
    assert c.usage.calls==a.usage.calls
    h = answer_html(a)
    assert 'child 1: child: how much hail?' in h and 'context.count(&quot;hail&quot;)' in h

@pytest.mark.parametrize('depth', [1,2])
def test_typed_answers(depth):
    ask = '```python\nres = rlm_query_batched(["child: how much hail?"]*2, context, schema=int)\nprint(res, [type(o).__name__ for o in res])\n```'
    def reply(m):
        last = m[-1]['content']
        if m[0]['role']=='system' and 'child:' not in m[1]['content']: return ask if len(m)==2 else 'FINAL(res)'
        if depth==1: return str(last.count('hail ')) if 'hail' in last else '0'
        if len(m)==2: return '```python\nFINAL("many")\n```'
        return '```python\nFINAL(context.count("hail"))\n```'
    a = RLM(ScriptedLM(reply), max_depth=depth)('How much hail?', PARTS)
    assert a.answer==[3,4] and "['int', 'int']" in next(o.text for o in a.trajectory if isinstance(o, CodeRan))

def test_a_typed_answer_that_does_not_come():
    ask = '```python\nres = rlm_query("child: how much hail?", context[0], schema=int)\nprint(res)\n```'
    def reply(m):
        if 'child:' in m[1]['content']: return 'FINAL(many)' if len(m)>2 else '```python\nprint(context[:9])\n```'
        return ask if len(m)==2 else 'FINAL(res)'
    a = RLM(ScriptedLM(reply), max_depth=2)('How much hail?', PARTS)
    assert not a.ok and a.answer is None and '[rlm_query failed' in a.found and 'many' in a.found
    bad = '```python\ntry: rlm_query_batched(["child: q"], context[:1], schema="no such type")\nexcept ValueError as e: FINAL(str(e))\n```'
    assert 'no such type' in RLM(ScriptedLM([bad]), max_depth=2)('How much hail?', PARTS).answer

def test_a_child_is_asked_the_same_again_whatever_is_left(tmp_path):
    "A share of a limit differs from run to run, so it stands in no prompt of a child"
    log = tmp_path/'a.jsonl'
    a = rlm(log=log, max_time=600, max_calls=50)('How much hail?', PARTS)
    first = [o for o in a.trajectory if isinstance(o, ChildEvent) and o.inner['event']=='RunStarted']
    assert a.ok and first and not any('may take at most' in str(o.inner['messages']) for o in first)
    lines = log.read_text().splitlines()
    log.write_text('\n'.join(lines[:next(i for i,l in enumerate(lines) if '"event": "CodeRan"' in l and '"ChildEvent"' not in l)])+'\n')
    lm = ScriptedLM(script())
    b = RLM.resume(log, PARTS, lm)
    assert b.answer==a.answer and b.usage.calls==a.usage.calls and len(lm.asked)==1
