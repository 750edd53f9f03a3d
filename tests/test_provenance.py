"Where an answer came from: quotes that are there and that are not, and how much was read, in texts of every kind"
import copy,json,pickle,random,re,unicodedata
import pytest
from hypothesis import given,strategies as st
from properties import examples
from rlm import RLM
from rlm.cli import main
from rlm.context import ContextError
from rlm.core import answer_of
from rlm.events import *
from rlm.events import from_json,read_log,to_json
from rlm.lm import LMError,ScriptedLM
from rlm.prompts import QUOTES_DOC,find_final
from rlm.provenance import *
from rlm.provenance import _amount,_plain,_tells
from rlm.answer import Answer
from rlm.shell import MAX_QUOTE,MAX_QUOTES
from rlm.tools import prep_shell
from rlm.view import answer_html,coverage_html,Console
import io

def py(code): return f'```python\n{code}\n```'
def first(ctx, *root, sub=()): return [RunStarted(messages=[dict(role='user', content='Q')]), RootReplied(), *[o for t in root for o in (CodeRan(text=t), RootReplied())], *[SubReplied(prompt=p, content='x') for p in sub]]
def read(ctx, *root, sub=()): return coverage(first(ctx, *root, sub=sub), ctx)

DOC = '''REPORT\fFindings
The valve was opened at 10.5 bar, not at 105 bar. It’s the operator’s view that “nothing could be done”.
Naïve co-\noperation ﬁnally failed — see § 4 (a+b)* [sic] $^.\\d.
On 3 March 15 days remained; 1,200,000 crowns were due.
'''

# ---- letters, and the way back

alphabets = st.sampled_from([st.characters(exclude_categories=('Cs',)), st.sampled_from('ab \n\\nrt'), st.sampled_from('éßİΣςﬁ½한字あ𝐀x1 \u0345\u0301-')])
texts = alphabets.flatmap(lambda a: st.text(a, max_size=600))

@given(st.lists(texts, min_size=1, max_size=4))
@examples(80)
def test_each_letter_leads_back_to_its_character(parts):
    L = Letters(parts)
    where = [L.back(i) for i in range(len(L.text))]
    assert where==sorted(where)
    for (p,i),c in zip(where, L.text): assert c in letters(parts[p][i])
    for p,t in enumerate(parts):
        assert ''.join(L.text[L.first[p]:L.first[p+1]])==letters(t)
        assert list(L.pieces(L.first[p], L.first[p+1]))==([(p,0,len(t))] if letters(t) else [])

@given(texts, st.integers(0,600))
@examples(80)
def test_letters_do_not_depend_on_where_a_text_is_cut(s, i):
    if s[i-1:i]!='\\': assert letters(s[:i])+letters(s[i:])==letters(s)

@pytest.mark.parametrize('f', [repr, json.dumps, str.upper, lambda s: ' '.join(s.split()), lambda s: '| '+s.replace('\n','\n| '), lambda s: unicodedata.normalize('NFD', s), lambda s: s.replace('’',"'").replace('—','-')])
def test_what_code_does_to_a_text_leaves_its_letters(f):
    s = 'It’s 3 o\'clock, “now” — or never.\n\tNext line.'.replace('“','"').replace('”','"') if f is json.dumps else 'It’s 3 o\'clock, “now” — or never.\n\tNext line.'
    if f is json.dumps: s = s.replace('’',"'").replace('—','-')  # other signs become \uXXXX there
    assert letters(f(s))==letters(s)

# ---- quotes

@pytest.mark.parametrize('q,how', [
    ('The valve was opened at 10.5 bar, not at 105 bar.', 'exact'), ('§ 4 (a+b)* [sic] $^.\\d', 'exact'), ('“nothing could be done”', 'exact'),
    ("It's the operator's view that \"nothing could be done\"", 'normalised'), ('the VALVE was\n   opened', 'normalised'), ('Naïve cooperation finally failed - see', 'normalised'),
    (unicodedata.normalize('NFD','Naïve')+' cooperation', 'normalised'), ('The valve was opened … not at 105 bar', 'ellipsis'), ('The valve was opened [...] nothing could be done', 'ellipsis'),
    ('... opened at 10.5 bar ...', 'normalised'), ('The valve was opend at 10.5 bar, not at 105 bar', 'fuzzy'), ('On 3 March 15 days remained; 1200000 crowns were due', 'fuzzy'), ('Naive co-operation finally failed', 'fuzzy')])
def test_quotes_that_are_there(q, how):
    c = cite(q, DOC)
    assert c.found and c.how==how and c.count==1 and c.page==2, c
    assert DOC[c.start:c.end]==c.text and c.line==DOC.count('\n',0,c.start)+1
    if how!='fuzzy': assert c.similarity==1
    assert how=='ellipsis' or letters(c.text) in (letters(q), *([letters(c.text)] if how=='fuzzy' else []))

@pytest.mark.parametrize('q', ['opened at 1.05 bar', 'The valve was opened at 105 bar, not at 10.5 bar', 'at 10.5 bar, and at 105 bar', '5 days remained', 'On 3 March 16 days remained; 1,200,000 crowns were due.', '200,000 crowns were due',
    '1,200 crowns', 'something could be done about it all', '... not at 105 bar ... The valve was opened', 'It is the operator who opened the valve at last', 'qed', '12', 'The valve was closed at 10.5 bar, not at 105 bar.', 'On 3 March 15 days remained; 1,200,000 crowns were paid.', 'The pump was opened at 10.5 bar, not at 105 bar.', '!!!', 'crowns were due to be paid by the end of the month'])
def test_quotes_that_are_not(q):
    c = cite(q, DOC)
    assert not c.found and c.count==0 and (c.start,c.text,c.page)==(None,None,None) and 'NOT FOUND' in str(c), c

def test_a_sign_changed_is_not_the_number(): assert not cite('opened at 10.6 bar, not at 105 bar', DOC).found and cite('opened at 10.6 bar, not at 105 bar', DOC).places

def test_many_places_are_counted_and_bounded():
    c = cite('fog all day', 'fog all day\n'*5000)
    assert (c.count, len(c.places), c.places[19].line)==(1000, 20, 20) and '999 or more other places' in str(c)
    assert cite('fog  all day', 'fog all day\n'*300).count==200

def test_parts_are_named():
    ctx = {'a.txt':'one', 'sub':{'b.txt':['two', 'the ferry was sold at noon']}, 3:'another ferry was sold'}
    c = cite('ferry was sold', ctx)
    assert [o.part for o in c.places]==[('sub','b.txt',1), 3] and str(c.places[0]).startswith('sub/b.txt/1, line 1') and str(c.places[1]).startswith('context[3], ')
    assert not cite('two the ferry', ctx).found  # a quote does not run over the end of a file

@pytest.mark.parametrize('s,i,page', [('<!-- Slide number: 4 -->\nhail', 30, 4), ('# Page 2\nfog\n[page 3]\nhail', 25, 3), ('Page 3 of 9 is empty', 15, None), ('fog', 1, None)])
def test_pages(s, i, page): assert page_at(s, i)==page

def test_quotes_of_an_answer():
    assert quoted('He said "to be, or not to be" and “that is the question”, «dans le jardin là», „ein langer Satz“, 「これは長い文です」.')==['to be, or not to be','that is the question','dans le jardin là','ein langer Satz','これは長い文です']
    assert quoted("It's the dogs' dinner, isn't it? That's the cats' business.")==[] and quoted('a "name" and "x y"')==[]
    assert len(quoted(' '.join(f'"quote number {i}"' for i in range(500))))==100
    for s in ('"'*200_000, "'a "*100_000, '“'*200_000, '「'*50_000): assert isinstance(quoted(s), list)

@given(st.text('abc', min_size=1, max_size=12), st.text('abc', max_size=30))
@examples(150)
def test_nearest_is_the_least_edit_distance_of_any_stretch(q, t):
    def dist(a, b):
        row = list(range(len(b)+1))
        for i,x in enumerate(a, 1):
            old,row[0] = row[0],i
            for j,y in enumerate(b, 1): old,row[j] = row[j],min(row[j]+1, row[j-1]+1, old+(x!=y))
        return row[-1]
    d,a,b = nearest(q, t)
    assert d==min(dist(q, t[i:j]) for i in range(len(t)+1) for j in range(i, len(t)+1))==dist(q, t[a:b])

@pytest.mark.parametrize('ctx', ['='*100_000+'\nx a', ('-= '*30_000+'\n')*3+'a x', '# '*50_000+'page x\na', 'a'+' '*300_000+'b x', 'a'+'.'*300_000+'b x', 'a'*200_000, 'ab'*100_000, ' '*100_000, '\\'*50_000, '字'*50_000, '""'*50_000, '...'*50_000], ids=lambda s: s[:2])
@pytest.mark.parametrize('q', ['a'*9000, 'ab'*2000+'c', '字'*300+'x', '... ... ...', 'a ... a ... a', '"', '\\'*50, 'x'])
def test_odd_quotes_in_odd_texts_have_an_answer(q, ctx):
    c = cite(q, ctx)
    assert len(c.places)<=20 and (not c.found or letters(ctx[c.start:c.end])[:20]==letters(q)[:20] or c.how!='exact')

@pytest.mark.parametrize('a,b,same', [('the lease does include heating','the lease does exclude heating',False), ('a lawful act of the state','an unlawful act of the state',False), ('prices may increase at will','prices may decrease at will',False), ('it is in the house','it is on the house',False),
    ('the organisation of work','the organization of work',True), ('he went to the harbour','he went to harbour',True), ('no tice was given','notice was given',False), ('the no tice was given','the notice was given',False), ('they can re turn it','they can return it',True), ('the cafe was closed','the café was closed',True),
    ('we agree on the terms','we disagree on the terms',False), ('it is possible to sell','it is impossible to sell',False), ('it is sold','it is told',True), ('the internationalisation','the internationalzation',True), ('three of them','four of them',False)])
def test_slips_are_forgiven_and_other_words_are_not(a, b, same):
    from rlm.provenance import _same_words
    assert _same_words(a, b)==same==_same_words(b, a)

# ---- coverage

WRAPS = [lambda s: s, repr, lambda s: ' '.join(s.split()), lambda s: '\n'.join('> '+o for o in s.split('\n')), str.upper]

@given(st.integers(0, 10**9), st.sampled_from(['abcdefghijklmnopqrstuvwxyz0123456789', '0123456789abcdef', ''.join(chr(0x4e00+i) for i in range(3000)), 'ACGT'*2+'NRYKM']), st.integers(0,4))
@examples(120)
def test_pieces_are_covered_where_they_were_cut(seed, alphabet, n_parts):
    r = random.Random(seed)
    def words(n): return ''.join(''.join(r.choices(alphabet, k=r.randrange(1,12)))+r.choice(' \n   ') for _ in range(n//6))
    parts = [words(r.randrange(200,4000)) for _ in range(n_parts)] or words(5000)
    L,texts,want = Letters(parts),[],[]
    for _ in range(r.randrange(1,6)):
        p = r.randrange(len(L.texts))
        a = r.randrange(len(L.texts[p])-100)
        b = min(a+r.choice([60,100,1000]), len(L.texts[p]))
        texts.append('Σ? ÄÖÜ: '+r.choice(WRAPS)(L.texts[p][a:b])+' ΩΨ!')
        x,y = (L.first[p]+len(letters(L.texts[p][:i])) for i in (a,b))
        if y-x>=24: want.append((x,y))
    if r.random()<.5: texts = ['\nΞΞΞΞ ΞΞΞΞ ΞΞΞΞ ΞΞΞΞ\n'.join(texts)]
    want,got = union(want),union(o[2:4] for s in align([letters(t) for t in texts], L.text) for o in s)
    missed = sum(b-a-_amount(got, a, b) for a,b in want)
    extra = sum(b-a-_amount(want, a, b) for a,b in got)
    assert missed==0 and extra<=4*2*len(want), (missed, extra, want, got)

@given(st.integers(0, 10**9), st.sampled_from(['{}: ', '- ', '[{}] ', 'line {:04} | ']))
@examples(60)
def test_lines_that_were_numbered_go_on(seed, mark):
    r = random.Random(seed)
    lines = [''.join(r.choices('abcdefghijklmnop ', k=r.randrange(12,60))).strip()+'.qrstuvwxyz' for _ in range(200)]
    a = r.randrange(150)
    ctx,some = '\n'.join(lines),lines[a:a+r.randrange(3,40)]
    c = read(ctx, sub=['Which?\n'+'\n'.join(mark.format(i)+o for i,o in enumerate(some))])
    (_,s,e), = c.spans['sub']
    at = ctx.index('\n'.join(some))
    assert abs(s-at)<4 and abs(e-at-len('\n'.join(some)))<4

def test_shares_and_spans():
    r = random.Random(3)
    ctx = ' '.join(''.join(r.choices('abcdefghijklmnop', k=5)) for _ in range(2000))
    c = read(ctx, ctx[600:1200], sub=['Q: '+ctx[900:2400], 'Q: '+ctx[1800:3000]])
    assert c.spans=={'root':[(None,600,1199)], 'sub':[(None,900,2999)]} and (c.root,c.sub,c.read,c.chars)==(500,1750,2000,10000)
    assert str(c)=='read by models: 20.0 % (root 5.0 %, sub-models 17.5 %); 80.0 % never read'
    assert c.reader(None,700,800)=='root' and c.reader(None,2500,2600)=='sub' and c.reader(None,4000,4100)==''

def test_all_and_nothing_are_said_only_where_true():
    r = random.Random(4)
    ctx = ' '.join(''.join(r.choices('abcdefghijklmnop', k=5)) for _ in range(20_000))
    assert '; 0 % never read' in str(read(ctx, sub=[ctx])) and 'read by models: 0 %' in str(read(ctx))
    assert 'read by models: >99.9 %' in str(read(ctx, sub=[ctx[:-40]])) and 'read by models: <0.1 %' in str(read(ctx, sub=[ctx[:40]]))
    assert 'not known' in str(read('-- ... --'))

def test_a_line_that_is_everywhere_is_read_as_often_as_it_was_shown():
    line = 'This message may hold confidential information.\n'
    ctx = ''.join(f'{line}Mail {i} of {random.Random(i).random()}\n' for i in range(3000))
    n = len(letters(line))
    assert read(ctx, line).root==n and read(ctx, line, line+'!', line+'?').root==n
    assert read(ctx, line*500).root==500*n and read(ctx, line*9000).root==3000*n
    c = read(ctx, line)
    assert c.unsure==n and c.spans['root'][0][1]==0
    at = ctx.index('Mail 1500')
    assert read(ctx, ctx[at-60:at+40]).spans['root'][0][1] in range(at-62, at-58)  # its own neighbours say which one it is

def test_a_passage_repeated_in_a_prompt_is_one_passage():
    r = random.Random(1)
    ctx = ''.join(r.choices('abcdefgh ', k=20_000))
    assert read(ctx, sub=[(ctx[5000:5600]+'\n---\n')*1000]).sub==len(letters(ctx[5000:5600]))

@pytest.mark.parametrize('ctx,piece,share', [('a'*300_000, 'a'*1000, 1000), (' \n'*100_000, ' \n'*1000, 0), ('字'*5000+'海'*5000, '字海'*0+'字'*100, 100), ('abcdefghijklm'*20_000, 'abcdefghijklm'*1000, 13_000)])
def test_odd_contexts(ctx, piece, share): assert read(ctx, sub=['? '+piece]).sub==share

def test_a_million_short_parts():
    ctx = [f'row {i}: user {i*7919%1000003}' for i in range(200_000)]
    c = read(ctx, sub=['\n'.join(ctx[5000:5040]), ' / '.join(ctx[100_000:100_003])])
    assert c.n_parts==200_000 and [o.part for o in c.parts if o.read]==[*range(5000,5040), *range(100_000,100_003)] and len(c.parts)<=1000
    c = read(ctx, sub=['\n'.join(ctx)])
    assert c.read==c.chars and len(c.parts)==1000 and len(c.spans['sub'])==10_000

def test_prompts_longer_than_a_pass():
    r = random.Random(2)
    ctx = ' '.join(''.join(r.choices('abcdefghijklmnop', k=6)) for _ in range(150_000))
    c = read(ctx, sub=['Q?\n'+ctx[i:i+7000] for i in range(0, len(ctx), 14_000)])
    assert .499<c.sub/c.chars<.501 and len(c.spans['sub'])==75
    lines = [ctx[i:i+60] for i in range(0, len(ctx), 120)]
    c = read(ctx, sub=['\n'.join(f'{i}: {o}' for i,o in enumerate(r.sample(lines, len(lines))))])
    assert .49<c.sub/c.chars<.51

def test_what_counts_as_read():
    a,b,c,d,e,f = (f'{w} '+' '.join(f'{w}{i}' for i in range(12))+'\n' for w in ('alpha','bravo','charly','delta','echo','foxtrot'))
    evs = [RunStarted(messages=[dict(role='system', content=b), dict(role='user', content=[dict(type='text', text=a)])]), RootReplied(), CodeRan(text=b), SubReplied(prompt=c, error='down'), SubReplied(prompt=d, content='ok'),
           ChildEvent(child='1', inner=dict(event='CodeRan', text=e)), ChildEvent(child='1', key='k', inner=dict(event='RootReplied', reply={}, error='failed')), RootReplied(), CodeRan(text=f)]
    root,sub = texts_read(evs)
    assert root==[a,b] and sub==[d]
    evs[-3] = ChildEvent(child='1', key='k', inner=dict(event='RootReplied', reply={}))
    evs.insert(-1, ChildEvent(child='1.1', key='m', inner=dict(event='SubReplied', prompt=c, content='x')))
    assert texts_read(evs)[1]==[d,e,c]

@pytest.mark.parametrize('code,how', [('len(context)', ''), ('context[5]', 'part'), ('for o in context: pass', 'all'), ('t = context', 'all'), ('f(context)', 'all'), ('"context"', ''), ('%time context.find("x")', 'all'), ('hits = search("x")', 'all'), ('context = 3', '')])
def test_how_code_uses_the_context(code, how): assert uses(code)==how

def test_what_is_no_text_is_said():
    c = read(['ferry', 3, None, 4.5, True])
    assert c.not_text==3 and '3 values that are no text are not counted' in str(c)
    _,c = check('x', [], ['ferry', 3])
    assert c.not_text==1

# ---- inferred places

def test_a_short_answer_is_found_among_what_was_shown():
    ctx = 'In 1843 the mill burned. '*3+'x '*3000+'Another mill burned in 1843. The number is 18435 and 1,200.'
    evs = first(ctx, ctx[:70])
    c, = check(1843, evs, ctx)[0]
    assert (c.how, c.count, c.read, c.start)==('inferred', 3, 'root', 3) and 'inferred' in str(c)
    assert check('the MILL', evs, ctx)[0][0].count==3 and check('another', evs, ctx)[0]==[]
    for v in (True, None, 'yes', 3, 'x', 'a sentence of many words that is nowhere', object(), 10**5000): assert check(v, evs, ctx)[0]==[]
    assert check(1200, first(ctx, ctx[-60:]), ctx)[0][0].text=='1,200'

def test_an_answer_of_any_type_has_its_quotes_looked_up():
    got,_ = check({'a':['"the mill burned down"', 3], 'b':'no quote'}, [], 'They say the mill burned down.')
    assert [o.found for o in got]==[True] and got[0].read==''
    assert json.loads(json.dumps(got.as_dicts()))[0]['places'][0]['start']==9

# ---- runs

TEXT = 'Fog in the morning. '*50+'Captain Olsen sold the ferry to Torvik for 1,200 crowns. '+'Calm seas, nothing to report. '*50
QUOTE = 'Olsen sold the ferry to Torvik'

def run(*replies, ctx=TEXT, sub=('Torvik',), **kw): return RLM(ScriptedLM(list(replies)), ScriptedLM(list(sub)), isolation=kw.pop('isolation','none'), **kw)('Who bought it?', ctx)

LOOK = py('i = context.index("Olsen")\np = context[i-30:i+60]\nprint(p)')

@pytest.mark.parametrize('isolation', ['none','process'])
@pytest.mark.parametrize('end', [py(f'FINAL("Torvik", quotes=["{QUOTE}", "for free"])'), py(f'who = "Torvik"\nFINAL_VAR("who", quotes=["{QUOTE}", "for free"])'), f'FINAL(Torvik, quotes=["{QUOTE}", "for free"])', py('q = [p[30:60], "for free"]\nw = "Torvik"')+'\n',])
def test_quotes_come_through_every_way(end, isolation, tmp_path):
    more = [] if 'FINAL' in end else ['FINAL(w, quotes=q)']
    a = run(LOOK, end, *more, isolation=isolation, log=tmp_path/'r.jsonl')
    assert (a.answer, a.status, a.quotes)==('Torvik', 'answer', [QUOTE,'for free'])
    assert [(o.found, o.by, o.read) for o in a.citations]==[(True,'model','root'), (False,'model',None)]
    for b in (RLM.replay(tmp_path/'r.jsonl'), RLM.resume(tmp_path/'r.jsonl'), answer_of(read_log(tmp_path/'r.jsonl'))):
        assert (b.answer, b.quotes)==(a.answer, a.quotes) and b.citations==a.citations and b.coverage==a.coverage

def test_quotes_survive_a_resume_in_the_middle(tmp_path):
    log = tmp_path/'r.jsonl'
    run(LOOK, f'FINAL(Torvik, quotes=["{QUOTE}"])', log=log)
    lines = log.read_text().splitlines(keepends=True)
    for n in range(2, len(lines)):
        p = tmp_path/f'{n}.jsonl'
        p.write_text(''.join(lines[:n]))
        a = RLM.resume(p, model=ScriptedLM([LOOK, f'FINAL(Torvik, quotes=["{QUOTE}"])'][sum('RootReplied"' in o for o in lines[:n]):]), sub_model=ScriptedLM([]))
        assert a.quotes==[QUOTE] and a.citations[0].found, n

@pytest.mark.parametrize('bad,says', [('3', 'must be a list of texts, not int'), ('[3]', 'must be texts, not int'), ('["x"]*101', '101 quotes are too many'), (f'["x"*{MAX_QUOTE+1}]', 'too long')])
@pytest.mark.parametrize('isolation', ['none','process'])
def test_bad_quotes_go_back_to_the_model(bad, says, isolation):
    a = run(LOOK, py(f'FINAL("Torvik", quotes={bad})'), py('FINAL("Torvik")'), isolation=isolation)
    assert a.answer=='Torvik' and a.quotes is None and says in [o for o in a.trajectory if isinstance(o, CodeRan)][1].text

def test_a_text_is_a_list_of_one_and_a_hit_its_text():
    assert run(LOOK, py('FINAL("T", quotes=p)')).quotes[0].endswith('Calm seas, ') and run(LOOK, py('FINAL("T", quotes=[{"text":"fog", "start":1}, " "])')).quotes==['fog']

@pytest.mark.parametrize('text,value,quotes', [
    ('FINAL(three (or so), quotes=["a) b", \'c]\'])', 'three (or so)', '["a) b", \'c]\']'), ('FINAL("x", quotes=[\n  "one",\n  "two",\n])', '"x"', '[\n  "one",\n  "two",\n]'), ('FINAL_VAR("x", quotes=[a, b])', 'x', '[a, b]'),
    ('FINAL(quotes=["a"])', 'quotes=["a"]', ''), ('FINAL(it says, quotes= nothing)', 'it says', 'nothing'), ('FINAL_VAR(x, quotes=hits[:2] + [f(a)])', 'x', 'hits[:2] + [f(a)]'), ('FINAL(a)\nFINAL(b, quotes=["c"])', 'a', ''), ('FINAL(a, quotes=["b", nonsense here])', 'a, quotes=["b", nonsense here]', '')])
def test_quotes_in_text(text, value, quotes):
    f = find_final(text)
    assert (f.text, f.quotes)==(value, quotes)

def test_the_last_word_may_quote():
    a = run(LOOK, LOOK, f'FINAL(Torvik, quotes=["{QUOTE}"])', max_steps=2)
    assert a.status=='fallback' and a.quotes==[QUOTE]

def test_a_made_up_quote_in_the_answer_is_seen():
    a = run(LOOK, 'FINAL(It "sold the ferry to Torvik", and "gave away the lighthouse".)')
    assert [(o.quote, o.found) for o in a.citations]==[('sold the ferry to Torvik',True), ('gave away the lighthouse',False)] and 'quotes: 1 of 2 found' in str(a.citations)

def test_the_prompt_tells_of_quotes_only_if_asked():
    plain,asked = (run(LOOK, 'FINAL(Torvik)', **kw) for kw in ({}, dict(citations=True)))
    m,n = (a.trajectory[0].messages for a in (plain, asked))
    k,v = next(iter(QUOTES_DOC.items()))
    assert m[:-1]==n[:-1] and 'quotes' not in json.dumps(m) and n[-1]['content'].replace(f'\n\nAlso in the shell:\n- `{k}`: {v}','')==m[-1]['content']
    assert 'citations' not in plain.trajectory[0].settings and asked.trajectory[0].settings['citations'] is True
    with prep_shell(TEXT, ScriptedLM([]), citations=True, isolation='none') as sh: assert QUOTES_DOC.keys()<=sh.extras.keys()

def test_the_setting_is_made_again(tmp_path):
    from rlm.core import to_resume
    log = tmp_path/'r.jsonl'
    RLM(ScriptedLM([LOOK, LMError('quota','no money')]), isolation='none', citations=True, log=log)('Who?', TEXT)
    rlm,r = to_resume(log, model=ScriptedLM([]))
    with r.sh: assert rlm.citations and QUOTES_DOC.keys()<=r.sh.extras.keys()

def test_children_count_as_sub_models():
    parts = [TEXT, 'Storm. '*200]
    def root(m):
        if 'child:' in m[-1]['content'].split('Question:')[-1] and len(m)==2: return py('i = context.index("Olsen")\nprint(context[i:i+50])')
        if 'child:' in m[1]['content'].split('Question:')[-1]: return 'FINAL(Torvik)'
        return py('r = rlm_query("child: who?", context[0])\nprint(r)') if len(m)==2 else 'FINAL(Torvik)'
    a = RLM(ScriptedLM(root), max_depth=2, isolation='none')('Who?', parts)
    assert a.answer=='Torvik' and a.coverage.sub>40 and a.citations[0].read=='sub' and a.citations[0].part==0

def test_an_answer_drags_no_context_along():
    ctx = {'a':TEXT*20}
    a = run(py('FINAL("Torvik", quotes=["Olsen sold the ferry"])'), ctx=ctx)
    assert a.citations[0].found
    b = pickle.loads(pickle.dumps(a))
    assert len(pickle.dumps(a))<20_000 and len(repr(a))<500 and '_ctx' not in vars(copy.deepcopy(a)) and b==a
    with pytest.raises(ContextError, match=r'a\.locate\(context\)'): b.citations
    assert b.locate(ctx) is b and b.citations==a.citations and b.coverage==a.coverage
    with pytest.raises(ContextError, match='no trajectory'): Answer('x').coverage

def test_locate_takes_only_the_same_context(tmp_path):
    p = tmp_path/'t.txt'
    p.write_text(TEXT)
    run(LOOK, 'FINAL(Torvik)', ctx=p, log=tmp_path/'r.jsonl')
    a = answer_of(read_log(tmp_path/'r.jsonl'))
    assert a.coverage.root>50
    p.write_text(TEXT+'!')
    b = answer_of(read_log(tmp_path/'r.jsonl'))
    with pytest.raises(ContextError, match='has changed since'): b.coverage
    with pytest.raises(ContextError, match='not the context of that run'): b.locate(TEXT+'?')
    assert b.locate(TEXT).coverage==a.coverage

def test_events_with_quotes_go_through_json():
    ev = RunEnded(answer='x', quotes=['a “b”'])
    assert from_json(to_json(ev))==ev and from_json('{"event": "RunEnded", "answer": "x"}').quotes is None

# ---- seen by a person

EVIL = '<img src=x onerror=alert(1)>"\'</svg><script>alert(1)</script>\x1b[2J'

def test_nothing_from_elsewhere_is_html():
    ctx = {EVIL: EVIL+' the ferry was sold to Torvik by captain Olsen', 'b':'other'}
    a = Answer(f'It says "{EVIL[:28]} and more", "the ferry was sold to Torvik".', trajectory=first(ctx, ctx[EVIL]), quotes=[EVIL]).locate(ctx)
    h = answer_html(a)
    assert '<img' not in h and '<script' not in h and '\x1b' not in h and h.count('</svg>')==h.count('<svg') and 'NOT FOUND' in h and 'aria-label' in h
    out = io.StringIO()
    Console(out).where(a)
    assert '\x1b' not in out.getvalue() and 'NOT FOUND' in out.getvalue() and 'never read' in out.getvalue()

def test_a_page_of_many_parts_is_bounded():
    ctx = {f'file {i}.txt':f'this is file number {i} of a long list of files '*3 for i in range(5000)}
    h = coverage_html(read(ctx, *list(ctx.values())[:50]))
    assert len(h)<60_000 and 'and 4,988 more parts' in h

def test_without_its_context_an_answer_is_shown_as_before():
    a = pickle.loads(pickle.dumps(run(LOOK, 'FINAL(Torvik)')))
    assert '<svg' not in answer_html(a) and 'Torvik' in answer_html(a)

@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/'log.txt').write_text(TEXT)
    def f(*args, replies=(LOOK, f'FINAL(It "sold the ferry to Torvik" and "gave it away".)')):
        rc = main(['ask', 'Who?', 'log.txt', '--isolation', 'none', *args], model=ScriptedLM(list(replies)))
        return rc,*capsys.readouterr()
    return f

def test_ask_says_where_it_came_from(ask):
    rc,out,err = ask()
    assert rc==0 and out=='It "sold the ferry to Torvik" and "gave it away".\n'
    tail = err[err.index('── Answer'):]
    assert '✓ "sold the ferry to Torvik" line 1, characters' in tail and '✗ NOT FOUND "gave it away"' in tail and 'read by models: ' in tail and 'never read' in tail
    assert ask('-q')[2]==''

def test_ask_json_holds_it(ask):
    d = json.loads(ask('-q', '--json')[1])
    assert [o['found'] for o in d['citations']]==[True,False] and d['coverage']['root']>50 and 'never read' in d['coverage']['text']

def test_ask_can_ask_for_citations(ask, tmp_path):
    ask('--citations', '--log', 'r.jsonl', replies=(LOOK, f'FINAL(Torvik, quotes=["{QUOTE}"])'))
    evs = read_log(tmp_path/'r.jsonl')
    assert 'quotes=[...]' in evs[0].messages[-1]['content'] and evs[-1].quotes==[QUOTE]
    rc = main(['ask', '--resume', 'r.jsonl', '-q', '--json'])
    assert rc==0

def test_a_failed_run_has_its_coverage_too(ask):
    rc,out,err = ask(replies=(LOOK, LMError('auth','no key')))
    assert rc==1 and out==''
    rc,out,err = ask(replies=(LOOK, py('print(1)'), LMError('auth','no key')))
    assert rc==1 and 'never read' in err

# --- files that are read in parts

@pytest.mark.parametrize('short', [True,False])
@pytest.mark.parametrize('alone', [True,False])
def test_quotes_from_a_file_that_is_read_in_parts(tmp_path, monkeypatch, short, alone):
    from rlm import provenance
    from rlm.bigtext import open_text
    if not short: monkeypatch.setattr(provenance, 'WHOLE', 100)
    (tmp_path/'a.txt').write_text('A line of no interest.\n'*50+'The ferry was\nsold in May to a company in Torvik.\n'+'Another line of none.\n'*50)
    big = open_text(tmp_path/'a.txt')
    at = 'context' if alone else 'context["a"]'
    lm = ScriptedLM([f'```python\ni = {at}.find("The ferry")\nprint({at}[i:i+60])\n```', 'FINAL(It says "The ferry was sold in May to a company in Torvik." and "The ferry was never sold.")'])
    a = RLM(lm, preset='strong')('Which?', big if alone else {'a':big, 'b':'some other text', 'n':5})
    yes,no = a.citations
    assert yes.found and (yes.line,yes.start,yes.how,yes.read)==(51,1150,'normalised','root') and yes.text.startswith('The ferry was\nsold in May to') and yes.part==(None if alone else 'a')
    assert not no.found and a.coverage.opened==(0 if short else 1) and a.coverage.not_text==(0 if alone else 1)
    assert ('read in parts' in str(a.coverage))!=short and str(a) and a._repr_html_() and a._repr_markdown_()
