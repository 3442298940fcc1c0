"""Describe answers of other servers in a short phrase that is safe to log."""

from __future__ import annotations

import html
import re

#: Maximum length of an excerpt, in characters.
EXCERPT_CHARACTERS = 100
#: Maximum number of bytes of a page that are examined.
EXAMINED_BYTES = 65_536

_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<[^>]*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_SECRET = re.compile(
    r"(?i)\b(bearer|basic)\s+\S+"
    r"|[\w-]*(token|key|secret|passw|session|cookie|auth)[\w-]*[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?[^\s\"',;&]+"
    r"|\S*://\S*@\S*"
    r"|(?=[\w+/.=-]*\d)[\w+/=-]{20,}"
)


def describe_page(body: bytes) -> str:
    """Return a phrase such as ``an HTML page titled "Sign in"``.

    The phrase contains no markup, no control characters and nothing that looks like a secret.
    """
    text = body[:EXAMINED_BYTES].decode("utf-8", "replace").strip()
    if not text:
        return "empty"
    if text[0] in "{[":
        return f'JSON in another format that begins "{_excerpt(text)}"'
    if "<" not in text[:1_000]:
        return f'text that begins "{_excerpt(text)}"'
    title = _TITLE.search(text)
    if title and _excerpt(title[1]):
        return f'an HTML page titled "{_excerpt(title[1])}"'
    words = _excerpt(_MARKUP.sub(" ", text))
    return f'an HTML page that begins "{words}"' if words else "an HTML page without text"


def _excerpt(text: str) -> str:
    plain = html.unescape(text)
    plain = "".join(char if char.isprintable() and char not in "<>" else " " for char in plain)
    plain = _SECRET.sub("…", " ".join(plain.split()))
    return plain if len(plain) <= EXCERPT_CHARACTERS else f"{plain[:EXCERPT_CHARACTERS].rstrip()}…"
