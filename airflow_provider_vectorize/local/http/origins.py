"""Checks of ``Host`` and ``Origin``, so that web pages of other sites cannot use this server through a browser.

A page whose host name resolves to this machine (DNS rebinding) sends that name as ``Host``. Any other page sends its
``Origin``. Browsers set both headers, and pages cannot change them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")


def is_loopback(name: str) -> bool:
    """Check whether a host name or address refers to the loopback interface."""
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def refusal(headers: Mapping[str, str], *, any_host: bool) -> tuple[int, str] | None:
    """Return status and reason if a request must be refused, or None.

    :param headers: Headers of the request. ``Host`` and ``Origin`` are checked.
    :param any_host: Accept any ``Host``, as with ``--allow-remote``.
    """
    host = headers.get("Host", "")
    match = HOST.fullmatch(host)
    if not any_host and not (match and is_loopback(match["name"])):
        return 421, (
            f"Local Vectorize only accepts requests for this machine, such as http://127.0.0.1, and not for the host "
            f"{host[:80]!r}. To use another host name, start it with --allow-remote."
        )
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return 403, f"Local Vectorize does not accept requests from other web pages (Origin: {origin[:80]!r})."
    return None
