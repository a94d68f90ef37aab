# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's small `qubesd`: qubes, their settings, their life, and their links."""
