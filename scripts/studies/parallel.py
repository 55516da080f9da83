"""Runs of the simulator side by side, one process for each core, with a line that says how far they are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["each"]

T = TypeVar("T")
R = TypeVar("R")


def each(run: Callable[[T], R], tasks: Sequence[T], title: str, jobs: int = 0) -> Iterator[tuple[T, R, float]]:
    """Give each task with its result and the seconds it took, in the order in which they are done."""
    columns = (
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("ETA"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        ProcessPoolExecutor(jobs or os.cpu_count()) as pool,
    ):
        bar = progress.add_task(title, total=len(tasks))
        futures = {pool.submit(_timed, run, task): task for task in tasks}
        for future in as_completed(futures):
            result, seconds = future.result()
            progress.advance(bar)
            yield futures[future], result, seconds


def _timed(run: Callable[[T], R], task: T) -> tuple[R, float]:
    begin = time.perf_counter()
    return run(task), time.perf_counter() - begin
