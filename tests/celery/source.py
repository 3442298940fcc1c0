"""The source: ndjson, a few large plain files and some compressed ones, and what an index has to hold of it."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_vectorize.local.handle import LocalVectorize

DIMENSIONS = 768
#: Vectors that differ; more of them would take long to make, and ids differ anyway.
DIFFERENT = 997


@dataclass
class Source:
    """Writes objects into a folder, with ids that go on from one to the next.

    :param folder: where to.
    """

    folder: Path
    rows: int = 0
    text_bytes: int = 0
    _tails: list[bytes] = field(default_factory=list)
    _digests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(7)
        for number in range(DIFFERENT):
            values = [rng.gauss(0, 0.05) for _ in range(DIMENSIONS)]
            metadata = {"page": number}
            tail = f'", "values": {json.dumps(values)}, "metadata": {json.dumps(metadata)}}}\n'
            self._tails.append(tail.encode())
            self._digests.append(LocalVectorize.digest(values, metadata=metadata))

    def write(self, name: str, megabytes: int) -> None:
        """An object with so much text."""
        end = self.text_bytes + megabytes * 1_000_000
        with open(self.folder / name, "wb") as file:
            stream = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) if name.endswith(".gz") else file
            while self.text_bytes < end:
                line = b'{"id": "doc-%d%b' % (self.rows, self._tails[self.rows % DIFFERENT])
                stream.write(line)
                self.text_bytes += len(line)
                self.rows += 1
            if stream is not file:
                stream.close()

    def expected(self) -> dict[str, str]:
        """The digest of each vector, by id."""
        return {f"doc-{row}": self._digests[row % DIFFERENT] for row in range(self.rows)}
