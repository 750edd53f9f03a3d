"In a Jupyter kernel, whose event loop runs: answers show themselves, and interrupting the kernel ends the run and nothing else"
import os,threading,time
from pathlib import Path
import pytest

manager = pytest.importorskip('jupyter_client.manager')
pytest.importorskip('ipykernel')
ROOT = Path(__file__).parent.parent

@pytest.fixture(scope='module')
def kernel():
    km,kc = manager.start_new_kernel(kernel_name='python3', env={**os.environ, 'PYTHONPATH':str(ROOT)})
    yield km,kc
    kc.stop_channels()
    km.shutdown_kernel(now=True)

def cell(kernel, code, until=None):
    "What a cell prints, and what it shows; once it has printed `until`, the kernel is interrupted"
    (km,kc),printed,shown,pressed = kernel,[],{},[]
    def hook(m):
        c = m['content']
        if m['msg_type']=='stream': printed.append(c['text'])
        if m['msg_type'] in ('execute_result','display_data'): shown.update(c['data'])
        if until and not pressed and until in ''.join(printed):
            pressed.append(1)
            threading.Timer(1, km.interrupt_kernel).start()
    r = kc.execute_interactive(code, timeout=60, output_hook=hook)['content']
    assert r['status']=='ok', r
    return ''.join(printed),shown

SETUP = r'''
import os
from rlm import RLM
from rlm.lm import ScriptedLM
def py(s): return f'```python\n{s}\n```'
def run(*replies, delay=0, **kw): return RLM(ScriptedLM(list(replies), delay=delay), ScriptedLM(lambda m: 'from the sub-model'), verbose=True, **kw)('Who?', 'Sing, O goddess')
'''

def test_kernel(kernel):
    cell(kernel, SETUP)
    printed,shown = cell(kernel, "run(py('r = llm_query(context)\\nprint(r)'), 'FINAL_VAR(\"r\")')")
    assert 'step 1' in printed and 'llm_query(context)' in printed and 'from the sub-model' in shown['text/html'] and "status='answer'" in shown['text/plain']
    assert cell(kernel, "a = await RLM(ScriptedLM([py('FINAL(context[:4])')])).acall('Who?', 'Sing'); print(a, a.status)")[0]=='Sing answer\n'

@pytest.mark.parametrize('case', ["run(py('x = 1\\nprint(x)\\nwhile True: pass'))", "run(py('x = 1\\nprint(x)\\nwhile True: pass'), isolation='none')", "run(py('x = 1'), delay=30)"], ids=['child','in process','root call'])
def test_interrupt(kernel, case):
    cell(kernel, SETUP)
    printed,shown = cell(kernel, f'a = {case}; a', until='Who?')
    assert "status='interrupted'" in shown['text/plain'] and 'Interrupted' in printed
    assert cell(kernel, "print(run(py('FINAL(context[-7:])')).answer)")[0].endswith('goddess\n')  # and the next one runs

def test_no_process_is_left(kernel):
    if not Path('/proc').exists(): pytest.skip('needs /proc')
    cell(kernel, SETUP)
    pid = int(cell(kernel, "from rlm.tools import prep_shell\nsh = prep_shell('Sing', model=ScriptedLM([])); sh.run_cell('1')\nprint(os.getpid())")[0])
    def children(): return [p for p in Path('/proc').glob('[0-9]*') if parent(p)==pid]
    def parent(p):
        try: return int((p/'stat').read_text().rpartition(')')[2].split()[1])
        except OSError: return None
    mine = children()
    assert mine
    kernel[0].shutdown_kernel()
    until = time.monotonic()+10
    while any(p.exists() for p in mine) and time.monotonic()<until: time.sleep(.1)
    assert not any(p.exists() for p in mine)
