"""The corpus of the demo: paragraphs in two objects, and how people edit them between the two nights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
from embeddings import Embedder, write_object
from texts import Paragraph, paragraphs


class Edits(NamedTuple):
    """How many paragraphs people change, remove and add overnight."""

    changed: int = 40
    removed: int = 60
    added: int = 25


class Corpus:
    """Paragraphs of Airflow's documentation with their embeddings.

    :param folder: Folder of the objects.
    """

    def __init__(self, folder: Path) -> None:
        self.embedder = Embedder()
        self.edits = Edits()
        self._plain, self._gzipped = folder / "airflow.ndjson", folder / "providers.ndjson.gz"
        texts = paragraphs()
        self._providers = [paragraph for paragraph in texts if paragraph.area == "providers"]
        others = [paragraph for paragraph in texts if paragraph.area != "providers"]
        # A few paragraphs from all over the text are not written before the second night.
        self._new = others[:: len(others) // self.edits.added][: self.edits.added]
        self._others = [paragraph for paragraph in others if paragraph not in set(self._new)]
        self._edited: list[Paragraph] = []
        self._removed: list[Paragraph] = []

    def __len__(self) -> int:
        return len(self._providers) + len(self._others)

    @property
    def an_edited_id(self) -> str:
        """ID of a paragraph that was revised."""
        return self._edited[0].id

    @property
    def a_removed_id(self) -> str:
        """ID of a paragraph that was removed."""
        return self._removed[0].id

    def objects(self) -> Iterator[tuple[Path, int]]:
        """Yield the path and the number of rows of each object."""
        yield self._plain, len(self._others)
        yield self._gzipped, len(self._providers)

    def write_first_night(self) -> None:
        """Write both objects."""
        write_object(self._plain, self._others, self.embedder)
        write_object(self._gzipped, self._providers, self.embedder)

    def write_golden_queries(self, path: Path, count: int = 20) -> int:
        """Write queries whose best match a person knows: the first half of a paragraph. Return their number."""
        chosen = [one for texts in (self._others, self._providers) for one in texts[:: len(self) // count]]
        vectors = self.embedder.embed([paragraph.text[: len(paragraph.text) // 2] for paragraph in chosen])
        lines = (
            orjson.dumps({"vector": vector, "expect": [paragraph.id]}, option=orjson.OPT_SERIALIZE_NUMPY)
            for paragraph, vector in zip(chosen, vectors, strict=True)
        )
        path.write_bytes(b"\n".join(lines))
        return len(chosen)

    def write_second_night(self) -> Edits:
        """Revise, remove and add paragraphs of the first object, and write it again."""
        step = len(self._others) // (self.edits.changed + self.edits.removed)
        touched = self._others[::step]
        self._edited = [paragraph.edited() for paragraph in touched[: self.edits.changed]]
        self._removed = touched[self.edits.changed :][: self.edits.removed]
        revised = {paragraph.id: paragraph for paragraph in self._edited}
        removed = set(self._removed)
        kept = [revised.get(paragraph.id, paragraph) for paragraph in self._others if paragraph not in removed]
        self._others = kept + self._new
        write_object(self._plain, self._others, self.embedder)
        return self.edits
