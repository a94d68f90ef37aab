# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Qubes network on one machine, out of kernel namespaces."""
