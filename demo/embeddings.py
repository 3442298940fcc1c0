"""Embed paragraphs and write them to the upstream storage as ndjson. The package of the model contains its weights."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import wordllama
from texts import Paragraph
from wordllama import WordLlama

DIMENSIONS = 256
#: Maximum number of characters of a paragraph in the metadata.
EXCERPT_CHARACTERS = 300


class WrittenObject(NamedTuple):
    """An object that was written, with its number of rows and its size in bytes."""

    path: Path
    rows: int
    bytes: int


class Embedder:
    """Embeds text as vectors of 256 dimensions, without a network connection."""

    def __init__(self) -> None:
        folder = Path(wordllama.__file__).parent
        self._model = WordLlama.load(dim=DIMENSIONS, cache_dir=folder, disable_download=True)

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a float32 array with one unit vector per text."""
        return self._model.embed(list(texts), norm=True)


def write_objects(paragraphs: Sequence[Paragraph], embedder: Embedder, folder: Path) -> list[WrittenObject]:
    """Write an uncompressed and a gzipped object, and replace the content of the folder with them."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    provider_paragraphs = [paragraph for paragraph in paragraphs if paragraph.area == "providers"]
    others = [paragraph for paragraph in paragraphs if paragraph.area != "providers"]
    with open(new / "airflow.ndjson", "wb") as plain:
        plain.writelines(_lines(others, embedder))
    with gzip.open(new / "providers.ndjson.gz", "wb", compresslevel=1) as gzipped:
        gzipped.writelines(_lines(provider_paragraphs, embedder))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    written = ((folder / "airflow.ndjson", others), (folder / "providers.ndjson.gz", provider_paragraphs))
    return [WrittenObject(path, len(rows), path.stat().st_size) for path, rows in written]


def _lines(paragraphs: Sequence[Paragraph], embedder: Embedder) -> Iterator[bytes]:
    vectors = embedder.embed([paragraph.text for paragraph in paragraphs])
    for paragraph, vector in zip(paragraphs, vectors, strict=True):
        row = {
            "id": paragraph.id,
            "values": vector,
            "namespace": paragraph.area,
            "metadata": {"text": paragraph.text[:EXCERPT_CHARACTERS], "file": paragraph.file},
        }
        yield orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
