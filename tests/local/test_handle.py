"""LocalVectorize and the pytest fixtures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import Http, vector


def test_connection_and_airflow_env_describe_the_same_connection(local_vectorize: LocalVectorize) -> None:
    assert local_vectorize.connection == {
        "conn_type": "vectorize",
        "host": local_vectorize.base_url,
        "password": local_vectorize.token,
        "extra": {"account_id": local_vectorize.account_id},
    }
    (name,) = local_vectorize.airflow_env("my_conn")
    assert name == "AIRFLOW_CONN_MY_CONN"
    assert json.loads(local_vectorize.airflow_env()["AIRFLOW_CONN_VECTORIZE_DEFAULT"]) == local_vectorize.connection


def test_reset_restores_initial_state_and_deletes_data(http: Http) -> None:
    local = http.local
    http.create()
    http.upsert(vector("a", 1))
    local.hold()
    http.upsert(vector("b", 1))
    local.fail("http_500", times=None)
    local.flap()
    local.set_budget("1/60")
    local.shift_clock(100)
    local.reset()
    assert local.requests() == []
    status = local.status()
    assert (status["held"], status["lag"], status["clock_shift"], status["faults"], status["flap"]) == (
        False, 0, 0, [], None,
    )  # fmt: skip
    assert local.process() == []
    assert http.send("GET", "/books").status_code == 404


def test_stop_deletes_temporary_data_and_can_be_repeated() -> None:
    local = LocalVectorize.start()
    data = local.data_dir
    assert data.is_dir()
    local.stop()
    local.stop()
    assert not data.exists()


def test_restart_keeps_the_port(local_vectorize_server: LocalVectorize) -> None:
    port = local_vectorize_server.port
    local_vectorize_server.restart()
    assert local_vectorize_server.port == port
    assert local_vectorize_server.status()["base_url"] == local_vectorize_server.base_url


def test_start_on_port_in_use_raises_with_reason(local_vectorize: LocalVectorize) -> None:
    with pytest.raises(RuntimeError, match="Cannot listen"):
        LocalVectorize.start(port=local_vectorize.port)


def test_server_stops_when_its_parent_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from airflow_provider_vectorize.local.handle import LocalVectorize\n"
        f"local = LocalVectorize.start({str(tmp_path)!r})\n"
        "print(local.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    pid = int(process.stdout)
    for _ in range(10_000):
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            break
    else:
        pytest.fail(f"process {pid} is still running")


def test_count_of_unknown_index_raises_key_error(local_vectorize: LocalVectorize) -> None:
    with pytest.raises(KeyError):
        local_vectorize.count("missing")


def test_import_of_server_loads_neither_airflow_nor_client() -> None:
    script = (
        "import sys, airflow_provider_vectorize.local.serve, airflow_provider_vectorize.local.pytest_plugin\n"
        "print([n for n in sys.modules if n.split('.')[0] == 'airflow' or n.startswith('airflow_provider_vectorize.')"
        " and not n.startswith('airflow_provider_vectorize.local')])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_import_of_handle_loads_only_the_standard_library() -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nimport airflow_provider_vectorize.local.handle\n"
        "new = {n.split('.')[0] for n in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'airflow_provider_vectorize'}))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_fixture_in_user_tests_is_reset_for_each_test(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        "import requests\n"
        "def create(local):\n"
        "    url = f'{local.base_url}/accounts/{local.account_id}/vectorize/v2/indexes'\n"
        "    body = {'name': 'books', 'config': {'dimensions': 32, 'metric': 'cosine'}}\n"
        "    return requests.post(url, json=body, headers={'Authorization': 'Bearer ' + local.token}).status_code\n"
        "def test_one(local_vectorize):\n"
        "    assert create(local_vectorize) == 200\n"
        "def test_two(local_vectorize):\n"
        "    assert create(local_vectorize) == 200\n"
        "def test_three(local_vectorize_server):\n"
        "    assert create(local_vectorize_server) == 400\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert "3 passed" in process.stdout, process.stdout + process.stderr
