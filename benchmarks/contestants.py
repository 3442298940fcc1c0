"""One way of loading a file, as a process of its own: prints seconds and memory as JSON.

    python benchmarks/contestants.py NAME FILE PORT --one-row FILE [--options JSON]

Each way is gone once with a file of one row first, so that whatever is imported on first use is there. The clock runs
from the first look at the file to the last answer. Memory is the process's peak over what it had after that one row.
"""

from __future__ import annotations

import argparse
import json
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
    """The yardstick: the whole file in one request, 1 MB at a time."""

    def run() -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock, Path(file).open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            sock.sendall(f"POST /upsert HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
            buffer = bytearray(1 << 20)
            view = memoryview(buffer)
            while n := stream.readinto(buffer):
                sock.sendall(view[:n])
            if b"200 OK" not in sock.recv(65_536):
                raise SystemExit("the sink did not answer")

    return run


def ours(file: str, port: int, **options: Any) -> Callable[[], None]:
    """The operator's ``execute``."""
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="bench-airflow-")
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    connection = {"conn_type": "vectorize", "host": base(port), "password": TOKEN, "extra": {"account_id": ACCOUNT}}
    os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"] = json.dumps(connection)
    from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator  # noqa: PLC0415

    operator = VectorizeUpsertOperator(task_id="load", index_name="bench", source=file, do_xcom_push=False, **options)

    class TaskInstance:
        max_tries = 0

    return lambda: operator.execute({"ti": TaskInstance()})


def docs_whole(file: str, port: int, **_: Any) -> Callable[[], None]:
    """The example of Cloudflare's documentation: the file as one form."""
    import requests  # noqa: PLC0415

    def run() -> None:
        with Path(file).open("rb") as stream:
            requests.post(
                url(port), headers={"Authorization": f"Bearer {TOKEN}"}, files={"vectors": stream}, timeout=600
            )

    return run


def docs_batches(file: str, port: int, *, size: int = 5_000, **_: Any) -> Callable[[], None]:
    """The same, so many rows at a time, as the limits ask for."""
    import requests  # noqa: PLC0415

    def run() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for body in bodies(file, size):
            requests.post(url(port), headers=headers, files={"vectors": body}, timeout=600).raise_for_status()

    return run


def bodies(file: str, size: int) -> Any:
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
    """Cloudflare's Python SDK, so many rows a call; it neither checks nor splits."""
    from cloudflare import Cloudflare  # noqa: PLC0415

    client = Cloudflare(api_token=TOKEN, base_url=base(port))

    def run() -> None:
        for body in bodies(file, size):
            client.vectorize.indexes.upsert(
                "bench", account_id=ACCOUNT, body=body, extra_headers={"Content-Type": "application/x-ndjson"}
            )

    return run


def first_written(file: str, port: int, **_: Any) -> Callable[[], None]:
    """The operator that everybody writes first: read, parse, cut, dump, post."""
    import requests  # noqa: PLC0415

    def run() -> None:
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
        for at in range(0, len(rows), 1_000):
            body = "\n".join(json.dumps(row) for row in rows[at : at + 1_000])
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
            requests.post(url(port), data=body.encode(), headers=headers, timeout=600).raise_for_status()

    return run


def wrangler(file: str, port: int, *, command: str, **_: Any) -> Callable[[], None]:
    """Cloudflare's command line, start-up included; it stops after 100,000 vectors."""
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


CONTESTANTS = {f.__name__: f for f in (plain_socket, ours, docs_whole, docs_batches, sdk, first_written, wrangler)}


def memory(what: str) -> int:
    """KB of this process, from the kernel: getrusage's peak would be the parent's, which it survives."""
    return next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("file")
    parser.add_argument("port", type=int)
    parser.add_argument("--one-row", required=True)
    parser.add_argument("--options", type=json.loads, default={})
    args = parser.parse_args()
    contestant = CONTESTANTS[args.name]
    if args.name != "wrangler":  # it would start anew anyway
        contestant(args.one_row, args.port, **args.options)()
        with urllib.request.urlopen(f"http://127.0.0.1:{args.port}/reset"):
            pass
    run = contestant(args.file, args.port, **args.options)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    begun, busy = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - busy
    # wrangler is a child, and has no imports of ours to subtract.
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    over = child if args.name == "wrangler" else memory("VmHWM") - before
    figures = {"seconds": seconds, "over_mb": over / 1024, "peak_mb": (before + over) / 1024, "cpu": cpu}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
