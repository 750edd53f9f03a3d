"The ledger: exact, also under many threads"
import random,threading
from concurrent.futures import ThreadPoolExecutor
import pytest
from rlm.budget import Budget,BudgetSpent,Ledger,Usage

@pytest.mark.parametrize('kw', [dict(max_steps=0), dict(max_steps=None), dict(max_steps=1.5), dict(max_steps=True), dict(max_calls=0), dict(max_calls=-1), dict(max_tokens='10'), dict(max_cost=0), dict(max_cost=-.1), dict(max_time=0), dict(max_time='1')])
def test_bad_limits(kw):
    with pytest.raises(ValueError, match=next(iter(kw))): Budget(**kw)

def test_limits_are_kept_by_64_threads():
    "No limit is passed at any moment, and in the end the books are even"
    l = Ledger(Budget(max_calls=500, max_tokens=100_000, max_cost=1.))
    def work(seed):
        rnd,done = random.Random(seed),Usage()
        for _ in range(60):
            est = Usage(1, rnd.randint(1,300), rnd.randint(1,200), cost=.002)
            try: l.reserve(est)
            except BudgetSpent: continue
            u = l.usage+l.reserved
            assert u.calls<=500
            used = rnd.choice([Usage(), Usage(1, est.prompt_tokens, rnd.randint(0, est.completion_tokens), cost=.001)])
            l.settle(est, used)
            done += used
        return done
    with ThreadPoolExecutor(64) as ex: parts = list(ex.map(work, range(64)))
    u = l.usage
    assert (u.calls,u.prompt_tokens,u.completion_tokens)==tuple(sum(getattr(o,k) for o in parts) for k in ('calls','prompt_tokens','completion_tokens'))
    assert l.reserved==Usage() and u.calls<=500 and u.tokens<=100_000

def test_each_limit_refuses():
    for kw,est,name in [(dict(max_calls=1),Usage(2),'calls'), (dict(max_tokens=9),Usage(1,5,5),'tokens'), (dict(max_cost=.1),Usage(1,cost=.2),'cost'), (dict(max_cost=.1),Usage(1,cost=None),'cost')]:
        with pytest.raises(BudgetSpent, match=name): Ledger(Budget(**kw)).reserve(est)
    now = [0.]
    l = Ledger(Budget(max_time=5), clock=lambda: now[0])
    l.reserve(Usage(1))
    now[0] = 5.
    with pytest.raises(BudgetSpent, match='seconds'): l.reserve(Usage(1))

def test_unknown_cost_stays_unknown():
    l = Ledger(Budget(max_tokens=100))
    l.settle(l.reserve(Usage(1,10,cost=None)), Usage(1,10,cost=None))
    assert l.usage.cost is None and l.reserved.cost==0
    l.reserve(Usage(1,10,cost=None))

def test_holdback_and_hold_time():
    now = [0.]
    l = Ledger(Budget(max_tokens=100, max_time=10), clock=lambda: now[0])
    l.holdback,l.hold_time = Usage(1,40),2.
    l.reserve(Usage(1,60))
    with pytest.raises(BudgetSpent): l.reserve(Usage(1,1))
    l.reserve(Usage(1,40), role='root')
    l = Ledger(Budget(max_time=10), clock=lambda: now[0])
    l.hold_time,now[0] = 2.,8.5
    assert l.time_left()==0 and l.time_left(hold=False)==1.5
    with pytest.raises(BudgetSpent, match='seconds'): l.reserve(Usage(1))
    l.reserve(Usage(1), role='root')
    assert Ledger().time_left() is None

def test_batches_are_cut_from_the_front():
    l = Ledger(Budget(max_calls=7))
    assert len(l.reserve_many([Usage(1)]*10))==7 and l.reserve_many([Usage(1)])==[]

def test_warning_once_for_each_limit():
    l = Ledger(Budget(max_calls=10, max_tokens=1000))
    assert l.warning() is None
    l.settle(l.reserve(Usage(8)), Usage(8))
    assert '8 of 10 calls' in l.warning() and l.warning() is None
    l.settle(l.reserve(Usage(1,900)), Usage(1,900))
    w = l.warning()
    assert '900 of 1,000 tokens' in w and 'calls' not in w and l.warning() is None

def test_left():
    assert Ledger().left()=={}
    l = Ledger(Budget(max_calls=3))
    l.reserve(Usage(1))
    assert l.left()==dict(max_calls=2)

def test_what_is_not_known_is_called_so():
    l = Ledger(Budget(max_cost=1))
    l.settle(l.reserve(Usage(1, cost=.1)), Usage(1, cost=None))
    assert 'an unknown part of 1 cost' in l.warning()
    with pytest.raises(BudgetSpent, match='an unknown part of 1 dollars used or in flight'): l.reserve(Usage(1, cost=.1))
