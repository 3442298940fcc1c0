"""Ways to load a file with this provider. Each function prepares a load, and returns what runs it."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from addresses import ACCOUNT, TOKEN, base


@cache
def airflow_home() -> str:
    """Return a temporary AIRFLOW_HOME, which is removed when this process ends."""
    home = tempfile.mkdtemp(prefix="bench-airflow-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


def connect(port: int) -> None:
    """Set the environment of an Airflow whose default connection is the sink."""
    os.environ["AIRFLOW_HOME"] = airflow_home()
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    connection = {"conn_type": "vectorize", "host": base(port), "password": TOKEN, "extra": {"account_id": ACCOUNT}}
    os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"] = json.dumps(connection)


def ours(file: str, port: int, **options: Any) -> Callable[[], None]:
    """Call ``execute`` of the provider's operator."""
    connect(port)
    from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator  # noqa: PLC0415

    operator = VectorizeUpsertOperator(task_id="load", index_name="bench", source=file, do_xcom_push=False, **options)

    class TaskInstance:
        max_tries = 0

    return lambda: operator.execute({"ti": TaskInstance()})


def sync(file: str, port: int, *, night: str, **options: Any) -> Callable[[], None]:
    """Call ``execute`` of the sync operator.

    :param night: ``first``, or a night after it: ``skipped`` (nothing has changed), ``rewritten`` (the object has
        another version and the same rows) or ``changed`` (the rows of :func:`corpus.changed`).
    """
    connect(port)
    from airflow_provider_vectorize.operators.sync import VectorizeSyncOperator  # noqa: PLC0415

    temporary = tempfile.TemporaryDirectory(prefix="sync-", dir=Path(file).parent)
    folder = Path(temporary.name)
    source = folder / "docs.ndjson"
    source.hardlink_to(file)
    operator = VectorizeSyncOperator(
        task_id="sync", index_name="bench", source=str(source), state=str(folder / "state"), **options
    )

    def run() -> None:
        operator.execute({})
        assert folder.exists(), temporary  # It is deleted when nothing refers to it any more.

    if night != "first":
        run_in_other_process(run)
    if night == "changed":
        source.unlink()
        source.hardlink_to(Path(file).with_name(f"changed-{Path(file).name}"))
    if night == "rewritten":
        os.utime(source)
    return run


def run_in_other_process(run: Callable[[], None]) -> None:
    """Run the first night in a process of its own, which leaves nothing in the memory of this one."""
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("The first night failed.")


def reader(
    file: str, port: int, *, source_conn_id: str | None = None, processes: str | int = "auto"
) -> Callable[[], None]:
    """Read, parse and check all rows, as a load does, and do nothing else."""
    connect(port)
    from airflow_provider_vectorize import storage  # noqa: PLC0415
    from airflow_provider_vectorize.api.limits import LIMITS  # noqa: PLC0415
    from airflow_provider_vectorize.rows.ranges import ProcessedRanges  # noqa: PLC0415
    from airflow_provider_vectorize.rows.reader import read_rows  # noqa: PLC0415
    from airflow_provider_vectorize.rows.row_readers import choose_reader  # noqa: PLC0415
    from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS  # noqa: PLC0415

    objects = storage.find(file, source_conn_id)
    row_reader = choose_reader("ndjson", DEFAULT_FIELDS, 768, LIMITS, "full", "never", processes=processes)

    def run() -> None:
        for _rows in read_rows(objects, row_reader, ProcessedRanges()):
            pass
        row_reader.close()

    return run


def line_by_line(file: str, port: int, **options: Any) -> Callable[[], None]:
    """Call ``execute`` as on a Python without pysimdjson: each line is parsed alone."""
    sys.modules["simdjson"] = None  # type: ignore[assignment]
    return ours(file, port, **options)
