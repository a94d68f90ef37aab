# SPDX-License-Identifier: GPL-2.0-or-later
"""Notices when the wall clock is set, or the computer wakes from sleep.

The kernel counts the timeouts of elements, and a program its own timers, in time that
passes while it is awake; a forward ends at a time of the wall clock. Whenever the two
part, timeouts must be set anew. A timer of Linux says so: one that is cancelled when
the clock is set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). Python does not know it
before 3.13.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress

_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2

_FAR = 10 * 366 * 86400
"""Seconds until the timer would go off by itself, which nobody waits for."""


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class ClockWatch:
    """A descriptor that is readable after the wall clock was set."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self._timer: int = self._libc.timerfd_create(time.CLOCK_REALTIME, flags)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._arm()

    def close(self) -> None:
        """Close the timer."""
        os.close(self._timer)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._timer

    def take_notice(self) -> None:
        """Be ready for the next time."""
        with suppress(OSError):
            # Says ECANCELED, which is the notice itself.
            os.read(self._timer, 8)
        self._arm()

    def _arm(self) -> None:
        spec = _TimerSpec(value=_TimeSpec(seconds=int(time.time()) + _FAR))
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        self._libc.timerfd_settime(self._timer, flags, ctypes.byref(spec), None)
