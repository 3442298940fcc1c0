"""The servers of the storage tests end with the tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.node import PATH
from tests.storage.servers import free_port, run_node

pytestmark = pytest.mark.skipif(shutil.which("node", path=PATH) is None, reason="needs Node")
SERVER = "require('http').createServer((_, response) => response.end()).listen(Number(process.argv[1]), '127.0.0.1')"
#: Runs a server and waits.
RUN = """
import sys
from tests.storage.servers import run_node

server, port = sys.argv[1:]
with run_node("-e", server, port, url=f"http://127.0.0.1:{port}"):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_run_node_at_its_end_stops_the_server() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with run_node("-e", SERVER, str(port), url=url):
        urllib.request.urlopen(url).close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_run_node_of_a_killed_process_stops_the_server() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, SERVER, str(port)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            process.kill()
            assert connection.recv(1) == b"", "the end of the connection, by the end of the server"
