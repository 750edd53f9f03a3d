"Bad input, from end to end: one row each through the API, and one each through `rlm ask` in a process of its own, against a server on the loopback"
import os,re,subprocess,sys,warnings
from pathlib import Path
import pytest
from fakeserver import *
from rlm import RLM
from rlm.core import advanced_toolloop
from rlm.tools import make_run_repl,prep_shell

ROOT = Path(__file__).parent.parent
NO_MODEL = Fault(404, dict(error=dict(message='The model `gpt-9` does not exist', type='invalid_request_error', code='model_not_found')))
LOOK = code('print(len(context), context[:20])')

@pytest.fixture(scope='module')
def at():
    "A server for each way to answer, by name, and an address where nobody listens"
    scripts = dict(good=lambda r: LOOK if len(r.messages)<3 else 'FINAL_VAR("context")', html=lambda r: HTML, hang=lambda r: Hang(), unknown=lambda r: NO_MODEL)
    servers = {k:FakeServer(v) for k,v in scripts.items()} | dict(locked=FakeServer(key='right-key-0123456789'))
    yield {k:s.url for k,s in servers.items()} | dict(closed='http://127.0.0.1:9/v1')
    for s in servers.values(): s.close()

@pytest.fixture(autouse=True)
def clean(bare_env, tmp_path):
    for name,data in dict(a=b'Sing, O goddess', empty=b'', blank=b' \n', latin='Größe'.encode('latin-1'), binary=b'a\0b').items(): Path(f'{name}.txt').write_bytes(data)
    Path('void').mkdir()

def rlm(at, **kw): return RLM('openai/fake', **{**dict(base_url=at['good'], isolation='none', retries=0), **kw})

# Refused before anything is asked

def untyped(x): "A tool whose parameter has no type"
def undocumented(x:str): return x

@pytest.mark.parametrize('q,ctx,kw,says', [
    ('Who?', '', {}, 'context is empty'), ('Who?', ' \n', {}, 'context is empty'), ('Who?', [], {}, 'context is empty'), ('Who?', {'a':''}, {}, 'context is empty'), ('Who?', Path('blank.txt'), {}, 'blank.txt is empty'),
    ('', 'x', {}, "question is empty: ''"), (' ', 'x', {}, 'question is empty'), (None, 'x', {}, 'question must be a text, not NoneType'), (5, 'x', {}, 'not int: 5'),
    ('Who?', None, {}, 'context is a NoneType'), ('Who?', 5, {}, 'context is an int'), ('Who?', {1,2}, {}, 'a set.*Make a list'), ('Who?', ['x',object()], {}, r'context\[1\] is an object'), ('Who?', sys.stdin, {}, 'pass its Path'),
    ('Who?', Path('none.txt'), {}, 'none.txt does not exist'), ('Who?', Path('void'), {}, 'void holds no file that can be read'), ('Who?', Path('*.md'), {}, 'holds no file'), ('Who?', Path('binary.txt'), {}, 'binary.txt is not text'),
    ('Who?', Path('latin.txt'), {}, "latin.txt is not utf-8: byte 0xf6 at offset 2.*latin-1"), ('Who?', b'caf\xe9', {}, "not utf-8: byte 0xe9 at offset 3.*errors='replace'"),
    ('Who?', 'x', dict(max_steps=0), 'max_steps must be.*not 0'), ('Who?', 'x', dict(max_steps='5'), "max_steps must be.*not '5'"), ('Who?', 'x', dict(max_cost=1), 'price of openai/fake.*prices='),
    ('Who?', 'x', dict(tools=[untyped]), "untyped: parameter 'x' has no type"), ('Who?', 'x', dict(tools=[undocumented]), 'undocumented has no docstring'), ('Who?', 'x', dict(tools=['ls']), "function.*'ls'"),
    ('Who?', 'x', dict(base_url='localhost:8000'), "base_url must be.*'localhost:8000'"), ('Who?', 'x', dict(sp=5), 'sp.*must be a text, not int'), ('Who?', 'x', dict(mode='x'), "mode must be.*'x'"),
    ('Who?', 'x', dict(max_step=5), 'max_step: .*Was max_steps meant'), ('Who?', 'x', dict(api_base='http://127.0.0.1/'), 'called base_url'),
], ids=lambda o: re.sub(r'\W+','_',re.sub(r'0x\w+','',str(o)))[:30])
def test_refused(at, q, ctx, kw, says):
    with pytest.raises(ValueError) as e: rlm(at, **kw)(q, ctx)
    assert re.search(says, str(e.value), re.S), e.value

def test_a_name_where_a_path_was_meant(at):
    with pytest.warns(UserWarning, match="pass Path\\('a.txt'\\)"): assert rlm(at)('Who?', 'a.txt').answer=='a.txt'

@pytest.mark.parametrize('model', ['gpt-9','nobody/gpt-9'])
def test_no_such_provider(model):
    a = RLM(model, isolation='none')('Who?', 'x')
    assert a.status=='error' and model in a.error and 'provider/model' in a.error

# Failures of the server end in an `Answer`

@pytest.mark.parametrize('where,kw,status,says', [
    ('closed', {}, 'error', 'openai/fake: connection: .*base_url is http://127.0.0.1:9/v1'), ('hang', dict(timeout=1), 'error', 'no reply in 1 seconds.*timeout=.*base_url is http'),
    ('hang', dict(max_time=1.5), 'budget', 'max_time'), ('html', {}, 'error', 'web page.*base_url is http'), ('unknown', {}, 'error', 'gpt-9. does not exist.*provider/model'),
    ('locked', dict(api_key='wrong-key-0123456789'), 'error', 'auth.*api_key='), ('locked', {}, 'error', 'auth.*OPENAI_API_KEY')])
def test_server(at, where, kw, status, says):
    a = rlm(at, base_url=at[where], **kw)('Who?', 'Sing')
    assert a.status==status and a.answer is None and re.search(says, a.error) and 'wrong-key' not in a.error and a.seconds<30, a

# What is odd and allowed

@pytest.mark.parametrize('q,ctx,kw', [('What is {x}? {', 'a {b} %s {', dict(sp='{answer} {0} {', final_prompt='{')), ('Who \ud800?', 'Sing \udcff goddess', {})])
def test_braces_and_surrogates(at, q, ctx, kw):
    a = rlm(at, **kw)(q, ctx)
    assert (a.status,a.answer)==('answer',ctx)

@pytest.mark.parametrize('arg,says', [('5','llm_query takes a text, not int'), ('[context]','llm_query takes a text, not list'), ('None','not NoneType'), ('" "','empty prompt')])
def test_a_prompt_that_is_no_text(arg, says):
    with FakeServer([code(f'r = llm_query({arg})'), code('FINAL(1)')]) as s:
        a = RLM('openai/fake', base_url=s.url, isolation='none')('Who?', 'Sing')
        assert a.answer==1 and says in s.requests[1].prompt and len(s.requests)==2  # told, and nobody was asked

def test_300_mb(at):
    with FakeServer([code('n = len(context)\nprint(n, context[-9:])'), 'FINAL_VAR("n")']) as s:
        a = RLM('openai/fake', base_url=s.url)('How long?', ('x'*99+'\n')*2_999_999+'the end.')
        assert a.answer==299_999_908 and max(len(o.prompt) for o in s.requests)<5000

def test_toolloop(at):
    "The seed's way in refuses the same"
    sh = prep_shell('Sing', model='openai/fake', base_url=at['good'], isolation='none')
    for kw,says in ((dict(message=''),'question is empty'), (dict(message='Who?', max_steps=0),'max_steps'), (dict(message='Who?', tools=[make_run_repl(sh),untyped]),'has no type')):
        with pytest.raises(ValueError, match=says): advanced_toolloop(**kw, sh=sh, model='openai/fake', base_url=at['good'])
    with pytest.raises(ValueError, match='context is empty'): prep_shell('', model='openai/fake')

# The command line: an exit code, one clear message in its own words, and no traceback

def rlm_ask(*args, timeout=60, **env):
    r = subprocess.run([sys.executable,'-m','rlm','ask',*args], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env={**os.environ, 'PYTHONPATH':str(ROOT), 'PYTHONIOENCODING':'utf-8', **env})
    out,err = r.stdout.decode(),re.sub(r'\s+', ' ', r.stderr.decode())
    assert 'Traceback' not in out+err, err
    return r.returncode,out,err

@pytest.mark.parametrize('args,says', [
    (['Who?','empty.txt'], 'empty.txt: empty'), (['Who?'], 'standard input: empty'), (['','a.txt'], 'question is empty'), (['Who?','none.txt'], 'none.txt does not exist'), (['Who?','void'], 'void holds no file that can be read'),
    (['Who?','latin.txt'], 'latin.txt is not utf-8: byte 0xf6 at offset 2. Name its encoding, such as --encoding latin-1, or pass --errors replace'), (['Who?','binary.txt'], 'binary.txt is not text'),
    (['Who?','a.txt','--max-steps','0'], '--max-steps must be a whole number above 0, not 0'), (['Who?','a.txt','--base-url','localhost:8'], "--base-url must begin with http:// or https://, not 'localhost:8'")],
    ids=lambda o: '_'.join(o)[:30] if isinstance(o,list) else '')
def test_ask_refuses(args, says):
    rc,out,err = rlm_ask(*args, '--model', 'openai/fake')
    assert (rc,out)==(2,'') and says in err, err

@pytest.mark.parametrize('where,args,code,says', [
    ('closed', ['--max-time','2'], (1,4), '127.0.0.1'), ('hang', ['--max-time','2'], (4,), '--max-time'), ('html', ['--max-time','2'], (1,4), 'web page'), ('unknown', [], (1,), '--base-url is http'), ('locked', ['--api-key-env','MY_KEY'], (1,), '--api-key-env')])
def test_ask_server(at, where, args, code, says):
    rc,out,err = rlm_ask('Who?', 'a.txt', '--model', 'openai/fake', '--base-url', at[where], '--isolation', 'none', *args, MY_KEY='wrong-key-0123456789')
    assert rc in code and not out and says in err and 'wrong-key' not in err and not re.search(r'(api_key|base_url|max_time)=', err), err

def test_ask_odd_words(at):
    "Braces, and bytes that no encoding of the terminal knows, in the question"
    rc,out,err = rlm_ask(b'What is {x}? { \xff', 'a.txt', '--model', 'openai/fake', '--base-url', at['good'], '--isolation', 'none')
    assert (rc,out)==(0,'Sing, O goddess\n'), err

# The example of the loop by hand

@pytest.mark.parametrize('reply', [lambda src: tool(code=src), code], ids=['tool','fence'])
def test_example(reply):
    script = [reply('print(len(context)); r = llm_query("which? " + context[:20])'), 'str.casefold()', reply('FINAL(r)')]
    with FakeServer(script) as s:
        r = subprocess.run([sys.executable, ROOT/'examples'/'seed.py', '--model', 'fake', '--base-url', s.url], capture_output=True, text=True, encoding='utf-8', timeout=60, env={**os.environ, 'PYTHONPATH':str(ROOT), 'PYTHONIOENCODING':'utf-8'})
    assert r.returncode==0 and 'str.casefold() | answer | 3 calls' in r.stdout and 'r: str' in r.stdout and not r.stderr, r.stdout+r.stderr
