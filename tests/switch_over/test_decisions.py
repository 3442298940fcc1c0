"""Every decision of a switch-over, as a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_vectorize.api.models import Index, IndexConfig
from airflow_provider_vectorize.errors import ConfigError, SwitchOverError
from airflow_provider_vectorize.switch_over.decisions import (
    check_publication,
    choose_idle_slot,
    clears_previous,
    prunable,
)
from airflow_provider_vectorize.switch_over.mark import Mark, describe, read_mark
from airflow_provider_vectorize.switch_over.pointer import Pointer, parse_pointer, parse_pointer_name

URI = "kv://0f2ac74b498b48028cb68387c421e279/docs"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def index(name: str, created_on: datetime | None = NOON, pointer: str | None = URI) -> Index:
    description = describe(Mark(pointer), None) if pointer else "by hand"
    config = IndexConfig(dimensions=32, metric="cosine")
    return Index(name=name, config=config, description=description, created_on=created_on)


def pointer(live: str, previous: str | None = None, published_at: datetime = NOON) -> Pointer:
    return Pointer(live, previous, published_at)


@pytest.mark.parametrize(
    ("now", "slots", "idle"),
    [
        (None, ["a", "b"], "a"),
        (pointer("a"), ["a", "b"], "b"),
        (pointer("b", "a"), ["a", "b"], "a"),
        (pointer("b", "a"), ["a", "b", "c"], "c"),
        (pointer("other", "a"), ["a", "b"], "b"),
        (pointer("other"), ["a", "b"], "a"),
    ],
)
def test_idle_slot_is_not_live_and_if_possible_not_previous(now: Pointer | None, slots: list[str], idle: str) -> None:
    assert choose_idle_slot(now, slots) == idle


@pytest.mark.parametrize(
    ("now", "expect", "created_on"),
    [
        (None, None, None),  # the first publication
        (None, None, NOON),
        (pointer("a"), "a", NOON),
        (pointer("a", "b"), "a", None),  # a rollback
        (pointer("b", "a"), "a", None),  # it is live already
        (pointer("b", "a"), None, NOON),
    ],
)
def test_publication_as_expected_is_allowed(
    now: Pointer | None, expect: str | None, created_on: datetime | None
) -> None:
    check_publication(URI, now, index("b"), expect, created_on)


@pytest.mark.parametrize(
    ("now", "expect", "created_on", "message"),
    [
        (None, "a", NOON, 'names no index, but index "a" was expected'),
        (pointer("a"), None, NOON, 'names index "a", but no index was expected'),
        (pointer("c", "a"), "a", NOON, 'names index "c", but index "a" was expected'),
        (pointer("c", "b"), "a", None, 'names index "c", but index "a" was expected'),
        (pointer("a"), "a", None, "does not name it as the previous one, so it may be incomplete"),
        (pointer("a"), "a", NOON - HOUR, "so another run has replaced what was loaded"),
        (pointer("b"), "a", NOON - HOUR, "so another run has replaced what was loaded"),
    ],
)
def test_publication_against_expectation_is_refused(
    now: Pointer | None, expect: str | None, created_on: datetime | None, message: str
) -> None:
    with pytest.raises(SwitchOverError, match=message) as caught:
        check_publication(URI, now, index("b"), expect, created_on)
    assert caught.value.permanent
    assert caught.value.pointer == URI


def clears(now: Pointer | None, found: Index, *, has_vectors: bool = True) -> bool:
    return clears_previous(URI, now, found, has_vectors=has_vectors, min_age=HOUR, now=NOON)


def test_replacement_of_a_failed_rebuild_needs_no_change_of_the_pointer() -> None:
    assert not clears(pointer("a"), index("b"))
    assert not clears(None, index("b"), has_vectors=False)


def test_replacement_of_the_previous_index_clears_it_first_after_min_age() -> None:
    assert clears(pointer("a", "b", NOON - HOUR), index("b"))
    with pytest.raises(SwitchOverError, match=r"less than 1:00:00 ago \(min_age\)"):
        clears(pointer("a", "b", NOON - HOUR + timedelta(seconds=1)), index("b"))


@pytest.mark.parametrize(
    ("now", "found", "message"),
    [
        (pointer("b"), index("b"), "because it is live"),
        (None, index("b"), "does not exist, so it may be live"),
        (pointer("a"), index("b", pointer=None), "has no mark of a pointer"),
        (pointer("a"), index("b", pointer="kv://staging"), "belongs to the pointer kv://staging"),
    ],
)
def test_replacement_of_an_index_that_may_be_used_is_refused(now: Pointer | None, found: Index, message: str) -> None:
    with pytest.raises(SwitchOverError, match=message):
        clears(now, found)


def pruned(now: Pointer | None, indexes: Sequence[Index], *, keep: int = 1) -> list[str]:
    return [
        one.name for one in prunable(URI, now, indexes, prefix="docs-", keep=keep, min_age=HOUR, now=NOON)
    ]  # fmt: skip


def aged(*ages: int) -> list[Index]:
    return [index(f"docs-{age}", NOON - age * HOUR) for age in ages]


def test_prune_deletes_the_oldest_and_keeps_the_newest() -> None:
    assert pruned(pointer("docs-1"), aged(3, 1, 5, 4, 2)) == ["docs-5", "docs-4", "docs-3", "docs-2"]
    assert pruned(pointer("docs-1"), aged(3, 1, 5, 4, 2), keep=3) == ["docs-5", "docs-4"]
    assert pruned(pointer("docs-1"), aged(3, 1, 5, 4, 2), keep=9) == []


def test_prune_keeps_the_live_and_the_previous_index_whatever_their_age() -> None:
    assert pruned(pointer("docs-5", "docs-4"), aged(5, 4, 3, 2, 1)) == ["docs-3", "docs-2"]


def test_prune_keeps_indexes_that_a_rebuild_may_be_loading() -> None:
    young = index("docs-young", NOON - HOUR + timedelta(seconds=1))
    undated = index("docs-undated", None)
    assert pruned(pointer("docs-1"), [*aged(2, 1, 0), young, undated]) == ["docs-2"]


def test_moment_in_the_current_second_has_no_negative_age() -> None:
    """The clock of the server has only seconds, and the creation time has microseconds."""
    created_on = NOON + timedelta(milliseconds=900)
    new, none = [index("docs-1", created_on), index("docs-2", created_on)], timedelta(0)
    live = pointer("docs-2", "docs-0", created_on)
    assert prunable(URI, live, new, prefix="docs-", keep=1, min_age=none, now=NOON) == new[:1]
    assert clears_previous(URI, live, index("docs-0"), has_vectors=True, min_age=none, now=NOON)


def test_prune_keeps_indexes_of_others() -> None:
    others = [
        index("docs-8", NOON - 8 * HOUR, pointer=None),
        index("docs-9", NOON - 9 * HOUR, pointer=URI + "-staging"),
        index("films-9", NOON - 9 * HOUR),
    ]
    assert pruned(pointer("docs-1"), [*others, *aged(2, 1)]) == ["docs-2"]


def test_prune_without_pointer_is_refused() -> None:
    with pytest.raises(SwitchOverError, match="so any index may be live"):
        pruned(None, aged(2, 1))


@pytest.mark.parametrize("description", [None, "", "All pages", 'with "quotes", [brackets] and {braces}'])
def test_mark_reads_back_behind_any_description(description: str | None) -> None:
    mark = Mark("s3://bucket/a pointer]}.json", "@cf/baai/bge-base-en-v1.5")
    text = describe(mark, description)
    assert read_mark(text) == mark
    assert text.startswith(description or "airflow")


@pytest.mark.parametrize(
    "description", [None, "", "by hand", "airflow-provider-vectorize {", "airflow-provider-vectorize {} and more"]
)
def test_mark_of_another_description_is_none(description: str | None) -> None:
    assert read_mark(description) is None


def test_pointer_reads_back() -> None:
    written = Pointer("docs-a", "docs-b", NOON, "model")
    assert parse_pointer(written.to_json(), URI) == written
    assert parse_pointer(Pointer("docs-a", None, NOON).to_json(), URI).model is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"docs-a",
        b'"docs-a"',
        b"null",
        b"[]",
        b"{}",
        b'{"index": "docs-a"}',
        b'{"index": "", "published_at": "2026-01-31T02:00:00+00:00"}',
        b'{"index": 1, "published_at": "2026-01-31T02:00:00+00:00"}',
        b'{"index": "docs-a", "previous": ["b"], "published_at": "2026-01-31T02:00:00+00:00"}',
        b'{"index": "docs-a", "published_at": "2026-01-31T02:00:00"}',
        b'{"index": "docs-a", "published_at": "yesterday"}',
        b'{"index": "docs-a", "published_at": "2026-01-31T02:00:00+00:0',
        b"\xff",
        b"[" * 99_999,
        b'{"index": "docs-a\\n", "published_at": "2026-01-31T02:00:00+00:00"}',
        b'{"index": "docs-a", "previous": " docs-b", "published_at": "2026-01-31T02:00:00+00:00"}',
    ],
)
def test_pointer_with_other_content_is_unreadable(content: bytes) -> None:
    with pytest.raises(SwitchOverError, match="cannot be read, so which index is live is unknown"):
        parse_pointer(content, URI)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        (URI, "kv", "docs"),
        (URI.upper().replace("KV:", "kv:").replace("DOCS", "docs/live"), "kv", "docs/live"),
        ("variable://docs_index", "variable", "docs_index"),
        ("s3://aws@bucket/pointers/docs.json", "object", "s3://aws@bucket/pointers/docs.json"),
        ("/data/docs.json", "object", "/data/docs.json"),
    ],
)
def test_pointer_name_says_where_it_is_stored(text: str, kind: str, name: str) -> None:
    parsed = parse_pointer_name("pointer", text)
    assert (parsed.kind, parsed.name) == (kind, name)
    assert parsed.namespace_id == ("0f2ac74b498b48028cb68387c421e279" if kind == "kv" else "")


@pytest.mark.parametrize(
    "text", ["kv://docs", "kv://docs/docs", f"{URI[:-5]}/", f"{URI[:-5]}/..", URI + "x" * 512, "variable://", "", None]
)
def test_pointer_name_that_cannot_be_one_is_refused(text: str | None) -> None:
    with pytest.raises(ConfigError, match=r"^pointer "):
        parse_pointer_name("pointer", text)
