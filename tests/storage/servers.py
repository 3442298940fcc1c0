"""Stores by servers that others wrote, in Node: s3rver for S3, Azurite for Azure. And one way to use every store."""

from __future__ import annotations

import json
import os
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
BUCKET = "vectors"
S3RVER = """
const S3rver = require(process.argv[1]);
new S3rver({address: "127.0.0.1", port: Number(process.argv[2]), directory: process.argv[3], silent: true,
  vhostBuckets: false, configureBuckets: [{name: "vectors", configs: []}]}).run();
"""
#: The account that every Azurite has.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Shop:
    """A store with one bucket, for tests that hold for every store.

    :param base: what a key is appended to.
    :param conn_id: the connection to it.
    :param put: writes an object, past the provider.
    :param empty: removes all objects.
    :param takes: whether the store itself can have such a key.
    """

    base: str
    conn_id: str | None
    put: Callable[[str, bytes], Any]
    empty: Callable[[], Any]
    takes: Callable[[str], bool]

    def name(self, key: str) -> str:
        return f"{self.base}/{key}"


@contextmanager
def node(*arguments: str, url: str) -> Iterator[None]:
    """A program of Node that answers at a URL until the block ends."""
    process = subprocess.Popen(
        ["node", *arguments], env=os.environ | {"PATH": PATH}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except urllib.error.HTTPError:
                break
            except OSError:
                if process.poll() is not None:
                    pytest.fail(f"the server ended: {process.stderr.read().decode() if process.stderr else ''}")
                time.sleep(0.1)
            else:
                break
        else:
            pytest.fail(f"nothing answers at {url}")
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def s3rver() -> Iterator[tuple[str, Any]]:
    """An S3 server; its connection for Airflow, and boto's client."""
    import boto3

    install(INSTALLER)
    url = f"http://127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        port = url.rpartition(":")[2]
        with node("-e", S3RVER, str(MODULES / "@20minutes/s3rver"), port, folder, url=url):
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
    """An Azure server; its file system of adlfs, and Azure's client of a container."""
    adlfs = pytest.importorskip("adlfs")
    from azure.storage.blob import BlobServiceClient

    install(INSTALLER)
    port = str(_free_port())
    address = f"http://127.0.0.1:{port}/devstoreaccount1"
    arguments = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    script = str(MODULES / "azurite/dist/src/blob/main.js")
    with node(script, "--blobHost", "127.0.0.1", "--blobPort", port, *arguments, url=address):
        text = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
            f"BlobEndpoint={address};"
        )
        container = BlobServiceClient.from_connection_string(text).create_container(BUCKET)
        yield adlfs.AzureBlobFileSystem(connection_string=text), container


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
