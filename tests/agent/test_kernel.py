# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading back what a real kernel holds."""

import time

from qubesforward.agent.kernel import Kernel
from qubesforward.nft.forwards import entry_elements
from qubesforward.nft.layout import render_table
from tests.agent.namespaces import isolated
from tests.nft.entries import entry


@isolated
def test_a_set_of_nothing_but_ended_elements_is_not_taken_for_one_that_changes() -> (
    None
):
    """Their answer has several parts, none of which has an element in it."""
    kernel = Kernel()
    kernel.run_nft(render_table())
    now = time.time()
    ranges = [f"ports={p}-{p} src=10.0.0.0/8 until={int(now)}" for p in range(90, 99)]
    doors = [entry_elements(f"{n:08x}", entry(r))[0] for n, r in enumerate(ranges, 1)]
    kernel.change([], [door._replace(until=now + 0.05) for door in doors], now)
    assert len(kernel.read_elements(now)) == len(doors)
    time.sleep(0.1)
    assert kernel.read_elements(time.time()) == {}
