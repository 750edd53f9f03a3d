"The form of a value: what fits, what is said of what does not, and schemas made to do harm"
import datetime as dt,enum,json,subprocess,sys,typing
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated,Any,Literal,Optional,TypedDict,Union
import pytest
from rlm.schema import Form,FormError,as_form,as_plain,brief,check_schema,in_words,is_sketch,json_checker,matcher,of_setting,parse_type,sample,schema_of,type_name

class Mixed(enum.Enum): ONE,TEXT,PAIR,NONE = 1,'1',(1,2),None
class Weekday(str, enum.Enum): MON,TUE = 'monday','tuesday'
class Level(enum.IntEnum): LOW,HIGH = 1,2
class Row(TypedDict):
    name:str
    n:int
@dataclass
class Point:
    x:float
    tags:list[str]
    at:dt.date = dt.date(2024,1,1)

def refused(form, value):
    with pytest.raises(FormError) as e: form.check(value)
    assert len(str(e.value))<1800
    return str(e.value)

def test_light():
    code = 'import sys, rlm, rlm.schema, rlm.tools\nfrom rlm.schema import *\nschema_of(list[int]); as_plain({1:[2]}); parse_type("int | None")\nprint([k for k in ("pydantic","jsonschema","litellm") if k in sys.modules])'
    assert subprocess.run([sys.executable,'-c',code], capture_output=True, text=True).stdout.strip()=='[]'

# ---- types

@pytest.mark.parametrize('T,value,want', [
    (int,'42',42), (int,' 42 ',42), (int,42.0,42), (int,-3,-3), (int,'0x'+'f'*4000,int('f'*4000,16)), (float,'3.5',3.5), (float,2,2.), (bool,'yes',True), (bool,'No.',False), (bool,'FALSE',False),
    (str,42,'42'), (str,4.5,'4.5'), (str,'42','42'), (str,'["a"]','["a"]'), (list[int],'[1, "2"]',[1,2]), (list[int],(1,2),[1,2]), (list[str],"['a', 'b']",['a','b']), (dict[str,float],{'a':'1'},{'a':1.}), (dict[str,int],{2021:3},{'2021':3}),
    (Optional[int],None,None), (Optional[int],'null',None), (Optional[int],'7',7), (Literal['yes','no'],'Yes',  'yes'), (Literal[1,2],'2',2), (tuple[int,str],[1,'a'],(1,'a')), (tuple[int,...],[1,2],(1,2)), (set[str],['a'],{'a'}),
    (dt.date,'2024-05-17',dt.date(2024,5,17)), (dt.date,dt.date(2024,5,17),dt.date(2024,5,17)), (dt.datetime,'2024-05-17T09:30',dt.datetime(2024,5,17,9,30)), (Decimal,'1.10',Decimal('1.10')), (Any,{'a':[1]},{'a':[1]}),
    (Mixed,1,Mixed.ONE), (Mixed,'1',Mixed.TEXT), (Mixed,[1,2],Mixed.PAIR), (Mixed,'PAIR',Mixed.PAIR), (Mixed,'pair',Mixed.PAIR), (Mixed,None,Mixed.NONE), (Weekday,'Monday',Weekday.MON), (Weekday,'TUE',Weekday.TUE), (Level,'2',Level.HIGH), (Level,'high',Level.HIGH),
    (list[Weekday],['monday','TUE'],[Weekday.MON,Weekday.TUE]), (Row,{'name':'a','n':'3'},{'name':'a','n':3}), (Point,{'x':'1','tags':[]},Point(1.,[])), (Point,'{"x": 1, "tags": ["a"], "at": "2024-05-17"}',Point(1.,['a'],dt.date(2024,5,17))),
    (Union[int,str],42,42), (Union[int,str],'42','42'), (int|bool,True,True), (Union[Point,int],{'x':1,'tags':[]},Point(1.,[])), (Annotated[int,'a note'],'3',3)], ids=lambda o: brief(o, 20))
def test_fits(T, value, want):
    f = Form(T)
    got = f.check(value)
    assert (got,type(got))==(want,type(want))
    back = f.check(json.loads(json.dumps(f.plain(got)))) if not isinstance(got, int) or got.bit_length()<1000 else got
    assert (back,type(back))==(want,type(want))  # what a log holds makes it again

@pytest.mark.parametrize('T,value', [(int,'yes'), (int,'about 42'), (int,42.5), (int,True), (int,None), (int,[42]), (int,''), (int,'1,234'), (int,'twelve'), (float,True), (float,'high'), (float,float('nan')), (float,'nan'), (float,float('inf')), (bool,'perhaps'), (bool,7), (str,None), (str,['a']), (str,True),
    (list[int],[True]), (list[int],'1, 2'), (list[int],{'a':1}), (list[str],'a'), (dt.date,20240517), (dt.date,'20240517'), (dt.date,'17 May'), (dt.datetime,2021), (dt.datetime,'2021'), (Mixed,'two'), (Mixed,True), (Level,3), (Literal['yes','no'],'maybe'), (tuple[int,str],[1]), (Row,{'name':'a'}), (Point,{'x':float('nan')}), (Optional[int],'none found')])
def test_does_not_fit(T, value):
    said = refused(Form(T), value)
    assert said.startswith('it is not ') and 'Traceback' not in said and 'pydantic' not in said

def test_where_it_is_wrong(): assert '[1].n: ' in refused(Form(list[Row]), [{'name':'a','n':1},{'name':'b','n':'x'}]) and "'x'" in refused(Form(list[Row]), [{'name':'b','n':'x'}])

def test_pydantic_models():
    from pydantic import BaseModel,Field
    class Item(BaseModel):
        name:str
        price:float = Field(gt=0, alias='Price')
        sub:Optional['Item'] = None
    f = Form(Item)
    a = f.check({'name':'x','Price':'2','sub':{'name':'y','Price':1}})
    assert isinstance(a, Item) and isinstance(a.sub, Item) and f.check(a) is a and f.check(f.plain(a))==a
    assert 'Price' in refused(f, {'name':'x','Price':-1}) and '$ref' in f.for_root() and f.response_format['json_schema']['schema']
    assert as_plain([a])[0]['name']=='x'

def test_a_type_that_is_none():
    class Odd: pass
    with pytest.raises(ValueError, match='no type that a value can be checked against'): Form(Odd)
    for T in (42, object(), 'no such type', '__import__("os")', 'list[', ['one'], []):
        with pytest.raises(ValueError): Form(T)
    with pytest.raises(ValueError, match='validator must be a function'): Form(int, 'positive')

def test_enum_of_objects():
    E = enum.Enum('E', dict(A=object(), B=object()))
    f = Form(E)
    assert f.check('B') is E.B and "'A'" in f.words and f.check(E.A) is E.A

@pytest.mark.parametrize('s', ['int','str','list[str]','dict[str, float]','list[dict[str, int]]','tuple[int, str]','tuple[int, ...]','Literal["a", 1]','int | None','Optional[date]','Union[int, str]','datetime','list','Any','typing.List[int]','string','integer | null'])
def test_short_types(s):
    T = parse_type(s)
    assert parse_type(type_name(T))==T and of_setting(json.loads(json.dumps(Form(s).setting()))).T==T

@pytest.mark.parametrize('s', ['', 'open("x")', 'int()', 'lambda: 0', 'os.system', 'list[open]', 'int if 1 else str', 'x', '1', '"int"', 'Literal[open]', 'int | 3', '['*5000, 'list['*300+'int'+']'*300+'x', 'a'*3000])
def test_no_types(s):
    with pytest.raises(ValueError, match='names no type'): parse_type(s)

# ---- JSON schemas

INV = {'type':'object', 'properties':{'no':{'type':'string','pattern':'^[A-Z]{2}-\\d+$'}, 'lines':{'type':'array','minItems':1,'items':{'$ref':'#/$defs/line'}}, 'due':{'type':'string','format':'date'}}, 'required':['no','lines'], 'additionalProperties':False,
       '$defs':{'line':{'type':'object','properties':{'n':{'type':'integer','minimum':1},'what':{'enum':['oil','wick']}},'required':['n','what']}}}

def test_json_schema():
    f = Form(INV)
    ok = {'no':'AB-1','lines':[{'n':1,'what':'oil'}],'due':'2024-05-17'}
    assert f.check(ok)==ok and f.check(json.dumps(ok))==ok and f.check({**ok,'lines':tuple(ok['lines']),'due':dt.date(2024,5,17)})==ok
    for bad,word in (({'no':'AB-1'},'lines'), ({**ok,'x':1},'not asked for'), ({**ok,'no':'ab-1'},'does not match'), ({**ok,'lines':[{'n':0,'what':'oil'}]},'lines[0].n'), ({**ok,'lines':[{'n':1,'what':'ice'}]},'lines[0].what'), ({**ok,'due':'soon'},'due'), ([],'object'), ('words','object')):
        assert word in refused(f, bad)
    assert of_setting(json.loads(json.dumps(f.setting()))).schema==INV and 'JSON schema' in f.for_root() and f.for_sub()

def test_drafts():
    old = {'$schema':'http://json-schema.org/draft-07/schema#', 'type':'array', 'items':[{'type':'integer'}], 'definitions':{'a':{}}}
    assert Form(old).check([1,'x'])==[1,'x'] and 'type' in refused(Form(old), ['x'])

def test_keywords_that_are_ours():
    f = Form({'type':'object','patternProperties':{'^x_':{'type':'integer'}},'additionalProperties':{'type':'string'}})
    assert f.check({'x_a':1,'b':'c'}) and refused(f, {'x_a':'1'}) and refused(f, {'b':1})
    u = Form({'type':'array','uniqueItems':True})
    assert u.check([1,True,'1',{'a':1}]) and refused(u, [1,1.0]) and refused(u, [{'a':1,'b':2},{'b':2,'a':1}])

@pytest.mark.parametrize('schema,word', [({'$ref':'http://127.0.0.1:1/x'},'nothing is fetched'), ({'properties':{'a':{'$ref':'file:///etc/passwd'}}},'nothing is fetched'), ({'type':'rubbish'},'no valid JSON schema'), ({'type':'string','pattern':'('},'cannot be used'), ({'pattern':'(?=a)b'},'look-around'),
    ({'type':'object','unevaluatedProperties':False},'not supported'), ({'type':'string','maxLength':'x'},'no valid JSON schema'), ({'a':{1,2}},'no JSON schema'), ({'enum':'abc'},'no valid JSON schema')])
def test_schemas_refused(schema, word):
    with pytest.raises(ValueError, match=word): Form(schema)

@pytest.mark.parametrize('schema', [{'foo':1}, {'title':'x'}, {'description':'an invoice'}, [], ['a'], [1,[2]], 42, 'words', {'type':'object','x':'y'*30_000}, {'pattern':'a'*5000}, {'name':'what it is called'}])
def test_rubbish_of_a_model(schema):
    with pytest.raises(ValueError) as e: Form(schema, trusted=False)
    assert len(str(e.value))<600

def nested(n, leaf, key='a'):
    for _ in range(n): leaf = {'type':'object','properties':{key:leaf}}
    return leaf

def test_too_deep():
    with pytest.raises(ValueError, match='nested too deep'): Form(nested(100, {}))
    with pytest.raises(ValueError): Form(nested(5000, {}))

def test_references_are_never_fetched(monkeypatch):
    import urllib.request
    def no(*a, **k): raise AssertionError('fetched')
    monkeypatch.setattr(urllib.request, 'urlopen', no)
    hidden = {'type':'object','properties':{'enum':{'$ref':'http://127.0.0.1:1/x'}, 'a':{'$id':'http://127.0.0.1:1/y','$ref':'#/nowhere'}}}  # under a name that is skipped as data
    assert 'cannot be checked' in refused(Form(hidden), {'enum':1}) and 'cannot be checked' in refused(Form(hidden), {'a':1})

@pytest.mark.parametrize('pattern', ['^(a+)+$','^(a|aa)+$','(.*a){20}$','^([a-z]+)*\\d$'])
def test_no_pattern_backtracks(pattern):
    text = 'a'*100_000+'!'
    for f in (Form({'type':'string','pattern':pattern}), Form({'type':'object','patternProperties':{pattern:{'type':'integer'}},'additionalProperties':False}), Form({'type':'object','propertyNames':{'pattern':pattern}})):
        refused(f, text if f.schema['type']=='string' else {text:'x'})

def test_hidden_keywords():
    f = Form({'type':'object','properties':{'default':{'type':'object','patternProperties':{'(a+)+$':{}},'unevaluatedProperties':False}}})
    assert 'not supported' in refused(f, {'default':{'a'*40+'!':1}})

def test_schemas_that_explode():
    two = {'$ref':'#/$defs/d0', '$defs':{f'd{i}':{'allOf':[{'$ref':f'#/$defs/d{i+1}'}]*2} for i in range(40)}|{'d40':{'type':'integer'}}}
    f = Form(two, trusted=False)
    assert 'too much' in refused(f, 1) and f.words and isinstance(f.for_sub(), str) and f.example is None or f.example
    for s in ({'$ref':'#'}, {'$ref':'#/$defs/a','$defs':{'a':{'$ref':'#/$defs/a'}}}, {'$ref':'#/$defs/a','$defs':{'a':{'anyOf':[{'$ref':'#/$defs/b'}]},'b':{'$ref':'#/$defs/a'}}}):
        g = Form(s, trusted=False)
        assert 'nested' in refused(g, 1) and g.words and g.for_sub() and g.for_root()

def test_a_recursive_schema_is_fine():
    tree = {'$ref':'#/$defs/n','$defs':{'n':{'type':'object','properties':{'v':{'type':'integer'},'kids':{'type':'array','items':{'$ref':'#/$defs/n'}}},'required':['v']}}}
    f = Form(tree, trusted=False)
    assert f.check({'v':1,'kids':[{'v':2,'kids':[]}]}) and 'kids[0].v' in refused(f, {'v':1,'kids':[{'v':'x'}]}) and f.read('{"v": 3}')=={'v':3}

def test_huge_schema():
    big = {'type':'object','properties':{f'key_{i}':{'type':'string'} for i in range(3000)}}
    f = Form(big)
    assert f.example is None and len(f.words)<700 and f.check({'key_1':'a'})
    with pytest.raises(ValueError, match='too long'): Form(big, trusted=False)
    with pytest.raises(ValueError, match='too long'): Form({'enum':['x'*1000]*300})

# ---- values made to do harm

def deep(n, o=1):
    for _ in range(n): o = [o]
    return o

@pytest.mark.parametrize('T', [int, list, Any, list[int], Point, {'type':'array'}, {'type':'array','items':{'$ref':'#'}}, Row])
def test_deep_values(T):
    f = Form(T)
    for v in (deep(1000), '['*100_000, '{"a":'*50_000, deep(40)):
        try: f.plain(f.check(v))
        except FormError as e: assert len(str(e))<1800

@pytest.mark.parametrize('v', [10**5000, -10**5000, '9'*10_000, float('nan'), 1e400, '\ud800', 'x'*1_000_000, b'\xff', complex(1,2), {('a',1):2}, {None:1}, object(), lambda: 0, int], ids=lambda o: type(o).__name__)
def test_odd_values(v):
    for T in (int, str, float, bool, list[int], dict[str,int], Point, Mixed, dt.date, INV, ['a','b'], {'type':'integer'}, {'type':'number','multipleOf':0.1}):
        try: Form(T).plain(Form(T).check(v))
        except FormError as e: assert len(str(e))<1800

def test_long_numbers():
    assert Form(int).check(10**5000)==10**5000 and Form({'type':'integer'}).check(10**5000)==10**5000
    assert brief(10**5000)=='<a value of type int>' and refused(Form({'type':'integer','maximum':10}), 10**5000)

def test_values_that_hold_themselves():
    a = []; a.append(a); a.append(a)
    with pytest.raises(ValueError, match='holds itself'): as_plain(a)
    assert 'holds itself' in refused(Form({'type':'array'}), a)

def test_as_plain():
    import numpy as np
    class Model:
        def model_dump(self): return {'k':Weekday.MON}
    d = as_plain([Point(1,['a']), Model(), np.arange(3), np.float64(2.5), {Level.LOW:{1}}, (Mixed.PAIR,)])
    assert d[0]=={'x':1,'tags':['a'],'at':dt.date(2024,1,1)} and d[1]=={'k':'monday'} and d[2]==[0,1,2] and d[4]=={1:{1}} and d[5]==((1,2),)
    json.dumps(as_plain(d, as_json=True))

def test_what_could_not_cross_is_no_value():
    from rlm.shell import Opaque
    for T in ({'type':'object'}, {'type':'array'}, {}, dict(a=int), {'type':'object','properties':{'a':{}}}, Point, Row, dict, Mixed):
        for v in (Opaque('Thing','{"a": 1}'), {'a':Opaque('Thing','x')}, [Opaque('Thing','x')]):
            if T is dict and isinstance(v, dict): continue  # a dict of anything
            assert 'pydantic' not in refused(Form(T), v)

def test_sketches():
    assert schema_of({'name':str,'tags':[str],'dim':{'w':int}})['properties']['dim']['properties']=={'w':{'type':'integer'}}
    assert schema_of({'name':'str','price':'float | None'})['required']==['name','price'] and schema_of([int])=={'type':'array','items':{'type':'integer'}}
    assert not is_sketch({'name':'str'}) and not is_sketch({}) and not is_sketch(['a','b']) and schema_of({'type':'string'})=={'type':'string'}

# ---- replies

@pytest.mark.parametrize('T,text,want', [(int,'42',42), (int,'**42**',42), (int,'42.',42), (int,'{"answer": 42}',42), (float,'.5',.5), (bool,'Yes.',True), (bool,'false',False), (['red','blue'],'"Blue"','blue'), (['red','blue'],'Blue.','blue'), (str,'It is {"a": 1}.','It is {"a": 1}.'), (list[str],'["a"]',['a']),
    (list[str],'Sure:\n```json\n["a", "b"]\n```\nDone.',['a','b']), (dict(a=int),'The result is {"a": 1}, I think.',dict(a=1)), (dict(a=int),"{'a': 1}",dict(a=1)), (dict(answer=int),'{"answer": 1}',dict(answer=1)), (list[int],'{"answer": [1]}',[1]), (dt.date,'2024-05-17',dt.date(2024,5,17)), (Optional[int],'null',None)])
def test_replies(T, text, want): assert Form(T).read(text)==want

@pytest.mark.parametrize('T,text', [(int,'There are 42 of them.'), (int,''), (list[int],'[1, 2'), (list[int],'[1, "x"]'), (dict(a=int),'{"a": NaN}'), (['red','blue'],'red or blue'), (int,'9'*6000+'x'), (list[int],'['*200_000), (dict(a=int),'{"a":'*100_000)])
def test_replies_that_do_not_fit(T, text):
    with pytest.raises(FormError): Form(T).read(text)

# ---- words

@pytest.mark.parametrize('T', [int, float, bool, str, list[str], list[Row], dict[str,int], Optional[dt.date], tuple[int,str], Literal['a','b'], Mixed, Weekday, Point, Union[int,str], INV, {'anyOf':[{'type':'integer'},{'type':'null'}]}, {'type':['string','null']}, {'const':3}, {'type':'array','prefixItems':[{'type':'integer'}]}, dict(name=str)])
def test_the_example_fits(T):
    f = Form(T)
    assert f.words and 'a value' not in f.words.split(' or ')
    if T is not INV: assert f.example and f.check(eval(f.example, {})) is not ... and len(f.for_root())<2000  # ours to eval: it is a literal
    assert f.for_root(short=True).startswith('The answer must be') and len(f.for_root(short=True))<400

def test_response_format():
    f = Form(list[Row])
    s = f.response_format['json_schema']['schema']
    assert s['type']=='object' and '$defs' in s and Form(s) and f.read(json.dumps({'answer':[{'name':'a','n':1}]}))==[{'name':'a','n':1}]
    assert Form(str).response_format is None and Form(Any).response_format is None and Form({'type':'array','items':{'$ref':'#'}}).response_format is None
    assert Form(dict(a=int)).response_format['json_schema']['strict'] and not Form({'type':'object','properties':{'a':{}}}).response_format['json_schema']['strict']

def test_validator():
    def odd(n): assert n%2, 'it must be odd'
    for v,why in ((odd,'it must be odd'), (lambda n: n>9,'says no'), (lambda n: f'{n} is wrong','2 is wrong'), (lambda n: n.nothing,'AttributeError'), (lambda n: '','says no'), (lambda n: 0,'says no')): assert why in Form(int, v).judge(2)[1]
    assert [Form(int, v).judge('3') for v in (odd, lambda n: None, lambda n: True)]==[(3,'')]*3
    assert as_form() is None and Form(None, odd).judge(3)==(3,'') and len(Form(None, lambda n: 'x'*5000).judge(1)[1])<700
