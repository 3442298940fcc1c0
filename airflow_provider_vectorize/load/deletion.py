"""From bytes to deleted vectors: the ids in a source, page by page."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, Literal

import msgspec

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import ApiError, BadRowError, ConfigError, SourceError, VectorizeError
from airflow_provider_vectorize.load.delivery import SAMPLES
from airflow_provider_vectorize.load.receipt import MUTATION_IDS, Sample
from airflow_provider_vectorize.rows.id_lines import bare_id, first_column
from airflow_provider_vectorize.sources.lines import BOM, Position, read_blocks
from airflow_provider_vectorize.sources.parts import object_offset
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)

#: What the lines of a source are: an id each, or a vector in JSON each, as a load takes them.
LinesAre = Literal["ids", "vectors"]


class _Row(msgspec.Struct):
    id: str


def delete(client: VectorizeClient, index_name: str, ids: Iterable[str]) -> dict[str, Any]:
    """Delete the vectors with these ids, a page at a time, in constant memory.

    Returns, or fails, when none of its requests can be carried out any more.

    :return: what was acknowledged, JSON-plain.
    :raises VectorizeError: its text tells what was acknowledged before.
    """
    last, kept, sent, batches = None, deque[str](maxlen=MUTATION_IDS), 0, 0
    existing: dict[str, int] | None = None
    samples: list[Sample] = []
    before = None
    try:
        with client.late.settling():
            for page, last_page in _pages(ids, client.limits.ids_per_delete):
                if existing is None:
                    existing = _existing(client, index_name, page[: client.limits.ids_per_get])
                if last_page:
                    samples = _samples(client, index_name, page)
                before = client.server_time
                last = client.delete_page(index_name, page)
                kept.append(last.mutation_id)
                sent, batches = sent + len(page), batches + 1
    except StoppedError:
        raise VectorizeError(f"The deletion was stopped. {_progress(sent, batches)}") from None
    except VectorizeError as error:
        error.progress = _progress(sent, batches)
        raise
    return {
        "operation": "delete",
        "index_name": index_name,
        "mutation_id": last.mutation_id if last else None,
        "mutation_ids": list(kept),
        "vectors": sent,
        "batches": batches,
        "accepted_at": last.accepted_at.isoformat() if last and last.accepted_at else None,
        "sent_after": before.isoformat() if before else None,
        "samples": [asdict(sample) for sample in samples],
        "sealed": True,
        "created_on": last["created_on"] if last else None,
        "existing_of_first": existing or {"ids": 0, "existing": 0},
    }


def _pages(ids: Iterable[str], size: int) -> Iterator[tuple[list[str], bool]]:
    """The ids by pages, and whether a page is the last. Where reading fails, what was read before comes first."""
    rest, page = iter(ids), list[str]()
    try:
        while following := list(islice(rest, size)):
            if page:
                yield page, False
            page = following
    except VectorizeError:
        if page:
            yield page, False
        raise
    if page:
        yield page, True


def _existing(client: VectorizeClient, index_name: str, first: Sequence[str]) -> dict[str, int]:
    """Count how many of the first ids exist in the index, and complain if there are none.

    Deleting ids that do not exist is a success, so that a file in a wrong format would go unnoticed.

    :raises ConfigError: the lines have a second column: only what stands before it exists.
    """
    try:
        found = len(client.get_by_ids(index_name, list(dict.fromkeys(first))))
        columns = [column for column in map(first_column, first) if column]
        in_columns = client.get_by_ids(index_name, list(dict.fromkeys(columns))) if columns and not found else ()
    except ApiError:
        return {"ids": 0, "existing": 0}  # what is wrong the deletion itself tells better
    ids = len(dict.fromkeys(first))
    if in_columns:
        raise ConfigError(
            f'The ids seem to have a second column: none of the first {ids} exists in index "{index_name}", but for '
            f"{len(in_columns)} of them what stands before the first space or vertical bar does. Keep the id only."
        )
    if not found:
        log.warning(
            'None of the first %d ids exists in index "%s": either these vectors were deleted before, or the '
            "ids are not written as in the index.",
            ids,
            index_name,
        )
    return {"ids": ids, "existing": found}


def _samples(client: VectorizeClient, index_name: str, page: Sequence[str]) -> list[Sample]:
    """Some vectors of the last page that are there now, so that to see them gone tells something."""
    try:
        there = client.get_by_ids(index_name, page[-client.limits.ids_per_get :])
    except ApiError:
        return []  # a deletion does not fail for want of a proof
    return [Sample(vector.id, "", new=True) for vector in there[:SAMPLES]]


def read_ids(objects: Sequence[SourceObject], lines_are: LinesAre, limits: Limits = LIMITS) -> Iterator[str]:
    """The ids in a source, in its order, in constant memory. Blank lines are none.

    :raises BadRowError: a line holds no id that a vector could have.
    :raises SourceError: an object cannot be read to its end, or changed while it was read.
    """
    read = _PARSERS[lines_are]
    for number, item in enumerate(objects):
        with item.open(0) as opened:
            first = True
            for block in read_blocks(opened.stream, Position(number)):
                line, offset = block.position.line, block.position.offset
                for raw in block.text.split(b"\n"):
                    text = (raw.removeprefix(BOM) if offset == 0 else raw).strip(b" \t\r")
                    if text:
                        vector_id, reason = _checked(read, text, limits, first)
                        first = False
                        if reason:
                            at = object_offset(item.uri, offset)
                            raise BadRowError(
                                f"Line {line} of {item.uri} (byte {at:,}) holds no id: {reason}.",
                                uri=item.uri,
                                line=line,
                                offset=at,
                                reason=reason,
                            )
                        yield vector_id
                    line, offset = line + 1, offset + len(raw) + 1
        if item.current_version() != item.version:
            raise SourceError(f"{item.uri} changed while it was read. Delete again when it is whole.", uri=item.uri)


def _checked(read: _Parser, text: bytes, limits: Limits, first: bool) -> tuple[str, str]:
    """The id, or what is wrong with it."""
    vector_id, reason = read(text, first)
    size = len(vector_id.encode())
    if not reason and not 0 < size <= limits.id_bytes:
        reason = f"{size} bytes, and an id has 1 to {limits.id_bytes}"
    return vector_id, reason


def _vector_id(text: bytes, first: bool) -> tuple[str, str]:
    """The id of a vector in JSON."""
    try:
        return _decode_row(text).id, ""
    except UnicodeDecodeError as error:
        return "", f"not UTF-8, at byte {error.start} of the line"
    except msgspec.DecodeError as error:
        return "", f"not a vector in JSON: {error}"


_decode_row = msgspec.json.Decoder(_Row).decode
#: A line, and whether it is the first of its object → the id, and what is wrong with it.
_Parser = Callable[[bytes, bool], tuple[str, str]]
_PARSERS: dict[LinesAre, _Parser] = {"ids": lambda text, first: bare_id(text, first=first), "vectors": _vector_id}


def _progress(sent: int, batches: int) -> str:
    if not batches:
        return "Nothing was acknowledged before."
    return f"{sent:,} ids were acknowledged before, {batches:,} requests; deleting them again does no harm."
