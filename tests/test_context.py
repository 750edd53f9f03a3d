"What may and may not be a context, and that text and offsets survive unchanged"
import os,sys,threading,time
from pathlib import Path
import pytest
from rlm.context import *

def msg(f, *args, **kw):
    with pytest.raises(ContextError) as e: f(*args, **kw)
    return str(e.value)

@pytest.mark.parametrize('o', ['', ' \n\t', b'', [], {}, (), [''], {'a':' '}, ['', {'x':'\n'}]])
def test_empty(o): assert 'empty' in msg(load_context, o)

def test_empty_file(tmp_path):
    (tmp_path/'e.txt').write_bytes(b'')
    assert 'e.txt is empty' in msg(load_context, tmp_path/'e.txt')

@pytest.mark.parametrize('o,name', [(42,'int'), (None,'NoneType'), (True,'bool'), ({1,2},'set'), (object(),'object'), (iter([]),'list_iterator'), (print,'builtin_function')])
def test_other_types(o, name):
    m = msg(load_context, o)
    assert name in m and 'A context is a str' in m

def test_table_and_open_file(tmp_path):
    class DataFrame:
        def to_csv(self): ...
    assert 'a DataFrame' in (m := msg(load_context, DataFrame())) and 'to_csv' in m
    class ndarray:
        def tolist(self): ...
    assert 'an ndarray' in (m := msg(load_context, ['a',ndarray()])) and 'tolist()' in m
    assert 'Make a list' in msg(load_context, (o for o in 'ab')) and 'values of a dict' in msg(load_context, ['a',tmp_path])
    (tmp_path/'a').write_text('x')
    with open(tmp_path/'a') as f: assert 'pass its Path' in msg(load_context, f)

@pytest.mark.parametrize('o,where', [
    ([1, 2, {'x':{3}}], "context[2]['x'] is a set"), ({'a':[b'x']}, "context['a'][0] is a bytes"),
    (['a', Path('x')], 'context[1] is a'), ({(1,2):'x'}, 'a tuple for a key'), ({'a':{b'k':'x'}}, 'a bytes for a key')])
def test_nested(o, where): assert where in msg(load_context, o)

def test_plain_values_pass():
    o = {'a':[1, 2.5, None, True, {'b':'text', 3:(1,'x')}], 'nan':float('nan')}
    assert load_context(o) == o

def test_cycles_are_refused():
    a = ['x']; a.append(a)
    assert 'nested deeper' in msg(load_context, a)
    b = {'t':'x'}; b['b'] = [b, b]
    assert 'nested deeper' in msg(load_context, b)

def test_text_is_kept_exactly(tmp_path):
    s = '\ufeffa\r\nb\rc\u2028d\x85e\U0001f600 \ud83d lone\x0c\n'
    assert load_context(s) is s
    t = 'a\r\nb\rc\u2028\U0001f600\n'
    (tmp_path/'a').write_bytes(t.encode())
    assert load_context(tmp_path/'a') == t == load_context(t.encode())

@pytest.mark.parametrize('enc', ['utf-8-sig','utf-16','utf-32'])
def test_byte_order_marks(tmp_path, enc):
    (tmp_path/'a').write_bytes('Zoë\n'.encode(enc))
    assert load_context(tmp_path/'a') == 'Zoë\n'

def test_not_utf8(tmp_path):
    (tmp_path/'a.txt').write_bytes(b'0123456789\xff')
    m = msg(load_context, tmp_path/'a.txt')
    for o in ('a.txt', '0xff', 'offset 10', "encoding='latin-1'", "errors='replace'"): assert o in m
    assert load_context(tmp_path/'a.txt', encoding='latin-1') == '0123456789\xff'
    assert load_context(tmp_path/'a.txt', errors='replace') == '0123456789\ufffd'
    assert load_context({'x':tmp_path/'a.txt'}, encoding='latin-1') == {'x':'0123456789\xff'}

def test_cut_off_character(): assert 'offset 2' in msg(load_context, b'ab\xe2\x82')

@pytest.mark.parametrize('data', [b'\x89PNG\r\n\x1a\n\x00\x00', b'\x7fELF\x02\x01\x01\x00', b'abc\x00def'])
def test_binary(tmp_path, data):
    (tmp_path/'b').write_bytes(data)
    m = msg(load_context, tmp_path/'b')
    assert 'not text' in m and 'latin-1' not in m
    assert 'not text' in msg(load_context, tmp_path/'b', encoding='latin-1')

def test_unknown_names():
    assert 'unknown encoding' in msg(load_context, b'x', encoding='utf-9')
    assert 'unknown error handler' in msg(load_context, b'\xff', errors='never')

def test_files(tmp_path):
    assert 'holds no file that can be read' in msg(load_context, tmp_path)
    assert 'does not exist' in msg(load_context, tmp_path/'no')
    assert 'does not exist' in msg(load_context, [tmp_path/'no'])
    assert 'cannot be read' in msg(load_context, Path('a\0b'))
    assert 'cannot be read' in msg(load_context, Path('a'*5000))
    assert 'cannot be read' in msg(load_context, Path('~nobody_at_all/x'))
    (tmp_path/'f').write_text('x')
    assert 'cannot be read' in msg(load_context, tmp_path/'f'/'g')

def test_no_permission(tmp_path, monkeypatch):
    (tmp_path/'a').write_text('x')
    def no(self): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(Path, 'read_bytes', no)
    assert 'may not be read' in msg(load_context, tmp_path/'a')

@pytest.mark.skipif(not hasattr(os,'mkfifo'), reason='no named pipes here')
def test_pipe(tmp_path):
    os.mkfifo(tmp_path/'p')
    threading.Thread(target=lambda: (tmp_path/'p').write_bytes(b'from a pipe'), daemon=True).start()
    assert load_context(tmp_path/'p') == 'from a pipe'

def test_several_files(tmp_path):
    for o in 'a/x.txt','b/x.txt','b/y.txt': (tmp_path/o).parent.mkdir(exist_ok=True); (tmp_path/o).write_text(o)
    a,b,y = tmp_path/'a/x.txt',tmp_path/'b/x.txt',tmp_path/'b/y.txt'
    assert load_context([a,y]) == {'x.txt':'a/x.txt', 'y.txt':'b/y.txt'}
    assert load_context([a,b]) == {str(a):'a/x.txt', str(b):'b/x.txt'}
    assert load_context([a,a]) == {'x.txt':'a/x.txt'}

def test_looks_like_path(tmp_path):
    (tmp_path/'a.txt').write_text('x')
    assert looks_like_path(str(tmp_path/'a.txt')) and looks_like_path(str(tmp_path))
    for o in ['', 'no such file', 'a\0b', 'x'*300, 'x'*10_000, '~nobody/x', 'a\nb', None, 3, '\ud800']: assert not looks_like_path(o)
    s = str(tmp_path/'a.txt')
    assert load_context(s) is s

def test_flatten_and_back():
    ctx = {'a':'one', 3:['two', {'b':'three', 'n':1}], None:('four',), 'n':None, 0:'five'}
    assert list(flatten({None:'x'}))==[((None,),'x')] and part_of({None:'x'},(None,))=='x'
    parts = list(flatten(ctx))
    assert parts == [('a','one'), ((3,0),'two'), ((3,1,'b'),'three'), ((None,0),'four'), (0,'five')]
    assert all(part_of(ctx,p)==t for p,t in parts)
    assert eval(place((3,1,'b')), {'context':ctx}) == 'three'

def test_sizes():
    assert n_chars(['ab', 10, None]) == 8
    assert [est_tokens(o) for o in (0, 1, 4, 5, 'abcde', ['abcd','e'])] == [0, 1, 1, 2, 2, 2]

@pytest.mark.parametrize('o', ['a', '{x} %s {} {{', '\x1b[31m red \x00 \ud800 ``` >>> ', 'a'*100_000, ['a'], ['', 'b'], [1, 'x'], [[], 'x'],
    {'k'*9000:'v'*9000}, {'a':{'b'*9000:['c'*9000]*3}}, [{'q':'{a}'}, None], {1:2.5}])
def test_describe_any(o):
    s = describe(o)
    assert 0 < len(s) < 1000 and s.isprintable() and s.encode()
    assert describe(o) == s

def test_describe_says(): 
    s = describe('line one\nline two\n'*1000)
    assert '18,000 characters (about 4,500 tokens) in 2,000 lines' in s and "context[:160] == 'line one\\n" in s
    s = describe({'a':'x'*10, 'b':'y'*20, 'c':'z'*60})
    assert 'dict of 3 parts' in s and '10 to 60 characters, the median 20' in s and "Its keys: 'a', 'b', 'c'." in s

def test_large_is_quick():
    s = 'some words in a line é\n'*10_000_000
    t = time.perf_counter()
    assert load_context(s) is s
    describe(s)
    assert time.perf_counter()-t < 5
    del s
    parts = ['a line of a log']*300_000
    t = time.perf_counter()
    describe(load_context(parts))
    assert time.perf_counter()-t < 5

def test_import_is_light():
    import subprocess
    r = subprocess.run([sys.executable,'-c','import sys,rlm.context; print([o for o in ("litellm","numpy","bm25s","IPython") if o in sys.modules])'], capture_output=True, text=True)
    assert r.stdout.strip()=='[]', r.stderr
