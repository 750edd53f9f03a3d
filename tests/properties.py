"What the property tests share: the same examples each time in a test run, and others each time for `tools/fuzz.py`"
import os
from hypothesis import HealthCheck,settings

quiet = dict(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile('same', derandomize=True, database=None, print_blob=False, max_examples=60, stateful_step_count=25, **quiet)
settings.register_profile('more', database=None, print_blob=True, max_examples=int(os.environ.get('RLM_EXAMPLES', 1000)), **quiet)
settings.load_profile(os.environ.get('RLM_PROFILE', 'same'))

def examples(n:int): return settings() if os.environ.get('RLM_PROFILE')=='more' else settings(max_examples=n)
