"""How closely rows are looked at before they are sent, as the settings of a load ask for."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, Protocol, get_args

import msgspec

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import one_of
from airflow_provider_vectorize.rows.checks import Checked, Float32Check, FullCheck, LightCheck, RowProblem

Validation = Literal["full", "light", "off"]
Float32Text = Literal["auto", "always", "never"]
VALIDATION = one_of(*get_args(Validation))
FLOAT32_TEXT = one_of(*get_args(Float32Text))


class Check(Protocol):
    """Looks at rows before they are sent. For one thread."""

    def __call__(self, text: bytes, /) -> tuple[str | None, bytes]:
        """Look at one line, without its ``\\n``: the vector's id (``None``: not known) and the text to send.

        :raises msgspec.DecodeError: it is no vector in JSON.
        :raises RowProblem: it is one that Vectorize refuses.
        """
        ...

    def block(self, data: bytes, ends: list[int], /) -> Checked | None:
        """Look at all lines of a block at once; ``None``: something is unusual, look at each line.

        :param data: whole lines, each with its ``\\n``; what follows the last end does not belong to them.
        :param ends: where each ends.
        """
        ...


_ID_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]*)"')


class _Id(msgspec.Struct):
    id: str


_decode_id = msgspec.json.Decoder(_Id).decode


class NoCheck:
    """Sends rows as they stand. Looks for the id where it comes first: the order of batches depends on it."""

    def __call__(self, text: bytes) -> tuple[str | None, bytes]:
        """Look at one line.

        :raises RowProblem: it is no row, but a blank line.
        """
        if not text or text.isspace():
            raise RowProblem("blank")
        return _id_of(text), text

    def block(self, data: bytes, ends: list[int]) -> Checked | None:
        """Look for all ids of a block."""
        match, ids, start = _ID_FIRST.match, list[str | None](), 0
        for end in ends:
            found = match(data, start, end)
            if not found and data[start:end].isspace():
                return None
            ids.append(found[1].decode("utf-8", "replace") if found else None)
            start = end
        known = len(ids) - ids.count(None)
        if known and (known < len(ids) or _may_have_other_ids(data, known, ends[-1])):
            ids = [_id_of(data[start:end]) for start, end in pairwise((0, *ends))]
        return Checked(ids, ends)


def _id_of(text: bytes) -> str | None:
    """The id of a row where it comes first; ``None`` where it does not, or the row may have another one."""
    found = _ID_FIRST.match(text)
    if not found:
        return None
    vector_id = found[1].decode("utf-8", "replace")
    if not _may_have_other_ids(text, 1, len(text)):
        return vector_id
    try:  # it may be one of the metadata, which does not count; of several the last one is found
        return vector_id if _decode_id(text).id == vector_id else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _may_have_other_ids(data: bytes, rows: int, end: int) -> bool:
    """Whether rows that begin with an id may have further ones, in metadata or at the top, also with escapes."""
    return data.count(b'"id"', 0, end) > rows or (b"\\" in data and data.find(b"\\u006", 0, end) >= 0)


class AutoCheck:
    """:class:`Float32Check` for the first rows; then for all others too, if it made those a tenth shorter."""

    SAMPLE = 100

    def __init__(self, dimensions: int, limits: Limits = LIMITS) -> None:
        self._check: Check = Float32Check(dimensions, limits)
        self._plain = FullCheck(dimensions, limits)
        self._rows = self._before = self._after = 0

    def __call__(self, text: bytes) -> tuple[str | None, bytes]:
        """Check one line, and perhaps give it back shorter."""
        vector_id, sent = self._check(text)
        self._weigh(1, len(text), len(sent))
        return vector_id, sent

    def block(self, data: bytes, ends: list[int]) -> Checked | None:
        """Check all rows of a block, and perhaps give them back shorter."""
        checked = self._check.block(data, ends)
        if checked:
            self._weigh(len(ends), ends[-1], checked.ends[-1])
        return checked

    def _weigh(self, rows: int, before: int, after: int) -> None:
        if self._rows < self.SAMPLE:
            self._rows += rows
            self._before += before
            self._after += after
            if self._rows >= self.SAMPLE and self._after > 0.9 * self._before:
                self._check = self._plain


def check_settings(validation: Validation, float32_text: Float32Text) -> None:
    """Check the two settings, alone and together.

    :raises ConfigError: one has no meaning, or values are to be rewritten but not parsed.
    """
    VALIDATION("validation", validation)
    FLOAT32_TEXT("float32_text", float32_text)
    if validation != "full" and float32_text == "always":
        raise ConfigError("float32_text='always' needs validation='full': what is not parsed cannot be rewritten.")


def choose_check(dimensions: int, limits: Limits, validation: Validation, float32_text: Float32Text) -> Check:
    """The check that the settings ask for.

    :param validation: ``full``: each row is parsed. ``light``: the values are only counted. ``off``: nothing is looked
        at but the id; what is wrong with a row Vectorize says, and the batch is halved until the row is found.
    :param float32_text: ``auto``: where it saves a tenth or more, values are written as the shortest text of the same
        float32; this needs ``full``. ``always`` and ``never`` mean what they say.
    :raises ConfigError: the two do not go together.
    """
    check_settings(validation, float32_text)
    if validation == "off":
        return NoCheck()
    if validation == "light":
        return LightCheck(dimensions, limits)
    if float32_text == "auto":
        return AutoCheck(dimensions, limits)
    return (Float32Check if float32_text == "always" else FullCheck)(dimensions, limits)
