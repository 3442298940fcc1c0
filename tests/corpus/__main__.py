"""Write the files of the corpus from the table of cases."""

from __future__ import annotations

from .builders import OBJECTS
from .cases import CASES

OBJECTS.mkdir(exist_ok=True)
for case in CASES:
    if not case.large:
        (OBJECTS / case.name).write_bytes(case.content())
