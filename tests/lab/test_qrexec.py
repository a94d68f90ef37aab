# SPDX-License-Identifier: GPL-2.0-or-later
"""qrexec calls in a lab: who may call what, and what passes through a call."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.running_lab import RunningLab
from tests.lab.services import policy_file, program_service, socket_service, write_file
from tests.lab.standing import eventually

pytestmark = pytest.mark.lab

CALL = "qrexec-client-vm"
REFUSED, NOT_FOUND, PROBLEM = 126, 127, 125

ECHO = 'echo "$QREXEC_REMOTE_DOMAIN $QREXEC_SERVICE_FULL_NAME"; cat; echo bye'
ALLOW = "test.Echo * @anyvm @anyvm allow", "test.Echo * @anyvm @adminvm allow"


# `qubes-lab exec` has the output open as well, so its end is seen in the qube only.
_READS_TO_THE_END = """
import subprocess
caller = subprocess.Popen(
    ["qrexec-client-vm", "dom0", "test.Echo"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
)
print(caller.stdout.read(), end="")
caller.stdin.write("late\\n")
caller.stdin.close()
print(caller.wait())
"""


@pytest.fixture(autouse=True)
def _allowed(lab: RunningLab) -> Iterator[None]:
    with policy_file(lab, "10-test.policy", *ALLOW):
        yield


@pytest.fixture
def echo(lab: RunningLab) -> Iterator[None]:
    with program_service(lab, "dom0", "test.Echo", ECHO):
        yield


def call(
    lab: RunningLab, qube: str, *words: str, input: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    settings = [f"{name}={value}" for name, value in more.items()]
    return lab.exec(qube, ["env", *settings, CALL, *words], input=input)


class TestPrograms:
    @pytest.mark.usefixtures("echo")
    def test_caller_and_service_are_connected(self, lab: RunningLab) -> None:
        done = call(lab, "work", "dom0", "test.Echo", input="words\n")
        assert done.stdout == "work test.Echo+\nwords\nbye\n"
        assert (done.stderr, done.returncode) == ("", 0)

    def test_it_is_told_who_calls_and_the_argument(self, lab: RunningLab) -> None:
        with program_service(lab, "dom0", "test.Echo", 'echo "$1"; env'):
            told = call(lab, "work", "dom0", "test.Echo+a.b+c").stdout.splitlines()
        assert told[0] == "a.b+c"
        assert {
            "QREXEC_REMOTE_DOMAIN=work",
            "QREXEC_SERVICE_FULL_NAME=test.Echo+a.b+c",
            "QREXEC_SERVICE_ARGUMENT=a.b+c",
            "QREXEC_REQUESTED_TARGET_TYPE=keyword",
            "QREXEC_REQUESTED_TARGET_KEYWORD=adminvm",
        } <= set(told)

    @pytest.mark.usefixtures("echo")
    def test_one_for_an_argument_goes_first(self, lab: RunningLab) -> None:
        with program_service(lab, "dom0", "test.Echo+own", "echo own"):
            assert call(lab, "work", "dom0", "test.Echo+own").stdout == "own\n"
            assert "bye" in call(lab, "work", "dom0", "test.Echo+other").stdout

    @pytest.mark.parametrize(
        ("script", "status"), [("exit 7", 7), ("kill -KILL $$", 137)]
    )
    def test_its_exit_status_is_the_callers(
        self, lab: RunningLab, script: str, status: int
    ) -> None:
        with program_service(lab, "dom0", "test.Echo", script):
            assert call(lab, "work", "dom0", "test.Echo").returncode == status

    def test_output_that_ended_does_not_end_the_input(self, lab: RunningLab) -> None:
        script = "echo first; exec >&-; read word; test $word = late && exit 9"
        with program_service(lab, "dom0", "test.Echo", script):
            told = lab.check("work", "python3", "-c", _READS_TO_THE_END)
        assert told == "first\n9\n"

    def test_what_nobody_serves(self, lab: RunningLab) -> None:
        assert call(lab, "work", "dom0", "test.Echo").returncode == NOT_FOUND
        lab.check("dom0", "ln", "-s", "/run/nobody.sock", "/etc/qubes-rpc/test.Echo")
        try:
            assert call(lab, "work", "dom0", "test.Echo").returncode == PROBLEM
        finally:
            lab.check("dom0", "rm", "/etc/qubes-rpc/test.Echo")


class TestSockets:
    def test_the_descriptor_comes_first(self, lab: RunningLab) -> None:
        with socket_service(lab, "dom0", "test.Echo"):
            done = call(lab, "work", "dom0", "test.Echo", input="words\n")
            assert done.stdout == "test.Echo+ work keyword adminvm\nwords\nbye\n"
            assert (done.stderr, done.returncode) == ("", 0)
            done = call(lab, "personal", "@adminvm", "test.Echo+arg")
            assert done.stdout == "test.Echo+arg personal keyword adminvm\nbye\n"

    def test_a_service_of_a_qube_is_told_no_target(self, lab: RunningLab) -> None:
        with socket_service(lab, "personal", "test.Echo"):
            done = call(lab, "work", "personal", "test.Echo")
        assert done.stdout == "test.Echo+ work\nbye\n"

    def test_the_descriptor_can_be_left_out(self, lab: RunningLab) -> None:
        settings = "/etc/qubes/rpc-config/test.Echo"
        write_file(lab, "dom0", settings, "skip-service-descriptor=true\n")
        try:
            with socket_service(lab, "dom0", "test.Echo", descriptor=False):
                done = call(lab, "work", "dom0", "test.Echo", input="words\n")
        finally:
            lab.check("dom0", "rm", settings)
        assert done.stdout == "\nwords\nbye\n"

    def test_many_answers_over_one_call(self, lab: RunningLab) -> None:
        with socket_service(lab, "dom0", "test.Echo"):
            caller = lab.spawn("work", [CALL, "dom0", "test.Echo"], bufsize=1)
            assert caller.stdin is not None
            assert caller.stdout is not None
            assert caller.stdout.readline().startswith("test.Echo+ work")
            for number in range(500):
                caller.stdin.write(f"{number}\n")
                assert caller.stdout.readline() == f"{number}\n"
            assert caller.communicate(timeout=10)[0] == "bye\n"
        assert caller.returncode == 0

    def test_one_that_is_killed_ends_the_call(self, lab: RunningLab) -> None:
        with socket_service(lab, "dom0", "test.Echo") as server:
            caller = lab.spawn("work", [CALL, "dom0", "test.Echo"])
            assert caller.stdout is not None
            assert caller.stdout.readline().startswith("test.Echo+ work")
            server.kill()
            # Its input stays open: that nobody serves it is enough.
            assert caller.wait(10) == 0
            caller.communicate()


class TestLocalPrograms:
    def test_a_program_of_the_caller_is_connected(self, lab: RunningLab) -> None:
        # What the caller itself had is kept for it, as in Qubes.
        script = 'read line; echo "got $line" >&$SAVED_FD_1; echo "$0 $1"; cat >&2'
        with program_service(lab, "dom0", "test.Echo", "echo one; head -n 1; exit 3"):
            words = [
                "dom0",
                "test.Echo",
                "/bin/sh",
                "-c",
                f"{script}; exit 5",
                "a",
                "b",
            ]
            done = call(lab, "work", *words)
        assert (done.stdout, done.stderr) == ("got one\n", "a b\n")
        # Its own exit status is the call's, as in Qubes too.
        assert done.returncode == 5

    @pytest.mark.parametrize("kind", ["program", "socket"])
    def test_it_may_close_its_output_and_read_on(
        self, lab: RunningLab, kind: str
    ) -> None:
        script = "echo words; exec >&-; cat >&2; exit 5"
        serving = (
            program_service(lab, "dom0", "test.Echo", ECHO)
            if kind == "program"
            else socket_service(lab, "dom0", "test.Echo")
        )
        with serving:
            done = call(lab, "work", "dom0", "test.Echo", "/bin/sh", "-c", script)
        assert (done.stdout, done.returncode) == ("", 5)
        first, *rest = done.stderr.splitlines()
        assert first.startswith(("work test.Echo", "test.Echo+ work"))
        assert rest == ["words", "bye"]

    def test_it_is_started_only_if_the_call_is_allowed(self, lab: RunningLab) -> None:
        done = call(lab, "work", "dom0", "test.Other", "/bin/echo", "started")
        assert (done.stdout, done.returncode) == ("", REFUSED)

    @pytest.mark.usefixtures("echo")
    def test_options_are_those_of_qubes(self, lab: RunningLab) -> None:
        options = ["--buffer-size", "65536", "-tT", "--no-filter-escape-chars-stdout"]
        assert call(lab, "work", *options, "dom0", "test.Echo").returncode == 0
        assert call(lab, "work", "--buffer-size=1", "$adminvm", "test.Echo").stdout
        assert call(lab, "work", "--nonsense", "dom0", "test.Echo").returncode == 2
        assert call(lab, "work", "dom0").returncode == 2


class TestPolicy:
    def test_what_no_rule_is_about_is_refused(self, lab: RunningLab) -> None:
        with program_service(lab, "dom0", "test.Other", "touch /run/other-ran"):
            done = call(lab, "work", "dom0", "test.Other")
        assert (done.stderr, done.returncode) == ("Request refused\n", REFUSED)
        assert lab.exec("dom0", ["test", "-e", "/run/other-ran"]).returncode == 1

    @pytest.mark.usefixtures("echo")
    def test_files_of_users_go_by_their_order(self, lab: RunningLab) -> None:
        deny = "test.Echo +no work @adminvm deny"
        with policy_file(lab, "05-mine.policy", deny):
            assert call(lab, "work", "dom0", "test.Echo+no").returncode == REFUSED
            assert call(lab, "work", "dom0", "test.Echo+yes").returncode == 0
            assert call(lab, "personal", "dom0", "test.Echo+no").returncode == 0
        with policy_file(lab, "20-mine.policy", deny):
            assert call(lab, "work", "dom0", "test.Echo+no").returncode == 0

    @pytest.mark.usefixtures("echo")
    def test_a_file_that_cannot_be_read_denies_everything(
        self, lab: RunningLab
    ) -> None:
        with policy_file(lab, "90-broken.policy", "test.Echo * @anyvm allow"):
            assert call(lab, "work", "dom0", "test.Echo").returncode == REFUSED
        with policy_file(lab, "90-Name.policy", "# upper case is no name"):
            assert call(lab, "work", "dom0", "test.Echo").returncode == REFUSED
        with policy_file(lab, "90-not-policy", "nonsense"):
            assert call(lab, "work", "dom0", "test.Echo").returncode == 0

    @pytest.mark.usefixtures("echo")
    def test_rules_know_types_and_tags(self, lab: RunningLab) -> None:
        rules = (
            "test.Echo +a @tag:chosen @adminvm allow",
            "test.Echo +b @type:AppVM @default allow target=dom0",
            "test.Echo * @anyvm @adminvm deny",
        )
        lab.check("dom0", "qvm-tags", "work", "add", "chosen")
        try:
            with policy_file(lab, "05-mine.policy", *rules):
                assert call(lab, "work", "dom0", "test.Echo+a").returncode == 0
                refused = call(lab, "personal", "dom0", "test.Echo+a")
                assert refused.returncode == REFUSED
                assert call(lab, "personal", "", "test.Echo+b").returncode == 0
        finally:
            lab.check("dom0", "qvm-tags", "work", "del", "chosen")

    @pytest.mark.usefixtures("echo")
    def test_who_calls_cannot_be_made_up(self, lab: RunningLab) -> None:
        with policy_file(lab, "05-mine.policy", "test.Echo * work @adminvm deny"):
            done = call(
                lab, "work", "dom0", "test.Echo", QREXEC_REMOTE_DOMAIN="personal"
            )
            assert done.returncode == REFUSED
            for words in (
                b"test.Echo dom0 personal",
                b"test.Echo+ dom0\0personal",
                b'{"op": "judge", "source": "personal"}',
                b"../../bin/sh dom0",
                b"test.Echo " + b"x" * 10_000,
                b"",
            ):
                assert _send_raw(lab, "work", words) in ("refused", "")
        # All that a qube can see of this is its own.
        assert lab.exec("work", ["ls", "/run/qubes-lab"]).returncode != 0

    def test_callers_name_is_its_own_whatever_it_says(self, lab: RunningLab) -> None:
        with program_service(lab, "dom0", "test.Echo", "echo $QREXEC_REMOTE_DOMAIN"):
            for qube in ("work", "personal", "sys-net"):
                done = call(
                    lab, qube, "dom0", "test.Echo", QREXEC_REMOTE_DOMAIN="vault"
                )
                assert done.stdout == f"{qube}\n"


# Sends one message to where calls are made, and prints what comes back.
_RAW_CALLER = """
import socket, sys
one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
one.connect("/run/qubes/qrexec-agent")
one.send(bytes.fromhex(sys.argv[1]))
print(one.recv(100).decode())
"""


def _send_raw(lab: RunningLab, qube: str, message: bytes) -> str:
    return lab.check(qube, "python3", "-c", _RAW_CALLER, message.hex()).strip()


class TestQubes:
    def test_a_qube_calls_another(self, lab: RunningLab) -> None:
        with program_service(lab, "personal", "test.Echo", f"hostname; {ECHO}"):
            done = call(lab, "work", "personal", "test.Echo", input="words\n")
        assert done.stdout == "personal\nwork test.Echo+\nwords\nbye\n"
        assert done.returncode == 0

    @pytest.mark.parametrize("target", ["work", "no-such-qube", "@default"])
    def test_itself_or_nobody_cannot_be_called(
        self, lab: RunningLab, target: str
    ) -> None:
        assert call(lab, "work", target, "test.Echo").returncode == REFUSED

    def test_one_that_is_halted_is_started(self, lab: RunningLab) -> None:
        rule = "test.Echo +{} work default-dvm allow autostart={}"
        rules = [rule.format("no", "no"), rule.format("yes", "yes")]
        with policy_file(lab, "05-mine.policy", *rules):
            done = call(lab, "work", "default-dvm", "test.Echo+no")
            assert done.returncode == REFUSED
            assert lab.exec("default-dvm", ["true"]).returncode == 1
            try:
                done = call(lab, "work", "default-dvm", "test.Echo+yes")
                assert done.returncode == NOT_FOUND
                assert lab.exec("default-dvm", ["true"]).returncode == 0
            finally:
                lab.check("dom0", "qvm-shutdown", "--wait", "default-dvm")

    def test_one_that_is_killed_ends_its_calls(self, lab: RunningLab) -> None:
        lab.check("dom0", "qvm-start", "default-dvm")
        write_file(lab, "default-dvm", "/etc/qubes-rpc/test.Echo", f"#!/bin/sh\n{ECHO}")
        callers = [
            lab.spawn("work", [CALL, "default-dvm", "test.Echo"]),
            lab.spawn("default-dvm", [CALL, "work", "test.Echo"]),
        ]
        assert callers[0].stdout is not None
        assert callers[0].stdout.readline() == "work test.Echo+\n"
        lab.check("dom0", "qvm-kill", "default-dvm")
        assert callers[0].wait(10) == PROBLEM
        assert callers[1].wait(10) != 0
        for caller in callers:
            caller.communicate()


class TestLoad:
    @pytest.mark.parametrize("kind", ["program", "socket"])
    def test_much_passes_both_ways(
        self, lab: RunningLab, tmp_path: Path, kind: str
    ) -> None:
        content = bytes(range(256)) * 4096 * 2
        file = tmp_path / "content"
        file.write_bytes(content)
        words = lab.command("exec", "work", "--", CALL, "dom0", "test.Echo")
        serving = (
            program_service(lab, "dom0", "test.Echo", ECHO)
            if kind == "program"
            else socket_service(lab, "dom0", "test.Echo")
        )
        with serving, file.open("rb") as source:
            done = subprocess.run(
                words, stdin=source, capture_output=True, timeout=30, check=True
            )
        _first, _, rest = done.stdout.partition(b"\n")
        assert rest.endswith(b"bye\n")
        wanted = hashlib.sha256(content).digest()
        assert hashlib.sha256(rest.removesuffix(b"bye\n")).digest() == wanted

    @pytest.mark.usefixtures("echo")
    def test_many_at_once_get_their_own(self, lab: RunningLab) -> None:
        qubes = ["work", "personal", "untrusted", "sys-net"] * 6
        callers = [lab.spawn(qube, [CALL, "dom0", "test.Echo"]) for qube in qubes]
        for number, (qube, caller) in enumerate(zip(qubes, callers, strict=True)):
            out, _err = caller.communicate(f"{number}\n", timeout=30)
            assert out == f"{qube} test.Echo+\n{number}\nbye\n"

    def test_a_caller_that_is_killed_leaves_nothing(self, lab: RunningLab) -> None:
        with program_service(lab, "dom0", "test.Echo", ECHO):
            caller = lab.spawn("work", [CALL, "dom0", "test.Echo"])
            assert caller.stdout is not None
            assert caller.stdout.readline() == "work test.Echo+\n"
            assert len(lab.pids("dom0", "lab-qrexec")) == 1
            caller.kill()
            caller.communicate()
            eventually(lambda: lab.pids("dom0", "lab-qrexec"), [])
            eventually(lambda: lab.pids("dom0", "cat"), [])

    def test_callers_that_say_nothing_hold_nobody_up(self, lab: RunningLab) -> None:
        script = (
            "import socket, time\n"
            "all = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)"
            " for _ in range(40)]\n"
            "for one in all: one.connect('/run/qubes/qrexec-agent')\n"
            "print('ready', flush=True); time.sleep(100)"
        )
        silent = lab.spawn("work", ["python3", "-c", script])
        try:
            assert silent.stdout is not None
            assert silent.stdout.readline() == "ready\n"
            with program_service(lab, "dom0", "test.Echo", ECHO):
                assert call(lab, "work", "dom0", "test.Echo").returncode == 0
                assert call(lab, "personal", "dom0", "test.Echo").returncode == 0
        finally:
            silent.kill()
            silent.communicate()
