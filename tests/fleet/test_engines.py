# SPDX-License-Identifier: GPL-2.0-or-later
"""The module of Ansible and the state of Salt, run by the real engines in a lab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.fleet.engines import ROOT, ansible, examples, install, run, salt, write
from tests.lab.forwards import dom0, forwards_of
from tests.lab.mapping import natpmpc
from tests.lab.moving import NET
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import eventually
from tests.lab.traffic import probe, serving

pytestmark = pytest.mark.lab

WEB = {"port": 443, "to": 8443, "from": ["192.168.1.0/24"]}
OTHER = {"port": 8000, "proto": "udp"}


class Engine:
    """One of the two engines: what it changed, and what it said."""

    def __init__(self, lab: RunningLab, name: str) -> None:
        self._lab = lab
        self.name = name

    def declare(
        self,
        qube: str,
        state: str,
        forwards: Sequence[object],
        *,
        check: bool = False,
        ok: bool = True,
        **more: object,
    ) -> tuple[bool, str]:
        """Return whether anything changed (or would), and the diff or the error."""
        if self.name == "ansible":
            words = ["--check", "--diff"] if check else ["--diff"]
            told = ansible(
                self._lab,
                *words,
                ok=ok,
                qube=qube,
                state=state,
                forwards=forwards,
                **more,
            )
            return told["changed"], str(told.get("diff") if ok else told["msg"])
        words = ["test=True"] if check else []
        told = salt(
            self._lab, state, *words, ok=ok, name=qube, forwards=forwards, **more
        )
        if ok:
            assert told["result"] is (None if check and told["changes"] else True)
        return bool(told["changes"]), str(told["changes"] if ok else told["comment"])


@pytest.fixture(scope="module")
def dom0_lab() -> Iterator[RunningLab]:
    with running_lab() as lab:
        install(lab)
        yield lab


@pytest.fixture(params=["ansible", "salt"])
def engine(dom0_lab: RunningLab, request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield Engine(dom0_lab, request.param)
    dom0(dom0_lab, "qvm-forward", "--close-all")


def lines(lab: RunningLab, qube: str) -> list[str]:
    return [str(forward["rule"]) for forward in forwards_of(lab, qube)]


def reaches(lab: RunningLab, qube: str) -> bool:
    answer = probe(lab, "lan", NET, 443)
    return answer is not None and answer.qube == qube


def test_present_opens_once_and_absent_closes(
    engine: Engine, dom0_lab: RunningLab
) -> None:
    with serving(dom0_lab, "work", [8443]):
        changed, diff = engine.declare("work", "present", [WEB], check=True)
        assert changed
        assert "srcports=443-443 dstports=8443-8443" in diff
        assert lines(dom0_lab, "work") == []
        assert engine.declare("work", "present", [WEB])[0]
        assert reaches(dom0_lab, "work")
        assert not engine.declare("work", "present", [WEB])[0]
        assert not engine.declare("work", "present", [WEB], check=True)[0]
        changed, diff = engine.declare("work", "absent", [{"port": 443}], check=True)
        assert changed
        assert "443-443" in diff
        assert reaches(dom0_lab, "work")
        assert engine.declare("work", "absent", [{"port": 443}])[0]
        assert not reaches(dom0_lab, "work")
        assert not engine.declare("work", "absent", [{"port": 443}])[0]


def test_exact_leaves_no_others_but_those_of_other_qubes(
    engine: Engine, dom0_lab: RunningLab
) -> None:
    dom0(dom0_lab, "qvm-forward", "personal", "22")
    assert engine.declare("work", "present", [WEB, OTHER])[0]
    changed, _ = engine.declare("work", "exact", [OTHER])
    assert changed
    (line,) = lines(dom0_lab, "work")
    assert "srcports=8000-8000" in line
    assert not engine.declare("work", "exact", [OTHER])[0]
    assert engine.declare("work", "exact", [])[0]
    assert lines(dom0_lab, "work") == []
    assert len(lines(dom0_lab, "personal")) == 1


@pytest.mark.parametrize(
    ("qube", "forwards", "said"),
    [
        ("work", [{"port": 80443}], "forward 1: port=80443: ports are 1-65535"),
        ("nobody", [WEB], "nobody"),
        ("personal", [WEB], "work has port 443"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_errors_are_sentences_and_change_nothing(
    engine: Engine,
    dom0_lab: RunningLab,
    qube: str,
    forwards: Sequence[object],
    said: str,
    check: bool,
) -> None:
    dom0(dom0_lab, "qvm-forward", "work", "443")
    before = lines(dom0_lab, "work")
    _, error = engine.declare(qube, "present", forwards, check=check, ok=False)
    assert said in error
    assert "Traceback" not in error
    assert lines(dom0_lab, "work") == before
    assert lines(dom0_lab, "personal") == []


def test_forced_a_forward_waits_for_its_port(
    engine: Engine, dom0_lab: RunningLab
) -> None:
    dom0(dom0_lab, "qvm-forward", "work", "443")
    assert engine.declare("personal", "present", [WEB], force=True)[0]
    (told,) = forwards_of(dom0_lab, "personal")
    assert told["state"] == "conflict"


def test_mappings_of_programs_are_left_alone(
    engine: Engine, dom0_lab: RunningLab
) -> None:
    dom0(dom0_lab, "qvm-forward", "work", "--portmap", "allow")
    try:
        eventually(
            lambda: natpmpc(dom0_lab, "work", 5000, 5010, "tcp", 600) is not None, True
        )
        before = lines(dom0_lab, "work")
        assert len(before) == 1
        assert not engine.declare("work", "exact", [])[0]
        assert engine.declare("work", "exact", [OTHER])[0]
        assert engine.declare("work", "exact", [])[0]
        assert lines(dom0_lab, "work") == before
    finally:
        dom0(dom0_lab, "qvm-forward", "work", "--portmap", "off")


def test_the_examples_of_the_page(dom0_lab: RunningLab) -> None:
    files, commands = examples((ROOT / "docs/fleet.md").read_text())
    assert sorted(files) == ["forwards.sls", "site.yml"]
    for name, text in files.items():
        write(dom0_lab, f"/root/{name}", text)
    told = {command: "" for command in commands}
    assert len(told) == 8
    for command in commands:
        told[command] = run(dom0_lab, *command.split())
        if command == "ansible-playbook site.yml":
            assert len(lines(dom0_lab, "work")) == 1
            assert len(lines(dom0_lab, "personal")) == 1
    dom0(dom0_lab, "qvm-forward", "--close-all")
    assert "changed=2" in told["ansible-playbook --check --diff site.yml"]
    assert "changed=2" in told["ansible-playbook site.yml"]
    # Salt's page declares the same.
    assert "Failed:    0" in told["salt-call --local state.apply forwards"]
    assert "changed=" not in told["salt-call --local state.apply forwards"]
    assert "nothing to import" in told["qvm-forward --import forwards.txt"]
