# SPDX-License-Identifier: GPL-2.0-or-later
"""Running both tools against the fake daemon, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qubesforward.cli import qvm_firewall, qvm_forward
from qubesforward.model.text import format_rule
from qubesforward.qubes.admin import AdminClient
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.serving import serve


@dataclass(frozen=True)
class Ran:
    """How a tool ended, and what it said."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def stored(daemon: FakeDaemon, name: str = "work") -> list[str]:
    return [format_rule(rule) for rule in daemon.forwards.get(name, [])]


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon(now=int(time.time()))


@pytest.fixture
def client(daemon: FakeDaemon, tmp_path: Path) -> Iterator[AdminClient]:
    with serve(daemon, tmp_path) as client:
        yield client


def make_run(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> Run:
    def run(*argv: str) -> Ran:
        capsys.readouterr()
        try:
            status = main(list(argv))
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else -1
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def forward(client: AdminClient, capsys: pytest.CaptureFixture[str]) -> Run:
    return make_run(lambda argv: qvm_forward.main(argv, client), capsys)


@pytest.fixture
def firewall(
    client: AdminClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Run:
    return make_run(lambda argv: qvm_firewall.main(argv, client, str(tmp_path)), capsys)


@pytest.fixture
def without_daemon(
    client: AdminClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[Run, Run]:
    """qvm-firewall and qvm-forward on a computer where only qubesd runs."""
    stock = AdminClient(f"{tmp_path}/qubesd.sock", f"{tmp_path}/missing.sock")
    return (
        make_run(lambda a: qvm_firewall.main(a, stock, str(tmp_path)), capsys),
        make_run(lambda a: qvm_forward.main(a, stock), capsys),
    )
