"Every row of the table of faults, and the page that holds it"
import sys
from pathlib import Path
import pytest
from faults import ROWS,World,play

pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='reads /proc')
PAGE = Path(__file__).parent.parent/'nbs'/'faults.qmd'
CASES = [pytest.param(k, *v, id='-'.join([k,*filter(None, v)])) for k,r in ROWS.items() for v in r.variants()]

@pytest.mark.parametrize('name,way,shell,place', CASES)
def test_fault(name, way, shell, place, tmp_path):
    if place=='notebook': pytest.importorskip('ipykernel')
    row = ROWS[name]
    end = play(row, World(tmp_path, way, shell, place))
    assert row.line(end) in PAGE.read_text(encoding='utf-8'), f'not on the page, which tools/faults.py writes: {row.line(end)}'

def test_the_page_has_a_line_for_each():
    lines = [o for o in PAGE.read_text(encoding='utf-8').splitlines() if o.startswith('| ')]
    assert [o.split(' | ')[0][2:] for o in lines if not o.startswith('| Fault')]==[r.fault for r in sorted(ROWS.values(), key=lambda r: list(dict.fromkeys(o.part for o in ROWS.values())).index(r.part))]
