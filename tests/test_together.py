"A folder with a text, a table, a picture and a text that is opened and not read, in one run"
import io
import pytest
from rlm.bigtext import BigText
from rlm.context import ContextError,Files,describe,fingerprint,flatten,load_context,load_source,source_of
from rlm.core import RLM
from rlm.events import CodeRan
from rlm.images import Image
from rlm.lm import LMError,ScriptedLM
from rlm.scan import scan
pd = pytest.importorskip('pandas')
pytest.importorskip('pyarrow')
png = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x01\x08\0\0\0\0'
block = '```python\n{}\n```'.format

@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.setattr('rlm.context.BIG', 1000)
    d = tmp_path/'docs'
    d.mkdir()
    (d/'notes.md').write_text('The Alma was sold to Torvik in the autumn of 1902.')
    (d/'tons.csv').write_text('boat,tons\nAlma,12\nBrage,30\n')
    (d/'map.png').write_bytes(png)
    (d/'port.log').write_text('fog, the ferry stayed in port\n'*200+'the lighthouse keeper saw a whale\n')
    return d

def all_of(d): return Files('docs', 'docs/map.png', data=True, base=d.parent)

def test_each_is_what_it_is(docs):
    m = load_context(docs)
    assert [type(m[k]).__name__ for k in ('notes.md','tons.csv','port.log')]==['str','str','BigText'] and m.unread==[('map.png','image not named by itself')]
    assert "Not read: 1 image not named by itself ('map.png')" in describe(m) and "`context['port.log']` is a BigText of 6,034 characters" in describe(m)
    m = load_context(all_of(docs))
    assert [type(o).__name__ for o in m.values()]==['str','BigText','DataFrame','Image'] and list(m)==['docs/notes.md','docs/port.log','docs/tons.csv','map.png']
    told = describe(m)
    for o in ("a dict of 4 files", "is a BigText of 6,034", "context['map.png']` is an image", "tons.csv']", 'boat', "context['docs/notes.md']"): assert o in told, told

def test_ways_to_name_them(docs):
    assert isinstance(load_context(docs/'port.log'), BigText) and isinstance(load_context(docs/'map.png'), Image)
    assert list(load_context(docs/'*.png'))==['map.png']==list(load_context(docs/'*.p?g')) and 'map.png' not in load_context(docs/'*')
    with pytest.raises(ContextError, match="map.png \\(image not named by itself\\)"):
        for o in ('notes.md','tons.csv','port.log'): (docs/o).unlink()
        load_context(docs)

def test_data_of_that_size(docs):
    (docs/'many.csv').write_text('a,b\n'+'1,2\n'*1000)
    (docs/'long.json').write_text(str(list(range(1000))))
    assert isinstance(load_context(docs/'many.csv'), BigText) and isinstance(load_context(docs/'long.json'), BigText)
    m = load_context(Files('docs/many.csv','docs/long.json', data=True, base=docs.parent))
    assert m['many.csv'].shape==(1000,2) and m['long.json'][-1]==999

def test_what_is_no_text_is_told(docs):
    (docs/'disk').write_bytes(b'\0\1'*5000)
    (docs/'latin.txt').write_bytes(b'Zo\xeb '*5000)
    m = load_context(docs)
    assert dict(m.unread)|{'map.png':''}=={'disk':'binary', 'latin.txt':'not utf-8', 'map.png':''} and isinstance(m['port.log'], BigText)
    with pytest.raises(ContextError, match='latin.txt is not utf-8: byte 0xeb at offset 2'): load_context(docs/'latin.txt')

def test_it_does_not_count_against_the_limit(docs):
    assert isinstance(load_context(Files(docs, max_bytes=500))['port.log'], BigText)
    with pytest.raises(ContextError, match='more than 60 bytes'): load_context(Files(docs, max_bytes=60))

def test_search_looks_into_all(docs):
    m = load_context(all_of(docs))
    assert [o.part for o in scan(m, 'lighthouse')]==['docs/port.log'] and [o.part for o in scan(m, 'Torvik')]==['docs/notes.md']
    hit, = scan(m, 'Brage')
    assert hit.part==('docs/tons.csv','.iloc',0,2) and "context['docs/tons.csv'].iloc[0:2]" in repr(hit)
    assert scan({'a':pd.DataFrame(dict(chunks=['x']))}, 'chunks')

def test_a_column_is_no_method(docs):
    from rlm.tools import prep_shell
    with prep_shell(pd.DataFrame(dict(chunks=['a ferry'], check=[1])), model=ScriptedLM([]), search=True, isolation='none') as sh: assert 'pass over' not in ' '.join(sh.extras.values())

@pytest.mark.parametrize('isolation', ['auto','none'])
def test_one_run(docs, tmp_path, isolation):
    log = tmp_path/'run.jsonl'
    look = block('print(context["docs/notes.md"])\nprint(context["docs/tons.csv"].to_csv(index=False))\nn = context["docs/port.log"].count("ferry")\nsum_ = int(context["docs/tons.csv"].tons.sum())\n'
                 'seen = llm_query("What is it?", images=[context["map.png"]])\nhits = [o.part for o in search("whale lighthouse", k=1)]\nprint(n, sum_, seen, hits)')
    sub = ScriptedLM(lambda m: m[-1]['content'][0]['type'])
    a = RLM(ScriptedLM([look, LMError('quota','no money')]), sub, isolation=isolation, search=True, log=log)('What is all this?', all_of(docs))
    ran, = [o for o in a.trajectory if isinstance(o, CodeRan)]
    assert a.status=='error' and "200 42 image_url ['docs/port.log']" in ran.text, ran.text
    end = block('FINAL(dict(n=n, tons=sum_, seen=seen, hits=hits, said="It says \\"sold to Torvik in the autumn\\"."))')
    b = RLM.resume(log, model=ScriptedLM([end]), sub_model=ScriptedLM([]))
    assert b.ok and b.answer==dict(n=200, tons=42, seen='image_url', hits=['docs/port.log'], said='It says "sold to Torvik in the autumn".'), b
    c, = [o for o in b.citations if o.quote.startswith('sold to')]
    assert c.found and c.part=='docs/notes.md' and c.line==1 and c.read=='root'
    assert b.coverage.not_text==1 and b.coverage.n_parts==3 and b.coverage.root<b.coverage.chars and b.coverage.sub<b.coverage.chars, b.coverage
    assert RLM.replay(log).answer==b.answer
    (docs/'port.log').write_text('gone\n'*500)
    with pytest.raises(ContextError, match='has changed since'): RLM.replay(log)

def test_coverage_of_a_table(docs):
    t = pd.DataFrame(dict(vessel=[f'boat number {i}' for i in range(400)], tons=range(1000,1400)))
    a = RLM(ScriptedLM([block('print(context.iloc[:200].to_csv(index=False))'), 'FINAL(It was "boat number 17")']), isolation='none')('Which?', t)
    cov = a.coverage
    assert cov.not_text==0 and .4<cov.root/cov.chars<.6, cov
    assert a.citations[0].found and 'context.iloc[0:400], line 19, ' in str(a.citations[0]), str(a.citations)

def test_a_folder_beside_the_bytes_of_an_image(docs):
    m = load_context({'photo':png, 'all':docs})
    assert isinstance(m['photo'], Image) and [k for k,_ in m['all'].unread]==['map.png'] and isinstance(m['all']['port.log'], BigText)

def test_what_is_being_opened_is_said(docs):
    names = []
    load_context(Files(docs, progress=names.append))
    assert names==['port.log']

def test_sources(docs):
    src = source_of(f:=all_of(docs), m:=load_context(f))
    assert fingerprint(load_source(src))==fingerprint(m)
    src = source_of(ctx:={'a':docs/'port.log', 'b':docs/'map.png', 'c':pd.DataFrame(dict(x=[1]))}, m:=load_context(ctx))
    assert 'value' not in src and 'packed' not in src and fingerprint(load_source(src, ctx))==fingerprint(m)
    with pytest.raises(ContextError, match='Give it again'): load_source(src)
    assert [k for k,_ in flatten(m)]==[('c','.iloc',0,1)]

def test_on_the_command_line(docs, monkeypatch):
    from rlm import cli
    m = cli.read_context([str(docs), str(docs/'map.png'), '-'], stdin=io.StringIO('from a pipe'))
    assert m['stdin']=='from a pipe' and isinstance(m['map.png'], Image) and isinstance(m['docs/port.log'], BigText)
    class Pipe:
        buffer = io.BytesIO(png)
        def isatty(self): return False
    assert isinstance(cli.read_context(['-'], stdin=Pipe()), Image)
