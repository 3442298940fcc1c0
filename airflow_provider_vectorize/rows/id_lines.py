"""Decide whether a line of a source is one bare id. No I/O."""

from __future__ import annotations

import re

from airflow_provider_vectorize.sources.lines import BOM

#: Byte order marks of UTF-16 and UTF-32.
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_HEADINGS = {"id", "ids", "_id", "vector_id", "vector id", "vectorid"}
_AS_JSON = 'Where it belongs to the id, write each line as {"id": "…"} and set source_lines_are=\'vectors\''
_COLUMNS = f"so it is a list or has more than one column: keep the id only. {_AS_JSON}"
_BARE = "and a bare id is written without quotes, brackets and braces. For JSON lines set source_lines_are='vectors'"
#: What an id may hold but a bare one must not, each with what is said of it. The first that fits is named.
_PROBLEMS = tuple(
    (re.compile(pattern, re.DOTALL), said)
    for pattern, said in (
        (r".*\r", "it holds a carriage return: lines have to end in \\n or \\r\\n"),
        (r".*\t", f"it holds a tab, {_COLUMNS}"),
        (r".*[\x00-\x1f\x7f]", "it holds a control character"),
        (r"[\"“]|'.*'$", f"it begins with a quote, {_BARE}"),
        (r"\[", f"it begins with a bracket, {_BARE}"),
        (r"\{", f"it begins with a brace, {_BARE}"),
        (r".*,", f"it holds a comma, {_COLUMNS}"),
        (r".*;", f"it holds a semicolon, {_COLUMNS}"),
    )
)


def bare_id(line: bytes, *, first: bool) -> tuple[str, str]:
    """Read a line that should hold one bare id.

    :param line: The line without its end and without spaces around it, not empty.
    :param first: Whether it is the first line of its object.
    :return: The id, and an empty text or the reason why this is certainly not one bare id.
    """
    if (first and line.startswith(_WIDE_MARKS)) or b"\x00" in line:
        return "", "the file is UTF-16 or UTF-32, or binary: save it as UTF-8"
    if line.startswith(BOM):
        return "", "it begins with a byte order mark, which is allowed at the beginning of the file only"
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return "", f"not UTF-8, at byte {error.start} of the line"
    return text, _problem(text, first)


def _problem(text: str, first: bool) -> str:
    if first and text.casefold() in _HEADINGS:
        return f"it is the heading of a column: remove the line. {_AS_JSON}"
    return next((said for pattern, said in _PROBLEMS if pattern.match(text)), "")


def first_column(line_id: str) -> str:
    """Return what would be the id if the line had more than one column, or nothing if it can have only one.

    Ids may hold spaces and vertical bars, so that only the index can tell which it is.
    """
    first, *others = re.split(r"[ |]", line_id, maxsplit=1)
    return first if others else ""
