# SPDX-License-Identifier: GPL-2.0-or-later
"""Port forwarding for Qubes OS."""

__version__ = "0.1.0"
