"""Tests of the installed provider: Airflow's command line, and the wheel."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.runs import Airflow

ROOT = Path(__file__).parents[2]
DISTRIBUTION = "airflow-provider-vectorize"


def run_airflow_command(*arguments: str) -> list[dict[str, Any]]:
    """Return the JSON output of an Airflow command, and check that it logs no warning about the provider."""
    process = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments, "--output", "json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for line in (process.stdout + process.stderr).splitlines():
        assert not ("ectorize" in line and "warn" in line.lower()), line
    found: list[dict[str, Any]] = json.loads(process.stdout[process.stdout.index("[{") :])
    return found


@pytest.mark.slow
def test_providers_list_contains_the_provider_without_a_warning(airflow_home: Airflow) -> None:
    from airflow_provider_vectorize import __version__

    (one,) = [one for one in run_airflow_command("providers", "list") if one["package_name"] == DISTRIBUTION]

    assert one["version"] == __version__
    assert "Cloudflare Vectorize" in one["description"]


@pytest.mark.slow
def test_providers_hooks_contains_the_hook_without_a_warning(airflow_home: Airflow) -> None:
    (one,) = [one for one in run_airflow_command("providers", "hooks") if one["connection_type"] == "vectorize"]

    assert one["package_name"] == DISTRIBUTION
    assert one["class"] == "airflow_provider_vectorize.hooks.vectorize.VectorizeHook"
    assert one["conn_id_attribute_name"] == "vectorize_conn_id"
    assert one["hook_name"] == "Cloudflare Vectorize"


def test_every_name_in_provider_info_can_be_imported(airflow_home: Airflow) -> None:
    from airflow_provider_vectorize.provider_info import get_provider_info

    def names(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [name for item in value.values() for name in names(item)]
        if isinstance(value, list):
            return [name for item in value for name in names(item)]
        return [value] if isinstance(value, str) and value.startswith("airflow_provider_vectorize.") else []

    found = names(get_provider_info())
    assert found
    for name in found:
        module, _, last = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), last), name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from the committed files only."""
    pytest.importorskip("uv")
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    archive = subprocess.run(["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, capture_output=True, check=True)
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(checkout, filter="data")
    uv("build", "--wheel", "--out-dir", str(out), str(checkout))
    (built,) = out.glob("*.whl")
    return built


def uv(*arguments: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_wheel_contains_only_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"airflow_provider_vectorize"}
    assert "airflow_provider_vectorize/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    (points,) = [name for name in names if name.endswith("entry_points.txt")]
    assert b"[apache_airflow_provider]" in zipfile.ZipFile(wheel).read(points)


@pytest.mark.slow
def test_wheel_installs_and_imports(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    uv("venv", "--python", sys.executable, str(tmp_path / "venv"))
    uv("pip", "install", "--no-deps", "--offline", "--python", str(python), str(wheel))

    process = subprocess.run(
        [python, "-c", "import airflow_provider_vectorize as p; print(p.__version__, p.__file__)"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    version, where = process.stdout.split()
    assert version in wheel.name
    assert where.startswith(str(tmp_path))
