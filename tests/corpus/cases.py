"""Odd and bad inputs, and the expected outcome of each. ``python -m tests.corpus`` writes the files from this table.

The rows ``v1``, ``v2`` and so on are good. They must be loaded whatever the rows between them hold.
"""

from __future__ import annotations

from .builders import V1, V2, V3, Case, between, fine, flipped, gz, lines, row, vector, with_metadata, with_value, zst

MANY = b"".join(row(f"w{number}", vector(number)) + b"\n" for number in range(200))

#: Rows that look odd but are good.
FINE = (
    fine("no newline at the end", "no-last-newline", lambda: V1 + b"\n" + V2),
    fine("CRLF", "crlf", lambda: V1 + b"\r\n" + V2 + b"\r\n"),
    fine("a byte order mark", "bom", lambda: b"\xef\xbb\xbf" + V1 + b"\n" + V2),
    fine("blank lines, with or without spaces", "blank-lines", lines(b"", V1, b"", b" \t ", b"\r", V2, b"")),
    fine(
        "U+2028, U+2029 and U+0085 inside a string",
        "line-separators",
        lines(row("v1\u2028\u2029\u0085"), V2),
        "v1\u2028\u2029\u0085",
        "v2",
    ),
    fine(
        "-0.0, denormals and numbers too small for float32",
        "tiny-numbers",
        lines(row("v1", vector(-0.0, 1e-45, 1e-300)), V2),
    ),
    fine("integers as values", "whole-numbers", lines(row("v1", vector(1, -2, 10**30)), V2)),
    fine(
        "metadata null, {} or nested",
        "metadata",
        lines(row("v1", metadata=None), row("v2", metadata={}), row("v3", metadata={"a": {"b": [1, {"c": "d"}]}})),
        "v1",
        "v2",
        "v3",
    ),
    fine(
        "an id of 64 bytes, a namespace of 64 bytes",
        "long-but-legal",
        lines(row("é" * 32, namespace="x" * 64), V2),
        "é" * 32,
        "v2",
    ),
    fine(
        "the same id twice: an upsert keeps the last, an insert the first",
        "duplicate-ids",
        lines(row("v1", vector(5)), V2, row("v1", vector(6))),
        "v1",
        "v2",
    ),
    fine(
        "the same key twice: the last one counts", "duplicate-keys", lines(V1.replace(b'{"id"', b'{"id":"x","id"'), V2)
    ),
    fine("keys that Vectorize does not know", "unknown-keys", lines(row("v1", text="hello", n=[1, {}]), V2)),
    fine("spaces around the row", "spaces", lines(b"  " + V1 + b" \t", V2)),
    fine("escaped characters in the id", "escapes", lines(V1.replace(b'"v1"', b'"\\u0076\\u0031"'), V2)),
)

#: Bad rows, each between good ones.
BAD = (
    between("not JSON", "not-json", b"hello", "not a valid JSON vector"),
    between("truncated in the middle", "cut-row", V3[:40], "not a valid JSON vector"),
    between("garbage after the row", "trailing-garbage", V3 + b" x", "trailing characters"),
    between("two rows on one line", "two-rows", V3 + V3, "trailing characters"),
    between("an array instead of an object", "array", b"[1,2,3]", "Expected `object`, got `array`"),
    between("null", "null", b"null", "Expected `object`, got `null`"),
    between("no id", "no-id", row("bad").replace(b'"id"', b'"ID"'), "missing required field `id`"),
    between("a number as id", "int-id", row(7), "Expected `str`, got `int`"),
    between("null as id", "null-id", row(None), "Expected `str`, got `null`"),
    between("an empty id", "empty-id", row(""), "Vectorize refuses it", is_vector=True),
    between(
        "an id of more than 64 bytes, but fewer than 64 characters",
        "long-id",
        row("é" * 33),
        "the id has 66 bytes",
        is_vector=True,
    ),
    between(
        "a namespace of more than 64 bytes",
        "long-namespace",
        row("bad", namespace="é" * 33),
        "the namespace has 66 bytes",
        is_vector=True,
    ),
    between("a number as namespace", "int-namespace", row("bad", namespace=1), "Expected `str | null`, got `int`"),
    between("no values", "no-values", b'{"id":"bad"}', "missing required field `values`"),
    between(
        "too few values", "few-values", row("bad", [1, 2]), "2 values, but the index has 32 dimensions", is_vector=True
    ),
    between(
        "too many values",
        "many-values",
        row("bad", [1] * 33),
        "33 values, but the index has 32 dimensions",
        is_vector=True,
    ),
    between("an object as values", "object-values", row("bad", {"0": 1}), "Expected `array`, got `object`"),
    between("NaN", "nan", with_value(b"NaN"), "not a valid JSON vector"),
    between("Infinity", "infinity", with_value(b"-Infinity"), "not a valid JSON vector"),
    between("1e999", "float64-overflow", with_value(b"1e999"), "Number out of range"),
    between(
        "1e39, beyond float32", "float32-overflow", with_value(b"1e39"), "beyond the range of float32", is_vector=True
    ),
    between("a number as a string", "string-value", with_value(b'"1"'), "Expected `float`, got `str`"),
    between("true as a value", "bool-value", with_value(b"true"), "Expected `float`, got `bool`"),
    between("null as a value", "null-value", with_value(b"null"), "Expected `float`, got `null`"),
    between("a lone surrogate", "lone-surrogate", row("bad").replace(b"bad", b"\\ud800"), "not a valid JSON vector"),
    between(
        "a lone surrogate in the metadata",
        "lone-surrogate-metadata",
        with_metadata(b'{"k":"\\udc00"}'),
        "not a valid JSON vector",
    ),
    between("bytes that are not UTF-8", "not-utf8", row("bad").replace(b"bad", b"b\xe4d"), "not UTF-8, at byte 8"),
    between(
        "a control character in a string",
        "control-character",
        row("bad").replace(b"bad", b"b\x01d"),
        "not a valid JSON vector",
    ),
    between(
        "metadata that is not an object",
        "list-metadata",
        with_metadata(b"[1]"),
        "Expected `object | null`, got `array`",
    ),
    between(
        "metadata of more than 10,240 bytes",
        "large-metadata",
        row("bad", metadata={"k": "x" * 10_240}),
        "the metadata has 10248 bytes",
        is_vector=True,
    ),
    between(
        "an empty metadata key", "empty-key", with_metadata(b'{"":1}'), "the metadata key '' is invalid", is_vector=True
    ),
    between(
        "a metadata key that begins with $", "dollar-key", with_metadata(b'{"$k":1}'), "begins with $", is_vector=True
    ),
    between("a dot in a metadata key", "dot-key", with_metadata(b'{"a.b":1}'), "has a dot", is_vector=True),
    between(
        "a double quote in a metadata key", "quote-key", with_metadata(b'{"a\\"b":1}'), "a double quote", is_vector=True
    ),
    between(
        "an invalid key in a nested object",
        "nested-key",
        with_metadata(b'{"a":{"$b":1}}'),
        "Vectorize refuses it",
        is_vector=True,
    ),
    between(
        "a number in the metadata beyond the range of float64",
        "huge-metadata-number",
        with_metadata(b'{"k":' + b"9" * 400 + b"}"),
        "Vectorize refuses it",
    ),
    between(
        "20,000 levels of nesting", "deep", with_metadata(b'{"k":' * 20_000 + b"1" + b"}" * 20_000), "nested too deeply"
    ),
    between("only a byte order mark, after the first line", "bom-in-the-middle", b"\xef\xbb\xbf", "a byte order mark"),
    between(
        "a byte order mark before the row, after the first line",
        "bom-before-a-row",
        b"\xef\xbb\xbf" + V1,
        "a byte order mark",
    ),
    Case(
        "a line of more than 16 MB",
        "long-line.ndjson",
        lambda: b"\n".join([V1, b"[" + b"1," * (10 << 20) + b"1]", V2]),
        ("v1", "v2"),
        ((2, "longer than 16 MB"),),
        large=True,
    ),
    Case(
        "several bad rows, including the first and the last",
        "several.ndjson",
        lines(b"x", V1, b"[]", b"{}", V2, b"y"),
        ("v1", "v2"),
        (
            (1, "not a valid JSON vector"),
            (3, "got `array`"),
            (4, "missing required field"),
            (6, "not a valid JSON vector"),
        ),
    ),
)

#: Objects that fail as a whole.
BROKEN = (
    Case("a truncated gzip", "cut.ndjson.gz", lambda: gz(MANY)[:-100], error="is truncated"),
    Case("a gzip without its last eight bytes", "no-trailer.ndjson.gz", lambda: gz(MANY)[:-8], error="is truncated"),
    Case("a gzip with damaged bytes", "damaged.ndjson.gz", lambda: flipped(gz(MANY)), error="is damaged"),
    Case(
        "a gzip with garbage after it",
        "garbage.ndjson.gz",
        lambda: gz(MANY) + b"garbage that goes on",
        error="is damaged",
    ),
    Case("an empty file named .gz", "empty.ndjson.gz", lambda: b"", error="is truncated"),
    Case(
        "plain text named .gz", "plain.ndjson.gz", lambda: MANY, error="is damaged, or not compressed as its name says"
    ),
    Case(
        "a gzip named .ndjson",
        "gzip.ndjson",
        lambda: gz(MANY),
        error="is compressed with gzip, but its name does not end in .gz",
    ),
    Case("a truncated zst", "cut.ndjson.zst", lambda: zst(MANY)[:-20], error="is truncated"),
    Case("a zst with damaged bytes", "damaged.ndjson.zst", lambda: flipped(zst(MANY)), error="is damaged"),
    Case(
        "plain text named .zst",
        "plain.ndjson.zst",
        lambda: MANY,
        error="is damaged, or not compressed as its name says",
    ),
    Case(
        "a zst named .ndjson",
        "zst.ndjson",
        lambda: zst(MANY),
        error="is compressed with zstd, but its name does not end in .zst",
    ),
    Case("a gzip in a gzip", "twice.ndjson.gz", lambda: gz(gz(MANY)), error="is compressed twice"),
    Case("a zst in a gzip", "zst-in.ndjson.gz", lambda: gz(zst(MANY)), error="is compressed twice"),
    Case(
        "a zst from `zstd --long=28`",
        "window.ndjson.zst",
        lambda: b"\x28\xb5\x2f\xfd\x00\x90" + (len(V1) << 3 | 1).to_bytes(3, "little") + V1,
        error="was compressed with zstd --long=28",
    ),
    Case("an empty object", "empty.ndjson", lambda: b"", error="The source is empty"),
    Case("nothing but blank lines", "blank.ndjson", lambda: b"\n \n\r\n", error="The source is empty"),
    Case(
        "nothing but bad rows",
        "all-bad.ndjson",
        lines(b"x", b"y"),
        (),
        ((1, "not a valid JSON vector"), (2, "not a valid JSON vector")),
        error="has 2 bad rows and no good one",
    ),
)

#: Compressed objects that are complete.
WHOLE = (
    Case("a gzip of several members", "members.ndjson.gz", lambda: gz(V1 + b"\n") + gz(V2 + b"\n"), ("v1", "v2")),
    Case("a zst of several frames", "frames.ndjson.zst", lambda: zst(V1 + b"\n") + zst(V2 + b"\n"), ("v1", "v2")),
    Case("a gzip padded with zeros", "padded.ndjson.gz", lambda: gz(V1 + b"\n" + V2) + bytes(512), ("v1", "v2")),
    Case(
        "a row that spans two gzip members",
        "shared.ndjson.gz",
        lambda: gz(V1[:50]) + gz(V1[50:] + b"\n" + V2),
        ("v1", "v2"),
    ),
)

CASES = (*FINE, *BAD, *BROKEN, *WHOLE)
