"""What callers pass, as templates, XComs, environment variables and JSON make it: converted exactly, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize import parameters as p
from airflow_provider_vectorize.errors import ConfigError


class LazyXComSequence(Sequence[Any]):
    """What Airflow hands out for the output of mapped tasks."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: Any) -> Any:
        return self._items[number]

    def __repr__(self) -> str:
        return "LazyXComSequence(<unevaluated length>)"


class ObjectPath:
    """Airflow 3.3's ObjectStoragePath is no PathLike."""

    protocol = "s3"

    def as_uri(self) -> str:
        raise AssertionError("which leaves out the connection")

    def __str__(self) -> str:
        return "s3://conn@bucket/a.ndjson"


MADE_BY_A_TEMPLATE = [
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


@pytest.mark.parametrize("value", MADE_BY_A_TEMPLATE)
def test_text_that_a_template_made_of_another_value_is_refused(value: str) -> None:
    for check in (p.text, p.text_or_empty, p.path, p.paths, p.ids):
        with pytest.raises(ConfigError, match=r"^source is .*(template)"):
            check("source", value)


@pytest.mark.parametrize("value", ["[ab]*.ndjson", "[abc]", "part-(1)", "(old)", "a[0]", "{a}.ndjson", "Nonesuch"])
def test_globs_and_names_with_brackets_are_paths(value: str) -> None:
    assert p.paths("source", value) == [value]


@pytest.mark.parametrize(
    ("value", "found"),
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
def test_a_source_may_be_anything_that_names_paths(value: Any, found: list[str]) -> None:
    assert p.paths("source", value) == found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "source is missing: it is None"),
        ("", "The source is empty"),
        (" \n", "The source is empty"),
        ([], "The source is empty"),
        (LazyXComSequence(), "The source is empty"),
        (["a", ""], "The source is empty"),
        (7, "not the number 7. With render_template_as_native_obj=True"),
        (True, "not True"),
        (b"/data", "of the type bytes"),
        ({"a": 1}, "of the type dict"),
        (["a", None], "Item 2 of source is missing"),
        (["a", 7], "Item 2 of source has to be text, not the number 7"),
        (["a", ["b"]], "Item 2 of source has to be text, not an object of the type list"),
    ],
)
def test_what_names_no_path_is_refused_in_a_sentence(value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        p.paths("source", value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "a list of strings, not None"),
        ("abc", "For one id, write ['abc']"),
        (7, "a list of strings, not 7"),
        (b"abc", "of the type bytes"),
        ({"a": 1}, "of the type dict"),
        (["a", 7], "Item 2 of ids has to be text, not the number 7. With render_template_as_native_obj=True"),
        ([np.int64(7)], "not the number 7"),
        (["a", None], "Item 2 of ids is missing"),
        (["a", ""], "Item 2 of ids is empty"),
    ],
)
def test_ids_are_strings_in_a_list(value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        p.ids("ids", value)
    assert said in str(caught.value)


def test_any_text_is_an_id() -> None:
    given = ["None", "007", "[]", " "]
    assert p.ids("ids", given) == p.ids("ids", LazyXComSequence(*given)) == p.ids("ids", np.array(given)) == given


@pytest.mark.parametrize("value", [4, "4", " 4 ", "+4", 4.0, np.int32(4), np.float32(4)])
def test_a_whole_number_may_be_text(value: Any) -> None:
    found = p.whole_number(1)("max_in_flight", value)
    assert (found, type(found)) == (4, int)


@pytest.mark.parametrize(
    "value",
    [
        *(None, "None", "", "four", "4.5", "4.0", "1_000", "٤", "1e3", 4.5, 0, -1, "-1", True, False),
        *(float("nan"), float("inf"), b"4", [4], {}, "9" * 5_000),
    ],
)
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"max_in_flight has to be a whole number of 1 or more, not .{1,90}\.$"):
        p.whole_number(1)("max_in_flight", value)


@pytest.mark.parametrize(("value", "found"), [(1, 1.0), ("12.5", 12.5), (0.5, 0.5), (np.float64(2), 2.0), ("1e2", 100)])
def test_a_number_may_be_text(value: Any, found: float) -> None:
    assert p.positive_number("mb_per_second", value) == found


@pytest.mark.parametrize(
    "value", [None, 0, -1, "0", "nan", "inf", "fast", True, float("nan"), float("inf"), [], 10**400]
)
def test_what_is_no_number_above_0_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="mb_per_second has to be a number above 0"):
        p.positive_number("mb_per_second", value)


def test_a_flag_may_be_text() -> None:
    assert [p.flag("durable", value) for value in (True, "True", "true", False, "False", " FALSE ")] == [True] * 3 + [
        False
    ] * 3


@pytest.mark.parametrize("value", [None, "", "yes", 1, 0, [], "None"])
def test_what_is_no_flag_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="durable has to be True or False"):
        p.flag("durable", value)


@pytest.mark.parametrize("value", ["fulll", "FULL", "", None, True, 1, ["full"], {"full": 1}])
def test_a_word_is_one_of_those_allowed(value: Any) -> None:
    check = p.one_of("full", "light", "off")
    assert check("validation", "light") == "light"
    with pytest.raises(ConfigError, match="validation has to be 'full', 'light' or 'off', not "):
        check("validation", value)


def test_none_and_nothing_pass_where_a_parameter_is_optional() -> None:
    assert p.optional(p.text)("preset", None) is None
    assert p.optional(p.text, empty_is_none=True)("source_conn_id", "") is None
    with pytest.raises(ConfigError, match="preset is empty"):
        p.optional(p.text)("preset", "")


def test_templates_and_outputs_of_tasks_are_known_later() -> None:
    class XComArg:
        def iter_references(self) -> Iterator[Any]:
            return iter(())

    assert all(map(p.resolved_later, ("{{ params.n }}", "{% if x %}4{% endif %}", XComArg())))
    assert not any(map(p.resolved_later, ("4", 4, None, True, Path("a"), ["a"])))
