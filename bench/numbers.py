# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers as people read them."""

from __future__ import annotations

from math import floor, log10


def format_number(value: float) -> str:
    """Write three digits that count, and all of those before the point."""
    if value == 0:
        return "0"
    places = max(0, 2 - floor(log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_spread(middle: float, low: float, high: float) -> str:
    """Write a median with the ends of its spread, where there is any."""
    if low == high:
        return format_number(middle)
    return f"{format_number(middle)} ({format_number(low)} to {format_number(high)})"
