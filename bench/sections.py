# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page says about each part: how it is measured, and which plots it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drawing:
    """A plot of one thing over sizes; with no `what`, bars of all things."""

    name: str
    title: str
    what: str = ""


@dataclass(frozen=True)
class Section:
    """One part: `sizes` says what its sizes count, `base` who is compared with."""

    part: str
    title: str
    how: str
    sizes: str = ""
    base: str = ""
    drawings: tuple[Drawing, ...] = ()
    fits: bool = True


SECTIONS = (
    Section(
        "open",
        "Opening and closing",
        "In the lab, with real packets: a call of the Admin API adds a TCP forward, and"
        " it is watched until every hop and the target have acknowledged it, and until"
        " a client on the LAN has its first byte. Beside it, in the same lab, a script"
        " does what the documentation of Qubes has users do by hand: a translating"
        " chain with one rule and an accepting rule in each hop, and an accepting rule"
        " in the target. The script is favoured: a shell waits in each qube already"
        " (from dom0 each command would be a call by qrexec), it knows all addresses,"
        " and it stores nothing. *One nft a qube* gives all commands of a qube to one"
        " process. A transfer that runs while a forward is removed ends with ours; the"
        " script's goes on, because base rules accept what is established: its time is"
        " only when watching ended.",
        sizes="network qubes in the chain",
        base="qubes-forward",
        drawings=(
            Drawing(
                "open",
                "Until the first connection is answered, by network qubes",
                "first connection answered",
            ),
        ),
        fits=False,
    ),
    Section(
        "connect",
        "New connections",
        "A client connects to forwards picked by lot, through one hop with that many"
        " forwards, to one server. *A single forward beside* is another hop with one"
        " forward, measured in the same rounds. Of each round of 200 connections the"
        " median counts. Networks of usual sizes (/8, /16, /24, /32; /48, /56, /64,"
        " /128) are looked up in hashes, others (here /23) in an interval map. The"
        " other way is one translating nft rule for each forward.",
        sizes="forwards on the hop",
        base="a single forward beside",
        drawings=(
            Drawing("connect", "Time to connect, by forwards", "time to connect"),
        ),
    ),
    Section(
        "throughput",
        "Throughput",
        "iperf3 from the LAN through two network qubes into the target, a second a"
        " run. Plain routing is another lab without our tables and agents: base rules"
        " with an accepting rule, and routes in place of translation. *Documented"
        " commands* is the translation alone, in that other lab. Relays run in"
        " both hops. For UDP it is what arrived; the relays are left out there.",
        base="plain routing",
        drawings=(Drawing("throughput", "Throughput through two network qubes"),),
    ),
    Section(
        "agent",
        "The agent",
        "The agent of one hop, told through its QubesDB: the time from a commit to its"
        " acknowledgement, for all forwards at once, for one more beside them, and for"
        " one less; and from the start of the program, with all of them stored, to its"
        " first acknowledgement. The lab's QubesDB, in Python too, has a share in all"
        " of these.",
        sizes="forwards",
        drawings=(
            Drawing("agent-load", "Cold load, by forwards", "cold load"),
            Drawing("agent-more", "One more forward", "one more"),
            Drawing("agent-less", "One forward less", "one less"),
        ),
    ),
    Section(
        "outbound",
        "Outbound rules",
        "The same agent, with outbound rules for one qube: from the commit to the"
        " acknowledgement.",
        sizes="rules of one qube",
    ),
    Section(
        "planner",
        "Planning",
        "Planning alone, in a process of its own: all hops of all forwards, from"
        " nothing; and again after one forward was added or removed. Half of the"
        " qubes' chains have two network qubes.",
        sizes="forwards or qubes",
        drawings=(
            Drawing("plan", "Planning everything", "plan of everything"),
            Drawing("plan-more", "Planning one more forward", "one more forward"),
        ),
    ),
    Section(
        "daemon",
        "The daemon",
        "`qubes-forwardd` as a process, with its files and sockets; qubesd, the QubesDB"
        " of each running qube and agents that acknowledge at once are played by the"
        " measuring program. At most twenty qubes run beside the hops, and all forwards"
        " are theirs.",
        sizes="forwards or qubes",
        drawings=(
            Drawing(
                "daemon-more",
                "One more forward, from the call to the last hop",
                "one more, all hops have it",
            ),
        ),
    ),
    Section(
        "tools",
        "The tools",
        "In the lab's dom0, each a new process, waited for to its end, in turn with a"
        " Python that does nothing.",
        sizes="forwards of the qube",
        base="python3 -c pass",
    ),
    Section(
        "desktop",
        "The desktop",
        "Each window is a process of its own, drawn by Qt off the screen: the time from"
        " its start until all rows are there and drawn; then it is scrolled from the"
        " top to the bottom in 200 frames; then, for three seconds, something happens a"
        " hundred times a second that may have changed a path, so that the window"
        " asks the daemon again and again, as often as it ever does. A plain table of"
        " PyQt6 has as many rows, no worker and nobody to ask. The daemon, which"
        " answers for all forwards each time, shares the two processors.",
        sizes="forwards of the qube",
        base="a plain table of PyQt6",
        fits=False,
    ),
    Section(
        "portmap",
        "NAT traversal",
        "A program in a qube that is allowed asks its gateway for a thousand UDP ports"
        " in a row, by NAT-PMP, and then for a thousand more, by PCP; each when the one"
        " before was answered. An answer means that dom0 has reserved the port, and it"
        " is being opened in all hops. Beside it, a host of the LAN asks miniupnpd on"
        " the router, in the same lab and in turns, once: that has one kernel to tell,"
        " and no dom0, and takes a minute.",
        sizes="mappings held before",
        base="qubes-forward",
        fits=False,
    ),
)
"""In the order of the page."""
