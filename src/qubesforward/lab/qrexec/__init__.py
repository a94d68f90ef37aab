# SPDX-License-Identifier: GPL-2.0-or-later
"""qrexec of the lab: calls from a qube to a service of dom0 or of another qube."""
