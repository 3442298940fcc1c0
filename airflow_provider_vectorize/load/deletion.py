"""Delete the vectors whose IDs a source holds, page by page."""

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
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.id_lines import bare_id, first_column
from airflow_provider_vectorize.sources.compression import is_compressed
from airflow_provider_vectorize.sources.formats import HEAD_BYTES, is_parquet
from airflow_provider_vectorize.sources.lines import BOM, Position, read_blocks
from airflow_provider_vectorize.sources.parts import object_name, object_offset
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)

#: What each line of a source holds: a bare ID, or a vector in JSON as in the source of a load.
LinesAre = Literal["ids", "vectors"]


class _Row(msgspec.Struct):
    id: str


def delete(client: VectorizeClient, index_name: str, ids: Iterable[str]) -> dict[str, Any]:
    """Delete the vectors with these IDs, one page per request, in constant memory.

    It returns or fails only when none of its requests can be carried out any more.

    :param client: The client that sends the requests.
    :param index_name: Name of the index.
    :param ids: The IDs. An iterator is consumed one page at a time.
    :return: What was acknowledged, as plain JSON.
    :raises ConfigError: The IDs seem to have a second column.
    :raises VectorizeError: A request failed. The message says what was acknowledged before.
    """
    mutation, mutation_ids, acknowledged, batches = None, deque[str](maxlen=MUTATION_IDS), 0, 0
    existing: dict[str, int] | None = None
    samples: list[Sample] = []
    sent_after = None
    try:
        with client.late.settling():
            for page, is_last in _split_into_pages(ids, client.limits.ids_per_delete):
                if existing is None:
                    existing = _count_existing(client, index_name, page[: client.limits.ids_per_get])
                if is_last:
                    samples = existing_samples(client, index_name, page)
                sent_after = client.server_time
                mutation = client.delete_page(index_name, page)
                mutation_ids.append(mutation.mutation_id)
                acknowledged, batches = acknowledged + len(page), batches + 1
    except StoppedError:
        raise VectorizeError(f"The deletion was stopped. {_progress(acknowledged, batches)}") from None
    except VectorizeError as error:
        error.progress = _progress(acknowledged, batches)
        raise
    return {
        "operation": "delete",
        "index_name": index_name,
        "mutation_id": mutation.mutation_id if mutation else None,
        "mutation_ids": list(mutation_ids),
        "vectors": acknowledged,
        "batches": batches,
        "accepted_at": mutation.accepted_at.isoformat() if mutation and mutation.accepted_at else None,
        "sent_after": sent_after.isoformat() if sent_after else None,
        "samples": [asdict(sample) for sample in samples],
        "sealed": True,
        "created_on": mutation["created_on"] if mutation else None,
        "existing_of_first": existing or {"ids": 0, "existing": 0},
    }


def _split_into_pages(ids: Iterable[str], size: int) -> Iterator[tuple[list[str], bool]]:
    """Yield the IDs in pages, and whether a page is the last. If reading fails, the IDs before are yielded first."""
    remaining, page = iter(ids), list[str]()
    try:
        while following := list(islice(remaining, size)):
            if page:
                yield page, False
            page = following
    except VectorizeError:
        if page:
            yield page, False
        raise
    if page:
        yield page, True


def _count_existing(client: VectorizeClient, index_name: str, first: Sequence[str]) -> dict[str, int]:
    """Count how many of the first IDs exist in the index, and warn if there are none.

    Deleting IDs that do not exist succeeds, so a file in a wrong format would otherwise go unnoticed.

    :raises ConfigError: None of the lines exists as an ID, but the first column of some of them does.
    """
    try:
        existing = len(client.get_by_ids(index_name, list(dict.fromkeys(first))))
        columns = [column for column in map(first_column, first) if column]
        in_columns = client.get_by_ids(index_name, list(dict.fromkeys(columns))) if columns and not existing else ()
    except ApiError:
        return {"ids": 0, "existing": 0}  # The deletion itself fails with a better message.
    ids = len(dict.fromkeys(first))
    if in_columns:
        raise ConfigError(
            f'The IDs seem to have a second column: none of the first {ids} exists in index "{index_name}", but for '
            f"{len(in_columns)} of them the text before the first space or vertical bar does. Keep only the ID in each "
            "line."
        )
    if not existing:
        log.warning(
            'None of the first %d IDs exists in index "%s". Either these vectors were deleted before, or the IDs are '
            "not spelled as in the index.",
            ids,
            index_name,
        )
    return {"ids": ids, "existing": existing}


def existing_samples(client: VectorizeClient, index_name: str, page: Sequence[str]) -> list[Sample]:
    """Return some vectors of the last page that exist now, so that their disappearance proves the deletion."""
    try:
        existing = client.get_by_ids(index_name, page[-client.limits.ids_per_get :])
    except ApiError:
        return []  # A deletion does not fail because a proof is missing.
    return [Sample(vector.id, "", new=True) for vector in existing[:SAMPLES]]


def read_ids(objects: Sequence[SourceObject], lines_are: LinesAre, limits: Limits = LIMITS) -> Iterator[str]:
    """Yield the IDs in a source, in order and in constant memory. Blank lines are ignored.

    All objects are checked before the first ID is yielded, so that nothing is deleted if one of them is Parquet.

    :param objects: The objects of the source.
    :param lines_are: What each line holds: a bare ID or a vector in JSON.
    :param limits: Cloudflare's limits, of which the length of an ID is checked.
    :raises BadRowError: A line does not hold a valid ID.
    :raises SourceError: An object is Parquet, cannot be read to its end, or changed while it was read.
    """
    for source_object in objects:
        _refuse_parquet(source_object)
    parse = _PARSERS[lines_are]
    for number, source_object in enumerate(objects):
        with source_object.open(0) as opened:
            first = True
            for block in read_blocks(opened.stream, Position(number)):
                line, offset = block.position.line, block.position.offset
                for raw in block.text.split(b"\n"):
                    text = (raw.removeprefix(BOM) if offset == 0 else raw).strip(b" \t\r")
                    if text:
                        vector_id, reason = _parse_id(parse, text, limits, first)
                        first = False
                        if reason:
                            at = object_offset(source_object.uri, offset)
                            raise BadRowError(
                                f"Line {line} of {source_object.uri} (byte {at:,}) holds no ID: {reason}.",
                                uri=source_object.uri,
                                line=line,
                                offset=at,
                                reason=reason,
                            )
                        yield vector_id
                    line, offset = line + 1, offset + len(raw) + 1
        if source_object.current_version() != source_object.version:
            raise SourceError(
                f"{source_object.uri} changed while it was read. Run the deletion again after it is complete.",
                uri=source_object.uri,
            )


def _refuse_parquet(source_object: SourceObject) -> None:
    """Raise if an object is Parquet, whatever its name is. Text in an object named ``.parquet`` is read as text.

    :raises SourceError: The object is Parquet.
    """
    if is_compressed(source_object.key) or not is_parquet(source_object.read(0, HEAD_BYTES)):
        return
    uri = object_name(source_object.uri)
    raise SourceError(
        f"{uri} is Parquet, but IDs to delete can only be read from text: write the column of the IDs to a file with "
        "one ID in each line, and set source_lines_are='ids'. Nothing was deleted.",
        uri=uri,
        permanent=True,
    )


def _parse_id(parse: _Parser, text: bytes, limits: Limits, first: bool) -> tuple[str, str]:
    """Return the ID in a line, or an empty text and the reason why the line does not hold a valid one."""
    vector_id, reason = parse(text, first)
    size = len(vector_id.encode())
    if not reason and not 0 < size <= limits.id_bytes:
        reason = f"{size} bytes, and an ID has 1 to {limits.id_bytes}"
    return vector_id, reason


def _vector_id(text: bytes, first: bool) -> tuple[str, str]:
    """Return the ID of a vector in JSON, or the reason why it cannot be read."""
    try:
        return _decode_row(text).id, ""
    except UnicodeDecodeError as error:
        return "", f"not UTF-8, at byte {error.start} of the line"
    except msgspec.DecodeError as error:
        return "", f"not a valid JSON vector: {error}"


_decode_row = msgspec.json.Decoder(_Row).decode
#: Takes a line, and whether it is the first of its object. Returns the ID, and a reason if there is none.
_Parser = Callable[[bytes, bool], tuple[str, str]]
_PARSERS: dict[LinesAre, _Parser] = {"ids": lambda text, first: bare_id(text, first=first), "vectors": _vector_id}


def _progress(acknowledged: int, batches: int) -> str:
    if not batches:
        return "Nothing was acknowledged before."
    return (
        f"Acknowledged before: {pluralize(acknowledged, 'ID')} in {pluralize(batches, 'request')}. Deleting them again "
        "changes nothing."
    )
