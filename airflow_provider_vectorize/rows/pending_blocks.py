"""Blocks of ndjson that are not checked yet."""

from __future__ import annotations

from typing import Any

from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.rows.worker_process import SLOT_BYTES
from airflow_provider_vectorize.sources.lines import Block


class PendingBlock:
    """A block of ndjson that is not checked yet. Implements :class:`~.pending_rows.PendingRows`.

    :param block: The block.
    :param check: Checks its lines in this process.
    """

    def __init__(self, block: Block, check: Check) -> None:
        self.block = block
        self.size = len(block.data)
        self._check = check

    def task(self) -> tuple[memoryview, Any] | None:
        """Return the text of the block and its position. A block without lines is not worth sending."""
        block = self.block
        if not block.ends or block.ends[-1] > SLOT_BYTES:
            return None
        return memoryview(block.data)[: block.ends[-1]], tuple(block.position)

    def finish(self) -> Rows:
        """Check the block."""
        return check_rows(self.block, self._check)

    def finish_with(self, answer: Any, text: memoryview | None) -> Rows:
        """Return the rows of the block.

        :param answer: The rows, without their text.
        :param text: Their text, or ``None`` if it is the block itself.
        """
        rows: Rows = answer
        return rows._replace(body=self.block.data if text is None else bytes(text))
