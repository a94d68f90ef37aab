# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs of qubes have been granted, as forwards.

None of it is a rule of the user's: it is not in any ``firewall.xml``, is not copied
with a qube, and ends with this boot of the computer. So it is kept where that ends too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

from qubesforward.daemon.outer_ports import Outers
from qubesforward.daemon.run_file import read_run_file, write_run_file
from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import (
    Address,
    Network,
    any_of,
    parse_address,
    parse_network,
)
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType, Origin, Proto, Reach
from qubesforward.model.values import check_line, parse_choice
from qubesforward.plan.snapshot import PortmapPolicy, Qube, Snapshot

_log = logging.getLogger(__name__)

FOREVER = 2.0**32
"""Seconds since 1970, as the end of a mapping that ends with its qube's stop."""

_MOST_ENDED = 4096
"""Mappings that are remembered when they have ended before their time, the newest."""

Place = tuple[Address, Proto, int]
"""What a qube has one mapping of: its address, protocol and inner port."""


@dataclass
class Mapping:
    """One mapping: `outer` of the outermost hop leads to `inner` of a qube.

    `client` is the qube's address, by which its gateway knows it; `gateway` is that
    gateway, `xid` the qube's start and `netvm` its netvm at that time. `until` is in
    seconds since 1970, `created` in µs. `src` empty: anyone may connect. `holders` and
    `name` are the gateway's words. `is_cone`: it is one of `cones.py`, which programs
    may hold too.
    """

    qube: str
    uuid: str
    xid: int
    netvm: str
    gateway: str
    client: Address
    proto: Proto
    inner: int
    outer: int
    until: float
    created: int
    reach: Reach = Reach.LAN
    src: tuple[Network, ...] = ()
    holders: tuple[str, ...] = ()
    name: str = ""
    is_cone: bool = False
    rules: tuple[ForwardRule, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        self.renew(self.until, self.src)

    @property
    def place(self) -> Place:
        """What tells it from others."""
        return self.client, self.proto, self.inner

    @property
    def start(self) -> str:
        """What tells it from those of other places and other starts of its qube."""
        return f"{self.uuid} {self.xid} {self.client} {self.proto} {self.inner}"

    def renew(self, until: float, src: tuple[Network, ...]) -> None:
        """Let it last until another time, and for others."""
        self.until, self.src = until, src
        sources = src or (any_of(self.client.version),)
        self.rules = tuple(
            self._make_rule(source, is_mapped=number == 0)
            for number, source in enumerate(sources)
        )

    def _make_rule(self, source: Network, *, is_mapped: bool) -> ForwardRule:
        return ForwardRule(
            ForwardType.EXTERNAL,
            srcports=PortRange(self.outer, self.outer),
            dstports=PortRange(self.inner, self.inner),
            proto=self.proto,
            srchost=source,
            expire=ceil(self.until) if self.until < FOREVER else None,
            reach=self.reach,
            comment=self.name,
            created=self.created,
            origin=Origin.PORTMAP,
            is_mapped=is_mapped,
        )

    def is_for(self, qube: Qube | None) -> bool:
        """Whether it belongs to this qube as it is now, and its policy allows it."""
        return (
            qube is not None
            and qube.running
            and qube.portmap is not None
            and self.outer in qube.portmap.ports
            and (qube.uuid, qube.xid, qube.netvm) == (self.uuid, self.xid, self.netvm)
            and self.client in (qube.ip, qube.ip6)
        )


class Mappings:
    """All mappings of the computer, and the file that they are kept in.

    `changed` is whether `save` has something to do, `has_lost` whether that includes
    mappings that have ended or become narrower.
    """

    def __init__(self, file: Path, boot_id: str, now: Callable[[], float]) -> None:
        self._file = file
        self._boot_id = boot_id
        self._now = now
        self._by_place: dict[Place, Mapping] = {}
        self._by_qube: dict[str, dict[Place, Mapping]] = {}
        self._outers = Outers(now)
        self._inners: Counter[tuple[str, int]] = Counter()
        self._cones: Counter[str] = Counter()
        self._closed: set[str] = set()
        self._ended: dict[Place, float] = {}
        self._newest = 0
        self._cut: set[Place] = set()
        self.changed = self.has_lost = False

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._by_place.values())

    def find(self, place: Place) -> Mapping | None:
        """Return the mapping of a qube's port, if there is one."""
        return self._by_place.get(place)

    def count(self, qube: str) -> int:
        """Return how many a qube's programs have asked for."""
        return len(self._by_qube.get(qube, ())) - self._cones[qube]

    def has_inner(self, qube: str, inner: int) -> bool:
        """Whether programs have asked for this inner port, with any protocol."""
        return self._inners[qube, inner] > 0

    def is_free_for(self, mapping: Mapping, outer: int) -> bool:
        """Whether a new mapping can have this outer port."""
        uuid, proto, inner = mapping.uuid, mapping.proto, mapping.inner
        return self._outers.is_free_for(uuid, proto, outer, inner)

    def next_age(self) -> int:
        """Return an age in µs since 1970, later than all before."""
        self._newest = max(self._newest + 1, int(self._now() * 1_000_000))
        return self._newest

    def add(self, mapping: Mapping) -> None:
        """Add one at a place that has none."""
        self._ended.pop(mapping.place, None)
        self._by_place[mapping.place] = mapping
        self._by_qube.setdefault(mapping.qube, {})[mapping.place] = mapping
        self._outers.take(mapping.uuid, mapping.proto, mapping.outer)
        if mapping.is_cone:
            self._cones[mapping.qube] += 1
        else:
            self._inners[mapping.qube, mapping.inner] += 1
        self.changed = True

    def remove(self, place: Place) -> Mapping | None:
        """Remove the one at a place, and return it."""
        mapping = self._by_place.pop(place, None)
        if mapping is None:
            return None
        of_qube = self._by_qube[mapping.qube]
        del of_qube[place]
        if not of_qube:
            del self._by_qube[mapping.qube]
        self._outers.let_go(mapping.uuid, mapping.proto, mapping.outer, mapping.inner)
        if mapping.is_cone:
            _count_down(self._cones, mapping.qube)
        else:
            _count_down(self._inners, (mapping.qube, mapping.inner))
        if mapping.until > self._now():
            self._ended[place] = mapping.until
        self.changed = self.has_lost = True
        return mapping

    def has_ended(self, place: Place) -> bool:
        """Whether there was one that ended before its time, by somebody's will.

        Its gateway may not know yet.
        """
        return self._ended.get(place, 0.0) > self._now()

    def close(self, place: Place) -> None:
        """Remove the one at a place for good; a cone's until its qube starts anew."""
        mapping = self.remove(place)
        if mapping is not None and mapping.is_cone:
            self._closed.add(mapping.start)

    def is_closed(self, mapping: Mapping) -> bool:
        """Whether somebody has closed this one of a cone."""
        return mapping.start in self._closed

    def release(self, place: Place) -> Mapping | None:
        """Let programs go of the one at a place, and return it; those of cones stay."""
        mapping = self.find(place)
        if mapping is None or not mapping.is_cone:
            mapping = self.remove(place)
            self._ended.pop(place, None)
            return mapping
        mapping.holders = ()
        mapping.renew(mapping.until, ())
        return mapping

    def drop_stale(self, snapshot: Snapshot) -> list[Mapping]:
        """Remove what has ended, or belongs to no qube as it is now; return those."""
        now = self._now()
        stale = [
            each
            for each in self
            if each.until <= now or not each.is_for(snapshot.get(each.qube))
        ]
        for each in stale:
            self.remove(each.place)
        for name in list(self._by_qube):
            qube = snapshot.get(name)
            if qube is not None and qube.portmap is not None:
                of_qube = self._by_qube[name].values()
                asked_for = [each for each in of_qube if not each.is_cone]
                stale += self._fit(asked_for, qube.portmap)
        return stale

    def _fit(self, of_qube: list[Mapping], policy: PortmapPolicy) -> list[Mapping]:
        """Make a qube's mappings such as its policy would grant them now.

        Returns those that are too many, the youngest.
        """
        too_many = of_qube[policy.mappings :]
        for each in too_many:
            self.remove(each.place)
        last = self._now() + policy.lifetime
        for each in of_qube[: policy.mappings]:
            reach = policy.reach if each.client.version == 4 else Reach.LAN
            # A second, because what was just granted is rounded.
            if each.until > last + 1 or each.reach is not reach:
                each.reach = reach
                each.renew(min(each.until, last), each.src)
                self._cut.add(each.place)
                self.changed = self.has_lost = True
        return too_many

    def take_cut(self) -> set[Place]:
        """Return the places whose mappings became less since the last call."""
        cut, self._cut = self._cut, set()
        return cut

    def rules(self) -> dict[str, list[ForwardRule]]:
        """Return the forwards of every qube that has any."""
        return {
            name: [rule for each in found.values() for rule in each.rules]
            for name, found in self._by_qube.items()
        }

    def find_by_rules(self, qube: str, rules: Iterable[ForwardRule]) -> list[Mapping]:
        """Return the mappings of a qube that any of these forwards is of."""
        places = {rule.place for rule in rules}
        return [
            each
            for each in self._by_qube.get(qube, {}).values()
            if any(rule.place in places for rule in each.rules)
        ]

    def list_vias(self, qube: str) -> dict[ForwardRule, list[str]]:
        """Return by which protocols a qube's mappings are held, by their places."""
        return {
            rule.place: sorted({one.partition(":")[0] for one in each.holders})
            for each in self._by_qube.get(qube, {}).values()
            for rule in each.rules
        }

    def ends(self) -> Iterator[float]:
        """Yield every moment at which some mapping ends."""
        return (each.until for each in self)

    def save(self, until_reboot: Iterable[str]) -> None:
        """Write all down, with the qubes that are trusted until reboot."""
        self.changed = self.has_lost = False
        now = self._now()
        kept = [(place, end) for place, end in self._ended.items() if end > now]
        self._ended = dict(kept[-_MOST_ENDED:])
        content = {
            "until_reboot": sorted(until_reboot),
            "closed": sorted(self._closed),
            "ended": [
                (str(client), str(proto), inner, end)
                for (client, proto, inner), end in self._ended.items()
            ],
            "mappings": [_describe(each) for each in self if not each.is_cone],
        }
        write_run_file(self._file, self._boot_id, content)

    def load(self) -> set[str]:
        """Take in what an earlier run of this boot wrote; return the trusted qubes.

        A file that cannot be read grants nothing.
        """
        try:
            found = read_run_file(self._file, self._boot_id)
            if found is None:
                return set()
            for fields in found["mappings"]:
                self.add(_restore(fields))
            self._closed = {str(start) for start in found["closed"]}
            for client, word, inner, end in found.get("ended", ()):
                proto = parse_choice(Proto, word, "proto")
                self._ended[parse_address(client), proto, int(inner)] = float(end)
            self._newest = max((each.created for each in self), default=0)
            return {str(uuid) for uuid in found["until_reboot"]}
        except (OSError, ValueError, KeyError, TypeError, InvalidRule) as error:
            _log.error("%s: nothing of it is taken: %s", self._file, error)
            for each in list(self):
                self.remove(each.place)
            return set()


_Counted = TypeVar("_Counted")


def _count_down(counter: Counter[_Counted], key: _Counted) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


_TEXTS = ("qube", "uuid", "netvm", "gateway", "name")
_NUMBERS = ("xid", "inner", "outer", "until", "created")


def _describe(mapping: Mapping) -> dict[str, Any]:
    fields = {name: getattr(mapping, name) for name in (*_TEXTS, *_NUMBERS)}
    return {
        **fields,
        "client": str(mapping.client),
        "proto": str(mapping.proto),
        "reach": str(mapping.reach),
        "src": [str(one) for one in mapping.src],
        "holders": list(mapping.holders),
    }


def _restore(fields: dict[str, Any]) -> Mapping:
    texts: dict[str, Any] = {name: str(fields[name]) for name in _TEXTS}
    numbers: dict[str, Any] = {name: int(fields[name]) for name in _NUMBERS}
    check_line(texts["name"], "name", 64)
    return Mapping(
        **texts,
        **numbers,
        client=parse_address(fields["client"]),
        proto=parse_choice(Proto, fields["proto"], "proto"),
        reach=parse_choice(Reach, fields["reach"], "reach"),
        src=tuple(parse_network(str(ip_network(one))) for one in fields["src"]),
        holders=tuple(str(one) for one in fields["holders"]),
    )
