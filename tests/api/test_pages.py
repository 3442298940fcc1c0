"""Descriptions of answers of other servers."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.api.pages import describe_page


@pytest.mark.parametrize(
    ("body", "phrase"),
    [
        (b" \n", "empty"),
        (b"gone\x1b[31m fishing", 'text that begins "gone [31m fishing"'),
        (b"<html><body><script>var x</script><p>Blocked by <b>IT</b></p>", 'an HTML page that begins "Blocked by IT"'),
        (b"<html><title></title></html>", "an HTML page without text"),
        (b"\xff\xfe\x00", 'text that begins "'),
        (b"Authorization: Bearer abcdefgh", 'text that begins "'),
        (b"[1, 2]", 'JSON in another format that begins "[1, 2]"'),
        (b"x" * 19 + b" " + b"word " * 100, 'text that begins "x'),
    ],
)
def test_describe_page_returns_short_phrase(body: bytes, phrase: str) -> None:
    description = describe_page(body)
    assert description.startswith(phrase)
    assert len(description) < 150
    assert description.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh-1234",
        '{"headers": {"X-Auth-Key": "abcdefgh-1234"}}',
        "http://user:abcdefgh-1234@proxy.example:3128 refused",
        "/login?token=abcdefgh-1234&next=/",
        "sorry abcdefgh-1234_ABCDEFGH-5678",
        "Cookie=abcdefgh-1234",
    ],
)
def test_describe_page_removes_secrets(text: str) -> None:
    for body in (text, f"<title>{text}</title>", f"<p>{text}</p>"):
        assert "abcdefgh-1234" not in describe_page(body.encode())
