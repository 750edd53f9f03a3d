"Every row of the table of faults"
import itertools,sys
import pytest
from faults import ROWS,World,play

pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='reads /proc')

CASES = [pytest.param(k, *v, id='-'.join([k,*filter(None, v)])) for k,r in ROWS.items() for v in itertools.product(r.ways, r.shells, r.places)]

@pytest.mark.parametrize('name,way,shell,place', CASES)
def test_fault(name, way, shell, place, tmp_path):
    if place=='notebook': pytest.importorskip('ipykernel')
    play(ROWS[name], World(tmp_path, way, shell, place))
