"""Check the blocks of an object in order: in this process, or also in others if the source is large."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import whole_number
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.check_workers import CheckWorker
from airflow_provider_vectorize.rows.cpus import available_cpus
from airflow_provider_vectorize.sources.lines import Block

log = logging.getLogger(__name__)

Processes = Literal["auto"] | int

#: Bytes of a source that are checked in this process before others are started. They take less time than a process
#: needs to start.
ALONE_BYTES = 64 << 20
#: Maximum number of processes for ``auto``. Four check more than the 20,000 vectors per second that Vectorize accepts.
AUTO_PROCESSES = 4

#: Maximum number of blocks that wait for an earlier one. They are in memory with their rows.
PENDING_BLOCKS = 12

#: A block with its rows, or with the process that checks it.
_Pending = tuple[Block, Rows | CheckWorker]


def processes(name: str, value: Any) -> Processes:
    """Return a number of processes, or ``auto``.

    :raises ConfigError: The value is something else.
    """
    if value == "auto":
        return "auto"
    try:
        return int(whole_number(1)(name, value))
    except ConfigError:
        raise ConfigError(f"{name} must be 'auto' or a whole number of 1 or more, not {value!r}.") from None


class BlockChecker:
    """Checks blocks. One thread may use it.

    This process checks blocks like the others. While it checks one, the others have several that wait. If one of them
    dies, this process checks its blocks again, and the others continue.

    :param settings: How rows are checked.
    :param processes: Number of processes that check rows, with this one. ``auto``: one for each processor that this
        process may use, at most :data:`AUTO_PROCESSES`, and only for full checks, because other checks take less time
        than reading.
    """

    def __init__(self, settings: CheckSettings, processes: Processes = 1) -> None:
        self._settings = settings
        self._check = settings.make_check()
        #: Number of processes that check rows of a large source.
        self.processes = _auto_processes(settings) if processes == "auto" else processes
        self._workers: list[CheckWorker] = []
        self._bytes_before_start = ALONE_BYTES

    @property
    def process_ids(self) -> list[int]:
        """IDs of the other processes that were started."""
        return [worker.process_id for worker in self._workers]

    def check(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, Rows]]:
        """Yield each block with its rows, in order."""
        pending: deque[_Pending] = deque()
        try:
            for block in blocks:
                self._start_when_large(len(block.data))
                is_short = CheckWorker.accepts(block)
                worker = self._free_worker() if is_short else None
                if worker:
                    worker.send(block)
                    pending.append((block, worker))
                else:
                    pending.append((block, check_rows(block, self._check)))
                del block  # A long line must not stay in memory while the next one is read.
                # A long block waits for those before it, but no block after it is read meanwhile.
                while pending and (not is_short or len(pending) > PENDING_BLOCKS or _is_checked(pending[0])):
                    yield self._finish(pending.popleft())
            while pending:
                yield self._finish(pending.popleft())
        finally:
            for _, checked in pending:  # The caller does not want the rest.
                if isinstance(checked, CheckWorker):
                    checked.receive()

    def close(self) -> None:
        """End the other processes. Any thread may call this, also while another one waits for them."""
        self.processes = 1
        for worker in self._workers:
            worker.close()

    def _start_when_large(self, size: int) -> None:
        """Start the other processes once enough bytes were read."""
        if self._bytes_before_start > 0:
            self._bytes_before_start -= size
            if self._bytes_before_start <= 0 and self.processes > 1:
                self._start_workers()

    def _free_worker(self) -> CheckWorker | None:
        """Return the process that has the fewest blocks, or ``None`` if no process can take another block."""
        free = [worker for worker in self._workers if worker.is_free]
        return min(free, key=lambda worker: worker.waiting, default=None)

    def _start_workers(self) -> None:
        try:
            for _ in range(self.processes - 1):
                self._workers.append(CheckWorker(self._settings))
        except OSError as error:
            working = len(self._workers) + 1
            log.warning("%d of %d processes check rows. The others cannot start: %s", working, self.processes, error)
        else:
            log.info("Now %d processes check rows, with this one.", self.processes)

    def _finish(self, pending: _Pending) -> tuple[Block, Rows]:
        """Return a block and its rows. Wait for the process that checks it."""
        block, checked = pending
        if not isinstance(checked, CheckWorker):
            return block, checked
        rows = checked.receive()
        return block, check_rows(block, self._check) if rows is None else rows


def _is_checked(pending: _Pending) -> bool:
    _, checked = pending
    return checked.has_answer if isinstance(checked, CheckWorker) else True


def _auto_processes(settings: CheckSettings) -> int:
    return min(available_cpus(), AUTO_PROCESSES) if settings.validation == "full" else 1
