# SPDX-License-Identifier: GPL-2.0-or-later
"""From hop entries to nft commands, and back from what a kernel holds. Pure."""
