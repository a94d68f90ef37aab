# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's own screen, as programs in the lab's dom0 can show windows on it.

Of the host they get the sockets of the X and Wayland servers, and no more.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qubesforward.errors import LabError

COOKIES = "/run/qubes-lab/Xauthority"
"""Where dom0 finds what the X server wants to see."""

_X_SOCKETS = "/tmp/.X11-unix"  # noqa: S108 - where all X servers have it
_WILD = 0xFFFF
"""The family of a cookie that is for any host (Xauth.h, FamilyWild)."""

_PASSED_ON = (
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "XDG_CURRENT_DESKTOP",
    "QT_QPA_PLATFORM",
    "QT_SCALE_FACTOR",
    "QT_STYLE_OVERRIDE",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_MESSAGES",
)


@dataclass(frozen=True, slots=True)
class Screen:
    """`sockets` are paths, the same on the host and in dom0.

    `environment` is what programs there need, `cookies` a file of Xauthority.
    """

    sockets: tuple[str, ...]
    environment: Mapping[str, str]
    cookies: bytes


def find_screen(environ: Mapping[str, str]) -> Screen:
    """Return the screen of an environment; raise `LabError` if it has none."""
    sockets = [path for path in (_find_x(environ), _find_wayland(environ)) if path]
    if not sockets:
        raise LabError(
            "there is no screen: neither DISPLAY nor WAYLAND_DISPLAY names a server on"
            " this machine; run this in a terminal of your desktop"
        )
    passed = {name: environ[name] for name in _PASSED_ON if name in environ}
    file = Path(environ.get("XAUTHORITY") or Path.home() / ".Xauthority")
    try:
        cookies = loosen_cookies(file.read_bytes())
    except OSError:
        # A server may go by who connects.
        cookies = b""
    return Screen(tuple(sockets), {**passed, "XAUTHORITY": COOKIES}, cookies)


def _find_x(environ: Mapping[str, str]) -> str:
    """Return the socket of ``:0`` or ``:0.0``; nothing for a display far away."""
    host, _, number = environ.get("DISPLAY", "").partition(":")
    path = f"{_X_SOCKETS}/X{number.partition('.')[0]}"
    is_here = host in ("", "unix") and Path(path).is_socket()
    return path if is_here else ""


def _find_wayland(environ: Mapping[str, str]) -> str:
    name = environ.get("WAYLAND_DISPLAY", "")
    if not name:
        return ""
    # A full path, or a name in the runtime directory (wl_display_connect(3)).
    path = Path(environ.get("XDG_RUNTIME_DIR", "/"), name)
    return str(path) if path.is_socket() else ""


def loosen_cookies(data: bytes) -> bytes:
    """Return an Xauthority file whose cookies are for whatever dom0 is called.

    Each is for a host by its name otherwise. An entry is a family and four texts, all
    numbers of 16 bits, big-endian (Xau's AuRead.c). What is cut off is left out.
    """
    loose = b""
    place = 0
    while place + 2 <= len(data):
        place += 2
        fields = []
        for _ in range(4):
            if place + 2 > len(data):
                return loose
            (size,) = struct.unpack_from(">H", data, place)
            fields.append(data[place + 2 : place + 2 + size])
            place += 2 + size
        if place > len(data):
            return loose
        loose += struct.pack(">H", _WILD)
        # The first one is the host's address.
        for text in (b"", *fields[1:]):
            loose += struct.pack(">H", len(text)) + text
    return loose
