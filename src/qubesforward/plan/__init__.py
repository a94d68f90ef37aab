# SPDX-License-Identifier: GPL-2.0-or-later
"""From rules and a snapshot of the qubes to what every hop must have. Pure."""
