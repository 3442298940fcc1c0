"""Command line of local Vectorize."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import Http, vector

COMMAND = [sys.executable, "-m", "airflow_provider_vectorize.local"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start a server, and return the process and the eight lines of its startup message."""
    process = subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, [process.stdout.readline().rstrip() for _ in range(8)]
    finally:
        process.terminate()  # SIGTERM lets it delete its temporary directory.
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def refusal_message(*arguments: str) -> str:
    process = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert process.returncode == 2
    return process.stderr


def test_startup_message_has_address_data_and_airflow_connection(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    with running("--data", str(tmp_path / "data"), "--lag", "0.5", "--port-file", str(port_file)) as (process, lines):
        assert lines[0].startswith("Local Vectorize listens on http://127.0.0.1:")
        assert "this machine only" in lines[1]
        assert str(tmp_path / "data") in lines[2]
        name, _, value = lines[7].partition("=")
        assert name == "AIRFLOW_CONN_VECTORIZE_DEFAULT"
        connection = json.loads(value.strip("'"))
        assert connection["conn_type"] == "vectorize"
        for typed in (connection["host"], connection["password"], connection["extra"]["account_id"]):
            assert typed in lines[5]
        url = f"{connection['host']}/accounts/{connection['extra']['account_id']}/vectorize/v2/indexes"
        headers = {"Authorization": f"Bearer {connection['password']}"}
        assert requests.get(url, headers=headers, timeout=10).json()["result"] == []
        port = port_file.read_text()
        assert f":{port}/client/v4" in lines[0]
        assert lines[4].endswith(f" http://127.0.0.1:{port}/")
        page = requests.get(f"http://127.0.0.1:{port}/", timeout=10)
        assert "<h1>Local Vectorize</h1>" in page.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_command_without_data_directory_deletes_its_temporary_data() -> None:
    with running() as (process, lines):
        assert "temporary" in lines[2]
        directory = Path(lines[2].partition("Data directory: ")[2].partition(" (")[0])
        assert directory.is_dir()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not directory.exists()


def test_bind_to_reachable_address_requires_allow_remote() -> None:
    assert "--allow-remote" in refusal_message("--bind", "0.0.0.0")
    assert "--allow-remote" in refusal_message("--bind", "example.com")
    with running("--bind", "0.0.0.0", "--allow-remote") as (_, lines):
        assert "all machines" in lines[1]


def test_second_process_on_same_data_directory_is_refused(tmp_path: Path) -> None:
    with running("--data", str(tmp_path)):
        assert "another local Vectorize" in refusal_message("--port", "0", "--data", str(tmp_path))


def test_port_in_use_is_reported() -> None:
    with running() as (_, lines):
        port = lines[0].partition("127.0.0.1:")[2].partition("/")[0]
        assert f"Cannot listen on 127.0.0.1:{port}" in refusal_message("--port", port)


def test_invalid_options_are_refused() -> None:
    assert "unknown limit" in refusal_message("--limit", "luck=7")
    assert "budget" in refusal_message("--budget", "many")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "abc"), "argument --port: The value of port must be an integer from 0 to 65,535, but it is 'abc'."),
        (("--lag", "x"), "argument --lag: The value of lag must be a number"),
        (("--limit", "top_k"), "argument --limit: must have the form NAME=NUMBER, such as top_k=100"),
        (("--limit", "top_k=x"), "argument --limit: The value of top_k must be an integer"),
        (("--fault", "{"), "argument --fault: not valid JSON: "),
        (("--fault", "5"), "argument --fault: A fault must be a JSON object."),
        (("--token", ""), "argument --token: must not be empty"),
        (("--account-id", ""), "argument --account-id: must not be empty"),
        (("--read-only-token", " "), "argument --read-only-token: must not be empty"),
        (("--data", ""), "argument --data: must not be empty"),
    ],
)
def test_invalid_option_is_explained(arguments: tuple[str, str], message: str) -> None:
    stderr = refusal_message("--port", "0", *arguments)
    assert message in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("path", ["a-file", "a-file/data", "/proc/version/data"])
def test_data_directory_that_cannot_be_used_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "a-file").touch()
    stderr = refusal_message("--port", "0", "--data", str(tmp_path / path))
    assert f"Cannot use the data directory {tmp_path / path}: " in stderr
    assert "Traceback" not in stderr


def fill(data: Path) -> None:
    """Create a data directory with an index that has a vector."""
    with LocalVectorize.start(data) as server:
        http = Http(server)
        http.create()
        http.upsert(vector("a", 1))
        assert http.info()["vectorCount"] == 1


@pytest.mark.parametrize("name", ["catalog.sqlite3", "kv.sqlite3", "index-1.sqlite3"])
def test_damaged_data_directory_is_refused_and_left_unchanged(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    damaged = b"\xffdamaged" * 1_000
    (tmp_path / name).write_bytes(damaged)
    stderr = refusal_message("--port", "0", "--data", str(tmp_path))
    assert f"The data directory {tmp_path} is damaged: " in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / name).read_bytes() == damaged


@pytest.mark.parametrize("is_empty", [True, False])
def test_data_directory_without_its_catalog_is_refused_and_loses_nothing(tmp_path: Path, is_empty: bool) -> None:
    fill(tmp_path)
    catalog, index = tmp_path / "catalog.sqlite3", tmp_path / "index-1.sqlite3"
    content = index.read_bytes()
    if is_empty:
        catalog.write_bytes(b"")
    else:
        catalog.unlink()
    message = "is damaged: catalog.sqlite3 has no index for index-1.sqlite3."
    assert message in refusal_message("--port", "0", "--data", str(tmp_path))
    assert message in refusal_message("--port", "0", "--data", str(tmp_path))
    assert index.read_bytes() == content


def test_data_directory_with_other_files_is_used(tmp_path: Path) -> None:
    other = tmp_path / "index-of-books.sqlite3"
    other.touch()
    with running("--data", str(tmp_path)) as (_, lines):
        assert str(tmp_path) in lines[2]
    assert other.exists()


def test_port_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    stderr = refusal_message("--port", "0", "--port-file", str(tmp_path / "missing" / "port"))
    assert f"Cannot write the port file {tmp_path / 'missing' / 'port'}: No such file or directory." in stderr
    assert "Traceback" not in stderr


def test_fault_option_is_active_from_the_start() -> None:
    with running("--fault", '{"fault": "http_500", "times": 1}') as (_, lines):
        url = lines[0].split()[-1] + "/accounts/a/vectorize/v2/indexes"
        headers = {"Authorization": "Bearer x"}
        assert [requests.get(url, headers=headers, timeout=10).status_code for _ in range(2)] == [500, 200]


def test_console_script_runs_the_server() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["vectorize-local"].partition(":")
    command = f"import sys, {module} as module; sys.argv[1:] = ['--help']; module.{function}()"
    printed = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert printed.startswith("usage: vectorize-local ")


def test_command_without_aiohttp_names_the_extra() -> None:
    command = "import runpy, sys; sys.modules['aiohttp'] = None; runpy.run_module(sys.argv[1], run_name='__main__')"
    process = subprocess.run(
        [sys.executable, "-c", command, COMMAND[-1]], capture_output=True, text=True, timeout=30, check=False
    )
    assert process.returncode == 2
    assert "pip install 'airflow-provider-vectorize[local]'" in process.stderr
    assert "Traceback" not in process.stderr
