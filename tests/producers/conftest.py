"""Fixtures that run an operator of a page against the local Vectorize."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.hooks.conftest import connect  # noqa: F401 - a fixture
from tests.producers.sources import DIMENSIONS


@pytest.fixture
def docs(connect: Callable[..., str], local_vectorize: LocalVectorize) -> LocalVectorize:  # noqa: F811
    """Return a local Vectorize as the default connection, with an empty index "docs"."""
    VectorizeHook(connect()).create_index("docs", dimensions=DIMENSIONS, metric="cosine")
    return local_vectorize


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that replaces the bucket of the pages."""
    (tmp_path / "bad-rows").mkdir()
    return tmp_path


def create_operator(block: str, folder: Path | None = None) -> Any:
    """Return the operator that the Python of a page creates.

    :param folder: Replaces the buckets of the page, if it is given.
    """
    names: dict[str, Any] = {}
    if folder:
        block = re.sub(r"(?:gs|s3)://\w+@my-bucket/", f"{folder.as_uri()}/", block)
        assert "://my" not in block
    exec(compile(block, "page", "exec"), names)
    return names["load"]


def execute(operator: Any) -> dict[str, Any]:
    """Run an operator as a task does, and return its receipt."""
    context = {"run_id": "manual"}
    operator.render_template_fields(context)
    receipt: dict[str, Any] = operator.execute(context)
    return receipt
