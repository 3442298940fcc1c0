"""The class tree of the errors."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_vectorize import errors


def class_tree(cls: type[errors.VectorizeError] = errors.VectorizeError) -> list[type[errors.VectorizeError]]:
    return [cls] + [descendant for child in cls.__subclasses__() for descendant in class_tree(child)]


@pytest.mark.parametrize("cls", class_tree())
def test_errors_keep_their_facts_when_pickled(cls: type[errors.VectorizeError]) -> None:
    error = cls("a sentence.", status=400, code=40012, line=7, ids=("a", "b"))
    error.progress = "3 batches were acknowledged."
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error) == "a sentence. 3 batches were acknowledged."
    assert (copy.status, copy.code, copy.line, copy.ids) == (400, 40012, 7, ("a", "b"))


def test_errors_docstring_shows_the_class_tree() -> None:
    drawn_classes = []
    for line in (errors.__doc__ or "").splitlines():
        name, indent = line.strip(" │├└─").split(" ")[0], len(line) - len(line.lstrip(" │├└─"))
        if name.endswith("Error"):
            drawn_classes.append((indent // 4 - 1, name))
    parents: dict[int, str] = {}
    for depth, name in drawn_classes:
        parents[depth] = name
        cls = getattr(errors, name)
        assert cls.__name__ == name
        if depth:
            assert cls.__bases__[0].__name__ == parents[depth - 1], name
    assert {name for _, name in drawn_classes} == {cls.__name__ for cls in class_tree()}


def test_api_errors_are_either_terminal_or_transient() -> None:
    for cls in class_tree(errors.ApiError)[1:]:
        assert issubclass(cls, errors.TerminalApiError) != issubclass(cls, errors.TransientApiError), cls
