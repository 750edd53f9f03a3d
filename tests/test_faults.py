"Every row of the table of faults"
import sys
import pytest
import faults
from faults import ROWS,World,play

pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='reads /proc')

CASES = [pytest.param(k, way, shell, id=f'{k}-{way}-{shell}') for k,r in ROWS.items() for way in r.ways for shell in r.shells]

@pytest.mark.parametrize('name,way,shell', CASES)
def test_fault(name, way, shell, tmp_path):
    play(ROWS[name], World(tmp_path, way, shell))
