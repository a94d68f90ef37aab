# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command line of ``qvm-forward`` asks for, as rules.

The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

from argparse import Namespace

from qubesforward.cli.closing import Closing
from qubesforward.cli.durations import parse_duration, parse_moment, parse_past
from qubesforward.cli.exits import UsageError
from qubesforward.cli.spec import PortSpec, parse_spec
from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Address, Network, parse_address, parse_network
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Reach
from qubesforward.model.values import LONGEST_COMMENT, check_line


def read_closing(options: Namespace) -> Closing:
    """Return what is to be closed; raise `UsageError` for what cannot be read."""
    try:
        return Closing(
            specs=[parse_spec(text) for text in options.close],
            internal=options.internal,
            sources=_read_sources(options),
        )
    except InvalidRule as error:
        raise UsageError(str(error)) from error


def read_specs(options: Namespace) -> list[PortSpec]:
    """Return the ports that are named; raise `UsageError` for what cannot be read."""
    try:
        return [parse_spec(text) for text in options.ports]
    except InvalidRule as error:
        raise UsageError(str(error)) from error


def read_client(options: Namespace) -> Address | None:
    """Return the one address of ``--from``, if it is given; or raise `UsageError`."""
    try:
        clients = [parse_address(text, "--from") for text in options.sources or ()]
    except InvalidRule as error:
        raise UsageError(f"{error}; --diagnose takes no network") from error
    if len(clients) > 1:
        raise UsageError("--from: --diagnose takes one address")
    return clients[0] if clients else None


def _read_sources(options: Namespace) -> list[Network]:
    return [parse_network(text, "--from") for text in options.sources or ()]


def read_rules(options: Namespace, now: int) -> list[ForwardRule]:
    """Return a rule for each port and source that is asked for.

    Raise `UsageError` for what cannot be read.
    """
    if options.internal and options.reach != Reach.LAN:
        raise UsageError("--reach: what is --internal never reaches the outside")
    try:
        specs = [parse_spec(text) for text in options.ports]
        sources: list[Network | None] = [*_read_sources(options)]
        expire = _read_expire(options, now)
        comment = check_line(options.comment, "--comment", LONGEST_COMMENT)
        return [
            ForwardRule(
                ForwardType.INTERNAL if options.internal else ForwardType.EXTERNAL,
                srcports=spec.outer,
                dstports=spec.inner,
                proto=spec.proto,
                srchost=source,
                expire=expire,
                reach=Reach(options.reach),
                bypass=options.bypass_tunnel,
                disposables=options.disposables,
                comment=comment,
            )
            for spec in specs
            for source in dict.fromkeys(sources or [None])
        ]
    except InvalidRule as error:
        raise UsageError(str(error)) from error


def read_since(options: Namespace, now: int) -> int:
    """Return from when on the log is wanted; raise `UsageError` for what is no time."""
    try:
        return parse_past(options.since, now) if options.since else 0
    except InvalidRule as error:
        raise UsageError(str(error)) from error


def _read_expire(options: Namespace, now: int) -> int | str | None:
    if options.until_reboot:
        return REBOOT
    if options.duration:
        return now + parse_duration(options.duration)
    if options.until:
        return parse_moment(options.until, now)
    return None
