"Every row of the table of faults, and the page that holds it"
import json,socket,sys
from pathlib import Path
import pytest
from faults import ROWS,World,hardened,play

pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='reads /proc')
PAGE = Path(__file__).parent.parent/'nbs'/'faults.qmd'
CASES = [pytest.param(k, *v, id='-'.join([k,*filter(None, v)])) for k,r in ROWS.items() for v in r.variants()]

@pytest.mark.parametrize('name,way,shell,place', CASES)
def test_fault(name, way, shell, place, tmp_path):
    if place=='notebook': [pytest.importorskip(o) for o in ('ipykernel','jupyter_client')]
    if shell=='hardened' and not hardened(): pytest.skip('no bubblewrap that works here')
    row = ROWS[name]
    line = row.line(play(row, World(tmp_path, way, shell, place)))
    if line not in PAGE.read_text(encoding='utf-8'): pytest.fail(f'not on the page, which tools/faults.py writes: {line}')

def test_the_page_has_a_line_for_each():
    lines = [o for o in PAGE.read_text(encoding='utf-8').splitlines() if o.startswith('| ')]
    assert [o.split(' | ')[0][2:] for o in lines if not o.startswith('| Fault')]==[r.fault for r in sorted(ROWS.values(), key=lambda r: list(dict.fromkeys(o.part for o in ROWS.values())).index(r.part))]

def test_an_answer_that_ctrl_c_left_behind_is_dropped():
    "Between a request to the fork server and its answer there is time for a Ctrl-C"
    from rlm.sandbox import SandboxShell,fork_server
    with SandboxShell() as sh:
        sh.run_cell('x = 1')
        for _ in range(3): socket.send_fds(fork_server().ctl, [json.dumps(dict(op='status', id=-1)).encode()], [])
        assert sh.run_cell('import os\nos._exit(3)').error.count('exit code 3')==1 and sh.run_cell('1').value=='1'
