"""The source of the test: some large ndjson files, some of them compressed, and the expected vectors."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_vectorize.local.handle import LocalVectorize

DIMENSIONS = 768
#: Number of distinct vectors. They repeat under new ids, because generating more would take long.
DISTINCT_VECTORS = 997


@dataclass
class Source:
    """Writes objects into a folder, with ids that are numbered across all objects.

    :param folder: Folder for the objects.
    :param rows: Number of rows written so far.
    :param text_bytes: Uncompressed bytes written so far.
    """

    folder: Path
    rows: int = 0
    text_bytes: int = 0
    _tails: list[bytes] = field(default_factory=list)
    _digests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(7)
        for number in range(DISTINCT_VECTORS):
            values = [rng.gauss(0, 0.05) for _ in range(DIMENSIONS)]
            metadata = {"page": number}
            tail = f'", "values": {json.dumps(values)}, "metadata": {json.dumps(metadata)}}}\n'
            self._tails.append(tail.encode())
            self._digests.append(LocalVectorize.digest(values, metadata=metadata))

    def write(self, name: str, megabytes: int) -> None:
        """Write an object with at least this much uncompressed text."""
        end = self.text_bytes + megabytes * 1_000_000
        with open(self.folder / name, "wb") as file:
            stream = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) if name.endswith(".gz") else file
            while self.text_bytes < end:
                line = b'{"id": "doc-%d%b' % (self.rows, self._tails[self.rows % DISTINCT_VECTORS])
                stream.write(line)
                self.text_bytes += len(line)
                self.rows += 1
            if stream is not file:
                stream.close()

    def expected(self) -> dict[str, str]:
        """Return the digest of each vector, by id."""
        return {f"doc-{row}": self._digests[row % DISTINCT_VECTORS] for row in range(self.rows)}
