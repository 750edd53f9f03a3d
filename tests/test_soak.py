"Many runs in one process leave nothing behind: the short form of `tools/soak.py`"
import json,subprocess,sys
from pathlib import Path
import pytest

TOOLS = Path(__file__).parent.parent/'tools'
pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='reads /proc')

def test_runs_leave_no_descriptor_thread_or_process():
    "Plain ones, and those ended by an error, a time-out, a dead child, a stop and a reader that went away"
    code = "import json,soak; print(json.dumps(soak.soak(100, 8, 50, one_in=2, say=lambda s: None)))"
    r = subprocess.run([sys.executable,'-c',code], cwd=TOOLS, capture_output=True, text=True, timeout=300)
    assert r.returncode==0, r.stderr[-3000:]
    rows,good = json.loads(r.stdout)
    assert good==100, r.stderr
    assert len(rows)==2 and not rows[-1]['shells'], rows
    for k in ('fds','threads','server_fds','others'): assert rows[1][k]<=rows[0][k], rows
