"""Embed paragraphs and write them to the upstream storage as ndjson. The package of the model contains its weights."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import wordllama
from texts import Paragraph
from wordllama import WordLlama

DIMENSIONS = 256
#: Maximum number of characters of a paragraph in the metadata.
EXCERPT_CHARACTERS = 300


class Embedder:
    """Embeds text as vectors of 256 dimensions, without a network connection."""

    def __init__(self) -> None:
        folder = Path(wordllama.__file__).parent
        self._model = WordLlama.load(dim=DIMENSIONS, cache_dir=folder, disable_download=True)

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a float32 array with one unit vector per text."""
        return self._model.embed(list(texts), norm=True)


def write_object(path: Path, paragraphs: Sequence[Paragraph], embedder: Embedder) -> None:
    """Write paragraphs with their embeddings to an object, gzipped if its name ends in ``.gz``, and replace it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"_{path.name}")  # Sources skip names that start with an underscore.
    lines = _lines(paragraphs, embedder)
    if path.suffix == ".gz":
        with gzip.open(new, "wb", compresslevel=1) as gzipped:
            gzipped.writelines(lines)
    else:
        with open(new, "wb") as plain:
            plain.writelines(lines)
    new.rename(path)


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
