"""Describe how the rows of ndjson are checked, so that other processes can check them in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.block_rows import check_rows
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.mapped_rows import MappedCheck
from airflow_provider_vectorize.rows.pending_rows import Work
from airflow_provider_vectorize.rows.validation import Check, Float32Text, Validation, choose_check
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS, Fields
from airflow_provider_vectorize.sources.lines import BLOCK_LINES, Position, make_block


@dataclass(frozen=True)
class CheckSettings:
    """Settings of a check. They implement :class:`~.pending_rows.WorkSettings`.

    :param dimensions: Dimensions of the index.
    :param limits: Limits of Cloudflare.
    :param validation: See :func:`~.validation.choose_check`.
    :param float32_text: See the same function.
    :param hasher: Calculates the hashes of rows. ``None`` (default): no hashes.
    :param fields: Which fields of a row become the fields of a vector.
    :param selective: Whether few of the rows are sent, see :func:`~.validation.choose_check`. Default: no.
    :param keep_values: Whether the values of the rows are needed besides their text. Default: no.
    """

    dimensions: int
    limits: Limits
    validation: Validation
    float32_text: Float32Text
    hasher: RowHasher | None = None
    fields: Fields = DEFAULT_FIELDS
    selective: bool = False
    keep_values: bool = False

    def make_check(self) -> Check:
        """Return a new check, for one thread.

        :raises ConfigError: ``validation`` and ``float32_text`` contradict each other.
        """
        check = choose_check(
            self.dimensions, self.limits, self.validation, self.float32_text, self.hasher, self.selective
        )
        return check if self.fields.is_default else MappedCheck(check, self.fields)

    @property
    def is_slow(self) -> bool:
        """Return whether the check takes longer than reading."""
        return self.validation == "full"

    def make_work(self) -> Work:
        """Return work that takes lines and their position, and returns their rows without the text.

        If there are more lines than a block may have, it returns no rows.
        """
        check = self.make_check()

        def work(data: bytes, position: Any) -> tuple[Any, bytes | None]:
            block = make_block(data, Position(*position))
            if len(block.ends) > BLOCK_LINES:
                return None, None
            rows = check_rows(block, check)
            if not self.keep_values:
                rows = rows._replace(values=None)
            return rows._replace(text=None), None if rows.text is data else rows.text

        return work
