"""Build the objects of the corpus and their expected outcomes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zstandard

DIMENSIONS = 32
OBJECTS = Path(__file__).parent / "objects"


@dataclass(frozen=True)
class Case:
    """One object of a source.

    :param description: What is special about the object, in the words of the documentation.
    :param name: Name of its file.
    :param content: Returns its bytes.
    :param good: Ids that must be loaded.
    :param bad: Bad rows, each as its line and a part of the reason. The first one fails a load that tolerates none.
    :param error: Part of the error with which the object fails every load.
    :param is_vector: Whether the bad row is a JSON vector, so that ``discard`` does not apply to it.
    :param large: Whether the file is written by each test instead of being stored in the repository.
    """

    description: str
    name: str
    content: Callable[[], bytes]
    good: tuple[str, ...] = ()
    bad: tuple[tuple[int, str], ...] = ()
    error: str = ""
    is_vector: bool = False
    large: bool = False


def row(vector_id: object = "v", values: object = None, **more: object) -> bytes:
    """Return a row as compact JSON."""
    fields = {"id": vector_id, "values": vector(1) if values is None else values, **more}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def vector(*first: object) -> list[object]:
    return [*first, *[0] * (DIMENSIONS - len(first))]


V1, V2, V3 = row("v1"), row("v2"), row("v3")


def lines(*texts: bytes) -> Callable[[], bytes]:
    return lambda: b"".join(text + b"\n" for text in texts)


def between(description: str, name: str, text: bytes, reason: str, *, is_vector: bool = False) -> Case:
    """Return a case with a bad row between two good ones."""
    return Case(description, f"{name}.ndjson", lines(V1, text, V2), ("v1", "v2"), ((2, reason),), is_vector=is_vector)


def fine(description: str, name: str, content: Callable[[], bytes], *good: str) -> Case:
    return Case(description, f"{name}.ndjson", content, good or ("v1", "v2"))


def with_value(text: bytes) -> bytes:
    """Return a row with this JSON as its second value."""
    return row("bad").replace(b"[1,0,", b"[1," + text + b",")


def with_metadata(metadata: bytes) -> bytes:
    return row("bad")[:-1] + b',"metadata":' + metadata + b"}"


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zst(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(content)


def flipped(content: bytes) -> bytes:
    """Return bytes with the bits of the middle one inverted."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
