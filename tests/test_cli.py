"The command line: what goes where, exit codes, faults, and no traceback"
import io,json,os,re,signal,subprocess,sys,time
from pathlib import Path
import pytest
from fakeserver import *
from rlm.cli import *
from rlm.cli import doctor_parser
from rlm.events import read_log
from rlm.lm import ScriptedLM

ROOT = Path(__file__).parent.parent
DONE = code('FINAL(context[:4])')
SUB = [code('r = llm_query("Is it about anger? " + context[:20])\nprint(r)', 'I ask.'), 'yes, anger', code('FINAL(r)')]

@pytest.fixture(autouse=True)
def clean(bare_env, tmp_path):
    (tmp_path/'a.txt').write_text('Sing, O goddess, the anger of Achilles. '*100, encoding='utf-8')
    (tmp_path/'b.txt').write_text('Tell me, O Muse. '*100, encoding='utf-8')

def env(**kw): return {**os.environ, 'PYTHONPATH':str(ROOT), 'PYTHONIOENCODING':'utf-8', **kw}

def cmd(*args): return [sys.executable,'-m','rlm',*map(str,args)]

def run(*args, stdin='', timeout=100, **kw):
    "The command in a process of its own"
    r = subprocess.run(cmd(*args), input=stdin, capture_output=True, text=True, encoding='utf-8', timeout=timeout, env=env(**kw))
    assert 'Traceback' not in r.stderr+r.stdout, r.stderr
    return r

def here(capsys, *args, model=None, replies=None):
    "The command in this process: its code, stdout and stderr"
    rc = main([str(o) for o in args], model=ScriptedLM(replies) if replies else model)
    out,err = capsys.readouterr()
    assert 'Traceback' not in out+err
    return rc,out,err

def served(capsys, s, *args): return here(capsys, 'ask', 'Which?', *args, '--model', 'openai/fake', '--base-url', s.url, '--isolation', 'none')

def scripted(capsys, replies, *args): return here(capsys, 'ask', 'Which?', 'a.txt', '--isolation', 'none', *args, replies=replies)

# What goes where

def test_answer_alone_on_stdout():
    with FakeServer(SUB) as s:
        r = run('ask', 'Is it about anger?', '--model', 'openai/fake', '--base-url', s.url, '--isolation', 'none', stdin=Path('a.txt').read_text())
        assert (r.returncode,r.stdout)==(0,'yes, anger\n'), r.stderr
        for o in ('Is it about anger?', 'step 1', 'I ask.', '>>> r = llm_query', 'openai/fake', 'Answer'): assert o in r.stderr
        assert s.requests[1].prompt=='Is it about anger? Sing, O goddess, the'
        assert '\x1b' not in r.stderr

def test_json_and_log(capsys):
    with FakeServer(SUB) as s: rc,out,err = served(capsys, s, 'a.txt', '--json', '-q', '--log', 'runs/x.jsonl', '--prices', '1', '2')
    d = json.loads(out)
    assert (rc,err,d['answer'],d['status'],d['error'],d['steps'],d['model'])==(0,'','yes, anger','answer',None,2,'openai/fake')
    assert (d['usage']['calls'],d['usage']['root']['calls'],d['usage']['sub']['calls'])==(3,2,1) and d['cost']>0 and d['seconds']>0
    evs = read_log('runs/x.jsonl')
    assert type(evs[-1]).__name__=='RunEnded' and evs[-1].answer=='yes, anger'

@pytest.mark.parametrize('value,out', [('[1,2]','[1, 2]'), ('0','0'), ('False','false'), ('{"a":None}','{"a": null}'), ('"x\\x1b[2J"','x\x1b[2J'), ('3.5','3.5')])
def test_any_type(capsys, value, out):
    rc,o,_ = scripted(capsys, [f'```repl\nFINAL({value})\n```'], '-q')
    assert (rc,o)==(0,out+'\n')
    assert json.loads(scripted(capsys, [f'```repl\nFINAL({value})\n```'], '--json')[1])['answer']==eval(value)

def test_escaped_on_a_terminal():
    class Tty(io.StringIO):
        def isatty(self): return True
    f = Tty()
    put('a\x1b[2Jb', f)
    assert f.getvalue()=='a\\x1b[2Jb\n'

def test_unencodable_answer():
    f = io.TextIOWrapper(io.BytesIO(), encoding='ascii', write_through=True)
    put('é\ud800', f)
    assert f.buffer.getvalue()==b'\\xe9\\ud800\n'
    assert json.loads(as_json(dict(answer='é\ud800')))['answer']=='é\ud800'

# Where the context comes from

def test_contexts(capsys, monkeypatch):
    def shape(*files, stdin=None):
        if stdin is not None: monkeypatch.setattr('sys.stdin', io.TextIOWrapper(io.BytesIO(stdin)))
        return here(capsys, 'ask', 'Which?', *files, '-q', '--json', '--isolation', 'none', replies=['```repl\nFINAL(list(context) if isinstance(context,dict) else context[:9])\n```'])[1]
    def ans(*a, **kw): return json.loads(shape(*a, **kw))['answer']
    assert ans('a.txt')=='Sing, O g' and ans('a.txt','a.txt')=='Sing, O g' and ans('a.txt','b.txt')==['a.txt','b.txt']
    assert ans(stdin='From a pipe é'.encode())=='From a pi' and ans('-', stdin=b'From a dash')=='From a da'
    assert ans('a.txt','-', stdin=b'both')==['a.txt','stdin']
    assert ans('--encoding','latin-1', stdin='Größe'.encode('latin-1'))=='Größe' and ans('--errors','replace', stdin=b'ab\xff')=='ab\ufffd'

class Terminal(io.StringIO):
    def isatty(self): return True

@pytest.mark.parametrize('args,msg', [
    (['ask'], 'no question'), (['ask','  ','a.txt'], 'question is empty'), (['ask','Q?','nope.txt'], 'nope.txt does not exist'), (['ask','Q?','void'], 'void holds no file that can be read'),
    (['ask','Q?'], 'nothing to ask about'), (['ask','Q?','bin'], 'not text'), (['ask','Q?','latin'], '--encoding latin-1'), (['ask','Q?','empty'], 'empty'),
    (['ask','Q?','a.txt','--max-steps','0'], '--max-steps must be'), (['ask','Q?','a.txt','--max-steps','many'], 'invalid int'), (['ask','Q?','a.txt','--max-cost','-1'], '--max-cost'),
    (['ask','Q?','a.txt','--max-time','nan'], '--max-time'), (['ask','Q?','a.txt','--model',''], '--model is empty'), (['ask','Q?','a.txt','--base-url','localhost:1'], 'http://'),
    (['ask','Q?','a.txt','--api-key-env','NOPE'], 'NOPE is not set'), (['ask','Q?','a.txt','--isolation','strong'], 'invalid choice'), (['ask','Q?','a.txt','--encoding','utf-99'], 'utf-99'),
    (['ask','Q?','a.txt','--nope'], '--nope'), (['ask','Q?','a.txt','--log','a.txt/x'], 'log'), (['What?','a.txt'], "rlm ask 'What?'"), ([], 'COMMAND'), (['doctor','--nope'], '--nope'),
    (['ask','Q?','a.txt','--model','openai/fake','--max-cost','1','--base-url','http://127.0.0.1:9/v1'], 'prices'), (['ask','Q?','\0'], 'cannot be read'), (['ask','Q?','x'*5000], 'cannot be read')])
def test_bad_input(capsys, monkeypatch, args, msg):
    Path('bin').write_bytes(b'a\0b')
    Path('latin').write_bytes('Größe'.encode('latin-1'))
    Path('empty').write_text('')
    Path('void').mkdir()
    monkeypatch.setattr('sys.stdin', Terminal())
    rc,out,err = here(capsys, *args)
    assert rc==2 and not out and msg in re.sub(r'\s+',' ',err), err

def test_bad_input_json(capsys):
    rc,out,_ = here(capsys, 'ask', 'Q?', 'nope.txt', '--json')
    assert rc==2 and json.loads(out)['status']=='error' and 'nope.txt' in json.loads(out)['error']

def test_surrogates_and_braces(capsys):
    rc,out,_ = scripted(capsys, ['```repl\nFINAL("{x} \\ud800 %s")\n```'], '-q')
    assert (rc,out)==(0,'{x} \\ud800 %s\n')
    assert here(capsys, 'ask', 'What is {x}? \udcff %s', 'a.txt', '-q', '--isolation', 'none', replies=['```repl\nFINAL(1)\n```'])[0]==0

# How it ends

def test_exit_codes(capsys):
    look = '```repl\nprint(len(context))\n```'
    rc,out,err = scripted(capsys, [look,'my best guess'], '--max-steps', '1')
    assert (rc,out)==(3,'my best guess\n') and 'did not confirm' in err
    rc,out,err = scripted(capsys, [look]*9, '--max-calls', '2', '-q')
    assert rc==4 and 'budget' in err
    rc,out,err = scripted(capsys, [look], '-q')
    assert rc==1 and not out and 'script' in err

def test_wrong_key(capsys, monkeypatch):
    monkeypatch.setenv('MY_KEY', 'wrong-key-123')
    with FakeServer(repeat=True, script=['never'], key='right') as s:
        rc,out,err = served(capsys, s, 'a.txt', '-q', '--api-key-env', 'MY_KEY')
        assert rc==1 and not out and 'wrong-key-123' not in err and 'key' in err and len(s.requests)==1

def test_model_unknown(capsys):
    rc,out,err = here(capsys, 'ask', 'Which?', 'a.txt', '-q', '--model', 'no-such-model', '--isolation', 'none')
    assert rc in (1,2) and not out and 'no-such-model' in err

def wait_for(f, secs=60):
    t = time.monotonic()
    while not f():
        assert time.monotonic()-t<secs, 'took too long'
        time.sleep(.05)

def start(s, *args, **kw):
    "A process that asks"
    return subprocess.Popen(cmd('ask','Which?','a.txt','--model','openai/fake','--base-url',s.url,*args), env=env(), start_new_session=True, **{**dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE), **kw})

def isolation():
    "The best there is on this machine"
    from rlm.sandbox import IsolationUnavailable,make_shell
    try:
        with make_shell('auto') as sh: sh.run_cell('1')
    except IsolationUnavailable: return 'process'
    return 'auto'

SLEEP = [code('x = 42\nprint(x)'), code('import time\nwhile 1: time.sleep(.01)')]
ROOT_HANGS = [code('print(42)'), Hang()]
SUB_HANGS = [code('print(42)'), code('llm_query("?")'), Hang()]

@pytest.mark.skipif(sys.platform=='win32', reason='signals')
def test_interrupted():
    """While the root, a sub-model, or a cell is at work: the run ends itself, and says what it has found.
    A terminal sends Ctrl-C to the child of the shell as well; `SIGTERM` comes to one process."""
    cases = [(ROOT_HANGS,signal.SIGTERM,143,'none'), (SUB_HANGS,signal.SIGINT,130,isolation()), (SLEEP,signal.SIGINT,130,isolation())]
    servers = [FakeServer(list(o[0])) for o in cases]
    ps = [start(s, '--json', '--log', f'{i}.jsonl', '--isolation', o[3]) for i,(s,o) in enumerate(zip(servers, cases))]
    try:
        for i,(p,s,(script,sig,rc,_)) in enumerate(zip(ps, servers, cases)):
            wait_for(lambda: len(s.requests)==len(script))
            time.sleep(.5)
            p.send_signal(sig) if sig==signal.SIGTERM else os.killpg(p.pid, sig)
            out,err = [o.decode() for o in p.communicate(timeout=30)]
            d = json.loads(out)
            assert p.returncode==rc and 'Traceback' not in err and 'Interrupted' in err, err
            assert d['status']=='interrupted' and d['found'].strip()=='42' and read_log(f'{i}.jsonl')[-1].status=='interrupted'
    finally:
        for o in ps: o.kill()
        for o in servers: o.close()

@pytest.mark.skipif(sys.platform=='win32', reason='pipes')
def test_readers_gone():
    "Nobody reads the answer: no complaint. Nobody reads the progress: the answer comes all the same"
    with FakeServer([code('FINAL("x"*1_000_000)')]) as s, FakeServer([DONE]) as s2:
        p = start(s, '-q', '--isolation', 'none')
        p.stdout.close()
        r,w = os.pipe()
        os.close(r)
        p2 = start(s2, '--isolation', 'none', stderr=w)
        os.close(w)
        err,out = p.stderr.read().decode(),p2.stdout.read()
        assert (p.wait(60),err,p2.wait(60),out.strip())==(0,'',0,b'Sing')

# Doctor, fetch, start-up

def test_start_is_light():
    code = "import sys; from rlm.cli import main; main(sys.argv[1:]); print([o for o in ('litellm','IPython','rich','pydantic','openai') if o in sys.modules])"
    for a in (['--help'],['ask','--help'],['ask'],['ask','Q?','nope.txt'],['--version']):
        r = subprocess.run([sys.executable,'-c',code,*a], capture_output=True, text=True, timeout=60, env=env())
        assert r.stdout.splitlines()[-1]=='[]', (a,r.stdout,r.stderr)

def test_version_and_help(capsys):
    assert re.match(r'rlm \d+\.\d+', here(capsys, '--version')[1])
    for a in (['--help'],['ask','-h'],['doctor','-h'],['fetch','-h']):
        rc,out,_ = here(capsys, *a)
        assert rc==0 and ('exit codes' in out or a[0]=='fetch')

def test_doctor_never_shows_a_key(capsys, monkeypatch):
    monkeypatch.setenv('OPENAI_API_KEY', 'sk-very-secret')
    monkeypatch.setattr('rlm.cli.check_litellm', lambda: [])
    for a in ([],['--json']):
        rc,out,err = here(capsys, 'doctor', *a)
        assert 'sk-very-secret' not in out+err and 'OPENAI_API_KEY' in out and 'openai/' in out
        if a: assert rc==(0 if json.loads(out)['ok'] else 1)

def test_litellm_imports(): assert [o.status for o in check_litellm()]==['ok']

def test_doctor_broken(capsys, monkeypatch):
    import rlm.cli as cli
    monkeypatch.setattr(cli, 'check_litellm', lambda: [Check('versions','import litellm','broken','ImportError: no')])
    monkeypatch.setattr(cli, 'check_shell', lambda: [])
    rc,out,_ = here(capsys, 'doctor')
    assert rc==1 and 'broken: import litellm' in out

def test_doctor_unconfined(monkeypatch):
    import rlm.sandbox as sandbox
    monkeypatch.setattr(sandbox, 'probe', lambda: dict(isolation='os', connect=False, read_a_file='refused (PermissionError)'))
    assert [(o.status,'connect' in o.text) for o in check_shell() if o.name=='tried, and possible']==[('broken',True)]
    def no(): raise sandbox.IsolationUnavailable('this system cannot confine the shell')
    monkeypatch.setattr(sandbox, 'probe', no)
    assert check_shell()[0].status=='broken'

def test_doctor_without_litellm(capsys, monkeypatch):
    import rlm.cli as cli
    real = cli._version
    monkeypatch.setattr(cli, '_version', lambda p: None if p=='litellm' else real(p))
    assert [o.status for o in check_versions() if o.name=='litellm']==['broken']
    monkeypatch.setattr(cli, '_version', lambda p: '1.82.8' if p=='litellm' else real(p))
    assert 'malware' in str(check_versions())

def test_fetch(capsys):
    rc,out,err = here(capsys, 'fetch', 'local/0.5b', '--source', 'cache')
    assert rc==1 and not out and '0.5b' in err
    rc,out,err = here(capsys, 'fetch', 'no-such')
    assert rc in (1,2) and 'no-such' in err

# going on with a run

def cli(*args, **kw): return subprocess.run([sys.executable,'-m','rlm',*map(str,args)], capture_output=True, text=True, timeout=120, **kw)

def test_resume_after_sigkill(tmp_path):
    "A killed `rlm ask` goes on from its log: the files are read again, what was answered is not asked again"

    (tmp_path/'a.txt').write_text('alpha ' * 400_000)
    (tmp_path/'b.txt').write_text('beta')
    hang = [True]
    def script(req):
        if req.messages[0]['role']!='system': return Reply('seen: '+req.prompt[:5])
        n = sum(o['role']=='assistant' for o in req.messages)
        if n==1 and hang[0]: return Hang()
        return code('s = llm_query_batched([v[:20] for v in context.values()])\nprint(s)') if n==0 else Reply('FINAL_VAR("s")')
    with FakeServer(script) as srv:
        p = subprocess.Popen([sys.executable,'-m','rlm','ask','What?','a.txt','b.txt','--model','openai/m','--base-url',srv.url,'--log','runs/','--quiet'], cwd=tmp_path)
        end = time.monotonic()+60
        while len(srv.requests)<4 and time.monotonic()<end: time.sleep(.05)
        p.kill()
        p.wait()
        hang[0] = False
        log, = (tmp_path/'runs').iterdir()
        r = cli('ask','--resume',log,'--json','--quiet')
        assert r.returncode==0, r.stderr
        d = json.loads(r.stdout)
        assert d['answer']==['seen: alpha','seen: beta'] and d['usage']['calls']==4 and d['log']==str(log) and d['usage']['sub']['calls']==2
        assert len(srv.requests)==5
        r = cli('ask','--resume',log)
        assert r.returncode==0 and 'seen: alpha' in r.stdout and len(srv.requests)==5
        (tmp_path/'b.txt').write_text('gamma')
        r = cli('ask','--resume',log,'--max-steps',60)
        assert r.returncode==0 and len(srv.requests)==5

def test_resume_bad_input(tmp_path):
    (tmp_path/'x.txt').write_text('Dear diary')
    for args,word in (([tmp_path/'none.jsonl'], 'cannot be read'), ([tmp_path/'x.txt'], 'no run in this log'), ([tmp_path/'x.txt','--log','y'], '--resume goes on in the log')):
        r = cli('ask','--resume',*args)
        assert r.returncode==2 and word in r.stderr and not r.stdout, r.stderr
    assert (tmp_path/'x.txt').read_text()=='Dear diary'

def test_how_to_go_on_is_said(tmp_path):
    (tmp_path/'a.txt').write_text('alpha')
    with FakeServer([Fault(401)]) as srv: r = cli('ask','What?',tmp_path/'a.txt','--model','openai/m','--base-url',srv.url,'--log',tmp_path/'a b.jsonl')
    assert r.returncode==1 and f"rlm ask --resume '{tmp_path}/a b.jsonl'" in r.stderr

def test_cache(tmp_path):
    "The same question twice is paid for once"
    with FakeServer(lambda req: code('FINAL(llm_query("Who? "+context[:9]))') if req.messages[0]['role']=='system' else Reply('Achilles')) as srv:
        rs = [cli('ask','Who?','a.txt','--model','openai/m','--base-url',srv.url,'--cache','--json','--quiet') for _ in range(2)]
        assert [r.returncode for r in rs]==[0,0] and len(srv.requests)==2
        d = [json.loads(r.stdout) for r in rs]
        assert [o['usage']['calls'] for o in d]==[2,0] and d[1]['usage']['from_cache']==2 and d[1]['cost']==0 and d[1]['answer']==d[0]['answer']
