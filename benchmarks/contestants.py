"""Load a file in one of several ways, and print the duration and memory as JSON.

    python benchmarks/contestants.py NAME FILE PORT --one-row FILE [--options JSON]

The process first loads a file of one row, which imports everything that is imported on first use. The measured time is
from opening the file to the last response. The measured memory is the peak above what the process used after the one
row.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACCOUNT = "0" * 32
TOKEN = "bench"  # noqa: S105


def base(port: int) -> str:
    return f"http://127.0.0.1:{port}/client/v4"


def url(port: int) -> str:
    return f"{base(port)}/accounts/{ACCOUNT}/vectorize/v2/indexes/bench/upsert"


def plain_socket(file: str, port: int, **_: Any) -> Callable[[], None]:
    """Send the whole file in one request, 1 MB at a time: the reference for all other ways."""

    def run() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection, Path(file).open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            connection.sendall(f"POST /upsert HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
            buffer = bytearray(1 << 20)
            view = memoryview(buffer)
            while count := stream.readinto(buffer):
                connection.sendall(view[:count])
            if b"200 OK" not in connection.recv(65_536):
                raise SystemExit("The sink did not respond.")

    return run


def connect(port: int) -> None:
    """Set the environment of an Airflow whose default connection is the sink."""
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="bench-airflow-")
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


def reader(file: str, port: int, *, processes: str | int = "auto", **_: Any) -> Callable[[], None]:
    """Read, parse and check all rows, as a load does, and do nothing else.

    :param processes: As of a load.
    """
    connect(port)
    from airflow_provider_vectorize import storage  # noqa: PLC0415
    from airflow_provider_vectorize.api.limits import LIMITS  # noqa: PLC0415
    from airflow_provider_vectorize.rows.ranges import ProcessedRanges  # noqa: PLC0415
    from airflow_provider_vectorize.rows.reader import read_rows  # noqa: PLC0415
    from airflow_provider_vectorize.rows.row_readers import choose_reader  # noqa: PLC0415
    from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS  # noqa: PLC0415

    objects = storage.find(file, None)
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


def docs_whole(file: str, port: int, **_: Any) -> Callable[[], None]:
    """Send the file as one form, as the example in Cloudflare's documentation does."""
    import requests  # noqa: PLC0415

    def run() -> None:
        with Path(file).open("rb") as stream:
            requests.post(
                url(port), headers={"Authorization": f"Bearer {TOKEN}"}, files={"vectors": stream}, timeout=600
            )

    return run


def docs_batches(file: str, port: int, *, size: int = 5_000, **_: Any) -> Callable[[], None]:
    """Send the file as forms of ``size`` rows each, as the limits of Vectorize require."""
    import requests  # noqa: PLC0415

    def run() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for body in split_bodies(file, size):
            requests.post(url(port), headers=headers, files={"vectors": body}, timeout=600).raise_for_status()

    return run


def split_bodies(file: str, size: int) -> Any:
    """Yield the file in bodies of ``size`` rows."""
    lines: list[bytes] = []
    with Path(file).open("rb") as stream:
        for line in stream:
            lines.append(line)
            if len(lines) == size:
                yield b"".join(lines)
                lines = []
    if lines:
        yield b"".join(lines)


def sdk(file: str, port: int, *, size: int = 5_000, **_: Any) -> Callable[[], None]:
    """Call Cloudflare's Python SDK with ``size`` rows per call. The SDK neither checks nor splits the rows."""
    from cloudflare import Cloudflare  # noqa: PLC0415

    client = Cloudflare(api_token=TOKEN, base_url=base(port))

    def run() -> None:
        for body in split_bodies(file, size):
            client.vectorize.indexes.upsert(
                "bench", account_id=ACCOUNT, body=body, extra_headers={"Content-Type": "application/x-ndjson"}
            )

    return run


def naive_operator(file: str, port: int, **_: Any) -> Callable[[], None]:
    """Read and parse all of the file, split the rows, write them as JSON and send them: a naive operator."""
    import requests  # noqa: PLC0415

    def run() -> None:
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
        for first in range(0, len(rows), 1_000):
            body = "\n".join(json.dumps(row) for row in rows[first : first + 1_000])
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
            requests.post(url(port), data=body.encode(), headers=headers, timeout=600).raise_for_status()

    return run


def wrangler(file: str, port: int, *, command: str, **_: Any) -> Callable[[], None]:
    """Run Cloudflare's command line, including its start-up. It stops after 100,000 vectors."""
    environment = os.environ | {
        "CLOUDFLARE_API_BASE_URL": base(port),
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
        "WRANGLER_SEND_METRICS": "false",
        "CI": "1",
    }

    def run() -> None:
        arguments = [command, "vectorize", "upsert", "bench", "--file", file]
        subprocess.run(arguments, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603

    return run


CONTESTANTS = {
    function.__name__: function
    for function in (
        plain_socket,
        ours,
        line_by_line,
        sync,
        reader,
        docs_whole,
        docs_batches,
        sdk,
        naive_operator,
        wrangler,
    )
}


def memory_kb(field: str) -> int:
    """Return a memory figure of this process from the kernel.

    The peak of getrusage cannot be used, because a new process inherits it from its parent.
    """
    return next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("file")
    parser.add_argument("port", type=int)
    parser.add_argument("--one-row", required=True)
    parser.add_argument("--options", type=json.loads, default={})
    args = parser.parse_args()
    contestant = CONTESTANTS[args.name]
    if args.name != "wrangler":  # Each run of wrangler is a new process.
        contestant(args.one_row, args.port, **args.options)()
    run = contestant(args.file, args.port, **args.options)
    with urllib.request.urlopen(f"http://127.0.0.1:{args.port}/reset"):
        pass
    before = memory_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Reset the peak, which includes the imports.
    started, started_cpu = time.perf_counter(), cpu_seconds()
    run()
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - started_cpu
    # wrangler runs in a child process, whose peak includes nothing of this process.
    child_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    over_kb = child_kb if args.name == "wrangler" else memory_kb("VmHWM") - before
    figures = {"seconds": seconds, "over_mb": over_kb / 1024, "peak_mb": (before + over_kb) / 1024, "cpu": cpu}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
