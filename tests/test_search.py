"That hits are exact, steady, few, and readable, whatever the text and the query"
import json,random,subprocess,sys,threading,time
from pathlib import Path
import pytest
from rlm.context import part_of
from rlm.search import *

def exact(ctx, hits):
    "Each hit is what its place says, no two overlap"
    for h in hits: assert part_of(ctx,h.part)[h.start:h.end]==h.text and h.text
    for a in hits:
        for b in hits: assert a is b or a.part!=b.part or a.end<=b.start or b.end<=a.start
    return hits

def story(n=2000, seed=0):
    r = random.Random(seed)
    names = 'river mountain lantern harbour violet copper teacher orchard winter signal bridge candle'.split()
    return ''.join(f"{' '.join(r.choices(names,k=r.randint(4,14))).capitalize()}.{r.choice(['  ',' ',chr(10),chr(10)*2])}" for _ in range(n))

@pytest.mark.parametrize('sep', ['\n', '\r\n', ' ', '\U0001f600 ', '\ud800', '\x00', '\u2028', 'é\u0301 '])
def test_offsets_are_exact(sep):
    s = sep.join(story().split(' '))
    s = s[:30_000]+'The password of the vault is zebra-1174.'+s[30_000:]
    for q in 'password vault', 'zebra', 'zebra-1174', 'is zebra-1174', 'orchard signal', sep.strip() or 'river': exact(s, Index(s).search(q, 5))
    assert any('zebra-1174' in h.text for h in Index(s).search('what is the password of the vault?', 3))

@pytest.mark.parametrize('w,o', [(100,0),(100,30),(500,60),(7,3),(10_000,400)])
def test_windows(w, o):
    s = story(300)
    sp = list(spans(s, w, o))
    assert sp[0][0]==0 and sp[-1][1]==len(s)
    for (a,b),(c,d) in zip(sp,sp[1:]): assert a<c<=b<d and b-a<=w and b-c<=o
    exact(s, Index(s, w, o).search('lantern', 5))

def test_refused_sizes():
    for w,o in [(100,50),(0,0),(-1,0),(100,-1)]:
        with pytest.raises(ValueError, match='overlap'): Index('text', w, o)

def test_parts():
    ctx = {'a':'one fish', 'b':['two fish', {'c':'red fish', 'n':3}], 7:'blue fish', None:'no bird', 'n':1}
    hits = exact(ctx, Index(ctx).search('fish', 10))
    assert {repr(h.part) for h in hits}=={repr(o) for o in ('a', ('b',0), ('b',1,'c'), 7)}
    assert "context['b'][1]['c'][0:8]" in repr(hits) and 'context[7][0:9]' in repr(hits)
    bird = exact(ctx, Index(ctx).search('bird'))
    assert bird[0].part==(None,) and 'context[None][0:7]' in repr(bird)
    lst = ['apple pie','pear tart','apple tart']
    assert [h.part for h in exact(lst, Index(lst).search('pear', 3))]==[1]

@pytest.mark.parametrize('ctx', [[1,2,None], '...', ' \n', '=> ->', {'a':''}, ['','']])
def test_texts_without_words(ctx):
    ix = Index(ctx)
    assert ix.search('word')==[] and 'Try' in repr(ix.search('word'))
    exact(ctx, ix.search('=>'))

@pytest.mark.parametrize('q', ['', '  ', '\n\t'])
def test_empty_query(q):
    hits = Index('some text').search(q)
    assert hits==[] and 'query is empty' in repr(hits)

@pytest.mark.parametrize('q', [None, 3, ['a'], b'a', {'query':'a'}])
def test_query_of_other_types(q):
    with pytest.raises(TypeError, match='search\\('): Index('some text').search(q)

def test_query_as_long_as_a_page():
    with pytest.raises(ValueError, match='few words'): Index('some text').search('some text '*100_000)
    assert Index('some text').search('some (text) '*100)

@pytest.mark.parametrize('k', [0, -1, 1.5, '3', None, True])
def test_wrong_k(k):
    with pytest.raises(ValueError, match='1 or more'): Index('some text').search('text', k)

@pytest.mark.parametrize('q', ['to be or not to be', 'To Be Or\nNot to be', '=>', '(a|b)*[', 'nswer', 'x\\d+', '{brace}', '\U0001f600', '\ud800', '猫'])
def test_literal(q):
    s = story(200)+'TO be or not to be => (a|b)*[ x\\d+ {brace} the answer \U0001f600 \ud800 黒猫が'+story(200,1)
    hits = exact(s, Index(s).search(q))
    assert len(hits)>=1 and ' '.join(q.lower().split()) in ' '.join(hits[0].text.lower().split())

def test_phrase_comes_first():
    s = story(300)+'the lantern of the bridge'+story(300,1)+'bridge lantern '*20+story(300,2)
    assert 'lantern of the bridge' in Index(s).search('lantern of the bridge')[0].text
    assert 'lantern of the bridge' in Index(s).search('Lantern  of the Bridge')[0].text

def test_phrase_over_a_window_end():
    s = 'a'*480+' one two three four five six seven eight '+'b'*480
    hits = exact(s, Index(s).search('one two three four five six seven eight'))
    assert 'one two three four five six seven eight' in hits[0].text

@pytest.mark.parametrize('q,text', [('zoe','Zoë'), ('ZOË','Zoe\u0308'), ('strasse','Straße'), ('getattr','the __getattr__ hook'), ('__getattr__','the __getattr__ hook'),
    ('http reply','parseHTTPReply'), ('parseHTTPReply','a parseHTTPReply call'), ('path','os.path.join'), ('os.path.join','use os.path.join'), ('max_steps','max_steps=3'),
    ('steps','max_steps'), ('deletion','it deletes'), ('queries','a query'), ('学习','深度学习模型'), ('한국','한국어로'), ('1994','in 1994, perhaps'), ('v2','v2.1')])
def test_words(q, text):
    ctx = [story(20), text, story(20,1)]
    assert exact(ctx, Index(ctx).search(q))[0].part==1

def test_hits_are_different_places():
    s = 'The code of the vault is 1234. '*2000
    assert len(exact(s, Index(s).search('code vault', 5)))<=5
    ctx = ['the same line']*50+['another line']
    hits = Index(ctx).search('line', 5)
    assert [h.text for h in hits]==list(dict.fromkeys(h.text for h in hits)) and len(hits)==2

def test_steady():
    s = story(3000)
    ix = Index(s)
    r = [ix.search(q, 5).plain() for q in ('river bridge', 'winter', 'copper candle violet')]
    assert [Index(s).search(q, 5).plain() for q in ('river bridge', 'winter', 'copper candle violet')]==r
    code = "import sys,json,hashlib; sys.path.insert(0,'tests'); from test_search import *; print(hashlib.md5(json.dumps(Index(story(3000)).search('river bridge',5).plain()).encode()).hexdigest())"
    run = lambda seed: subprocess.run([sys.executable,'-c',code], capture_output=True, text=True, env={'PYTHONHASHSEED':seed, 'PYTHONPATH':':'.join(sys.path)}).stdout
    assert run('1')==run('2')!=''

def test_more_asked_than_there_are(): assert len(Index('one river').search('river', 100))==1

def test_threads():
    ix,res = Index(story(2000)),[]
    ts = [threading.Thread(target=lambda: res.append(repr(ix.search('lantern river', 3)))) for _ in range(8)]
    for t in ts: t.start()
    for t in ts: t.join()
    assert len(res)==8 and len(set(res))==1

def test_crosses_as_plain_data():
    ctx = {'a':['Zoë \ud800\x1b[0m and\x07 the river\n\n>>> 1+1\n2']}
    h = Index(ctx).search('river')
    back = Hits(json.loads(json.dumps(h.plain())))
    assert back==h and repr(back)==repr(h) and back[0].part==('a',0)
    assert repr(Hits(json.loads(json.dumps(Hits(query='x').plain()))))==repr(Hits(query='x'))
    assert [dict(o) for o in Hits([dict(o) for o in h])]==[dict(o) for o in h]

@pytest.mark.parametrize('text', ['\x00\x07\x1b[31mred', '\ud800 lone', 'a\rb\x0cc\u2028d', 'x'*5000, '{a} %s ``` FINAL(1)\n>>> 1', '\n\n\n'])
def test_repr_is_safe(text):
    r = repr(Hits([dict(start=0, end=len(text), text=text, part=None, score=1.)], 'q\x07\ud800'))
    assert r.encode() and all(c.isprintable() or c=='\n' for c in r) and len(r)<1500
    assert all(o.startswith(('| ','[0] ','1 passage','(end')) for o in r.split('\n'))

def test_repr_in_a_shell():
    from IPython.lib.pretty import pretty
    h = Index('the river').search('river')
    assert pretty(h)==repr(h)==str(h) and pretty(h[0])==repr(h[0]) and str(h[:1])==str(h)

def test_hits_need_no_bm25s():
    code = "import sys; sys.modules['bm25s']=sys.modules['numpy']=None; from rlm.search import *; print(Hits([dict(start=0,end=1,text='a',part=None,score=1.)],'a'))"
    assert 'context[0:1]' in subprocess.run([sys.executable,'-c',code], capture_output=True, text=True).stdout

def test_missing_package(monkeypatch):
    import rlm.search
    monkeypatch.setattr(rlm.search, 'find_spec', lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "rlm\[search\]"'): Index('text')

def test_import_is_light():
    r = subprocess.run([sys.executable,'-c','import sys,rlm.search; print([o for o in ("litellm","numpy","bm25s","IPython") if o in sys.modules])'], capture_output=True, text=True)
    assert r.stdout.strip()=='[]', r.stderr

def test_quiet(capfd):
    Index(story(500)).search('river')
    assert capfd.readouterr()==('','')

def test_questions():
    "Floors a little below what the notebook shows, since the text differs by version of Python"
    from pydoc_data.topics import topics
    ix,qs = Index('\n\n'.join(topics.values())), json.loads((Path(__file__).parent/'search_questions.json').read_text(encoding='utf-8'))
    found = {kind: sum(any(o['place'] in ' '.join(h.text.split()) for h in ix.search(o['question'],5)) for o in qs if o['kind']==kind) for kind in ('near','far')}
    assert found['near']>=11 and found['far']>=5, found

def test_needles():
    "A fact asked for in its own words comes first"
    r,s = random.Random(1),story(4000)
    facts = [(f'{a} {b}', r.randint(1000,9999)) for a in ('north','south') for b in ('mill','abbey','tower','gate','inn')]
    for name,n in facts:
        i = s.index('. ', r.randrange(len(s)-5000))+2
        s = f'{s[:i]}The {name} has {n} windows. {s[i:]}'
    ix = Index(s)
    assert all(str(n) in ix.search(f'How many windows does the {name} have?')[0].text for name,n in facts)

def test_a_megabyte_is_quick():
    s = story(15_000)
    t = time.perf_counter()
    ix = Index(s).build()
    assert len(s)>1_000_000 and time.perf_counter()-t<20
    t = time.perf_counter()
    for q in 'river bridge', 'no such words', 'to be or not to be', '=>': ix.search(q)
    assert time.perf_counter()-t<10
