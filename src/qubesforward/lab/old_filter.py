# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes as they were before nftables: base rules and links in the words of iptables.

Such a qube has no nft, and its links are in no groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab.command import log, run_command
from qubesforward.lab.hypercall import Link
from qubesforward.lab.topology import ServiceSpec

PACKAGE = "iptables"
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_HERE = Path(__file__).parent
_BASE_DIR = "run/qubes-base"
_LIBRARY = "/usr/lib/python3/dist-packages/nftables"
_NFT = "/usr/sbin/nft"


def find_kind() -> str:
    """Return ``legacy`` where the kernel has the old tables, else ``nft``."""
    try:
        run_command(["iptables-legacy", "-t", "nat", "-S"])
    except LabError:
        return "nft"
    return "legacy"


def programs_of(kind: str) -> dict[str, str]:
    """Return the programs of such a qube, as `root.Furniture.programs` has them."""
    return {
        f"{name}{end}": f"/usr/sbin/xtables-{kind}-multi"
        for name in _PROGRAMS.values()
        for end in ("", "-save", "-restore")
    }


def hide_nft(folder: Path) -> dict[str, str]:
    """Return the binds that hide nft from a qube; what they show goes in `folder`."""
    nothing, no_program = folder / "nothing", folder / "no-program"
    nothing.mkdir(parents=True, exist_ok=True)
    no_program.touch()
    return {_LIBRARY: str(nothing), _NFT: str(no_program)}


def describe_base(unit: str) -> ServiceSpec:
    """Return the service that loads the base rules, and again those of the links."""
    lines = [f"{name}-restore {_HERE}/base.rules{f}" for f, name in _PROGRAMS.items()]
    lines += [
        f'for file in /{_BASE_DIR}/*.rules{f}; do [ ! -e "$file" ] ||'
        f' {name}-restore --noflush "$file"; done'
        for f, name in _PROGRAMS.items()
    ]
    return ServiceSpec(unit, ("sh", "-ec", "\n".join(lines)), oneshot=True)


class OldFilter:
    """The rules of links in qubes of the lab that have iptables of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def guard(self, link: Link, vif: str, link_local: str, pid: int) -> None:
        """Let a client send from its own addresses only, and nobody else from them."""
        for family in _PROGRAMS:
            rules = _guards(link, vif, link_local, family)
            text = _render("-A", "raw", "LAB-VIFS", rules)
            _rules_file(vif, family, pid).write_text(text)
            self._load(family, text, pid)

    def unguard(self, link: Link, vif: str, link_local: str, pid: int) -> None:
        """Undo `guard`."""
        for family in _PROGRAMS:
            _rules_file(vif, family, pid).unlink(missing_ok=True)
            rules = _guards(link, vif, link_local, family)
            self._load(family, _render("-D", "raw", "LAB-VIFS", rules), pid)

    def relay_dns(self, address: str, servers: Sequence[str], pid: int) -> None:
        """Have a netvm send what is for the virtual name servers to a real one."""
        rules = [
            f"-d {server} -p {proto} --dport 53 -j DNAT --to-destination {address}"
            for server in servers
            for proto in ("udp", "tcp")
        ]
        text = _render("-A", "nat", "PR-QBS", rules)
        _rules_file("dns", 4, pid).write_text(text)
        self._load(4, text, pid)

    def _load(self, family: int, text: str, pid: int) -> None:
        program = f"{_PROGRAMS[family]}-{self._kind}-restore"
        with suppress(LabError):
            run_command([program, "--noflush", "--wait"], text=text, inside=pid)
            return
        log("the base rules are gone; these are loaded when they are back")


def _rules_file(name: str, family: int, pid: int) -> Path:
    return Path(f"/proc/{pid}/root", _BASE_DIR, f"{name}.rules{family}")


def _guards(link: Link, vif: str, link_local: str, family: int) -> list[str]:
    given = [a for a in (link.ip, link.ip6) if a and ip_address(a).version == family]
    own = [*given, *([link_local] if family == 6 else [])]
    return [
        *(f"! -i {vif} -s {address} -j DROP" for address in given),
        *(f"-i {vif} -s {address} -j RETURN" for address in own),
        f"-i {vif} -j DROP",
    ]


def _render(verb: str, table: str, chain: str, rules: Sequence[str]) -> str:
    lines = [f"*{table}", *(f"{verb} {chain} {rule}" for rule in rules), "COMMIT"]
    return "".join(f"{line}\n" for line in lines)
