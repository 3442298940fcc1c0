"""A line → a vector that can be sent. Only what Vectorize is known to refuse is refused here."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import ConfigError

Validation = Literal["full", "light", "off"]
Float32Text = Literal["auto", "always", "never"]

#: A check takes a line without its ``\n`` and gives the vector's id (``None``: not known) and the text to send.
Check = Callable[[bytes], tuple[str | None, bytes]]

_NULL = msgspec.Raw(b"null")


class Row(msgspec.Struct):
    """One line of ndjson, as far as it is looked at. Other keys are left to Vectorize."""

    id: str
    values: list[float]
    namespace: str | None = None
    metadata: msgspec.Raw = _NULL


_decode = msgspec.json.Decoder(Row).decode
_decode_metadata = msgspec.json.Decoder(dict[str, Any] | None).decode


class RowProblem(Exception):  # noqa: N818 - a verdict on a row; nobody outside of a check sees it
    """What is wrong with a row that is JSON of the right shape."""


class FullCheck:
    """Parses every row: JSON, id, dimensions, finite float32, namespace, metadata.

    :param dimensions: the index's.
    :param limits: Cloudflare's limits.
    """

    def __init__(self, dimensions: int, limits: Limits = LIMITS) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._pack = struct.Struct(f"<{dimensions}f").pack
        # An id of so few characters cannot be too long in bytes, so that its bytes need not be counted.
        self._short = limits.id_bytes // 4

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line.

        :raises msgspec.DecodeError: it is no vector in JSON.
        :raises RowProblem: it is one that Vectorize refuses.
        """
        row = _decode(text)
        self.check(row, len(row.values))
        try:
            self._pack(*row.values)
        except OverflowError:
            raise RowProblem("a value is beyond the range of float32") from None
        return row.id, text

    def check(self, row: Row, dimensions: int) -> None:
        """Everything but the values themselves."""
        if dimensions != self._dimensions:
            raise RowProblem(f"{dimensions} values, the index has {self._dimensions} dimensions")
        if len(row.id) > self._short:
            _fits("id", row.id, self._limits.id_bytes)
        if row.namespace is not None:
            _fits("namespace", row.namespace, self._limits.namespace_bytes)
        if row.metadata is not _NULL:
            self._check_metadata(row.metadata)

    def _check_metadata(self, raw: msgspec.Raw) -> None:
        metadata = _decode_metadata(raw)
        for key in metadata or ():
            if not key or key[0] == "$" or "." in key or '"' in key:
                raise RowProblem(f'the metadata key {key!r} is empty, begins with $, or has a "." or a quote')
        if len(memoryview(raw)) > self._limits.metadata_bytes:
            size, most = len(msgspec.json.encode(metadata)), self._limits.metadata_bytes
            if size > most:
                raise RowProblem(f"the metadata has {size} bytes of compact JSON, at most {most} are allowed")


def _fits(what: str, text: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        raise RowProblem(f"the {what} has {size} bytes, at most {most} are allowed")


#: What stands before the values in most rows: no object but the row's own, and the key "values" at the end.
_BEFORE_VALUES = re.compile(rb'[^{]*\{[^{]*"values"[ \t]*:[ \t]*')


class Float32Check(FullCheck):
    """:class:`FullCheck`, and the values are written anew as the shortest text of the same float32.

    Vectorize stores float32, so nothing is lost, and 40 % fewer bytes travel.
    """

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line, and give it back shorter."""
        row = _decode(text)
        self.check(row, len(row.values))
        try:
            values = self._pack(*row.values)
        except OverflowError:
            raise RowProblem("a value is beyond the range of float32") from None
        first = text.find(b"[")
        if not _BEFORE_VALUES.fullmatch(text, 0, first):
            return row.id, text  # an unusual order of keys: sent as it stands
        last = text.find(b"]", first)
        short = orjson.dumps(np.frombuffer(values, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
        if len(short) > last - first:  # whole numbers, for instance, are shorter as they stand
            return row.id, text
        return row.id, b"%b%b%b" % (text[:first], short, text[last + 1 :])


class LightCheck(FullCheck):
    """Parses everything but the values, and only counts those: NaN or a word among them is left to Vectorize."""

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line."""
        first = text.find(b"[")
        if not _BEFORE_VALUES.fullmatch(text, 0, first):
            return super().__call__(text)
        last = text.find(b"]", first)
        row = _decode(text[: first + 1] + text[last:])
        dimensions = text.count(b",", first, last) + 1
        self.check(row, dimensions if dimensions > 1 or text[first + 1 : last].strip() else 0)
        return row.id, text


_ID_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]*)"')


def no_check(text: bytes) -> tuple[str | None, bytes]:
    """Sends rows as they stand. Looks for the id where it comes first: the order of batches depends on it.

    :raises RowProblem: it is no row, but a blank line.
    """
    if not text or text.isspace():
        raise RowProblem("blank")
    found = _ID_FIRST.match(text)
    return (found[1].decode("utf-8", "replace") if found else None), text


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
        if self._rows < self.SAMPLE:
            self._rows += 1
            self._before += len(text)
            self._after += len(sent)
            if self._rows == self.SAMPLE and self._after > 0.9 * self._before:
                self._check = self._plain
        return vector_id, sent


def choose_check(dimensions: int, limits: Limits, validation: Validation, float32_text: Float32Text) -> Check:
    """The check that the settings ask for.

    :param validation: ``full``: each row is parsed. ``light``: the values are only counted. ``off``: nothing is looked
        at but the id; what is wrong with a row Vectorize says, and the batch is halved until the row is found.
    :param float32_text: ``auto``: where it saves a tenth or more, values are written as the shortest text of the same
        float32; this needs ``full``. ``always`` and ``never`` mean what they say.
    :raises ConfigError: the two do not go together.
    """
    if validation not in get_args(Validation):
        raise ConfigError(f"validation has to be 'full', 'light' or 'off', not {validation!r}.")
    if float32_text not in get_args(Float32Text):
        raise ConfigError(f"float32_text has to be 'auto', 'always' or 'never', not {float32_text!r}.")
    if validation != "full" and float32_text == "always":
        raise ConfigError("float32_text='always' needs validation='full': what is not parsed cannot be rewritten.")
    if validation == "off":
        return no_check
    if validation == "light":
        return LightCheck(dimensions, limits)
    if float32_text == "auto":
        return AutoCheck(dimensions, limits)
    return (Float32Check if float32_text == "always" else FullCheck)(dimensions, limits)
