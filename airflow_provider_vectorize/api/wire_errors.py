"""What went wrong on the wire, as the one error that fits. Nothing is sent from here.

The exceptions of ``requests`` and ``urllib3`` are never shown as they are: a proxy's address in them could hold a
password.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.utils import should_bypass_proxies
from urllib3.exceptions import DecodeError, LocationParseError, LocationValueError, ReadTimeoutError
from urllib3.util import parse_url

from airflow_provider_vectorize.api.answers import Request
from airflow_provider_vectorize.api.wire import (
    CONNECT_SECONDS,
    HandshakeTimeoutError,
    SlowAnswerError,
    StalledUploadError,
    WireLimits,
)
from airflow_provider_vectorize.errors import ConfigError, NoAnswerError, TerminalApiError, VectorizeError

#: Appended to the last failure of a client that has not had an answer yet.
ADVICE = "Check the API base URL and network access (DNS, proxy, firewall)."

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})")


def wire_error(
    error: Exception, request: Request, url: str, *, origin: str, verify: bool | str, limits: WireLimits
) -> VectorizeError:
    """Return the error to raise for a request without an answer.

    :param error: what ``requests`` or ``urllib3`` raised.
    :param url: the request's address.
    :param origin: where the settings come from, for the message.
    :param verify: whether certificates are checked, or the path of the authorities.
    :return: a :class:`ConfigError` for what a person has to correct, else a :class:`NoAnswerError`, which is
        retried, or a :class:`TerminalApiError` for a proxy that refuses.
    """
    causes = causes_of(error)
    host = urlsplit(url).netloc
    what = f"{request.method} {request.path}"
    variable = proxy_variable(url)
    fault = _certificate_fault(causes) or settings_fault(url, verify) or _address_fault(error)
    if fault:
        return ConfigError(f"{what} cannot be sent to {host} with the settings of {origin}: {fault}.")
    facts = {"method": request.method, "path": request.path}
    status = _tunnel_status(causes)
    if status is not None and 400 <= status < 500:
        return TerminalApiError(
            f"{what} was not sent to {host}: {_refused_tunnel(status, variable)}", status=status, **facts
        )
    return NoAnswerError(
        f"{what} at {host} got no answer: {_failure(error, causes, limits, variable)}.",
        address_may_be_wrong=_not_connected(error, causes),
        **facts,
    )


def settings_fault(url: str, verify: bool | str) -> str:
    """Return what is wrong with the proxy's address or the file of trusted certificates, or nothing.

    ``requests`` reports these as failures of TLS or of the network, or with errors of its own such as ``TypeError``.
    """
    variable = proxy_variable(url)
    return (_proxy_fault(variable) if variable else "") or _bundle_fault(url, verify)


def proxy_variable(url: str) -> str | None:
    """Return the name of the environment variable that sends this address through a proxy."""
    if should_bypass_proxies(url, no_proxy=None):
        return None
    names = (f"{kind}_proxy" for kind in (urlsplit(url).scheme, "all"))
    return next((name for low in names for name in (low, low.upper()) if os.environ.get(name)), None)


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an exception and all that led to it, the outermost first."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in cause.args if isinstance(a, BaseException)), None)
        cause = inner or cause.__cause__ or cause.__context__
    return seen


# ---------------------------------------------------------------- what a person has to correct


def _certificate_fault(causes: Sequence[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            said = getattr(cause, "verify_message", "").rstrip(".")
            said = f" ({said})" if said else ""
            return f"the server's certificate is not trusted{said}. Correct the address, or the field Verify TLS"
    return ""


def _bundle_fault(url: str, verify: bool | str) -> str:
    if not url.startswith("https:") or verify is False:
        return ""
    if isinstance(verify, str):
        source, path = "the field Verify TLS (verify)", verify
    else:
        variable = next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)), None)
        if variable is None:
            return ""
        source, path = f"the environment variable {variable}", os.environ[variable]
    try:
        folder = Path(path).is_dir()
        authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authorities.load_verify_locations(cafile=None if folder else path, capath=path if folder else None)
    except ssl.SSLError:
        reason = "it holds no certificates in PEM form"
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
    else:
        return ""
    return f"the file of trusted certificates {path!r}, named by {source}, cannot be used: {reason}"


def _proxy_fault(variable: str) -> str:
    value = os.environ.get(variable, "")
    try:
        parsed = parse_url(value if "://" in value else f"http://{value}")
        scheme = parsed.scheme or ""
        well_formed = bool(parsed.host) and scheme in _PROXY_SCHEMES and parsed.path in (None, "", "/")
    except LocationParseError:
        scheme, well_formed = "", False
    if not well_formed:
        return (
            f"the environment variable {variable} is not the URL of a proxy. It has to look like "
            "http://proxy.example:3128, with special characters of a user or password percent-encoded"
        )
    if scheme.startswith("socks") and find_spec("socks") is None:
        return (
            f"the environment variable {variable} names a SOCKS proxy, and SOCKS support is not installed. "
            "Run pip install 'requests[socks]'"
        )
    return ""


def _address_fault(error: Exception) -> str:
    wrong = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidHeader,
        LocationValueError,
        UnicodeError,
    )
    return "the address or the credentials have characters that cannot be sent" if isinstance(error, wrong) else ""


# ---------------------------------------------------------------- what a retry may cure


def _tunnel_status(causes: Sequence[BaseException]) -> int | None:
    found = next((match for cause in causes if (match := _TUNNEL_STATUS.search(str(cause)))), None)
    return int(found[1]) if found else None


def _refused_tunnel(status: int, variable: str | None) -> str:
    proxy = _proxy(variable)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"{proxy} requires credentials (407). Put user and password into the URL in that variable."
    return f"{proxy} refused the connection ({_named(status)}). Allow this host there, or name it in NO_PROXY."


def _proxy(variable: str | None) -> str:
    return f"the proxy that the environment variable {variable} names" if variable else "the proxy"


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _not_connected(error: Exception, causes: Sequence[BaseException]) -> bool:
    """Check whether what answered, if anything, was not Vectorize: another address may be meant."""
    kinds = (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    refused = (socket.gaierror, ConnectionRefusedError, ssl.SSLError, HandshakeTimeoutError)
    return (
        isinstance(error, kinds)
        or any(
            isinstance(cause, refused) or type(cause).__name__ in ("NewConnectionError", "NameResolutionError")
            for cause in causes
        )
        or _not_http(causes)
    )


def _not_http(causes: Sequence[BaseException]) -> bool:
    return any(
        isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, http.client.RemoteDisconnected)
        for cause in causes
    )


def _failure(error: Exception, causes: Sequence[BaseException], limits: WireLimits, variable: str | None) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{_proxy(variable)} could not be used: {_proxy_reason(causes)}"
    if _not_http(causes):
        return "what answered does not speak HTTP"
    stall, total = f"{limits.stall:g} s", f"{limits.total:g} s"
    sentences: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (  # the first that fits
        ((requests.ConnectTimeout,), f"the connection could not be made in {CONNECT_SECONDS:.0f} s"),
        ((HandshakeTimeoutError,), f"the TLS handshake was not answered in {CONNECT_SECONDS:.0f} s"),
        ((StalledUploadError,), f"the server took no more of the body for {stall}, the connection's timeout"),
        ((SlowAnswerError,), f"the answer was not complete after {total}, twice the connection's timeout"),
        ((requests.Timeout, ReadTimeoutError, TimeoutError), f"nothing came for {stall}, the connection's timeout"),
        ((ssl.SSLError,), f"TLS failed{_tls_reason(causes)}"),
        ((DecodeError,), "the compressed answer is damaged"),
        ((http.client.IncompleteRead,), "the connection was cut during the answer"),
        ((socket.gaierror,), f"the host name does not resolve ({_system_reason(causes)})"),
    )
    found = (text for kinds, text in sentences if any(isinstance(cause, kinds) for cause in causes))
    return next(found, "") or _system_reason(causes) or "the connection was cut"


def _proxy_reason(causes: Sequence[BaseException]) -> str:
    status = _tunnel_status(causes)
    if status is not None:
        return f"it answered {_named(status)}"
    if any("only use HTTP and not HTTPS" in str(cause) for cause in causes):
        return "it does not speak TLS. Write http:// into the variable"
    return _system_reason(causes) or "the connection was cut"


def _tls_reason(causes: Sequence[BaseException]) -> str:
    reason = next((c.reason for c in causes if isinstance(c, ssl.SSLError) and isinstance(c.reason, str)), "")
    return f" ({reason.lower().replace('_', ' ')})" if reason else ""


def _system_reason(causes: Sequence[BaseException]) -> str:
    texts = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return texts[-1].lower() if texts else ""
