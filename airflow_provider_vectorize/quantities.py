"""Format numbers with their units, for log messages and errors."""

from __future__ import annotations


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


def format_duration(seconds: float) -> str:
    """Return a duration in hours, minutes and seconds: "4 s", "1 min 15 s", "16 min", "2 h 1 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
