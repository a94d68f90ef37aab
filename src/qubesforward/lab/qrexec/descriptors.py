# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages with descriptors, over sockets that keep messages apart."""

from __future__ import annotations

import os
import socket


def receive_descriptors(
    channel: socket.socket, longest: int, most: int
) -> tuple[bytes, list[int]]:
    """Receive a message of up to `longest` bytes, with up to `most` descriptors.

    Programs that are started do not inherit them. Raises OSError.
    """
    message, descriptors, _flags, _address = socket.recv_fds(channel, longest, most)
    # The flag that would have the kernel do this is ignored by Python 3.11.
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return message, descriptors
