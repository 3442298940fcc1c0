"""Tests that the installed package is complete. ``make test-wheel`` runs them on the wheel."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import urllib.request
from importlib.metadata import distribution, entry_points, requires
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import airflow_provider_vectorize
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.local.page.page import FILES

NAME = "airflow-provider-vectorize"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(airflow_provider_vectorize.__path__, "airflow_provider_vectorize.")
    if not module.name.endswith(".__main__")  # importing it starts the server
)


def test_every_installed_module_imports() -> None:
    assert len(MODULES) > 40
    for name in MODULES:
        if name.endswith(".openlineage_facets") and not importlib.util.find_spec("openlineage"):
            continue  # It is imported only if OpenLineage is.
        importlib.import_module(name)


def test_installed_package_has_py_typed() -> None:
    assert files(airflow_provider_vectorize).joinpath("py.typed").is_file()


def test_package_version_matches_the_distribution() -> None:
    assert distribution(NAME).version == airflow_provider_vectorize.__version__


def test_entry_points_of_airflow_and_pytest_load() -> None:
    (provider,) = (one for one in entry_points(group="apache_airflow_provider") if one.dist and one.dist.name == NAME)
    assert provider.load()()["package-name"] == NAME
    plugins = {one.name: one for one in entry_points(group="pytest11") if one.dist and one.dist.name == NAME}
    assert plugins["local_vectorize"].load()
    assert plugins["temporary_airflow"].load()


def test_console_script_of_the_local_vectorize_loads() -> None:
    (script,) = entry_points(group="console_scripts", name="vectorize-local")
    assert callable(script.load())


def test_installed_package_has_the_files_of_the_local_page(local_vectorize: LocalVectorize) -> None:
    for name in ("", *(f"__local__/page/{file}" for file in FILES)):
        with urllib.request.urlopen(f"http://127.0.0.1:{local_vectorize.port}/{name}", timeout=10) as response:
            assert response.status == 200


def test_distribution_contains_the_license() -> None:
    metadata = distribution(NAME).metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]


@pytest.mark.parametrize(
    ("python", "implementation", "required"),
    [("3.11", "cpython", True), ("3.13", "cpython", True), ("3.14", "cpython", False), ("3.11", "pypy", False)],
)
def test_pysimdjson_is_required_only_where_it_has_wheels(python: str, implementation: str, required: bool) -> None:
    requirements = map(Requirement, requires(NAME) or ())
    (marker,) = (one.marker for one in requirements if one.name == "pysimdjson")
    assert marker
    assert marker.evaluate({"python_version": python, "implementation_name": implementation}) is required


def test_installed_package_loads_a_source(
    local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in local_vectorize.airflow_env().items():
        monkeypatch.setenv(name, value)
    source = tmp_path / "rows.ndjson"
    source.write_text("".join(f'{{"id": "{number}", "values": {[number + 0.5] * 32}}}\n' for number in range(100)))
    hook = VectorizeHook()
    hook.create_index("docs", dimensions=32, metric="cosine")

    assert hook.load("docs", str(source))["vectors"] == 100
    assert local_vectorize.count("docs") == 100
