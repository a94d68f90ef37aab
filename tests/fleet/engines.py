# SPDX-License-Identifier: GPL-2.0-or-later
"""The real engines in dom0 of a lab, as an administrator has set them up."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.running_lab import RunningLab

ROOT = Path(__file__).parents[2]
SALT = f"{sys.prefix}/salt/bin"
_COLLECTION = "/root/.ansible/collections/ansible_collections/qubes/forward"
_MINION = """
file_client: local
file_roots: {base: [%s]}
root_dir: /root/minion
id: dom0
"""


def write(lab: RunningLab, path: str, text: str) -> None:
    """Write a file of the lab's dom0."""
    script = 'mkdir -p "${1%/*}" && cat > "$1"'
    lab.check("dom0", "sh", "-c", script, "sh", path, input=text)


def install(lab: RunningLab) -> None:
    """Put the modules where their engines look for them."""
    for source in (ROOT / "fleet").rglob("*"):
        if source.is_file() and source.suffix in (".py", ".yml"):
            below = source.relative_to(ROOT / "fleet")
            first, *rest = below.parts
            place = _COLLECTION if first == "ansible" else "/root"
            write(lab, "/".join([place, *rest]), source.read_text())
    configure_salt(lab, "/root")
    run(lab, "salt-call", "--local", "saltutil.sync_all")


def configure_salt(lab: RunningLab, *roots: str) -> None:
    """Have Salt look for states and modules in these directories."""
    write(lab, "/root/minion.d/minion", _MINION % ", ".join(roots))


def run(
    lab: RunningLab, *argv: str, ok: bool = True, modules: str = f"{ROOT}/src"
) -> str:
    """Run a command of an engine in dom0, in /root; return what it printed.

    `modules` is where Python is to look for ours.
    """
    environment = [
        f"PATH={SALT}:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin",
        # Both engines run in dom0's own Python, where the package is installed.
        f"PYTHONPATH={modules}",
        "ANSIBLE_NOCOLOR=1",
        "ANSIBLE_LOCALHOST_WARNING=False",
    ]
    if argv[0] == "salt-call":
        argv = ("salt-call", "--config-dir=/root/minion.d", *argv[1:])
    command = ["sh", "-c", 'cd /root && exec env "$@"', "sh", *environment, *argv]
    done = lab.exec("dom0", command, timeout=120)
    assert (done.returncode == 0) == ok, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def ansible(
    lab: RunningLab, *words: str, ok: bool = True, **task: object
) -> dict[str, Any]:
    """Run the module as a task; return what it answered."""
    tasks: list[dict[str, object]] = [
        {
            "qubes.forward.qubes_forward": task,
            "register": "told",
            "ignore_errors": True,
        },
        {
            "copy": {"content": "{{ told | to_json }}", "dest": "/root/told.json"},
            "check_mode": False,
        },
    ]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    write(lab, "/root/one.yml", json.dumps([play]))
    run(lab, "ansible-playbook", *words, "one.yml")
    answer: dict[str, Any] = json.loads(lab.check("dom0", "cat", "/root/told.json"))
    assert answer["failed"] != ok, answer
    return answer


def salt(
    lab: RunningLab, function: str, *words: str, ok: bool = True, **state: object
) -> dict[str, Any]:
    """Apply one state; return what it answered."""
    declared = {
        "one": {f"qubes_forward.{function}": [{k: v} for k, v in state.items()]}
    }
    # JSON is YAML.
    write(lab, "/root/one.sls", json.dumps(declared))
    call = ["salt-call", "--local", "--out=json", "state.apply", "one", *words]
    told = run(lab, *call, "--retcode-passthrough", ok=ok)
    found = json.loads(told[told.index("{") : told.rindex("}") + 1])
    (answer,) = found["local"].values()
    return dict(answer)


def examples(page: str) -> tuple[Mapping[str, str], list[str]]:
    """Return the files that a page names and shows, and the commands it gives."""
    files = re.findall(r"`([\w.]+\.(?:yml|sls))`[^`]*\n```yaml\n(.*?)```", page, re.S)
    scripts = re.findall(r"```sh\n(.*?)```", page, re.S)
    return dict(files), [line for script in scripts for line in script.splitlines()]
