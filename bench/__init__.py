# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what qubes-forward costs, beside what a user would otherwise have.

`make bench` runs all parts and writes ``docs/performance.md``. What they use of the
tests are worlds to measure in; nothing here ever fails a test for being slow.
"""
