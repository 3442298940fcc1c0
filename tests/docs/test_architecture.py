"""docs/architecture.md describes the packages and files that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_vectorize"
PAGE = (ROOT / "docs/architecture.md").read_text()
#: Packages in the order of the page's table, from the top of the imports to the bottom.
PACKAGES = re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)


def test_architecture_page_lists_every_package_once() -> None:
    assert sorted(PACKAGES) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_architecture_page_lists_packages_in_the_order_of_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rank = {name.strip().rpartition(".")[2]: n for n, layer in enumerate(layers) for name in layer.split("|")}
    ranks = [rank[name] for name in PACKAGES if name != "local"]
    assert ranks == sorted(ranks)


def test_architecture_page_says_which_packages_import_airflow() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (forbidden,) = (contract for contract in contracts if contract.get("forbidden_modules") == ["airflow"])
    without_airflow = {name.rpartition(".")[2] for name in forbidden["source_modules"]} & set(PACKAGES)
    assert set(re.findall(r"^\| `(\w+)/` \|.*\| no \|$", PAGE, re.MULTILINE)) == without_airflow


def test_architecture_page_names_existing_files() -> None:
    for name in re.findall(r"`(\w+(?:/\w+)*\.py)`", PAGE):
        assert (PACKAGE / name).exists(), name


def test_architecture_page_lists_each_file_of_the_path_once() -> None:
    _, _, path = PAGE.partition("## From the operator to the socket\n")
    files = re.findall(r"`(\w+/\w+\.py)`", path.partition("\n## ")[0])
    assert len(files) == len(set(files)) > 25
