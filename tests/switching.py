"""Switches that turn off one rule of the package, to show that a model test fails without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

Patches = Callable[[], list[Any]]


class Switches(dict[str, tuple[str, Patches]]):
    """By name of a rule: the behavior without it, and a function that returns the patches for it."""

    def register(self, name: str, text: str) -> Callable[[Patches], Patches]:
        """Return a decorator that adds a switch."""

        def add(patches: Patches) -> Patches:
            self[name] = text, patches
            return patches

        return add

    @contextmanager
    def without(self, name: str | None) -> Iterator[None]:
        """Switch off one rule. ``None`` changes nothing."""
        with ExitStack() as stack:
            for patcher in self[name][1]() if name else ():
                stack.enter_context(patcher)
            yield
