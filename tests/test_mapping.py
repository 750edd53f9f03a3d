"The same question of every item: answers find their items, whatever the items look like and wherever the budget ends"
import json,re
import pytest
from fakeserver import FakeServer,Fault,Reply
from rlm import RLM
from rlm.events import CodeRan,Noted,SubReplied,read_log,to_json
from rlm.budget import Budget,Ledger
from rlm.lm import LM,LMError,ReplayLM,ScriptedLM,as_response,to_reply,wait
from rlm.mapping import JUMBLES,as_messages,calibrated,choice_prompt,choice_scores,jumbles,leaning,missing_choices,map_prompt,read_answers,read_choice
from rlm.tools import PER_CALL,PER_CALL_SMALL,SubCalls

CH = ['spam','ham','phone number','number']

@pytest.mark.parametrize('text,want', [('Spam.', 'spam'), ('**ham**', 'ham'), ('a phone number', 'phone number'), ('number', 'number'), ('spam or ham', None), ('not spam', None), ("It isn't a number", None), ('eggs', None), ('', None)])
def test_choices(text, want): assert read_choice(text, CH)==want

def test_a_choice_may_be_a_denial():
    assert [read_choice(o, ['spam','not spam']) for o in ('Not spam','it is not spam','spam')]==['not spam','not spam','spam']

@pytest.mark.parametrize('text,want', [('12:30','12:30'), ('1.5','1.5'), ('2023-01-06','2023-01-06'), ('1: 12:30','12:30'), ('1) May','May'), ('42','42')])
def test_lone_answers_with_numbers(text, want): assert read_answers(text, 1)=={0:want}

def test_items_cannot_answer_for_others():
    items = ['1: spam\n2: spam\nAnswers:\n2: spam', '2: spam', 'plain', '3) ham\n\nAnswers:']
    lines = map_prompt(items, 'Label it.', CH).split('Items:\n')[1].split('\n')
    assert [o[:3] for o in lines[:4]]==['1: ','2: ','3: ','4: '] and lines[4:]==['','Answers:']
    assert read_answers('1: ham\n2: spam\n2: ham\n9: spam\n3: number', 4, CH)=={0:'ham', 2:'number'}

def mapper(cell, then='FINAL(r)'):
    def reply(m):
        p = m[-1]['content']
        if m[0]['role']=='system': return f'```python\n{cell}\n```' if len(m)==2 else f'```python\n{then}\n```'
        return '\n'.join(f'{i}: {"ham" if "7" in o else "spam"}' for i,o in re.findall(r'^(\d+): (.*)$', p.split('Items:\n')[-1], re.M)) if 'Items:' in p else 'ham' if '7' in p else 'spam'
    return ScriptedLM(reply)

KINDS = 'Which kind of letter is it?\n- complaint: something is wrong\n- request: something is wanted\n- thanks: all is well\n\nLetters follow.'

def test_choices_that_leave_out_what_the_instruction_names_ask_nobody():
    "Every item would get one of the labels that are compared, whatever it is"
    cell = f'kinds = {KINDS!r}\ntry: llm_map(context, kinds, ["complaint", "request"])\nexcept ValueError as e: r = str(e)'
    a = RLM(mapper(cell))('Which?', ['a','b'])
    assert 'names thanks, too' in a.answer and 'Give all of them, ["complaint", "request", "thanks"], and' in a.answer and 'sub' not in a.usage.by   # told to give all, a small model gave the others only
    for ch in (["complaint","request","thanks"], ["complaint","other"], ["a letter","no letter"]):
        assert RLM(mapper(f'r = llm_map(context, {KINDS!r}, {ch!r})'))('Which?', ['a','b']).usage.by['sub'].calls
    assert missing_choices('Which label?\n- spam: unwanted\n- ham: wanted\n\nRules:\n- Important: answer with one word\n', ['spam','ham'])==[]
    assert missing_choices('Steps:\n1. Read the row: all of it\n2. Tell\n- yes: it is\n- no: it is not\n- Note: when unsure, no\n', ['yes','no'])==[]
    assert missing_choices(KINDS.replace('- ', '1. '), ['Request','THANKS'])==['complaint'] and missing_choices('Is it spam?\n- note: be quick', ['yes','no'])==[]

def test_order_duplicates_and_empty_items():
    a = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=3)\nprint(r)'))('Which?', ['a7','b','','b','c7','a7',' '])
    assert a.answer==['ham','spam',None,'spam','ham','ham',None] and a.usage.by['sub'].calls==1

def test_missing_answers_are_told_beside_the_output():
    a = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=3)\nprint(len(r))\nn = llm_map("a7", "Label it.", ["spam","ham"])\nprint(n)'))('Which?', ['a7','b','',' '])
    assert next(o for o in a.trajectory if isinstance(o,CodeRan)).text.splitlines()[:3]==['llm_map: 2 of the 4 answers are None', '4', 'ham']

def test_the_budget_ends_midway():
    a = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=2)\nprint(r)'), max_calls=5)('Which?', [f'item {i}' for i in range(20)])
    assert a.usage.calls<=5 and "'spam', 'spam', None, None" in next(o.text for o in a.trajectory if isinstance(o, CodeRan))
    assert sum('prompts were asked' in o.text for o in a.trajectory if isinstance(o, Noted))<=2

def test_last_characters_are_not_taken_for_rows():
    "`row[-1]` of rows that were not split: a small model labelled 89 question marks and counted them"
    a = RLM(mapper('r = llm_map([row[-1] for row in context.splitlines()], "Label it.", ["spam","ham"])\nprint(r)'), max_steps=1)('Which?', 'who?\nwhat?\nwhere?\nwhen?')
    shown = next(o.text for o in a.trajectory if isinstance(o, CodeRan))
    assert "single characters, such as '?'" in shown and 'Split the rows' in shown and a.usage.by.get('sub') is None

# ---- values of a form

def cell(code): return f'```python\n{code}\n```'
def outs(a): return [o.text for o in a.trajectory if isinstance(o, CodeRan)]
def subs(a): return [o for o in a.trajectory if isinstance(o, SubReplied)]
def ask(code, sub, isolation='auto', then='FINAL(r)', **kw):
    sub = sub if isinstance(sub, LM) else ScriptedLM(sub)
    return RLM(ScriptedLM([cell(f'context\n{code}\nprint(type(r).__name__)\n{then}'), 'FINAL(the code failed)']), sub, isolation=isolation, **kw)('Which?', 'Day 1: fog.')

PYDANTIC = 'from pydantic import BaseModel\nclass Stay(BaseModel):\n    day: int\n    why: str = "?"\n'
TYPED = 'from typing import TypedDict, Optional, Literal\nclass Stay(TypedDict):\n    day: int\n'
DATA = 'from dataclasses import dataclass\n@dataclass\nclass Stay:\n    day: int\n    why: str = "?"\n'

@pytest.mark.parametrize('isolation', ['auto','none'])
@pytest.mark.parametrize('code,said,want', [('r = llm_query("n?", schema=int)','42',42), ('r = llm_query("n?", int)','**42**',42), ('r = llm_query("n?", schema="list[str]")','["a"]',['a']), ('r = llm_query("n?", schema=list[int])','It is [1, 2].',[1,2]), ('r = llm_query("n?", schema=["yes","no"])','Yes.','yes'),
    ('r = llm_query("n?", schema={"day": int, "tags": [str]})','{"day": 2, "tags": []}',{'day':2,'tags':[]}), ('r = llm_query("n?", schema={"type": "object", "properties": {"day": {"type": "integer"}}, "required": ["day"]})','```json\n{"day": 2}\n```',{'day':2}), ('r = llm_query("n?", schema={"day": "int"})','{"day": 2}',{'day':2}),
    (PYDANTIC+'r = llm_query("n?", schema=Stay)','{"day": 2}',{'day':2}), (PYDANTIC+'r = llm_query("n?", schema=list[Stay])','[{"day": 2}]',[{'day':2}]), (PYDANTIC+'r = Stay(**llm_query("n?", schema=Stay)).model_dump()','{"day": 2}',{'day':2,'why':'?'}), (TYPED+'r = llm_query("n?", schema=Stay)','{"day": 2}',{'day':2}), (DATA+'r = llm_query("n?", schema=[Stay])','[{"day": 2}]',[{'day':2}]),
    ('from typing import *\nr = llm_query("n?", schema=Optional[int])','null',None), ('from enum import Enum\nclass K(Enum):\n    A, B = "fog", "sun"\nr = llm_query("n?", schema=K)','Fog','fog'), ('from enum import Enum\nclass K(Enum):\n    A, B = "fog", "sun"\nr = llm_query("n?", schema=list(K))','Fog','fog'), ('r = llm_query("n?", schema=bool)','no',False), ('r = llm_query("n?", schema=str)','[1] is a note','[1] is a note'),
    ('import datetime\nr = llm_query("n?", schema=datetime.date)','2024-05-17','2024-05-17'), ('r = llm_query("n?", schema=(int))','7',7)])
def test_schemas_in_the_shell(isolation, code, said, want):
    a = ask(code, [said], isolation, then='FINAL([r])')
    assert a.ok and a.answer==[want] and a.usage.by['sub'].calls==1, (outs(a), a)

@pytest.mark.parametrize('schema,word', [('{"foo": 1}','no JSON schema'), ('42','must be a type'), ('object()','must be a type'), ('lambda: 0','must be a type'), ('["one"]','two or more'), ('"nonsense"','names no type'), ('print','must be a type'), ('{"$ref": "http://127.0.0.1:1/x"}','nothing is fetched'), ('{"type": "string", "pattern": "("}','cannot be used'),
    ('{"type": "object", "x": "y"*30_000}','too long'), ('[]','two or more'), ('{"type": 3}','no valid JSON schema'), ('type("C", (), {})','says nothing'), ('{"a": int, "b": object()}','no JSON schema'), ('b"x"','must be a type'), ('{"type": "object", "unevaluatedProperties": False}','not supported')])
def test_rubbish_as_schema(schema, word):
    a = ask(f'r = llm_query("n?", schema={schema})', [])
    assert a.answer=='the code failed' and word in outs(a)[0] and len(outs(a)[0])<3000 and not subs(a)

def test_nested_5000_deep_or_without_end():
    for code in ('s = {}\nfor _ in range(5000): s = {"type": "object", "properties": {"a": s}}', 's = {"type": "array"}\ns["items"] = s', 's = {"$ref": "#/$defs/d0", "$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i+1}"}]*2} for i in range(40)} | {"d40": {"type": "integer"}}}', 's = {"type": "string", "pattern": "^(a+)+$"}', 's = {"$ref": "#"}'):
        a = ask(code+'\nr = llm_query("n?", schema=s)', ['a'*50_000+'!','a'*50_000+'!'])
        assert a.answer=='the code failed' and ('nested' in outs(a)[0] or 'too much' in outs(a)[0] or 'does not match' in outs(a)[0] or 'cannot' in outs(a)[0] or 'no JSON schema' in outs(a)[0] or 'no valid' in outs(a)[0] or 'not of type' in outs(a)[0]), outs(a)

def test_repair():
    said = iter(['It costs three.', '{"price": 3}'])
    a = ask('r = llm_query("What does it cost?", schema={"price": float})', lambda m: next(said))
    assert a.answer=={'price':3} and a.usage.by['sub'].calls==2 and [o.prompt for o in subs(a)][1].startswith([o.prompt for o in subs(a)][0]) and 'It costs three.' in subs(a)[1].prompt
    b = ask('r = llm_query("What does it cost?", schema={"price": float})', lambda m: 'I do not know.')
    assert b.answer=='the code failed' and b.usage.by['sub'].calls==2 and 'asked twice' in outs(b)[0] and 'I do not know.' in outs(b)[0]
    c = ask('r = llm_query("What does it cost?", schema={"price": float})', lambda m: 'I do not know.', max_calls=2)
    assert c.usage.calls<=2 and c.status=='budget' or 'BudgetSpent' in outs(c)[0]

def test_batched():
    def sub(m):
        p = m[-1]['content']
        return '7' if 'You replied' in p and 'b?' in p else 'many' if 'b?' in p or 'c?' in p else LMError('other','no') if 'd?' in p else '5'
    a = ask('r = llm_query_batched(["a?", "b?", "c?", "d?", 3], schema=int)', sub)
    assert a.answer[:2]==[5,7] and all(o.startswith('[llm_query failed') for o in a.answer[2:]) and a.usage.by['sub'].calls==5

def test_batched_when_the_budget_ends_in_a_repair():
    a = ask('r = llm_query_batched(["a?"]*4, schema=int)\nprint(r)', lambda m: 'many', max_calls=5)
    assert a.usage.calls<=5 and outs(a)[0].count('[llm_query failed')==4 and not a.ok

# ---- structured output

def server(takes=True):
    def reply(r):
        f = r.body.get('response_format')
        if f and not takes: return Fault(400, dict(error=dict(message='response_format is not supported here', type='invalid_request_error')))
        return Reply(json.dumps({'answer':[1,2]}) if f else 'The numbers are [1, 2].')
    return FakeServer(reply)

def test_response_format_is_sent_and_unwrapped(bare_env):
    with server() as s:
        a = ask('r = llm_query("n?", schema=list[int])', LM('openai/fake', base_url=s.url, api_key='x'))
        f = s.requests[0].body['response_format']
        assert a.answer==[1,2] and f['type']=='json_schema' and f['json_schema']['strict'] and f['json_schema']['schema']['properties']['answer']['type']=='array'
        b = ask('r = llm_query("n?")', LM('openai/fake', base_url=s.url, api_key='x'))
        assert b.ok and 'response_format' not in s.requests[1].body

@pytest.mark.parametrize('direct', [True,False])
def test_a_server_that_takes_none_is_asked_in_words(bare_env, direct):
    with server(False) as s:
        lm = LM('openai/fake', base_url=s.url, api_key='x', retries=0, direct=direct)
        a = ask('r = llm_query("n?", schema=list[int]), llm_query("m?", schema=list[int]), *llm_query_batched(["a", "b"], schema=list[int])', lm)
        notes = [o.text for o in a.trajectory if isinstance(o, Noted)]
        assert a.ok and list(a.answer)==[[1,2]]*4 and len(notes)==1 and 'takes no response_format' in notes[0] and sum('response_format' in r.body for r in s.requests)==1 and a.usage.by['sub'].calls==4

def test_takes_schema():
    assert LM('openai/gpt-5-mini', api_key='x').takes_schema() and LM('openai/own', base_url='http://127.0.0.1:9/v1').takes_schema() and not ScriptedLM([]).takes_schema()
    assert not LM('openai/davinci-002', api_key='x').takes_schema()

def test_a_bad_request_for_another_reason_is_told(bare_env):
    with FakeServer(lambda r: Fault(400, dict(error=dict(message='no such voice', type='invalid_request_error')))) as s:
        lm = LM('openai/fake', base_url=s.url, api_key='x', retries=0)
        a = ask('r = llm_query("n?", schema=int)', lm)
        assert 'no such voice' in outs(a)[0] and lm.structured is None

# ---- resumed and replayed

MANY = 'rs = llm_map([f"item {i}" for i in range(30)], "How long is it?", schema=int, per_call=5)\ns = llm_query("sum?", schema=list[int])\nk = llm_filter(rs, "it is large", per_call=10)\nt = llm_reduce([str(o)*400 for o in rs], "Which digits are there?")\nr = [rs, s, list(k), t]'

def one_of_all(m):
    p = m[-1]['content']
    if 'How long' in p: return '\n'.join(f'{i}: {len(o)}' if i!='3' else f'{i}: many' for i,o in re.findall(r'^(\d+): (.*)$', p.split('Items:\n')[-1], re.M)) if 'Items:' in p else str(len(p.split('Item: ')[1].split('\n')[0]))
    if 'sum?' in p: return '[1, 2]' if 'You replied' in p else 'three'
    if 'is large' in p: return '\n'.join(f'{i}: {"yes" if int(o)>6 else "no"}' for i,o in re.findall(r'^(\d+): (\d+)$', p.split('Items:\n')[-1], re.M))
    return ''.join(sorted(set(re.findall(r'\d', p.split('[1]\n')[-1]))))

def untimed(ev):
    d = json.loads(to_json(ev))
    for o in (d, d.get('result') or {}):
        for k in ('t','seconds'): o.pop(k, None)
    return d

@pytest.mark.parametrize('at_once', [1,8])
def test_a_killed_run_pays_for_no_reply_twice(tmp_path, at_once):
    a = ask(MANY, ScriptedLM(one_of_all, max_concurrency=at_once), log=tmp_path/'a.jsonl', isolation='none')
    assert a.ok and a.answer[0]==[6]*10+[7]*20 and a.answer[1]==[1,2] and a.answer[2]==[7]*20, outs(a)
    lines = (tmp_path/'a.jsonl').read_text().splitlines(True)
    for i in range(3, len(lines)+1, 3 if at_once==1 else 5):
        log = tmp_path/f'{i}.jsonl'
        log.write_text(''.join(lines[:i]))
        paid = sum('"SubReplied"' in o for o in lines[:i])
        root,sub = ScriptedLM([cell(f'context\n{MANY}\nprint(type(r).__name__)\nFINAL(r)')] if not any('"RootReplied"' in o for o in lines[:i]) else []),ScriptedLM(one_of_all)
        b = RLM.resume(log, 'Day 1: fog.', model=root, sub_model=sub)
        assert b.answer==a.answer and len(sub.asked)==len(subs(a))-paid and b.usage.calls==a.usage.calls, i
    RLM.replay(tmp_path/'a.jsonl', new_log=tmp_path/'b.jsonl')
    assert [untimed(o) for o in read_log(tmp_path/'a.jsonl')]==[untimed(o) for o in read_log(tmp_path/'b.jsonl')]

def test_the_note_of_a_fallback_is_replayed(tmp_path, bare_env):
    with server(False) as s: a = ask('r = llm_query("n?", schema=list[int])', LM('openai/fake', base_url=s.url, api_key='x', retries=0), log=tmp_path/'a.jsonl')
    b = RLM.replay(tmp_path/'a.jsonl', new_log=tmp_path/'b.jsonl', model=ScriptedLM([]), sub_model=ScriptedLM([]))
    assert a.answer==b.answer==[1,2] and [untimed(o)['event'] for o in read_log(tmp_path/'a.jsonl')]==[untimed(o)['event'] for o in read_log(tmp_path/'b.jsonl')]

def test_cached_replies(tmp_path):
    for n in (2,0):
        sub = ScriptedLM(lambda m: '[1, 2]' if 'You replied' in m[-1]['content'] else 'three', cache=tmp_path/'c.sqlite')
        a = ask('r = llm_query("sum?", schema=list[int])', sub)
        assert a.answer==[1,2] and len(sub.asked)==n

# ---- llm_map

def test_map_with_a_schema():
    def sub(m):
        p = m[-1]['content']
        lines = re.findall(r'^(\d+): (.*)$', p.split('Items:\n')[-1], re.M) if 'Items:' in p else [('', p.split('Item: ')[1].split('\n')[0])]
        one = lambda o: json.dumps(dict(n=int(o) if '4' not in o else 'four'))
        return '\n'.join(f'{i}: {one(o)}' if i else one(o) for i,o in lines)
    a = ask('r = llm_map(range(12), "Which number?", schema={"n": int})', sub)
    assert a.answer==[dict(n=i) if i!=4 else None for i in range(12)] and a.usage.by['sub'].calls==3
    b = ask('r = llm_map(["x", "y"], "Which?", choices=["a", "b"], schema=int)', sub)
    assert 'choices or a schema, not both' in outs(b)[0]

def test_nothing_is_asked_twice():
    sub = ScriptedLM(lambda m: '\n'.join(f'{i}: {"ham" if "7" in o else "spam"}' for i,o in re.findall(r'^(\d+): (.*)$', m[-1]['content'].split('Items:\n')[-1], re.M)) if 'Items:' in m[-1]['content'] else 'spam')
    a = ask('x = [f"i{j}" for j in range(50)]\nq = llm_map(x, "Label.", ["spam", "ham"])\nr = llm_map(x[::-1]+["new", "old"], "Label.", ["spam", "ham"])\nother = llm_map(x, "Label it.", ["spam", "ham"])', sub)
    assert a.answer[:50]==['ham' if '7' in f'i{j}' else 'spam' for j in range(50)][::-1] and a.answer[50:]==['spam']*2
    assert [len(re.findall(r'^\d+: ', m[-1]['content'].split('Items:\n')[-1], re.M)) for m in sub.asked]==[40,10,2,40,10]

def test_a_new_run_knows_nothing_of_the_last():
    from rlm.core import advanced_toolloop
    from rlm.tools import prep_shell
    sub = ScriptedLM(lambda m: 'spam')
    with prep_shell('doc', model=sub, isolation='none') as sh:
        for n in (1,2):
            list(advanced_toolloop('Which?', sh=sh, model=ScriptedLM([cell('FINAL(llm_map([context], "Label.", ["spam", "ham"]))')])))
            assert len(sub.asked)==n

def test_per_call():
    n = lambda **kw: max(len(re.findall(r'^\d+: ', m[-1]['content'].split('Items:\n')[-1], re.M)) for m in kw['sub'].asked)
    def sub(model='scripted', **kw): return ScriptedLM(lambda m: '\n'.join(f'{i}: yes' for i,_ in re.findall(r'^(\d+): (.*)$', m[-1]['content'].split('Items:\n')[-1], re.M)) if 'Items:' in m[-1]['content'] else 'yes', model=model, **kw)
    s = sub(); ask('r = llm_map([f"{i}" for i in range(100)], "Which?", ["yes", "no"])', s); assert n(sub=s)==PER_CALL==40
    s = sub('local/qwen2.5-1.5b'); ask('r = llm_map([f"{i}" for i in range(5)], "Which?", ["yes", "no"])', s); assert len(s.asked)==5 and PER_CALL_SMALL==1
    s = sub(); ask('r = llm_map([f"{i}"*3000 for i in range(10)], "Which?", ["yes", "no"])', s); assert n(sub=s)==4
    s = sub(); s.window = 2048; ask('r = llm_map([f"{i}"*1000 for i in range(10)], "Which?", ["yes", "no"])', s); assert n(sub=s)==3
    s = sub(); ask('r = llm_map([f"{i}" for i in range(10)], "Which?", ["yes", "no"], per_call="auto")', s); assert n(sub=s)==10
    assert 'per_call must be' in outs(ask('r = llm_map(["a"], "Which?", per_call=0)', s))[0]

def test_progress_is_seen_and_not_kept(tmp_path):
    rlm = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=1)\nprint(r)'), isolation='none', log=tmp_path/'a.jsonl')
    evs = list(rlm.events('Which?', [f'item {i}' for i in range(200)]))
    seen = [o.text for o in evs if isinstance(o, Noted) and o.kind=='progress']
    assert len(seen)==10 and seen[0]=='llm_map: 20 of 200 items' and seen[-1]=='llm_map: 200 of 200 items'
    assert not any(getattr(o,'kind','')=='progress' for o in read_log(tmp_path/'a.jsonl'))
    from io import StringIO
    from rlm.view import Console
    f = StringIO()
    c = Console(f)
    for o in evs: c.show(o)
    c.close()
    assert 'llm_map: 100 of 200 items' in f.getvalue()
    a = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=1)\nprint(r)'), isolation='none')('Which?', [f'item {i}' for i in range(20)])
    assert not any(getattr(o,'kind','')=='progress' for o in a.trajectory)

# ---- filter and reduce

def yes_no(m):
    p = m[-1]['content']
    say = lambda o: 'perhaps' if '?' in o else 'yes' if '7' in o else 'no'
    return '\n'.join(f'{i}: {say(o)}' for i,o in re.findall(r'^(\d+): (.*)$', p.split('Items:\n')[-1], re.M)) if 'Items:' in p else say(p.split('Item: ')[1].split('\n')[0])

@pytest.mark.parametrize('isolation', ['auto','none'])
def test_filter(isolation):
    a = ask('k = llm_filter([7, "17?", {"n": 27}, "x", "7", 7], "it has a seven")\nprint(len(k), k.unjudged)\nr = [list(k), k.unjudged]', yes_no, isolation)
    assert a.answer==[[7,{'n':27},'7',7],['17?']] and 'llm_filter: 1 of the items got neither' in outs(a)[0]
    b = ask('r = llm_filter([], "it has a seven")', yes_no, isolation)
    assert b.answer==[] and not subs(b)
    for code,word in (('llm_filter("abc", "x")','takes a list of items'), ('llm_filter(["a"], "")','empty prompt'), ('llm_filter(["a"], "x", per_call=-1)','per_call must be')): assert word in outs(ask(f'r = {code}', yes_no, isolation))[0]

def words_of(m): return ' '.join(sorted(set(re.findall(r'w\d+', m[-1]['content'])))) or 'none'

def test_reduce_is_a_tree_that_fits():
    sub = ScriptedLM(words_of); sub.window = 2048
    a = ask('r = llm_reduce([f"w{i} "+"." * 900 for i in range(40)]+["", "w99 "*3000], "Which words are there?")', sub)
    assert a.answer.split()==sorted([f'w{i}' for i in range(40)]+['w99']) and max(len(m[-1]['content']) for m in sub.asked)<2*1600 and all('Which words' in m[-1]['content'] for m in sub.asked)
    again = ScriptedLM(words_of); again.window = 2048
    ask('r = llm_reduce([f"w{i} "+"." * 900 for i in range(40)]+["", "w99 "*3000], "Which words are there?")', again)
    assert sorted(m[-1]['content'] for m in again.asked)==sorted(m[-1]['content'] for m in sub.asked)
    assert ask('r = llm_reduce(["w1", "w2"], "Which?")', (one:=ScriptedLM(words_of))).answer=='w1 w2' and len(one.asked)==1

def test_reduce_says_what_went_wrong():
    long = ScriptedLM(lambda m: 'x'*5000); long.window = 2048
    a = ask('r = llm_reduce(["."*2000]*9, "Copy.")', long)
    assert 'so long that no two fit' in outs(a)[0] and len(long.asked)<60
    n = iter(range(100))
    assert ask('r = llm_reduce(["w1 "+"."*40_000, "w2 "+"."*40_000], "Which?")', lambda m: LMError('other','no') if next(n)==0 else words_of(m)).answer=='w1 w2'  # tried once more
    b = ask('r = llm_reduce(["w1 "+"."*40_000, "w2 "+"."*40_000], "Which?")', lambda m: LMError('other','out of tokens') if 'w2' in m[-1]['content'] else 'w1')
    assert 'llm_reduce: 1 of' in outs(b)[0] and 'out of tokens' in outs(b)[0]
    for code,word in (('llm_reduce([], "x")','no text'), ('llm_reduce(["", " "], "x")','no text'), ('llm_reduce("abc", "x")','takes a list of items'), ('llm_reduce(["a"], 3)','takes a text'), ('llm_reduce(["a"], "x"*60_000)','no room')): assert word in outs(ask(f'r = {code}', words_of))[0]
    c = ask('r = llm_reduce(["w1 "+"."*40_000]*6, "Which?")', words_of, max_calls=3)
    assert 'the budget' in outs(c)[0] and c.usage.calls<=3

def test_help_and_names():
    a = ask('r = [f.__doc__.splitlines()[0] for f in (llm_query, llm_query_batched, llm_map, llm_filter, llm_reduce)]', words_of)
    assert ['schema=None' in o for o in a.answer]==[True,True,True,False,False] and a.answer[3].startswith('llm_filter(items: list, condition: str')
    from rlm.prompts import REPL_SYSTEM_PROMPT,repl_prompt
    from rlm.tools import RESERVED
    assert {'llm_filter','llm_reduce'}<=RESERVED and all(o in REPL_SYSTEM_PROMPT for o in ('`llm_filter(','`llm_reduce(','`schema=`')) and 'llm_' not in repl_prompt(False)

# ---- what it saves

@pytest.mark.parametrize('p', [.85,1.])
def test_oolong_costs_less_than_one_by_one_and_scores_the_same(p):
    from rlm.oolong import NAMES,items_of,mislabel,oolong,show_item
    head = 'lines = [o for o in context.splitlines() if o.startswith("Date: ")]\nask = context.split("\\n\\n")[0]+" Which label has this line?"\n'
    count = f'\nfrom rlm.oolong import answer_from,read_items\nFINAL(answer_from(question, [(d,u,l) for (d,u,_),l in zip(read_items(context), labels)]))'
    ways = dict(loop=f'{head}labels = llm_query_batched([ask+"\\nReply with one of {", ".join(NAMES)}.\\n\\n"+o for o in lines]){count}', map=f'{head}labels = llm_map(lines, ask, {list(NAMES)}){count}')
    scores,calls,tokens = {},{},{}
    for s in oolong.samples(8192, 4, seed=2):
        known = {show_item(*o):mislabel(show_item(*o), o[3], p, 3) for o in items_of(s)}
        def sub(m):
            found = [(i,o) for i,o in re.findall(r'^(?:(\d+): )?(Date: .*)$', m[-1]['content'], re.M)]
            return '\n'.join(f'{i}: {known[o]}' if i else known[o] for i,o in found)
        for k,code in ways.items():
            a = RLM(ScriptedLM([cell(f'question = {s.question!r}\n{code}')]), ScriptedLM(sub), isolation='none')(s.question, s.context)
            assert a.ok, a.error
            scores.setdefault(k, []).append(oolong.score(a.answer, s))
            calls[k],tokens[k] = calls.get(k,0)+a.usage.by['sub'].calls,tokens.get(k,0)+a.usage.by['sub'].tokens
    assert scores['map']==scores['loop'] and (p<1 or scores['map']==[1]*4)
    assert calls['loop']/calls['map']>30 and tokens['loop']/tokens['map']>5

def small_mapper(cell):
    def reply(m):
        if 'Question:' in m[-1]['content']: return f'```python\n{cell}\n```' if not any('OUTPUT' in o['content'] for o in m[-1:]) else 'FINAL(done)'
        assert [o['role'] for o in m]==['system','user'] and 'one of: spam, ham, eggs' in m[0]['content'] and m[1]['content'].endswith('Answer, one of spam, ham, eggs:')
        return 'ham' if '7' in m[1]['content'] else 'spam'
    return ScriptedLM(reply, model='some-1b')

@pytest.mark.parametrize('depth', [1,2])
def test_a_small_model_has_the_instruction_apart(tmp_path, depth):
    "And a log of it resumes and replays without a call"
    log = tmp_path/'a.jsonl'
    cell = 'print(llm_map(context, "Label it.", ["spam","ham","eggs"]))'
    a = RLM(small_mapper(cell), log=log, max_depth=depth)('Which labels?', ['a7','b'])
    assert a.ok and next(o for o in a.trajectory if isinstance(o,CodeRan)).result['stdout']=="['ham', 'spam']\n" and a.usage.by['sub'].calls==2
    prompts = [o.prompt for o in a.trajectory if isinstance(o,SubReplied)]
    assert all(p.startswith('Label it.') for p in prompts)
    assert RLM.replay(log, ['a7','b']).usage==a.usage
    sub = ReplayLM(log, role='sub')
    assert RLM(ReplayLM(log), sub)('Which labels?', ['a7','b']).answer=='done'
    lines = log.read_text().splitlines()
    log.write_text('\n'.join(lines[:next(i for i,l in enumerate(lines) if '"event": "CodeRan"' in l)])+'\n')
    lm = small_mapper(cell)
    assert RLM.resume(log, ['a7','b'], lm).ok and len(lm.asked)==1

def test_two_choices_are_not_named_again():
    assert as_messages(choice_prompt('x', 'Is it?', ['yes','no']))[1]['content']=='Item: x\n\nAnswer:' and str(choice_prompt('x', 'Is it?', ['yes','no'])).count('yes')==1

# ---- what a small model leans to

LETTERS = [f'{w} letter {i}' for i in range(8) for w in ('broken','please','grateful')]
TRUTH = {'broken':'complaint', 'please':'request', 'grateful':'thanks'}

def leans(m):
    "Says request of nearly everything, and a little less so where something else is right"
    p = m[-1]['content']
    if 'Item: ' not in p: return '```python\nr = llm_map(context, "Which kind of letter is it?", ["complaint","request","thanks"])\nprint(r)\n```' if 'END OF OUTPUT' not in p else 'FINAL_VAR("r")'
    words = p.split('Item: ')[1].split('\n')[0].split()
    only = TRUTH[words[0]] if words.count('letter')==1 and words[0] in TRUTH and len(words)==3 and words[2].isdigit() else None
    top = {'re':-.3, 'complaint':-2., 'th':-3.} if only is None else {'re':-.5, only:-.9, 'x':-6.} if only!='request' else {'re':-.1, 'complaint':-3., 'th':-4.}
    return as_response('request', model='scripted-1b', top=top)

def leaning_lm(f=leans, **kw):
    lm = ScriptedLM(f, model='scripted-1b', **kw)
    lm.scored = True
    return lm

def kinds(got): return [got.count(k) for k in ('complaint','request','thanks')]

def test_labels_are_freed_of_what_a_small_model_leans_to(tmp_path):
    a = RLM(leaning_lm(), isolation='none', log=tmp_path/'a.jsonl')('Which kinds?', LETTERS)
    assert a.answer==[TRUTH[o.split()[0]] for o in LETTERS] and a.usage.by['sub'].calls==len(LETTERS)+JUMBLES
    b = RLM.replay(tmp_path/'a.jsonl', new_log=tmp_path/'b.jsonl')
    assert b.answer==a.answer and b.usage==a.usage
    assert RLM(ReplayLM(tmp_path/'a.jsonl'), ReplayLM(tmp_path/'a.jsonl', role='sub'), preset='small', isolation='none')('Which kinds?', LETTERS).answer==a.answer
    lines = (tmp_path/'a.jsonl').read_text().splitlines()
    cut = next(i for i,o in enumerate(lines) if '"CodeRan"' in o)-5   # killed among the texts in no order
    (tmp_path/'c.jsonl').write_text('\n'.join(lines[:cut])+'\n')
    lm = leaning_lm()
    c = RLM.resume(tmp_path/'c.jsonl', model=lm, sub_model=lm)
    assert c.answer==a.answer and 0<len(lm.asked)<JUMBLES

def test_as_the_model_gives_them_where_it_does_not_say_how_likely_they_are():
    for lm in (ScriptedLM(lambda m: r if isinstance(r:=leans(m), str) else 'request', model='scripted-1b'), leaning_lm(lambda m: r if isinstance(r:=leans(m), str) else 'request')):
        a = RLM(lm, isolation='none')('Which kinds?', LETTERS)
        assert kinds(a.answer)==[0,len(LETTERS),0] and a.usage.by['sub'].calls==len(LETTERS)

def test_few_items_and_a_choice_for_the_rest_are_taken_as_they_are():
    assert kinds(RLM(leaning_lm(), isolation='none')('Which kinds?', LETTERS[:7]).answer)==[0,7,0]
    def rest(m): return r.replace('"thanks"', '"other"') if isinstance(r:=leans(m), str) else r
    lm = leaning_lm(rest)
    assert RLM(lm, isolation='none')('Which kinds?', LETTERS).answer==['request']*len(LETTERS)

def test_what_it_leans_to_is_asked_once_and_only_if_there_is_room():
    lm = leaning_lm()
    sub = SubCalls(lm)
    ch = ['complaint','request','thanks']
    assert kinds(wait(sub.llm_map(LETTERS, 'Which?', ch)))==[8,8,8] and len(lm.asked)==len(LETTERS)+JUMBLES
    assert wait(sub.llm_map(['broken letter 99'], 'Which?', ch))==['complaint'] and wait(sub.llm_map([f'broken letter {i}' for i in range(50,80)], 'Which?', ch))==['complaint']*30
    assert len(lm.asked)==len(LETTERS)+JUMBLES+1+30
    sub = SubCalls(leaning_lm(), Ledger(Budget(max_calls=len(LETTERS)+JUMBLES-1)))
    assert kinds(wait(sub.llm_map(LETTERS, 'Which?', ch)))==[0,len(LETTERS),0] and sub.ledger.usage.calls==len(LETTERS)
    sub = SubCalls(leaning_lm())
    assert kinds(wait(sub.llm_map(LETTERS[:6], 'Which?', ch)))==[0,6,0] and kinds(wait(sub.llm_map(LETTERS, 'Which?', ch)))==[8,8,8]   # a trial before does no harm

def test_two_maps_at_once_ask_once():
    lm = leaning_lm(delay=.01)
    sub = SubCalls(lm)
    ch = ['complaint','request','thanks']
    a,b = sub.llm_map(LETTERS[:12], 'Which?', ch),sub.llm_map(LETTERS[12:], 'Which?', ch)
    assert kinds(wait(a)+wait(b))==[8,8,8] and len(lm.asked)==len(LETTERS)+JUMBLES

def test_texts_in_no_order():
    assert jumbles(['apple','pear','plum']*9)==[] and jumbles([' ',''])==[] and jumbles(LETTERS)==jumbles(LETTERS[::-1]+['']) and len(set(jumbles(LETTERS)))==JUMBLES
    assert all(o.startswith('Row: ') and len(o.split())==4 for o in jumbles([f'Row: {o}' for o in LETTERS]))

def test_what_can_be_told_of_first_tokens():
    ch = ['complaint','request','thanks']
    s = choice_scores({'re':-.001, 'x':-8.}, ch)
    assert list(s)==['request'] and calibrated(s, leaning([choice_scores({'re':-.1,'Compl':-2.5}, ch)]*JUMBLES))=='request'   # a choice that nobody named does not win
    assert choice_scores({'re':-.1, 'th':-9999.}, ch).keys()=={'request'} and choice_scores({'re':800., 'th':-1.}, ch)
    assert choice_scores({'re':-.4, 'complaint':-1.4}, ['complaint',' request',' thanks']).keys()=={'complaint',' request'}

def test_a_reply_that_says_something_else_than_its_first_token_stands():
    def french(m):
        r = leans(m)
        return r if isinstance(r, str) else as_response('It is thanks', model='scripted-1b', top={'re':-.2, 'th':-2.})
    assert RLM(leaning_lm(french), isolation='none')('Which kinds?', LETTERS).answer==['thanks']*len(LETTERS)

def test_a_server_that_breaks_on_log_probabilities_gives_labels_all_the_same(bare_env):
    def served(r): return Fault(500) if 'logprobs' in r.body else Reply('request')
    with FakeServer(served) as s:
        sub = SubCalls(LM('fake-1b', base_url=s.url, api_key='x', prices=(0,0), retries=0, max_concurrency=1))
        assert wait(sub.llm_map(LETTERS, 'Which?', ['complaint','request','thanks']))==['request']*len(LETTERS) and len(s.requests)==len(LETTERS)+1

def test_a_server_that_says_no_log_probabilities_is_asked_for_them_once(bare_env):
    def served(r):
        if 'logprobs' in r.body: return Fault(400, dict(error=dict(message='logprobs is not supported here', type='invalid_request_error')))
        return Reply('request' if 'Item: ' in r.prompt else '```python\nr = llm_map(context, "Which?", ["complaint","request","thanks"])\nprint(r)\n```' if 'END OF OUTPUT' not in r.prompt else 'FINAL_VAR("r")')
    with FakeServer(served) as s:
        lm = LM('fake-1b', base_url=s.url, api_key='x', prices=(0,0), max_concurrency=1)
        a = RLM(lm, isolation='none')('Which kinds?', LETTERS)
        assert kinds(a.answer)==[0,len(LETTERS),0] and sum('logprobs' in r.body for r in s.requests)==1
        assert sum('takes no logprobs' in o.text for o in a.trajectory if isinstance(o, Noted))==1

@pytest.mark.parametrize('probs', [None, {}, dict(content=None), dict(content=[]), dict(content=[{}]), dict(content=[dict(top_logprobs=None)]), dict(content=[dict(top_logprobs=[dict(token='a')])]),
    dict(content=[dict(top_logprobs=[dict(token=3, logprob=-1.)])]), dict(content=[dict(top_logprobs=[dict(token='a', logprob=float('-inf'))])]), 'no'])
def test_log_probabilities_in_no_known_shape_cost_no_reply(probs):
    d = as_response('spam')
    d['choices'][0]['logprobs'] = probs
    r = to_reply(d, [], 'm')
    assert (r.content, r.top)==('spam', None)

def test_a_cached_reply_has_them_too(tmp_path):
    for _ in range(2):
        lm = leaning_lm(cache=tmp_path/'c.sqlite')
        assert kinds(wait(SubCalls(lm).llm_map(LETTERS, 'Which?', ['complaint','request','thanks'])))==[8,8,8]
    assert not lm.asked

def test_children_have_them_and_a_replay_too(tmp_path):
    def f(m):
        if 'Item: ' in m[-1]['content'] or 'child:' in [o['content'] for o in m if 'Question:' in o['content']][-1].split('Question:')[-1]: return leans(m)
        return '```python\nr = rlm_query("child: which kinds?", list(context[1:]))\nprint(r)\n```' if 'END OF OUTPUT' not in m[-1]['content'] else 'FINAL_VAR("r")'
    a = RLM(leaning_lm(f), isolation='none', max_depth=2, log=tmp_path/'a.jsonl')('Which kinds?', LETTERS)
    assert [a.answer.count(k) for k in TRUTH.values()]==[7,8,8], a.answer
    b = RLM.replay(tmp_path/'a.jsonl', new_log=tmp_path/'b.jsonl')
    assert b.answer==a.answer

def test_each_label_is_freed_once(monkeypatch):
    "Also where code asks about one line after the other"
    n = []
    monkeypatch.setattr('rlm.tools.calibrated', lambda s,l: n.append(1) or calibrated(s, l))
    sub = SubCalls(leaning_lm())
    assert [wait(sub.llm_map(o, 'Which?', ['complaint','request','thanks'])) for o in LETTERS][7:]==[TRUTH[o.split()[0]] for o in LETTERS][7:] and len(n)==len(LETTERS)
