"""Tests of how the sensor ends: success, timeouts, permanent failures and transient ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import connect
from tests.airflow.runs import Airflow
from tests.airflow.sensors import BOTH_VARIANTS, AfterCheck, load_unprocessed, make_sensor, run_sensor

Rows = Callable[..., str]


@pytest.fixture
def receipt(airflow_home: Airflow, books: LocalVectorize, rows: Rows) -> dict[str, Any]:
    """Receipt of a load of ten rows that Vectorize has not processed yet."""
    return load_unprocessed(books, rows(10))


@BOTH_VARIANTS
def test_sensor_succeeds_when_the_load_is_processed(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck
) -> None:
    after_check(3, books.process)

    run_sensor(make_sensor(receipt, variant))

    assert books.count("books") == 10


@BOTH_VARIANTS
def test_sensor_timeout_names_what_is_missing(receipt: dict[str, Any], variant: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    with pytest.raises(AirflowSensorTimeout) as caught:
        run_sensor(make_sensor(receipt, variant, timeout=0.1))

    assert receipt["mutation_id"] in str(caught.value)
    assert "Not visible yet: 10 vectors" in str(caught.value)
    assert "has not processed any mutation yet" in str(caught.value)


@BOTH_VARIANTS
def test_sensor_timeout_is_not_retried(airflow: Airflow, books: LocalVectorize, rows: Rows, variant: str) -> None:
    books.hold()

    run = airflow.run(f"wait_in_vain_{variant}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "failed"}
    assert run.tries("wait") == 1
    assert "AirflowSensorTimeout" in airflow.log.text


@BOTH_VARIANTS
def test_sensor_timeout_with_soft_fail_skips_the_task(
    airflow: Airflow, books: LocalVectorize, rows: Rows, variant: str
) -> None:
    books.hold()

    run = airflow.run(f"wait_softly_{variant}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "skipped"}


@BOTH_VARIANTS
@pytest.mark.parametrize("checks", [1, 2])
def test_sensor_index_deleted_during_the_wait_fails(
    receipt: dict[str, Any], variant: str, checks: int, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    after_check(checks, lambda: VectorizeHook().delete_index("books"))

    with pytest.raises(AirflowFailException, match='Index "books" does not exist: it was deleted'):
        run_sensor(make_sensor(receipt, variant))


@BOTH_VARIANTS
@pytest.mark.parametrize("checks", [0, 2])
def test_sensor_deleted_index_with_soft_fail_fails(
    receipt: dict[str, Any], variant: str, checks: int, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    if checks:
        after_check(checks, lambda: VectorizeHook().delete_index("books"))
    else:
        VectorizeHook().delete_index("books")

    with pytest.raises(AirflowFailException, match="does not exist"):
        run_sensor(make_sensor(receipt, variant, soft_fail=True))


@BOTH_VARIANTS
def test_sensor_wrong_token_with_soft_fail_fails_with_the_reason(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    books.fail("answer", times=None, status=401, code=10000, message="Authentication error")

    with pytest.raises(AirflowFailException, match="Authentication error"):
        run_sensor(make_sensor(receipt, variant, soft_fail=True))


@BOTH_VARIANTS
def test_sensor_timeout_with_soft_fail_logs_what_is_missing(receipt: dict[str, Any], variant: str, log: Any) -> None:
    from airflow.providers.common.compat.sdk import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        run_sensor(make_sensor(receipt, variant, timeout=0.1, soft_fail=True))

    assert receipt["mutation_id"] in log.text
    assert "Skipping the task" in log.text


@BOTH_VARIANTS
def test_sensor_wrong_token_fails_after_one_request(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    books.token = "not-the-token"
    connect(monkeypatch, books)
    books.clear_requests()

    try:
        with pytest.raises(AirflowFailException) as caught:
            run_sensor(make_sensor(receipt, variant))
    finally:
        books.token = "local-token"

    assert "token" in str(caught.value)
    assert "not-the-token" not in str(caught.value)
    assert len(books.requests()) == 1


@BOTH_VARIANTS
def test_sensor_token_revoked_during_the_wait_fails_with_the_reason(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    after_check(2, lambda: books.fail("answer", times=None, status=401, code=10000, message="Authentication error"))

    with pytest.raises(AirflowFailException, match="Authentication error"):
        run_sensor(make_sensor(receipt, variant))


TRANSIENT: list[tuple[str, dict[str, Any]]] = [
    ("http_500", {}),
    ("gateway_504_html", {}),
    ("gateway_524_html", {}),
    ("throttle_40041", {}),
    ("rate_limit", {"retry_after": 0}),
    ("cut_before", {}),
    ("cut_during_answer", {}),
    ("not_json", {}),
]


@BOTH_VARIANTS
@pytest.mark.parametrize(("fault", "options"), TRANSIENT, ids=[fault for fault, _ in TRANSIENT])
def test_sensor_transient_failure_continues_the_wait(
    receipt: dict[str, Any],
    books: LocalVectorize,
    variant: str,
    fault: str,
    options: dict[str, Any],
    after_check: AfterCheck,
    log: Any,
) -> None:
    books.fail(fault, operation="info", after=1, times=2, **options)
    after_check(4, books.process)

    run_sensor(make_sensor(receipt, variant))

    assert [request.fault for request in books.requests("info")][:3] == [None, fault, fault]
    assert 'Index "books" could not be checked' in log.text


@BOTH_VARIANTS
def test_sensor_restart_of_the_service_continues_the_wait(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck
) -> None:
    def restart() -> None:
        books.restart()  # mutations that were held are processed afterwards
        books.process()

    after_check(2, restart)

    run_sensor(make_sensor(receipt, variant))
