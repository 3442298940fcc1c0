"""Convert exceptions of ``requests`` and ``urllib3`` into errors of the provider. No I/O, except for reading files.

The texts of these exceptions are never shown, because they may contain the address of a proxy with a password.
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

#: Advice that is appended to the error if Vectorize has never answered the client.
ADVICE = "Check the API base URL and network access (DNS, proxy, firewall)."

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})")


def wire_error(
    error: Exception, request: Request, url: str, *, origin: str, verify: bool | str, limits: WireLimits
) -> VectorizeError:
    """Return the error to raise for a request that got no answer.

    :param error: Exception of ``requests`` or ``urllib3``.
    :param request: The request.
    :param url: URL of the request.
    :param origin: Origin of the settings, such as ``the connection "x"``, for the message.
    :param verify: Whether certificates are checked, or the path of the trusted certificates.
    :param limits: Time limits of the request.
    :return: A :class:`ConfigError` if somebody must correct a setting, a :class:`TerminalApiError` if a proxy refuses
        the request, or else a :class:`NoAnswerError`, which is retried.
    """
    causes = causes_of(error)
    host = urlsplit(url).netloc
    request_line = f"{request.method} {request.path}"
    variable = proxy_variable(url)
    fault = _certificate_fault(causes) or settings_fault(url, verify) or _address_fault(error)
    if fault:
        return ConfigError(f"{request_line} cannot be sent to {host} with the settings of {origin}: {fault}.")
    facts = {"method": request.method, "path": request.path}
    status = _tunnel_status(causes)
    if status is not None and 400 <= status < 500:
        return TerminalApiError(
            f"{request_line} was not sent to {host}: {_tunnel_refusal(status, variable)}", status=status, **facts
        )
    return NoAnswerError(
        f"{request_line} at {host} got no answer: {_failure(error, causes, limits, variable)}.",
        address_may_be_wrong=_not_connected(error, causes),
        **facts,
    )


def settings_fault(url: str, verify: bool | str) -> str:
    """Return what is wrong with the proxy address or the file of trusted certificates, or an empty text.

    ``requests`` reports such faults as failures of TLS or of the network, or with unrelated errors such as
    ``TypeError``.
    """
    variable = proxy_variable(url)
    return (_proxy_fault(variable) if variable else "") or _bundle_fault(url, verify)


def proxy_variable(url: str) -> str | None:
    """Return the name of the environment variable that sends this URL through a proxy, or ``None``."""
    if should_bypass_proxies(url, no_proxy=None):
        return None
    names = (f"{kind}_proxy" for kind in (urlsplit(url).scheme, "all"))
    return next((name for low in names for name in (low, low.upper()) if os.environ.get(name)), None)


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an exception and all exceptions that caused it, the outermost first."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((value for value in cause.args if isinstance(value, BaseException)), None)
        cause = inner or cause.__cause__ or cause.__context__
    return causes


# ---------------------------------------------------------------- faults in settings


def _certificate_fault(causes: Sequence[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = getattr(cause, "verify_message", "").rstrip(".")
            reason = f" ({reason})" if reason else ""
            return f"the server's certificate is not trusted{reason}. Correct the address, or the field Verify TLS"
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
        reason = "it contains no certificates in PEM format"
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
    else:
        return ""
    return f"the file of trusted certificates {path!r}, set in {source}, cannot be used: {reason}"


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
            f"the environment variable {variable} is not the URL of a proxy. It must look like "
            "http://proxy.example:3128, with special characters of a user or password percent-encoded"
        )
    if scheme.startswith("socks") and find_spec("socks") is None:
        return (
            f"the environment variable {variable} names a SOCKS proxy, but SOCKS support is not installed. "
            "Run pip install 'requests[socks]'"
        )
    return ""


def _address_fault(error: Exception) -> str:
    address_errors = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidHeader,
        LocationValueError,
        UnicodeError,
    )
    return (
        "the address or the credentials contain characters that cannot be sent"
        if isinstance(error, address_errors)
        else ""
    )


# ---------------------------------------------------------------- failures of the network


def _tunnel_status(causes: Sequence[BaseException]) -> int | None:
    tunnel_failure = next((match for cause in causes if (match := _TUNNEL_STATUS.search(str(cause)))), None)
    return int(tunnel_failure[1]) if tunnel_failure else None


def _tunnel_refusal(status: int, variable: str | None) -> str:
    proxy = _proxy(variable)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"{proxy} requires credentials (407). Put user and password into the URL in that variable."
    return f"{proxy} refused the connection ({_status_text(status)}). Allow this host there, or add it to NO_PROXY."


def _proxy(variable: str | None) -> str:
    return f"the proxy in the environment variable {variable}" if variable else "the proxy"


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _not_connected(error: Exception, causes: Sequence[BaseException]) -> bool:
    """Check whether the connection never reached Vectorize, so that the address may be wrong."""
    request_errors = (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    connect_errors = (socket.gaierror, ConnectionRefusedError, ssl.SSLError, HandshakeTimeoutError)
    return (
        isinstance(error, request_errors)
        or any(
            isinstance(cause, connect_errors) or type(cause).__name__ in ("NewConnectionError", "NameResolutionError")
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
        return "the server does not speak HTTP"
    stall, total = f"{limits.stall:g} s", f"{limits.total:g} s"
    # The first entry with an exception that is among the causes applies.
    reasons: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        ((requests.ConnectTimeout,), f"the connection could not be established within {CONNECT_SECONDS:.0f} s"),
        ((HandshakeTimeoutError,), f"the TLS handshake was not answered within {CONNECT_SECONDS:.0f} s"),
        ((StalledUploadError,), f"the server accepted no more data for {stall}, the timeout of the connection"),
        ((SlowAnswerError,), f"the answer was not complete after {total}, twice the timeout of the connection"),
        (
            (requests.Timeout, ReadTimeoutError, TimeoutError),
            f"no data arrived for {stall}, the timeout of the connection",
        ),
        ((ssl.SSLError,), f"TLS failed{_tls_reason(causes)}"),
        ((DecodeError,), "the compressed answer is damaged"),
        ((http.client.IncompleteRead,), "the connection was cut during the answer"),
        ((socket.gaierror,), f"the host name does not resolve ({_system_reason(causes)})"),
    )
    matches = (reason for kinds, reason in reasons if any(isinstance(cause, kinds) for cause in causes))
    return next(matches, "") or _system_reason(causes) or "the connection was cut"


def _proxy_reason(causes: Sequence[BaseException]) -> str:
    status = _tunnel_status(causes)
    if status is not None:
        return f"it answered {_status_text(status)}"
    if any("only use HTTP and not HTTPS" in str(cause) for cause in causes):
        return "it does not speak TLS. Use http:// in the variable"
    return _system_reason(causes) or "the connection was cut"


def _tls_reason(causes: Sequence[BaseException]) -> str:
    reasons = (cause.reason for cause in causes if isinstance(cause, ssl.SSLError))
    reason = next((reason for reason in reasons if isinstance(reason, str)), "")
    return f" ({reason.lower().replace('_', ' ')})" if reason else ""


def _system_reason(causes: Sequence[BaseException]) -> str:
    texts = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return texts[-1].lower() if texts else ""
