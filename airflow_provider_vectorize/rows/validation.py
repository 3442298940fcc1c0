"""Choose how rows are checked before they are sent, according to the settings of a load."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, Protocol, get_args

import msgspec

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import one_of
from airflow_provider_vectorize.rows.checks import (
    CheckedBlock,
    Float32Check,
    FullCheck,
    LightCheck,
    RowProblem,
    SelectiveFloat32Check,
)
from airflow_provider_vectorize.rows.hashing import RowHasher

Validation = Literal["full", "light", "off"]
Float32Text = Literal["auto", "always", "never"]
VALIDATION = one_of(*get_args(Validation))
FLOAT32_TEXT = one_of(*get_args(Float32Text))


class Check(Protocol):
    """Checks rows before they are sent. Not safe for concurrent threads."""

    def __call__(self, text: bytes, /) -> tuple[str | None, bytes]:
        """Check one line, and return the vector's id (``None`` if it is not known) and the text to send.

        :param text: The line without its ``\\n``.
        :raises msgspec.DecodeError: The line is not a valid JSON vector.
        :raises RowProblem: Vectorize would refuse the vector.
        """
        ...

    def check_block(self, data: bytes, ends: list[int], /) -> CheckedBlock | None:
        """Check all lines of a block at once. Return ``None`` if each line must be checked alone.

        :param data: Whole lines, each with its ``\\n``. Bytes after the last end are not part of the block.
        :param ends: Where each line ends.
        """
        ...


_ID_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]*)"')
#: The text before the values in most rows.
_ID_BEFORE_VALUES = re.compile(_ID_FIRST.pattern + rb'\s*,\s*"values"\s*:\s*\[')


class _Id(msgspec.Struct):
    id: str


_decode_id = msgspec.json.Decoder(_Id).decode


class NoCheck:
    """Accepts every row without parsing it. It only reads an id at the beginning, to keep rows of one id in order."""

    def __call__(self, text: bytes) -> tuple[str | None, bytes]:
        """Return the id of a line and the line itself.

        :raises RowProblem: The line is blank.
        """
        if not text or text.isspace():
            raise RowProblem("blank")
        return _leading_id(text), text

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Return the ids of all lines of a block."""
        match, find = _ID_BEFORE_VALUES.match, data.find
        ids: list[bytes] = []
        others: list[bytes] = []
        start = 0
        for end in ends:
            head = match(data, start, end)
            # The values cannot hold another id of the row. Searching them would take longer than everything else.
            if not head or (after_values := find(b"]", head.end(), end)) < 0:
                return _leading_ids(data, ends)
            ids.append(head[1])
            others.append(data[after_values:end])
            start = end
        if _may_have_other_ids(b"".join(others), 0):
            return _leading_ids(data, ends)
        return CheckedBlock(b"\n".join(ids).decode("utf-8", "replace").split("\n"), ends)


def _leading_ids(data: bytes, ends: list[int]) -> CheckedBlock | None:
    """Return the ids of all lines of a block, whose keys may have any order. Return ``None`` if a line is blank."""
    rows = [data[start:end] for start, end in pairwise((0, *ends))]
    return None if any(map(bytes.isspace, rows)) else CheckedBlock(list(map(_leading_id, rows)), ends)


def _leading_id(text: bytes) -> str | None:
    """Return the id of a row if it is the first key. Return ``None`` otherwise, or if the row may have another id."""
    id_match = _ID_FIRST.match(text)
    if not id_match:
        return None
    vector_id = id_match[1].decode("utf-8", "replace")
    if not _may_have_other_ids(text, 1):
        return vector_id
    try:  # The other one may be in the metadata, which does not count. Of several ids, the decoder returns the last.
        return vector_id if _decode_id(text).id == vector_id else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _may_have_other_ids(text: bytes, ids: int) -> bool:
    """Return whether rows may have more ids than ``ids``: in metadata, at the top level, or written with escapes."""
    return text.count(b'"id"') > ids or (b"\\" in text and b"\\u006" in text)


class AutoCheck:
    """Checks the first :attr:`TRIAL_ROWS` rows with :class:`Float32Check`, which rewrites their values.

    If this makes them at least a tenth shorter, all other rows are checked in the same way. Otherwise they are checked
    with :class:`FullCheck`.
    """

    TRIAL_ROWS = 100

    def __init__(
        self, dimensions: int, limits: Limits = LIMITS, hasher: RowHasher | None = None, selective: bool = False
    ) -> None:
        self._check: Check = Float32Check(dimensions, limits, hasher)
        self._float32_check = SelectiveFloat32Check(dimensions, limits, hasher) if selective else self._check
        self._full_check = FullCheck(dimensions, limits, hasher)
        self._rows = self._bytes_read = self._bytes_to_send = 0

    def __call__(self, text: bytes) -> tuple[str | None, bytes]:
        """Check one line. The text to send may be shorter."""
        vector_id, sent = self._check(text)
        self._compare_sizes(1, len(text), len(sent))
        return vector_id, sent

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Check all rows of a block. The text to send may be shorter."""
        checked = self._check.check_block(data, ends)
        if checked:
            self._compare_sizes(len(ends), ends[-1], checked.ends[-1])
        return checked

    def _compare_sizes(self, rows: int, bytes_read: int, bytes_to_send: int) -> None:
        if self._rows < self.TRIAL_ROWS:
            self._rows += rows
            self._bytes_read += bytes_read
            self._bytes_to_send += bytes_to_send
            if self._rows >= self.TRIAL_ROWS:
                is_shorter = self._bytes_to_send <= 0.9 * self._bytes_read
                self._check = self._float32_check if is_shorter else self._full_check


def check_settings(validation: Validation, float32_text: Float32Text) -> None:
    """Check the two settings, each alone and both together.

    :raises ConfigError: A setting is not one of the allowed words, or values are to be rewritten but not parsed.
    """
    VALIDATION("validation", validation)
    FLOAT32_TEXT("float32_text", float32_text)
    if validation != "full" and float32_text == "always":
        raise ConfigError(
            "float32_text='always' needs validation='full': only values that are parsed can be rewritten."
        )


def choose_check(
    dimensions: int,
    limits: Limits,
    validation: Validation,
    float32_text: Float32Text,
    hasher: RowHasher | None = None,
    selective: bool = False,
) -> Check:
    """Return the check for the settings of a load.

    :param dimensions: Dimensions of the index.
    :param limits: Limits of Cloudflare.
    :param validation: ``full``: parse each row. ``light``: parse each row except for the values, which are counted.
        ``off``: read only the id. If Vectorize then refuses a batch, it is halved until the bad row is found.
    :param float32_text: Whether to write values as the shortest text of the same float32. ``auto``: if it saves a tenth
        or more, and ``validation`` is ``full``. ``always`` (needs ``full``) or ``never``.
    :param hasher: Calculates the hashes of rows, which needs ``full``. ``None`` (default): no hashes.
    :param selective: Whether few of the rows are sent. Values of whole blocks are then rewritten by
        :func:`~.block_rows.with_short_values`, after the rows to send are chosen. Default: no.
    :raises ConfigError: A setting is not one of the allowed words, or the two exclude each other.
    """
    check_settings(validation, float32_text)
    if validation == "off":
        return NoCheck()
    if validation == "light":
        return LightCheck(dimensions, limits)
    if float32_text == "auto":
        return AutoCheck(dimensions, limits, hasher, selective)
    float32_check = SelectiveFloat32Check if selective else Float32Check
    return (float32_check if float32_text == "always" else FullCheck)(dimensions, limits, hasher)
