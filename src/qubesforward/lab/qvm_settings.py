# SPDX-License-Identifier: GPL-2.0-or-later
"""`qvm-prefs`, `qubes-prefs`, `qvm-features` and `qvm-tags`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from qubesforward.errors import AdminError
from qubesforward.qubes.admin import AdminClient
from qubesforward.qubes.admin_wire import Property, decode_properties, decode_property


def fetch_properties(
    client: AdminClient, name: str, method: str = "admin.vm.property.GetAll"
) -> dict[str, Property]:
    """Read all properties of a qube, or of the computer."""
    return decode_properties(client.call(method, name))


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


def edit_prefs(client: AdminClient, words: Sequence[str]) -> int:
    """List, get, set or reset the properties of a qube."""
    return _edit(client, "qvm-prefs", words, "admin.vm.property.")


def edit_system_prefs(client: AdminClient, words: Sequence[str]) -> int:
    """List, get, set or reset the properties of the computer."""
    return _edit(client, "qubes-prefs", words, "admin.property.")


def _edit(client: AdminClient, tool: str, words: Sequence[str], methods: str) -> int:
    parser = argparse.ArgumentParser(prog=tool)
    if tool == "qvm-prefs":
        parser.add_argument("name", metavar="VMNAME")
    parser.add_argument("property", nargs="?")
    parser.add_argument("value", nargs="?")
    parser.add_argument("--hide-default", action="store_true")
    # Old spellings that scripts still use; what to do shows without them, too.
    parser.add_argument("-g", "--get", action="store_true", help="(no effect)")
    parser.add_argument("-s", "--set", action="store_true", help="(no effect)")
    parser.add_argument("-l", "--list", action="store_true", help="(no effect)")
    parser.add_argument("-D", "--default", "--unset", "--delete", action="store_true")
    args = parser.parse_intermixed_args(words)
    if args.default and (args.property is None or args.value is not None):
        parser.error("--default takes a property and no value")
    name = getattr(args, "name", "dom0")
    if args.property is None:
        _print_properties(fetch_properties(client, name, methods + "GetAll"), args)
    elif args.default:
        client.call(methods + "Reset", name, args.property)
    else:
        _get_or_set(client, methods, name, args)
    return 0


def _print_properties(found: Mapping[str, Property], args: argparse.Namespace) -> None:
    _print_columns(
        [
            (name, "D" if value.default else "-", _show(value))
            for name, value in sorted(found.items())
            if not (args.hide_default and value.default)
        ]
    )


def _show(found: Property) -> str:
    return "None" if found.type == "vm" and not found.value else found.value


def _get_or_set(
    client: AdminClient, methods: str, name: str, args: argparse.Namespace
) -> None:
    if args.value is None and not args.set:
        answer = client.call(methods + "Get", name, args.property)
        print(_show(decode_property(answer)))
        return
    payload = args.value or ""
    if payload.lower() == "none":
        payload = ""
    client.call(methods + "Set", name, args.property, payload.encode())


def edit_features(client: AdminClient, words: Sequence[str]) -> int:
    """List, get, set or unset the features of a qube."""
    parser = argparse.ArgumentParser(prog="qvm-features")
    parser.add_argument("name", metavar="VMNAME")
    parser.add_argument("feature", nargs="?")
    parser.add_argument("value", nargs="?")
    parser.add_argument("-D", "--unset", "--default", "--delete", action="store_true")
    args = parser.parse_intermixed_args(words)
    if args.unset and (args.feature is None or args.value is not None):
        parser.error("--unset takes a feature and no value")
    if args.feature is None:
        _print_columns(sorted(fetch_features(client, args.name).items()))
    elif args.unset:
        client.call("admin.vm.feature.Remove", args.name, args.feature)
    elif args.value is not None:
        payload = args.value.encode()
        client.call("admin.vm.feature.Set", args.name, args.feature, payload)
    else:
        try:
            value = client.call("admin.vm.feature.Get", args.name, args.feature)
        except AdminError as error:
            if error.kind != "QubesFeatureNotFoundError":
                raise
            return 1
        print(value.decode())
    return 0


def fetch_features(client: AdminClient, name: str) -> dict[str, str]:
    """Read all features of a qube."""
    names = client.call("admin.vm.feature.List", name).decode("ascii").splitlines()
    return {
        feature: client.call("admin.vm.feature.Get", name, feature).decode()
        for feature in names
    }


def edit_tags(client: AdminClient, words: Sequence[str]) -> int:
    """List, add or remove the tags of a qube."""
    parser = argparse.ArgumentParser(prog="qvm-tags")
    parser.add_argument("name", metavar="VMNAME")
    actions = ("list", "ls", "l", "add", "set", "a", "del", "unset", "remove", "d")
    parser.add_argument("action", nargs="?", choices=actions, default="list")
    parser.add_argument("tags", nargs="*", metavar="TAG")
    args = parser.parse_intermixed_args(words)
    if args.action.startswith("l"):
        return _list_tags(client, args.name, args.tags)
    if not args.tags:
        parser.error("give a tag")
    adding = args.action in ("add", "set", "a")
    for tag in args.tags:
        client.call(f"admin.vm.tag.{'Set' if adding else 'Remove'}", args.name, tag)
    return 0


def _list_tags(client: AdminClient, name: str, wanted: Sequence[str]) -> int:
    tags = client.call("admin.vm.tag.List", name).decode("ascii").splitlines()
    shown = [tag for tag in tags if not wanted or tag in wanted]
    sys.stdout.write("".join(f"{tag}\n" for tag in shown))
    return 0 if shown or not wanted else 1
