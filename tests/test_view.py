"The views show everything, and nothing that is shown does anything"
import io,os,pty,re,subprocess,sys,threading
from html.parser import HTMLParser
from types import SimpleNamespace
import pytest
from rlm import RLM
from rlm.budget import Usage
from rlm.events import *
from rlm.lm import ScriptedLM
from rlm.view import *

rich = pytest.mark.skipif(__import__('importlib').util.find_spec('rich') is None, reason='rich is not installed')
modes = pytest.mark.parametrize('mode', ['plain', pytest.param('rich', marks=rich)])
U = dict(prompt_tokens=10, completion_tokens=2, cost=.001)
EVIL = 'A\x1b[31mB\x9b2JC\x07D\bE\rF\x7fG\u202eH\u2066I\u200fJ\u2028K\ud800L\x00M\x0bN[red]O[/red][/]P:smile:Q\\R\x1b]8;;http://x\x1b\\S'

def drawn(*evs, mode='plain', **kw):
    f = io.StringIO()
    c = Console(f, rich=mode=='rich', width=kw.pop('width',100), **kw)
    for e in evs: c.show(e)
    c.close()
    return f.getvalue()

def plain(s):
    "Without what rich itself writes: colours, and the live line"
    return re.sub(r'\r\x1b\[2K|\x1b\[[0-9;]*m', '', s)

def everywhere(t):
    "Events that carry `t` wherever a model or a document could put it"
    return [RunStarted(question=t, model='m'+t, sub_model='s'+t, context=t, settings=dict(isolation=t)), RootAsked(1, messages=1, est_tokens=5),
        RootReplied(1, 0., dict(content=t, reasoning=t), U, 1.), CodeStarted(1, 0., f'x = 1 # {t}'),
        SubStarted(1, 0., 1, t, 'm'+t), SubReplied(1, 1., 1, t, t, U, 1.), CodeRan(1, 1., text=t, result=dict(status='error', error=t)),
        SubStarted(1, 0., 2, t, 'm'+t), SubReplied(1, 1., 2, t, error=t), SubStarted(1, 1., 3, t, 'm'),
        ToolRan(1, 1., name='tool'+t, args={'a':t}, content=t), Noted(1, 1., t, t), RunEnded(1, 1., 'error', {'k':[t]}, U, t, 1.)]

@modes
def test_nothing_acts(mode):
    out = drawn(*everywhere(EVIL), mode=mode)
    rest = plain(out)
    assert not re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\u2029\ud800-\udfff]', rest)
    for o in (r'\x1b[31m', r'\x9b2J', r'\x08', r'\r', r'\u202e', r'\ud800', '[red]', '[/red]', ':smile:'): assert o in re.sub(r'\n\s*(│ )?', '', rest), o
    assert '\x1b[31mB' not in out and '\x1b]8' not in out

@modes
def test_same_words(mode):
    evs = everywhere('plain text')
    assert plain(drawn(*evs, mode='plain')).count('plain text') == drawn(*evs).count('plain text') > 8

def test_surrogates_and_ascii():
    for enc in ('ascii','cp1252','utf-8'):
        f = io.TextIOWrapper(io.BytesIO(), encoding=enc, write_through=True)
        c = Console(f)
        for e in everywhere(EVIL+'日本'): c.show(e)
        assert not c._lost and b'step 1' in f.buffer.getvalue()

@modes
def test_thousand_subcalls(mode):
    evs = [*(SubStarted(1, i/100, i, 'p', 'm') for i in range(1000)), *(SubReplied(1, 10+i/10, i, 'p', 'r', U, 1., 'bad' if i%10==0 else None) for i in range(1000))]
    out = drawn(*evs, CodeRan(1, 200.), mode=mode)
    assert len(plain(out).splitlines())<15 and '1,000 sub-calls: 900 done, 100 failed' in plain(out)

def test_interleaved_one_after_the_other():
    evs = [e for i in range(500) for e in (SubStarted(1, i*.1, i, 'p', 'm'), SubReplied(1, i*.1, i, 'p', 'r', U))]
    assert len(drawn(*evs, CodeRan(1, 50.)).splitlines())<10

def test_retries_do_not_flood():
    evs = [SubStarted(1, 0., 1, 'p', 'm'), *(Noted(1, 0., 'retry', f'429, waiting {i}') for i in range(300)), SubReplied(1, 1., 1, 'p', 'r', U), CodeRan(1, 1.)]
    out = drawn(*evs)
    assert '300 retries' in out or out.count('429')==1

def test_threads():
    f = io.StringIO()
    c = Console(f)
    def work(k):
        for i in range(100):
            c.show(SubStarted(1, None, (k,i), 'p', 'm'))
            c.show(SubReplied(1, None, (k,i), 'p', 'r', U))
    ts = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in ts: t.start()
    for t in ts: t.join()
    c.show(CodeRan(1, 1.))
    assert '800 sub-calls: 800 done' in f.getvalue() and c.usage.calls==800

def test_lost_output_does_not_raise():
    class Gone(io.StringIO):
        def write(self, s): raise BrokenPipeError(32, 'gone')
    for f in (Gone(), io.StringIO()):
        c = Console(f, rich=False)
        if type(f) is io.StringIO: f.close()
        for e in everywhere('x'): c.show(e)
        assert c._lost

def test_watch_passes_on_and_closes():
    evs = everywhere('x')
    f = io.StringIO()
    assert list(Console(f).watch(iter(evs)))==evs
    def fails():
        yield evs[0]
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): list(Console(f).watch(fails()))

def test_odd_events():
    "Missing numbers, empty replies, unknown events and statuses"
    out = drawn(RootReplied(1, None, {}, {}, 0.), RootReplied(2, None, dict(content=None, tool_calls=None, finish_reason='length'), dict(cost=None), None), Event(3),
                ToolRan(2, None, name='t', content=None), CodeRan(2, None), RunEnded(2, None, 'strange', None, {}, None, None))
    assert '(an empty reply)' in out and 'cut off' in out and '$?' in out and 'strange' in out

@modes
def test_names_of_options_and_addresses_are_not_broken(mode):
    for w in range(60,80):
        out = plain(drawn(RunEnded(1, 1., 'error', None, U, 'the server answered with something: check --base-url. It is http://localhost:8000/my-model-v1', 1.), mode=mode, width=w))
        assert '--base-url' in out and 'http://localhost:8000/my-model-v1' in out, out

def test_long_is_cut():
    big = 'x'*200_000+'\n'*1000
    assert len(drawn(*everywhere(big)))<60_000

@pytest.mark.parametrize('v', ['', 'x'*1_000_000, [], {}, None, 0, 1.5, True, float('nan'), {(1,2):'t'}, {1,2}, b'b', [1]*100_000, object(), 'a\ud800b', Usage()])
@pytest.mark.parametrize('u', [None, {}, U, Usage(1, 2, 3, cost=None)])
def test_answers_of_any_type(v, u):
    a = SimpleNamespace(answer=v, status='answer', usage=u, steps=2, seconds=None, error=None, trajectory=None, log=None, model=None, sub_model=None, question=None)
    for s in (answer_html(a), answer_markdown(a)): assert isinstance(s,str) and len(s)<60_000 and s.encode()

def test_as_text_survives():
    class Bad:
        def __repr__(self): raise RuntimeError('no')
    loop = []
    loop.append(loop)
    deep = []
    for _ in range(100_000): deep = [deep]
    assert 'failed' in as_text(Bad()) and as_text(loop) and as_text(deep)

class Tags(HTMLParser):
    def __init__(self, s):
        super().__init__()
        self.tags,self.attrs,self.depth = set(),set(),0
        self.feed(s)
    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attrs.update(k for k,_ in attrs)
        self.depth += 1
    def handle_endtag(self, tag): self.depth -= 1

def test_html_is_inert():
    t = '<script>alert(1)</script><img src=x onerror=alert(1)>"\' onload=x></pre></details></table><style>*{}</style>&lt;b&gt;'+EVIL
    a = SimpleNamespace(answer={'a':t}, status=t, usage=dict(U, by={t:U}), steps=3, seconds=1., error=t, trajectory=everywhere(t), log=t, model=t, sub_model=t+'x', question=t)
    p = Tags(answer_html(a))
    assert p.tags <= {'div','pre','table','tr','th','td','details','summary','span','b'} and p.attrs <= {'style'} and p.depth==0

def test_html_many_subcalls_is_bounded():
    evs = [SubReplied(1, 1., i, 'p'*5000, 'r'*5000, U) for i in range(5000)]
    h = trajectory_html(evs)
    assert len(h)<50_000 and '5,000 sub-calls' in h

@rich
def test_terminal():
    "On a real terminal: colours, a live line, and the cursor left as it was"
    code = '''if 1:
        from rlm.events import *; from rlm.view import *
        c = Console()
        c.show(RootAsked(1, 0., 2, 100))
        c.show(RootReplied(1, 0., dict(content='say \\x1b[2J'), {}, 1.)); c.show(CodeStarted(1, 0., 'for x in y: print("hi")'))
        c.close()'''
    pid_out,tty = pty.openpty()
    r = subprocess.run([sys.executable,'-c',code], stdout=tty, env={**os.environ, 'TERM':'xterm-256color'}, timeout=60)
    os.close(tty)
    out = b''
    while True:
        try: o = os.read(pid_out, 65536)
        except OSError: break
        if not o: break
        out += o
    os.close(pid_out)
    assert r.returncode==0 and b'\r\x1b[2K' in out and b'\x1b[94mfor' in out.replace(b';49m',b'm') and b'?25l' not in out and b'\x1b[2J' not in out

@pytest.mark.parametrize('env', [{'TERM':'dumb'}])
def test_dumb_terminal_is_plain(env, monkeypatch):
    monkeypatch.setenv('TERM', 'dumb')
    class Tty(io.StringIO):
        encoding = 'utf-8'
        def isatty(self): return True
    assert Console(Tty()).rich is None

def test_without_rich(monkeypatch):
    "A process in which rich cannot be found draws plain text, and says what to install if rich was asked for"
    code = '''if 1:
        import sys; sys.modules['rich'] = None; sys.modules['rich.console'] = None
        from rlm.events import *; from rlm.view import *
        Console(sys.stdout).show(RootReplied(1, 0., dict(content='hello'), {}, 1.))
        try: Console(rich=True)
        except ImportError as e: print(e)'''
    r = subprocess.run([sys.executable,'-c',code], capture_output=True, text=True, timeout=60, encoding='utf-8', env={**os.environ, 'PYTHONIOENCODING':'utf-8'})
    assert 'hello' in r.stdout and 'rlm[rich]' in r.stdout, r.stderr

def test_import_is_light():
    code = "import sys, rlm.view; print([o for o in ('litellm','IPython','rich','pydantic') if o in sys.modules])"
    assert subprocess.run([sys.executable,'-c',code], capture_output=True, text=True, timeout=60).stdout.strip()=='[]'

def test_markdown_says_where_it_came_from():
    a = RLM(ScriptedLM(['```python\nprint(context)\n```', 'FINAL(It says "the ferry was sold".)']))('Which?', 'In May the ferry was sold to a company.')
    md = answer_markdown(a)
    assert 'the ferry was sold' in md.split('| total')[-1] and 'read by models: 100 %' in md
