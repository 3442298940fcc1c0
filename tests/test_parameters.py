"""Values from templates, XComs, environment variables and JSON are converted exactly or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize import parameters
from airflow_provider_vectorize.errors import ConfigError


class LazyXComSequence(Sequence[Any]):
    """Stand-in for the sequence in which Airflow passes the output of mapped tasks."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: Any) -> Any:
        return self._items[number]

    def __repr__(self) -> str:
        return "LazyXComSequence(<unevaluated length>)"


class ObjectPath:
    """Stand-in for the ObjectStoragePath of Airflow 3.3, which is not a PathLike."""

    protocol = "s3"

    def as_uri(self) -> str:
        raise AssertionError("as_uri() leaves out the connection, so it must not be called")

    def __str__(self) -> str:
        return "s3://conn@bucket/a.ndjson"


STRINGIFIED_VALUES = [
    "None",
    " None ",
    "['a', 'b']",
    '["a", "b"]',
    "[]",
    "[1, 2]",
    "{}",
    "{'a': 1}",
    '{"source": "a"}',
    "('a', 'b')",
    "(1, 2)",
    "[PosixPath('/a'), PosixPath('/b')]",
    "LazyXComSequence(<unevaluated length>)",
    "LazyXComSequence([3 items])",
    "LazyXComSelectSequence([3 items])",
]


@pytest.mark.parametrize("value", STRINGIFIED_VALUES)
def test_text_from_a_stringified_value_is_refused(value: str) -> None:
    for check in (parameters.text, parameters.text_or_empty, parameters.path, parameters.paths, parameters.ids):
        with pytest.raises(ConfigError, match=r"^source is .*(template)"):
            check("source", value)


@pytest.mark.parametrize("value", ["[ab]*.ndjson", "[abc]", "part-(1)", "(old)", "a[0]", "{a}.ndjson", "Nonesuch"])
def test_paths_with_brackets_are_accepted(value: str) -> None:
    assert parameters.paths("source", value) == [value]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.ndjson", ["a.ndjson"]),
        (Path("/data/a.ndjson"), ["/data/a.ndjson"]),
        (PurePosixPath("a"), ["a"]),
        (ObjectPath(), ["s3://conn@bucket/a.ndjson"]),
        (["a", Path("b"), ObjectPath()], ["a", "b", "s3://conn@bucket/a.ndjson"]),
        (("a", "b"), ["a", "b"]),
        (LazyXComSequence("a", "b"), ["a", "b"]),
        (iter(["a", "b"]), ["a", "b"]),
    ],
)
def test_paths_of_every_supported_type_are_accepted(value: Any, expected: list[str]) -> None:
    assert parameters.paths("source", value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "source is missing: it is None"),
        ("", "The source is empty"),
        (" \n", "The source is empty"),
        ([], "The source is empty"),
        (LazyXComSequence(), "The source is empty"),
        (["a", ""], "The source is empty"),
        (7, "not the number 7. With render_template_as_native_obj=True"),
        (True, "not True"),
        (b"/data", "of type bytes"),
        ({"a": 1}, "of type dict"),
        (["a", None], "Item 2 of source is missing"),
        (["a", 7], "Item 2 of source must be a string, not the number 7"),
        (["a", ["b"]], "Item 2 of source must be a string, not an object of type list"),
    ],
)
def test_paths_that_are_invalid_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parameters.paths("source", value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "a list of strings, not None"),
        ("abc", "For one id, write ['abc']"),
        (7, "a list of strings, not 7"),
        (b"abc", "of type bytes"),
        ({"a": 1}, "of type dict"),
        (["a", 7], "Item 2 of ids must be a string, not the number 7. With render_template_as_native_obj=True"),
        ([np.int64(7)], "not the number 7"),
        (["a", None], "Item 2 of ids is missing"),
        (["a", ""], "Item 2 of ids is empty"),
    ],
)
def test_ids_that_are_not_a_list_of_strings_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parameters.ids("ids", value)
    assert message in str(caught.value)


def test_ids_accept_any_text() -> None:
    given = ["None", "007", "[]", " "]
    assert (
        parameters.ids("ids", given)
        == parameters.ids("ids", LazyXComSequence(*given))
        == parameters.ids("ids", np.array(given))
        == given
    )


@pytest.mark.parametrize("value", [4, "4", " 4 ", "+4", 4.0, np.int32(4), np.float32(4)])
def test_whole_number_as_text_is_converted(value: Any) -> None:
    number = parameters.whole_number(1)("max_in_flight", value)
    assert (number, type(number)) == (4, int)


@pytest.mark.parametrize(
    "value",
    [
        *(None, "None", "", "four", "4.5", "4.0", "1_000", "٤", "1e3", 4.5, 0, -1, "-1", True, False),
        *(float("nan"), float("inf"), b"4", [4], {}, "9" * 5_000),
    ],
)
def test_whole_number_that_is_invalid_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"max_in_flight must be a whole number of 1 or more, not .{1,90}\.$"):
        parameters.whole_number(1)("max_in_flight", value)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), ("12.5", 12.5), (0.5, 0.5), (np.float64(2), 2.0), ("1e2", 100)]
)
def test_positive_number_as_text_is_converted(value: Any, expected: float) -> None:
    assert parameters.positive_number("mb_per_second", value) == expected


@pytest.mark.parametrize(
    "value", [None, 0, -1, "0", "nan", "inf", "fast", True, float("nan"), float("inf"), [], 10**400]
)
def test_positive_number_that_is_invalid_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="mb_per_second must be a number above 0"):
        parameters.positive_number("mb_per_second", value)


@pytest.mark.parametrize("value", [timedelta(seconds=90), 90, 90.0, "90", np.int64(90)])
def test_duration_in_any_form_is_converted(value: Any) -> None:
    assert parameters.duration("min_age", value) == timedelta(seconds=90)
    assert parameters.duration("min_age", 0) == timedelta(0)


@pytest.mark.parametrize(
    "value", [None, -1, timedelta(seconds=-1), "an hour", "", "nan", True, float("inf"), 10**400, timedelta.max, []]
)
def test_duration_that_is_invalid_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="min_age must be a timedelta or a number of seconds"):
        parameters.duration("min_age", value)


def test_time_as_text_is_converted() -> None:
    moment = datetime(2026, 1, 31, 2, tzinfo=UTC)
    for value in (moment, "2026-01-31T02:00:00+00:00", "2026-01-31T02:00:00Z", "2026-01-31T03:00:00+01:00"):
        assert parameters.time("created_on", value) == moment


@pytest.mark.parametrize("value", ["2026-01-31", "2026-01-31T02:00:00", datetime(2026, 1, 31), "yesterday"])
def test_time_that_is_invalid_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="created_on must be a time such as"):
        parameters.time("created_on", value)


def test_flag_as_text_is_converted() -> None:
    assert [parameters.flag("durable", value) for value in (True, "True", "true", False, "False", " FALSE ")] == [
        True
    ] * 3 + [False] * 3


@pytest.mark.parametrize("value", [None, "", "yes", 1, 0, [], "None"])
def test_flag_that_is_invalid_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="durable must be True or False"):
        parameters.flag("durable", value)


@pytest.mark.parametrize("value", ["fulll", "FULL", "", None, True, 1, ["full"], {"full": 1}])
def test_one_of_accepts_only_the_allowed_words(value: Any) -> None:
    check = parameters.one_of("full", "light", "off")
    assert check("validation", "light") == "light"
    with pytest.raises(ConfigError, match="validation must be 'full', 'light' or 'off', not "):
        check("validation", value)


def test_optional_accepts_none_and_empty_text() -> None:
    assert parameters.optional(parameters.text)("preset", None) is None
    assert parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", "") is None
    with pytest.raises(ConfigError, match="preset is empty"):
        parameters.optional(parameters.text)("preset", "")


def test_resolved_later_recognizes_templates_and_task_outputs() -> None:
    class XComArg:
        def iter_references(self) -> Iterator[Any]:
            return iter(())

    assert all(map(parameters.resolved_later, ("{{ params.n }}", "{% if x %}4{% endif %}", XComArg())))
    assert not any(map(parameters.resolved_later, ("4", 4, None, True, Path("a"), ["a"])))
