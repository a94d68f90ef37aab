# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion in real shells, in dom0 of a lab: names, ports, options, rule words."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qubesforward.cli import qvm_forward
from qubesforward.cli.completing import WORDS
from qubesforward.cli.options import COMPLETED
from qubesforward.model.elements import ELEMENTS, SYNONYMS
from qubesforward.qubes.admin import AdminClient
from tests.docs.pages import ROOT
from tests.docs.parsers import list_commands, list_options, read_parser
from tests.lab.forwards import forwarded
from tests.lab.running_lab import RunningLab, running_lab

DIRECTORY = ROOT / "packaging/completion"
BASH = DIRECTORY / "bash/qvm-forward"
ZSH = DIRECTORY / "zsh/_qvm-forward"
PROGRAMS = ("qvm-forward", "qvm-firewall", "qubes-forward-settings", "qubes-lab")

# What is typed, and what must be offered; what begins with a dash must not be.
CASES = [
    ("qvm-forward ", "work personal sys-net -dom0"),
    ("qvm-forward pers", "personal"),
    ("qvm-forward --log wo", "work"),
    ("qvm-forward work http", "http https"),
    ("qvm-forward work 443/", "tcp udp both"),
    ("qvm-forward work --for-", "--for-good"),
    ("qvm-forward work --close ", "4430/tcp 4431/udp"),
    ("qvm-forward personal --close ", "-4430/tcp"),
    ("qvm-forward work --portmap ", "ask allow off"),
    ("qvm-firewall ", "work vault -dom0"),
    ("qvm-firewall work con", "confirm"),
    ("qvm-firewall work add src", "srcports= srchost= src4= src6="),
    ("qvm-firewall work add proto=", "tcp udp icmp"),
    ("qvm-firewall work add action=f", "forward"),
    ("qvm-firewall work list ", "-forward -accept"),
    ("qubes-forward-settings unt", "untrusted"),
    ("qubes-lab pi", "pids"),
    ("qubes-lab service dom0 ", "start stop restart status"),
]

_ASK_BASH = """
{file}
COMP_LINE={line}
COMP_POINT=${{#COMP_LINE}}
set -- $(complete -p {program})
"$3"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# A zsh with a terminal of its own, in which the key is pressed. What completion adds
# is written down by a function in the place of its builtin; so is what is typed then.
_SET_UP_ZSH = """
unsetopt promptcr promptsp beep
fpath=({functions} $fpath)
autoload -Uz compinit; compinit -u -D
compadd() {{
    local -a added
    if [[ " $* " != *' '-[OAD]' '* ]]; then
        builtin compadd -O added "$@"
        print -rl -- $added >> {offered}
    fi
    builtin compadd "$@"
}}
finish() {{ zle complete-word; print -rl -- ${{=BUFFER}} done >> {offered} }}
zle -N finish; bindkey '^I' finish
print loaded > {offered}
"""
_ASK_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "source $1"
integer tries
until [[ -s $2 ]] || (( ++tries > 100 )); do sleep 0.05; done
zpty -w -n shell "$3"$'\\t'
until grep -q done $2 || (( ++tries > 300 )); do sleep 0.05; done
zpty -d shell
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    with (
        running_lab() as one,
        forwarded(
            one,
            "work",
            "forwardtype=external proto=tcp srcports=4430",
            "forwardtype=external proto=udp srcports=4431",
        ),
    ):
        yield one


def check(offered: set[str], wanted: str) -> None:
    words = set(wanted.split(" "))
    absent = {w[1:] for w in words if w.startswith("-") and not w.startswith("--")}
    # bash is given the whole word, zsh what is missing of it.
    offered |= {word.removeprefix("443/") for word in offered}
    assert {w for w in words if w[1:] not in absent} <= offered
    assert not absent & offered


@pytest.mark.lab
@pytest.mark.parametrize(("line", "wanted"), CASES)
def test_bash_offers(lab: RunningLab, line: str, wanted: str) -> None:
    script = _ASK_BASH.format(
        file=BASH.read_text(), line=shlex.quote(line), program=line.split(" ")[0]
    )
    done = lab.exec("dom0", ["bash", "--norc"], input=script)
    assert done.stderr == ""
    check(set(done.stdout.split("\n")), wanted)


@pytest.mark.lab
@pytest.mark.parametrize(("line", "wanted"), CASES)
def test_zsh_offers(lab: RunningLab, tmp_path: Path, line: str, wanted: str) -> None:
    # Ptys are on the machine, the qubes in the lab.
    for program in ("qvm-forward", "qubes-lab"):
        words = ("exec", "dom0", "--", program) if program == "qvm-forward" else ()
        stub = tmp_path / program
        stub.write_text(f'#!/bin/sh\nexec {shlex.join(lab.command(*words))} "$@"\n')
        stub.chmod(0o755)
    offered = tmp_path / "offered"
    setup = tmp_path / "setup"
    setup.write_text(_SET_UP_ZSH.format(functions=ZSH.parent, offered=offered))
    subprocess.run(
        ["zsh", "-f", "-c", _ASK_ZSH, "zsh", setup, offered, line],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        check=True,
        timeout=60,
    )
    found = offered.read_text().split("\n")
    assert found[0] == "loaded"
    assert "done" in found
    check(set(found), wanted)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("file", [BASH, ZSH], ids=["bash", "zsh"])
def test_options_are_those_of_the_program(
    file: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = f"_{program.replace('-', '_')}()" if file is BASH else f"{program})"
    text = file.read_text()
    if (file, program) == (ZSH, "qubes-lab"):
        function = "_qubes_forward_lab()"
    part = text.split(f"\n{function}", 1)[1]
    part = re.split(r"^(?:\}|    ;;)$", part, maxsplit=1, flags=re.MULTILINE)[0]
    offered = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*(?![\w=])", part))
    parser = read_parser(program, monkeypatch)
    options = list_options(parser)
    assert options <= offered
    assert {option for option in offered if option.startswith("--")} <= options
    assert all(command in part for command in list_commands(parser))


def test_rule_words_are_those_of_rules() -> None:
    for file in (BASH, ZSH):
        named = set(re.findall(r"\b([a-z]+\d?)=(?=[ )\n\"])", file.read_text()))
        assert named >= {*ELEMENTS, *SYNONYMS} - {"dstname"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_bash_finds_the_file_by_the_program(program: str) -> None:
    assert (DIRECTORY / "bash" / program).read_text() == BASH.read_text()
    assert program in ZSH.read_text().splitlines()[0]


class TestAsking:
    def test_all_that_can_be_asked_is_there(self) -> None:
        assert set(COMPLETED) == set(WORDS)

    def test_a_service_that_does_not_answer_ends_it(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = str(tmp_path / "silent.sock")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path)
            silent.listen()
            client = AdminClient(path, path, timeout=0.2)
            for what in COMPLETED:
                assert qvm_forward.main(["--complete", what], client) == 1
        assert capfd.readouterr() == ("", "")

    def test_nobody_there_is_no_word(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        client = AdminClient(f"{tmp_path}/a", f"{tmp_path}/b")
        assert qvm_forward.main(["work", "--complete", "ports"], client) == 1
        assert capfd.readouterr() == ("", "")
