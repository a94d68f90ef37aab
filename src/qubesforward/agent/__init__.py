# SPDX-License-Identifier: GPL-2.0-or-later
"""qubes-forward-agent: programs nftables in a hop or a target."""
