"""The link of a check to its report leads to the object that was written, in every store that has a console."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from airflow_provider_vectorize.checks import reads
from airflow_provider_vectorize.checks.report import SIGNATURE
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.check import VectorizeCheckOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from tests.checks.support import corpus
from tests.hooks.conftest import connect  # noqa: F401 - a fixture
from tests.operators.conftest import Run, run  # noqa: F401 - a fixture
from tests.operators.test_sync import TaskInstance
from tests.storage.conftest import attach_file_system
from tests.storage.object_store import BUCKET as S3_BUCKET
from tests.storage.servers import BUCKET
from tests.support import create_index, ndjson

pytestmark = pytest.mark.usefixtures("no_pauses")
KEY = "reports/week 5/docs+a.html"


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "READ_SECONDS", 0.0)


def check_with_report(run: Run, local: LocalVectorize, folder: Path, report: str) -> str:  # noqa: F811
    """Check a loaded index, and return the link to its report."""
    create_index(local)
    (folder / "a.ndjson").write_bytes(ndjson(corpus(20)))
    receipt = run(VectorizeUpsertOperator, index_name="books", source=str(folder / "a.ndjson"))
    ti = TaskInstance()
    result = run(VectorizeCheckOperator, {"ti": ti}, index_name="books", receipt=receipt, report_path=report)
    assert result["passed"]
    return str(ti.pushed["vectorize_report_link"])


def test_report_link_in_s3_leads_to_the_report(
    run: Run,  # noqa: F811
    local_vectorize: LocalVectorize,
    s3: Any,
    tmp_path: Path,
) -> None:
    url = urlsplit(check_with_report(run, local_vectorize, tmp_path, f"s3://store@{S3_BUCKET}/{KEY}"))
    assert (url.scheme, url.path) == ("https", f"/s3/object/{S3_BUCKET}")
    assert s3.get(parse_qs(url.query)["prefix"][0]).startswith(SIGNATURE)


def test_report_link_in_google_cloud_storage_leads_to_the_report(
    run: Run,  # noqa: F811
    local_vectorize: LocalVectorize,
    airflow_home: Any,
    google: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, fs = google
    server.reset()
    attach_file_system("gs", "cloud", fs, monkeypatch)
    url = urlsplit(check_with_report(run, local_vectorize, tmp_path, f"gs://cloud@{BUCKET}/{KEY}"))
    prefix = "/storage/browser/_details/"
    assert url.path.startswith(prefix)
    bucket, _, key = unquote(url.path.removeprefix(prefix)).partition("/")
    assert bucket == BUCKET
    assert server.get(key).startswith(SIGNATURE)


def test_report_in_azure_has_no_link(
    run: Run,  # noqa: F811
    local_vectorize: LocalVectorize,
    airflow_home: Any,
    azurite: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link to Azure's portal needs the subscription, which no name has."""
    fs, container = azurite
    attach_file_system("abfs", "azure", fs, monkeypatch)
    assert check_with_report(run, local_vectorize, tmp_path, f"abfs://azure@{BUCKET}/{KEY}") == ""
    assert container.download_blob(KEY).readall().startswith(SIGNATURE)
