"""Shares work among processes: what comes of each part is given in the order of the parts, whoever did it.

So a run that stops as soon as enough has passed stops at the same part wherever it is done, and has the same result.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

__all__ = ["shared"]

T = TypeVar("T")
R = TypeVar("R")


def shared(do: Callable[[T], R], parts: Iterator[T], jobs: int = 0) -> Iterator[R]:
    """Give `do(part)` for each of `parts`, which may have no end: only a few more than are asked for are begun.

    The processes are new ones (spawned, not forked), so that nothing of this one, its threads least of all, gets there.
    """
    jobs = jobs or os.cpu_count() or 1
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        begun: deque[Future[R]] = deque(pool.submit(do, part) for part in islice(parts, 2 * jobs))
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(pool.submit(do, part) for part in islice(parts, 1))
        finally:
            pool.shutdown(cancel_futures=True)
