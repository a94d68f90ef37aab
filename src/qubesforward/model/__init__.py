# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules, rule lists and hop entries: pure data, and their text and XML forms."""
