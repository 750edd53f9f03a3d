"Tables: what crosses to the shell and how it comes out, what is read from files, what the model is told"
import datetime as dt,decimal,io,json,re,subprocess,sys,uuid
from pathlib import Path
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from documents import xlsx
from rlm import RLM
from rlm.benchmarks import as_prompt,benchmark_rlm,benchmark_vanilla
from rlm.context import ContextError,describe,fingerprint,flatten,load_context,load_source,n_chars,part_of,place,source_of
from rlm.dataframes import as_table,describe_table,from_arrow,has_table,own_copy,read_csv,row_texts,table_chars,table_mark,table_text,to_arrow
from rlm.lm import ScriptedLM
from rlm.search import Index
from rlm.tools import prep_shell

def across(df):
    "Through the wire's JSON too"
    from rlm.shell import pack,unpack
    meta,data = to_arrow(as_table(df))
    return from_arrow(unpack(json.loads(json.dumps(pack(meta)))), bytes(data))

def frame(**kw): return pd.DataFrame(kw)
same = dict(
    numbers=frame(i=[1,2], f=[.5,None], b=[True,False], u=np.array([0,2**63],dtype='uint64')), text=frame(s=['a',None], t=['ö😀','']), times=frame(t=pd.to_datetime(['2020-01-01',None]), z=pd.date_range('2020-03-29 00:30', periods=2, freq='h', tz='Europe/Oslo')),
    spans=frame(d=[dt.timedelta(1),None], p=pd.period_range('2020', periods=2, freq='M'), v=pd.interval_range(0,2)), objects=frame(d=[dt.date(2020,1,1),None], t=[dt.time(1),None], n=[decimal.Decimal('1.10'),None], u=[uuid.UUID(int=1),None], b=[b'\xff',None]),
    nullable=frame(i=pd.array([1,None],dtype='Int64'), b=pd.array([True,None],dtype='boolean'), s=pd.array(['a',None],dtype='string')), big=frame(i=pd.Series([2**60+1,None],dtype=object)),
    category=frame(c=pd.Categorical(['lo','hi'],categories=['lo','mid','hi'],ordered=True)), sparse=None, nested=frame(l=pd.Series([[1],[]],dtype=object), d=[dict(a=1),dict(a=2)]),
    names=pd.DataFrame([[1,2,3,4]], columns=pd.Index([1,1,('a','b'),None],tupleize_cols=False)), many=pd.DataFrame(np.ones((2,2)), index=pd.MultiIndex.from_tuples([(1,'a'),(2,'b')],names=['n',None]), columns=pd.MultiIndex.from_tuples([('x',1),('x',2)],names=['q','r'])),
    index=frame(a=[1,2]).set_index(pd.Index(['x','y'],name='a')), dates=frame(a=[1,2]).set_index(pd.date_range('2020',periods=2,tz='UTC')), range=frame(a=[1,2]).set_index(pd.RangeIndex(5,9,2,name='k')), catix=frame(a=[1,2]).set_index(pd.CategoricalIndex(['x','y'])),
    times_as_names=pd.DataFrame([[1,2]], columns=pd.date_range('2020',periods=2)), empty=frame(a=[]), columns_only=pd.DataFrame(columns=['a','b']), rows_only=pd.DataFrame(index=[1,2]), nothing=pd.DataFrame())
same['sparse'] = frame(s=pd.arrays.SparseArray([0,0,1]), t=[1,2,3])

@pytest.mark.parametrize('k', same)
def test_comes_out_as_it_went_in(k):
    df = same[k]
    before = df.copy()
    got = across(df)
    assert got.equals(as_table(df)) and df.equals(before)
    assert list(got.index.names)==list(df.index.names) and list(got.columns.names)==list(df.columns.names)
    if k!='nothing': assert [str(o) for o in got.columns]==[str(o) for o in df.columns]
    assert describe_table(df) and isinstance(table_text(df), str) and list(row_texts(df)) is not None

mixed = dict(words=frame(a=[1,'two',None]), bools=frame(a=[True,2,.5]), huge=frame(a=[10**30,1]), complex_=frame(a=[1j,2]), categories=frame(a=pd.Categorical([1,'a',None])), sets=frame(a=[object(),{1}]), surrogate=frame(a=pd.Series(['\ud800x'],dtype=object)), lists=frame(a=[[1],'x']))
@pytest.mark.parametrize('k', mixed)
def test_mixed_types_become_text(k):
    df = as_table(mixed[k])
    got = across(mixed[k]).a
    assert all(isinstance(o,str) for o in got.dropna()) and got.isna().tolist()==mixed[k].a.isna().tolist()
    assert "became text: 'a'" in describe(load_context(mixed[k])) and across(df).attrs['as_text']==['a']
    describe(load_context(mixed[k])).encode()

def test_the_callers_table_is_left_alone():
    df = frame(a=[1,'x'], b=[1,2])
    load_context(df)
    assert df.a.tolist()==[1,'x'] and not df.attrs

def test_irregular_records():
    "As from a web service: keys that only some rows have are None in the others"
    assert across(frame(a=[dict(x=1),dict(y='b')])).a.tolist()==[dict(x=1,y=None),dict(x=None,y='b')]

def _shown(df):
    "Whether what the description says of the first rows is true"
    d = describe(load_context(df))
    code,_,value = d[re.search(r'(str\()?context\.head', d).start():].partition(' == ')
    return eval(code, dict(context=load_context(df)))==eval(value)

@pytest.mark.parametrize('df', [pl.DataFrame(dict(a=[[1],[2,3]], d=[dt.date(2020,1,1),None])), pl.DataFrame(dict(c=pl.Series(['x','y'],dtype=pl.Categorical), s=[dict(k=1),dict(k=2)], t=[dt.datetime(2020,1,1,tzinfo=dt.timezone.utc),None])), pl.DataFrame(), pl.DataFrame(dict(a=[]))])
def test_polars(df):
    got = across(df)
    assert isinstance(got, pl.DataFrame) and got.equals(df) and got.schema==df.schema
    if len(df): assert 'polars DataFrame' in describe(load_context(df)) and fingerprint(got)==fingerprint(df) and _shown(df)
    assert list(row_texts(df)) is not None

def test_polars_objects():
    class Boat:
        def __str__(self): return 'Alma'
    got = across(pl.DataFrame(dict(o=pl.Series([Boat(),None],dtype=pl.Object))))
    assert got['o'].to_list()==['Alma',None]

def test_what_else_is_a_table():
    assert load_context(pa.table(dict(a=[1,2]))).a.tolist()==[1,2]
    assert load_context(pd.Series([1,2],name='s')).s.tolist()==[1,2] and load_context(pl.Series('s',[1])).columns==['s']
    with pytest.raises(ContextError, match='collect'): load_context(pl.DataFrame(dict(a=[1])).lazy())
    with pytest.raises(ContextError, match=r"context\['a'\] is a Series"): load_context({'a':pd.Series([1])})
    for o in (pd.DataFrame(), frame(a=[]), [frame(a=[])], pl.DataFrame()):
        with pytest.raises(ContextError, match='empty'): load_context(o)
    assert not has_table(['a',{'b':np.zeros(2)}])

def test_no_import_of_pandas():
    r = subprocess.run([sys.executable,'-c','import sys,rlm.context as c; c.describe(c.load_context({"a":"x"})); print([o for o in ("pandas","polars","pyarrow","markitdown","pathspec","numpy") if o in sys.modules])'], capture_output=True, text=True)
    assert r.stdout.strip()=='[]', r.stderr

# In the shell

ferries = frame(day=pd.date_range('2024-03-01', periods=4, tz='Europe/Oslo'), boat=pd.Categorical(['Alma','Alma','Brage','Alma']), tons=[12.5,None,30,8])

@pytest.mark.parametrize('isolation', ['auto','none'])
def test_in_the_shell(isolation):
    ctx = {'f':ferries, 'books':{'March':ferries.set_index('day'), 'n':1}, 'p':pl.DataFrame(dict(a=[1,2])), 'note':'fog'}
    with prep_shell(ctx, model=ScriptedLM(['Yes']*9), isolation=isolation, search=True) as sh:
        r = sh.run_cell('[type(o).__name__ for o in context.values()], float(context["f"].tons.sum()), str(context["f"].day.dtype)[-12:-1], context["books"]["March"].index.name, context["p"]["a"].sum()')
        assert ' '.join(r.value.split())=="(['DataFrame', 'dict', 'DataFrame', 'str'], 50.5, 'Europe/Oslo', 'day', 3)", r
        assert sh.run_cell('llm_query_batched(context["f"].boat.map(lambda o: f"Is {o} a boat?").unique())').value=="['Yes', 'Yes']"
        assert sh.run_cell('llm_query_batched(context["p"]["a"].cast(str))').value=="['Yes', 'Yes']"
        assert "context['f'].iloc[0:4]" in sh.run_cell('search("Brage")').value
        assert 'DataFrame, 4 x 4' in sh.run_cell('d = context["f"].assign(x=1)\nSHOW_VARS()').value
        sh.run_cell('context["f"].loc[0,"tons"] = 99.\ncontext["f"]["new"] = 1')
        assert ferries.tons[0]==12.5 and 'new' not in ferries
        assert sh.run_cell('FINAL(context["p"]["a"].max())').final.value==2
        sh.reset_final()
        got = sh.run_cell('import pandas as pd; FINAL(pd.DataFrame({"n":range(500)}))').final.value  # all of its rows
        assert str(got)=='n\n'+'\n'.join(map(str,range(500)))+'\n' if isolation=='auto' else len(got)==500

def test_a_lost_shell_gets_its_table_again():
    with prep_shell(ferries, model=ScriptedLM([]), isolation='auto', cell_timeout=30) as sh:
        assert sh.run_cell('import os; os._exit(1)').status=='lost'
        assert sh.run_cell('len(context)').value=='4'

def test_a_table_is_no_piece_for_a_child():
    with prep_shell(ferries, model=ScriptedLM([]), isolation='none', max_depth=2) as sh: assert 'context.to_csv()' in sh.run_cell('rlm_query("Which?", context)').error

def test_large():
    df = frame(i=np.arange(2_000_000), s=np.array(['some text','other text'])[np.arange(2_000_000)%2])
    with prep_shell(df, model=ScriptedLM([])) as sh: assert sh.run_cell('int(context.i.sum()), context.s.nunique()').value=='(1999999000000, 2)'

def test_run_and_resume(tmp_path):
    a = RLM(ScriptedLM(['```python\ntop = context.groupby("boat", observed=True).tons.sum().idxmax()\nprint(top)\n```']), isolation='none', log=tmp_path/'r.jsonl')('Which ferry carried most?', ferries)
    assert a.status=='error' and 'pandas DataFrame of 4 rows' in a.trajectory[0].context
    b = RLM.resume(tmp_path/'r.jsonl', model=ScriptedLM(['FINAL_VAR("top")']))
    assert b.answer=='Brage'
    with pytest.raises(ContextError, match='not the context of that run'): RLM.replay(tmp_path/'r.jsonl', ferries.assign(tons=1))

def test_sources():
    big = frame(a=np.arange(300_000))
    src = json.loads(json.dumps(source_of({'t':big}, {'t':big})))
    assert 'packed' not in src and load_source(src, {'t':big})['t'].equals(big)
    with pytest.raises(ContextError, match='Give it again'): load_source(src)
    with pytest.raises(ContextError, match='not the context'): load_source(src, {'t':big.iloc[:-1]})
    odd = pd.DataFrame([[1,'x']], columns=pd.date_range('2020',periods=2))
    assert set(source_of(odd, odd))=={'fingerprint','encoding','errors'}  # its names are no JSON

def test_children_and_benchmarks():
    ctx = {'f':ferries}
    root = ScriptedLM(['```python\nprint(rlm_query("Which?", context["f"].to_csv()))\nprint(rlm_query("Which?", context))\n```','FINAL(2)'])
    a = RLM(root, ScriptedLM(['```python\nprint(len(context))\n```','FINAL(7)']*2), max_depth=2, isolation='none')('How many?', ctx)
    assert a.ok
    seen = []
    r = benchmark_vanilla(ctx, 'Which?', ScriptedLM(lambda m: seen.append(m) or 'Final Answer: Brage'))
    assert r['answer']=='Brage' and 'f:\nday,boat,tons\n2024-03-01' in str(seen).replace('\\n','\n')
    assert benchmark_rlm(ferries, 'Which?', ScriptedLM(['```python\nFINAL(len(context))\n```']), isolation='none')['answer']==4
    assert as_prompt([ferries,'x'])==as_prompt(ferries)+'\n\nx'

# As text

def test_rows_and_parts():
    ctx = {'a':frame(x=range(300), s=['some words']*300), 'p':pl.DataFrame(dict(q=['Torvik',None]))}
    parts = list(flatten(ctx))
    assert all(part_of(ctx,p)==t for p,t in parts) and sum(p[3]-p[2] for p,_ in parts)==302
    assert [len(eval(place(p), dict(context=ctx))) for p,_ in parts]==[p[3]-p[2] for p,_ in parts]
    h = Index(ctx).search('Torvik', 1)[0]
    assert repr(h).startswith("context['p'].slice(0, 2)\n") and part_of(ctx, h.part)[h.start:h.end]==h.text
    assert n_chars(ctx)==table_chars(ctx['a'])+table_chars(ctx['p'])
    df = frame(x=range(100_000), s=['word']*100_000)
    assert abs(table_chars(df)/len(table_text(df))-1)<.05

def test_marks():
    df = frame(a=np.arange(50_000), b='x')
    assert table_mark(df)==table_mark(df.copy())==table_mark(across(df))
    for other in (df.iloc[:-1], df.rename(columns=dict(b='c')), df.assign(a=df.a.astype(float)), df[::-1], df.assign(b='y')): assert table_mark(other)!=table_mark(df)

def test_describe():
    wide = pd.DataFrame(np.zeros((2,200)), columns=[f'column {i}' for i in range(200)])
    d = describe(wide)
    assert '200 columns' in d and 'and 170 more' in d and len(d)<3000
    d = describe(pd.DataFrame({'k'*5000:['v'*5000]}))
    assert len(d)<1200 and d.isprintable()
    df = load_context(frame(a=[1,2], b=['x\n"y"',None]))
    d = describe(df)
    code,_,value = d[d.index('context.head'):].partition(' == ')
    assert eval(code, dict(context=df))==eval(value) and "'b' (str, 1 missing)" in d.replace('object','str')
    assert 'head' not in describe(df, 0)
    many = {f't{i}':frame(a=[i]) for i in range(9)}
    assert 'There are 5 more tables' in describe(many) and len(describe(many))<2000
    indexed = load_context(ferries.set_index('day'))
    assert "its index: 'day'" in describe(indexed) and 'to_csv() ==' in describe(indexed)

# Files

@pytest.mark.parametrize('text,rows', [
    ('a,b\n1,2\n',[[1,2]]), ('a;b\n1;"x;y"\n',[[1,'x;y']]), ('a\tb\n1\t2\n',[[1,2]]), ('a|b\n1|2\n',[[1,2]]), ('sep=;\r\na;b\r\n1,5;2\r\n',[['1,5',2]]), ('a,b\n"x\ny",2\n',[['x\ny',2]]), ('\ufeffa,b\n1,2\n',[[1,2]]), ('a,b\n1,2,\n3,4,\n',[[1,2],[3,4]]),
    ('a,b\n007,1\n010,2\n',[['007',1],['010',2]]), ('land,n\nNA,1\nNO,NA\n',[['NA',1.],['NO',None]]), ('a,b\nNone,x\nnull,y\n',[['None','x'],['null','y']]), ('a,b\n,\n1,x\n',[[None,None],[1.,'x']]), ('only\nx\ny\n',[['x'],['y']]),
    ('a,b\n"He said ""no""",1\n',[['He said "no"',1]]), ('t,x\n2024-03-01,1\n2024-03-02,2\n',[['2024-03-01',1],['2024-03-02',2]]), ('a,b\r1,2\r',[[1,2]]), ('a,b\n0.5,0\n1.5,00\n',[[.5,'0'],[1.5,'00']])])
def test_csv(text, rows):
    df = read_csv(text)
    assert [[None if v!=v or v is None else v for v in r] for r in df.astype(object).values.tolist()]==rows

def test_csv_odd(tmp_path):
    (tmp_path/'a.csv').write_text('a,b\n1,2\n1,2,3,4,5\n')
    s = load_context(tmp_path/'a.csv')
    assert s=='a,b\n1,2\n1,2,3,4,5\n' and 'no regular table' in describe(s)
    (tmp_path/'b.csv').write_text('a,b\n')
    with pytest.raises(ContextError, match='empty'): load_context(tmp_path/'b.csv')
    (tmp_path/'c.csv').write_text('a,a\n1,2\n')
    assert list(load_context(tmp_path/'c.csv').columns)==['a','a.1']
    (tmp_path/'d.csv').write_bytes('navn,tonn\nBjørn,1\n'.encode('latin-1'))
    with pytest.raises(ContextError, match='d.csv is not utf-8'): load_context(tmp_path/'d.csv')
    assert load_context(tmp_path/'d.csv', encoding='latin-1').navn[0]=='Bjørn'
    (tmp_path/'e.csv').write_bytes('a\tb\n1\t2\n'.encode('utf-16'))
    assert load_context(tmp_path/'e.csv').b[0]==2

def test_table_files(tmp_path):
    ferries.to_parquet(tmp_path/'a.parquet'); ferries.set_index('boat').to_parquet(tmp_path/'i.parquet'); ferries.to_feather(tmp_path/'b.feather')
    assert load_context(tmp_path/'a.parquet').equals(ferries) and load_context(tmp_path/'b.feather').equals(ferries) and load_context(tmp_path/'i.parquet').index.name=='boat'
    m = load_context(tmp_path)
    assert m['a.parquet'].equals(ferries) and "`context['a.parquet']` is a pandas DataFrame" in describe(m)
    (tmp_path/'w.xlsx').write_bytes(xlsx(March=[('boat','tons'),('Alma',1),('Brage','much')], Empty=[], April=[('boat','tons'),('Alma',2)]))
    w = load_context(tmp_path/'w.xlsx')
    assert list(w)==['March','April'] and w['March'].tons.tolist()==['1','much'] and "'March'" in describe(w)
    assert '| Alma | 1 |' in load_context(tmp_path)['w.xlsx']
