# SPDX-License-Identifier: GPL-2.0-or-later
"""`qvm-create`, `qvm-clone` and `qvm-remove`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from qubesforward.errors import AdminError, ForwardError, LabError
from qubesforward.lab.qvm_settings import fetch_features, fetch_properties
from qubesforward.qubes.admin import AdminClient
from qubesforward.qubes.admin_wire import decode_property
from qubesforward.qubes.paths import FORWARD_STATE

QUBES_DIR = Path("/var/lib/qubes")

_NOT_COPIED = frozenset(
    {"name", "qid", "uuid", "template", "label", "ip", "ip6", "mac", "dispid"}
    | {"installed_by_rpm"}
)
"""Properties that a copy has of its own, or was made with."""


def create_qube(client: AdminClient, words: Sequence[str]) -> int:
    """Make a qube."""
    parser = argparse.ArgumentParser(prog="qvm-create")
    parser.add_argument("-C", "--class", dest="klass", default="AppVM")
    parser.add_argument("--standalone", action="store_true")
    parser.add_argument("--disp", action="store_true", help="--class DispVM, red")
    parser.add_argument("-l", "--label")
    parser.add_argument("-t", "--template")
    parser.add_argument(
        "--property", "--prop", action="append", default=[], metavar="NAME=VALUE"
    )
    parser.add_argument("name", metavar="VMNAME")
    args = parser.parse_intermixed_args(words)
    properties = dict(word.partition("=")[::2] for word in args.property)
    label = args.label or properties.pop("label", "red" if args.disp else None)
    template = args.template or properties.pop("template", "")
    klass = "StandaloneVM" if args.standalone else args.klass
    klass = "DispVM" if args.disp else klass
    if label is None:
        parser.error("--label is required")
    if klass == "DispVM" and not template:
        template = _default_dispvm(client)
    payload = f"name={args.name} label={label}".encode()
    client.call(f"admin.vm.Create.{klass}", "dom0", template, payload)
    status = 0
    for name, value in properties.items():
        try:
            client.call("admin.vm.property.Set", args.name, name, value.encode())
        except AdminError as error:
            print(f"qvm-create: {name}={value}: {error}", file=sys.stderr)
            status = 1
    return status


def _default_dispvm(client: AdminClient) -> str:
    answer = client.call("admin.property.Get", "dom0", "default_dispvm")
    return decode_property(answer).value


def clone_qube(client: AdminClient, words: Sequence[str]) -> int:
    """Copy a qube through the Admin API, as Qubes' own tool does.

    So the copy gets the outbound rules, and no forwards. With --with-files it gets
    the files of its original as well, as a restored backup would.
    """
    parser = argparse.ArgumentParser(prog="qvm-clone")
    parser.add_argument("-C", "--class", dest="klass")
    parser.add_argument("--ignore-errors", action="store_true")
    parser.add_argument("--with-files", action="store_true")
    parser.add_argument("source", metavar="SRC_NAME")
    parser.add_argument("name", metavar="NEW_NAME")
    args = parser.parse_intermixed_args(words)
    source = fetch_properties(client, args.source)
    klass = args.klass or source["klass"].value
    template = source["template"].value if "template" in source else ""
    payload = f"name={args.name} label={source['label'].value}".encode()
    client.call(f"admin.vm.Create.{klass}", "dom0", template, payload)
    try:
        _copy_settings(client, args)
        if args.with_files:
            _copy_files(client, args.source, args.name)
    except ForwardError:
        client.call("admin.vm.Remove", args.name)
        raise
    return 0


def _copy_settings(client: AdminClient, args: argparse.Namespace) -> None:
    def copy(method: str, arg: str, payload: bytes) -> None:
        try:
            client.call(method, args.name, arg, payload)
        except AdminError as error:
            if not args.ignore_errors:
                raise
            print(f"qvm-clone: {method} {arg}: {error}", file=sys.stderr)

    for name, value in fetch_properties(client, args.source).items():
        if not value.default and name not in _NOT_COPIED:
            copy("admin.vm.property.Set", name, value.value.encode())
    for name, text in fetch_features(client, args.source).items():
        copy("admin.vm.feature.Set", name, text.encode())
    for tag in client.call("admin.vm.tag.List", args.source).decode().splitlines():
        if not tag.startswith("created-by-"):
            copy("admin.vm.tag.Set", tag, b"")
    rules = client.call("admin.vm.firewall.Get", args.source)
    copy("admin.vm.firewall.Set", "", rules)


def _copy_files(client: AdminClient, source: str, name: str) -> None:
    for group in ("appvms", "vm-templates"):
        directory = QUBES_DIR / group
        if (directory / source).is_dir() and (directory / name).is_dir():
            try:
                shutil.copytree(
                    directory / source, directory / name, dirs_exist_ok=True
                )
            except (OSError, shutil.Error) as error:
                raise LabError(f"copying the files of {source}: {error}") from None
    ours = Path(FORWARD_STATE)
    if (ours / source).is_dir():
        # Beside a stock qubesd forwards are apart from the qube's own files.
        shutil.copytree(ours / source, ours / name, dirs_exist_ok=True)
    for arg in ("", "forward"):
        client.call("admin.vm.firewall.Reload", name, arg)


def remove_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """Remove halted qubes, after asking."""
    parser = argparse.ArgumentParser(prog="qvm-remove")
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument("names", nargs="+", metavar="VMNAME")
    args = parser.parse_intermixed_args(words)
    if not args.force:
        print(f"This will remove for good: {', '.join(args.names)}")
        if input("Are you sure? [y/N] ").strip().lower() != "y":
            return 1
    status = 0
    for name in args.names:
        try:
            client.call("admin.vm.Remove", name)
        except AdminError as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status
