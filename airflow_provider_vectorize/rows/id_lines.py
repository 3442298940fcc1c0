"""Check whether a line of a source is one bare id. No I/O."""

from __future__ import annotations

import re

from airflow_provider_vectorize.sources.lines import BOM

#: Byte order marks of UTF-16 and UTF-32.
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_HEADINGS = {"id", "ids", "_id", "vector_id", "vector id", "vectorid"}
_AS_JSON = 'write each line as {"id": "…"} and set source_lines_are=\'vectors\''
_COLUMNS = (
    "so the line is a list or has more than one column. Keep only the id. If the character is part of the id, "
    f"{_AS_JSON}"
)
_BARE = "but a bare id has no quotes, brackets or braces. For JSON lines, set source_lines_are='vectors'"
#: Patterns that ids may match but bare ids must not, each with the reason. The first match is reported.
_PROBLEMS = tuple(
    (re.compile(pattern, re.DOTALL), reason)
    for pattern, reason in (
        (r".*\r", "it contains a carriage return: lines must end in \\n or \\r\\n"),
        (r".*\t", f"it contains a tab, {_COLUMNS}"),
        (r".*[\x00-\x1f\x7f]", "it contains a control character"),
        (r"[\"“]|'.*'$", f"it begins with a quote, {_BARE}"),
        (r"\[", f"it begins with a bracket, {_BARE}"),
        (r"\{", f"it begins with a brace, {_BARE}"),
        (r".*,", f"it contains a comma, {_COLUMNS}"),
        (r".*;", f"it contains a semicolon, {_COLUMNS}"),
    )
)


def bare_id(line: bytes, *, first: bool) -> tuple[str, str]:
    """Read a line that should contain one bare id.

    :param line: The line without its newline and without spaces around it. Not empty.
    :param first: Whether it is the first line of its object.
    :return: The id, and the reason why the line is certainly not one bare id, or an empty string.
    """
    if (first and line.startswith(_WIDE_MARKS)) or b"\x00" in line:
        return "", "the file is UTF-16 or UTF-32, or binary: save it as UTF-8"
    if line.startswith(BOM):
        return "", "it begins with a byte order mark, which is allowed only at the beginning of the file"
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return "", f"not UTF-8, at byte {error.start} of the line"
    return text, _problem(text, first)


def _problem(text: str, first: bool) -> str:
    if first and text.casefold() in _HEADINGS:
        return f"it is the heading of a column. Remove the line. If it is an id, {_AS_JSON}"
    return next((reason for pattern, reason in _PROBLEMS if pattern.match(text)), "")


def first_column(line_id: str) -> str:
    """Return the id if the line has more than one column, or an empty string if it can only have one.

    Ids may contain spaces and vertical bars, so only a look at the index shows which of the two is the case.
    """
    first, *others = re.split(r"[ |]", line_id, maxsplit=1)
    return first if others else ""
