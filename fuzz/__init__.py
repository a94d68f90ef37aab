# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzing of every decoder that faces another domain; see `python -m fuzz --help`.

A decoder returns a value or raises its documented error; anything else is a finding,
and so is a value that breaks a promise of the decoder, or an input that takes long.
"""
