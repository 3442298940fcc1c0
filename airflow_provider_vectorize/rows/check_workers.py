"""Check blocks in another process.

The text of a block and of its rows is exchanged in shared memory. Only short messages travel through the connection:
the place of a block, and the ends, IDs and positions of its rows. A worker ends when its parent does, because the
connection then closes. It is started as a program of its own, since the daemonic processes of Celery may not fork.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection

from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.lines import Block, Position, make_block

log = logging.getLogger(__name__)

#: Bytes of shared memory for one block. Longer blocks are checked in the parent.
SLOT_BYTES = 1 << 20
#: Blocks that a worker has at a time: one that it checks, and some that wait while the parent checks one itself.
SLOTS = 6
#: Seconds to wait for a process that has just started. Until it is ready, the parent checks blocks itself.
READY_SECONDS = 0.0
#: What the new process runs, with the module path of the parent.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from airflow_provider_vectorize.rows.check_workers import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class CheckWorker:
    """The parent's side of a process that checks blocks. One thread may use it, except for :meth:`close`.

    :param settings: How rows are checked.
    :raises OSError: The process cannot be started.
    """

    def __init__(self, settings: CheckSettings) -> None:
        self._sent = self._received = 0
        self._blocks: list[Block | None] = [None] * SLOTS
        self._started = False
        self._dead = False
        with tempfile.TemporaryFile() as file:
            os.truncate(file.fileno(), SLOT_BYTES * SLOTS)
            self._memory = mmap.mmap(file.fileno(), SLOT_BYTES * SLOTS)
            self._process, self._connection = _start(file.fileno())
        self._write(pickle.dumps(settings))

    @staticmethod
    def accepts(block: Block) -> bool:
        """Return whether a block fits into the shared memory. A block without lines is not worth sending."""
        return bool(block.ends) and block.ends[-1] <= SLOT_BYTES

    @property
    def process_id(self) -> int:
        """ID of the process."""
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Return the number of blocks that the process has."""
        return self._sent - self._received

    @property
    def is_free(self) -> bool:
        """Return whether the process can take another block: it has started, is still running and has room."""
        if not self._started and not self._dead:
            self._started = self._connection.poll(READY_SECONDS) and self._read() is not None
        return self._started and not self._dead and self.waiting < SLOTS

    @property
    def has_answer(self) -> bool:
        """Return whether :meth:`receive` does not wait."""
        return self._dead or self._connection.poll(0)

    def send(self, block: Block) -> None:
        """Give a block to the process. If it has died, :meth:`receive` says so."""
        slot, size = self._sent % SLOTS, block.ends[-1]
        self._memory[slot * SLOT_BYTES : slot * SLOT_BYTES + size] = block.data[:size]
        self._blocks[slot] = block
        self._sent += 1
        self._write(pickle.dumps((slot, size, tuple(block.position))))

    def receive(self) -> Rows | None:
        """Return the rows of the oldest block, or ``None`` if the process has died or failed."""
        slot = self._received % SLOTS
        block, self._blocks[slot] = self._blocks[slot], None
        self._received += 1
        answer = self._read()
        if answer is None or block is None:
            return None
        rows: Rows | str
        rows, size = pickle.loads(answer)  # noqa: S301 - from a process that this one started
        if isinstance(rows, str):
            log.warning("A process that checks rows failed, so its rows are checked in this one: %s", rows)
            return None
        if size is None:
            return rows._replace(body=block.data)
        return rows._replace(body=self._memory[slot * SLOT_BYTES : slot * SLOT_BYTES + size])

    def close(self) -> None:
        """End the process."""
        self._dead = True
        self._process.kill()
        self._process.wait()

    def _write(self, message: bytes) -> None:
        try:
            self._connection.send_bytes(message)
        except OSError:
            self._note_death()

    def _read(self) -> bytes | None:
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            self._note_death()
            return None

    def _note_death(self) -> None:
        if not self._dead:
            self._dead = True
            log.warning(
                "A process that checks rows ended early (exit status %s). Its rows are checked in this process, and "
                "the load continues.",
                self._process.wait(),
            )


def _start(memory: int) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that shares a file as memory, and return it with the connection to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        arguments = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(theirs.fileno()), str(memory)]
        process = subprocess.Popen(  # noqa: S603
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), memory),
        )
    return process, Connection(ours.detach())


# ---------------------------------------------------------------- in the new process


def main(connection: int, memory: int) -> None:
    """Check blocks until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C and closes the connection.
    with Connection(connection) as parent, mmap.mmap(memory, SLOT_BYTES * SLOTS) as shared:
        try:
            settings: CheckSettings = pickle.loads(parent.recv_bytes())  # noqa: S301 - from the parent
            check = settings.make_check()
            parent.send_bytes(b"ready")
            while True:
                slot, size, position = pickle.loads(parent.recv_bytes())  # noqa: S301 - from the parent
                data = shared[slot * SLOT_BYTES : slot * SLOT_BYTES + size]
                answer, text = _check(data, Position(*position), check, settings.keep_values)
                shared[slot * SLOT_BYTES : slot * SLOT_BYTES + len(text)] = text
                parent.send_bytes(answer)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # The parent has ended, or needs no more.


def _check(data: bytes, position: Position, check: Check, keep_values: bool) -> tuple[bytes, bytes]:
    """Check a block. Return the message for the parent, and the text of the rows unless it is the block itself."""
    try:
        rows = check_rows(make_block(data, position), check)
    except Exception:  # noqa: BLE001 - the parent checks the block again and then raises the error itself
        return pickle.dumps((traceback.format_exc(limit=-3), 0)), b""
    if not keep_values and not rows.shorten:
        rows = rows._replace(values=None)
    if rows.body is data:
        return pickle.dumps((rows._replace(body=b""), None)), b""
    if len(rows.body) > SLOT_BYTES:
        return pickle.dumps(("the text of the rows is longer than the shared memory", 0)), b""
    return pickle.dumps((rows._replace(body=b""), len(rows.body))), rows.body
