# SPDX-License-Identifier: GPL-2.0-or-later
"""`qvm-ls`: the qubes of the computer."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qubesforward.lab.qvm_settings import fetch_properties
from qubesforward.qubes.admin import AdminClient

_FORMATS = {
    "simple": ("NAME", "STATE", "CLASS", "LABEL", "TEMPLATE", "NETVM"),
    "network": ("NAME", "STATE", "NETVM", "IP", "IPBACK", "GATEWAY"),
}
_PROPERTY_OF = {"CLASS": "klass", "IPBACK": "gateway", "GATEWAY": "visible_gateway"}


@dataclass(frozen=True)
class _Listed:
    name: str
    klass: str
    state: str


def list_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """Print the qubes as a table, as data with `|` between, or as names alone."""
    args = _parse(words)
    qubes = [qube for qube in _fetch(client, args.names) if _is_asked_for(args, qube)]
    if args.tags is not None:
        qubes = [qube for qube in qubes if _tags(client, qube.name) & set(args.tags)]
    if args.raw_list:
        print("".join(f"{qube.name}\n" for qube in qubes), end="")
        return 0
    columns = _columns(args)
    rows = [_row(client, qube, columns) for qube in qubes]
    if args.raw_data:
        print("".join("|".join(row) + "\n" for row in rows), end="")
    else:
        print(_render_table([list(columns), *rows]), end="")
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qvm-ls")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("-o", "--format", choices=sorted(_FORMATS), default="simple")
    form.add_argument("-O", "--fields", metavar="FIELD,…")
    form.add_argument("-n", "--network", action="store_true")
    parser.add_argument("--raw-data", action="store_true", help="`|` between fields")
    parser.add_argument("--raw-list", action="store_true", help="names alone")
    for state in ("running", "paused", "halted"):
        parser.add_argument(f"--{state}", action="store_true")
    parser.add_argument("--tags", nargs="+", metavar="TAG")
    parser.add_argument("--all", action="store_true", help="as when no name is given")
    parser.add_argument("--exclude", action="append", default=[], metavar="VMNAME")
    parser.add_argument("names", nargs="*", metavar="VMNAME")
    return parser.parse_intermixed_args(words)


def _columns(args: argparse.Namespace) -> tuple[str, ...]:
    if args.fields:
        return tuple(word.strip().upper() for word in args.fields.split(","))
    return _FORMATS["network" if args.network else args.format]


def _fetch(client: AdminClient, names: Sequence[str]) -> Iterable[_Listed]:
    for dest in names or ["dom0"]:
        for line in client.call("admin.vm.List", dest).decode("ascii").splitlines():
            name, *words = line.split(" ")
            # Asked about dom0, qubesd tells of all.
            if not names or name == dest:
                values = dict(word.partition("=")[::2] for word in words)
                yield _Listed(name, values["class"], values["state"])


def _is_asked_for(args: argparse.Namespace, qube: _Listed) -> bool:
    states = [s for s in ("running", "paused", "halted") if getattr(args, s)]
    if states and qube.state.lower() not in states:
        return False
    return qube.name not in args.exclude


def _tags(client: AdminClient, name: str) -> set[str]:
    return set(client.call("admin.vm.tag.List", name).decode("ascii").splitlines())


def _row(client: AdminClient, qube: _Listed, columns: Iterable[str]) -> list[str]:
    known = {"NAME": qube.name, "STATE": qube.state, "CLASS": qube.klass}
    values: dict[str, str] = {}
    if set(columns) - known.keys():
        found = fetch_properties(client, qube.name)
        values = {name: value.value for name, value in found.items()}
    return [
        known.get(column)
        or values.get(_PROPERTY_OF.get(column, column.lower().replace("-", "_")))
        or "-"
        for column in columns
    ]


def _render_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        + "\n"
        for row in rows
    )
