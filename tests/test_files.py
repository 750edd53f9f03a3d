"Files of every kind, alone and in folders, and what becomes of those that cannot be read"
import builtins,gzip,http.server,io,json,os,shutil,stat,subprocess,sys,threading,time,warnings,zipfile
from pathlib import Path
import pytest
import rlm.files as rf
from documents import docx,pdf,pptx,xlsx,zip_of
from rlm import RLM
from rlm.cli import BadInput,read_context
from rlm.context import ContextError,Files,describe,fingerprint,flatten,is_chat,load_context,load_source,n_chars,part_of,place,source_of
from rlm.files import FileMap,FileText,fetch,glob_match,plain,read_value
from rlm.lm import ScriptedLM
from rlm.search import Index
from rlm.tools import prep_shell

def msg(f, *args, **kw):
    with pytest.raises(ContextError) as e: f(*args, **kw)
    return str(e.value)

def tree(root, **files):
    return tree_of(root, {k.replace('__','/'):v for k,v in files.items()})

def tree_of(root, files):
    for k,v in files.items():
        p = Path(root)/k
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(v if isinstance(v,bytes) else v.encode())
    return Path(root)

def without(monkeypatch, *names):
    "As if these packages were not installed"
    real = builtins.__import__
    def no(name, *a, **kw):
        if name.split('.')[0] in names: raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *a, **kw)
    for o in [o for o in sys.modules if o.split('.')[0] in names]: monkeypatch.delitem(sys.modules, o)
    monkeypatch.setattr(builtins, '__import__', no)
    import importlib
    real_import = importlib.import_module
    monkeypatch.setattr(importlib, 'import_module', lambda name, *a: no(name) if name.split('.')[0] in names else real_import(name, *a))

# Documents

def test_pdf(tmp_path):
    (tmp_path/'a.pdf').write_bytes(pdf('The ferry left at noon.\nIt was late.', 'Page two (really)'))
    s = load_context(tmp_path/'a.pdf')
    assert 'The ferry left at noon.\nIt was late.' in s and s.index('\x0c')<s.index('Page two (really)')
    d = describe(s)
    assert d.startswith('`context` is a str of') and 'a.pdf, as Markdown, of 2 pages' in d and type(plain(s)) is str

def test_pdf_that_cannot_be_read(tmp_path):
    tree_of(tmp_path, {'scan.pdf':pdf('',''), 'lock.pdf':pdf('secret', password='x'), 'bad.pdf':b'%PDF-1.4 cut'})
    assert 'scan.pdf has no text' in (m:=msg(load_context, tmp_path/'scan.pdf')) and 'ocrmypdf' in m
    assert 'lock.pdf is protected by a password' in msg(load_context, tmp_path/'lock.pdf')
    assert 'damaged' in msg(load_context, tmp_path/'bad.pdf')

def test_pages_without_text(tmp_path):
    (tmp_path/'a.pdf').write_bytes(pdf('One','','Three'))
    assert '3 pages' in (d:=describe(load_context(tmp_path/'a.pdf'))) and '1 without text' in d

def test_office(tmp_path):
    tree_of(tmp_path, {'a.docx':docx('Hello','World', table=[('boat','tons'),('Alma','12')]), 'b.pptx':pptx('Ferries','Fares')})
    s = load_context(tmp_path/'a.docx')
    assert s.startswith('Hello\n\nWorld') and '| Alma | 12 |' in s
    assert '# Ferries' in (p:=load_context(tmp_path/'b.pptx')) and '# Fares' in p

def test_epub(tmp_path):
    (tmp_path/'a.epub').write_bytes(zip_of({'META-INF/container.xml':'<container><rootfiles><rootfile full-path="o.opf"/></rootfiles></container>',
        'o.opf':'<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Fog</dc:title></metadata><manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="c"/></spine></package>',
        'c.xhtml':'<html><body><p>The ferry stayed.</p></body></html>'}))
    assert 'The ferry stayed.' in load_context(tmp_path/'a.epub')

@pytest.mark.parametrize('name,data,says', [('a.docx',b'PK no','damaged'), ('a.docx',bytes.fromhex('d0cf11e0a1b11ae1')+bytes(600),'password'), ('a.xlsx',bytes.fromhex('d0cf11e0a1b11ae1')+bytes(600),'password'),
    ('a.doc',bytes.fromhex('d0cf11e0a1b11ae1')+bytes(600),'.docx'), ('a.pptx',b'','damaged'), ('a.docx',docx(),'no text'), ('a.parquet',b'PAR1','damaged'), ('a.zip',b'no','damaged')])
def test_documents_that_cannot_be_read(tmp_path, name, data, says):
    (tmp_path/name).write_bytes(data)
    m = msg(load_context, tmp_path/name)
    assert says in m and name in m

def test_office_bomb(tmp_path):
    (tmp_path/'a.docx').write_bytes(zip_of({'word/document.xml':b'0'*30_000_000}))
    assert 'would unpack to 30,000,000 bytes' in msg(Files(tmp_path/'a.docx', max_bytes=10_000_000).load)

def test_html(tmp_path):
    tree(tmp_path, **{'a.html':'<html><head><script>evil()</script></head><body><h1>Fares</h1><p>Adults 40</p></body></html>'})
    assert load_context(tmp_path/'a.html') == '# Fares\n\nAdults 40'
    assert 'evil' in Files(tmp_path/'a.html', data=False).load()
    assert 'evil' in load_context(tmp_path)['a.html']
    (tmp_path/'l.html').write_bytes('<meta charset="iso-8859-1"><p>Größe</p>'.encode('latin-1'))
    assert 'not utf-8' in msg(load_context, tmp_path/'l.html') and load_context(tmp_path/'l.html', encoding='latin-1')=='Größe'

def test_documents_are_quiet_and_offline(tmp_path):
    "In a process of its own where a connection raises"
    tree_of(tmp_path, {'a.pdf':pdf('Fog'), 'b.docx':docx('Fog'), 'c.html':'<p>https://www.youtube.com/watch?v=1</p><img src="http://127.0.0.1:9/x.png">', 'd.pptx':pptx('Fog'), 'e.xlsx':xlsx(A=[('a',),(1,)])})
    code = f'''import socket
def no(*a, **kw): raise AssertionError('network')
socket.socket.connect = socket.getaddrinfo = no
from pathlib import Path
from rlm.context import load_context
print([type(load_context(p)).__name__ for p in sorted(Path({str(tmp_path)!r}).iterdir())])'''
    r = subprocess.run([sys.executable,'-c',code], capture_output=True, text=True)
    assert r.stdout.strip()=="['FileText', 'FileText', 'FileText', 'FileText', 'DataFrame']" and not r.stderr, r.stderr

def test_missing_extra(tmp_path, monkeypatch):
    tree_of(tmp_path, {'a.pdf':pdf('Fog'), 'a.csv':'a,b\n1,2\n', 'a.html':'<p>x</p>', 'b.parquet':b'PAR1', 'c.xlsx':xlsx(A=[('a',),(1,)]), 'n/.gitignore':'*.log\n', 'n/a.txt':'x'})
    without(monkeypatch, 'markitdown','pandas','pathspec')
    assert 'pip install "rlm[files]"' in msg(load_context, tmp_path/'a.pdf') and 'pip install "rlm[files]"' in msg(load_context, tmp_path/'n') and 'gitignore=False' in msg(load_context, tmp_path/'n')
    for o in 'b.parquet','c.xlsx': assert 'pip install "rlm[tables]"' in msg(load_context, tmp_path/o)
    s = load_context(tmp_path/'a.csv')
    assert s=='a,b\n1,2\n' and 'rlm[tables]' in describe(s)
    assert load_context(tmp_path/'a.html')=='<p>x</p>' and 'rlm[files]' in describe(load_context(tmp_path/'a.html'))
    m = Files(tmp_path, gitignore=False).load()
    assert dict(m.unread)=={'a.pdf':'needs pip install "rlm[files]"', 'b.parquet':'needs pip install "rlm[tables]"', 'c.xlsx':'needs pip install "rlm[files]"'}

# Data

@pytest.mark.parametrize('text,value', [('{"a":[1,NaN]}',None), ('[1,2]',[1,2]), ('\ufeff{"a":1}',{'a':1}), ('{"a":1}\n{"b":2}\n',[{'a':1},{'b':2}])])
def test_json(text, value):
    got = read_value(text.encode(), 'x.json')
    assert got==value if value else got['a'][0]==1 and got['a'][1]!=got['a'][1]

@pytest.mark.parametrize('text,says', [('{"a": 1,}','not valid JSON'), ('{"a": 1}\n{', 'not valid JSON'), ('['*100+']'*100,'nested deeper'), ('['*100_000,'not valid JSON'), ('// c\n{}','not valid JSON')])
def test_json_that_is_none(text, says):
    got = read_value(text.encode(), 'x.json')
    assert got==text and says in describe(got)

def test_json_scalars_stay_text(): assert read_value(b'"fog"', 'x.json')=='"fog"' and read_value(b'42', 'x.json')=='42'
def test_empty_json(tmp_path):
    (tmp_path/'a.json').write_text('[]')
    assert 'a.json is empty' in msg(load_context, tmp_path/'a.json')

def test_jsonl():
    assert read_value(b'{"a":1}\r\n\n[2]\n"x"', 'x.jsonl')==[{'a':1},[2],'x']
    got = read_value(b'{"a":1}\nfog', 'x.ndjson')
    assert isinstance(got,str) and 'line 2' in describe(got)

def test_data_option(tmp_path):
    tree_of(tmp_path, {'a.json':'{"a":1}', 'b.csv':'a,b\n1,2\n', 'd/c.json':'[1]', 'd/d.csv':'a,b\n1,2\n'})
    kinds = lambda **kw: [type(v).__name__ for v in Files('a.json','b.csv','d', base=tmp_path, **kw).load().values()]
    assert kinds()==['dict','DataFrame','str','str'] and kinds(data=False)==['str']*4 and kinds(data=True)==['dict','DataFrame','list','DataFrame']

# Chats

chat = [dict(role='user', content='Is there fog?')]+[dict(role='assistant', content='Yes. '*9), dict(role='user', content=[dict(type='text', text='Until when?')])]*20
def test_chat(tmp_path):
    assert is_chat(chat) and not is_chat(chat[:1]) and not is_chat([*chat,'x']) and not is_chat([dict(role='captain', content='x')]*2) and not is_chat([dict(role='user')]*2)
    (tmp_path/'c.jsonl').write_text('\n'.join(map(json.dumps, chat)))
    d = describe(load_context(tmp_path/'c.jsonl'))
    assert 'a list of 41 chat messages (21 user, 20 assistant)' in d and "context[0]['content'] == 'Is there fog?'" in d and "context[-1]['content'][0]['text'] == 'Until when?'" in d
    assert load_context(chat)==chat

# Folders

def test_folder(tmp_path):
    tree_of(tmp_path, {'b.md':'# B', 'a/x.py':'x = 1', 'a/empty.py':'', 'pic.png':b'\x89PNG\0', 'raw':b'a\0b', 'old.txt':'Zoë'.encode('latin-1'), 'wide.txt':'Zoë'.encode('utf-16'), '.git/config':'x', 'node_modules/m/i.js':'x',
        'v/pyvenv.cfg':'', 'v/lib.py':'x', '.env':'KEY=1', 'id_rsa':'k', '.env.example':'KEY=', 'r.pdf':pdf('Fog'), '.github/w.yml':'on: push', 'Thumbs.db':'x'})
    m = load_context(tmp_path)
    assert list(m)==['.env.example','.github/w.yml','a/empty.py','a/x.py','b.md','r.pdf','wide.txt'] and m['wide.txt']=='Zoë' and 'Fog' in m['r.pdf']
    assert dict(m.unread)=={'pic.png':'image not named by itself', 'raw':'binary', 'old.txt':'not utf-8', '.env':'may hold secrets', 'id_rsa':'may hold secrets'} and sum(m.left.values())==3
    d = describe(m)
    for o in ('7 files', '2 .py', '1 binary', '1 image not named', '1 not utf-8', "'old.txt'", 'version control', "'b.md'", 'r.pdf, as Markdown'): assert o in d, d
    assert len(d)<2500 and d.isprintable()
    assert load_context(tmp_path, encoding='latin-1')['old.txt']=='Zoë'
    assert 'KEY' in load_context(tmp_path/'.env')

def test_gitignore(tmp_path):
    tree_of(tmp_path, {'.git/info/exclude':'mine.txt\n', '.gitignore':'*.log\nbuild/\n/top.txt\n!keep.log\n# c\n\n', 'a.log':'x', 'keep.log':'x', 'build/o.txt':'x', 'top.txt':'x', 'd/top.txt':'x', 'd/.gitignore':'*.txt\n!b.txt\n', 'd/a.txt':'x',
        'd/b.txt':'x', 'd/e/c.txt':'x', 'mine.txt':'x', 'src/build/x.py':'x', 'src/y.log':'x'})
    m = load_context(tmp_path)
    assert [o for o in m if not o.endswith('.gitignore')]==['d/b.txt','keep.log']
    assert 'ignored by .gitignore' in describe(m)
    assert list(load_context(tmp_path/'d'))==['.gitignore','b.txt']  # the rules above it hold
    assert list(load_context(tmp_path/'build'))==['o.txt']  # named by the user
    assert 'a.log' in Files(tmp_path, gitignore=False).load()
    assert list(Files('**/*.txt', base=tmp_path).load())==['d/b.txt']

@pytest.mark.skipif(os.name=='nt', reason='links need a right there')
def test_links(tmp_path):
    out = tree_of(tmp_path/'out', {'secret.txt':'x'})
    d = tree_of(tmp_path/'d', {'a.txt':'a', 's/b.txt':'b'})
    for k,v in dict(up=d, out=out, leak=out/'secret.txt', ok=d/'a.txt', none=d/'nothing').items(): (d/k).symlink_to(v)
    (d/'s'/'loop').symlink_to(d/'s'/'loop')
    (tmp_path/'link').symlink_to(d)
    m = load_context(d)
    assert dict(m)=={'a.txt':'a', 'ok':'a', 's/b.txt':'b'} and {k for k,_ in m.unread}=={'up','out','leak','none','s/loop'}
    assert 'does not exist' in msg(load_context, d/'none')
    (d/'.gitignore').write_text('s/\n')
    assert list(load_context(tmp_path/'link'))==['.gitignore','a.txt','ok']  # the folder itself may be reached by a link

@pytest.mark.skipif(not hasattr(os,'mkfifo'), reason='no named pipes here')
def test_no_pipe_is_opened_in_a_folder(tmp_path):
    tree(tmp_path, a='x')
    os.mkfifo(tmp_path/'p')
    assert dict(load_context(tmp_path).unread)=={'p':'no regular file'}

def test_limits(tmp_path):
    tree_of(tmp_path, {f'{i}.txt':'x'*100 for i in range(20)})
    assert 'more than 19 files' in (m:=msg(Files(tmp_path, max_files=19).load)) and 'max_files=76' in m
    assert 'more than 1,999 bytes' in msg(Files(tmp_path, max_bytes=1999).load)
    assert len(Files(tmp_path, max_files=20, max_bytes=2000).load())==20
    assert 'too many to go through' in msg(Files('*.none', base=tree_of(tmp_path/'n', {f'{i}':'' for i in range(61)}), max_files=2).load)
    assert 'max_files must be' in msg(Files, tmp_path, max_files=0) and 'max_bytes must be' in msg(Files, tmp_path, max_bytes=True) and 'names nothing' in msg(Files)

def test_vanishing_and_changing(tmp_path, monkeypatch):
    tree(tmp_path, a='gone soon', b='stays', c='no')
    real = Path.read_bytes
    def read(self):
        if self.name=='a': os.remove(self)
        if self.name=='c': raise PermissionError(13, 'Permission denied')
        data = real(self)
        if self.name=='b' and data==b'stays': self.write_bytes(b'stays, and more')
        return data
    monkeypatch.setattr(Path, 'read_bytes', read)
    m = load_context(tmp_path)
    assert dict(m)=={'b':'stays, and more'} and [k for k,_ in m.unread]==['a','c'] and 'vanished' in m.unread[0][1]

def test_nothing_there(tmp_path):
    assert 'holds no file' in msg(load_context, tmp_path)
    tree_of(tmp_path, {'a.png':b'\0', '.git/x':'x'})
    assert 'could not be read, such as a.png (image not named by itself)' in msg(load_context, tmp_path)
    assert 'holds no file' in msg(load_context, tmp_path/'*.md') and 'there is no folder' in msg(load_context, tmp_path/'no'/'*.md')
    (tmp_path/'a.txt').write_text(' ')
    assert 'is empty' in msg(load_context, tmp_path)

def test_one_bad_name(tmp_path):
    "A name that is no text"
    if sys.platform!='linux': pytest.skip('file systems elsewhere refuse such names')
    (tmp_path/'a.txt').write_text('x')
    with open(os.fsencode(tmp_path)+b'/b\xff.txt', 'w') as f: f.write('y')
    m = load_context(tmp_path)
    assert len(m)==2 and describe(m).encode('utf-8')
    with prep_shell(m, model=ScriptedLM([])) as sh: assert sh.run_cell('sorted(context.values())').value=="['x', 'y']"

@pytest.mark.parametrize('pattern,yes,no', [('*.py',['a.py'],['b/a.py','a.pyc']), ('**/*.py',['a.py','b/c/a.py'],['a.txt']), ('src/**',['src/a','src/b/c'],['a']), ('[!a]?.t[x-z]t',['bc.txt'],['ab.txt','b.txt']), ('a.b*',['a.bc'],['aXbc']), ('x[',['x['],['x'])])
def test_glob(pattern, yes, no):
    assert all(map(glob_match(pattern), yes)) and not any(map(glob_match(pattern), no))

def test_a_name_with_wildcards(tmp_path):
    tree_of(tmp_path, {'a[1].txt':'x', 'a1.txt':'y'})
    assert load_context(tmp_path/'a[1].txt')=='x'

def test_names_of_several(tmp_path):
    tree_of(tmp_path, {'a/x.txt':'1', 'b/x.txt':'2', 'd/y.txt':'3', 't.csv':'a,b\n1,2\n'})
    assert list(Files('a/x.txt','d','t.csv', base=tmp_path).load())==['x.txt','d/y.txt','t.csv']
    assert list(Files('a/x.txt','b/x.txt','a/x.txt', base=tmp_path).load())==['a/x.txt','b/x.txt']
    assert list(Files('a','b', base=tmp_path).load())==['a/x.txt','b/x.txt'] and list(load_context([tmp_path/'a']))==['a/x.txt'] and list(Files('.', base=tmp_path).load())[0]=='a/x.txt'
    assert load_context({'one':tmp_path/'a'/'x.txt', 'all':tmp_path/'a', 'few':Files('b', base=tmp_path)})=={'one':'1', 'all':{'x.txt':'1'}, 'few':{'x.txt':'2'}}

# Archives

def test_zip(tmp_path):
    (tmp_path/'a.zip').write_bytes(zip_of({'p/b.md':'B', 'p/a.py':'A', '../../up.txt':'x', '/abs.txt':'x', 'C:/w.txt':'x', '.git/c':'x', '__MACOSX/q':'x', 'i.png':b'\0', 'r.pdf':pdf('Fog'), 'l.txt':'ö'.encode('latin-1'), 'n.zip':zip_of({'a':'x'})}))
    m = load_context(tmp_path/'a.zip')
    assert {k:v for k,v in m.items() if k!='r.pdf'}=={'p/a.py':'A', 'p/b.md':'B'} and 'Fog' in m['r.pdf']
    why = dict(m.unread)
    assert why['../../up.txt']==why['C:/w.txt']==why['/abs.txt']=='name that leads out of the archive' and why['i.png']=='image not named by itself' and why['n.zip']=='binary' and why['l.txt']=='not utf-8' and sum(m.left.values())==2
    (tmp_path/'x.txt').write_text('x')
    assert list(Files('x.txt','a.zip', base=tmp_path).load())[:3]==['x.txt','a.zip/p/a.py','a.zip/p/b.md']
    assert not (tmp_path.parent/'up.txt').exists()

def test_zip_bomb(tmp_path):
    (tmp_path/'a.zip').write_bytes(zip_of({'big.txt':b'0'*30_000_000}))
    assert 'more than 1,000,000 bytes' in msg(Files(tmp_path/'a.zip', max_bytes=1_000_000).load)
    (tmp_path/'b.zip').write_bytes(zip_of({f'{i}':b'x' for i in range(50)}))
    assert 'more than 40 files' in msg(Files(tmp_path/'b.zip', max_files=40).load)

def test_zip_that_lies(tmp_path):
    data = zip_of({'big.txt':b'0'*1_000_000, 'b.txt':'fine'})
    real = (1_000_000).to_bytes(4,'little')
    assert data.count(real)==2
    (tmp_path/'a.zip').write_bytes(data.replace(real, (10).to_bytes(4,'little')))
    m = load_context(tmp_path/'a.zip')
    assert m['b.txt']=='fine' and 'damaged' in dict(m.unread)['big.txt']

def test_zip_links_and_passwords(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as z:
        link = zipfile.ZipInfo('link')
        link.external_attr = (stat.S_IFLNK|0o777)<<16
        z.writestr(link, '/etc/passwd')
        z.writestr('a.txt', 'x')
        z.writestr('locked.txt', 'x')
    data = bytearray(out.getvalue())
    i = data.rindex(b'PK\x01\x02')
    data[i+8] |= 1
    (tmp_path/'a.zip').write_bytes(bytes(data))
    assert dict(load_context(tmp_path/'a.zip').unread)=={'link':'link', 'locked.txt':'protected by a password'}

# Addresses

class Server:
    "A server on this machine that answers by path"
    def __init__(self, pages):
        class H(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status,head,body = pages[self.path]
                self.send_response(status)
                for k,v in head.items(): self.send_header(k, v)
                self.end_headers()
                for b in [body] if isinstance(body,bytes) else body:
                    try: self.wfile.write(b); self.wfile.flush()
                    except OSError: return
            def log_message(self, *a): pass
        self.s = http.server.ThreadingHTTPServer(('127.0.0.1',0), H)
        self.url = f'http://127.0.0.1:{self.s.server_address[1]}'
        threading.Thread(target=self.s.serve_forever, daemon=True).start()
    def __enter__(self): return self
    def __exit__(self, *a): self.s.shutdown(); self.s.server_close()

def slow(n):
    for _ in range(n): time.sleep(.2); yield b'x'

pages = {'/a.txt':(200,{'Content-Type':'text/plain; charset=iso-8859-1'},'Größe'.encode('latin-1')), '/h':(200,{'Content-Type':'text/html'},b'<body><h1>Fog</h1></body>'), '/d.json':(200,{},b'[1]'), '/t':(200,{'Content-Type':'text/csv'},b'a,b\n1,2\n'),
    '/to':(302,{'Location':'/a.txt'},b''), '/loop':(302,{'Location':'/loop'},b''), '/file':(302,{'Location':'file:///etc/passwd'},b''), '/no':(404,{},b''), '/gz':(200,{'Content-Encoding':'gzip','Content-Type':'text/plain'},gzip.compress(b'fog')),
    '/bomb':(200,{'Content-Encoding':'gzip'},gzip.compress(b'0'*9_000_000)), '/big':(200,{},b'0'*2_000_000), '/slow':(200,{},slow(50)), '/z':(200,{'Content-Type':'application/zip'},zip_of({'a.txt':'in the archive'})), '/p?q=a%20b&c=%C3%B6':(200,{},b'asked'), '/pdf':(200,{'Content-Type':'application/pdf'},pdf('Fog'))}

def test_urls(monkeypatch):
    monkeypatch.delenv('RLM_OFFLINE', raising=False)
    with Server(pages) as s:
        get = lambda p, **kw: Files(s.url+p, urls=True, private=True, **kw).load()
        assert get('/a.txt')==get('/to')=='Größe' and get('/h')=='# Fog' and get('/d.json')==[1] and get('/t').shape==(1,2) and get('/gz')=='fog' and get('/z')=={'a.txt':'in the archive'} and get('/p?q=a b&c=ö')=='asked'
        assert 'Fog' in (p:=get('/pdf')) and s.url in p.note
        assert 'more than 5 redirects' in msg(get, '/loop') and 'not http or https' in msg(get, '/file') and 'says 404' in msg(get, '/no')
        assert 'larger than 1,000,000 bytes' in msg(get, '/big', max_bytes=1_000_000) and 'larger than' in msg(get, '/bomb', max_bytes=1_000_000)
        assert 'not here after' in msg(fetch, s.url+'/slow', private=True, timeout=.7)
        assert 'urls=True' in msg(Files(s.url).load) and 'this machine or in its network' in msg(Files(s.url, urls=True).load)

def test_redirects_are_checked(monkeypatch):
    "A server that may be asked leads to one that may not"
    real = rf._checked_address
    with Server({'/':(302,{'Location':'/x'},b''), '/x':(302,{'Location':'http://127.0.0.1:1/keys'},b'')}) as s:
        port = s.s.server_address[1]
        def check(url, host, p, private): return real(url, '127.0.0.1', port, True) if host=='ferries.example' else real(url, host, p, private)
        monkeypatch.setattr(rf, '_checked_address', check)
        monkeypatch.delenv('RLM_OFFLINE', raising=False)
        assert 'http://127.0.0.1:1/keys: 127.0.0.1 is 127.0.0.1, on this machine' in msg(fetch, f'http://ferries.example:{port}/')

@pytest.mark.parametrize('ip', ['127.0.0.1','10.1.2.3','192.168.0.1','169.254.169.254','0.0.0.0','::1','fe80::1','fd00::1','::ffff:10.0.0.1','100.64.0.1','224.0.0.1'])
def test_private_addresses(monkeypatch, ip):
    monkeypatch.delenv('RLM_OFFLINE', raising=False)
    monkeypatch.setattr(rf.socket, 'getaddrinfo', lambda *a, **kw: [(2,1,6,'',('93.184.216.34',80)), (10,1,6,'',(ip,80))])
    assert 'this machine or in its network' in msg(fetch, 'http://two-faced.example/')

def test_urls_are_never_fetched_by_chance(monkeypatch):
    monkeypatch.setattr(rf, 'fetch', lambda *a, **kw: pytest.fail('fetched'))
    assert load_context('https://example.com/')=='https://example.com/' and load_context(['https://example.com/'])==['https://example.com/']
    with pytest.warns(UserWarning, match='urls=True'): prep_shell('https://example.com/', model=ScriptedLM([]), isolation='none').close()
    assert 'urls=True' in msg(load_context, Files('https://example.com/'))
    with pytest.raises(BadInput, match='--urls'): read_context(['https://example.com/'])

def test_offline(monkeypatch):
    monkeypatch.setenv('RLM_OFFLINE', '1')
    assert 'RLM_OFFLINE' in msg(fetch, 'https://example.com/') and 'RLM_OFFLINE' in msg(fetch, 'http://10.0.0.1/', private=True)
    with Server(pages) as s: assert fetch(s.url+'/d.json', private=True)[0]==b'[1]'

# Searching, staging, going on

def test_search_gives_paths(tmp_path):
    tree_of(tmp_path, {'a/fog.md':'There was fog on the sound.', 'b.md':'The ferry was sold to Torvik.', 't.json':'{"x": "herring"}'})
    m = load_context([tmp_path/'a', tmp_path/'b.md', tmp_path/'t.json'])
    ix = Index(m)
    h = ix.search('fog', 1)[0]
    assert h.part=='a/fog.md' and m[h.part][h.start:h.end]==h.text and repr(h).startswith("context['a/fog.md'][0:")
    h = ix.search('herring', 1)[0]
    assert h.part==('t.json','x') and part_of(m, h.part)[h.start:h.end]==h.text
    assert all(part_of(m,p)==t for p,t in flatten(m))

@pytest.mark.parametrize('isolation', ['auto','none'])
def test_in_the_shell(tmp_path, isolation):
    tree_of(tmp_path, {'n/a.md':'# A', 'n/r.pdf':pdf('Fog')})
    m = load_context([tmp_path/'n'])
    with prep_shell(m, model=ScriptedLM([]), isolation=isolation) as sh:
        assert sh.run_cell('type(context).__name__, [type(o).__name__ for o in context.values()], sorted(context)').value=="('dict', ['str', 'str'], ['n/a.md', 'n/r.pdf'])"
        sh.run_cell('context.clear()')
    assert len(m)==2

def test_run_and_resume(tmp_path):
    d = tree_of(tmp_path/'docs', {'a.md':'The ferry was sold.', 'b/c.md':'To Torvik.'})
    a = RLM(ScriptedLM(['```python\nprint(sorted(context))\n```','```python\nbuyer = context["b/c.md"]\nprint(buyer)\n```']), isolation='none', log=tmp_path/'run.jsonl')('Who bought it?', d)
    assert a.status=='error' and "a dict of 2 files" in a.trajectory[0].context
    b = RLM.resume(tmp_path/'run.jsonl', model=ScriptedLM(['FINAL_VAR("buyer")']))
    assert b.answer=='To Torvik.' and b.ok
    (d/'b'/'c.md').write_text('To Halm.')
    with pytest.raises(ContextError, match='docs has changed since'): RLM.replay(tmp_path/'run.jsonl')

@pytest.mark.parametrize('make', [lambda d: d/'docs', lambda d: [d/'docs', d/'t.csv'], lambda d: Files('docs','t.csv', base=d, data=False), lambda d: d/'*.csv', lambda d: d/'z.zip', lambda d: d/'t.csv', lambda d: [d/'docs'/'x.md', d/'other'/'x.md'],
    lambda d: d/'r.pdf', lambda d: Files('docs', base=d, gitignore=False, max_files=7)], ids='folder list no-data glob zip table same-names pdf no-gitignore'.split())
def test_sources(tmp_path, monkeypatch, make):
    "From another folder, by what the log holds"
    d = tree_of(tmp_path, {'docs/x.md':'X', 'docs/.gitignore':'y.md\n', 'docs/y.md':'Y', 'other/x.md':'O', 't.csv':'a,b\n1,2\n', 'z.zip':zip_of({'a':'A'}), 'r.pdf':pdf('Fog')})
    o = make(d)
    ctx = load_context(o)
    src = json.loads(json.dumps(source_of(o, ctx, keep=0)))
    (tmp_path/'cwd').mkdir()
    monkeypatch.chdir(tmp_path/'cwd')
    assert fingerprint(load_source(src))==fingerprint(ctx) and 'value' not in src
    shutil.rmtree(d/'docs'); tree_of(d, {'docs/x.md':'changed', 'other/x.md':'changed', 't.csv':'a,b\n1,3\n', 'z.zip':zip_of({'a':'B'}), 'r.pdf':pdf('Sun')})
    assert 'has changed since' in msg(load_source, src)

def test_relative_names_twice(tmp_path, monkeypatch):
    "Files of one name go by their paths, also when they are read again from elsewhere"
    tree_of(tmp_path, {'a/x.txt':'1', 'b/x.txt':'2'})
    monkeypatch.chdir(tmp_path)
    o = [Path('a/x.txt'), Path('b/x.txt')]
    src = source_of(o, load_context(o))
    monkeypatch.chdir('/')
    assert load_source(src)=={'a/x.txt':'1', 'b/x.txt':'2'}

# The command line

def test_cli_mixes(tmp_path, monkeypatch):
    tree_of(tmp_path, {'docs/a.md':'A', 'r.pdf':pdf('Fog'), 't.csv':'a,b\n1,2\n', 'one.txt':'text', 's p.txt':'', 'lock.pdf':pdf('x', password='y')})
    monkeypatch.chdir(tmp_path)
    m = read_context(['docs/','r.pdf','t.csv','-'], stdin=io.StringIO('from stdin'))
    assert list(m)==['docs/a.md','r.pdf','t.csv','stdin'] and m['t.csv'].shape==(1,2) and m['stdin']=='from stdin'
    assert type(read_context(['one.txt'])) is str and read_context(['t.csv'], data=False)=='a,b\n1,2\n'
    for files,kw,says in [(['s p.txt'],{},'s p.txt: empty'), (['docs'],dict(max_files=1),None), (['docs','t.csv'],dict(max_bytes=0),'--max-bytes must be'), (['.'],dict(max_files=2),'--max-files 8'), (['lock.pdf'],{},'password'), (['no.pdf'],{},'does not exist')]:
        if says is None: assert read_context(files, **kw); continue
        with pytest.raises(BadInput) as e: read_context(files, **kw)
        assert says in str(e.value)

def test_cli_ends_before_anything_is_asked(tmp_path):
    tree_of(tmp_path, {'lock.pdf':pdf('x', password='y'), 'l.txt':'ö'.encode('latin-1'), 'd/a.png':b'\0'})
    def ask(*args):
        r = subprocess.run([sys.executable,'-m','rlm','ask','Q?',*args,'--model','openai/fake','--base-url','http://127.0.0.1:9/v1'], cwd=tmp_path, capture_output=True, text=True, env={**os.environ,'PYTHONPATH':str(Path(rf.__file__).parent.parent)})
        return r.returncode,r.stdout,' '.join(r.stderr.split())
    for args,says in [(['lock.pdf'],'password'), (['l.txt'],'--encoding latin-1'), (['d'],'holds no file that can be read'), (['http://127.0.0.1/'],'--urls')]:
        code,out,err = ask(*args)
        assert (code,out)==(2,'') and says in err and 'Traceback' not in err, err

def test_cli_log_and_resume(tmp_path, monkeypatch, capsys):
    from rlm.cli import ask,parse
    tree_of(tmp_path, {'docs/a.md':'The ferry was sold.', 't.csv':'a,b\n1,2\n'})
    monkeypatch.chdir(tmp_path)
    ask(parse(['ask','Sold?','docs','t.csv','--isolation','none','--log','run.jsonl','-q'])[1], ScriptedLM(['```python\nn = int(context["t.csv"].b.sum())\nprint(n)\n```']))
    monkeypatch.chdir('/')
    assert ask(parse(['ask','--resume',str(tmp_path/'run.jsonl'),'-q'])[1], ScriptedLM(['FINAL_VAR("n")']))==0
    assert capsys.readouterr().out.strip()=='2'

def test_progress(tmp_path, capsys):
    from rlm.cli import _say_what_is_read
    tree_of(tmp_path, {'a.txt':'x', 'd/r.pdf':pdf('Fog'), 't.docx':docx('Fog')})
    seen = []
    Files('a.txt','d','t.docx', base=tmp_path, progress=seen.append).load()
    assert seen==['r.pdf','t.docx']
    _say_what_is_read()('soon.pdf')
    _say_what_is_read(-1)('late.pdf')
    assert capsys.readouterr().err=='rlm: reading late.pdf\n'
