"Search by meaning: what it finds, what it costs, what is left of it when it fails, and that nothing of it is paid for twice"
import json,warnings
import numpy as np
import pytest
from fakeserver import FakeServer,Fault
from rlm import RLM
from rlm.embeddings import EmbeddingLM,as_vectors
from rlm.events import CodeRan,Embedded,Noted,ToolRan,read_log,to_json
from rlm.lm import LMError,ScriptedLM,submit,wait
from rlm.search import Index

ABOUT = dict(ship=(1,0), boat=(1,0), sailed=(1,0), king=(0,1), ruled=(0,1), crown=(0,1))
RAIN = 'It rained the whole day, and nobody went out to the moor. '
STORY = 'They sailed for nine days. '+RAIN*20+'He ruled from a rock. '+RAIN*20

def vector(text): return np.sum([ABOUT.get(w.strip('.?,').lower(), (.001,.001)) for w in text.split()], axis=0).tolist()

class Toy:
    "A model of the user's own, which counts"
    __name__ = 'toy'
    def __init__(self): self.n,self.texts = 0,[]
    def __call__(self, texts):
        self.n += 1
        self.texts += texts
        return [vector(o) for o in texts]

def asked(code="print(search('who wore the crown?', 1))"):
    replies = [f'```python\n{code}\n```', 'FINAL(he)']
    return ScriptedLM(replies)

def shown(a): return next(o for o in a.trajectory if isinstance(o,CodeRan)).result['stdout']

def ask(lm, emb, **kw): return RLM(lm, embeddings=emb, preset='strong', **kw)('Who was the king?', STORY)

def served(**kw):
    def script(req):
        vs = [dict(index=i, object='embedding', embedding=vector(t)) for i,t in enumerate(req.body['input'])]
        return Fault(200, dict(object='list', data=vs[::-1], model='m', usage=dict(prompt_tokens=len(vs)*10, total_tokens=len(vs)*10)))
    return FakeServer(script, **kw)

@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('RLM_HOME', str(tmp_path/'home'))
    return tmp_path/'home'

# --- what it finds

def test_it_finds_what_no_word_tells():
    assert 'ruled' not in shown(RLM(asked(), search=True, preset='strong')('Who?', STORY))
    a = ask(asked(), Toy())
    assert 'ruled' in shown(a) and a.answer=='he'

def test_words_still_count():
    text = STORY+'Part QX-4711 is a pump. '+RAIN*5
    a = RLM(asked("print(search('QX-4711', 1))"), embeddings=Toy(), preset='strong')('Which?', text)
    assert 'QX-4711 is a pump' in shown(a)

def test_the_model_is_told_and_offsets_hold():
    lm = asked("h = search('crown', 2)\nprint([context[o.start:o.end]==o.text for o in h])")
    a = ask(lm, Toy())
    assert shown(a)=='[True, True]\n' and 'in other words' in lm.asked[0][-1]['content']

def test_places_of_two_rankings_are_mixed():
    ix = Index({'a':'alpha beta', 'b':'beta gamma', 'c':'delta'}).build()
    assert [o.part for o in ix.search('beta', 3)]==['a','b']
    assert [o.part for o in ix.search('beta', 3, near=[1,2])]==['b','a','c']

@pytest.mark.parametrize('context', [{'x':STORY, 'y':'nothing'}, [STORY,'nothing'], {'deep':{'er':[STORY]}}])
def test_paths_of_hits(context):
    a = RLM(asked("h = search('crown', 1)[0]\nprint(h.part)"), embeddings=Toy(), preset='strong')('Who?', context)
    assert a.ok and shown(a).strip() in ("x","0","('deep', 'er', 0)")

# --- what it costs

def test_the_bill(home):
    with served() as s:
        a = ask(asked(), EmbeddingLM('openai/m', base_url=s.url, price=2., batch=4))
        e = a.usage.by['embedding']
        texts = [t for r in s.requests for t in r.body['input']]
        assert e.calls==len(s.requests) and e.prompt_tokens==10*len(texts) and e.cost==pytest.approx(2e-5*len(texts)) and a.usage.cost==pytest.approx(e.cost)
        assert all(r.body['encoding_format']=='float' and len(r.body['input'])<=4 and r.path.endswith('/embeddings') for r in s.requests)
        b = ask(asked(), EmbeddingLM('openai/m', base_url=s.url, price=2., batch=4))
        assert shown(b)==shown(a) and 'embedding' not in b.usage.by and len(s.requests)==e.calls    # kept on disk, the query too
        assert (home/'vectors.sqlite').stat().st_mode & 0o77==0
        assert b'ruled' not in b''.join(p.read_bytes() for p in home.glob('vectors.sqlite*'))

def test_no_file_where_none_is_wanted(home):
    with served() as s:
        for _ in range(2): ask(asked(), EmbeddingLM('openai/m', base_url=s.url, price=0, cache=False))
        assert len(s.requests)==4 and not list(home.glob('vectors*'))

def test_what_does_not_fit_the_budget_is_not_begun():
    toy = Toy()
    a = ask(asked(), EmbeddingLM(toy, batch=1), max_calls=5)
    assert toy.n==0 and a.ok and 'found by words alone' in shown(a) and any('max_calls' in o.text for o in a.trajectory if isinstance(o,Noted))
    assert ask(asked(), EmbeddingLM(toy, batch=200), max_calls=5).usage.calls==4

def test_a_dollar_limit_needs_a_price():
    with pytest.raises(ValueError, match='price of m is not known.*EmbeddingLM'): RLM(asked(), embeddings=EmbeddingLM('m', base_url='http://127.0.0.1:1/v1', cache=False), max_cost=1)('Who?', STORY)
    with served() as s:
        a = RLM(asked(), embeddings=EmbeddingLM('m', base_url=s.url, price=1., cache=False), max_cost=1, preset='strong')('Who?', STORY)
        assert a.ok and 0<a.usage.cost<1

def test_listed_prices(): assert EmbeddingLM('openai/text-embedding-3-small', cache=False).per_token()[0]>0

# --- when it fails

def test_a_busy_server_is_asked_again():
    n = []
    def script(req):
        n.append(1)
        return Fault(429, headers={'Retry-After':'0'}) if len(n)<3 else Fault(200, dict(object='list', data=[dict(index=i, embedding=vector(t)) for i,t in enumerate(req.body['input'])], usage=dict(prompt_tokens=1, total_tokens=1)))
    with FakeServer(script) as s:
        a = ask(asked(), EmbeddingLM('openai/m', base_url=s.url, price=0, cache=False))
        assert 'ruled' in shown(a) and len(n)==4      # none more than ours

@pytest.mark.parametrize('data', [[], [dict(index=0, embedding=[1.])], 'no list', None, [dict(index=i, embedding=['x']) for i in range(99)]])
def test_answers_that_are_no_vectors(data):
    with FakeServer(lambda req: Fault(200, dict(object='list', data=data, usage=dict(prompt_tokens=1, total_tokens=1)))) as s:
        a = ask(asked(), EmbeddingLM('openai/m', base_url=s.url, price=0, cache=False, retries=0))
        assert a.ok and 'found by words alone' in shown(a)

def test_a_server_that_fails():
    with FakeServer(lambda req: Fault(500)) as s:
        a = ask(asked("print(search('rock', 1))\nprint(search('rained', 1))"), EmbeddingLM('openai/m', base_url=s.url, price=0, cache=False, retries=1, max_wait=.01))
        assert a.ok and shown(a).count('found by words alone')==2 and 'rock' in shown(a)
        assert sum(isinstance(o,Embedded) and bool(o.error) for o in a.trajectory)==2

def test_a_refused_key_ends_the_run():
    with served(key='right') as s:
        a = ask(asked(), EmbeddingLM('openai/m', base_url=s.url, api_key='wrong-key-1', price=0, cache=False))
        assert a.status=='error' and 'API_KEY' in a.error and 'wrong-key-1' not in ''.join(map(to_json, a.trajectory))

def test_a_function_that_raises():
    def bad(texts): raise OSError('no model here')
    a = ask(asked(), bad)
    assert a.ok and 'found by words alone' in shown(a) and any('no model here' in o.text for o in a.trajectory if isinstance(o,Noted))

@pytest.mark.parametrize('kw,say', [(dict(embeddings='local'), 'makes no embeddings'), (dict(embeddings=Toy(), search=False), 'leave out search=False'), (dict(embeddings=''), 'name of a model'), (dict(embeddings=5), 'name of a model')])
def test_bad_settings(kw, say):
    with pytest.raises(ValueError, match=say): RLM(asked(), **kw)

@pytest.mark.parametrize('kw,say', [(dict(batch=0), 'batch'), (dict(stream=True), 'no stream'), (dict(fallbacks=['x']), 'no fallbacks'), (dict(timout=3), 'timeout')])
def test_bad_settings_of_the_model(kw, say):
    with pytest.raises(ValueError, match=say): EmbeddingLM('openai/m', cache=False, **kw)

def test_bad_queries_reach_the_model():
    a = ask(asked("try: search(['a'])\nexcept TypeError as e: print(e)\nprint(search(''))"), toy:=Toy())
    assert 'not list' in shown(a) and 'query is empty' in shown(a) and toy.n==0

def test_offline(monkeypatch):
    monkeypatch.setenv('RLM_OFFLINE', '1')
    a = ask(asked(), EmbeddingLM('openai/text-embedding-3-small', cache=False))
    assert a.status=='error' and 'switched off' in a.error

def test_vectors_that_are_no_numbers():
    for bad in ([[1,2],[1]], [[1,float('inf')]]*2, [], 'ab'):
        with pytest.raises(LMError): as_vectors(bad, 2)
    assert as_vectors([[0,0]], 1).tolist()==[[0,0]]

# --- resume and replay

def test_a_resumed_run_asks_nobody_for_what_it_has(tmp_path):
    log,toy = tmp_path/'a.jsonl',Toy()
    a = ask(asked(), toy, log=log)
    lines = log.read_text().splitlines()
    cut = next(i for i,l in enumerate(lines) if '"event": "CodeRan"' in l)
    for keep in (cut, cut+1):      # before and after the end of the cell
        log.write_text('\n'.join(lines[:keep])+'\n')
        again = Toy()
        b = RLM.resume(log, STORY, ScriptedLM(['FINAL(he)']), embeddings=again)
        assert b.ok and again.n==0 and b.usage.by['embedding']==a.usage.by['embedding'] and shown(b)==shown(a)

def test_a_run_cut_off_between_two_requests_counts_the_first(tmp_path):
    log,toy = tmp_path/'a.jsonl',Toy()
    a = ask(asked(), EmbeddingLM(toy, batch=3, max_concurrency=1), log=log)
    lines = log.read_text().splitlines()
    cut = next(i for i,l in enumerate(lines) if '"event": "Embedded"' in l)+1
    log.write_text('\n'.join(lines[:cut])+'\n')
    b = RLM.resume(log, STORY, ScriptedLM(['FINAL(he)']), embeddings=EmbeddingLM(Toy(), batch=3))
    assert b.ok and b.usage.by['embedding'].calls==a.usage.by['embedding'].calls+1 and shown(b)==shown(a)   # a function's vectors are not kept

def test_replay(tmp_path):
    log = tmp_path/'a.jsonl'
    a = ask(asked("print(search('crown', 1))\nprint(search('boat', 1))"), Toy(), log=log)
    again = Toy()
    b = RLM.replay(log, STORY, embeddings=again)
    assert again.n==0 and b.usage==a.usage and [type(o) for o in b.trajectory]==[type(o) for o in a.trajectory]
    assert [o.args for o in read_log(log) if isinstance(o,ToolRan)]==[dict(query='crown', k=1), dict(query='boat', k=1)]

def test_the_log_knows_the_model(tmp_path, home):
    log = tmp_path/'a.jsonl'
    with served() as s:
        ask(asked(), EmbeddingLM('openai/m', base_url=s.url, price=2., batch=4, dimensions=2), log=log)
        log.write_text('\n'.join(log.read_text().splitlines()[:2])+'\n')
        n = len(s.requests)
        b = RLM.resume(log, STORY, asked())
        assert b.ok and 'ruled' in shown(b) and len(s.requests)==n      # from the disk
    ask(asked(), Toy(), log=(log2:=tmp_path/'b.jsonl'))
    log2.write_text('\n'.join(log2.read_text().splitlines()[:2])+'\n')
    with pytest.raises(ValueError, match='give it again, embeddings='): RLM.resume(log2, STORY, asked())

# --- elsewhere

def test_in_a_conversation():
    toy = Toy()
    lm = ScriptedLM(["```python\nprint(search('crown', 1))\n```", 'FINAL(he)', "```python\nh = search('boat', 1)[0]\nprint(h.name, h.start)\n```", 'FINAL(she)'])
    with RLM(lm, embeddings=toy, preset='strong').chat(STORY) as chat:
        assert 'ruled' in shown(chat('Who?'))
        chat.add('The ship was white. '+RAIN*3)
        assert shown(chat('And then?')).split()[0].startswith('context')

def test_a_file_in_parts_is_searched_by_words(tmp_path):
    from rlm.bigtext import open_text
    (tmp_path/'a.txt').write_text(STORY)
    with pytest.warns(UserWarning, match='by words alone'):
        assert RLM(asked("print(search('rock', 1))"), embeddings=(toy:=Toy()), preset='strong')('Who?', open_text(tmp_path/'a.txt')).ok and toy.n==0

def test_on_the_command_line(tmp_path, home, capsys, monkeypatch):
    from rlm.cli import main
    (tmp_path/'a.txt').write_text(STORY)
    monkeypatch.setenv('OPENAI_API_KEY', 'none')
    with served() as s:
        monkeypatch.setenv('OPENAI_API_BASE', s.url)
        assert main(['ask', 'Who?', str(tmp_path/'a.txt'), '--embeddings', 'openai/m', '--json'], model=asked())==0
    assert json.loads(capsys.readouterr().out)['usage']['embedding']['calls']==len(s.requests)

def test_an_index_is_made_once_for_a_context(monkeypatch):
    made = []
    build = Index._bm25
    monkeypatch.setattr(Index, '_bm25', lambda self, ids: made.append(1) or build(self, ids))
    text = STORY+'only here'
    for _ in range(3): RLM(asked("print(search('rock', 1))"), search=True, preset='strong')('Who?', text)
    assert len(made)==1
