"""Work done ahead in threads, in order and with a bound, so that memory does not grow with the data."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

WORKERS = 4
"""Threads for headers and checks; reading waits for the disk more than for the processor."""


def ahead(
    function: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, bound: int
) -> Generator[Result, None, None]:
    """Yield ``function(job)`` in the order of the jobs, at most ``bound`` of them started and not yet taken.

    An exception is raised where its result would have been; what was started and not taken is then cancelled.
    ``workers`` 0 computes each result when it is asked for.

    >>> list(ahead(abs, [-1, 2, -3], workers=2, bound=2))
    [1, 2, 3]
    """
    if not workers:
        yield from map(function, jobs)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(function, job))
                if len(waiting) >= max(bound, 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
