# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for all tests."""

import signal

# A shell ignores it for what it runs in the background, and all below inherit that:
# then programs that tests end like a user, by Ctrl+C, would go on for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
