# SPDX-License-Identifier: GPL-2.0-or-later
"""The firewall calls of the Admin API, as the tools use them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from qubesforward.cli.exits import UsageError
from qubesforward.cli.status import Status, decode_plan, decode_status
from qubesforward.errors import AdminError, ForwardError, MalformedMessage, Unavailable
from qubesforward.model.hosts import Address
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import format_rule
from qubesforward.qubes.admin import AdminClient
from qubesforward.qubes.admin_wire import NO_ANSWER, Event, decode_property

COMPUTER = "dom0"
"""The destination that stands for every qube."""

_PREFIX = "admin.vm.firewall."
_FORWARD = "forward"
_NO_FEATURE = "QubesFeatureNotFoundError"
# What Qubes takes as the name of a qube (qubes.vm.validate_name), but for the length.
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}\Z")


def check_name(name: str) -> str:
    """Return the name if a qube can have it; raise `UsageError` otherwise."""
    if not _NAME.match(name):
        raise UsageError(f"{name[:64]!a}: not a name that a qube can have")
    return name


class Firewall:
    """Every method is one call, and raises what `AdminClient.call` raises.

    Rules go in and out as API lines, so that what this version cannot read is
    passed on as it is. A `+forward` call that nobody serves raises `Unavailable`.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def _call(self, name: str, qube: str, arg: str = "", payload: str = "") -> bytes:
        data = payload.encode("ascii", "replace")
        try:
            return self._client.call(_PREFIX + name, qube, arg, data)
        except AdminError as error:
            if arg != _FORWARD or error.kind != NO_ANSWER:
                raise
            # A qubesd that is left alone with the call does not know its argument.
            raise Unavailable(
                "qubes-forwardd is not running, or failed at this: see"
                " `systemctl status qubes-forwardd` in dom0"
            ) from error

    def find_qube(self, pattern: str) -> str:
        """Return the name of a qube that is given by its name or a pattern of it.

        As in Qubes' own tools, ``*``, ``?`` and ``[]`` make a pattern; here it has
        to fit one qube only. Raise `UsageError` otherwise.
        """
        if not any(sign in pattern for sign in "*?["):
            return check_name(pattern)
        from fnmatch import fnmatchcase

        fitting = [name for name in self.list_qubes() if fnmatchcase(name, pattern)]
        if len(fitting) != 1:
            raise UsageError(
                f"{pattern[:64]!a}: fits {len(fitting)} qubes; name the one you mean"
            )
        return check_name(fitting[0])

    def list_qubes(self) -> list[str]:
        """Return the names of all qubes, and of dom0."""
        listed = self._client.call("admin.vm.List", COMPUTER).decode("ascii", "replace")
        return [line.partition(" ")[0] for line in listed.splitlines()]

    def get_outbound(self, qube: str) -> list[str]:
        """Return the outbound rules of a qube."""
        return _split_lines(self._call("Get", qube))

    def set_outbound(self, qube: str, lines: Sequence[str]) -> None:
        """Replace the outbound rules of a qube."""
        self._call("Set", qube, payload=_join_lines(lines))

    def reload(self, qube: str) -> None:
        """Have all rules read and enforced anew; no forwards if nobody has any."""
        self._call("Reload", qube)
        with suppress(Unavailable):
            self._call("Reload", qube, _FORWARD)

    def get_forwards(self, qube: str) -> list[str]:
        """Return the forwards of a qube."""
        return _split_lines(self._call("Get", qube, _FORWARD))

    def clear_forwards(self, qube: str) -> None:
        """Remove all forwards of a qube, those too that were added meanwhile."""
        self._call("Set", qube, _FORWARD)

    def add_forwards(
        self,
        qube: str,
        rules: Sequence[ForwardRule],
        *,
        force: bool,
        instead: Sequence[ForwardRule] = (),
    ) -> None:
        """Add forwards in place of others: all of that, or nothing and an error."""
        first = ["force=yes"] if force else []
        first += [f"instead={format_rule(rule)}" for rule in instead]
        lines = [*first, *(format_rule(rule) for rule in rules)]
        self._call("Add", qube, _FORWARD, _join_lines(lines))

    def import_forwards(self, qube: str, rules: Sequence[ForwardRule]) -> None:
        """Add forwards that wait for confirmation, but for those that are there."""
        lines = ["confirmed=no", *(format_rule(rule) for rule in rules)]
        self._call("Add", qube, _FORWARD, _join_lines(lines))

    def remove_forwards(self, qube: str, lines: Sequence[str]) -> None:
        """Remove forwards: all of them, or none and an error."""
        self._call("Remove", qube, _FORWARD, _join_lines(lines))

    def confirm(self, qube: str) -> None:
        """Make the forwards of a copied qube its own."""
        self._call("Confirm", qube, _FORWARD)

    def plan(
        self,
        qube: str,
        rules: Sequence[ForwardRule],
        instead: Sequence[ForwardRule] = (),
    ) -> bytes:
        """Return the answer about what adding these in place of others would do."""
        lines = [f"instead={format_rule(rule)}" for rule in instead]
        lines += [format_rule(rule) for rule in rules]
        return self._call("Plan", qube, _FORWARD, _join_lines(lines))

    def read_plan(
        self,
        qube: str,
        rules: Sequence[ForwardRule],
        instead: Sequence[ForwardRule] = (),
    ) -> Status:
        """Return what adding these in place of others would do."""
        return decode_plan(self.plan(qube, rules, instead), qube)

    def read_log(self, qube: str, since: int) -> bytes:
        """Return the answer about what was logged since these seconds after 1970."""
        return self._call("Log", qube, _FORWARD, str(since))

    def diagnose(
        self, qube: str, lines: Sequence[str], client: Address | None
    ) -> bytes:
        """Return the answer about why these forwards, or all, do not work."""
        first = [] if client is None else [f"from={client}"]
        return self._call("Diagnose", qube, _FORWARD, _join_lines([*first, *lines]))

    def requests(self, qube: str = COMPUTER) -> bytes:
        """Return the answer about what programs of a qube, or of all, ask for."""
        return self._call("Requests", qube, _FORWARD)

    def grant(self, qube: str, request_id: str, scope: str) -> None:
        """Say yes to a request: `once`, until `reboot`, or `always`."""
        self._call("Grant", qube, _FORWARD, f"{request_id} {scope}")

    def deny(self, qube: str, request_id: str, scope: str) -> None:
        """Say no to a request: `once`, or `never`."""
        self._call("Deny", qube, _FORWARD, f"{request_id} {scope}")

    def events(self) -> Iterator[Event]:
        """Yield events of all qubes, as `AdminClient.firewall_events`."""
        return self._client.firewall_events(COMPUTER)

    def get_feature(self, qube: str, name: str) -> str | None:
        """Return a qube's own feature; None if it is not set."""
        try:
            value = self._client.call("admin.vm.feature.Get", qube, name)
        except AdminError as error:
            if error.kind == _NO_FEATURE:
                return None
            raise
        return value.decode("ascii", "replace")

    def set_feature(self, qube: str, name: str, value: str) -> None:
        """Set a feature of a qube."""
        self._client.call("admin.vm.feature.Set", qube, name, value.encode("ascii"))

    def read_label(self, qube: str) -> str:
        """Return the name of a qube's label; empty if nobody tells."""
        try:
            told = self._client.call("admin.vm.property.Get", qube, "label")
            return decode_property(told).value
        except ForwardError:
            # It is a colour in a picture, which goes without.
            return ""

    def status(self, qube: str = COMPUTER) -> bytes:
        """Return the answer about a qube, or about all of them."""
        return self._call("Status", qube, _FORWARD)

    def read_status(self, qube: str = COMPUTER) -> Status:
        """Return the status of a qube, or of all of them."""
        return decode_status(self.status(qube))


def _join_lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _split_lines(data: bytes) -> list[str]:
    lines = data.decode("ascii", "replace").split("\n")
    # Rules are printable ASCII, which also keeps terminals safe from what is listed.
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise MalformedMessage("the rules of the answer are not printable ASCII")
    return [line for line in lines if line]
