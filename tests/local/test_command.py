"""The command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

COMMAND = [sys.executable, "-m", "airflow_provider_vectorize.local"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The process and the lines it prints when it listens."""
    process = subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, [process.stdout.readline().rstrip() for _ in range(7)]
    finally:
        process.terminate()  # so that it removes its temporary directory
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def refused(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    return done.stderr


def test_it_says_what_it_is_where_and_what_to_paste_into_airflow(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    with running("--data", str(tmp_path / "data"), "--lag", "0.5", "--port-file", str(port_file)) as (process, lines):
        assert lines[0].startswith("Local Vectorize on http://127.0.0.1:")
        assert "this machine only" in lines[1]
        assert str(tmp_path / "data") in lines[2]
        name, _, value = lines[6].partition("=")
        assert name == "AIRFLOW_CONN_VECTORIZE_DEFAULT"
        connection = json.loads(value.strip("'"))
        assert connection["conn_type"] == "vectorize"
        for typed in (connection["host"], connection["password"], connection["extra"]["account_id"]):
            assert typed in lines[4]
        url = f"{connection['host']}/accounts/{connection['extra']['account_id']}/vectorize/v2/indexes"
        headers = {"Authorization": f"Bearer {connection['password']}"}
        assert requests.get(url, headers=headers, timeout=10).json()["result"] == []
        port = port_file.read_text()
        assert f":{port}/client/v4" in lines[0]
        page = requests.get(f"http://127.0.0.1:{port}/", timeout=10)
        assert "No index yet" in page.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_without_a_directory_it_says_that_the_data_are_temporary_and_removes_them() -> None:
    with running() as (process, lines):
        assert "temporary" in lines[2]
        directory = Path(lines[2].partition("Data: ")[2].partition(",")[0])
        assert directory.is_dir()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not directory.exists()


def test_it_binds_to_no_address_that_others_reach_unless_told_to() -> None:
    assert "--allow-remote" in refused("--bind", "0.0.0.0")
    assert "--allow-remote" in refused("--bind", "example.com")
    with running("--bind", "0.0.0.0", "--allow-remote") as (_, lines):
        assert "everybody" in lines[1]


def test_one_directory_serves_one_process(tmp_path: Path) -> None:
    with running("--data", str(tmp_path)):
        assert "another local Vectorize" in refused("--port", "0", "--data", str(tmp_path))


def test_a_port_in_use_is_said_plainly() -> None:
    with running() as (_, lines):
        port = lines[0].partition("127.0.0.1:")[2].partition("/")[0]
        assert f"cannot listen on 127.0.0.1:{port}" in refused("--port", port)


def test_wrong_options_are_refused() -> None:
    assert "no such limit" in refused("--limit", "luck=7")
    assert "budget" in refused("--budget", "many")


def test_a_fault_can_be_there_from_the_start() -> None:
    with running("--fault", '{"fault": "http_500", "times": 1}') as (_, lines):
        url = lines[0].split()[-1] + "/accounts/a/vectorize/v2/indexes"
        headers = {"Authorization": "Bearer x"}
        assert [requests.get(url, headers=headers, timeout=10).status_code for _ in range(2)] == [500, 200]


def test_the_page_shows_indexes_and_what_is_pending() -> None:
    with running("--lag", "3600") as (_, lines):
        base = lines[0].split()[-1]
        url, headers = base + "/accounts/a/vectorize/v2/indexes", {"Authorization": "Bearer x"}
        body = {"name": "books", "config": {"dimensions": 32, "metric": "cosine"}}
        requests.post(url, json=body, headers=headers, timeout=10).raise_for_status()
        requests.post(url + "/books/delete_by_ids", json={"ids": ["a"]}, headers=headers, timeout=10).raise_for_status()
        page = requests.get(base.removesuffix("client/v4"), timeout=10).text
        assert "<td>books<td>32<td>cosine<td>0<td>1<td>a" in page
