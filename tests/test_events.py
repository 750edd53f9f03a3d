"The log: every event, every value, no secret, whole lines"
import json,os,subprocess,sys,threading
import pytest
from rlm.events import *
from rlm.events import Event,Log,LogError,from_json,to_json,read_log,redact,secret_values

class Bad:
    def __str__(self): raise RuntimeError('no text')

loop = []; loop.append(loop)

@pytest.mark.parametrize('v', [3, 'a', None, [1,{'a':2}], float('nan'), '\ud800', {1:2}, {('a',1):{2}}, {1,2}, b'x', 1j, loop, Bad(), {Bad():Bad()}, threading.Lock(), print, '\n{"', object])
def test_any_answer_can_be_written(v):
    line = to_json(RunEnded(answer=v))
    assert '\n' not in line and isinstance(from_json(line), RunEnded)
    if v in (3,'a',None,'\ud800','\n{"') or isinstance(v,list) and v is not loop: assert from_json(line).answer==v

def test_deep_answer():
    o = []
    for _ in range(100_000): o = [o]
    assert isinstance(from_json(to_json(RunEnded(answer=o))), RunEnded)

@pytest.mark.parametrize('cls', Event.__subclasses__())
def test_every_event_comes_back(cls):
    ev = cls(step=2, t=1.5)
    assert from_json(to_json(ev))==ev
    assert from_json(to_json(ev)[:-1]+', "new_field": 3}')==ev

@pytest.mark.parametrize('line', ['', '[]', '3', '{}', '{"event": "Other"}', '{"event": "Event"}', '{"event": "RunEn'])
def test_no_event(line):
    with pytest.raises(ValueError): from_json(line)

def test_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv('FANCY_API_KEY', 'sk-"quoted"\\key')
    monkeypatch.setenv('PATH_TO_KEYBOARD', '/not/secret')
    l = Log(tmp_path/'a.jsonl', secrets=('passed-as-key',None,'short'))
    l.write(Noted(text='sk-"quoted"\\key and passed-as-key and short and /not/secret'))
    l.close()
    s = (tmp_path/'a.jsonl').read_text()
    assert 'quoted' not in s and 'passed-as-key' not in s
    assert read_log(tmp_path/'a.jsonl')[0].text=='[FANCY_API_KEY removed] and [key removed] and short and /not/secret'

def test_half_lines(tmp_path):
    p = tmp_path/'a.jsonl'
    for i in range(2):
        l = Log(p); l.write(RunStarted(id=str(i))); l.close()
        with p.open('a') as f: f.write('{"event": "Noted", "te')
    assert [o.id for o in read_log(p)]==['0','1']
    p.write_text('{"event": "No\n'+to_json(Noted())+'\n')
    with pytest.raises(ValueError, match='line 1'): read_log(p)

def test_on_disk_before_use(tmp_path):
    l = Log(tmp_path/'a'/'b'/'c.jsonl')
    l.write(Noted(text='x'))
    assert read_log(tmp_path/'a'/'b'/'c.jsonl')[0].text=='x'  # not closed, not flushed

def test_unwritable(tmp_path):
    (tmp_path/'file').write_text('')
    for p in (tmp_path, tmp_path/'file'/'a.jsonl'):
        with pytest.raises(LogError, match='cannot be written'): Log(p)

def test_threads_write_whole_lines(tmp_path):
    log = Log(tmp_path/'a.jsonl')
    def work(i):
        for j in range(50): log.write(Noted(kind=str(i), text=str(j)*5000))
    ts = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in ts: t.start()
    for t in ts: t.join()
    evs = read_log(tmp_path/'a.jsonl')
    assert len(evs)==400 and all([o.text for o in evs if o.kind==str(i)]==[str(j)*5000 for j in range(50)] for i in range(8))

def test_one_run_writes_a_log(tmp_path):
    log = Log(tmp_path/'a.jsonl')
    with pytest.raises(LogError, match='by another run'): Log(tmp_path/'a.jsonl')
    log.close()
    Log(tmp_path/'a.jsonl').close()

@pytest.mark.parametrize('n', [1, 15, 70_000, 200_000])
def test_half_a_line_is_cut_off(tmp_path, n):
    p = tmp_path/'a.jsonl'
    log = Log(p)
    log.write(Noted(text='one'))
    log.close()
    whole = p.read_bytes()
    p.write_bytes(whole+to_json(Noted(text='x'*300_000)).encode()[:n])
    assert [o.text for o in read_log(p)]==['one']
    log = Log(p)
    log.write(Noted(text='two'))
    log.close()
    assert [o.text for o in read_log(p)]==['one','two'] and p.read_bytes().startswith(whole)

@pytest.mark.parametrize('text', ['Dear diary', '{"a": 1}\n', '\n', '{"event'*3, 'x'*100])
def test_other_files_are_left_alone(tmp_path, text):
    p = tmp_path/'notes.txt'
    p.write_text(text)
    with pytest.raises(LogError, match='no log of rlm'): Log(p)
    assert p.read_text()==text

def test_log_in_a_folder(tmp_path):
    for folder in (tmp_path, f'{tmp_path}/new/'):
        log = Log(folder, name='run7')
        log.close()
        assert log.path.name=='run7.jsonl' and log.path.exists()

@pytest.mark.skipif(os.name=='nt', reason='needs fork')
def test_a_closed_log_is_free_at_once(tmp_path):
    "Also while a process that was started in between still holds the file"
    log = Log(tmp_path/'a.jsonl')
    p = subprocess.Popen([sys.executable,'-c','input()'], stdin=subprocess.PIPE, pass_fds=[log.f.fileno()])
    try:
        log.close()
        log.close()
        Log(tmp_path/'a.jsonl').close()
    finally: p.communicate(b'\n')
