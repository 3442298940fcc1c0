"""Third-party storage servers that run on Node: s3rver for S3 and Azurite for Azure."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.node import PATH, TOOLS, install

MODULES = TOOLS / "storage/node_modules"
INSTALLER = Path(__file__).with_name("install_servers.sh")
EXIT_WITH_PARENT = Path(__file__).with_name("exit_with_parent.cjs")
BUCKET = "vectors"
S3RVER = """
const S3rver = require(process.argv[1]);
new S3rver({address: "127.0.0.1", port: Number(process.argv[2]), directory: process.argv[3], silent: true,
  vhostBuckets: false, configureBuckets: [{name: "vectors", configs: []}]}).run();
"""
#: Key of the development account of every Azurite.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class StoreUnderTest:
    """A store with one bucket, for tests that run against every store.

    :param base: URI of the bucket, to which a key is appended.
    :param conn_id: Airflow connection of the store.
    :param put: Writes an object without the provider.
    :param empty: Removes all objects.
    :param accepts_key: Returns whether the store can hold such a key.
    """

    base: str
    conn_id: str | None
    put: Callable[[str, bytes], Any]
    empty: Callable[[], Any]
    accepts_key: Callable[[str], bool]

    def uri(self, key: str) -> str:
        return f"{self.base}/{key}"


@contextmanager
def run_node(*arguments: str, url: str) -> Iterator[None]:
    """Run a Node program that serves a URL until the block ends, or this process does."""
    # The command may be a script that starts Node, so it has a process group of its own, which ends as one.
    process = subprocess.Popen(
        ["node", "--require", str(EXIT_WITH_PARENT), *arguments],
        env=os.environ | {"PATH": PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except urllib.error.HTTPError:
                break
            except OSError:
                if process.poll() is not None:
                    pytest.fail(f"The server exited: {process.stderr.read().decode() if process.stderr else ''}")
                time.sleep(0.1)
            else:
                break
        else:
            pytest.fail(f"Nothing answers at {url}.")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # Standard error ends with the last process of the group.


@contextmanager
def s3rver() -> Iterator[tuple[str, Any]]:
    """Run s3rver. Yield an Airflow connection to it as JSON, and a boto3 client."""
    import boto3

    install(INSTALLER)
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        port = url.rpartition(":")[2]
        with run_node("-e", S3RVER, str(MODULES / "@20minutes/s3rver"), port, folder, url=url):
            client = boto3.client(
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="S3RVER",
                aws_secret_access_key="S3RVER",
            )
            extra = {"endpoint_url": url, "region_name": "us-east-1"}
            yield json.dumps({"conn_type": "aws", "login": "S3RVER", "password": "S3RVER", "extra": extra}), client


@contextmanager
def azurite() -> Iterator[tuple[Any, Any]]:
    """Run Azurite. Yield an adlfs file system for it, and Azure's client of a container."""
    adlfs = pytest.importorskip("adlfs")
    from azure.storage.blob import BlobServiceClient

    install(INSTALLER)
    port = str(free_port())
    address = f"http://127.0.0.1:{port}/devstoreaccount1"
    arguments = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    script = str(MODULES / "azurite/dist/src/blob/main.js")
    with run_node(script, "--blobHost", "127.0.0.1", "--blobPort", port, *arguments, url=address):
        connection_string = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
            f"BlobEndpoint={address};"
        )
        container = BlobServiceClient.from_connection_string(connection_string).create_container(BUCKET)
        yield adlfs.AzureBlobFileSystem(connection_string=connection_string), container


def free_port() -> int:
    """Return a port of the loopback interface that nothing uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
