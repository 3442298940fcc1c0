"""Format numbers with their units, and times, for log messages and errors."""

from __future__ import annotations

from datetime import UTC, datetime


def pluralize(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 request", "6 requests".

    :param plural: Plural of the noun. Default: the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_size(count: float) -> str:
    """Return a number of bytes in a suitable unit: "980 bytes", "43 KB", "12.3 MB"."""
    if count < 1_000:
        return pluralize(round(count), "byte")
    if count < 999_500:
        return f"{count / 1e3:,.0f} KB"
    return f"{count / 1e6:,.1f} MB"


def format_rate(count: float, seconds: float) -> str:
    """Return bytes per second in a suitable unit: "43 KB/s", "3.0 MB/s", or "0 MB/s" if nothing was sent."""
    return f"{format_size(count / seconds)}/s" if count and seconds > 0 else "0 MB/s"


def format_elapsed(seconds: float) -> str:
    """Return a measured duration, with tenths of a second if it is short: "2.1 s", "1 min 15 s"."""
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)


def format_duration(seconds: float) -> str:
    """Return a duration in hours, minutes and seconds: "4 s", "1 min 15 s", "16 min", "2 h 1 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_time(text: str) -> str:
    """Return a time in ISO 8601 with a time zone as people write it: "2026-01-31 02:00:07 UTC"."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return text


def round_estimate(count: float) -> int:
    """Return an estimate with two significant digits, because more would look exact."""
    return int(float(f"{count:.2g}"))
