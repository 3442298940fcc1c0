"""Publication, replacement and pruning against a local Vectorize: order of requests, faults, and other publishers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import Clock
from airflow_provider_vectorize.errors import (
    AuthError,
    IndexNotFoundError,
    InvalidIndexConfigError,
    KvNamespaceNotFoundError,
    SwitchOverError,
)
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.pointer import Pointer
from airflow_provider_vectorize.switch_over.prune import prune_unused
from airflow_provider_vectorize.switch_over.publish import READ_BACK_WAITS, publish_index
from airflow_provider_vectorize.switch_over.slots import Shape, create, delete_idle_slot, fill_in
from airflow_provider_vectorize.switch_over.stores import KvPointerStore
from tests.support import DIMENSIONS, client_of, make_rows, ndjson
from tests.switch_over.support import KV, NAMESPACE, PUBLISHED, create_complete, kv_store, names, point_to, read

HOUR = timedelta(hours=1)
AGED = 2 * HOUR.total_seconds()


class Waits:
    """A clock that never waits, records what was asked for, and can do something instead of the first wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.instead: Callable[[], Any] = lambda: None
        self._now = 0.0
        self.clock = Clock(now=lambda: self._now, wait=self._wait)

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        self._now += seconds
        self.seconds.append(seconds)
        self.instead()
        return event.is_set()


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def client(local_vectorize: LocalVectorize, waits: Waits) -> Iterator[VectorizeClient]:
    with client_of(local_vectorize, clock=waits.clock) as client:
        yield client


def operations(local: LocalVectorize, *wanted: str) -> list[str]:
    return [request.operation for request in local.requests() if not wanted or request.operation in wanted]


def publish(client: VectorizeClient, index_name: str, expect: str | None) -> dict[str, Any]:
    return publish_index(client, kv_store(client), index_name, expect, client.get_index(index_name).created_on)


def answer_with(local: LocalVectorize, pointer: Pointer, times: int, *, after: int = 0) -> None:
    """Let reads of the pointer return an older value, as other places of Workers KV do."""
    text = pointer.to_json().decode()
    local.fail("answer", operation="read_kv", status=200, text=text, times=times, after=after)


# ---------------------------------------------------------------- publish


def publish_during_a_wait(local_vectorize: LocalVectorize, waits: Waits, *slots: str) -> None:
    """Let another publisher move the pointer during the first wait.

    :param slots: The live index and the previous one.
    """

    def publish_once() -> None:
        waits.instead = lambda: None
        with client_of(local_vectorize) as other:
            point_to(kv_store(other), *slots)

    waits.instead = publish_once


def test_publish_first_then_second_then_rollback_moves_the_pointer(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a", model="old-model")
    create_complete(client, "docs-b", model="new-model")
    store = kv_store(client)
    assert publish(client, "docs-a", None) == {"index_name": "docs-a", "previous": None}
    assert publish(client, "docs-b", "docs-a") == {"index_name": "docs-b", "previous": "docs-a"}
    assert (read(store).index, read(store).previous, read(store).model) == ("docs-b", "docs-a", "new-model")
    assert publish_index(client, store, "docs-a", "docs-b", None) == {"index_name": "docs-a", "previous": "docs-b"}
    assert read(store).model == "old-model"
    local_vectorize.clear_requests()
    assert publish_index(client, store, "docs-a", "docs-b", None) == {"index_name": "docs-a", "previous": "docs-b"}
    assert operations(local_vectorize) == ["get_index", "read_kv"]


def test_publish_writes_once_reads_back_and_checks_the_index_twice(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a")
    local_vectorize.clear_requests()
    publish_index(client, kv_store(client), "docs-a", None, None)
    assert operations(local_vectorize) == ["get_index", "read_kv", "read_kv", "write_kv", "read_kv", "get_index"]


def test_publish_against_expectation_writes_nothing(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    create_complete(client, "docs-a", "docs-b", "docs-c")
    point_to(kv_store(client), "docs-c", "docs-a")
    with pytest.raises(SwitchOverError, match='names index "docs-c", but index "docs-a" was expected'):
        publish(client, "docs-b", "docs-a")
    assert (read(kv_store(client)).index, operations(local_vectorize, "write_kv")) == ("docs-c", ["write_kv"])


def test_publish_of_a_missing_index_writes_nothing(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    with pytest.raises(IndexNotFoundError):
        publish_index(client, kv_store(client), "docs-a", None, None)
    assert operations(local_vectorize, "write_kv") == []


def test_publish_with_an_unreadable_pointer_writes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a")
    client.write_kv(NAMESPACE, "docs", b"docs-a")
    local_vectorize.clear_requests()
    with pytest.raises(SwitchOverError, match="cannot be read"):
        publish(client, "docs-a", None)
    assert operations(local_vectorize, "write_kv") == []


def test_publish_waits_while_the_old_pointer_reads_back(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a")
    answer_with(local_vectorize, Pointer("docs-a", None, PUBLISHED), 3, after=2)
    assert publish(client, "docs-b", "docs-a")["previous"] == "docs-a"
    assert waits.seconds == list(READ_BACK_WAITS[:3])


def test_publish_that_never_reads_back_fails_and_its_retry_succeeds(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a")
    answer_with(local_vectorize, Pointer("docs-a", None, PUBLISHED), 100, after=2)
    with pytest.raises(SwitchOverError, match=r'but it reads back as \{"index": "docs-a"') as caught:
        publish(client, "docs-b", "docs-a")
    assert not caught.value.permanent
    assert waits.seconds == list(READ_BACK_WAITS)
    local_vectorize.clear_faults()
    assert publish(client, "docs-b", "docs-a") == {"index_name": "docs-b", "previous": "docs-a"}


@pytest.mark.parametrize("fault", ["cut_before", "cut_before_apply", "cut_after_body", "cut_during_answer", "http_500"])
def test_publish_with_a_lost_answer_is_retried_and_succeeds(
    client: VectorizeClient, local_vectorize: LocalVectorize, fault: str
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a")
    local_vectorize.fail(fault, operation="write_kv")
    assert publish(client, "docs-b", "docs-a") == {"index_name": "docs-b", "previous": "docs-a"}
    assert read(kv_store(client)).previous == "docs-a"


def test_publish_retry_after_another_publisher_overwrites_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", "docs-b", "docs-c")
    point_to(kv_store(client), "docs-a")
    local_vectorize.fail("http_500", operation="write_kv")

    publish_during_a_wait(local_vectorize, waits, "docs-c", "docs-a")
    with pytest.raises(SwitchOverError, match="was moved by another publisher at the same time"):
        publish(client, "docs-b", "docs-a")
    assert read(kv_store(client)).index == "docs-c"


def test_publish_of_an_index_that_is_deleted_meanwhile_fails(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a")
    answer_with(local_vectorize, Pointer("docs-a", None, PUBLISHED), 1, after=2)
    waits.instead = lambda: client.delete_index("docs-b")
    with pytest.raises(SwitchOverError, match="Publish the previous index now"):
        publish(client, "docs-b", "docs-a")


def test_pointer_without_permission_names_the_permission_of_workers_kv(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    for operation in ("read_kv", "write_kv"):
        local_vectorize.fail("answer", operation=operation, status=403, code=10000, message="Authentication error")
    with pytest.raises(AuthError, match="Workers KV Storage: Edit"):
        kv_store(client).read()
    with pytest.raises(AuthError, match="Workers KV Storage: Edit"):
        kv_store(client).write(b"{}")


def test_pointer_in_a_missing_namespace_is_not_a_missing_pointer(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    message = "get: 'namespace not found'"
    local_vectorize.fail("answer", operation="read_kv", status=404, code=10013, message=message)
    with pytest.raises(KvNamespaceNotFoundError, match="Correct the namespace ID"):
        kv_store(client).read()


def test_pointer_in_workers_kv_may_have_any_key(client: VectorizeClient) -> None:
    for key in ("docs/live", "a b?c#d%2F", "ä"):
        store = KvPointerStore(client, NAMESPACE, key)
        assert store.read() is None
        store.write(key.encode())
        assert store.read() == key.encode()


# ---------------------------------------------------------------- replace and create


def replace(client: VectorizeClient, name: str, **shape: Any) -> Any:
    delete_idle_slot(client, kv_store(client), name, HOUR)
    shape = {"dimensions": DIMENSIONS, "metric": "cosine"} | shape
    return create(client, name, Shape(**shape), KV, if_exists="fail")[0]


def test_replace_clears_the_previous_index_in_the_pointer_before_it_deletes(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a", "docs-b")
    before = client.get_index("docs-b").created_on
    local_vectorize.shift_clock(AGED)
    local_vectorize.clear_requests()
    assert replace(client, "docs-b").created_on != before
    assert operations(local_vectorize, "read_kv", "write_kv", "delete_index", "create_index") == [
        "read_kv", "read_kv", "write_kv", "read_kv", "read_kv", "delete_index", "create_index",
    ]  # fmt: skip
    assert (read(kv_store(client)).index, read(kv_store(client)).previous) == ("docs-a", None)
    assert read(kv_store(client)).published_at == PUBLISHED


def test_replace_of_the_previous_index_before_min_age_changes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a", "docs-b")
    publish(client, "docs-b", None)
    publish(client, "docs-a", "docs-b")
    pointer = read(kv_store(client))
    for seconds in (0.0, HOUR.total_seconds() - 60):
        local_vectorize.shift_clock(seconds)
        with pytest.raises(SwitchOverError, match="min_age"):
            replace(client, "docs-b")
    assert (read(kv_store(client)), local_vectorize.count("docs-b")) == (pointer, 5)
    local_vectorize.shift_clock(HOUR.total_seconds() + 60)
    replace(client, "docs-b")
    assert local_vectorize.count("docs-b") == 0


@pytest.mark.parametrize("content", [b"", b"docs-a", b"{}"])
def test_replace_with_an_unreadable_pointer_changes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, content: bytes
) -> None:
    create_complete(client, "docs-b")
    client.write_kv(NAMESPACE, "docs", content)
    with pytest.raises(SwitchOverError, match="cannot be read"):
        replace(client, "docs-b")
    assert local_vectorize.count("docs-b") == 5


def test_replace_with_a_failing_pointer_changes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-b")
    local_vectorize.fail("answer", operation="read_kv", status=403, code=10000, times=None)
    with pytest.raises(AuthError):
        replace(client, "docs-b")
    assert local_vectorize.count("docs-b") == 5


def test_replace_of_the_live_index_changes_nothing(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    create_complete(client, "docs-a")
    point_to(kv_store(client), "docs-a")
    local_vectorize.shift_clock(AGED)
    with pytest.raises(SwitchOverError, match="is live"):
        replace(client, "docs-a")
    assert local_vectorize.count("docs-a") == 5


def test_replace_while_the_index_is_published_deletes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a")
    local_vectorize.fail("http_500", operation="delete_index")

    def another_publisher() -> None:
        waits.instead = lambda: None
        with client_of(local_vectorize) as other:
            publish(other, "docs-b", "docs-a")

    waits.instead = another_publisher
    with pytest.raises(SwitchOverError, match="is live"):
        replace(client, "docs-b")
    assert local_vectorize.count("docs-b") == 5


def test_replace_without_pointer_replaces_only_an_index_without_vectors(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    first = replace(client, "docs-a").created_on
    assert replace(client, "docs-a").created_on != first  # a retry of the first rebuild
    client.upsert("docs-a", ndjson(make_rows(1)))
    with pytest.raises(SwitchOverError, match="so it may be live"):
        replace(client, "docs-a")
    assert local_vectorize.count("docs-a") == 1


@pytest.mark.parametrize("info", [{"vectorCount": 0, "processedUpToMutation": "m1"}, {"vectorCount": 1}])
def test_replace_without_pointer_and_with_any_sign_of_a_write_is_refused(
    client: VectorizeClient, local_vectorize: LocalVectorize, info: dict[str, Any]
) -> None:
    """A replica may lag with one of the two figures."""
    replace(client, "docs-a")
    text = json.dumps({"success": True, "result": {"dimensions": DIMENSIONS, **info}})
    local_vectorize.fail("answer", operation="info", status=200, text=text)
    local_vectorize.clear_requests()
    with pytest.raises(SwitchOverError, match="so it may be live"):
        replace(client, "docs-a")
    assert operations(local_vectorize, "delete_index") == []


def test_replace_while_the_index_becomes_the_previous_one_again_deletes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(kv_store(client), "docs-a")
    local_vectorize.shift_clock(AGED)
    local_vectorize.fail("http_500", operation="delete_index")

    publish_during_a_wait(local_vectorize, waits, "docs-a", "docs-b")
    with pytest.raises(SwitchOverError, match="names it as the previous index again") as caught:
        replace(client, "docs-b")
    assert not caught.value.permanent
    assert local_vectorize.count("docs-b") == 5


def test_create_like_copies_shape_and_metadata_indexes_before_the_first_vector(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-a", model="a-model")
    client.create_metadata_index("docs-a", "year", "number")
    client.create_metadata_index("docs-a", "lang", "string")
    local_vectorize.hold()
    waits.instead = local_vectorize.process  # the metadata indexes become visible only after a wait
    create(client, "docs-b", fill_in(client, Shape(), "docs-a"), KV, if_exists="fail")
    assert waits.seconds
    local_vectorize.release()
    client.upsert("docs-b", ndjson(make_rows(1, metadata={"year": 2026, "lang": "en"})))
    new = client.get_index("docs-b")
    assert (new.config, new.description) == (
        client.get_index("docs-a").config,
        client.get_index("docs-a").description,
    )
    for condition in ({"year": 2026}, {"lang": "en"}):
        assert client.query("docs-b", vector=[1.0] * DIMENSIONS, filter=condition).count == 1


def test_create_like_takes_given_dimensions_and_the_metadata_indexes(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a", model="old")
    client.create_metadata_index("docs-a", "year", "number")
    index, _ = create(client, "docs-b", fill_in(client, Shape(64, model="new"), "docs-a"), KV, if_exists="skip")
    assert (index.config.dimensions, index.config.metric) == (64, "cosine")
    assert [one.property_name for one in client.list_metadata_indexes("docs-b")] == ["year"]
    assert '"model": "new"' in str(client.get_index("docs-b").description)


def test_create_like_retry_adds_the_missing_metadata_indexes_unless_there_are_vectors(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-a")
    client.create_metadata_index("docs-a", "year", "number")
    shape = fill_in(client, Shape(), "docs-a")
    client.create_index("docs-b", dimensions=DIMENSIONS, metric="cosine")  # then the first attempt was killed
    assert not create(client, "docs-b", shape, KV, if_exists="skip")[1]
    assert len(client.list_metadata_indexes("docs-b")) == 1
    create_complete(client, "docs-c")
    with pytest.raises(InvalidIndexConfigError, match="lacks the metadata indexes year"):
        create(client, "docs-c", shape, KV, if_exists="skip")


# ---------------------------------------------------------------- prune


def prune(client: VectorizeClient, *, keep: int = 1) -> list[str]:
    return prune_unused(client, kv_store(client), prefix="docs-", keep=keep, min_age=HOUR)


def test_prune_of_staging_keeps_the_indexes_of_production(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    staging = KvPointerStore(client, NAMESPACE, "docs-staging")
    create_complete(client, "docs-1", "docs-2", "docs-3")
    create_complete(client, "docs-staging-1", "docs-staging-2", "docs-staging-3", pointer=staging.uri)
    create_complete(client, "docs-unmarked", pointer=None)
    point_to(kv_store(client), "docs-1")
    point_to(staging, "docs-staging-3")
    local_vectorize.shift_clock(AGED)
    deleted = prune_unused(client, staging, prefix="docs-", keep=1, min_age=HOUR)
    assert deleted == ["docs-staging-1", "docs-staging-2"]
    assert names(client) == ["docs-1", "docs-2", "docs-3", "docs-staging-3", "docs-unmarked"]


def test_prune_reads_the_pointer_again_before_each_deletion(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    create_complete(client, "docs-1", "docs-2", "docs-3")
    point_to(kv_store(client), "docs-3")
    local_vectorize.shift_clock(AGED)
    local_vectorize.clear_requests()
    assert prune(client) == ["docs-1", "docs-2"]
    assert operations(local_vectorize, "list_indexes", "read_kv", "delete_index") == [
        "list_indexes", "read_kv", "read_kv", "delete_index", "read_kv", "delete_index",
    ]  # fmt: skip


def test_prune_stops_when_an_index_is_published_meanwhile(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-1", "docs-2", "docs-3")
    point_to(kv_store(client), "docs-3", "docs-2")
    local_vectorize.shift_clock(AGED)
    local_vectorize.fail("http_500", operation="delete_index")

    publish_during_a_wait(local_vectorize, waits, "docs-1", "docs-3")
    with pytest.raises(SwitchOverError, match='"docs-1" was not deleted, because it was published') as caught:
        prune(client)
    assert not caught.value.permanent
    assert local_vectorize.count("docs-1") == 5


def test_prune_stops_when_an_index_is_created_again_meanwhile(
    client: VectorizeClient, local_vectorize: LocalVectorize, waits: Waits
) -> None:
    create_complete(client, "docs-1", "docs-2", "docs-3")
    point_to(kv_store(client), "docs-3")
    local_vectorize.shift_clock(AGED)
    local_vectorize.fail("http_500", operation="delete_index")

    def rebuild() -> None:
        waits.instead = lambda: None
        with client_of(local_vectorize) as other:
            other.delete_index("docs-2")
            create_complete(other, "docs-2")
        local_vectorize.shift_clock(2 * AGED)  # The new index is as old as the first ones were.

    waits.instead = rebuild
    with pytest.raises(SwitchOverError, match='"docs-2" was not deleted, because it was published or created again'):
        prune_unused(client, kv_store(client), prefix="docs-", keep=1, min_age=HOUR)
    assert names(client) == ["docs-2", "docs-3"]


@pytest.mark.parametrize("content", [None, b"", b"docs-a"])
def test_prune_without_readable_pointer_deletes_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, content: bytes | None
) -> None:
    create_complete(client, "docs-1", "docs-2", "docs-3")
    if content is not None:
        client.write_kv(NAMESPACE, "docs", content)
    local_vectorize.shift_clock(AGED)
    with pytest.raises(SwitchOverError, match=r"so any index may be live|cannot be read"):
        prune(client)
    assert operations(local_vectorize, "delete_index") == []


def test_prune_keeps_young_indexes(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    create_complete(client, "docs-1", "docs-2", "docs-3")
    point_to(kv_store(client), "docs-3")
    assert prune(client) == []
    local_vectorize.shift_clock(AGED)
    assert prune(client, keep=2) == ["docs-1"]
