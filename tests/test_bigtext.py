"A text in a file is what the same text as a str is, wherever it is cut; attacks on it and changes under way"
import os,random,re,sys
from pathlib import Path
import pytest
from rlm import bigtext
from rlm.bigtext import BigText,FileChanged,MOST,open_text
from rlm.confine import IsolationUnavailable
from rlm.context import ContextError,decode,describe,fingerprint,load_context,load_source,source_of
from rlm.core import RLM
from rlm.lm import LMError,ScriptedLM
from rlm.sandbox import make_shell
from rlm.scan import scan
from rlm.tools import prep_shell

def made(tmp_path, text, enc='utf-8', name='big.txt', errors='strict', raw=None):
    p = tmp_path/name
    p.write_bytes(text.encode(enc) if raw is None else raw)
    return open_text(p, enc, errors)

@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    "Many boundaries in a small file"
    monkeypatch.setattr(bigtext, 'STEP', 101)
    monkeypatch.setattr(bigtext, '_window', 257)
    monkeypatch.setattr(bigtext, '_before', 7)

alphabets = ['ab \n', 'aé \r\n', 'añ语🔥\n\r', 'x\u2028\x85\x1c\r\n', 'ｱあ語ー\n']

def text_of(seed, alphabet, n=3000):
    r = random.Random(seed)
    return ''.join(r.choice(alphabet) for _ in range(n))

@pytest.mark.parametrize('alphabet', alphabets)
@pytest.mark.parametrize('enc', ['utf-8','utf-8-sig','utf-16','utf-16-le','utf-16-be','utf-32','gb18030'])
def test_is_the_text(tmp_path, alphabet, enc):
    s = text_of(1, alphabet)
    t,r = made(tmp_path, s, enc),random.Random(2)
    assert (len(t), str(t), t)==(len(s), s, s) and ''.join(t)==s
    for _ in range(200):
        a,b = sorted(r.choices(range(-len(s)-5, len(s)+5), k=2))
        assert t[a:b]==s[a:b] and t[b:a]==s[b:a]
        assert t[a:b:7]==s[a:b:7] and t[b:a:-3]==s[b:a:-3]
    for i in (0, -1, 101, 102, len(s)-1, -len(s)): assert t[i]==s[i]
    for i in (len(s), -len(s)-1):
        with pytest.raises(IndexError): t[i]

@pytest.mark.parametrize('enc,alphabet', [('latin-1','aé\xff\n'), ('cp1252','a€é\n'), ('cp1251','aжЯ\n'), ('shift_jis','aあ語ｱ\n'), ('euc-jp','aあ語\n'), ('big5','a語人\n'), ('euc-kr','a한글\n'), ('ascii','ab\n')])
def test_other_encodings(tmp_path, enc, alphabet):
    s = text_of(3, alphabet)
    t = made(tmp_path, s, enc)
    assert t==s and t.find(s[1500:1540])==s.find(s[1500:1540])

@pytest.mark.parametrize('enc', ['utf-7','iso2022_jp','hz','punycode','unicode-escape'])
def test_what_cannot_be_read_from_the_middle_is_refused(tmp_path, enc):
    with pytest.raises(ContextError, match='iconv'): made(tmp_path, 'aあ語'*500 if enc!='hz' else '人人'*500, enc)

def test_unknown_encodings(tmp_path):
    for enc,errors in (('utf-9','strict'), ('rot13','strict'), ('utf-8','nope')):
        (tmp_path/'x').write_text('x')
        with pytest.raises(ContextError, match='For example: encoding='): open_text(tmp_path/'x', enc, errors)

@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('errors', ['replace','ignore','backslashreplace','surrogateescape'])
def test_broken_bytes(tmp_path, seed, errors):
    r = random.Random(seed)
    raw = bytes(r.choice(b'a\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5\xff') for _ in range(2000))
    t,s = made(tmp_path, '', errors=errors, raw=raw),raw.decode('utf-8', errors)
    assert len(t)==len(s) and str(t)==s and all(t[i:i+50]==s[i:i+50] for i in range(0, len(s), 37))
    with pytest.raises(ContextError) as e: open_text(t.path)
    with pytest.raises(ContextError) as e2: decode(raw, name=str(t.path))
    assert str(e.value)==str(e2.value)  # the same place as for a text in memory

def test_surrogates(tmp_path):
    raw = ('a'*150+'\ud800'+'b'*150).encode('utf-8','surrogatepass')
    with pytest.raises(ContextError, match='byte 0xed at offset 150'): made(tmp_path, '', raw=raw)
    assert made(tmp_path, '', raw=raw, errors='surrogatepass')[149:152]=='a\ud800b'

def test_binary_and_empty(tmp_path):
    with pytest.raises(ContextError, match='NUL'): made(tmp_path, 'x'*1000+'\0')
    with pytest.raises(ContextError, match='NUL'): made(tmp_path, '', raw=b'x'*900+b'\xff\0')
    t = made(tmp_path, '')
    assert (len(t), str(t), t.find('a'), t.find(''), t.count(''), list(t.lines()), list(t.chunks()), list(t.split('a')), t[:5], t[::-1])==(0, '', -1, 0, 1, [], [], [''], '', '')
    with pytest.raises(ContextError, match='is empty'): load_context(t)
    with pytest.raises(ContextError, match='is empty'): load_context(made(tmp_path, ' \n'*500))

def test_what_is_no_file(tmp_path):
    with pytest.raises(ContextError, match='does not exist'): open_text(tmp_path/'no')
    with pytest.raises(ContextError): open_text(tmp_path)
    if hasattr(os,'mkfifo'):
        os.mkfifo(tmp_path/'pipe')
        with pytest.raises(ContextError, match='no file that can be read in parts'): open_text(tmp_path/'pipe')

@pytest.mark.parametrize('alphabet', alphabets)
def test_lines(tmp_path, alphabet):
    s = text_of(5, alphabet)
    t = made(tmp_path, s)
    ls = t.splitlines()
    assert list(t.lines())==list(ls)==s.splitlines() and list(t.splitlines(True))==s.splitlines(True)
    assert len(ls)==len(s.splitlines()) and ls[-1]==s.splitlines()[-1] and ls[5:50:3]==s.splitlines()[5:50:3] and ls[::-1]==s.splitlines()[::-1]
    for sep in ('\n', 'a\n', alphabet[0], alphabet[0]*3, 'nowhere'):
        assert list(t.split(sep))==s.split(sep) and t.split(sep)[-3:]==s.split(sep)[-3:] and len(t.split(sep))==len(s.split(sep))

def test_many_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(bigtext, '_every', 16)
    s = text_of(6, 'aé\n\r')
    ls = made(tmp_path, s).splitlines()
    assert [ls[i] for i in range(len(ls))]==s.splitlines() and ls[100:130]==s.splitlines()[100:130]
    with pytest.raises(IndexError, match='beyond the end'): ls[len(ls)]

@pytest.mark.parametrize('alphabet', alphabets)
def test_find_and_count(tmp_path, alphabet):
    s,r = text_of(7, alphabet),random.Random(8)
    t = made(tmp_path, s)
    subs = [s[i:i+k] for k in (1,2,5,60,230) for i in r.choices(range(2700), k=6)]+['zz', alphabet[0]*2, '']
    for sub in subs:
        a,b = sorted(r.choices(range(-3100, 3100), k=2))
        for args in ((), (a,), (a,b), (None,b)):
            assert (t.find(sub,*args), t.rfind(sub,*args), t.count(sub,*args))==(s.find(sub,*args), s.rfind(sub,*args), s.count(sub,*args)), (sub,args)
        assert (sub in t)==(sub in s)
        assert t.startswith(sub)==s.startswith(sub) and t.endswith((sub,'q'))==s.endswith((sub,'q'))
    with pytest.raises(ValueError): t.index('zz')
    with pytest.raises(TypeError, match='must be a str'): 5 in t

patterns = [r'a', r'\w+', r'^.', r'.$', r'\b', r'', r'a*', r'(?<=a).', r'(?<!\n)\n', r'\A.|.\Z', r'a|', r'[^a]+', r'(a)|(.)', r'\n?$', r'(?=a)', r'a??', r'(?s).{30}', r'(?:a.)*']

@pytest.mark.parametrize('alphabet', alphabets)
@pytest.mark.parametrize('rx', patterns)
def test_regular_expressions(tmp_path, alphabet, rx):
    s = text_of(9, alphabet)
    t = made(tmp_path, s)
    for flags in (0, re.M, re.I|re.S):
        want,got = list(re.finditer(rx, s, flags)),list(t.finditer(rx, flags, overlap=300))
        assert [m.span() for m in got]==[m.span() for m in want] and [m.groups() for m in got]==[m.groups() for m in want]
        assert [m.regs for m in got]==[m.regs for m in want]
        assert t.findall(rx, flags)==re.findall(rx, s, flags)
    for a,b in ((5,2000), (500,501), (-900,None)):
        ia,ib,_ = slice(a,b).indices(len(s))
        assert [m.span() for m in t.finditer(rx, start=a, end=b, overlap=300)]==[m.span() for m in re.compile(rx).finditer(s, ia, ib)]

def test_long_matches(tmp_path, monkeypatch):
    s = 'x'*500+'A'+'y'*1500+'B'+'z'*500
    t = made(tmp_path, s)
    assert t.search(r'y+', 0).span()==(501,2001)            # open at the end of a window: tried again
    assert t.search('(?s)A.*B').span()==(500,2002)          # the overlap is long enough
    assert next(t.finditer('A[^B]*B', overlap=100), None) is None  # and here it is not: missed, as the chapter says
    monkeypatch.setattr(bigtext, 'MOST', 1000)
    with pytest.raises(ValueError, match='begins at offset 500.*ends sooner'): t.search(r'(?s)A.*')
    assert t.findall('[AB]')==['A','B']
    with pytest.raises(ValueError, match='more than 100 matches'): t.findall('x', most=100)

def test_too_large_is_refused_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(bigtext, 'MOST', 1000)
    t = made(tmp_path, 'ab'*2000)
    for f in (lambda: t[:], lambda: t[5:2000], lambda: str(t), lambda: f'{t}', lambda: t[::-2]):
        with pytest.raises(ValueError, match=r'at most 1,000 .*chunks\('): f()
    with pytest.raises(ValueError, match='not divided in that way'): list(t.lines())
    with pytest.raises(ValueError, match='not divided in that way'): list(t.split('c'))
    assert t[::10]==('ab'*2000)[::10] and len(repr(t))<100
    for k in ('lower','replace','encode','strip','join'):
        with pytest.raises(AttributeError, match='BigText'): getattr(t, k)
    with pytest.raises(AttributeError): t.nonsense
    with pytest.raises(TypeError): t.split()
    with pytest.raises(TypeError): re.findall('a', t)
    with pytest.raises(ValueError): list(t.chunks(0))
    with pytest.raises(ValueError): list(t.chunks(10, 10))

def test_chunks(tmp_path):
    s = text_of(11, alphabets[2])
    t = made(tmp_path, s)
    for size,over in ((1,0), (7,3), (1000,999), (5000,10)):
        got = list(t.chunks(size, over))
        assert all(s[a:a+len(p)]==p for a,p in got) and got[0][0]==0 and got[-1][0]+len(got[-1][1])==len(s)
        assert all(b[0]==a[0]+size-over for a,b in zip(got, got[1:]))
    assert list(t.chunks(100, start=50, end=210))==[(50,s[50:150]), (150,s[150:210])]

@pytest.mark.parametrize('how', ['append','truncate','rewrite'])
def test_a_file_that_changes(tmp_path, how):
    t = made(tmp_path, 'a'*5000)
    t[:10]
    if how=='append': open(t.path, 'a').write('b')
    elif how=='truncate': os.truncate(t.path, 10)
    else: t.path.write_text('c'*5000); os.utime(t.path, ns=(1,1))
    for f in (lambda: t[:10], lambda: t[4000:], lambda: list(t.lines()), lambda: 'zz' in t, lambda: fingerprint(t)):
        with pytest.raises(FileChanged, match='Make a copy'): f()

def test_another_file_in_its_place(tmp_path):
    t = made(tmp_path, 'a'*5000)
    (tmp_path/'secret').write_text('s'*5000)
    t.path.unlink()
    t.path.symlink_to(tmp_path/'secret')
    assert t[1000:1010]=='a'*10 and 's' not in t

def test_the_same_again(tmp_path, monkeypatch):
    t = made(tmp_path, text_of(12, alphabets[2]))
    src = source_of(t, t)
    again = load_source(src)
    assert isinstance(again, BigText) and again==t and src['paths']==str(t.path)
    s = str(t)
    os.utime(t.path, ns=(5,5))
    assert load_source(src)==s  # the time does not count
    t.path.write_bytes(('#'+s[1:]).encode())
    with pytest.raises(ContextError, match='has changed since'): load_source(src)
    monkeypatch.setattr('rlm.context.BIG', 1000)
    ctx = load_context(Path(t.path))
    assert isinstance(ctx, BigText) and isinstance(load_source(source_of(t.path, ctx)), BigText)

def test_large_paths_are_opened_so(tmp_path, monkeypatch):
    monkeypatch.setattr('rlm.context.BIG', 1000)
    (tmp_path/'a.txt').write_text('short')
    (tmp_path/'b.txt').write_text('long\n'*1000)
    ctx = load_context([tmp_path/'a.txt', tmp_path/'b.txt'])
    assert ctx['a.txt']=='short' and isinstance(ctx['b.txt'], BigText) and ctx['b.txt'].count('long')==1000
    d = describe(ctx)
    assert "`context['b.txt']` is a BigText of 5,000 characters" in d and '.finditer(' in d and '2 files by path (BigText and str), 5,005 characters' in d
    assert isinstance(load_context({'x':tmp_path/'b.txt'})['x'], BigText)
    assert describe([ctx['b.txt']]*8).count('finditer')==1 and 'There are 3 more of these' in describe([ctx['b.txt']]*8)
    assert len(describe(ctx['b.txt'], 0))<1500 and "== 'long" not in describe(ctx['b.txt'], 0)

def test_only_a_handed_over_file_is_opened():
    v = dict(at=0, name='x', size=10, mtime=0, codec='utf-8', base=0, encoding='utf-8', errors='strict', n_chars=10, n_lines=1)
    from rlm.shell import CrossError,unpack
    for f in (b'/etc/passwd', b''):
        with pytest.raises(CrossError): unpack({'$':'bigtext', 'v':v}, [b'', b'', f])
    with pytest.raises(CrossError): unpack({'$':'bigtext', 'v':3}, [])

# In the shell

TIERS = ['os','hardened','process','none'] if sys.platform=='linux' else ['process','none']

def shell(isolation, **kw):
    try: return make_shell(isolation, **kw)
    except IsolationUnavailable as e: pytest.skip(str(e))

@pytest.mark.parametrize('isolation', TIERS)
def test_in_the_shell(tmp_path, isolation):
    s = text_of(20, 'añ语🔥 \n', 50_000)
    t = made(tmp_path, s)
    t.path.chmod(0o600)
    with shell(isolation) as sh:
        sh.stage('context', t)
        run = lambda code: sh.run_cell(code).text
        assert run("(len(context), context[-300:-290], context.count('语'), sum(1 for _ in context.lines()), context.search(r'🔥 \\n').span())")==repr((len(s), s[-300:-290], s.count('语'), len(s.splitlines()), re.search(r'🔥 \n', s).span()))
        assert run('context')==repr(t) and 'BigText' in run('SHOW_VARS()')
        sh.stage('both', [t, {'x':t, 'y':'text'}])
        assert run("(both[1]['x'][5:9], both[0]==both[1]['x'], both[1]['y'])")==repr((s[5:9], True, 'text'))
        sh.user_ns['again'] = t
        assert run('(again[5:9],)')==repr((s[5:9],))

@pytest.mark.parametrize('isolation', [o for o in TIERS if o!='none'])
def test_a_lost_child_gets_it_again_also_when_another_file_is_in_its_place(tmp_path, isolation):
    t = made(tmp_path, 'ferry '*500)
    with shell(isolation) as sh:
        sh.stage('context', t)
        assert sh.run_cell('context[:5]').value=="'ferry'"
        t.path.unlink()
        t.path.symlink_to('/etc/passwd')
        assert sh.run_cell('import os; os._exit(3)').status=='lost'
        assert sh.run_cell("(context[:5], 'root:' in context)").value=="('ferry', False)"

@pytest.mark.parametrize('isolation', [o for o in TIERS if o in ('os','hardened')])
@pytest.mark.parametrize('code', ["os.write(fd, b'x')", "os.pwrite(fd, b'x', 0)", "os.ftruncate(fd, 1)", "os.fchmod(fd, 0o777)", "open(f'/proc/self/fd/{fd}', 'r+b')", "open(f'/dev/fd/{fd}', 'wb')",
    "__import__('mmap').mmap(fd, 0, prot=3, flags=1)", "os.posix_fallocate(fd, 0, 10**6)", "os.open('big.txt', os.O_RDONLY, dir_fd=fd)", "__import__('fcntl').fcntl(fd, 1024, 1)", "os.copy_file_range(fd, fd, 10, 0, 20)", "os.utime(fd, (1,1))"])
def test_the_child_can_but_read_it(tmp_path, isolation, code):
    t = made(tmp_path, 'ferry '*500)
    before = t.path.stat()
    with shell(isolation) as sh:
        sh.stage('context', t)
        r = sh.run_cell(f"import os; fd = context.fd; {code}")
        assert r.status=='error' and r.error_type in ('PermissionError','OSError','NotADirectoryError','FileNotFoundError'), r
    after = t.path.stat()
    assert t.path.read_text()=='ferry '*500 and (before.st_mode,before.st_mtime_ns)==(after.st_mode,after.st_mtime_ns)

@pytest.mark.parametrize('isolation', [o for o in TIERS if o in ('os','hardened')])
def test_what_the_child_can_learn_and_lock(tmp_path, isolation):
    "What the table of 06_confine says is possible; where it no longer is, the table can be better"
    t = made(tmp_path, 'ferry '*500)
    with shell(isolation) as sh:
        sh.stage('context', t)
        assert sh.run_cell("import os, fcntl; fcntl.flock(context.fd, fcntl.LOCK_SH); os.readlink(f'/proc/self/fd/{context.fd}')").value==repr(str(t.path))

@pytest.mark.parametrize('isolation', [o for o in TIERS if o!='none'])
def test_a_file_cut_off_under_the_child(tmp_path, isolation):
    t = made(tmp_path, 'ferry '*100_000)
    with shell(isolation) as sh:
        sh.stage('context', t)
        assert sh.run_cell('x = 1; context[:5]').value=="'ferry'"
        os.truncate(t.path, 100)
        r = sh.run_cell('context[500_000:]')
        assert r.status=='error' and 'Make a copy that nobody writes to' in r.error and sh.run_cell('x').value=='1'  # an error, and the child lives

def test_too_large_in_the_shell(tmp_path, monkeypatch):
    monkeypatch.setattr(bigtext, 'MOST', 1000)
    with make_shell('none') as sh:
        sh.stage('context', made(tmp_path, 'ferry '*500))
        for code in ('print(context)', 'f"{context}"', 'context[:]', 'context + "x"', 'context.lower()', 'import re; re.findall("f", context)'):
            r = sh.run_cell(code)
            assert r.status=='error' and len(r.error)<700, code

# A whole run

def block(code): return f'```python\n{code}\n```'

def test_a_run(tmp_path):
    s = ''.join(f'{i:06} request served – ok\n' for i in range(20_000))
    i = 300_000
    s = s[:i]+'ERROR out of connections\n'+s[i:]
    t = made(tmp_path, s)
    sub = ScriptedLM(lambda m: 'the pool' if 'out of connections' in m[-1]['content'] else '?')
    root = ScriptedLM([block("m = context.search(r'^ERROR .*$', re.M) if 're' in dir() else context.search('ERROR .*')\nprint(m.span(), context[m.start():m.end()])"), block("why = llm_query('What ran out? '+context[m.start()-100:m.end()])"), 'FINAL_VAR("why")'])
    a = RLM(root, sub, log=tmp_path/'run.jsonl')('What ran out?', t)
    assert a.ok and a.answer=='the pool' and f'({i}, {i+24}) ERROR out of connections' in root.asked[1][-1]['content']
    about = root.asked[0][-1]['content']
    assert 'is a BigText of' in about and 'context.finditer(pattern, flags)' in about and f'{len(s):,} characters' in about
    b = RLM.replay(tmp_path/'run.jsonl')
    assert b.answer=='the pool' and b.status=='answer'

def test_a_run_is_gone_on_with(tmp_path):
    t = made(tmp_path, 'ferry '*500)
    a = RLM(ScriptedLM([block('n = context.count("ferry")\nprint(n)'), LMError('quota','no money')]), ScriptedLM([]), log=tmp_path/'run.jsonl')('How many?', t)
    assert a.status=='error'
    b = RLM.resume(tmp_path/'run.jsonl', model=ScriptedLM(['FINAL_VAR("n")']), sub_model=ScriptedLM([]))
    assert b.ok and b.answer==500

def test_a_run_ends_with_a_file_that_was_changed(tmp_path):
    t = made(tmp_path, 'ferry '*500)
    def second(messages):
        open(t.path, 'a').write('more')
        return block('print(context[-5:])')
    replies = iter([lambda m: block('print(context[:5])'), second])
    root = ScriptedLM(lambda m: next(replies)(m))
    a = RLM(root, ScriptedLM([]))('What is at the end?', t)
    assert a.status=='error' and 'Make a copy that nobody writes to' in a.error and len(root.asked)==2

def test_a_whole_text_is_no_prompt(tmp_path):
    with prep_shell(made(tmp_path, 'ferry '*500), model=ScriptedLM(['x']*9), isolation='none') as sh:
        r = sh.run_cell('llm_query(context)')
        assert r.error_type=='TypeError' and 'not BigText' in r.error

def test_search_in_a_run(tmp_path):
    days = [f'Day {i}: fog, the ferry stayed in port. Prices of fish: {i%50}.' for i in range(5000)]
    days[3456] = 'Day 3456: the ferry was SOLD to a man from Torvik.'
    s = '\n'.join(days)
    t = made(tmp_path, s)
    with prep_shell({'log':t, 'note':'Torvik is a town.'}, model=ScriptedLM([]), search=True) as sh:
        r = sh.run_cell("h = search('who bought the ferry, sold to Torvik?', k=2)\nprint(h)\n(h[0].part, h[0].text==context['log'][h[0].start:h[0].end], 'SOLD to a man' in h[0].text)")
        assert r.value=="('log', True, True)", r.text
        assert 'pass over the whole file' in str(sh.extras)
        assert 'nowhere in the text: zeppelin' in sh.run_cell("search('zeppelin ferry')").text

@pytest.mark.parametrize('alphabet', ['ab ferry\n', 'İß ferry \n'])
def test_scan_finds_what_is_there(tmp_path, alphabet, monkeypatch):
    r = random.Random(4)
    s = ''.join(r.choice(['the ','ferry ','Fähre ','İZMİR ','x\n','Straße ']) for _ in range(4000))
    for at in (0, 499, 500, 9_990, 19_995, len(s)-7): s = s[:at]+' Torvik'+s[at+7:]
    t = made(tmp_path, s)
    hits = scan(t, 'torvik', 50)
    assert {m.start() for m in re.finditer('Torvik', s)}=={h.start+i.start() for h in hits for i in re.finditer('Torvik', h.text)}
    assert all(t[h.start:h.end]==h.text for h in hits)
    with pytest.raises(TypeError): scan(t, 5)
    assert not scan(t, 'the of and') and 'few words' in scan(t, 'the of and').note

def test_the_real_sizes(tmp_path, monkeypatch):
    "As it is set, not with segments of 101 bytes"
    monkeypatch.undo()
    s = ''.join(f'{i:07} häuser 🔥\n' for i in range(150_000))
    t = made(tmp_path, s)
    assert t==s and len(t.starts)>10 and t.splitlines()[-1]==s.splitlines()[-1]
    assert [m.span() for m in t.finditer(r'\d+99 ')]==[m.span() for m in re.finditer(r'\d+99 ', s)] and t.rfind('0000007 h')==s.rfind('0000007 h')

def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    from rlm import cli
    monkeypatch.setattr('rlm.context.BIG', 1000)
    (tmp_path/'a.log').write_text('ferry\n'*1000)
    root = lambda last: ScriptedLM([block('n = context.count("ferry")\nprint(n, type(context).__name__)'), last])
    log = tmp_path/'r.jsonl'
    assert cli.ask(cli.parse(['ask','How many?',str(tmp_path/'a.log'),'--log',str(log)])[1], root(LMError('quota','no money')))==1
    assert '1000 BigText' in capsys.readouterr().err
    assert cli.ask(cli.parse(['ask','--resume',str(log)])[1], ScriptedLM(['FINAL_VAR("n")']))==0
    assert capsys.readouterr().out.strip()=='1000'
    (tmp_path/'a.log').write_bytes(b'x'*5000+b'\xff')
    with pytest.raises(cli.BadInput, match='byte 0xff at offset 5,000.*--encoding latin-1'): cli.read_context([str(tmp_path/'a.log')])
