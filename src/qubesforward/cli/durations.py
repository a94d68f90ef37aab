# SPDX-License-Identifier: GPL-2.0-or-later
"""Lengths and moments of time, as people type and read them.

The time now is an argument, in seconds since 1970. Clock times are of this
computer's own time zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from qubesforward.cli.phrase import Phrase, put_in_row
from qubesforward.errors import InvalidRule

LONGEST = 10 * 365 * 86400
"""Seconds. What is to stay open for longer is better opened without an end."""

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"([0-9]{1,9})(w|d|h|min|m|s)")
_PARTS = re.compile(rf"(?:{_PART.pattern})+\Z")
_SECONDS = re.compile(r"[0-9]{1,12}\Z")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})\Z")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?\Z"
)

_DAYS = (
    Phrase("Mon"),
    Phrase("Tue"),
    Phrase("Wed"),
    Phrase("Thu"),
    Phrase("Fri"),
    Phrase("Sat"),
    Phrase("Sun"),
)


def parse_duration(text: str) -> int:
    """Read ``2h``, ``30m``, ``1d12h``, ``90s`` or ``+SECONDS``; return seconds.

    Raise `InvalidRule` for anything else, for nothing, and for more than `LONGEST`.
    """
    if text.startswith("+") and _SECONDS.match(text[1:]):
        seconds = int(text[1:])
    elif _PARTS.match(text) and len(text) <= 40:
        seconds = sum(int(n) * _UNITS[unit[0]] for n, unit in _PART.findall(text))
    elif _SECONDS.match(text):
        raise InvalidRule(f"{text}: of what? Give a unit, as in {text}m or {text}h")
    else:
        raise InvalidRule(f"{text[:40]!a}: give a length of time, as in 2h or 1d12h")
    if seconds == 0:
        raise InvalidRule(f"{text}: no time at all")
    if seconds > LONGEST:
        raise InvalidRule(f"{text}: more than 10 years; leave it out for no end")
    return seconds


def parse_moment(text: str, now: int) -> int:
    """Read a moment to come; return seconds since 1970.

    Takes ``18:30`` (the next one), ``2026-12-24`` (as that day begins),
    ``2026-12-24 18:30``, seconds since 1970, and ``+SECONDS``. Raise `InvalidRule`
    for anything else and for what is over.
    """
    if text.startswith("+"):
        return now + parse_duration(text)
    moment = _find_moment(text, now)
    if moment is None:
        hint = ""
        if _PARTS.match(text):
            hint = f" (did you mean --for {text[:40]}?)"
        raise InvalidRule(
            f"{text[:40]!a}: give a time, as in 18:30 or 2026-12-24 18:30{hint}"
        )
    if moment <= now:
        raise InvalidRule(f"{text}: is over already")
    if moment - now > LONGEST:
        raise InvalidRule(f"{text}: more than 10 years away; leave it out for no end")
    return moment


def parse_past(text: str, now: int) -> int:
    """Read a moment that is over; return seconds since 1970.

    Takes a length of time before now (``2h``), ``18:30`` (the last one), and the
    dates and seconds that `parse_moment` takes. Raise `InvalidRule` otherwise.
    """
    if _PARTS.match(text):
        return now - parse_duration(text)
    moment = _find_moment(text, now)
    if moment is None:
        raise InvalidRule(f"{text[:40]!a}: give a time, as in 2h, 18:30 or 2026-12-24")
    if _CLOCK.match(text):
        moment = int((datetime.fromtimestamp(moment) - timedelta(days=1)).timestamp())
    if moment > now:
        raise InvalidRule(f"{text}: is still to come")
    return moment


def _find_moment(text: str, now: int) -> int | None:
    try:
        if _SECONDS.match(text):
            return int(text)
        if clock := _CLOCK.match(text):
            return _next_clock(int(clock[1]), int(clock[2]), now)
        if _DATE.match(text):
            return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        pass
    return None


def _next_clock(hour: int, minute: int, now: int) -> int:
    today = datetime.fromtimestamp(now)
    then = today.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if then.timestamp() <= now:
        then += timedelta(days=1)
    return int(then.timestamp())


def format_duration(seconds: int) -> str:
    """Write a length of time in its two largest units: ``1 d 12 h``, ``45 s``."""
    left = max(seconds, 0)
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def format_moment(moment: int, now: int) -> str:
    """Write a moment for people: ``18:30`` today, else ``Thu 2026-12-24 18:30``.

    Seconds are written only where they matter: less than a minute away.
    """
    then = datetime.fromtimestamp(moment)
    today = datetime.fromtimestamp(now)
    clock = f"{then:%H:%M:%S}" if moment - now < 60 else f"{then:%H:%M}"
    if then.date() == today.date():
        return clock
    if then.date() == (today + timedelta(days=1)).date():
        return Phrase("tomorrow {0}", clock)
    return put_in_row((_DAYS[then.weekday()], f"{then:%Y-%m-%d}", clock), " ")


def format_day(moment: int, now: int) -> str:
    """Write a moment in at most 10 characters, for tables, less exact when far."""
    then = datetime.fromtimestamp(moment)
    days = (then.date() - datetime.fromtimestamp(now).date()).days
    if days == 0:
        return f"{then:%H:%M}"
    if 0 < days < 7:
        return put_in_row((_DAYS[then.weekday()], f"{then:%H:%M}"), " ")
    return f"{then:%Y-%m-%d}"
