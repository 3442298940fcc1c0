"""Do the work for rows in another process.

It reads the bytes that it needs from a file of the source, which its parent has opened, or from shared memory. It
returns the text of the rows in shared memory. Only short messages travel through the connection, such as the ends, IDs
and positions of rows. A worker ends when its parent does, because the connection then closes. It is started as a
program of its own, since the daemonic processes of Celery may not fork.
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, NamedTuple

from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.pending_rows import PendingRows, Task, Work, WorkSettings
from airflow_provider_vectorize.sources.source_file import SourceFile, read_range

log = logging.getLogger(__name__)

#: Bytes of shared memory for one task. Longer texts are left to the parent.
SLOT_BYTES = 1 << 20
#: Tasks that a worker has at a time: one that it does, and some that wait while the parent does one itself.
SLOTS = 6
#: Seconds to wait for a process that has just started. Until it is ready, the parent does the work itself.
READY_SECONDS = 0.0
#: Seconds after which a process that does not answer is ended. A task takes a small part of a second.
ANSWER_SECONDS = 60.0
#: Seconds that a process has to exit after it closed the connection.
EXIT_SECONDS = 5.0
#: What the new process runs, with the module path of the parent. Until it has this path, it imports only what is built
#: in, because the working directory may have modules with the same names as those of Python.
_PROGRAM = (
    "import sys; sys.path[:] = eval(sys.argv[1]); "
    "from airflow_provider_vectorize.rows.worker_process import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class _Message(NamedTuple):
    """A task as the process gets it.

    :param slot: Number of the part of the shared memory for its text.
    :param message: The message of the task.
    :param in_file: Whether its bytes are in the file, and not in the shared memory.
    :param is_new_file: Whether the descriptor of another file follows.
    :param start: Where its bytes begin.
    :param end: Where they end, which is exclusive.
    """

    slot: int
    message: Any
    in_file: bool
    is_new_file: bool
    start: int
    end: int


class WorkerProcess:
    """The parent's side of a process that does work for rows. One thread may use it, except for :meth:`close`.

    :param settings: What the work is.
    :raises OSError: The process cannot be started.
    """

    def __init__(self, settings: WorkSettings) -> None:
        self._sent = self._received = 0
        self._rows: list[PendingRows | None] = [None] * SLOTS
        self._file: SourceFile | None = None  # The file that the process has open.
        self._started = False
        self._dead = False
        with tempfile.TemporaryFile() as file:
            # On a full disk, writing this fails. A write to memory without room on the disk would end both processes.
            for _ in range(SLOTS):
                file.write(bytes(SLOT_BYTES))
            file.flush()
            self._memory = mmap.mmap(file.fileno(), SLOT_BYTES * SLOTS)
            self._process, self._connection = _start(file.fileno())
        self._answers = select.poll()  # Connection.poll would create an object of this kind each time.
        self._answers.register(self._connection.fileno(), select.POLLIN)
        self._write(pickle.dumps(settings))

    @property
    def process_id(self) -> int:
        """ID of the process."""
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Return the number of tasks that the process has."""
        return self._sent - self._received

    @property
    def is_free(self) -> bool:
        """Return whether the process can take another task: it has started, is still running and has room."""
        if not self._started and not self._dead:
            self._started = bool(self._answers.poll(READY_SECONDS * 1000)) and self._read() is not None
        return self._started and not self._dead and self.waiting < SLOTS

    @property
    def has_answer(self) -> bool:
        """Return whether :meth:`receive` does not wait."""
        return self._dead or bool(self._answers.poll(0))

    def send(self, rows: PendingRows, task: Task) -> None:
        """Give rows to the process. If it has died, :meth:`receive` says so.

        :param rows: The rows.
        :param task: What their :meth:`~.pending_rows.PendingRows.task` returned. Its data has at most
            :data:`SLOT_BYTES`.
        """
        slot = self._sent % SLOTS
        self._rows[slot] = rows
        self._sent += 1
        if task.file:
            self._write(
                pickle.dumps(_Message(slot, task.message, True, task.file is not self._file, task.start, task.end))
            )
            self._pass_file(task.file)
        else:
            start = slot * SLOT_BYTES
            end = start + len(task.data)
            self._memory[start:end] = task.data
            self._write(pickle.dumps(_Message(slot, task.message, False, False, start, end)))

    def receive(self) -> Rows | None:
        """Return the oldest rows with the work of the process, or ``None`` if it has died or failed."""
        slot = self._received % SLOTS
        rows, self._rows[slot] = self._rows[slot], None
        self._received += 1
        message = self._read() if self._answers_in_time() else None
        if message is None or rows is None:
            return None
        failure, answer, size = pickle.loads(message)  # noqa: S301 - from a process that this one started
        if failure:
            log.warning("A process that prepares rows failed, so its rows are prepared in this one: %s", failure)
            return None
        if size is None:
            return rows.finish_with(answer, None)
        with memoryview(self._memory) as memory, memory[slot * SLOT_BYTES : slot * SLOT_BYTES + size] as text:
            return rows.finish_with(answer, text)

    def close(self) -> None:
        """End the process."""
        self._dead = True
        self._process.kill()
        self._process.wait()

    def _answers_in_time(self) -> bool:
        """Wait for the next message of the process. End a process that does not answer."""
        if self._dead or self._answers.poll(ANSWER_SECONDS * 1000):
            return True
        self._dead = True
        log.warning(
            "A process that prepares rows did not answer for %.0f s and was ended. Its rows are prepared in this "
            "process, and the load continues.",
            ANSWER_SECONDS,
        )
        self.close()
        return False

    def _pass_file(self, file: SourceFile) -> None:
        """Pass the descriptor of a file, unless the process already has it."""
        if file is self._file:
            return
        self._file = file
        try:
            send_handle(self._connection, file.fileno(), self._process.pid)
        except OSError:
            self._note_death()

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
            try:
                status = self._process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                status = self._process.wait()
            log.warning(
                "A process that prepares rows ended early (exit status %s). Its rows are prepared in this process, and "
                "the load continues.",
                status,
            )


def _start(memory: int) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that shares a file as memory, and return it with the connection to it.

    :raises OSError: It cannot be started.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("This program is not run by a Python interpreter that can be started again.")
    # Other objects may be in the path. Python ignores them.
    module_path = ascii([entry for entry in sys.path if isinstance(entry, str)])
    ours, theirs = socket.socketpair()
    with theirs:
        arguments = [sys.executable, "-c", _PROGRAM, module_path, str(theirs.fileno()), str(memory)]
        process = subprocess.Popen(  # noqa: S603
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), memory),
            # The process does no linear algebra. Without its threads it starts faster and takes less memory.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    return process, Connection(ours.detach())


# ---------------------------------------------------------------- in the new process


def main(connection: int, memory: int) -> None:
    """Do one task after the other until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C and closes the connection.
    with Connection(connection) as parent, mmap.mmap(memory, SLOT_BYTES * SLOTS) as shared:
        try:
            settings: WorkSettings = pickle.loads(parent.recv_bytes())  # noqa: S301 - from the parent
            work = settings.make_work()
            parent.send_bytes(b"ready")
            file = -1
            while True:
                message: _Message = pickle.loads(parent.recv_bytes())  # noqa: S301 - from the parent
                if message.is_new_file:
                    if file >= 0:
                        os.close(file)
                    file = recv_handle(parent)
                answer, text = _do(work, message, file, shared)
                start = message.slot * SLOT_BYTES
                shared[start : start + len(text)] = text
                parent.send_bytes(answer)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # The parent has ended, or needs no more.


def _do(work: Work, message: _Message, file: int, shared: mmap.mmap) -> tuple[bytes, bytes]:
    """Do one task. Return the message for the parent, and the text of the rows unless it is the data itself."""
    start, end = message.start, message.end
    try:
        data = read_range(file, start, end) if message.in_file else shared[start:end]
        # If the file is too short, the parent finds the same and raises the error.
        answer, text = (None, None) if data is None else work(data, message.message)
    except Exception:  # noqa: BLE001 - the parent does the work again and then raises the error itself
        return pickle.dumps((traceback.format_exc(limit=-3), None, None)), b""
    if text is None:
        return pickle.dumps((None, answer, None)), b""
    if len(text) > SLOT_BYTES:
        return pickle.dumps(("the text of the rows is longer than the shared memory", None, None)), b""
    return pickle.dumps((None, answer, len(text))), text
