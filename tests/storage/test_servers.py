"""The servers of the storage tests end with the tests."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request

import pytest

from tests.node import PATH
from tests.storage.servers import free_port, run_node

SERVER = "require('http').createServer((_, response) => response.end()).listen(Number(process.argv[1]), '127.0.0.1')"


@pytest.mark.skipif(shutil.which("node", path=PATH) is None, reason="needs Node")
def test_run_node_at_its_end_stops_the_server() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with run_node("-e", SERVER, str(port), url=url):
        urllib.request.urlopen(url).close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)
