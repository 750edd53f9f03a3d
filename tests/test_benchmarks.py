"The arms: what each sends, what it makes of the reply, how it fails, and how it goes on from its log"
import json,pickle,threading,time
import pytest
from rlm.benchmarks import *
from rlm.lm import FATAL
from rlm.benchmarks import Setup,Talk,_begun
from rlm.budget import Usage
from rlm.events import CodeRan,RootReplied,RunEnded,RunStarted,SubReplied,read_log
from rlm.lm import LMError,ScriptedLM,to_error
from rlm.answer import Answer
from fakeserver import FakeServer,Fault

fog = 'Fog all day.\n'*2000
story = fog+'The ferry was sold to Agnes.\n'+fog
Q = 'Who bought the ferry?'

def asked(lm, i=-1): return lm.asked[i][0]['content']

def notes(messages):
    "Takes notes, and answers from them"
    p = messages[-1]['content']
    if 'Do not answer it now' not in p and 'Put these notes' not in p: return 'Final Answer: '+('Agnes' if 'Agnes' in p else 'nobody')
    return 'Agnes bought the ferry.' if 'Agnes' in p else 'NOTHING.'

@pytest.mark.parametrize('arm', ['vanilla','truncate','retrieve','map_reduce','rlm0','rlm1','rlm2'])
def test_every_arm_has_answer_bill_and_log(arm, tmp_path):
    code = ['```repl\ni = context.find("ferry")\nprint(context[i:i+30])\n```', 'FINAL(Agnes)']
    lm = ScriptedLM(code if arm.startswith('rlm') else notes, prices=(1,2))
    a = ARMS[arm](Setup(lm, chunk=2000, rlm=dict(isolation='none')), Q, story, tmp_path/'log.jsonl')
    assert a.answer=='Agnes' and a.status=='answer' and a.error is None and a.question==Q and a.model=='scripted'
    evs = read_log(a.log)
    assert isinstance(evs[0], RunStarted) and isinstance(evs[-1], RunEnded) and evs[-1].answer=='Agnes' and len(evs)==len(a.trajectory)
    by = {k:sum((e.usage['prompt_tokens'] for e in evs if isinstance(e,t)), 0) for k,t in (('root',RootReplied),('sub',SubReplied))}
    assert {k:a.usage.by.get(k,Usage()).prompt_tokens for k in by}==by and a.usage.cost>0
    assert bool(by['sub'])==(arm=='map_reduce') and (tmp_path/'log.jsonl').stat().st_size<(80_000 if arm=='map_reduce' else 40_000)  # the context in no prompt but those of its parts
    assert 'Agnes' in a._repr_html_()
    n = len(lm.asked)
    again = ARMS[arm](Setup(ScriptedLM([]), chunk=2000, rlm=dict(isolation='none')), Q, story, tmp_path/'log.jsonl')
    assert again.answer=='Agnes' and again.usage.calls==a.usage.calls==n and again.usage.prompt_tokens==a.usage.prompt_tokens

def test_vanilla_sends_all_with_the_question_last():
    lm = ScriptedLM(notes)
    vanilla(Setup(lm), Q, story)
    p = asked(lm)
    assert p.startswith(story) and len(lm.asked[0])==1 and p.index(Q)>len(story) and p.endswith('asks for.')

def test_contexts_of_parts_are_sent_as_json():
    lm = ScriptedLM(notes)
    for arm in ('vanilla','truncate','retrieve','map_reduce'): assert ARMS[arm](Setup(lm), Q, {'a':'Fog.','b':['The ferry was sold to Agnes.']}).answer=='Agnes'
    assert '"b": ["The ferry' in asked(lm, 0)

@pytest.mark.parametrize('reply,want', [
    ('Agnes', 'Agnes'), ('Thinking.\nFinal Answer: Agnes', 'Agnes'), ('**Final Answer:** Agnes', 'Agnes'), ('**Final Answer: Agnes**', 'Agnes'), ('So, final answer: Agnes', 'Agnes'),
    ('Final Answer: Bo? No.\nFinal Answer: Agnes', 'Agnes'), ('Final Answer:\nA\nB', 'A\nB'), ('Final Answer:\n```\nA\n  B\n```', 'A\n  B'), ('Final Answer: `x` or ```y```', '`x` or ```y```'),
    ('The final answer is: Agnes', 'Agnes'), ('# Final Answer:\n**Agnes**', '**Agnes**'), ('I gave no answer', 'I gave no answer')])
def test_the_answer_in_a_reply(reply, want): assert final_text(reply, Q)==want

def test_a_question_with_a_form_of_its_own_gets_the_whole_reply():
    q = 'List them. End with "Final Answer: [a, b]".'
    lm = ScriptedLM(['<think>Final Answer: no</think>I see.\nFinal Answer: [a]'])
    assert vanilla(Setup(lm), q, story).answer=='I see.\nFinal Answer: [a]' and asked(lm).count('Final Answer')==1
    assert final_text('Answer: 3.\nFinal Answer: Answer: 4', "How many? End your answer with 'Answer: N'.").endswith('Answer: 4')
    assert final_text('(1, 2)?\nFinal Answer: none', 'List all pairs. If there is no such pair, answer: none.')=='none'

def test_windows():
    e = vanilla(Setup(ScriptedLM([]), window=5000), Q, story)
    assert (e.answer,e.status,error_kind(e),e.usage.calls)==(None,'error','context',0)
    lm = ScriptedLM(notes)
    assert vanilla(Setup(lm, window=11_000), Q, story).ok  # near enough for the provider to decide
    for w in (1000, 4000, 11_000):
        for arm in ('truncate','retrieve','map_reduce'):
            lm = ScriptedLM(notes)
            su = Setup(lm, window=w)
            ARMS[arm](su, Q, story)
            assert max(len(m[0]['content'])/4 for m in lm.asked)<=w-min(4096, w//4) and su.room()<w

def test_dense_text_fits_too():
    "A token of a list of ids holds one and a half characters: an arm that cuts must not be refused for it"
    edges = ''.join(f'{i*7919:010x} -> {i*104729:010x}\n' for i in range(2000))
    ids = lambda t: sum(map(str.isdigit, t))
    for w in (4000, 11_000):
        for arm in ('truncate','retrieve','map_reduce'):
            lm = ScriptedLM(notes)
            ARMS[arm](Setup(lm, window=w), 'Which nodes lead to 0000001eef?', edges)
            assert w/9<max(ids(m[0]['content']) for m in lm.asked)<=w-min(4096, w//4), (w, arm)

def test_truncate_keeps_both_ends():
    lm = ScriptedLM(notes)
    truncate(Setup(lm, window=1000), Q, 'START '+story+' END')
    assert asked(lm).startswith('START') and ' END\n' in asked(lm) and 'left out' in asked(lm) and 'Agnes' not in asked(lm)

def test_retrieve():
    lm = ScriptedLM(notes)
    assert retrieve(Setup(lm, passages=400), Q, story).answer=='Agnes' and len(asked(lm))<400*4+500
    many = ''.join(f'{fog}Ferry {i} sold to a buyer.\n' for i in range(5))
    text = retrieved(many, 'Which ferry was sold to a buyer?', 4000, k=5)
    found = [i for i in range(5) if f'Ferry {i}' in text]
    assert len(found)==5 and [text.index(f'Ferry {i}') for i in found]==sorted(text.index(f'Ferry {i}') for i in found)
    assert retrieved(fog, 'zebra', 100).startswith('Fog') and len(retrieved(fog, 'zebra', 100))<=400 and retrieved('short', 'zebra', 100)=='short'
    assert len(retrieved(story, 'ferry '*1000, 100))<=400

def test_map_reduce_tells_nothing_apart_and_survives_a_failed_part():
    def model(messages):
        if 'part 2 of' in messages[-1]['content']: return LMError('server', 'scripted: server: busy')
        return notes(messages)
    lm = ScriptedLM(model, retries=0)
    a = map_reduce(Setup(lm, chunk=2000), Q, story)
    assert a.answer=='Agnes' and asked(lm).count('[notes on part')==2 and 'could not be read' in asked(lm) and a.status=='answer'
    lm = ScriptedLM(notes)
    assert map_reduce(Setup(lm, chunk=2000), 'Who sold a horse?', fog).answer=='nobody' and 'no part of the text' in asked(lm)

def test_map_reduce_of_one_part_is_the_prompt_of_vanilla():
    a,b = ScriptedLM(notes),ScriptedLM(notes)
    assert map_reduce(Setup(a), Q, story).answer==vanilla(Setup(b), Q, story).answer=='Agnes' and a.asked==b.asked

def test_map_reduce_in_levels():
    def model(messages):
        p = messages[-1]['content']
        if 'Put these notes' in p: return 'Merged. '+'Agnes '*('Agnes' in p)
        return ('Agnes! ' if 'Agnes' in p else 'Fog. ')*300 if 'Do not answer it now' in p else notes(messages)
    lm = ScriptedLM(model)
    a = map_reduce(Setup(lm, window=2000, chunk=1000), Q, story)
    assert a.answer=='Agnes' and any('Put these notes' in o[0]['content'] for o in lm.asked) and max(len(o[0]['content']) for o in lm.asked)<2000*4

@pytest.mark.parametrize('kind', FATAL)
def test_a_failure_that_all_calls_share_ends_the_run(kind):
    a = map_reduce(Setup(ScriptedLM(lambda m: LMError(kind, f'scripted: {kind}: no')), chunk=2000), Q, story)
    assert a.status=='error' and error_kind(a)==(kind if kind!='offline' else 'other')

@pytest.mark.parametrize('status,body,kind', [(401,'no','auth'),(404,'no such model','model'),(402,'pay','quota'),(400,'maximum context length is 10 tokens','context'),(400,'bad','bad_request'),(500,'oh','server'),
    (429,'slow','rate_limit')])
def test_kinds_of_failure_by_a_server(status, body, kind):
    with FakeServer([Fault(status, dict(error=dict(message=body)))], repeat=True) as s:
        a = vanilla(Setup('openai/fake', base_url=s.url, retries=0), Q, 'Fog.')
    assert (a.status,error_kind(a),a.answer)==('error',kind,None), a.error

def test_other_kinds():
    with FakeServer(['']) as s: assert error_kind(vanilla(Setup('openai/fake', base_url=s.url), Q, 'Fog.'))=='empty'
    assert error_kind(vanilla(Setup('openai/gpt-5', api_key='x'), Q, 'Fog.'))=='offline'
    assert error_kind(vanilla(Setup('openai/fake', base_url='http://127.0.0.1:9/v1', retries=0), Q, 'Fog.'))=='connection'
    a = vanilla(Setup(ScriptedLM([dict(choices=[dict(finish_reason='length', message=dict(content='Agn'))])])), Q, 'Fog.')
    assert (a.answer,a.status,error_kind(a))==('Agn','answer','length')
    assert error_kind(Answer(None,'error',error='the provider did something new'))=='other' and error_kind(Answer('x')) is None
    assert [error_kind(Answer(None,'steps',error='no FINAL in 3 steps (max_steps)')), error_kind(Answer(1,'fallback',error='4 replies in a row were of no use'))]==['max_steps','fallback']

def test_limits_of_dollars_and_time():
    lm = ScriptedLM(notes, prices=(1,1))
    a = vanilla(Setup(lm, max_cost=.001), Q, story)
    assert (a.status,error_kind(a),lm.asked,a.usage.cost)==('budget','max_cost',[],0)
    b = map_reduce(Setup(lm, max_cost=.009, chunk=2000), Q, story)  # not all of the parts
    assert (b.status,error_kind(b))==('budget','max_cost') and 0<b.usage.cost<.009 and b.usage.calls==len(lm.asked)==sum(isinstance(o,SubReplied) for o in b.trajectory)
    with pytest.raises(ValueError, match='price of scripted is not known'): vanilla(Setup(ScriptedLM([], prices=None), max_cost=1), Q, story)
    t = vanilla(Setup(ScriptedLM(['x'], delay=30), max_time=.3), Q, 'Fog.')
    assert t.status=='budget' and 'max_time' in t.error and t.seconds<20

def test_map_reduce_goes_on_from_its_log(tmp_path):
    p,lm = tmp_path/'log.jsonl',ScriptedLM(notes, prices=(1,1))
    a = map_reduce(Setup(lm, chunk=2000), Q, story, p)
    lines = p.read_text().splitlines()
    subs = [i for i,l in enumerate(lines) if '"SubReplied"' in l]
    p.write_text('\n'.join(lines[:subs[1]+1])+'\n{"event": "Sub')
    lm2 = ScriptedLM(notes, prices=(1,1))
    b = map_reduce(Setup(lm2, chunk=2000), Q, story, p)
    assert len(lm2.asked)==len(lm.asked)-2 and (b.answer,b.usage.calls)==(a.answer,a.usage.calls) and b.usage.cost==pytest.approx(a.usage.cost)
    evs = read_log(p)
    assert sum(isinstance(o,RunStarted) for o in evs)==1 and sorted(o.id for o in evs if isinstance(o,SubReplied))==sorted(range(1, a.usage.calls))

def test_a_recursive_run_goes_on_from_its_log(tmp_path):
    p,su = tmp_path/'log.jsonl',dict(rlm=dict(isolation='none'))
    code = '```repl\nx = context.find("Agnes")\nprint(x)\n```'
    a = ARMS['rlm1'](Setup(ScriptedLM([code,'FINAL(Agnes)'], prices=(1,1)), **su), Q, story, p)
    lines = p.read_text().splitlines()
    at = next(i for i,l in enumerate(lines) if '"CodeRan"' in l)
    p.write_text('\n'.join(lines[:at+1])+'\n')
    lm = ScriptedLM(['FINAL(Agnes)'], prices=(1,1))
    b = ARMS['rlm1'](Setup(lm, **su), Q, story, p)
    assert len(lm.asked)==1 and (b.answer,b.usage.calls,b.usage.cost)==('Agnes',2,a.usage.cost)
    p.write_text('')
    assert not _begun(p) and ARMS['rlm1'](Setup(ScriptedLM([code,'FINAL(Agnes)']), **su), Q, story, p).ok

@pytest.mark.parametrize('arm', ['vanilla','map_reduce','rlm1'])
def test_stop_all(arm):
    lm,res = ScriptedLM(lambda m: '```repl\nprint(len(context))\n```', delay=30),[]
    t = threading.Thread(target=lambda: res.append(ARMS[arm](Setup(lm, rlm=dict(isolation='none')), Q, story)))
    t.start()
    end = time.monotonic()+30
    while not lm.asked and time.monotonic()<end: time.sleep(.01)
    stop_all()
    t.join(20)
    assert res and res[0].status=='interrupted'

@pytest.mark.parametrize('kw', [dict(window=0), dict(chunk=-1), dict(passages='8K'), dict(k=1.5), dict(max_steps=0), dict(max_cost=-1), dict(reply=True)])
def test_bad_settings(kw):
    with pytest.raises(ValueError, match=f'{next(iter(kw))} must be'): Setup(ScriptedLM([]), **kw)

def test_a_setup_travels_and_makes_its_models_once():
    su = pickle.loads(pickle.dumps(Setup('openai/gpt-5-mini', 'openai/gpt-5-nano', api_key='k', window=9)))
    assert su.root is su.root is Setup('openai/gpt-5-mini', api_key='k').root and su.sub.model=='openai/gpt-5-nano' and su.window==9
    assert Setup('openai/gpt-5-mini', api_key='other').root is not su.root and su.room()>0

def test_no_arm_is_given_the_gold():
    import inspect
    for f in ARMS.values(): assert not {'gold','sample','meta'} & set(inspect.signature(f).parameters)

def test_benchmark_functions_have_the_fields_of_the_seed(tmp_path):
    v = benchmark_vanilla(story, Q, model=ScriptedLM(['Agnes']), log=tmp_path/'v.jsonl')
    r = benchmark_rlm(story, Q, model=ScriptedLM(['```repl\nprint(context[:9])\n```','FINAL(Agnes)']), isolation='none')
    assert {'method','time','tokens','answer'}<=set(v)==set(r) and v['answer']==r['answer']=='Agnes' and isinstance(read_log(tmp_path/'v.jsonl')[-1], RunEnded)
    with pytest.raises(ValueError, match='question'): benchmark_vanilla(story, ' ', model=ScriptedLM([]))

def test_an_image_in_the_context_stands_by_its_name_in_arms_that_send_text():
    from test_images import made
    lm = ScriptedLM(lambda m: 'Final Answer: fog' if '<png image, 64×48 pixels' in m[-1]['content'] and 'a foggy day' in m[-1]['content'] else 'Final Answer: none')
    assert benchmark_vanilla([made('PNG'), 'a foggy day'], 'What weather?', model=lm)['answer']=='fog'

# ## Search by meaning

far = 'Fog all day.\n'*2000
sea = far+'The ferry was sold to Agnes.\n'+far

def toy(texts): return [['ferry' in t or 'boat' in t, 1e-3] for t in texts]

def test_retrieve_by_meaning(tmp_path):
    q,lm = 'Which vessel, a boat, changed hands?',ScriptedLM(notes)
    assert 'Agnes' not in retrieved(sea, q, 400) and retrieve(Setup(ScriptedLM(notes), passages=400), q, sea).answer=='nobody'
    a = retrieve(Setup(lm, passages=400, embeddings=toy), q, sea, tmp_path/'a.jsonl')
    assert a.answer=='Agnes' and a.usage.by['embedding'].prompt_tokens>300 and 'words and the meaning' in asked(lm) and len(asked(lm))<400*4+500
    assert [type(o).__name__ for o in read_log(tmp_path/'a.jsonl')][1]=='Embedded'
    b = retrieve(Setup(ScriptedLM([]), passages=400, embeddings=toy), q, sea, tmp_path/'a.jsonl')
    assert (b.answer, b.usage.tokens)==(a.answer, a.usage.tokens)

def test_retrieve_pays_for_vectors_within_the_limit():
    from rlm.embeddings import EmbeddingLM
    lm = ScriptedLM(notes, prices=(1,1))
    a = retrieve(Setup(lm, passages=400, embeddings=EmbeddingLM(toy, price=1000.), max_cost=1), Q, sea)
    assert a.ok and a.usage.by['embedding'].cost>.1
    b = retrieve(Setup(lm, passages=400, embeddings=EmbeddingLM(toy, price=1000.), max_cost=.01), Q, sea)
    assert b.status=='budget' and b.answer is None and b.usage.cost==0 and error_kind(b)=='max_cost'

def test_retrieve_without_its_embedding_model_is_a_failure():
    with FakeServer([Fault(500)], repeat=True) as s:
        from rlm.embeddings import EmbeddingLM
        lm = ScriptedLM(notes)
        a = retrieve(Setup(lm, passages=400, embeddings=EmbeddingLM('openai/m', base_url=s.url, price=0, cache=False, retries=0)), Q, sea)
    assert a.status=='error' and error_kind(a)=='server' and not lm.asked

def test_recursive_runs_search_by_meaning():
    lm = ScriptedLM(['```repl\nprint(search("boat"))\n```', 'FINAL(Agnes)'])
    a = ARMS['rlm0'](Setup(lm, embeddings=toy, rlm=dict(isolation='none')), Q, sea)
    assert a.ok and 'Agnes' in next(o for o in a.trajectory if isinstance(o,CodeRan)).text and a.usage.by['embedding'].calls
    with pytest.raises(ValueError, match='leave out search=False'): Setup(lm, embeddings=toy, rlm=dict(search=False)).emb

def test_each_setup_has_its_own_embedding_model():
    from rlm.embeddings import EmbeddingLM
    one,two = EmbeddingLM(toy, price=1.),EmbeddingLM(toy, price=2.)
    assert Setup(ScriptedLM([]), embeddings=one).emb is one and Setup(ScriptedLM([]), embeddings=two).emb is two
    class M:
        def __repr__(self): return 'model'
        def encode(self, texts): return [[1.] for _ in texts]
    a,b = M(),M()
    su = Setup(ScriptedLM([]), embeddings=a.encode)
    assert su.emb is su.emb and su.emb.f.__self__ is a and Setup(ScriptedLM([]), embeddings=b.encode).emb.f.__self__ is b
    named = Setup('openai/gpt-5-mini', api_key='k', embeddings='openai/text-embedding-3-small')
    assert named.emb is pickle.loads(pickle.dumps(named)).emb

def test_only_arms_that_search_need_the_price_of_vectors():
    lm = ScriptedLM(notes, prices=(1,1))
    from rlm.embeddings import EmbeddingLM
    emb = EmbeddingLM('openai/unknown-emb', api_key='k', cache=False)
    assert vanilla(Setup(lm, embeddings=emb, max_cost=1), Q, story).ok
    with pytest.raises(ValueError, match='price=dollars per million tokens to an EmbeddingLM'): retrieve(Setup(lm, embeddings=emb, max_cost=1), Q, story)

def test_nothing_more_is_asked_for_after_an_interrupt():
    "Requests for vectors that are still to come are not made once the arm has ended"
    from rlm.embeddings import EmbeddingLM
    n = []
    def slow(texts): n.append(1); time.sleep(.2); return toy(texts)
    su,res = Setup(ScriptedLM(notes), passages=400, embeddings=EmbeddingLM(slow, batch=2, max_concurrency=1)),[]
    lines = '\n'.join(f'Day {i}: fog.' for i in range(3000))
    t = threading.Thread(target=lambda: res.append(retrieve(su, Q, lines)))
    t.start()
    while len(n)<3: time.sleep(.01)
    stop_all(); t.join(10)
    k = len(n); time.sleep(.8)
    assert res[0].status=='interrupted' and len(n)<=k+1 and isinstance(res[0].trajectory[-1], RunEnded)
