#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Declare the port forwards of a qube; runs in dom0."""

DOCUMENTATION = r"""
module: qubes_forward
short_description: Declare the port forwards of a qube
description:
  - Runs in dom0, where qubes-forward is installed, as a user of the group qubes.
  - What programs have asked their router for (NAT traversal) is left alone.
options:
  qube:
    description: The qube that is reached.
    type: str
    required: true
  state:
    description:
      - V(present), the forwards are there, as they are declared.
      - V(absent), everything that fits what is given is closed.
      - V(exact), the forwards are there, and the qube has no others.
    type: str
    choices: [present, absent, exact]
    default: present
  forwards:
    description: The forwards. With V(exact) the list may be empty.
    type: list
    elements: dict
    required: true
    suboptions:
      port:
        description: The port that is dialled, or FIRST-LAST.
        type: str
        required: true
      to:
        description: Where the service listens, if that is another port.
        type: str
      proto:
        description: Without it V(tcp), or any for what is to be absent.
        type: str
        choices: [tcp, udp, both]
      from:
        description: Who may connect, addresses or networks. Without it anyone.
        type: list
        elements: str
      internal:
        description: Open to qubes of the same netvm, not to the outside.
        type: bool
      until:
        description: V(2026-12-24 18:30), seconds since 1970, or V(reboot).
        type: str
      comment:
        description: A note, shown in listings.
        type: str
      reach:
        description: V(internet) asks the LAN's router too.
        type: str
        choices: [lan, internet]
      bypass_tunnel:
        description: May enter beside a VPN.
        type: bool
      disposables:
        description: Disposables made from the qube get it too.
        type: bool
  force:
    description: Add forwards though their port is taken; they wait for it.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: The web server of work
  qubes.forward.qubes_forward:
    qube: work
    forwards:
      - port: 443
        to: 8443
        from: [192.168.1.0/24]
"""

RETURN = r"""
forwards:
  description: The declared forwards with rule, state, reason and dial.
  type: list
  elements: dict
  returned: success, but not in check mode
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from qubesforward.errors import ForwardError
    from qubesforward.fleet.declaring import declare
except ImportError:
    declare = None

FORWARD = {
    "port": {"type": "str", "required": True},
    "to": {"type": "str"},
    "proto": {"type": "str", "choices": ["tcp", "udp", "both"]},
    "from": {"type": "list", "elements": "str"},
    "internal": {"type": "bool"},
    "until": {"type": "str"},
    "comment": {"type": "str"},
    "reach": {"type": "str", "choices": ["lan", "internet"]},
    "bypass_tunnel": {"type": "bool"},
    "disposables": {"type": "bool"},
}
ARGUMENTS = {
    "qube": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["present", "absent", "exact"],
        "default": "present",
    },
    "forwards": {
        "type": "list",
        "elements": "dict",
        "options": FORWARD,
        "required": True,
    },
    "force": {"type": "bool", "default": False},
}


def main():
    """Run as a module of Ansible."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    if declare is None:
        module.fail_json(msg=missing_required_lib("qubesforward"))
    asked = module.params
    try:
        done = declare(
            asked["qube"],
            asked["state"],
            asked["forwards"],
            force=asked["force"],
            check=module.check_mode,
        )
    except ForwardError as error:
        module.fail_json(msg=str(error) or "no such qube")
    for warning in done.warnings:
        module.warn(warning)
    change = done.change
    header = f"forwards of {asked['qube']}"
    module.exit_json(
        changed=bool(change),
        forwards=done.forwards,
        diff={
            "before_header": header,
            "after_header": header,
            "before": change.before,
            "after": change.after,
        },
    )


if __name__ == "__main__":
    main()
