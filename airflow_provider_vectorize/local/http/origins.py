"""Which requests are for this server: those for this machine's own names, and none that a foreign web page sends.

A page whose name leads to this machine (DNS rebinding) sends its own name as ``Host``; a page elsewhere sends its
``Origin``. Browsers set both, and no page can change them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")


def is_loopback(name: str) -> bool:
    """Return whether a host name or address leads to this machine alone."""
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def refusal(headers: Mapping[str, str], *, any_host: bool) -> tuple[int, str] | None:
    """Return status and reason if a request must not be answered.

    :param headers: Its ``Host`` and ``Origin`` count.
    :param any_host: Whether requests for other names than this machine's are answered: with ``--allow-remote``.
    """
    host = headers.get("Host", "")
    match = HOST.fullmatch(host)
    if not any_host and not (match and is_loopback(match["name"])):
        return 421, (
            f"The local Vectorize only answers requests for this machine, such as http://127.0.0.1, and not for the "
            f"host {host[:80]!r}. Start it with --allow-remote to use it by another name."
        )
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return 403, f"The local Vectorize does not answer requests of another web page (Origin: {origin[:80]!r})."
    return None
