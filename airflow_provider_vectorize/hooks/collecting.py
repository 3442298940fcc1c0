"""The checks file of a load or a sync: what it collects for checks, saved when it has ended."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.collection import SIGNATURE
from airflow_provider_vectorize.load.collector import Collector
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.validation import Validation

log = logging.getLogger(__name__)
AnyReceipt = TypeVar("AnyReceipt", bound=Receipt)


@dataclass(frozen=True)
class ChecksOutput:
    """The checks file, and the collector that fills it.

    :param file: The file.
    :param collector: Sees the rows.
    """

    file: storage.ChecksFile
    collector: Collector

    def save(self, receipt: AnyReceipt) -> AnyReceipt:
        """Write what was collected to the file, and return the receipt with its name.

        :raises SourceError: The file cannot be written. A retry of the load sends nothing again.
        """
        collected = self.collector.finish(receipt.index_name, receipt.operation, receipt.created_on)
        self.file.write(io.BytesIO(collected.to_json()))
        counts = collected.counts
        log.info(
            "Wrote what checks need to %s: %d IDs, %d zero vectors, %d duplicates, exact neighbors of %d vectors.",
            self.file.uri,
            counts.distinct_ids,
            counts.zero_vectors,
            counts.duplicates,
            len(collected.queries),
        )
        return replace(receipt, checks_path=self.file.location.source())


def open_checks(path: str | None, conn_id: str | None, validation: Validation = "full") -> ChecksOutput | None:
    """Return the checks file of a load, or ``None`` if nothing is collected.

    :raises ConfigError: The path cannot be that of a checks file, or rows are not parsed.
    """
    path = parameters.optional(parameters.path, empty_is_none=True)("collect_checks", path)
    if path is None:
        return None
    if validation != "full":
        raise ConfigError("collect_checks needs validation='full': only values that are parsed can be collected.")
    file = storage.ChecksFile(path, conn_id)
    check_replaceable(file, SIGNATURE)
    return ChecksOutput(file, Collector())


def check_replaceable(file: storage.OutputFile, signature: bytes) -> None:
    """Check that a file does not exist, or is an earlier one of the same kind.

    :param signature: The first bytes of such files.
    :raises ConfigError: The file is another one, which would be lost.
    """
    content = b"".join(file.pieces(len(signature)))
    if content and content != signature:
        raise ConfigError(f"{file.uri} exists, and it is not a {file.kind}: choose another path. Nothing was written.")
