"The readers of what others wrote (the model, the child, a log), by properties: on text made by a grammar, on what a model really wrote and on mutations of that"
import json,math,os,random,string,time
from pathlib import Path
import pytest
from hypothesis import assume,example,given,strategies as st
from rlm.budget import Usage
from rlm.events import *
from rlm.events import Event,Log,from_json,read_log,redact,to_json
from rlm.frames import FRAME,Frames,Lost,_parse,frame
from rlm.prompts import NUDGES,bare_code,final_value,find_blocks,find_final,first_block,is_expression,parse_args,parse_python,parse_reply,strip_thinking,written_calls
from rlm.shell import CrossError,Opaque,pack,unpack
from properties import examples

CORPUS = [json.loads(o) for o in (Path(__file__).parent/'corpus'/'replies.jsonl').read_text(encoding='utf-8').splitlines()]

# ## What a model really wrote

def reading(reply):
    "What our parser makes of a reply, as the corpus records it"
    p = parse_reply(reply)
    f = p.final
    return dict(code=p.code, calls=len(p.calls), final=f and f.text, closed=f and f.closed, value=f and repr(final_value(f.text)), problem=p.problem)

@pytest.mark.parametrize('i', range(len(CORPUS)))
def test_the_corpus_is_read_as_it_was(i):
    d = CORPUS[i]
    assert reading(d['reply'])=={k:v for k,v in d.items() if k not in ('reply','said_by')}

def test_the_corpus_is_varied():
    assert len({o['reply'] for o in CORPUS})==len(CORPUS)>=150
    assert {bool(o['code']) for o in CORPUS}=={bool(o['final']) for o in CORPUS}=={o['closed'] is False for o in CORPUS}=={True,False}

# ## What holds of any text

UNSEEN = '\t \xa0\ufeff\u200b'

def has_final(text, blocks):
    "Line by line: whether a `FINAL` begins one outside blocks"
    at = 0
    for line in text.split('\n'):
        if line.lstrip(UNSEEN+'>*_`').startswith(('FINAL(','FINAL_VAR(')):
            i = at
            if not any(b.start<=i<b.end for b in blocks): return True
        at += len(line)+1
    return False

def check_reading(text, reason='stop'):
    "Read `text` with everything there is, and hold the readings against each other"
    p,(rest,thoughts),blocks = parse_reply(text, finish_reason=reason),strip_thinking(text),find_blocks(text)
    assert p.text==rest and p.thinking==thoughts and rest==rest.strip() and len(rest)+len(thoughts)<=len(text)
    assert bool(p.problem)==(not (p.code or p.calls or p.final)) and (p.problem is None or p.problem in NUDGES)
    assert all(a.end<=b.start for a,b in zip(blocks,blocks[1:])) and all(0<=b.start<=b.end<=len(text) and b.code in text for b in blocks)
    assert all(o in rest for o in p.code)
    inner = find_blocks(rest)
    f = find_final(rest, inner)
    assert bool(f)==has_final(rest, inner)
    if f:
        assert f.text in rest
        v = final_value(f.text)
        assert v is not None and v is not ...
        if is_expression(f.text, {'rows'}, {'search'}): assert parse_python(f.text, 'eval')
    assert p.final in (f,None)
    first = first_block(text)
    assert rest.startswith(first) and (first==rest or p.calls or not p.code or p.code[0] in first)
    for c in (*p.calls, *written_calls(rest, inner)): check_args(c.args)
    check_args(text)
    bare_code(text)

def check_args(args):
    "A dict with text for keys, or a ValueError that says what is wrong"
    for only in (None,'code'):
        try: res = parse_args(args, only)
        except ValueError as e: assert 'arguments' in str(e) and len(str(e))<400
        else: assert isinstance(res,dict) and all(isinstance(k,str) for k in res)

LOOKALIKES = ['ＦＩＮＡＬ(4)','FINAL（4）','FІNAL(4)','FINAL\u200b(4)','ＦINAL(4)','\u2160FINAL(4)','ˋˋˋpython\nx\nˋˋˋ','｀｀｀\nx\n｀｀｀','´´´\nx\n´´´','‘‘‘python\nx\n’’’','＜think＞','‹think›','FINAL ( 4 )','Final(4)','FINAL_VAR（"a"）','FINAL\uff084)']
PIECES = ['```python\n','```','\n```\n','````\n','~~~\n','```json\n','FINAL(','\nFINAL(','FINAL_VAR(',')','(','"',"'",'"""',"'''",'<think>','</think>','<THINKING>','<tool_call>','</tool_call>','{','}','[',']','\\','x','print(context)',
    '{"name": "f", "arguments": {}}','{"code": "1"}',' ','\t','\0','\ud800','é','\r\n','\r','\x85','\u2028','\ufeff','\u200b','\xa0','1,000','\n\n','`','*','> ','lambda:','f"{','#','# FINAL(3)\n','None','...','rows','\n']+LOOKALIKES
anything = st.lists(st.sampled_from(PIECES) | st.text(max_size=5) | st.sampled_from([o['reply'] for o in CORPUS]), max_size=25).map(''.join)
reasons = st.sampled_from(['stop','length','content_filter','tool_calls'])

@examples(300)
@given(anything, reasons)
def test_any_text_is_read(text, reason): check_reading(text, reason)

def splice(a, b, r):  return a[:r.randint(0,len(a))]+b[r.randint(0,len(b)):]
def cut(a, b, r): return a[:r.randint(0,len(a))]
def double(a, b, r): i,j = sorted(r.randint(0,len(a)) for _ in 'ab'); return a[:j]+a[i:]
def swap(a, b, r): x,y = r.choice([('```','~~~'),('```','````'),('```python','```'),('\n','\r\n'),('\n','\x85'),('(','（'),('FINAL','ＦＩＮＡＬ'),('"',"'"),('`','ˋ'),('FINAL(','FINAL_VAR('),(')',''),('```','``')]); return a.replace(x, y, r.choice([1,-1]))
def insert(a, b, r): i = r.randint(0,len(a)); return a[:i]+r.choice(PIECES)+a[i:]
def nest(a, b, r): return r.choice([f'<think>{a}</think>{b}', f'```\n{a}\n```\n{b}', f'````python\n"""{a}"""\n````\n{b}', f'FINAL({a})', f'FINAL("""{a}""")', f'{{"name": "run_repl", "arguments": {json.dumps(dict(code=a))}}}', f'# {a}', f'> {a}'])
MUTATIONS = splice,cut,double,swap,insert,nest

@examples(300)
@given(st.integers(0, 2**32), st.integers(1,6), reasons)
def test_what_a_model_wrote_is_read_however_it_is_mangled(seed, n, reason):
    r = random.Random(seed)
    text = r.choice(CORPUS)['reply']
    for _ in range(n): text = r.choice(MUTATIONS)(text, r.choice(CORPUS)['reply'], r)
    check_reading(text, reason)

# ## What is written by the grammar is what is read

CODE = ['x = 1','print("FINAL(1)")','# ) ( " FINAL(2)','s = "<think>"',"t = '''a\nFINAL(b)'''",'p = """```python\nq\n```"""','FINAL(3)','FINAL_VAR("x")','u = "\\"\'(["','if x:\n    print(x)','f(a[1](2){3})'.replace('{3}',''),"re.sub('</think>', '', s)",
    'r = f"{x!r:>{10}}"','d = {"a": [(1,), {2}]}','ＦＩＮＡＬ = "FINAL（"','"é\u200b\ufeff"','v = "`" * 3']
code = st.lists(st.sampled_from(CODE), min_size=1, max_size=6).map('\n'.join)
PROSE = ['I look first.','I could say FINAL(4) now.','So: FINAL(x','(as I said)','NOT_FINAL(4)','Let me see; `FINAL(3)` is for later.','1. First (a)','- FINAL(4) in a list','"quoted" \'words\'','é ü 漢字 \U0001f600','FINAL','finally(4)','# FINAL(4)',*LOOKALIKES]
prose = st.lists(st.sampled_from(PROSE), max_size=4).map('\n'.join)
thinking = st.lists(st.sampled_from([*PROSE,'FINAL(no)','```python\nFINAL(3)\n```','```','"""','FINAL_VAR("x")','<tool_call>{']), max_size=4).map(lambda o: '<think>'+'\n'.join(o)+'</think>')
fences = st.sampled_from([('```python','```'),('```repl','```'),('~~~py','~~~'),('````python','````'),('  ```Python','  ```'),('\u200b```python','```'),('\ufeff```python','\ufeff```'),('```python title="a"','```')])
eols = st.sampled_from(['\n','\r\n'])

@st.composite
def replies(draw):
    "A reply, and the code and the `FINAL` that it holds"
    parts,codes = [],[]
    if draw(st.booleans()): parts.append(draw(thinking))
    for _ in range(draw(st.integers(0,3))):
        parts.append(draw(prose))
        if draw(st.booleans()):
            (a,b),c = draw(fences),draw(code)
            parts.append(f'{a}\n{c}\n{b}')
            codes.append(c)
    f = draw(st.none() | words)
    if f is not None: parts += [draw(st.sampled_from(['','> ','**','  ','\ufeff','\u200b','`','\xa0']))+f'FINAL({f})', draw(prose)]
    return '\n'.join(parts),codes,f

word = st.sampled_from(['Troy','ships','twice','1,000','"so"',"it's",'(in Asia)','(a (b) c)','x = 1','é','漢','（note）','f(x)','`code`','**b**','\\','FINAL(3)','[1','{','%s','\n','\n\n','<b>','\u200b'])
words = st.lists(word, min_size=1, max_size=8).map(lambda o: 'Answer '+' '.join(o))

@examples(200)
@given(replies(), eols)
def test_what_is_written_is_what_is_read(reply, eol):
    text,codes,f = reply
    p = parse_reply(text.replace('\n', eol))
    assert [o.replace('\r','').strip() for o in p.code]==[o.strip() for o in codes] or (p.code==[p.text] and not codes)
    assert (p.final and p.final.text)==(None if f is None else f.strip().replace('\n', eol)) and (f is None or p.final.closed)

@given(words, prose, prose)
def test_an_answer_ends_where_its_parentheses_do(f, before, after):
    assert find_final(f'{before}\nFINAL({f})\n{after}').text==f.strip()
    f = f.replace('\n', ' ')
    assert find_final(f'{before}\nsay FINAL({f})\n{after}') is None

@pytest.mark.parametrize('text', LOOKALIKES)
def test_look_alikes_are_not_it(text):
    p = parse_reply(text)
    assert not p.final and p.code in ([],[text]) and not find_blocks(text) and strip_thinking(text)==(text,'')  # what is Python all the same may be run

scalars = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.sampled_from(list('ab()[]{}"\'\\` \n#,é漢\u200b')), max_size=12), st.binary(max_size=5))
keys = st.one_of(st.integers(), st.text('ab("\')', max_size=5), st.booleans())
literals = st.recursive(scalars, lambda o: st.lists(o, max_size=4) | st.tuples(o,o) | st.dictionaries(keys, o, max_size=4), max_leaves=8)

@examples(300)
@given(literals, prose, prose)
@example({'k':'")'}, '', '')
@example(["'", '"', ')'], '', 'FINAL(2)')
def test_a_python_value_comes_back_from_final(v, before, after):
    assume(v not in ('',b'') and repr(v).count(')')<15)
    f = find_final(f'{before}\nFINAL({v!r})\n{after}')
    assert f.closed and alike(final_value(f.text), v)

def alike(a, b):
    "Equal, and of the same types all the way down"
    if type(a)!=type(b): return False
    if isinstance(a, dict): return len(a)==len(b) and all(alike(x,y) for x,y in zip(a.items(), b.items()))
    if isinstance(a, (list,tuple)): return len(a)==len(b) and all(map(alike, a, b))
    return a==b or (isinstance(a,float) and math.isnan(a) and math.isnan(b))

@given(st.text('0123456789.,_+-eExj ', min_size=1, max_size=12))
def test_a_number_is_taken_only_if_nothing_is_lost(s):
    v = final_value(s)
    assert str(v)==s.strip() if isinstance(v,(int,float,complex)) else isinstance(v,(str,tuple))

# ## Tool calls

values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10), lambda o: st.lists(o, max_size=3) | st.dictionaries(st.text(max_size=5), o, max_size=3), max_leaves=6)
args = st.dictionaries(st.text('abcdé_', min_size=1, max_size=6), values, min_size=1, max_size=4)
WAYS = dict(json=json.dumps, loose=lambda d: json.dumps(d, ensure_ascii=False, indent=2), python=repr, twice=lambda d: json.dumps(json.dumps(d)), spaced=lambda d: f'\n {json.dumps(d)}\n', broken_lines=lambda d: json.dumps(d).replace('\\n','\n').replace('\\t','\t'))

@given(args, st.sampled_from(sorted(WAYS)))
def test_arguments_come_back_however_they_are_written(d, way):
    if way=='broken_lines': assume('\\' not in json.dumps(d).replace('\\n','').replace('\\t',''))
    assert parse_args(WAYS[way](d))==d

@given(code, st.sampled_from(sorted(WAYS)))
def test_code_as_an_argument_comes_back(c, way):
    assert parse_args(WAYS[way](dict(code=c)), 'code')==dict(code=c) or (way=='broken_lines' and '\\' in c)

@given(code)
def test_bare_code_as_the_arguments_is_code(c):
    assume(not c.lstrip().startswith(('"',"'")))
    assert parse_args(c, 'code')==dict(code=c) and parse_args(json.dumps(c), 'code')==dict(code=c)

@given(args, st.sampled_from(sorted(WAYS)), st.data())
def test_damaged_arguments_are_read_or_refused(d, way, data):
    s = WAYS[way](d)
    i = data.draw(st.integers(0, len(s)))
    check_args(s[:i]); check_args(s[i:]); check_args(s[:i]+data.draw(st.sampled_from(PIECES))+s[i:])

@pytest.mark.parametrize('s', ['['*100_000, '{"a":'*100_000, '{"code": "'+'x'*1_000_000, '{"a": '+'9'*100_000+'}', '{"a": 1e99999}', "{'a': "+'-'*9000+'1}', '{"a": "\\ud800"}', '\0', '{"code": "\0"}', '{1: 2}', '{"a": NaN}', '"'*100_000, '{'*100_000, "b'x'", '{**{}}', '[]', 'null', '"{"', '"{}"'])
def test_hostile_arguments(s): check_args(s)

@given(st.lists(st.tuples(st.sampled_from(['run_repl','f']), args), min_size=1, max_size=3), st.sampled_from(['fence','tag','bare']), st.sampled_from(['arguments','parameters']), st.booleans())
def test_calls_written_as_text_come_back(calls, how, key, text):
    js = [json.dumps({'name':n, key:json.dumps(a) if text else a}) for n,a in calls[:1 if how=='bare' else 3]]
    s = '\n'.join(f'```json\n{j}\n```' if how=='fence' else f'<tool_call>\n{j}\n</tool_call>' if how=='tag' else j for j in js)
    assume('</tool_call>' not in ''.join(js))
    assert [(c.name,parse_args(c.args)) for c in parse_reply(s).calls]==[(n,a) for n,a in calls[:len(js)]]

# ## Values and frames from the child

texts = st.text(st.characters(exclude_categories=()), max_size=12)
hashables = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(max_size=9) | st.complex_numbers(allow_nan=False) | st.decimals(allow_nan=False) | st.fractions() | st.datetimes() | st.dates() | st.times() | st.timedeltas(),
    lambda o: st.tuples(o,o) | st.frozensets(o, max_size=3), max_leaves=5)
packable = st.recursive(hashables, lambda o: st.lists(o, max_size=4) | st.tuples(o) | st.dictionaries(hashables | st.sampled_from(['$','v']), o, max_size=4) | st.sets(hashables, max_size=3), max_leaves=10)

@examples(200)
@given(packable, st.booleans(), st.integers(0,3000))
def test_a_packed_value_comes_back(v, beside, long):
    v,blobs = [v, 'é\ud800'*long, b'\0'*long],[] if beside else None
    assert alike(unpack(json.loads(json.dumps(pack(v, blobs))), blobs or ()), v)

TAGS = ['int','float','complex','Decimal','Fraction','datetime','date','time','timedelta','bytes','str','tuple','set','frozenset','dict','blob','blobb','opaque','nope']
wire = st.recursive(st.none() | st.booleans() | st.integers(-5,10**20) | st.floats() | st.text(max_size=8) | st.sampled_from(['1e999','1e-999999999','1e999999999','0x1','nan','-inf','9'*5000,'2026-01-01','1/0','====']),
    lambda o: st.lists(o, max_size=4) | st.dictionaries(st.sampled_from(['$','v','t','a']), o, max_size=3) | st.builds(lambda t,v: {'$':t, 'v':v, 't':v}, st.sampled_from(TAGS), o), max_leaves=12)

@examples(400)
@given(wire, st.lists(st.binary(max_size=5), max_size=2))
@example({'$':'Fraction', 'v':['1e999999999']}, [])
@example({'$':'Fraction', 'v':[{'$':'Decimal', 'v':'1e999999999'}]}, [])
def test_a_forged_value_is_refused_or_read_at_once(j, blobs):
    t = time.process_time()
    try: unpack(j, blobs)
    except CrossError: pass
    assert time.process_time()-t<5

class Wire:
    "A socket that gives its bytes in pieces of these sizes"
    def __init__(self, data, sizes): self.data,self.sizes = memoryview(data),sizes
    def recv_into(self, v):
        n = min(len(v), len(self.data), self.sizes.pop(0) if self.sizes else 1<<20)
        v[:n],self.data = self.data[:n],self.data[n:]
        return n

def receive(data, sizes=(), cap=FRAME, room=256):
    fs,got = Frames(cap, room=room),[]
    sock = Wire(data, list(sizes))
    while fs.take(sock): got += [(_parse(j),blobs) for j,blobs in fs]
    return got,fs

messages = st.tuples(st.dictionaries(st.text(max_size=4), values, max_size=3), st.lists(st.binary(max_size=700), max_size=3))
sizes = st.lists(st.integers(1,300), max_size=60)

@given(st.lists(messages, max_size=6), sizes)
def test_frames_come_out_as_they_went_in(msgs, sizes):
    data = b''.join(b for m,blobs in msgs for b in frame(m, blobs))
    assert receive(data, sizes)[0]==[(m,blobs) for m,blobs in msgs]

@examples(200)
@given(st.lists(messages, min_size=1, max_size=3), sizes, st.data())
def test_damaged_frames_are_lost_or_read_and_never_grow(msgs, sizes, data):
    raw = bytearray(b''.join(b for m,blobs in msgs for b in frame(m, blobs)))
    for _ in range(data.draw(st.integers(1,4))): raw[data.draw(st.integers(0,len(raw)-1))] = data.draw(st.integers(0,255))
    try: assert len(receive(bytes(raw), sizes, cap=4096)[1].buf)<4096+len(raw)+4*256
    except Lost: pass

@given(st.binary(max_size=400), sizes)
def test_garbage_frames(raw, sizes):
    try: receive(raw, sizes, cap=4096)
    except Lost: pass

@given(st.binary(max_size=60) | anything.map(lambda s: s.encode('utf-8','surrogatepass')) | values.map(lambda v: json.dumps(v).encode()))
@example(b'['*2_000_000)
@example(b'{"a":'+b'9'*1_000_000+b'}')
@example(b'{"a":'*100_000)
def test_a_message_is_an_object_or_lost(j):
    try: assert isinstance(_parse(j), dict)
    except Lost: pass

# ## The log

odd = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=4) | st.integers(4000,5000).map(lambda n: 10**n) | st.just(object), lambda o: st.lists(o, max_size=3) | st.dictionaries(st.integers() | texts | st.tuples(texts), o, max_size=3) | st.sets(texts, max_size=2), max_leaves=8)

@given(odd, texts)
def test_any_event_is_one_line_that_can_be_read(v, s):
    for ev in (RunEnded(answer=v), SubReplied(prompt=s, content=s, error=s), CodeRan(code=s, text=s, result=dict(value=v)), ToolRan(name=s, args=dict(a=v))):
        line = to_json(ev)
        assert '\n' not in line and line.isascii() and type(from_json(line))==type(ev)
    assert from_json(to_json(RootReplied(reply=dict(content=s))))==RootReplied(reply=dict(content=s))

@given(values | wire)
@example(dict(event=[]))
@example(dict(event={}))
def test_a_line_is_an_event_or_a_value_error(v):
    for j in (v, dict(event=v), dict(event='Noted', text=v, kind=v), [v]):
        try: assert isinstance(from_json(json.dumps(j)), Event)
        except ValueError: pass

@pytest.mark.parametrize('line', ['['*200_000, '{"event": "Noted", "text": '+'['*200_000, '{"event": "Noted", "t": '+'9'*10_000+'}', '{"event": "Noted"'])
def test_a_hostile_line_is_a_value_error(line):
    with pytest.raises(ValueError): from_json(line)

secrets = st.dictionaries(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=14) | st.sampled_from(['question','settings','RootReplied','", "event','{"event": "','messages','\\u0041bcdef','"content"','pass"word','pässwörter','abcdefgh','abcdefgh-and-more']),
    st.sampled_from(['A_KEY','key','B_TOKEN']), max_size=4)

def strings(o):
    "Every text in a value, keys too"
    if isinstance(o, str): return [o]
    if isinstance(o, dict): o = [*o, *o.values()]
    return [s for v in o for s in strings(v)] if isinstance(o, (list,tuple)) else []

@examples(150)
@given(secrets, st.lists(st.text(max_size=6), min_size=1, max_size=4), st.randoms(use_true_random=False))
@example({'abcdefgh':'A_KEY', 'abcdefgh-and-more':'B_TOKEN'}, ['x'], random.Random(0))
def test_a_secret_is_removed_and_nothing_else(tmp_path_factory, ss, around, rnd):
    text = ''.join(rnd.choice([*ss, *around]) for _ in range(6))
    assume(not any(v in f'[{k} removed]' for v in ss for k in ss.values()))
    log = Log(tmp_path_factory.mktemp('log')/'a.jsonl')
    log.secrets = ss
    evs = [RunStarted(id='i', question=text, settings=dict(a=[text])), RootReplied(reply=dict(content=text)), RunEnded(answer=dict(k=text), error='plain')]
    for o in evs: log.write(o)
    log.close()
    back = read_log(log.path)
    assert list(map(type, back))==list(map(type, evs)) and back[2].error=='plain'
    for got,o in ((back[0].question,text), (back[0].settings['a'][0],text), (back[1].reply['content'],text), (back[2].answer['k'],text)):
        assert got==redact(o, ss) and (got==o or any(v in o for v in ss)) and not any(v in got and v in o and not overlaps(v, ss) for v in ss)

def overlaps(v, ss): return any(v!=o and any(o.endswith(v[:i]) or v.endswith(o[:i]) for i in range(1, min(len(o),len(v)))) for o in ss) or any(v.startswith(']') or v.endswith('[') for _ in [0])

# ## Linear time

SHAPES = {k:(lambda n,u=u,a=a,z=z: a+u*(n//len(u))+z) for k,(a,u,z) in dict(
    backticks=('','`',''), lines=('','```\n',''), opened=('','```python\n',''), alternating=('','```python\n~~~\n',''), growing=('','```\n````\n',''), tildes=('','~',''), spaces=('',' ',''), newlines=('','\n',''), crlf=('','\r\n',''), fence_spaces=('```',' ','`'),
    think=('','<think>',''), unthink=('','</think>',''), both=('','<think></think>',''), think_fences=('','<think>```\n',''), angle=('','<',''),
    parens=('FINAL(','(',''), close=('FINAL("',')',''), finals=('','FINAL(\n',''), one_line=('','FINAL(',''), final_vars=('','FINAL_VAR(\n',''), quotes=('FINAL("','"',''), quotes_spaces=('FINAL("','" ',''), triples=('FINAL("""','"""',''), escapes=('FINAL("','\\',''),
    quote_parens=('FINAL([','"),',''), brackets=('FINAL(','[',')'), braces=('FINAL(','{"a":',')'), commas=('FINAL([','1,','])'), words=('FINAL(','Troy (in Asia), ',')'), stars=('','*',''), quoted=('','> ','FINAL(3)'), bom=('','\ufeff',''),
    blocks=('','```python\n)\n```\n',''), block_triples=('','```python\n"""\n```\n',''), unlabelled=('','```\nx\n```\n',''), nested=('```python\np = """\n','```\nx\n','"""\n```'), finals_in_blocks=('','```text\nFINAL(\n```\n',''),
    calls=('','<tool_call>{',''), whole_calls=('','<tool_call>{"name":"f","arguments":{}}</tool_call>',''), json=('','[',''), objects=('','{"a":',''), json_text=('{"code": "','\\n',''), json_fences=('','```json\n{"name": "f"\n```\n',''), strings=('','"',''),
    sums=('FINAL(','1+',')'), minus=('FINAL(','-',')'), dots=('a','.a',''), attributes=('FINAL(a','.a',')'), nots=('','not ',''), lambdas=('','lambda:',''), fstrings=('','f"{',''), comments=('','#\n',''), indents=('','if a:\n ',''), digits=('FINAL(','9',')'), hexes=('FINAL(0x','f',')'),
    concatenated=('FINAL(','"a" ',')'), lookalikes=('','FINAL（',''), continued=('','\\\n','')).items()}
READERS = dict(parse_reply=parse_reply, first_block=first_block, strip_thinking=strip_thinking, find_blocks=find_blocks, find_final=find_final, written_calls=lambda s: written_calls(s, find_blocks(s)), bare_code=bare_code,
    final_value=final_value, is_expression=lambda s: is_expression(s, {'a'}), parse_args=check_args)

def seconds(f, x):
    t = time.process_time()
    f(x)
    return time.process_time()-t

def check_linear(f, make, n=12_000, times=8):
    "Eight times as much may take twenty-four times as long; anything quadratic takes sixty-four"
    if seconds(f, make(n*times))<.1: return
    small,large = (min(seconds(f, make(k)) for _ in range(3)) for k in (n,n*times))
    assert large<3*times*small+.1, f'{large:.3f} s for {times} times what takes {small:.3f} s'

@pytest.mark.parametrize('shape', SHAPES)
def test_reading_takes_linear_time(shape):
    for f in READERS.values(): check_linear(f, SHAPES[shape])

@examples(12)
@given(st.sampled_from(['','FINAL(','FINAL("','FINAL([','```python\n','```\n"""\n','<think>','{"code": "','<tool_call>','"','(','# ']), st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(''.join), st.sampled_from(['','\n```\n',')','"']))
def test_any_repetition_is_read_in_linear_time(before, piece, after):
    for f in READERS.values(): check_linear(f, lambda n: before+piece*(n//len(piece))+after, 5_000)

def test_the_log_and_the_wire_take_linear_time():
    ss = {f'secret-{i:04}':'A_KEY' for i in range(50)}
    for f,make in ((lambda s: redact(s, ss), lambda n: 'secret-'*(n//7)), (lambda s: redact(s, ss), lambda n: 'secret-0007'*(n//11)), (lambda s: from_json(to_json(CodeRan(text=s))), lambda n: '\ud800"\\\n'*(n//4)),
        (lambda v: unpack(json.loads(json.dumps(pack(v)))), lambda n: [str(i) for i in range(n//8)]), (lambda d: receive(d, room=1<<12), lambda n: b''.join(frame({})*(n//10))), (lambda d: receive(d, [100]*10_000, room=1<<12), lambda n: frame({}, [b'a'*n])[0]+b'a'*n),
        (lambda d: receive(d, [100]*10_000, room=1<<12), lambda n: b''.join(frame({}, [b'a'*9]*(n//10)))),
        (lambda us: sum(us, Usage()), lambda n: [Usage(1)]*(n//10))): check_linear(f, make)
