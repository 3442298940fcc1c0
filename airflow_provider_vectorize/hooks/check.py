"""Check whether an index holds and finds what was written to it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.airflow_support.metrics import report_check
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.checks.expectation import expect, parse_receipts
from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.golden import GoldenQuery, parse_golden_queries
from airflow_provider_vectorize.checks.report import SIGNATURE, render_report
from airflow_provider_vectorize.checks.result import CheckResult
from airflow_provider_vectorize.checks.run import IndexCheck
from airflow_provider_vectorize.checks.state_sample import sample_state
from airflow_provider_vectorize.errors import CheckError, ConfigError, SourceError
from airflow_provider_vectorize.hooks.collecting import check_replaceable
from airflow_provider_vectorize.hooks.connection import build_client, read_connection
from airflow_provider_vectorize.hooks.sync import Syncs
from airflow_provider_vectorize.load.collection import Collection
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.sources.compression import BUFFER_BYTES, open_text, raise_source_errors

#: Maximum size of an object of golden queries: 1,000 vectors of 1,536 dimensions.
GOLDEN_BYTES = 64 << 20


class Checks(Syncs):
    """The method of the hook that checks an index."""

    #: The report of the last check, if one was written.
    report: storage.ReportFile | None = None
    _check_client: VectorizeClient | None = None

    def check(
        self,
        index_name: str,
        *,
        receipt: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        state: str | None = None,
        queries: str | None = None,
        gates: Gates | None = None,
        report_path: str | None = None,
        source_conn_id: str | None = None,
    ) -> dict[str, Any]:
        """Check whether an index holds what was written to it, and whether its queries find it. Writes nothing to it.

        All gates run. One failure then names all that fell short. Takes at most 150 requests, whatever the size of the
        index. Check after a ``VectorizeMutationSensor``. Reads that fall short are repeated for some seconds, because
        replicas lag.

        :param index_name: Name of the index.
        :param receipt: What a load or a sync returned, or a list of these. With ``collect_checks`` on the load, all
            gates can run. Without it, only the gates for count and presence, and a few vectors.
        :param state: URI or path of the state folder of a sync. A sample of its IDs is read back. Needs the extra
            ``sync``.
        :param queries: URI or path of an ndjson object of golden queries, also ``.gz`` or ``.zst``: ``{"vector": [...],
            "expect": ["page-1"], "k": 10}``, or ``"id"`` instead of ``"vector"``. With more than 50 queries, an even
            selection is asked, and 20 of them if exact neighbors are checked as well.
        :param gates: The thresholds. Default: ``Gates()``.
        :param report_path: URI or path of the report, an HTML page. It replaces an earlier report. Default: none.
        :param source_conn_id: Connection of the storage, unless the names have one.
        :return: A dict that JSON can hold: ``index_name``, ``created_on``, ``passed``, ``vector_count``, ``gates`` (by
            name: ``status``, ``value``, ``threshold``, ``at_least`` and ``text``), ``queries``, ``requests`` and
            ``report_path``.
        :raises CheckError: A gate failed. Its ``result`` has the figures of all gates.
        :raises ConfigError: Nothing says what the index should hold, or the index was created again since the load.
        :raises SourceError: The state, the checks file or the golden queries cannot be read.
        :raises ApiError: A request failed.
        """
        index_name = parameters.text("index_name", index_name)
        path = parameters.optional(parameters.path, empty_is_none=True)
        state, queries, report_path = path("state", state), path("queries", queries), path("report_path", report_path)
        conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", source_conn_id)
        gates = parameters.instance_of(Gates)("gates", Gates() if gates is None else gates)
        receipts = parse_receipts(receipt)
        if not receipts and state is None and queries is None and gates.count is None:
            raise ConfigError(
                "Nothing says what the index should hold: pass receipt, state, queries or Gates(count=...)."
            )
        report = storage.ReportFile(report_path, conn_id) if report_path else None
        if report:
            check_replaceable(report, SIGNATURE)
        expectation = expect(
            index_name,
            receipts,
            [_read_collection(one, conn_id) for one in receipts if one.checks_path],
            sample_state(storage.StoredFolder(state, conn_id)) if state else None,
        )
        with build_client(read_connection(self.connection()), limits=self.limits) as client:
            self._check_client = client
            index = client.get_index(index_name)
            golden = _read_golden_queries(queries, conn_id, index.config.dimensions) if queries else []
            result = IndexCheck(client, index_name, expectation, golden, gates).run(index)
        return self._publish_check(result, report)

    def _publish_check(self, result: CheckResult, report: storage.ReportFile | None) -> dict[str, Any]:
        """Write the report, report the metrics, and raise if a gate failed."""
        if report:
            report.write(io.BytesIO(render_report(result, datetime.now(UTC))))
            self.report = report
            result = replace(result, report_path=report.uri)
        report_check(result)
        for gate in result.gates:
            self.log.log(30 if gate.status == "failed" else 20, "%s: %s (%s)", gate.label, gate.text, gate.status)
        if result.failed:
            raise CheckError(result.failure(), index_name=result.index_name, result=result.to_dict())
        self.log.info('Index "%s" passed all gates, with %d requests.', result.index_name, result.requests)
        return result.to_dict()

    def stop(self) -> None:
        """Stop a running :meth:`load`, :meth:`sync` or :meth:`check`. Call it from another thread or a signal."""
        super().stop()
        if self._check_client is not None:
            self._check_client.stop()


def _read_collection(receipt: Receipt, conn_id: str | None) -> Collection:
    """Return what a load collected.

    :raises SourceError: The checks file is missing, damaged, or belongs to another load.
    """
    file = storage.ChecksFile(str(receipt.checks_path), conn_id)
    content = file.read()
    if not content:
        raise SourceError(f"The checks file {file.uri} of the load does not exist.", uri=file.uri)
    try:
        collected = Collection.from_json(content)
    except ValueError as error:
        raise SourceError(f"The checks file {file.uri} cannot be read: {error}.", uri=file.uri) from error
    if (collected.index_name, collected.created_on) != (receipt.index_name, receipt.created_on):
        raise SourceError(
            f'The checks file {file.uri} belongs to another load, of index "{collected.index_name}". Give each load a '
            "checks file of its own.",
            uri=file.uri,
        )
    return collected


def _read_golden_queries(path: str, conn_id: str | None, dimensions: int) -> list[GoldenQuery]:
    """Return the golden queries of an object.

    :raises SourceError: The object is missing or cannot be read.
    :raises ConfigError: A line is not a query, or the object is too large.
    """
    file = storage.QueriesFile(path, conn_id)
    content = b"".join(file.pieces(GOLDEN_BYTES + 1))
    if not content:
        raise SourceError(f"The golden queries {file.uri} do not exist, or are empty.", uri=file.uri)
    text = b""
    with raise_source_errors(file.uri):
        stream = open_text(io.BytesIO(content), file.uri, 0).stream
        while len(text) <= GOLDEN_BYTES and (piece := stream.read(BUFFER_BYTES)):
            text += piece
    if len(text) > GOLDEN_BYTES:
        raise ConfigError(f"The golden queries {file.uri} have more than {GOLDEN_BYTES >> 20} MB.")
    return parse_golden_queries(text.split(b"\n"), file.uri, dimensions)
