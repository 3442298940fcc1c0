"""Prepare the rows of an object in order: in this process, or also in others if the source is large."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import whole_number
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.cpus import available_cpus
from airflow_provider_vectorize.rows.pending_rows import PendingRows, WorkSettings
from airflow_provider_vectorize.rows.worker_process import WorkerProcess

log = logging.getLogger(__name__)

Processes = Literal["auto"] | int

#: Bytes of text that are prepared in this process before others are started. They take less time than a process needs
#: to start.
ALONE_BYTES = 64 << 20
#: Maximum number of processes for ``auto``. Four prepare more than the 20,000 vectors a second that Vectorize accepts.
AUTO_PROCESSES = 4
#: Maximum number of processes. More have nothing to do, since rows are read by one.
MAX_PROCESSES = 64

#: Maximum number of times that rows wait for earlier ones. All of them are in memory.
PENDING = 12

PendingT = TypeVar("PendingT", bound=PendingRows)


def processes(name: str, value: Any) -> Processes:
    """Return a number of processes, or ``auto``.

    :raises ConfigError: The value is something else.
    """
    if value == "auto":
        return "auto"
    problem = ConfigError(f"{name} must be 'auto' or a whole number from 1 to {MAX_PROCESSES}, not {value!r}.")
    try:
        number = int(whole_number(1)(name, value))
    except ConfigError:
        raise problem from None
    if number > MAX_PROCESSES:
        raise problem
    return number


class RowProcesses:
    """Prepares rows, in the order in which they come. One thread may use it.

    This process does the same work as the others. While it does, the others have several tasks that wait. If one of
    them dies, this process does its work again, and the others continue.

    :param settings: What the work is.
    :param processes: Number of processes that prepare rows, with this one. ``auto``: one for each processor that this
        process may use, at most :data:`AUTO_PROCESSES`, and only for work that takes longer than reading.
    """

    def __init__(self, settings: WorkSettings, processes: Processes = 1) -> None:
        self._settings = settings
        self._processes: Processes = processes
        self._workers: list[WorkerProcess] = []
        self._bytes_before_start = ALONE_BYTES

    @property
    def processes(self) -> int:
        """Number of processes that prepare the rows of a large source."""
        # Not when it is created, because counting the processors takes a part of the time of a small load.
        return _auto_processes(self._settings) if self._processes == "auto" else self._processes

    @property
    def process_ids(self) -> list[int]:
        """IDs of the other processes that were started."""
        return [worker.process_id for worker in self._workers]

    def prepare(self, source: Iterator[PendingT]) -> Iterator[tuple[PendingT, Rows | None]]:
        """Yield pending rows with the finished ones, in order. ``None``: the caller must do the work itself."""
        waiting: deque[tuple[PendingT, Rows | WorkerProcess | None]] = deque()
        try:
            for pending in source:
                self._start_when_large(pending.size)
                task = pending.task() if self._workers else None
                is_short = task is not None
                worker = self._free_worker() if task else None
                if worker and task:
                    worker.send(pending, task)
                    waiting.append((pending, worker))
                else:
                    waiting.append((pending, pending.finish()))
                del pending, task  # A long line must not stay in memory while the next one is read.
                # Long rows wait for those before them, but nothing after them is read meanwhile.
                while waiting and (not is_short or len(waiting) > PENDING or _is_finished(waiting[0][1])):
                    yield _finish(*waiting.popleft())
            while waiting:
                yield _finish(*waiting.popleft())
        finally:
            for _, result in waiting:  # The caller does not want the rest.
                if isinstance(result, WorkerProcess):
                    result.receive()

    def close(self) -> None:
        """End the other processes. Any thread may call this, also while another one waits for them."""
        self._processes = 1
        for worker in self._workers:
            worker.close()

    def expect(self, size: int) -> None:
        """Start the other processes at once if so many bytes follow that they make the load faster.

        Otherwise they start when enough bytes were read, since many small objects are also a large source.
        """
        if size >= 2 * ALONE_BYTES:
            self._start_when_large(size)

    def _start_when_large(self, size: int) -> None:
        """Start the other processes once enough bytes were read."""
        if self._bytes_before_start > 0:
            self._bytes_before_start -= size
            if self._bytes_before_start <= 0 and (processes := self.processes) > 1:
                self._start_workers(processes)

    def _free_worker(self) -> WorkerProcess | None:
        """Return the process that has the fewest tasks, or ``None`` if no process can take another one."""
        free = [worker for worker in self._workers if worker.is_free]
        return min(free, key=lambda worker: worker.waiting, default=None)

    def _start_workers(self, processes: int) -> None:
        try:
            for _ in range(processes - 1):
                self._workers.append(WorkerProcess(self._settings))
        except OSError as error:
            working = len(self._workers) + 1
            log.warning("%d of %d processes prepare rows. The others cannot start: %s", working, processes, error)
        else:
            log.info("Now %d processes prepare rows, with this one.", processes)


def _finish(pending: PendingT, result: Rows | WorkerProcess | None) -> tuple[PendingT, Rows | None]:
    """Return rows, pending and finished. Wait for the process that prepares them."""
    if not isinstance(result, WorkerProcess):
        return pending, result
    rows = result.receive()
    return pending, pending.finish() if rows is None else rows


def _is_finished(result: Rows | WorkerProcess | None) -> bool:
    return result.has_answer if isinstance(result, WorkerProcess) else True


def _auto_processes(settings: WorkSettings) -> int:
    return min(available_cpus(), AUTO_PROCESSES) if settings.is_slow else 1
