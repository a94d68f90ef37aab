# SPDX-License-Identifier: GPL-2.0-or-later
"""Our chains in the tables of one family, and what each of them holds.

The same packets pass as with `qubesforward.nft.layout`, which has the reasons. What
differs is that a forward is a rule in each chain that concerns it, and not an element
of a set; so the cost of a new connection grows with the number of forwards.

Every chain is written whole, in one transaction for each table, the filter before the
translation: what is closed is cut first, what is opened is let through first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qubesforward.iptables.rules import (
    IS_LOCAL,
    IS_NEW,
    PREFIX,
    REJECT,
    VIFS,
    Rule,
    before,
    counting,
    each_proto,
    group_address,
    has_mark,
    hosts_at,
    join,
    ports_at,
    set_mark,
    to_socket,
)
from qubesforward.model.entry import (
    NEWS_PORT,
    PORTMAP_PORT,
    SSDP_PORT,
    Entrance,
    Entry,
)
from qubesforward.nft.forwards import mark_of
from qubesforward.nft.marks import DETOUR, SELF, SERVED, TAG, TAG_MASK

STOCK_OUTBOUND = "QBS-FORWARD"
"""Where stock's agent has outbound rules, if it has them in iptables."""

OUTBOUND = f"{PREFIX}OUTBOUND"

FORWARDS_HOOKS: Mapping[str, Mapping[str, str]] = {
    "filter": {
        "FORWARD": f"{PREFIX}FORWARD",
        "INPUT": f"{PREFIX}INPUT",
        "OUTPUT": f"{PREFIX}OUTPUT",
    },
    "nat": {
        "PREROUTING": f"{PREFIX}PREROUTING",
        "POSTROUTING": f"{PREFIX}POSTROUTING",
    },
    "mangle": {"PREROUTING": f"{PREFIX}DETOUR", "OUTPUT": f"{PREFIX}ASTRAY"},
}
"""By table: the kernel's own chains, and those of ours to which they jump first."""

_SSDP_GROUPS = {4: ("239.255.255.250",), 6: ("ff02::c", "ff05::c")}

Chains = dict[str, dict[str, list[Rule]]]
"""Table → chain → rules."""


@dataclass(frozen=True, slots=True)
class Place:
    """What this qube is, in names, as rules of iptables have to say it.

    `uplink`: the interface to the qube's netvm, empty in the outermost hop.
    `tunnels`: interfaces beside an uplink at which `local` entries may be entered.
    `astray`: IP versions in which the qube's own answers would not use the uplink.
    `judge`: where packets go of which outbound rules must say whether a qube below
    may send them, empty where something else than iptables says it.
    """

    uplink: str = ""
    tunnels: tuple[str, ...] = ()
    astray: frozenset[int] = frozenset()
    judge: str = OUTBOUND


@dataclass(slots=True)
class _Draft:
    family: int
    place: Place
    chains: Chains = field(
        default_factory=lambda: {table: {} for table in FORWARDS_HOOKS}
    )

    def add(self, table: str, name: str, *rules: str | Rule) -> None:
        chain = self.chains[table].setdefault(f"{PREFIX}{name}", [])
        chain += [Rule(one) if isinstance(one, str) else one for one in rules]


def plan_chains(
    family: int,
    place: Place,
    entries: Mapping[str, Entry],
    severed: Iterable[str] = (),
) -> Chains:
    """Return all chains of a family that forwards need.

    `entries` of the other family are left out; `severed` are rules that match the
    packets with which a target goes on in a connection that was cut.
    """
    draft = _Draft(family, place)
    own = {i: e for i, e in entries.items() if e.family == family}
    _draft_forward(draft, own, severed)
    _draft_input(draft, own)
    _draft_output(draft, own)
    _draft_translation(draft, own)
    _draft_way_out(draft, own)
    _draft_detour(draft, own)
    return draft.chains


def _target(name: str) -> str:
    return f"-g {PREFIX}{name}"


def _draft_forward(
    draft: _Draft, entries: Mapping[str, Entry], severed: Iterable[str]
) -> None:
    cut = [f"{one} -j DROP" for one in severed]
    draft.add("filter", "SEVERED", *cut)
    draft.add(
        "filter",
        "FORWARD",
        *each_proto(f"-i {VIFS}", IS_NEW, f"-j {PREFIX}SEVERED"),
        join(has_mark(TAG, TAG_MASK), _target("PASSING")),
    )
    passing = [
        _counted(one, entry, has_mark(mark_of(one)), _target("LIVE"))
        for one, entry in entries.items()
        if not entry.is_door
    ]
    draft.add("filter", "PASSING", *passing, "-j DROP")
    # Outbound rules of the qube that connects are asked before the rules of Qubes
    # can drop what goes from one qube to another.
    judge = draft.place.judge
    begins = f"-i {VIFS} {IS_NEW}"
    asked = [f"{begins} -j {judge}"] if judge else []
    if judge == STOCK_OUTBOUND:
        # There whoever is allowed is accepted, and unknown sources come back.
        asked.append(f"{begins} -j DROP")
        # What is accepted there may go from one qube to another as well. It must not
        # get straight to where a door is open for what is forwarded.
        draft.add("filter", "FORWARD", *_refuse_straight(begins, entries.values()))
    draft.add("filter", "LIVE", *asked, "-m conntrack --ctstate DNAT -j ACCEPT")


def _refuse_straight(begins: str, entries: Iterable[Entry]) -> Iterator[str]:
    """Give rules that drop what a neighbour sends to the inner end of an entry."""
    inner = {(e.to, e.proto, e.toports) for e in entries if e.to and e.toports}
    for to, proto, ports in sorted(inner, key=str):
        match = ports_at("dport", proto, ports)
        yield f"{begins} -d {to} {match} -m conntrack ! --ctstate DNAT -j DROP"


def _counted(entry_id: str, entry: Entry, *parts: str) -> Rule:
    *matches, target = parts
    text = join(*matches, before(entry.until), counting(entry_id), target)
    return Rule(text, entry_id)


def _doors(
    entries: Mapping[str, Entry], entrance: Entrance, sent: bool, target: str
) -> Iterator[Rule]:
    """Give a rule for each door: for what comes in by it, or what is `sent` from it."""
    port, host = ("sport", "d") if sent else ("dport", "s")
    for one, entry in entries.items():
        if entry.entrance is entrance:
            match = ports_at(port, entry.proto, entry.ports)
            yield _counted(one, entry, match, hosts_at(host, entry.src), target)


def _draft_input(draft: _Draft, entries: Mapping[str, Entry]) -> None:
    family, uplink = draft.family, draft.place.uplink
    doors = _doors(entries, Entrance.SELF, False, _target("ADMIT"))
    served = _doors(entries, Entrance.SERVE, False, _target("ADMIT-BELOW"))
    draft.add("filter", "ADMIT", set_mark(SELF), "-j ACCEPT")
    draft.add("filter", "ADMIT-BELOW", set_mark(SERVED), "-j ACCEPT")
    draft.add("filter", "DOORS", *doors)
    draft.add("filter", "SERVE", *served)
    draft.add(
        "filter",
        "INSIDE",
        "-m conntrack --ctstate RELATED -j ACCEPT",
        f"-j {PREFIX}DOORS",
        "-j DROP",
    )
    draft.add(
        "filter",
        "SERVING",
        "-m conntrack --ctstate RELATED -j ACCEPT",
        f"-j {PREFIX}SERVE",
        REJECT[family],
    )
    draft.add(
        "filter",
        "OURS",
        join(has_mark(SELF), _target("INSIDE")),
        join(has_mark(SERVED), _target("SERVING")),
        "-j DROP",
    )
    draft.add("filter", "INPUT", join(has_mark(TAG, TAG_MASK), _target("OURS")))
    if uplink:
        at_uplink = f"-i {uplink}"
        draft.add(
            "filter",
            "INPUT",
            *each_proto(at_uplink, IS_NEW, IS_LOCAL, _target("DOORS")),
        )
        if family == 4:
            news = f"-p udp -m udp --sport {PORTMAP_PORT} --dport {NEWS_PORT}"
            to_all = group_address("224.0.0.1")
            draft.add(
                "filter",
                "INPUT",
                join(at_uplink, to_all, news, IS_NEW, _target("DOORS")),
            )
    _draft_below(draft)


def _draft_below(draft: _Draft) -> None:
    below = f"-i {VIFS}"
    search = f"-p udp -m udp --dport {SSDP_PORT}"
    draft.add(
        "filter",
        "INPUT",
        *each_proto(below, IS_NEW, IS_LOCAL, _target("SERVE")),
        *(
            join(below, group_address(group), search, IS_NEW, _target("SERVE"))
            for group in _SSDP_GROUPS[draft.family]
        ),
    )


def _draft_output(draft: _Draft, entries: Mapping[str, Entry]) -> None:
    answers = _doors(entries, Entrance.SELF, True, "-j ACCEPT")
    replies = _doors(entries, Entrance.SERVE, True, "-j ACCEPT")
    telling = _doors(entries, Entrance.SERVE, True, _target("ADMIT-BELOW"))
    draft.add("filter", "ANSWERS", *answers, "-j DROP")
    draft.add("filter", "REPLIES", *replies, "-j DROP")
    draft.add("filter", "TELLING", *telling)
    draft.add(
        "filter",
        "OUTPUT",
        *each_proto(has_mark(SELF), _target("ANSWERS")),
        *each_proto(has_mark(SERVED), _target("REPLIES")),
        *each_proto(f"-o {VIFS}", IS_NEW, _target("TELLING")),
    )


def _draft_translation(draft: _Draft, entries: Mapping[str, Entry]) -> None:
    place = draft.place
    for entrance in (Entrance.EXTERNAL, Entrance.UPLINK, Entrance.LOCAL):
        name = entrance.upper()
        draft.add("nat", name)
        for one, entry in entries.items():
            if entry.entrance is entrance:
                draft.add("nat", name, *_translate(one, entry))
    draft.add(
        "nat",
        "PREROUTING",
        "-i lo -j RETURN",
        "-m addrtype ! --dst-type LOCAL -j RETURN",
        f"-i {VIFS} {_target('LOCAL')}",
    )
    if place.uplink:
        ways = {place.uplink: "UPLINK"} | dict.fromkeys(place.tunnels, "LOCAL")
        rules = [f"-i {name} {_target(chain)}" for name, chain in ways.items()]
    else:
        rules = [_target("EXTERNAL")]
    draft.add("nat", "PREROUTING", *rules)


def _translate(entry_id: str, entry: Entry) -> Iterator[str]:
    mark = mark_of(entry_id)
    yield join(
        hosts_at("s", entry.src),
        ports_at("dport", entry.proto, entry.ports),
        before(entry.until),
        set_mark(mark),
    )
    # None for doors only, which do not come here.
    if entry.to is not None:
        to = to_socket(entry.to, entry.toports or entry.ports, entry.ports)
        yield join(f"-p {entry.proto}", has_mark(mark), to)


def _draft_way_out(draft: _Draft, entries: Mapping[str, Entry]) -> None:
    """Let what mapped sockets send out have their outer ports, and nobody else."""
    sent, held = [], []
    for entry in entries.values():
        if entry.mapped and entry.to is not None and entry.toports is not None:
            inner = ports_at("sport", entry.proto, entry.toports)
            outer = ports_at("sport", entry.proto, entry.ports)
            port = f"-j MASQUERADE --to-ports {entry.ports.first}"
            other = "-j MASQUERADE --to-ports 1024-65535 --random"
            sent.append(join(f"-s {entry.to}", inner, before(entry.until), port))
            held.append(join(outer, before(entry.until), other))
    draft.add("nat", "OUTWARD", *sent, *held)
    uplink = draft.place.uplink
    draft.add("nat", "POSTROUTING", f"-o {VIFS} -j RETURN")
    way = f"-o {uplink}" if uplink else "! -o lo"
    draft.add("nat", "POSTROUTING", f"{way} {_target('OUTWARD')}")


def _draft_detour(draft: _Draft, entries: Mapping[str, Entry]) -> None:
    past = f"-j MARK --set-xmark 0x{DETOUR:x}/0x{DETOUR:x}"
    answers = "-m conntrack --ctdir REPLY"
    draft.add("mangle", "DETOUR")
    draft.add("mangle", "ASTRAY")
    for one, entry in entries.items():
        if entry.bypass:
            match = join(f"-i {VIFS}", answers, has_mark(mark_of(one)))
            draft.add("mangle", "DETOUR", join(match, before(entry.until), past))
    if draft.family in draft.place.astray:
        draft.add("mangle", "ASTRAY", join(answers, has_mark(SELF), past))
