"""What a hostile cell tries, one function a probe, named for what it tries. Each is code that runs in the shell and does the thing: it gives a true value where it
succeeded. A probe that fails for a reason of its own (a typo, a missing module) is an error, not a refusal; and each that can is run in an unconfined shell too, to show that it works.

The functions below are never called here: their source is sent into shells that a host process opens, as root and as an ordinary user, in each tier."""
import ast,hashlib,inspect,json,os,signal,socket,subprocess,sys,tempfile,threading,time
from pathlib import Path
import pytest

probes = {}

def probe(control='process', learn=False, deadly=False, sure=True):
    "`control`: the unconfined shell where it succeeds, `root` beside it if only for root; `learn`: it tells that a thing exists and no more; `deadly`: the shell's end is a refusal too; `sure`: no kernel setting hinders the control"
    def _(f):
        probes[f.__name__] = dict(control=control, learn=learn, deadly=deadly, sure=sure, code=inspect.getsource(f).split('\n',1)[1])
        return f
    return _

# What every probe finds beside it: `t`, the targets, and these

prelude = r'''
import ctypes,errno,fcntl,gc,hashlib,io,json,mmap,os,re,resource,select,signal,socket,struct,sys,time
from types import SimpleNamespace
t = SimpleNamespace(**json.loads({targets!r}))
lib = ctypes.CDLL(None, use_errno=True)
lib.syscall.restype = ctypes.c_long
X86 = os.uname().machine=='x86_64'
def checked(r):
    if r==-1: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r
def call(x86, arm, *args):
    ctypes.set_errno(0)
    return checked(lib.syscall(ctypes.c_long(x86 if X86 else arm), *[ctypes.c_long(a) if isinstance(a,int) else a for a in args]))
def door(x86, arm, *args):
    "Does the kernel look at the arguments at all?"
    try: call(x86, arm, *args)
    except OSError as e: return e.errno not in (errno.EPERM,errno.EACCES,errno.ENOSYS)
    return True
def reads(b): return (b if isinstance(b,bytes) else b.encode())==b'the secret'
def is_key(s): return hashlib.sha256(s if isinstance(s,bytes) else s.encode('utf-8','replace')).hexdigest()==t.key_sha
def find_key(b): return any(map(is_key, re.findall(rb'sk-attack-[0-9a-f]{{32}}', b)))
def c(s): return ctypes.c_char_p(s.encode())
def magic(name, line): return get_ipython().run_line_magic(name, line)
'''

outcome = '''
try: _r = 'yes: '+str({name}())[:200] or 'yes'
except OSError as e: _r = f'no: {{type(e).__name__}} {{e.errno}} {{e.strerror or e}}'
except Exception as e: _r = f'broken: {{type(e).__name__}}: {{e}}'
print(_r if not _r.startswith(('yes: False','yes: None')) else 'no: in vain')
'''

# Keys, and what is left open (first, for the probes open more)

@probe(control='none', sure=False)
def files_left_open():
    "Anything but the three standard ones, the pipe to the host, and what Python opened itself"
    import stat
    kinds = {}
    for fd in range(256):
        try: kinds[fd] = os.fstat(fd).st_mode
        except OSError: pass
    return [fd for fd,m in kinds.items() if stat.S_ISREG(m) or stat.S_ISDIR(m) or (fd<3 and not os.path.samestat(os.fstat(fd), os.stat('/dev/null'))) or (stat.S_ISSOCK(m) and fd not in (3,))] or False

@probe(control='none')
def key_in_os_environ(): return any(map(is_key, os.environ.values()))

@probe(control='none')
def key_in_the_c_environment():
    lib.getenv.restype = ctypes.c_char_p
    return is_key(lib.getenv(b'OPENAI_API_KEY') or b'')

@probe(control='none')
def key_in_proc_self_environ(): return find_key(open('/proc/self/environ','rb').read())

@probe(control='none')
def key_by_the_env_magic(): return is_key(str(magic('env', 'OPENAI_API_KEY')) if 'OPENAI_API_KEY' in magic('env','') else '')

@probe()
def key_in_environ_of_the_host(): return find_key(open(f'/proc/{t.host}/environ','rb').read())

@probe()
def key_in_environ_of_a_thread_of_the_host(): return find_key(open(f'/proc/{t.host}/task/{t.host}/environ','rb').read())

@probe()
def key_in_environ_of_anyone():
    for pid in {*range(1,500), *range(t.host-300, t.host+300)}:
        try:
            if find_key(open(f'/proc/{pid}/environ','rb').read()): return True
        except FileNotFoundError: pass
        except OSError: pass
    return False

@probe(control='none')
def key_among_the_objects_of_this_process():
    def texts(o): return [v for v in gc.get_referents(o) if isinstance(v, (str,bytes))]
    return any(len(v)<100 and is_key(v) for o in gc.get_objects() for p in (o, *(d for d in gc.get_referents(o) if type(d) is dict)) for v in texts(p))

@probe(control='none')
def key_in_the_memory_of_this_process():
    for line in open('/proc/self/maps'):
        a,rest = line.split(' ',1)
        lo,hi = (int(o,16) for o in a.split('-'))
        if not rest.startswith('rw') or '[v' in rest or hi-lo>200<<20: continue
        if find_key(ctypes.string_at(lo, hi-lo)): return True
    return False

@probe(control='none')
def key_by_our_own_modules():
    import rlm.lm,rlm.budget
    return any(map(is_key, [os.environ.get('OPENAI_API_KEY','')]+[str(v) for m in list(sys.modules.values()) if (m.__name__ or '').startswith('rlm') for v in vars(m).values() if isinstance(v,str)]))

# Memory of the host, of the fork server, of other shells

@probe()
def read_memory_of_the_host():
    with open(f'/proc/{t.host}/mem','rb') as f: f.seek(t.key_at); return find_key(f.read(100))

@probe()
def process_vm_readv_of_the_host():
    b = ctypes.create_string_buffer(100)
    here,there = struct.pack('QQ', ctypes.addressof(b), 100),struct.pack('QQ', t.key_at, 100)
    call(310, 270, t.host, ctypes.c_char_p(here), 1, ctypes.c_char_p(there), 1, 0)
    return find_key(b.raw)

@probe()
def process_vm_writev_to_the_host():
    b = ctypes.create_string_buffer(b'x')
    here,there = struct.pack('QQ', ctypes.addressof(b), 1),struct.pack('QQ', t.scrap_at, 1)
    return call(311, 271, t.host, ctypes.c_char_p(here), 1, ctypes.c_char_p(there), 1, 0)==1

@probe()
def trace_another_process():
    checked(lib.ptrace(0x4206, t.victim, 0, 0))  # seize: does not stop it
    return True

@probe(control=None)  # it would stop at every signal from then on
def be_traced_by_the_parent(): return lib.ptrace(0, 0, 0, 0)==0 or (_ for _ in ()).throw(OSError(ctypes.get_errno(),''))

@probe()
def maps_of_the_host(): return len(open(f'/proc/{t.host}/maps').read())>0

@probe()
def memory_of_the_parent(): return open(f'/proc/{os.getppid()}/mem','rb').close() is None

@probe()
def environ_of_the_parent(): return open(f'/proc/{os.getppid()}/environ','rb').close() is None

@probe()
def memory_of_the_fork_server(): return open(f'/proc/{t.server}/mem','rb').close() is None

@probe()
def environ_of_the_fork_server(): return open(f'/proc/{t.server}/environ','rb').close() is None

@probe()
def memory_of_another_shell(): return open(f'/proc/{t.sibling}/mem','rb').close() is None

@probe()
def maps_of_another_shell(): return len(open(f'/proc/{t.sibling}/maps').read())>0

@probe()
def take_an_open_file_of_the_host():
    fd = call(438, 438, call(434, 434, t.host, 0), t.fd, 0)
    return reads(os.pread(fd, 100, 0))

@probe()
def open_a_file_of_the_host_by_its_number(): return reads(open(f'/proc/{t.host}/fd/{t.fd}').read())

@probe()
def a_pidfd_from_the_pipe_and_a_file_by_it():
    for fd in range(3, 64):
        try: s = socket.socket(fileno=os.dup(fd))
        except OSError: continue
        with s:
            try: p = struct.unpack('i', s.getsockopt(socket.SOL_SOCKET, 77, 4))[0]
            except OSError: continue
            return reads(os.pread(call(438, 438, p, t.fd, 0), 100, 0))
    return False
probes['a_pidfd_from_the_pipe_and_a_file_by_it'].update(sure=False)  # Linux 6.5

@probe()
def command_line_of_the_host(): return len(open(f'/proc/{t.host}/cmdline').read())>0

@probe()
def status_of_the_host(): return len(open(f'/proc/{t.host}/status').read())>0

@probe()
def files_by_the_root_of_the_host(): return reads(open(f'/proc/{t.host}/root{t.secret}').read())

@probe()
def folder_of_the_host(): return len(os.listdir(f'/proc/{t.host}/cwd'))>0

@probe()
def namespaces_of_the_host(): return os.readlink(f'/proc/{t.host}/ns/net')!=''

@probe()
def compare_with_the_host(): return call(312, 272, os.getpid(), t.host, 1, 0, 0)>=0 
probes['compare_with_the_host'].update(sure=False)

# Other processes

@probe()
def signal_the_host(): return os.kill(t.host, 0) is None

@probe()
def kill_another_process(): return os.kill(t.victim, signal.SIGURG) is None

@probe()
def kill_the_parent(): return os.kill(os.getppid(), 0) is None

@probe()
def kill_the_fork_server(): return os.kill(t.server, 0) is None

@probe()
def kill_another_shell(): return os.kill(t.sibling, 0) is None

@probe()
def kill_everything(): return os.kill(-1, 0) is None

@probe()
def kill_a_group(): return os.killpg(t.group, 0) is None

@probe()
def tgkill_the_host(): return call(234, 131, t.host, t.host, 0)==0

@probe()
def tkill_the_host(): return call(200, 130, t.host, 0)==0

@probe()
def queue_a_signal(): return call(129, 138, t.victim, signal.SIGURG, ctypes.c_char_p(struct.pack('iii', signal.SIGURG, 0, -1)+bytes(116)))==0

@probe()
def pidfd_signal(): return call(424, 424, call(434, 434, t.victim, 0), signal.SIGURG, None, 0)==0

@probe()
def pidfd_of_the_host(): return os.pidfd_open(t.host)>=0

def own_a_pipe_end():
    a,b = socket.socketpair()
    return a.detach()
prelude += '\n'+inspect.getsource(own_a_pipe_end)

@probe()
def signal_by_file_owner(): return fcntl.fcntl(own_a_pipe_end(), 8, t.victim)==0

@probe()
def signal_by_extended_file_owner(): return fcntl.fcntl(own_a_pipe_end(), 15, struct.pack('ii', 1, t.victim)) is not None

@probe()
def choose_the_signal_of_a_file(): return fcntl.fcntl(own_a_pipe_end(), 10, signal.SIGKILL)==0

@probe()
def signal_by_socket_group(): return fcntl.ioctl(own_a_pipe_end(), 0x8902, struct.pack('i', t.victim)) is not None

@probe()
def signal_by_socket_owner(): return fcntl.ioctl(own_a_pipe_end(), 0x8901, struct.pack('i', t.victim)) is not None

@probe()
def lease_on_a_file(): return fcntl.fcntl(os.open(t.secret, os.O_RDONLY), 1024, 0)==0

@probe()
def slow_the_host_down(): return os.setpriority(os.PRIO_PROCESS, t.host, os.getpriority(os.PRIO_PROCESS, t.host)) is None

@probe()
def slow_everyone_down(): return os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0)) is None

@probe()
def pin_the_host_to_a_processor(): return os.sched_setaffinity(t.host, os.sched_getaffinity(t.host)) is None

@probe()
def schedule_the_host(): return os.sched_setscheduler(t.host, os.SCHED_OTHER, os.sched_param(0)) is None

@probe()
def limit_the_host(): return resource.prlimit(t.host, resource.RLIMIT_NOFILE, resource.prlimit(t.host, resource.RLIMIT_NOFILE)) is not None

@probe()
def read_limits_of_the_host(): return resource.prlimit(t.host, resource.RLIMIT_NOFILE) is not None

@probe()
def input_output_priority_of_the_host(): return call(251, 30, 1, t.host, 2<<13|4)==0

@probe()
def make_the_host_the_first_to_be_killed():
    with open(f'/proc/{t.host}/oom_score_adj','r+') as f: f.write('500')
    return True

@probe()
def rename_the_host():
    with open(f'/proc/{t.victim}/comm','w') as f: f.write('x')
    return True
probes['rename_the_host'].update(control=None)  # only a process itself may

@probe()
def escape_the_memory_limit():
    try: return resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,)*2) is None
    except ValueError: return False  # as Python says that the system refused

@probe()
def escape_the_memory_limit_by_prlimit(): return resource.prlimit(0, resource.RLIMIT_AS, (resource.RLIM_INFINITY,)*2) is not None

@probe()
def outlive_the_parent(): return checked(lib.prctl(1, 0, 0, 0, 0))==0

@probe()
def let_anyone_trace(): return checked(lib.prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0))==0
probes['let_anyone_trace'].update(sure=False)  # Yama

@probe()
def let_memory_be_dumped(): return checked(lib.prctl(4, 1, 0, 0, 0))==0

@probe()
def clock_of_the_host(): return time.clock_gettime(~t.host<<3 | 2)>=0

@probe()
def number_of_the_host(): return os.getpgid(t.host)>0
probes['number_of_the_host'].update(learn=True)

# Files, by every way there is to open one

@probe()
def open_a_secret(): return reads(open(t.secret).read())

@probe()
def open_passwd(): return 'root:' in open('/etc/passwd').read()

@probe()
def open_shadow(): return open('/etc/shadow').read()!=''
probes['open_shadow'].update(control='root')

@probe()
def open_the_env_file_of_the_project(): return reads(open(os.path.join(t.project,'.env')).read())

@probe()
def open_a_private_key(): return reads(open(os.path.join(t.home,'.ssh','id_rsa')).read())

@probe()
def open_by_bytes(): return reads(open(t.secret.encode()).read())

@probe()
def os_open(): return reads(os.read(os.open(t.secret, os.O_RDONLY), 100))

@probe()
def file_io(): return reads(io.FileIO(t.secret).read())

@probe()
def open_code(): return reads(io.open_code(t.secret).read())

@probe()
def path_read_text():
    from pathlib import Path
    return reads(Path(t.secret).read_text())

@probe()
def codecs_open():
    import codecs
    return reads(codecs.open(t.secret, encoding='utf-8').read())

@probe()
def linecache_getline():
    import linecache
    linecache.clearcache()
    return reads(linecache.getline(t.secret, 1).strip())

@probe()
def tokenize_open():
    import tokenize
    return reads(tokenize.open(t.secret).read())

@probe()
def fileinput_input():
    import fileinput
    return reads(''.join(fileinput.input([t.secret])))

@probe()
def map_a_file(): return reads(mmap.mmap(os.open(t.secret, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:])

@probe()
def source_loader():
    from importlib.machinery import SourceFileLoader
    return reads(SourceFileLoader('x', t.secret).get_data(t.secret))

@probe()
def run_a_file():
    import runpy
    return runpy.run_path(t.script)['x']==7

@probe()
def import_from_the_project():
    sys.path.insert(0, t.project)
    try:
        import attack_module
        return attack_module.x==7
    except ModuleNotFoundError: return False
    finally: sys.path.pop(0)

@probe()
def zip_import():
    import zipimport
    try: return zipimport.zipimporter(t.zip).get_data('a.txt')==b'the secret'
    except zipimport.ZipImportError: return False

@probe()
def sqlite_file():
    import sqlite3
    try: return sqlite3.connect(f'file:{t.db}?mode=ro&immutable=1', uri=True).execute('select x from t').fetchone()[0]=='the secret'
    except sqlite3.OperationalError: return False

@probe()
def sqlite_attach():
    import sqlite3
    d = sqlite3.connect(':memory:', uri=True)
    try: return d.execute(f"attach 'file:{t.db}?immutable=1' as o") is not None and d.execute('select x from o.t').fetchone()[0]=='the secret'
    except sqlite3.OperationalError: return False

@probe()
def sqlite_extension():
    import sqlite3
    d = sqlite3.connect(':memory:')
    if not hasattr(d, 'enable_load_extension'): return open(t.lib,'rb').read(1)!=b''
    d.enable_load_extension(True)
    try: d.load_extension(t.lib)
    except sqlite3.OperationalError as e: return 'no entry point' in str(e) or 'undefined symbol' in str(e) or (_ for _ in ()).throw(PermissionError(1, str(e)))
    return True

@probe()
def c_fopen():
    lib.fopen.restype = ctypes.c_void_p
    lib.fopen.argtypes = [ctypes.c_char_p]*2
    return bool(lib.fopen(t.secret.encode(), b'r')) or (_ for _ in ()).throw(OSError(ctypes.get_errno(),'fopen'))

@probe()
def syscall_openat(): return reads(os.read(call(257, 56, -100, c(t.secret), 0, 0), 100))

@probe()
def syscall_openat2(): return reads(os.read(call(437, 437, -100, c(t.secret), ctypes.c_char_p(struct.pack('QQQ',0,0,0)), 24), 100))

@probe()
def relative_to_a_folder(): return reads(os.read(os.open('secret', os.O_RDONLY, dir_fd=os.open(os.path.dirname(t.secret), os.O_PATH)), 100))

@probe()
def reopen_a_path_handle():
    fd = os.open(t.secret, os.O_PATH)
    return reads(open(f'/proc/self/fd/{fd}').read())

@probe()
def through_proc_self_root(): return reads(open(f'/proc/self/root{t.secret}').read())

@probe()
def through_proc_self_cwd():
    os.chdir(os.path.dirname(t.secret))
    try: return reads(open('/proc/self/cwd/secret').read())
    finally: os.chdir('/')

@probe()
def through_a_thread_in_proc(): return reads(open(f'/proc/thread-self/root{t.secret}').read())

@probe()
def through_a_link(): return reads(open(t.link).read())

@probe()
def change_folder_and_open():
    os.chdir(os.path.dirname(t.secret))
    try: return reads(open('secret').read())
    finally: os.chdir('/')

@probe()
def walk_up_out_of_the_packages(): return reads(open(os.path.dirname(os.__file__)+'/..'*30+t.secret).read())

@probe()
def handle_of_a_file():
    h = ctypes.create_string_buffer(struct.pack('Ii', 128, 0)+bytes(128))
    m = ctypes.c_int()
    call(303, 264, -100, c(t.secret), h, ctypes.byref(m), 0)
    return reads(os.read(call(304, 265, os.open(os.path.dirname(t.secret), os.O_RDONLY), h, 0), 100))
probes['handle_of_a_file'].update(control='root', sure=False)

@probe()
def read_in_a_new_thread():
    from concurrent.futures import ThreadPoolExecutor as T
    with T(4) as p: return any(p.map(lambda _: reads(open(t.secret).read()), range(8)))

@probe()
def read_in_an_old_thread():
    import threading
    got = []
    for th in threading.enumerate():
        th._target and got.append(th.name)
    def f(*a): got.append(open(t.secret).read())
    threading.settrace_all_threads(f) if hasattr(threading, 'settrace_all_threads') else None
    try: return any(map(reads, got)) or reads(open(t.secret).read())
    finally: threading.settrace_all_threads(None) if hasattr(threading, 'settrace_all_threads') else None

@probe()
def read_when_the_program_ends():
    import weakref
    got = []
    class A: pass
    a = A()
    weakref.finalize(a, lambda: got.append(open(t.secret).read()))
    del a
    return any(map(reads, got)) or reads(open(t.secret).read())

@probe()
def read_by_asyncio():
    import asyncio
    loop = asyncio.new_event_loop()
    try: return reads(loop.run_until_complete(loop.run_in_executor(None, lambda: open(t.secret).read())))
    finally: loop.close()

@probe()
def urlopen_a_file():
    import urllib.request,urllib.error
    try: return reads(urllib.request.urlopen('file://'+t.secret).read())
    except urllib.error.URLError as e: raise (e.reason if isinstance(e.reason, OSError) else OSError(1, str(e)))

@probe()
def list_a_folder(): return 'secret' in os.listdir(os.path.dirname(t.secret))

@probe()
def list_the_root(): return len(os.listdir('/'))>0

@probe()
def scan_by_glob():
    import glob
    return glob.glob(os.path.dirname(t.secret)+'/sec*')!=[]

@probe()
def list_processes(): return any(o.isdigit() for o in os.listdir('/proc'))

@probe()
def list_own_open_files(): return len(os.listdir('/proc/self/fd'))>0

@probe()
def packages_outside_of_the_libraries(): return open(sys.executable,'rb').read(4)==b'\x7fELF'

@probe()
def files_beside_the_package(): return open(t.this).read(3)!=''

@probe(control=None)  # refused by the shell itself, in each tier
def history_of_ipython(): return magic('history','') is None and reads(open(os.path.join(t.home,'.ipython_history')).read())

# Magics

@probe()
def magic_load():
    try: return 'x = 7' in get_ipython().find_user_code(t.script)
    except ValueError: return False  # not found

@probe()
def magic_run():
    try: magic('run', t.script)
    except Exception as e:
        if 'not found' in str(e): return False
        raise
    return get_ipython().user_ns.get('x')==7

@probe()
def magic_pycat():
    import contextlib
    out = io.StringIO()
    with contextlib.redirect_stdout(out): magic('pycat', t.script)
    return 'x = 7' in re.sub('\x1b[^m]*m', '', out.getvalue())
probes['magic_pycat'].update(sure=False)

@probe(control='none')  # a plain child may write no bytes
def magic_writefile(): return get_ipython().run_cell_magic('writefile', os.path.join(t.project,'written'), 'x') is None and os.path.exists(os.path.join(t.project,'written'))

@probe()
def magic_logstart(): return magic('logstart', os.path.join(t.project,'log.py')) is None and os.path.exists(os.path.join(t.project,'log.py'))
probes['magic_logstart'].update(sure=False)

@probe()
def magic_bash(): return get_ipython().run_cell_magic('bash', '', 'true') is None
probes['magic_bash'].update(control=None)  # refused by the shell itself, in each tier

@probe()
def magic_system(): return magic('system', 'true') is not None
probes['magic_system'].update(control=None)

@probe()
def bang():
    get_ipython().system('true')
    return True
probes['bang'].update(control=None)

@probe()
def bang_with_output(): return get_ipython().getoutput('id')!=[]
probes['bang_with_output'].update(control=None)

# Writing

def in_project(name): return os.path.join(t.project, name)
prelude += '\n'+inspect.getsource(in_project)

@probe()
def write_into_the_project(): return open(in_project('new'),'w').write('x')==1

@probe()
def append_to_a_file(): return open(in_project('scrap'),'a').write('x')==1

@probe()
def cut_a_file_off(): return os.truncate(in_project('scrap'), 0) is None

@probe()
def delete_a_file():
    open(in_project('scrap2'),'w').close() if t.tier in ('process','none') else None
    return os.remove(in_project('scrap2')) is None

@probe()
def rename_a_file(): return os.rename(in_project('scrap3'), in_project('scrap4')) is None

@probe()
def exchange_two_files(): return call(316, 276, -100, c(in_project('ex1')), -100, c(in_project('ex2')), 2)==0
probes['exchange_two_files'].update(sure=False)

@probe()
def make_a_folder(): return os.mkdir(in_project('folder')) is None

@probe()
def remove_a_folder(): return os.rmdir(in_project('empty')) is None

@probe()
def make_a_symlink(): return os.symlink('/etc/passwd', in_project('sym')) is None

@probe()
def make_a_hard_link(): return os.link(t.secret, in_project('hard')) is None

@probe()
def make_a_fifo(): return os.mkfifo(in_project('fifo')) is None

@probe()
def make_a_device(): return os.mknod(in_project('dev'), 0o20600, os.makedev(1,3)) is None
probes['make_a_device'].update(control='root', sure=False)

@probe()
def make_a_nameless_file(): return os.open(t.project, os.O_TMPFILE|os.O_RDWR)>=0
probes['make_a_nameless_file'].update(sure=False)

@probe()
def change_mode(): return os.chmod(in_project('scrap'), 0o666) is None

@probe()
def change_mode_by_number(): return call(452, 452, -100, c(in_project('scrap')), 0o600, 0)==0
probes['change_mode_by_number'].update(sure=False)

@probe()
def change_owner(): return os.chown(in_project('scrap'), os.getuid(), os.getgid()) is None

@probe()
def change_times(): return os.utime(in_project('scrap')) is None

@probe()
def set_an_attribute(): return os.setxattr(in_project('scrap'), 'user.a', b'b') is None
probes['set_an_attribute'].update(sure=False)

@probe()
def read_an_attribute(): return os.getxattr(in_project('marked'), 'user.mark')==b'the secret'
probes['read_an_attribute'].update(sure=False)

@probe()
def list_attributes(): return os.listxattr(in_project('marked'))!=[]
probes['list_attributes'].update(sure=False)

@probe()
def write_to_tmp(): return open(f'/tmp/rlm-attack-{t.host}','w').write('x')==1

@probe(control='none')  # a plain child may write no bytes
def named_temporary_file():
    import tempfile
    return tempfile.NamedTemporaryFile() is not None

@probe()
def write_to_shared_memory(): return open(f'/dev/shm/rlm-attack-{t.host}','w').write('x')==1

@probe(control='none')  # a plain child may write no bytes
def posix_shared_memory():
    from multiprocessing.shared_memory import SharedMemory
    m = SharedMemory(create=True, size=10)
    m.close(); m.unlink()
    return True

@probe()
def write_a_pth_into_the_packages():
    import sysconfig
    p = os.path.join(sysconfig.get_path('purelib'), f'rlm-attack-{t.host}.pth')
    with open(p,'w'): pass
    os.remove(p)
    return True
probes['write_a_pth_into_the_packages'].update(control='root')

@probe()
def write_bytecode_of_a_package():
    import importlib.util
    with open(importlib.util.cache_from_source(os.__file__),'ab'): pass
    return True
probes['write_bytecode_of_a_package'].update(control='root', sure=False)

@probe()
def write_to_our_own_package():
    import rlm
    with open(rlm.__path__[0]+'/__init__.py','ab'): pass
    return True
probes['write_to_our_own_package'].update(control='root', sure=False)

@probe(control='none')  # a plain child may write no bytes
def write_by_sqlite():
    import sqlite3
    try: sqlite3.connect(in_project('new.db')).execute('create table t(a)')
    except sqlite3.OperationalError: return False
    return True

@probe()
def write_by_a_logger():
    import logging
    h = logging.FileHandler(in_project('new.log'))
    h.close()
    return True

@probe()
def map_a_file_for_writing(): return mmap.mmap(os.open(in_project('scrap5'), os.O_RDWR), 1)[0]>=0

@probe()
def memory_file(): return os.memfd_create('x')>=0

@probe()
def secret_memory_file(): return call(447, 447, 0)>=0
probes['secret_memory_file'].update(sure=False)

@probe(control='none')  # a plain child may write no bytes
def program_in_a_memory_file():
    fd = os.memfd_create('x')
    os.write(fd, b'#!/bin/true\n')
    return os.posix_spawn(f'/proc/self/fd/{fd}', ['x'], {})>0

@probe()
def system_v_memory():
    i = call(29, 194, 0, 4096, 0o1600)
    lib.shmctl(i, 0, None)
    return True

@probe()
def system_v_messages():
    i = call(68, 186, 0, 0o1600)
    lib.msgctl(i, 0, None)
    return True

@probe()
def system_v_semaphores():
    i = call(64, 190, 0, 1, 0o1600)
    lib.semctl(i, 0, 0)
    return True

@probe()
def message_queue():
    fd = lib.mq_open(f'/rlm-attack-{t.host}'.encode(), os.O_CREAT|os.O_RDWR, 0o600, None)
    checked(fd)
    lib.mq_unlink(f'/rlm-attack-{t.host}'.encode())
    return True
probes['message_queue'].update(sure=False)

@probe()
def watch_a_folder(): return call(294, 26, 0)>=0

@probe()
def watch_the_file_system(): return call(300, 262, 0, 0)>=0
probes['watch_the_file_system'].update(control='root', sure=False)

# Network

@probe()
def connect_by_tcp():
    with socket.create_connection(('127.0.0.1', t.port), 5) as s: return s.recv(3)==b'hi!'

@probe()
def connect_by_tcp6(): return socket.socket(socket.AF_INET6, socket.SOCK_STREAM) is not None
probes['connect_by_tcp6'].update(sure=False)

@probe()
def listen_on_tcp(): return socket.create_server(('127.0.0.1',0)) is not None

@probe()
def send_by_udp(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', t.udp))==1

@probe()
def connect_to_a_unix_socket():
    s = socket.socket(socket.AF_UNIX)
    s.connect(t.unix)
    return s.recv(3)==b'hi!'

@probe()
def connect_the_end_of_a_pair_to_a_unix_socket():
    a,b = socket.socketpair()
    try: a.connect(t.unix)
    except OSError as e:
        if e.errno==errno.EISCONN: return False
        raise
    return True
probes['connect_the_end_of_a_pair_to_a_unix_socket'].update(control=None)  # it is connected already

@probe()
def a_datagram_to_a_unix_socket(): return socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'x', t.dgram)==1
probes['a_datagram_to_a_unix_socket'].update(control=None)  # the kernel lets a connected one send to its peer only

@probe()
def a_free_datagram_to_a_unix_socket(): return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', t.dgram)==1

@probe()
def connect_to_an_abstract_socket():
    s = socket.socket(socket.AF_UNIX)
    s.connect('\0'+t.abstract)
    return s.recv(3)==b'hi!'

@probe()
def bind_an_abstract_socket(): return socket.socket(socket.AF_UNIX).bind(f'\0rlm-attack-bind-{os.getpid()}') is None

@probe()
def netlink(): return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) is not None

@probe()
def raw_socket(): return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) is not None
probes['raw_socket'].update(control='root', sure=False)

@probe()
def packet_socket(): return socket.socket(socket.AF_PACKET, socket.SOCK_RAW) is not None
probes['packet_socket'].update(control='root', sure=False)

@probe()
def vsock_to_the_machine_around_us(): return socket.socket(40, socket.SOCK_STREAM) is not None
probes['vsock_to_the_machine_around_us'].update(sure=False)

@probe()
def kernel_crypto_socket(): return socket.socket(38, socket.SOCK_SEQPACKET) is not None
probes['kernel_crypto_socket'].update(sure=False)

@probe()
def send_a_message_with_files():
    a,b = socket.socketpair()
    return socket.send_fds(a, [b'x'], [0])==1

@probe()
def look_up_a_name():
    try: return socket.getaddrinfo('localhost', 80)!=[]
    except socket.gaierror: return False
probes['look_up_a_name'].update(sure=False)

@probe()
def fetch_a_page():
    import http.client,urllib.request,urllib.error
    try: return urllib.request.urlopen(f'http://127.0.0.1:{t.port}', timeout=5).read()!=b''
    except urllib.error.URLError as e: raise (e.reason if isinstance(e.reason, OSError) else OSError(1, str(e)))
    except (http.client.HTTPException,ConnectionResetError): return True  # what answers is no web server

@probe()
def asyncio_connection():
    import asyncio
    async def f():
        r,w = await asyncio.open_connection('127.0.0.1', t.port)
        return await r.read(3)
    loop = asyncio.new_event_loop()
    try: return loop.run_until_complete(f())==b'hi!'
    finally: loop.close()

@probe()
def socket_by_number(): return call(41, 198, 2, 1, 0)>=0

@probe()
def accept_on_the_pipe():
    try: return call(43, 202, 3, None, None)>=0
    except OSError as e:
        if e.errno in (errno.EINVAL,errno.EOPNOTSUPP,errno.EBADF,errno.ENOTSOCK): return True
        raise

@probe()
def input_output_ring(): return call(425, 425, 8, ctypes.create_string_buffer(120))>=0
probes['input_output_ring'].update(sure=False)

@probe()
def input_output_the_old_way(): return call(206, 0, 8, ctypes.byref(ctypes.c_ulong(0)))==0
probes['input_output_the_old_way'].update(sure=False)

# Processes and programs

@probe()
def fork():
    pid = os.fork()
    if not pid: os._exit(0)
    return os.waitpid(pid, 0)[0]==pid

@probe()
def fork_of_a_terminal(): return os.waitpid(os.forkpty()[0], 0)[0]>0

@probe()
def clone_by_number():
    pid = call(56, 220, signal.SIGCHLD, 0, 0, 0, 0)
    if not pid: os._exit(0)
    return os.waitpid(pid, 0)[0]==pid

@probe()
def clone3_by_number():
    pid = call(435, 435, ctypes.create_string_buffer(struct.pack('QQQQQQQQ', 0,0,0,0,signal.SIGCHLD,0,0,0)), 64)
    if not pid: os._exit(0)
    return os.waitpid(pid, 0)[0]==pid

@probe()
def clone_into_a_user_namespace():
    pid = call(56, 220, 0x10000000|signal.SIGCHLD, 0, 0, 0, 0)
    if not pid: os._exit(0)
    return os.waitpid(pid, 0)[0]==pid
probes['clone_into_a_user_namespace'].update(sure=False)

@probe()
def vfork_by_number(): return door(58, 220, signal.SIGCHLD|0x4000 if not X86 else 0) if not X86 else (lambda p: os._exit(0) if p==0 else p>0)(call(57, 220))

@probe()
def posix_spawn():
    pid = os.posix_spawn('/bin/true', ['true'], {})
    return os.waitpid(pid, 0)[1]==0

@probe()
def execute_a_program():
    "A program that is not there is not found: that is further than anyone should come"
    try: os.execv('/nonexistent', ['x'])
    except OSError as e:
        if e.errno==errno.ENOENT: return True
        raise

@probe()
def execute_by_handle():
    try: call(322, 281, -1, c('/nonexistent'), None, None, 0)
    except OSError as e:
        if e.errno in (errno.ENOENT,errno.EFAULT): return True
        raise

@probe()
def subprocess_run():
    import subprocess
    return subprocess.run(['/bin/true']).returncode==0

@probe()
def subprocess_python():
    import subprocess
    return subprocess.run([sys.executable,'-I','-S','-c','']).returncode==0

@probe()
def os_system(): return os.system('true')==0

@probe()
def os_popen(): return os.popen('echo x').read()=='x\n'

@probe()
def c_system(): return lib.system(b'true')==0

@probe()
def multiprocessing_fork():
    import multiprocessing as m
    p = m.get_context('fork').Process(target=int)
    p.start(); p.join()
    return True

@probe(control='none', sure=False)
def process_pool():
    from concurrent.futures import ProcessPoolExecutor
    import multiprocessing as m
    p = ProcessPoolExecutor(1, mp_context=m.get_context('fork'))
    p.submit(int)
    p.shutdown(wait=False, cancel_futures=True)
    return True

@probe()
def asyncio_subprocess():
    import asyncio
    async def f(): return await (await asyncio.create_subprocess_exec('/bin/true')).wait()
    try: return asyncio.run(f())==0
    except RuntimeError: return False
probes['asyncio_subprocess'].update(sure=False)

@probe(deadly=True)
def fork_by_the_old_interrupt():
    "int 0x80: the calls of 32-bit Linux, with numbers of their own"
    if not X86: return False
    m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ|mmap.PROT_WRITE|mmap.PROT_EXEC)
    m.write(b'\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3')  # getpid
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()==os.getpid()
probes['fork_by_the_old_interrupt'].update(sure=False)

@probe(deadly=True)
def fork_by_the_x32_numbers(): return X86 and call(0x40000000+39, 172)==os.getpid()
probes['fork_by_the_x32_numbers'].update(sure=False)

@probe(deadly=True)
def a_call_younger_than_the_list(): return door(467, 467, 0, 0, 0) and door(1<<20, 1<<20)
probes['a_call_younger_than_the_list'].update(control=None)

@probe()
def library_of_the_host(): return ctypes.CDLL(t.lib) is not None

@probe(control='none')  # a plain child may write no bytes
def library_that_it_wrote():
    p = in_project('mine.so')
    with open(p,'wb') as f: f.write(open(sys.modules['_ctypes'].__file__,'rb').read())
    return ctypes.CDLL(p) is not None

@probe()
def library_for_every_later_program():
    os.environ['LD_PRELOAD'] = t.lib
    try: return os.system('true')==0
    finally: os.environ.pop('LD_PRELOAD')

# Doors of the kernel

@probe()
def unshare_user_namespace():
    checked(lib.unshare(0x10000000))
    return True
probes['unshare_user_namespace'].update(control=None, sure=False)  # not with threads

@probe()
def unshare_network():
    checked(lib.unshare(0x40000000))
    return True
probes['unshare_network'].update(control=None)  # would take the network from the probes that follow

@probe()
def enter_a_namespace():
    fd = os.open('/proc/self/ns/uts', os.O_RDONLY)
    return checked(lib.setns(fd, 0))==0
probes['enter_a_namespace'].update(control='root', sure=False)

@probe()
def enter_the_namespaces_of_the_host(): return checked(lib.setns(call(434, 434, t.host, 0), 0x04000000))==0
probes['enter_the_namespaces_of_the_host'].update(control='root', sure=False)

@probe()
def mount():
    checked(lib.mount(b'none', b'/mnt', b'tmpfs', 0, None))
    return checked(lib.umount(b'/mnt'))==0
probes['mount'].update(control='root', sure=False)

@probe()
def bind_mount():
    checked(lib.mount(b'/etc', b'/mnt', None, 4096, None))
    return checked(lib.umount(b'/mnt'))==0
probes['bind_mount'].update(control='root', sure=False)

@probe()
def change_root(): return os.chroot('/') is None
probes['change_root'].update(control='root', sure=False)

@probe()
def set_host_name(): return checked(lib.sethostname(os.uname().nodename.encode(), len(os.uname().nodename)))==0
probes['set_host_name'].update(control='root', sure=False)

@probe()
def kernel_log(): return checked(lib.klogctl(10, None, 0))>=0
probes['kernel_log'].update(control='root', sure=False)

@probe()
def ports(): return checked(lib.iopl(0))==0 if X86 else False
probes['ports'].update(sure=False)

@probe()
def change_identity(): return os.setresuid(os.getuid(), os.getuid(), os.getuid()) is None

@probe()
def become_root(): return os.setuid(0) is None
probes['become_root'].update(control='root')

@probe()
def regain_capabilities():
    call(126, 91, ctypes.c_char_p(struct.pack('Ii', 0x20080522, 0)), ctypes.c_char_p(struct.pack('IIIIII', 1<<21, 1<<21, 0, 0, 0, 0)))
    return True
probes['regain_capabilities'].update(control='root', sure=False)

@probe()
def personality(): return call(135, 92, 0xffffffff)>=0

@probe()
def extended_berkeley_filter(): return door(321, 280, 0, ctypes.create_string_buffer(72), 72)
probes['extended_berkeley_filter'].update(sure=False)

@probe()
def performance_counters(): return door(298, 241, ctypes.create_string_buffer(struct.pack('II', 1, 112)+bytes(104)), 0, -1, -1, 0)
probes['performance_counters'].update(sure=False)

@probe()
def page_faults_in_user_space(): return door(323, 282, 1)
probes['page_faults_in_user_space'].update(sure=False)

@probe()
def add_a_kernel_key(): return call(248, 217, c('user'), c('rlm'), c('x'), 1, -1)>0
probes['add_a_kernel_key'].update(sure=False)

@probe()
def ask_for_a_kernel_key(): return door(249, 218, c('user'), c('rlm-none'), None, -1)

@probe()
def control_kernel_keys(): return door(250, 219, 0, -3, 0)

def kernel_door(name, x86, arm, *args, root=False, why=''):
    "A probe of a call with arguments that can do no harm"
    probes[name] = dict(control=None if why else 'root' if root else 'process', learn=False, deadly=False, sure=False, code=f'def {name}(): return door({x86}, {arm}, {", ".join(map(repr, args))})')

for o in [('open_a_tree',428,428,-1,0,0), ('new_file_system',430,430,0,0), ('move_a_mount',429,429,-1,0,-1,0,0), ('mount_attributes',442,442,-1,0,0,0,0), ('pivot_the_root',155,41,0,0), ('swap_on',167,224,0,0), ('accounting',163,89,1), ('quotas',179,60,0,0,0,0),
          ('load_a_module',175,105,0,0,0), ('load_a_module_file',313,273,-1,0,0), ('load_a_kernel',246,104,0,1<<20,0,0), ('set_the_clock',227,112,0,0), ('set_the_time',164,170,0,0), ('hang_up_the_terminal',153,58)]:
    kernel_door(*o, root=True, why='might change the machine')
for o in [('processor_table',154,0,0,0,0), ('memory_policy',238,237,0,0,0), ('move_pages_of_the_host',279,239,0,0,0,0,0,0), ('move_memory_between_nodes',256,238,0,0,0,0), ('advise_memory_of_another',440,440,-1,0,0,0,0), ('reap_memory_of_another',448,448,-1,0), ('new_landlock_ruleset',444,444,0,0,1),
          ('list_mounts',458,458,0,0,0,0), ('describe_a_mount',457,457,0,0,0,0)]:
    kernel_door(*o)

# Terminals, devices, /proc and /sys

@probe()
def the_terminal(): return open('/dev/tty').close() is None
probes['the_terminal'].update(control=None)  # the tests may have none

@probe()
def type_into_the_terminal():
    try: fcntl.ioctl(0, 0x5412, b'x')
    except OSError as e:
        if e.errno in (errno.ENOTTY,errno.EIO): return True  # it was looked at: only the terminal is missing
        raise
    return True

@probe()
def paste_into_the_console():
    try: fcntl.ioctl(0, 0x541C, b'\x03')
    except OSError as e:
        if e.errno==errno.ENOTTY: return True
        raise
    return True

@probe()
def new_terminal(): return os.openpty()[0]>=0
probes['new_terminal'].update(sure=False)

@probe()
def physical_memory(): return open('/dev/mem','rb').close() is None
probes['physical_memory'].update(control=None)

@probe()
def kernel_messages(): return open('/dev/kmsg','rb').close() is None
probes['kernel_messages'].update(control='root', sure=False)

@probe()
def disks():
    for d in ('vda','sda','nvme0n1','mapper/control','loop-control','fuse','kvm','net/tun'):
        try: os.open('/dev/'+d, os.O_RDONLY); return True
        except FileNotFoundError: pass
        except OSError: pass
    return False
probes['disks'].update(control='root', sure=False)

@probe()
def program_for_core_dumps(): return open('/proc/sys/kernel/core_pattern').read()!=''

@probe()
def set_the_program_for_core_dumps(): return open('/proc/sys/kernel/core_pattern','r+').close() is None
probes['set_the_program_for_core_dumps'].update(control=None)

@probe()
def magic_system_request(): return open('/proc/sysrq-trigger','w').close() is None
probes['magic_system_request'].update(control=None)

@probe()
def connections_of_this_machine(): return open('/proc/self/net/tcp').read()!=''

@probe()
def connections_by_another_way(): return open('/proc/net/unix').read()!=''

@probe()
def mounts_of_this_machine(): return open('/proc/self/mountinfo').read()!=''

@probe()
def boot_options(): return open('/proc/cmdline').read()!=''

@probe()
def symbols_of_the_kernel(): return open('/proc/kallsyms').read(10)!=''
probes['symbols_of_the_kernel'].update(sure=False)

@probe()
def own_memory_as_a_file(): return os.open('/proc/self/mem', os.O_RDWR)>=0

@probe()
def own_user_map(): return open('/proc/self/uid_map').read()!=''

@probe()
def serial_numbers(): return len(os.listdir('/sys/class'))>0
probes['serial_numbers'].update(sure=False)

@probe()
def control_groups(): return len(os.listdir('/sys/fs/cgroup'))>=0
probes['control_groups'].update(sure=False)

@probe()
def identity_of_this_machine(): return open('/etc/hostname').read()!=''
probes['identity_of_this_machine'].update(sure=False)

# What tells that a thing exists, and no more

@probe(learn=True)
def stat_a_file(): return os.stat(t.secret).st_size==10

@probe(learn=True)
def ask_for_access(): return os.access(t.secret, os.F_OK) or (_ for _ in ()).throw(FileNotFoundError(2,''))

@probe(learn=True)
def where_a_link_leads(): return os.readlink(t.link)==t.secret

@probe(learn=True)
def go_to_a_folder():
    os.chdir(os.path.dirname(t.secret))
    os.chdir('/')
    return True

@probe(learn=True)
def path_handle(): return os.open(t.secret, os.O_PATH)>=0

@probe(learn=True)
def file_system_of_a_file(): return os.statvfs(t.secret) is not None

@probe(learn=True)
def does_a_process_exist(): return os.path.exists(f'/proc/{t.host}')

@probe(learn=True)
def name_of_this_machine(): return os.uname().nodename==t.node

# The other side: a host process that opens the shells. `python test_attacks.py as USER TIER` prints what came of each probe

def open_up(paths):
    "In a mount namespace of our own, every folder above `paths` that only root may enter becomes an empty one that anyone may, with `paths` in it"
    import ctypes
    lib = ctypes.CDLL(None, use_errno=True)
    def ok(r):
        if r: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    def mount(src, dst, kind=None, flags=0, data=None): ok(lib.mount(str(src).encode(), str(dst).encode(), kind, flags, data))
    ok(lib.unshare(0x00020000|0x04000000|0x08000000))  # mounts, host name, System V objects
    mount('none', '/', None, 0x44000)  # nothing of this is seen outside
    shut = {next((a for a in reversed(p.parents) if not a.stat().st_mode & 1), None) for p in paths}-{None}
    stash = Path(tempfile.mkdtemp(prefix='rlm-attacks-', dir='/tmp'))
    mount('tmpfs', stash, b'tmpfs', 0, b'mode=755')
    for i,p in enumerate(paths): (stash/str(i)).mkdir(); mount(p, stash/str(i), None, 0x5000)
    for a in shut: mount('tmpfs', a, b'tmpfs', 0, b'mode=755')
    for i,p in enumerate(paths):
        if any(a in p.parents for a in shut): p.mkdir(parents=True, exist_ok=True); mount(stash/str(i), p, None, 0x5000)
    lib.umount2(str(stash).encode(), 2)
    stash.rmdir()

ordinary = 64_321  # a user whom nobody is

def become(user, tier):
    "As root: make sure that `user` can read Python and the package, and go on as that user, with a fresh start so that its `/proc` files are its own"
    here = Path(__file__).resolve()
    try: open_up(sorted({Path(sys.prefix), Path(sys.base_prefix), here.parent, Path(os.environ['RLM_PACKAGE']).parent}))
    except OSError as e: sys.stderr.write(str(e)); os._exit(77)  # a container without these rights
    if user=='ordinary': os.setgroups([]); os.setresgid(*[ordinary]*3); os.setresuid(*[ordinary]*3)
    os.execv(sys.executable, [sys.executable, str(here), 'run', tier, user])

def serve(sock):
    while True: sock.accept()[0].sendall(b'hi!')

def targets(tier, tmp):
    "Everything there is to attack"
    import ctypes,sqlite3,zipfile
    project,home = tmp/'project',tmp/'home'
    for d in (project/'empty', home/'.ssh'): d.mkdir(parents=True)
    files = [tmp/'secret', project/'.env', home/'.ssh'/'id_rsa', home/'.ipython_history', *(project/o for o in ('scrap','scrap2','scrap3','scrap5','ex1','ex2','marked'))]
    for p in files: p.write_text('the secret')
    try: os.setxattr(project/'marked', 'user.mark', b'the secret')
    except OSError: pass
    for p in (project/'script.py', project/'attack_module.py'): p.write_text('x = 7\n')
    with sqlite3.connect(tmp/'db') as d: d.execute('create table t(x)'); d.execute("insert into t values ('the secret')")
    with zipfile.ZipFile(tmp/'zip.zip','w') as z: z.writestr('a.txt', 'the secret')
    (tmp/'lib.so').write_bytes(Path(next(o.split()[-1] for o in open('/proc/self/maps') if '/libm' in o or '/libc' in o)).read_bytes())
    (tmp/'link').symlink_to(tmp/'secret')
    socks = [socket.create_server(('127.0.0.1',0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)]
    for s,a in zip(socks[1:], (('127.0.0.1',0), str(tmp/'unix'), f'\0rlm-attack-{os.getpid()}', str(tmp/'dgram'))): s.bind(a)
    for s in (socks[0],socks[2],socks[3]): s.listen(); threading.Thread(target=serve, args=(s,), daemon=True).start()
    for p in (tmp, *tmp.rglob('*')):
        if not p.is_symlink(): p.chmod(0o777)  # no permission of a file's may do what the confinement has to
    key,scrap = ctypes.create_string_buffer(os.environ['OPENAI_API_KEY'].encode()),ctypes.create_string_buffer(8)
    victim = subprocess.Popen(['sleep','600'], start_new_session=True)
    for o in ('unix','dgram'): (tmp/o).chmod(0o777)
    t = dict(tier=tier, host=os.getpid(), group=os.getpgid(victim.pid), victim=victim.pid, key_sha=hashlib.sha256(key.value).hexdigest(), key_at=ctypes.addressof(key), scrap_at=ctypes.addressof(scrap), secret=str(tmp/'secret'), fd=os.open(tmp/'secret', os.O_RDONLY),
        project=str(project), home=str(home), link=str(tmp/'link'), script=str(project/'script.py'), db=str(tmp/'db'), zip=str(tmp/'zip.zip'), lib=str(tmp/'lib.so'), port=socks[0].getsockname()[1], udp=socks[1].getsockname()[1], unix=str(tmp/'unix'),
        abstract=f'rlm-attack-{os.getpid()}', dgram=str(tmp/'dgram'), this=str(Path(__file__).resolve()), node=os.uname().nodename)
    return t,(socks,key,scrap,victim)

def attack(tier, user='ordinary'):
    "Run every probe that makes sense in this tier; print name -> outcome as JSON"
    sys.path.insert(0, str(Path(os.environ['RLM_PACKAGE']).parent))
    from rlm.sandbox import fork_server,make_shell
    unconfined = tier in ('process','none')
    root = os.getuid()==0
    kw = dict(cell_timeout=20) | (dict(read=['/usr/lib']) if user=='root, kept' else {})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp, make_shell(tier if tier!='none' else 'process') as sibling, make_shell(tier, **kw) as sh:
        os.chdir(tmp)
        t,alive = targets(tier, Path(tmp))
        sibling.run_cell('1'); sh.run_cell('1')
        t.update(sibling=sibling.child.pid, server=fork_server().proc.pid)
        res = {'':dict(report=getattr(sh, 'report', {}), uid=os.getuid())}
        for name,p in probes.items():
            if unconfined and (p['control'] or '')!=tier and not (p['control']=='root' and root and tier=='process'): continue
            r = sh.run_cell(prelude.format(targets=json.dumps(t))+'\n'+p['code']+outcome.format(name=name))
            res[name] = (r.stdout.strip().splitlines() or [''])[-1] if r.status=='ok' else f'{r.status}: {r.error}'
        res['']['victim'] = alive[-1].poll() is None
        alive[-1].kill()
    sys.__stdout__.write('\n'+json.dumps(res)+'\n')
    sys.__stdout__.flush()
    os._exit(0)

if __name__=='__main__':
    if sys.argv[1]=='as': become(*sys.argv[2:])
    attack(*sys.argv[2:])

# The tests

import rlm.confine as confine

is_root = hasattr(os, 'geteuid') and os.geteuid()==0
users = ['root','ordinary'] if is_root else ['ordinary']
kept = ['root, kept']*is_root  # the shell of a root who may not become another, or else the files to read would be out of reach
pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='Linux')
_done = {}

def outcomes(user, tier):
    "What came of all probes in a host process of its own"
    if (user,tier) not in _done: _done[user,tier] = run_host(user, tier)
    if isinstance(_done[user,tier], str): pytest.skip(_done[user,tier])
    assert not isinstance(_done[user,tier], subprocess.CompletedProcess), _done[user,tier].stderr[-2000:]
    return _done[user,tier]

def run_host(user, tier):
    if tier!='none' and tier!='process':
        try: confine.tier(tier)
        except confine.IsolationUnavailable as e: return str(e)
    env = dict(PATH=os.environ['PATH'], HOME='/nonexistent', OPENAI_API_KEY='sk-attack-'+os.urandom(16).hex(), RLM_PACKAGE=os.path.dirname(confine.__file__), RLM_OFFLINE='1')
    cmd = [sys.executable, str(Path(__file__).resolve()), *(['as',user,tier] if is_root else ['run',tier])]
    p = subprocess.run(cmd, env=env, cwd='/', capture_output=True, text=True, timeout=300)
    lines = p.stdout.strip().splitlines()
    if p.returncode==77: return f'no host as {user} here: {p.stderr[-400:]}'
    return json.loads(lines[-1]) if lines and not p.returncode else p

@pytest.mark.parametrize('user', users+kept)
@pytest.mark.parametrize('name', probes)
def test_refused_in_os(name, user):
    r,p = outcomes(user, 'os')[name],probes[name]
    if p['learn']: assert r.startswith('yes'), f'the docs say that this is possible: {r}'
    else: assert r.startswith('no:') or (p['deadly'] and r.startswith('lost')), r

@pytest.mark.parametrize('user', users)
@pytest.mark.parametrize('name', probes)
def test_refused_in_hardened(name, user):
    r,p = outcomes(user, 'hardened')[name],probes[name]
    assert r.startswith('no:') or (p['deadly'] and r.startswith('lost')), r

@pytest.mark.parametrize('user', users)
@pytest.mark.parametrize('name', [k for k,v in probes.items() if v['control']])
def test_succeeds_where_nothing_confines(name, user):
    "A probe that cannot succeed proves nothing by failing"
    p = probes[name]
    if p['control']=='root' and user!='root': pytest.skip('only root can')
    r = outcomes(user, 'process' if p['control']=='root' else p['control'])[name]
    assert not r.startswith('broken'), r
    if not r.startswith('yes') and not p['sure']: pytest.skip(f'this system hinders it, confined or not: {r}')
    assert r.startswith('yes'), r

@pytest.mark.parametrize('user', users)
@pytest.mark.parametrize('tier', ['os','hardened'])
def test_the_host_was_who_it_should_be(tier, user):
    o = outcomes(user, tier)['']
    if tier=='os': assert user!='root' or o['report']['user']>1_000_000, 'a shell of root did not become another user'
    assert o['uid']==(0 if user=='root' else ordinary if is_root else os.getuid()) and o['report']['isolation']==tier and all(o['report']['held'].values()) and o['victim']

@pytest.mark.skipif(not is_root, reason='needs root')
def test_a_root_who_is_kept_is_root_without_rights():
    o = outcomes(*kept, 'os')['']
    assert o['report']['user']==0 and o['report']['held']['capabilities']=='none' and o['victim']
