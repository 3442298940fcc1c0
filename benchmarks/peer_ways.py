"""Other ways to load a file. Each function prepares a load, and returns what runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from addresses import ACCOUNT, TOKEN, base, url


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


def s3_client(file: str, port: int, **_: Any) -> Callable[[], None]:
    """Read an object with Amazon's client, and discard it."""
    import boto3  # noqa: PLC0415

    connection = json.loads(os.environ["AIRFLOW_CONN_BENCH_S3"])
    client = boto3.client(
        "s3",
        aws_access_key_id=connection["login"],
        aws_secret_access_key=connection["password"],
        **connection["extra"],
    )
    bucket, _, key = file.removeprefix("s3://").partition("/")

    def run() -> None:
        for _piece in client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
            pass

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
