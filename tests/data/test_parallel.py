"""Order, bound, exceptions and what is left undone."""

import threading
import time

import pytest

from aseptic.core.errors import InputError
from aseptic.data.parallel import ahead


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_jobs(workers):
    def slow(job):
        time.sleep(0.005 * (job % 3 == 0))
        return job * job

    assert list(ahead(slow, range(20), workers=workers, bound=5)) == [job * job for job in range(20)]


def test_no_more_than_the_bound_are_started():
    started = []
    results = ahead(started.append, range(100), workers=2, bound=4)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 4
    results.close()
    assert len(started) <= 4


def test_an_exception_comes_where_its_result_would_have_been():
    def refuse(job):
        if job == 2:
            raise InputError("two")
        return job

    results = ahead(refuse, range(10), workers=2, bound=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError, match="two"):
        next(results)
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor") and one.is_alive()]
