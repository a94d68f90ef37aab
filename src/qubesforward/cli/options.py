# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of both tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from qubesforward.cli.exits import USAGE, UsageError, complain
from qubesforward.model.rule import Reach

_RULE_WORDS = """\
commands:
  list (or nothing)        list the rules: first outbound ones, then forwards
  add [--before N] RULE    add a rule, at the end or before the outbound rule N
  del --rule-no N | RULE   remove a rule
  reset                    outbound: accept everything again; forwards stay
  status                   forwards with their path, hop by hop
  confirm                  activate the forwards that came with a copied qube

rules, by place:
  accept|drop [DSTHOST [PROTO [DSTPORTS|ICMPTYPE]]]
  forward external|internal PROTO SRCPORTS [DSTPORTS [SRCHOST]]
by name, in any order, and mixed with the above:
  action=      accept, drop or forward
  dsthost=     address, network or name (dst4= and dst6= are the same)
  proto=       tcp, udp or icmp; a forward takes tcp, udp or none for both
  dstports=    port or FIRST-LAST; of a forward: where the service listens
  icmptype=    number of an ICMP type
  specialtarget=dns
  forwardtype= external: entered from outside; internal: from qubes of one netvm
  srcports=    port or FIRST-LAST that is dialled
  srchost=     who may connect: address or network (src4=, src6= are the same)
  reach=internet  bypass=yes  disposables=yes
  expire=      seconds since 1970, or +SECONDS from now; a forward takes reboot too
  comment=     any words of letters, digits, spaces and :;,./-_[]
"""

_FORWARD_WORDS = """\
examples:
  qvm-forward work 443:8443 --from 192.168.1.0/24 --for 2h
  qvm-forward work 8000-8010:9000-9010/udp --until-reboot
  qvm-forward work 80:8000 --internal --from 10.137.0.0/16
  qvm-forward work                  what is forwarded to work
  qvm-forward                       all that is forwarded on this computer
  qvm-forward work --close 443
  qvm-forward --close-all
  qvm-forward work --diagnose 443   why it does not work, and what to do
  qvm-forward --log --since 2h      what was opened and closed, and by whom
  qvm-forward --export all.txt      keep a copy of all forwards
  qvm-forward --import all.txt      take them back; each qube's wait for your yes

Programs that ask their router for ports (by NAT-PMP, PCP or UPnP):
  qvm-forward work --portmap ask    let programs of work ask you
  qvm-forward --requests --wait     what they ask for, as it comes
  qvm-forward --grant 1a2b          yes, for this port, as long as it is used
  qvm-forward --deny 1a2b --for-good

Without /tcp, /udp or /both it is tcp. A repeated opening with another time extends
or shortens it. Exit status: 0 done (also when a hop has yet to start; --diagnose:
all is well), 1 refused or failed, 2 the command line makes no sense.
"""


_ONLY_OPENING = {
    "--internal": "internal",
    "--from": "sources",
    "--for": "duration",
    "--until": "until",
    "--until-reboot": "until_reboot",
    "--for-good": "for_good",
    "--comment": "comment",
    "--dry-run": "dry_run",
    "--force": "force",
    "--bypass-tunnel": "bypass_tunnel",
    "--disposables": "disposables",
}
_NARROWS = {
    "--close": ("--internal", "--from"),
    "--diagnose": ("--from",),
    "--grant": ("--until-reboot", "--for-good"),
    "--deny": ("--for-good",),
    "--import": ("--dry-run",),
}
"""What else, of `_ONLY_OPENING` and ends, goes with which command."""

COMPLETED = ("qubes", "ports", "requests")
"""What ``--complete`` lists."""

_NEEDS_QUBE = ("--close", "--diagnose", "--picture", "--portmap", "--portmap-reach")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        complain(self.prog, f"{message} (see {self.prog} --help)")
        raise SystemExit(USAGE)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    # Without a width, every single option makes argparse look for that of the
    # terminal, and import what it takes.
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=88)


def _make_parser(name: str, usage: str, about: str, words: str) -> _Parser:
    return _Parser(
        prog=name,
        usage=usage,
        description=about,
        epilog=words,
        formatter_class=_Formatter,
    )


def parse_firewall_options(name: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line of ``qvm-firewall``; exits where it makes no sense.

    Options may stand anywhere: the stock tool takes some before its commands only.
    """
    usage = "%(prog)s [-h] [-v] [-q] [--reload] [--raw] VM [COMMAND [RULE...]]"
    about = "Show and change the firewall rules and port forwards of a qube."
    parser = _make_parser(name, usage, about, _RULE_WORDS)
    add = parser.add_argument
    add("VMNAME", help="the qube")
    add("command", metavar="COMMAND", nargs="?", default="list", help="see below")
    add("rule", metavar="RULE", nargs="*", help="words of a rule; see below")
    add("--before", type=int, metavar="N", help="add before outbound rule N")
    add("--rule-no", type=int, metavar="N", help="remove rule N")
    add("--force", action="store_true", help="add a forward despite a conflict")
    add("--raw", action="store_true", help="list rules as the Admin API has them")
    add("--reload", "-r", action="store_true", help="enforce the rules anew")
    add("--verbose", "-v", action="count", default=0, help="say more, also of errors")
    add("--quiet", "-q", action="count", default=0, help="say errors only")
    # Every tool of Qubes takes this one; it changes nothing here.
    add("--force-root", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_intermixed_args(argv)


def parse_forward_options(name: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line of ``qvm-forward``; exits where it makes no sense."""
    usage = (
        "%(prog)s VM OUTER[:INNER][/tcp|/udp|/both]... [--from CIDR]... [OPTION...]\n"
        "       %(prog)s [VM] [--json]\n"
        "       %(prog)s VM --close OUTER[/PROTO] | [VM] --close-all\n"
        "       %(prog)s VM --diagnose [OUTER[/PROTO]...] [--from ADDRESS] [--json]\n"
        "       %(prog)s VM --picture FILE.svg [OUTER[/PROTO]...]\n"
        "       %(prog)s [VM] --log [--since TIME] [--json]\n"
        "       %(prog)s [VM] --requests [--wait] [--json]\n"
        "       %(prog)s --grant ID [--until-reboot | --for-good]\n"
        "       %(prog)s --deny ID [--for-good]\n"
        "       %(prog)s VM --portmap ask|allow|off [--portmap-reach lan|internet]\n"
        "       %(prog)s [VM] --export [FILE] | [VM] --import FILE [--dry-run]"
    )
    about = "Let others reach ports of a qube; show and close what is open."
    parser = _make_parser(name, usage, about, _FORWARD_WORDS)
    _add_opening(parser)
    _add_ends(parser)
    add = parser.add_argument
    add("--close", metavar="OUTER[/PROTO]", action="append", help="close a port")
    add("--close-all", action="store_true", help="close all ports, of all qubes")
    add("--diagnose", action="store_true", help="say why it does not work, hop by hop")
    add("--picture", metavar="FILE", help="draw the way of each forward, as SVG")
    add("--log", action="store_true", help="show what was opened and closed, and when")
    add("--since", metavar="TIME", help="of the log: since 2h ago, 18:30, 2026-12-24")
    _add_requests(parser)
    _add_files(parser)
    add("--json", action="store_true", help="print what the daemon answers")
    add("--quiet", "-q", action="store_true", help="say errors only; do not wait")
    add("--verbose", "-v", action="store_true", help="show where errors come from")
    # For shells that complete command lines: packaging/completion.
    add("--complete", choices=COMPLETED, help=argparse.SUPPRESS)
    return parser.parse_intermixed_args(argv)


def _add_opening(parser: _Parser) -> None:
    add = parser.add_argument
    add("VM", nargs="?", help="the qube")
    add("ports", metavar="PORTS", nargs="*", help="OUTER[:INNER][/PROTO], as above")
    add(
        "--internal",
        action="store_true",
        help="open it to qubes of its netvm, not outside",
    )
    add(
        "--from",
        dest="sources",
        metavar="CIDR",
        action="append",
        help="who may connect: address or network; can be repeated",
    )
    add("--comment", metavar="TEXT", default="", help="a note, shown in listings")
    add("--dry-run", action="store_true", help="only show what would be opened")
    add("--force", action="store_true", help="add it despite a conflict")
    add(
        "--reach",
        choices=[*map(str, Reach)],
        default="lan",
        help="internet: ask the router too",
    )
    add("--bypass-tunnel", action="store_true", help="let it enter beside a VPN")
    add("--disposables", action="store_true", help="disposables made from VM get it")


def _add_requests(parser: _Parser) -> None:
    add = parser.add_argument
    add("--requests", action="store_true", help="show what programs ask for")
    add("--wait", action="store_true", help="stay, and show new requests as they come")
    add("--grant", metavar="ID", help="let the program have the port")
    add("--deny", metavar="ID", help="do not")
    add(
        "--portmap",
        choices=["ask", "allow", "off"],
        help="whether programs of VM get ports: if you say yes, unasked, or never",
    )
    add(
        "--portmap-reach",
        choices=[*map(str, Reach)],
        help="how far out these ports are opened",
    )


def _add_files(parser: _Parser) -> None:
    add = parser.add_argument
    add(
        "--export",
        metavar="FILE",
        nargs="?",
        const="-",
        help="write all forwards into a file, or to the screen",
    )
    add(
        "--import",
        dest="import_from",
        metavar="FILE",
        help="add those of a file; they open when you confirm them",
    )


def _add_ends(parser: _Parser) -> None:
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument(
        "--for", dest="duration", metavar="TIME", help="how long: 2h, 30m, 1d12h"
    )
    ends.add_argument("--until", metavar="TIME", help="until 18:30, '2026-12-24 18:30'")
    ends.add_argument(
        "--until-reboot", action="store_true", help="until the computer restarts"
    )
    ends.add_argument(
        "--for-good", action="store_true", help="of an answer: for all requests of VM"
    )


def _list_commands(options: argparse.Namespace) -> list[str]:
    """Return what is asked for, by the names of the options."""
    asked = {
        "PORTS": options.ports and not options.diagnose and options.picture is None,
        "--close": options.close,
        "--close-all": options.close_all,
        "--diagnose": options.diagnose,
        "--picture": options.picture is not None,
        "--log": options.log,
        "--requests": options.requests,
        "--grant": options.grant is not None,
        "--deny": options.deny is not None,
        "--export": options.export is not None,
        "--import": options.import_from is not None,
        "--portmap": options.portmap,
        "--portmap-reach": options.portmap_reach and not options.portmap,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def check_options(options: argparse.Namespace) -> None:
    """Raise `UsageError` for options that make no sense together."""
    asked = _list_commands(options)
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: one at a time")
    command = asked[0] if asked else ""
    if options.json and command in ("--export", "--import"):
        raise UsageError(f"{command}: is not told in JSON; leave --json out")
    if options.since and command != "--log":
        raise UsageError("--since: give --log too")
    if options.wait and command != "--requests":
        raise UsageError("--wait: give --requests too")
    if command in _NEEDS_QUBE and options.VM is None:
        raise UsageError(f"{command}: of which qube? Give its name first")
    if command == "PORTS":
        if options.for_good:
            raise UsageError("--for-good: without an end it is for good already")
        return
    for name, attribute in _ONLY_OPENING.items():
        if getattr(options, attribute) and name not in _NARROWS.get(command, ()):
            if name == "--for-good":
                raise UsageError("--for-good: give --grant ID or --deny ID too")
            raise UsageError(f"{name}: give VM and the port to open too")
