"""Turn the shards of a source into the names of objects and parts: split ndjson at line ends, Parquet at row groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from airflow_provider_vectorize.plan.footers import Footer, read_footer
from airflow_provider_vectorize.plan.shards import ObjectRange, ObjectSize, Shard, split_into_shards
from airflow_provider_vectorize.plan.survey import Survey, SurveyedObject
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.compression import is_compressed


class NamedShard(NamedTuple):
    """A shard of a plan.

    :param names: Names of its objects and parts.
    :param size: Bytes of its text, known or estimated.
    """

    names: tuple[str, ...]
    size: int


def split_source(
    objects: Sequence[SurveyedObject], survey: Survey, text_sizes: Sequence[int], max_shards: int
) -> list[NamedShard]:
    """Split the source into shards.

    :param objects: The source, in order.
    :param survey: The survey of these objects.
    :param text_sizes: The bytes of text of each object.
    :param max_shards: Maximum number of shards.
    :raises SourceError: An object cannot be split, because it has no line endings, or its footer cannot be read.
    """
    if survey.footers is None:
        shards = _move_to_line_starts(objects, _split_ndjson(objects, text_sizes, max_shards))
        footers: dict[int, Footer] = {}
    else:
        shards, footers = _split_parquet(objects, survey.footers, text_sizes, max_shards)
    return [
        NamedShard(
            tuple(_name(objects, text_sizes, footers, part_range) for part_range in shard),
            sum(part_range.end - part_range.start for part_range in shard),
        )
        for shard in shards
    ]


def _split_objects(shards: Sequence[Shard], text_sizes: Sequence[int]) -> set[int]:
    """Return the numbers of the objects that are not whole."""
    return {number for shard in shards for number, start, end in shard if (start, end) != (0, text_sizes[number])}


def _split_ndjson(objects: Sequence[SurveyedObject], text_sizes: Sequence[int], max_shards: int) -> list[Shard]:
    """Split the source without splitting compressed objects.

    The store is asked for the content encoding only of objects that would be split.
    """
    indivisible = {number for number, surveyed in enumerate(objects) if is_compressed(surveyed.key)}
    while True:
        object_sizes = [ObjectSize(size, number not in indivisible) for number, size in enumerate(text_sizes)]
        shards = split_into_shards(object_sizes, max_shards)
        split = _split_objects(shards, text_sizes) - indivisible
        encoded = {number for number in split if is_compressed(objects[number].key, objects[number].encoding)}
        if not encoded:
            return shards
        indivisible |= encoded


def _split_parquet(
    objects: Sequence[SurveyedObject],
    known_footers: dict[int, Footer],
    text_sizes: Sequence[int],
    max_shards: int,
) -> tuple[list[Shard], dict[int, Footer]]:
    """Split the source at row groups, and return the footers that were needed.

    The survey does not read the footer of each object of a large source. Those of objects that would be split are read
    here. All others stay whole.
    """
    footers = dict(known_footers)
    # Parts of objects with such names are refused, because of other formats.
    whole = {number for number, surveyed in enumerate(objects) if is_compressed(surveyed.key)}
    anywhere = [
        ObjectSize(size, number not in whole, footers[number].cuts(size) if number in footers else None)
        for number, size in enumerate(text_sizes)
    ]
    for number in _split_objects(split_into_shards(anywhere, max_shards), text_sizes) - footers.keys():
        footers[number] = read_footer(objects[number])
    at_row_groups = [
        ObjectSize(size, number not in whole, footers[number].cuts(size) if number in footers else ())
        for number, size in enumerate(text_sizes)
    ]
    return split_into_shards(at_row_groups, max_shards), footers


def _move_to_line_starts(objects: Sequence[SurveyedObject], shards: Sequence[Shard]) -> list[Shard]:
    """Move each boundary inside of an object to the next line start, and drop empty ranges."""
    line_starts: dict[tuple[int, int], int] = {}

    def line_start(number: int, offset: int, size: int) -> int:
        if offset in (0, size):
            return offset
        if (number, offset) not in line_starts:
            line_starts[number, offset] = parts.next_line_start(objects[number].read, offset, size)
        return line_starts[number, offset]

    # The last range of an object ends where the object does.
    sizes = {number: end for shard in shards for number, _, end in shard}
    moved_shards = []
    for shard in shards:
        ranges = [
            ObjectRange(number, line_start(number, start, sizes[number]), line_start(number, end, sizes[number]))
            for number, start, end in shard
        ]
        moved_shards.append([moved for moved in ranges if moved.start < moved.end or not sizes[moved.object]])
    return [shard for shard in moved_shards if shard]


def _name(
    objects: Sequence[SurveyedObject],
    text_sizes: Sequence[int],
    footers: dict[int, Footer],
    part_range: ObjectRange,
) -> str:
    """Return the name of an object, or of a part of it."""
    number, start, end = part_range
    surveyed = objects[number]
    if (start, end) == (0, text_sizes[number]):
        return surveyed.name
    if number in footers:
        stored_byte = footers[number].stored_byte
        start, end = stored_byte(start, text_sizes[number]), stored_byte(end, text_sizes[number])
    return surveyed.name_of_part(parts.Part(start, end))
