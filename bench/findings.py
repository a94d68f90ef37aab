# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of the causes: written by people, shown with the measured numbers."""

from __future__ import annotations

FINDINGS = ""

EXPLAINED: dict[tuple[str, str, str], str] = {}
"""By part, what and side: why something grows faster than N log N."""
