"""Numbers with their units, as log messages and errors say them."""

from __future__ import annotations


def pluralize(count: int, thing: str, things: str = "") -> str:
    """Return a number of things: "1 request", "6 requests".

    :param things: The plural, where it is not the singular with an s.
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def format_size(count: float) -> str:
    """Return a number of bytes in the unit that shows it: "980 bytes", "43 KB", "12.3 MB"."""
    if count < 1_000:
        return pluralize(round(count), "byte")
    if count < 999_500:
        return f"{count / 1e3:,.0f} KB"
    return f"{count / 1e6:,.1f} MB"


def format_rate(count: float, seconds: float) -> str:
    """Return bytes a second in the unit that shows it: "43 KB/s", "3.0 MB/s"; "0 MB/s" where nothing was sent."""
    return f"{format_size(count / seconds)}/s" if count and seconds > 0 else "0 MB/s"


def format_duration(seconds: float) -> str:
    """Return a time as people say it: "4 s", "1 min 15 s", "16 min", "2 h 1 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
