"""Blocks of ndjson that are not checked yet."""

from __future__ import annotations

from typing import Any

from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.pending_rows import Task
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.rows.worker_process import SLOT_BYTES
from airflow_provider_vectorize.sources.lines import BLOCK_LINES, READ_BYTES, Block, Position, make_block
from airflow_provider_vectorize.sources.source_file import SourceFile


class PendingBlock:
    """A block that this process has read. Implements :class:`~.pending_rows.PendingRows`.

    :param block: The block.
    :param check: Checks its lines in this process.
    """

    def __init__(self, block: Block, check: Check) -> None:
        self.block = block
        self.size = len(block.data)
        self._check = check

    def task(self) -> Task | None:
        """Return the text of the block and its position. A block without lines is not worth sending."""
        block = self.block
        if not block.ends or block.ends[-1] > SLOT_BYTES:
            return None
        return Task(tuple(block.position), memoryview(block.data)[: block.ends[-1]])

    def finish(self) -> Rows:
        """Check the block."""
        return check_rows(self.block, self._check)

    def finish_with(self, answer: Any, text: memoryview | None) -> Rows | None:
        """Return the rows of the block.

        :param answer: The rows, without their text.
        :param text: Their text, or ``None`` if it is the block itself.
        """
        rows: Rows | None = answer
        return rows and rows._replace(text=self.block.data if text is None else bytes(text))


class PendingRange:
    """Lines of a local file that are not read yet. Implements :class:`~.pending_rows.PendingRows`.

    The lines of its rows count from 1, because the number of lines before it is not known yet. Rows that are sent
    unchanged stay in the file. A range with a long line or too many lines has to be read block by block instead.

    :param file: The file.
    :param start: Where the lines begin in it.
    :param end: Where they end, which is exclusive.
    :param position: The same beginning as a position in the source. Its line does not matter.
    :param check: Checks the lines in this process.
    """

    def __init__(self, file: SourceFile, start: int, end: int, position: Position, check: Check) -> None:
        self.file = file
        self.start = start
        self.end = end
        self.position = position._replace(line=1)
        self.size = end - start
        self._check = check

    def task(self) -> Task | None:
        """Return where the lines are, and their position in the source."""
        if self.size > READ_BYTES:
            return None
        return Task(tuple(self.position), file=self.file, start=self.start, end=self.end)

    def finish(self) -> Rows | None:
        """Read and check the lines, or return ``None`` if they must be read block by block.

        :raises SourceError: The file cannot be read, or it is shorter than when it was opened.
        """
        if self.size > READ_BYTES:
            return None
        data = self.file.read(self.start, self.end)
        block = make_block(data, self.position)
        if len(block.ends) > BLOCK_LINES:
            return None
        rows = check_rows(block, self._check)
        return rows._replace(source_range=(self.file, self.start)) if rows.text is data else rows

    def finish_with(self, answer: Any, text: memoryview | None) -> Rows | None:
        """Return the rows of the lines.

        :param answer: The rows, without their text. ``None``: they must be read block by block.
        :param text: Their text, or ``None`` if it is the lines themselves.
        """
        rows: Rows | None = answer
        if rows is None:
            return None
        if text is not None:
            return rows._replace(text=bytes(text))
        return rows._replace(source_range=(self.file, self.start))
