"""Switches for rules of a sync, to show that the model test fails without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

#: By name of the rule: the behavior without it, and a function that returns the patches for it.
SWITCHES: dict[str, tuple[str, Callable[[], list[Any]]]] = {}


@contextmanager
def without(name: str | None) -> Iterator[None]:
    """Switch off one rule. ``None`` changes nothing."""
    with ExitStack() as stack:
        for patcher in SWITCHES[name][1]() if name else ():
            stack.enter_context(patcher)
        yield
