"""Real embeddings, written to the upstream storage as ndjson. The model's weights come with its package."""

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
#: What an answer shows of a paragraph.
EXCERPT = 300


class StoredObject(NamedTuple):
    """What was written."""

    path: Path
    rows: int
    bytes: int


class Embedder:
    """Text → vectors of 256 dimensions, without a network."""

    def __init__(self) -> None:
        folder = Path(wordllama.__file__).parent
        self._model = WordLlama.load(dim=DIMENSIONS, cache_dir=folder, disable_download=True)

    def embed(self, texts: Sequence[str]) -> Any:
        """A float32 array, one row a text, of length 1 each."""
        return self._model.embed(list(texts), norm=True)


def write_objects(paragraphs: Sequence[Paragraph], embedder: Embedder, folder: Path) -> list[StoredObject]:
    """One object plain, one gzipped, in a folder that holds nothing else."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    of_providers = [paragraph for paragraph in paragraphs if paragraph.area == "providers"]
    others = [paragraph for paragraph in paragraphs if paragraph.area != "providers"]
    with open(new / "airflow.ndjson", "wb") as plain:
        plain.writelines(_lines(others, embedder))
    with gzip.open(new / "providers.ndjson.gz", "wb", compresslevel=1) as zipped:
        zipped.writelines(_lines(of_providers, embedder))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    written = ((folder / "airflow.ndjson", others), (folder / "providers.ndjson.gz", of_providers))
    return [StoredObject(path, len(rows), path.stat().st_size) for path, rows in written]


def _lines(paragraphs: Sequence[Paragraph], embedder: Embedder) -> Iterator[bytes]:
    vectors = embedder.embed([paragraph.text for paragraph in paragraphs])
    for paragraph, vector in zip(paragraphs, vectors, strict=True):
        row = {
            "id": paragraph.id,
            "values": vector,
            "namespace": paragraph.area,
            "metadata": {"text": paragraph.text[:EXCERPT], "file": paragraph.file},
        }
        yield orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
