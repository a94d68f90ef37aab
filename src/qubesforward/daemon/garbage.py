# SPDX-License-Identifier: GPL-2.0-or-later
"""When Python looks for garbage that counting references does not find."""

from __future__ import annotations

import gc

_NEW_OBJECTS = 50_000
_YOUNG_LOOKS = 20
_OLD_LOOKS = 50


def collect_seldom() -> None:
    """Look less often than Python does by itself.

    Ten thousand forwards are some hundred thousand objects that stay, and go over
    together. With the usual thresholds (700, 10, 10) they are gone through again and
    again while they are made: half of the time that planning them takes. Almost
    nothing here is cyclic, so that there is nothing to be found either.
    """
    gc.set_threshold(_NEW_OBJECTS, _YOUNG_LOOKS, _OLD_LOOKS)
