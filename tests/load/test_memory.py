"""Test unusual sources: memory stays that of an ordinary load, and the work grows only with the bytes."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.load.bad_row_file import MEMORY_BYTES, BadRowFile
from airflow_provider_vectorize.load.dead_letters import CHUNK_BYTES
from airflow_provider_vectorize.rows.block_rows import BadRow, check_rows
from airflow_provider_vectorize.rows.validation import choose_check
from airflow_provider_vectorize.sources.lines import BLOCK_LINES, LINE_BYTES, Position, read_blocks
from tests.support import DIMENSIONS, make_rows, ndjson

from .conftest import BooksIndex

ROOT = Path(__file__).parents[2]
MB = 1 << 20
#: Megabytes that a load may need more than an ordinary one.
ALLOWED_MB = 48
VALUES = json.dumps([0.5] * DIMENSIONS)
GOOD = f'{{"id": "good", "values": {VALUES}}}\n'.encode()

SCRIPT = """
import json, re, sys
from pathlib import Path
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from tests.support import FileObject, FileTarget
account, token, url, path, options = sys.argv[1:]
client = VectorizeClient(Credentials(account, token, base_url=url))
dead_letters = DeadLetters(FileTarget(Path(path + ".bad")))
options = LoadOptions(dead_letters=dead_letters, **json.loads(options))
receipt = run(client, "upsert", client.get_index("books"), [FileObject(Path(path))], options)
peak = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
sys.stdout.write(json.dumps([receipt.vectors, receipt.rejected, int(peak) / 1024]))
"""


def load(books: BooksIndex, path: Path, **options: Any) -> tuple[int, int, float]:
    """Load in a separate process. Return the vectors, the rejected rows, and the peak memory in MB."""
    local = books.local
    arguments = [local.account_id, local.token, local.base_url, str(path), json.dumps(options)]
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    vectors, rejected, peak = json.loads(process.stdout)
    return vectors, rejected, peak


def stored(path: Path, pieces: Iterable[bytes]) -> Path:
    """Write a source, compressed as its name says."""
    if path.suffix == ".gz":
        with gzip.open(path, "wb", 1) as file:
            file.writelines(pieces)
    elif path.suffix == ".zst":
        with zstandard.open(path, "wb", zstandard.ZstdCompressor(1)) as file:
            for piece in pieces:
                file.write(piece)
    else:
        with path.open("wb") as file:
            file.writelines(pieces)
    return path


def bad_rows(size: int, *, between: bytes = b"") -> Iterator[bytes]:
    """Yield 80 MB of bad rows of equal size, followed by a good one."""
    row = b'{"id": "bad", "values": ["' + b"x" * (size - 30) + b'"]}\n'
    for _ in range(80 * MB // size):
        yield row
        yield between
    yield GOOD


def refused_rows() -> Iterator[bytes]:
    """Yield 40 MB of rows that only Vectorize refuses, because the load does not check nested metadata."""
    row = b'{"id": "bad", "values": ' + VALUES.encode() + b', "metadata": {"a": {"$b": 1}}, "x": "%s"}\n' % (b"x" * MB)
    yield from [row] * 40
    yield GOOD


def dense_after_noise() -> Iterator[bytes]:
    """Yield a row that cannot be compressed, and then 100 MB of blank lines."""
    noise = np.random.default_rng(1).bytes(MB).hex().encode()
    yield GOOD[:-2] + b', "x": "' + noise + b'"}\n'
    yield from [(b" " * 1_023 + b"\n") * 1_024] * 100
    yield GOOD


def long_lines(line: bytes) -> Iterator[bytes]:
    """Yield some lines of nearly the maximum length among good ones."""
    yield from [GOOD, line + b"\n"] * 3
    yield GOOD


def row_with(key: str, value: bytes) -> bytes:
    fields = {"id": b'"a"', "values": VALUES.encode(), key: value}
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in fields.items()) + b"}"


LONG = LINE_BYTES * 3 // 4
NO_LIMIT = {"max_bad_rows": 10**9}
CASES = {
    "bad rows": (".ndjson", lambda: bad_rows(400_000), {}),
    "bad rows, gz": (".ndjson.gz", lambda: bad_rows(400_000), {}),
    "small bad rows": (".ndjson", lambda: bad_rows(1_000), NO_LIMIT),
    "bad and good rows": (".ndjson", lambda: bad_rows(400_000, between=GOOD), {}),
    "refused rows": (".ndjson", refused_rows, {"validation": "off"}),
    "rows that are not UTF-8": (".ndjson", lambda: [*[b"\xff" * MB + b"\n"] * 40, GOOD], {}),
    "dense zst": (".ndjson.zst", dense_after_noise, {}),
    "one line of zeros": (".ndjson", lambda: [*[bytes(MB)] * 200, b"\n", GOOD], {}),
    "one line of zeros, gz": (".ndjson.gz", lambda: [*[bytes(MB)] * 200, b"\n", GOOD], {}),
    "long bad rows": (".ndjson", lambda: long_lines(b"x" * LONG), {}),
    "a million values": (".ndjson", lambda: long_lines(row_with("values", b"[" + b"0," * (LONG // 2) + b"0]")), {}),
    "values and NaN": (".ndjson", lambda: long_lines(row_with("values", b"[NaN%s]" % (b",0" * (LONG // 2)))), {}),
    "big metadata": (".ndjson", lambda: long_lines(row_with("metadata", b'{"k":[%s0]}' % (b"{}," * (LONG // 3)))), {}),
    "a long key": (".ndjson", lambda: long_lines(row_with("metadata", b'{"' + b"." * LONG + b'":0}')), {}),
    "a long id": (".ndjson", lambda: long_lines(row_with("id", '"😀'.encode() + b"a" * LONG + b'"')), {}),
    "a long text": (".ndjson", lambda: long_lines(row_with("x", '"😀'.encode() + b"a" * LONG + b'"')), {}),
    "deep nesting": (".ndjson", lambda: long_lines(row_with("metadata", b"[" * LONG)), {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def ordinary() -> dict[str, float]:
    """Hold the peak memory of an ordinary load after the first test has measured it."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "pieces", "options"), CASES.values(), ids=CASES)
def test_load_unusual_source_needs_no_extra_memory(
    books: BooksIndex, ordinary: dict[str, float], suffix: str, pieces: Any, options: dict[str, Any]
) -> None:
    if not ordinary:
        ordinary["peak"] = load(books, stored(books.folder / "ordinary.ndjson", [ndjson(make_rows(5_000))] * 15))[2]
    path = stored(books.folder / f"odd{suffix}", pieces())
    vectors, _, peak = load(books, path, **{"float32_text": "never", **options})
    assert vectors >= 1
    assert peak < ordinary["peak"] + ALLOWED_MB


BLANK = {
    "newlines": b"\n",
    "CRLF": b"\r\n",
    "spaces": b" \n",
    "tabs and long lines": b"\t" * 100 + b"\n",
}


@pytest.mark.parametrize("blank", BLANK.values(), ids=BLANK)
def test_read_blocks_blank_lines_are_skipped_in_bulk(blank: bytes) -> None:
    """Blank lines are read one by one only if they are so long that a block holds few of them."""
    lines = 4 * MB // len(blank)
    source = io.BytesIO(blank * lines + GOOD + blank * lines + GOOD)
    blocks = list(read_blocks(source, Position()))
    lines_read = sum(len(block.ends) for block in blocks)
    assert lines_read < 2 * BLOCK_LINES if len(blank) < 32 else lines_read == 2 * lines + 2
    check = choose_check(DIMENSIONS, LIMITS, "full", "never")
    positions = [
        rows.position(row) for rows in (check_rows(block, check) for block in blocks) for row in range(len(rows.ids))
    ]
    gap = lines * len(blank)
    assert positions == [Position(0, lines + 1, gap), Position(0, 2 * lines + 2, 2 * gap + len(GOOD))]
    assert blocks[-1].end == Position(0, 2 * lines + 3, 2 * gap + 2 * len(GOOD))


@pytest.mark.parametrize("gap", [10, 100, 1_000])
def test_read_blocks_blank_lines_cost_is_proportional_to_rows(gap: int) -> None:
    rows = 2 * MB // (len(GOOD) + gap)
    blocks = list(read_blocks(io.BytesIO((GOOD + b"\n" * gap) * rows), Position()))
    assert all(len(block.ends) <= BLOCK_LINES for block in blocks)
    assert sum(len(block.ends) for block in blocks) <= rows * (gap + 1 if gap <= 64 else 100)
    check = choose_check(DIMENSIONS, LIMITS, "full", "never")
    assert sum(len(check_rows(block, check).ids) for block in blocks) == rows


def test_read_blocks_short_bad_lines_make_small_blocks() -> None:
    blocks = list(read_blocks(io.BytesIO(b"x\n" * MB), Position()))
    assert max(len(block.ends) for block in blocks) == BLOCK_LINES
    assert b"".join(block.text for block in blocks) == b"x\n" * MB
    assert [block.position.line for block in blocks] == list(range(1, MB, BLOCK_LINES))


def test_bad_row_file_can_be_read_repeatedly() -> None:
    rows = [
        BadRow(Position(2, 3, 1 << 40), b"\xff\n\0", 'not "UTF-8" é', True),
        BadRow(Position(2, 4, (1 << 40) + 9), b"", "empty"),
        BadRow(Position(3, 1, 0), b"x" * (2 * MEMORY_BYTES), "long"),
    ]
    file = BadRowFile()
    assert (list(file), len(file)) == ([], 0)
    file.add(rows[:1])
    assert list(file) == rows[:1]
    file.add(rows[1:])
    assert list(file) == list(file) == rows
    assert len(file) == 3


def test_dead_letter_of_long_row_is_complete(books: BooksIndex) -> None:
    text = "é€😀".encode() * (CHUNK_BYTES // 4) + b"\xff\xe2\x82" * CHUNK_BYTES + "😀".encode()[:3]
    books.load(text + b"\n" + GOOD, dead_letters=True)
    (letter,) = books.target.dead_letters()
    assert letter["row"].encode("utf-8", "surrogateescape") == text
