# SPDX-License-Identifier: GPL-2.0-or-later
import select

from qubesforward.agent.backend import Upset
from qubesforward.nft.refusals import Surroundings
from qubesforward.qubes.clock import ClockWatch
from tests.agent.kernel_rig import QUBES, Rig, elements_of, nft
from tests.agent.namespaces import isolated
from tests.nft.entries import entry


def test_a_clock_that_nobody_sets_gives_no_notice() -> None:
    watch = ClockWatch()
    assert select.select([watch], [], [], 0.05)[0] == []
    watch.take_notice()
    assert select.select([watch], [], [], 0.05)[0] == []
    watch.close()


@isolated
def test_after_a_step_of_the_clock_timeouts_end_at_the_same_time_of_day() -> None:
    nft(QUBES)
    rig = Rig(now=1_790_000_000.0)
    wanted = {"0000000a": entry("until=1790000100")}
    rig.applier.converge(wanted, Surroundings(False))
    rig.now += 60
    rig.applier.note_upset(Upset.TABLE)
    rig.applier.converge(wanted, Surroundings(False), touched=[])
    (shown,) = elements_of("live")
    assert 35 < shown["elem"]["expires"] <= 40


@isolated
def test_an_entry_that_ended_during_sleep_is_closed_on_waking() -> None:
    nft(QUBES)
    rig = Rig(now=1_790_000_000.0)
    wanted = {"0000000a": entry("until=1790000100")}
    rig.applier.converge(wanted, Surroundings(False))
    rig.now += 3600
    rig.applier.note_upset(Upset.TABLE)
    rig.applier.converge(wanted, Surroundings(False), touched=[])
    assert elements_of("live") == elements_of("external4") == []
