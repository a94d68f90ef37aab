# SPDX-License-Identifier: GPL-2.0-or-later
"""What qubesd knows: the qubes with what is set on them, and which of them run.

Two files hold it. `qubes.json` is what outlives the computer; `running.json` is what
outlives qubesd, and means nothing after the lab is gone. Both are replaced as a
whole, so that a kill at any moment leaves the old or the new content, never a mix.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from qubesforward.errors import LabError
from qubesforward.lab.hypercall import LAB_DIR
from qubesforward.lab.qubesd.faults import no_such_qube
from qubesforward.qubes.paths import QUBES_STATE

DOM0 = "dom0"
MAX_QID = 254
"""Stock's limit: the number is the last octet of the default address."""
MAX_DISPID = 10_000

_VERSION = 1


@dataclass
class Qube:
    """One qube: only what was set on it; defaults are worked out when asked for.

    Values of `properties` are text as the Admin API writes them; for a property that
    names a qube, the empty text is "none".
    """

    name: str
    klass: str
    qid: int
    uuid: str
    properties: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)


class Phase(StrEnum):
    """Where a running qube is in its life. A qube without one is halted."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    HALTING = "halting"


class LinkState(StrEnum):
    """Whether the hypervisor was told of a link, and is known to have done it."""

    NONE = "none"
    ATTACHED = "attached"
    UNSETTLED = "unsettled"


@dataclass
class Domain:
    """A qube that runs: its number at the hypervisor and the link it has upstream.

    `link` is what was last asked for, as plain data; only together with
    `link_state` does it say what is there.
    """

    phase: Phase = Phase.STARTING
    xid: int = -1
    link_state: LinkState = LinkState.NONE
    link: dict[str, Any] = field(default_factory=dict)
    qubesdb_pid: int = 0


@dataclass(frozen=True)
class Paths:
    """Where things lie in dom0; tests put them elsewhere."""

    qubes: Path = Path(QUBES_STATE)
    run: Path = Path(LAB_DIR)
    qubesdb: Path = Path("/var/run/qubes")

    @property
    def state(self) -> Path:
        """The file of everything that is set."""
        return self.qubes / "qubes.json"

    @property
    def running(self) -> Path:
        """The file of what runs."""
        return self.run / "running.json"

    @property
    def ready(self) -> Path:
        """Appears when all qubes that start by themselves have been started."""
        return self.run / "ready"

    def directory(self, qube: Qube) -> Path:
        """Return the directory of a qube's own files."""
        group = "vm-templates" if qube.klass == "TemplateVM" else "appvms"
        return self.qubes / group / qube.name


class Computer:
    """All qubes of the computer and its global settings, in memory and on disk."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.qubes: dict[str, Qube] = {DOM0: _make_dom0()}
        self.settings: dict[str, str] = {}
        self.running: dict[str, Domain] = {}

    def qube(self, name: str) -> Qube:
        """Find a qube; an unknown name is answered as stock does."""
        try:
            return self.qubes[name]
        except KeyError:
            raise no_such_qube(name) from None

    def guests(self) -> Iterator[Qube]:
        """All qubes but dom0."""
        return (qube for qube in self.qubes.values() if qube.name != DOM0)

    def is_running(self, name: str) -> bool:
        """Whether the qube is up; a paused one is, one that only starts is not."""
        domain = self.running.get(name)
        return domain is not None and domain.phase is not Phase.STARTING

    def add_qube(self, name: str, klass: str) -> Qube:
        """Make a new qube in memory, with the lowest free number as stock takes it."""
        used = {qube.qid for qube in self.qubes.values()}
        free = (number for number in range(1, MAX_QID) if number not in used)
        qid = next(free, None)
        if qid is None:
            raise LabError(f"no number left for {name}: at most {MAX_QID - 1} qubes")
        qube = Qube(name, klass, qid, str(uuid4()))
        self.qubes[name] = qube
        return qube

    def save(self) -> None:
        """Write what is set; on return it will survive a crash of the computer."""
        qubes = [
            asdict(qube) | {"tags": sorted(qube.tags)} for qube in self.qubes.values()
        ]
        content = {"version": _VERSION, "settings": self.settings, "qubes": qubes}
        replace_file(self.paths.state, json.dumps(content, indent=1), durable=True)

    def load(self) -> bool:
        """Read what is set; False if this computer has no qubes yet."""
        content = _read_json(self.paths.state)
        if content is None:
            return False
        try:
            if content["version"] != _VERSION:
                raise LabError(f"{self.paths.state}: version {content['version']}")
            found = [
                Qube(**record | {"tags": set(record["tags"])})
                for record in content["qubes"]
            ]
            self.settings = dict(content["settings"])
        except (KeyError, TypeError) as error:
            raise LabError(f"{self.paths.state}: {error!r}") from error
        self.qubes = {qube.name: qube for qube in found}
        return True

    def save_running(self) -> None:
        """Write what runs. A crash of the computer ends it all, so no fsync."""
        content = {name: asdict(domain) for name, domain in self.running.items()}
        replace_file(self.paths.running, json.dumps(content), durable=False)

    def load_running(self) -> dict[str, Domain]:
        """Read what ran when this was last saved; nothing is taken over yet."""
        content = _read_json(self.paths.running) or {}
        try:
            return {name: _make_domain(record) for name, record in content.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise LabError(f"{self.paths.running}: {error!r}") from error


def _make_dom0() -> Qube:
    return Qube(DOM0, "AdminVM", 0, "00000000-0000-0000-0000-000000000000")


def _make_domain(record: dict[str, Any]) -> Domain:
    return Domain(
        phase=Phase(record["phase"]),
        xid=record["xid"],
        link_state=LinkState(record["link_state"]),
        link=record["link"],
        qubesdb_pid=record["qubesdb_pid"],
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path}: not an object")
    return content


def replace_file(path: Path, text: str, *, durable: bool) -> None:
    """Put `text` at `path` as a whole; readers see the old or the new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
    if durable:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
