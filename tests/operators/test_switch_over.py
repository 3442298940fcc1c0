"""Tests of the operators of a switch-over, with every kind of pointer. tests/switch_over has those of the rules."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.airflow_support import variables
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.switch_over import VectorizePruneIndexesOperator, VectorizePublishOperator
from tests.operators.conftest import Run, fails
from tests.support import NO_WAIT, make_rows, ndjson

KV = "kv://0f2ac74b498b48028cb68387c421e279/docs"
SHAPE = {"dimensions": 32, "metric": "cosine"}
TWO_HOURS = 7_200.0


class Variables:
    """Airflow Variables in memory, with the interface of Airflow's class."""

    values: dict[str, str]

    @classmethod
    def get(cls, key: str, default: Any) -> Any:
        return cls.values.get(key, default)

    @classmethod
    def set(cls, key: str, value: str) -> None:
        cls.values[key] = value


@pytest.fixture(params=["kv", "variable", "file"])
def pointer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # tests/airflow/test_rebuild.py uses real Variables.
    Variables.values = {}
    monkeypatch.setattr(variables, "Variable", Variables)
    return {"kv": KV, "variable": "variable://docs_index", "file": f"{tmp_path}/docs.json"}[request.param]


def load(hook: VectorizeHook, index_name: str) -> None:
    hook.upsert(index_name, ndjson(make_rows(3)))


def test_operators_create_publish_roll_back_replace_and_prune(
    run: Run, hook: VectorizeHook, local_vectorize: LocalVectorize, pointer: str
) -> None:
    created = [
        run(VectorizeCreateIndexOperator, index_name=name, pointer=pointer, model=name[-1], **SHAPE)
        for name in ("docs-a", "docs-b", "docs-c")
    ]
    for one in created:
        load(hook, one["index_name"])
    pinned = {"index_name": "docs-b", "created_on": created[1]["created_on"]}
    assert run(VectorizePublishOperator, pointer=pointer, index_name="docs-a", expect=None)["previous"] is None
    for _ in range(2):  # the second one is a retry
        published = run(VectorizePublishOperator, pointer=pointer, expect="docs-a", **pinned)
        assert published == {"index_name": "docs-b", "previous": "docs-a"}
    back = run(VectorizePublishOperator, pointer=pointer, index_name=published["previous"], expect="docs-b")
    assert back == {"index_name": "docs-a", "previous": "docs-b"}
    found = hook.read_pointer(pointer)
    assert found is not None
    assert (found.index, found.previous, found.model) == ("docs-a", "docs-b", "a")
    assert hook.pick_slot(pointer, ["docs-a", "docs-b"]) == {"index_name": "docs-b", "live": "docs-a"}

    local_vectorize.shift_clock(TWO_HOURS)
    replaced = run(VectorizeCreateIndexOperator, index_name="docs-b", like="docs-a", pointer=pointer, replace=True)
    assert replaced["created"]
    assert replaced["created_on"] != pinned["created_on"]
    assert replaced | {"created_on": ""} == created[1] | {"created_on": ""}
    assert local_vectorize.count("docs-b") == 0
    local_vectorize.shift_clock(3 * TWO_HOURS)
    prune = {"prefix": "docs-", "pointer": pointer, "min_age": timedelta(hours=1)}
    assert run(VectorizePruneIndexesOperator, keep=1, **prune) == ["docs-c"]
    assert sorted(index.name for index in hook.list_indexes()) == ["docs-a", "docs-b"]


def test_pointer_is_one_json_value_with_four_keys(
    run: Run, hook: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    pointer = tmp_path / "docs.json"
    run(VectorizeCreateIndexOperator, index_name="docs-a", pointer=str(pointer), model="small", **SHAPE)
    run(VectorizePublishOperator, pointer=pointer.as_uri(), index_name="docs-a", expect=None)
    value = json.loads(pointer.read_bytes())
    assert list(value) == ["index", "previous", "published_at", "model"]
    assert (value["index"], value["previous"], value["model"]) == ("docs-a", None, "small")


def test_publish_refusal_fails_without_retries(run: Run, books: VectorizeHook, pointer: str) -> None:
    with fails(errors.SwitchOverError, 'names no index, but index "docs-a" was expected'):
        run(VectorizePublishOperator, pointer=pointer, index_name="books", expect="docs-a")
    assert books.read_pointer(pointer) is None


def test_replace_of_the_live_index_fails_without_retries(run: Run, hook: VectorizeHook, pointer: str) -> None:
    run(VectorizeCreateIndexOperator, index_name="docs-a", pointer=pointer, **SHAPE)
    run(VectorizePublishOperator, pointer=pointer, index_name="docs-a", expect=None)
    with fails(errors.SwitchOverError, "because it is live"):
        run(VectorizeCreateIndexOperator, index_name="docs-a", pointer=pointer, replace=True, **SHAPE)


def test_replace_while_another_run_creates_the_index_fails(
    run: Run, hook: VectorizeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.operators import index

    real = index.delete_idle_slot

    def delete_and_lose_the_race(*args: Any) -> bool:
        deleted = real(*args)
        hook.create_index("docs-a", dimensions=32, metric="cosine")
        return deleted

    monkeypatch.setattr(index, "delete_idle_slot", delete_and_lose_the_race)
    with fails(errors.IndexExistsError):
        run(VectorizeCreateIndexOperator, index_name="docs-a", pointer=KV, replace=True, **SHAPE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"replace": True}, "replace=True requires a pointer"),
        ({"replace": True, "pointer": KV, "if_exists": "fail"}, "replace=True requires a pointer"),
        ({"like": "docs-a"}, "itself"),
        ({"like": "None"}, "renders a missing value"),
        ({"pointer": "kv://docs"}, "must look like"),
    ],
)
def test_create_index_with_contradicting_parameters_sends_nothing(
    run: Run, local_vectorize: LocalVectorize, wrong: dict[str, Any], message: str
) -> None:
    with fails(errors.ConfigError, message):
        run(VectorizeCreateIndexOperator, index_name="docs-a", **SHAPE | wrong)
    assert local_vectorize.requests() == []


def test_create_index_like_nothing_uses_the_given_shape(run: Run, hook: VectorizeHook) -> None:
    run(VectorizeCreateIndexOperator, index_name="docs-a", like=None, **SHAPE)
    assert hook.get_index("docs-a").config.dimensions == 32


def test_switch_over_operators_check_literals_when_the_dag_is_parsed() -> None:
    publish = {"task_id": "publish", "pointer": KV, "index_name": "docs-a", "expect": None}
    prune = {"task_id": "prune", "pointer": KV, "prefix": "docs-"}
    for operator, parameters in (
        (VectorizePublishOperator, publish | {"pointer": "kv://docs"}),
        (VectorizePublishOperator, publish | {"created_on": "yesterday"}),
        (VectorizePublishOperator, publish | {"created_on": "2026-01-31T02:00:00"}),
        (VectorizePublishOperator, publish | {"expect": ""}),
        (VectorizePruneIndexesOperator, prune | {"keep": 0}),
        (VectorizePruneIndexesOperator, prune | {"prefix": ""}),
        (VectorizePruneIndexesOperator, prune | {"min_age": -1}),
        (VectorizePruneIndexesOperator, prune | {"min_age": "an hour"}),
        (VectorizeCreateIndexOperator, {"task_id": "create", "index_name": "a", "min_age": None}),
    ):
        with pytest.raises(errors.ConfigError):
            operator(**parameters)  # type: ignore[arg-type]


def test_pick_slot_needs_two_slots(hook: VectorizeHook) -> None:
    with pytest.raises(errors.ConfigError, match="at least two indexes"):
        hook.pick_slot(KV, ["docs-a"])


# ---------------------------------------------------------------- created_on of a load


def test_load_of_the_pinned_index_succeeds_and_of_another_writes_nothing(
    run: Run, hook: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    (tmp_path / "rows.ndjson").write_bytes(ndjson(make_rows(3)))
    source = {"index_name": "docs-a", "source": str(tmp_path / "rows.ndjson")}
    first = run(VectorizeCreateIndexOperator, index_name="docs-a", **SHAPE)["created_on"]
    assert run(VectorizeUpsertOperator, created_on=first, **source)["vectors"] == 3
    hook.delete_index("docs-a")
    second = run(VectorizeCreateIndexOperator, index_name="docs-a", **SHAPE)["created_on"]
    with fails(errors.InvalidIndexConfigError, "so another run has replaced it"):
        run(VectorizeUpsertOperator, created_on=first, **source)
    assert local_vectorize.count("docs-a") == 0
    assert run(VectorizeUpsertOperator, created_on=second, **source)["vectors"] == 3


def test_load_of_an_index_that_is_replaced_meanwhile_fails(
    run: Run, hook: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.ndjson").write_bytes(ndjson(make_rows(3)))
    created_on = run(VectorizeCreateIndexOperator, index_name="docs-a", **SHAPE)["created_on"]
    from airflow_provider_vectorize.hooks import loads

    real = loads.run

    def run_and_replace(*args: Any, **options: Any) -> Any:
        receipt = real(*args, **options)
        hook.delete_index("docs-a")
        hook.create_index("docs-a", dimensions=32, metric="cosine")
        return receipt

    monkeypatch.setattr(loads, "run", run_and_replace)
    with fails(errors.InvalidIndexConfigError, "so another run has replaced it"):
        run(
            VectorizeUpsertOperator,
            index_name="docs-a",
            source=str(tmp_path / "rows.ndjson"),
            created_on=created_on,
            limits=NO_WAIT,
        )
