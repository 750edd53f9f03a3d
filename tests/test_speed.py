"The command that measures runs, and what in it is not a matter of time holds: figures as such are not tested"
import json,subprocess,sys
from pathlib import Path
import pytest

SPEED = Path(__file__).parent.parent/'tools'/'speed.py'
pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='reads /proc')

@pytest.fixture(scope='module')
def quick(tmp_path_factory):
    "A quick run, with its files"
    d = tmp_path_factory.mktemp('speed')
    r = subprocess.run([sys.executable, SPEED, '--quick', '--only', 'rlm', 'openai', '--json', d/'speed.json', '--markdown', d/'speed.md'], capture_output=True, text=True, timeout=300)
    assert r.returncode==0, r.stderr[-3000:]
    return r.stdout,json.loads((d/'speed.json').read_text()),(d/'speed.md').read_text()

def test_every_row_has_a_figure(quick):
    _,res,_ = quick
    rows = {'start','import','step','run','seq','batch','many','tokens','share','extends','batches','asked'} | {f'2 MB {o}' for o in ('first','cell','tree','host','child')}
    assert {k for k,v in res['samples'].items() if v.get('rlm')}==rows, res['notes']
    assert not [n for n in res['notes'] if n[1]=='rlm'], res['notes']

def test_each_request_extends_the_last_byte_for_byte(quick): assert quick[1]['samples']['extends']['rlm']==[True]

def test_batches_with_pauses_between_are_right_and_asked_once(quick):
    assert quick[1]['samples']['batches']['rlm']==[1.] and quick[1]['samples']['asked']['rlm']==[1.]

def test_a_client_without_a_loop_has_a_footnote(quick):
    out,_,md = quick
    assert '- [1]' in out and '[1] it is a client without a loop' in out
    assert '\n| --- | ---' in md and '1. it is a client without a loop' in md and 'python tools/speed.py --quick' in md
