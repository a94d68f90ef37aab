# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards as they are declared for many computers: what Ansible and Salt share."""
