# SPDX-License-Identifier: GPL-2.0-or-later
"""The desktop: windows that are data in, signals out; a worker does the talking."""
