"""Run one attempt of a load in a process that may be killed. The only argument is the path of its configuration."""

from __future__ import annotations

import functools
import itertools
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.rows import ndjson_reader, parquet_reader, row_processes, worker_process
from airflow_provider_vectorize.rows.worker_process import WorkerProcess
from airflow_provider_vectorize.sources import compression
from airflow_provider_vectorize.sources.line_ranges import line_ranges
from airflow_provider_vectorize.sources.lines import read_blocks
from airflow_provider_vectorize.sources.source_object import SourceObject
from tests.support import FileObject, FileStore, FileTarget

log = logging.getLogger("storm")

#: Exit codes: the load succeeded and its receipt is written, or it failed and has to be retried.
SUCCEEDED, FAILED = 0, 3


def main(config: dict[str, Any]) -> int:
    # The files of the storm are small, but their rows have to be sent directly from the source file.
    compression.MIN_OPEN_FILE_BYTES = 0
    if config["options"]["processes"] > 1:
        _prepare_few_rows(config["killed_checkers"])
    folder = Path(config["folder"])
    limits = Limits(vectors_per_request=config["per_request"], late_seconds=config["late_seconds"])
    client = VectorizeClient(
        Credentials(config["account_id"], config["token"], base_url=config["base_url"]),
        limits=limits,
        retry=RetryPolicy(total=config["retry_seconds"], first=0.01, longest=0.2),
        timeout=config["timeout"],
    )
    options = LoadOptions(
        dead_letters=DeadLetters(FileTarget(folder / "bad.ndjson"), "storm"),
        limits=limits,
        **config["options"],
    )
    store, identity = FileStore(folder / "checkpoint.json"), {"run": "storm", "number of clears": str(config["clears"])}
    try:
        with client:
            objects = _objects(config)
            receipt = run(
                client,
                config["operation"],
                client.get_index(config["index"]),
                objects,
                options,
                store,
                identity,
                earlier_attempt=config["attempt"] > 1,
            )
    except VectorizeError:
        log.exception("The attempt failed.")
        return FAILED
    temporary = folder / "receipt.part"
    temporary.write_text(json.dumps(receipt.to_dict()))
    temporary.replace(folder / "receipt.json")
    return SUCCEEDED


def _prepare_few_rows(killed_after: int) -> None:
    """Read few rows at a time, let other processes prepare them from the first on, and kill one of these processes.

    :param killed_after: Number of the block with which the process is killed. 0: never.
    """
    row_processes.ALONE_BYTES, worker_process.READY_SECONDS = 1, 30.0
    ndjson_reader.read_blocks = functools.partial(read_blocks, size=4_096)
    ndjson_reader.line_ranges = functools.partial(line_ranges, size=4_096)
    parquet_reader._TEXT_BYTES = 4_096
    send, sent = WorkerProcess.send, itertools.count(1)

    def send_and_kill(worker: WorkerProcess, *task: Any) -> None:
        send(worker, *task)
        if next(sent) == killed_after:
            os.kill(worker.process_id, signal.SIGKILL)

    WorkerProcess.send = send_and_kill  # type: ignore[method-assign]


def _objects(config: dict[str, Any]) -> Sequence[SourceObject]:
    """Return the objects of the source: files, or parts of them by the names that a plan uses."""
    if not config["parts"]:
        return [FileObject(Path(path)) for path in config["objects"]]
    from airflow_provider_vectorize import storage  # It imports Airflow, which is slow.

    return storage.find(config["objects"])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(process)d %(relativeCreated)d %(threadName)s %(message)s")
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
