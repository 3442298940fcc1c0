"""Print the steps of the demo."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Prints numbered steps, each with its duration and with details below."""

    def __init__(self) -> None:
        self._number = 0
        self._in_title = False

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a title, run the step, and print its duration after the title or after the details."""
        self._number += 1
        print(f"{self._number}. {title}", end="", flush=True)
        self._in_title = True
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            if not self._in_title:
                print(f"   ({seconds:.1f} s)", flush=True)
            else:
                print(f"  ({seconds:.1f} s)" if seconds >= 0.1 else "", flush=True)
            self._in_title = False

    def detail(self, text: str = "") -> None:
        """Print a line below the title."""
        print(("\n" if self._in_title else "") + f"   {text}".rstrip(), flush=True)
        self._in_title = False
