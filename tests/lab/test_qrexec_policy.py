# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab's dom0 makes of policy, and the policy that is packaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.daemon.features import OURS
from qubesforward.errors import LabError, MalformedMessage
from qubesforward.lab.qrexec.judge import load_policy
from qubesforward.lab.qrexec.messages import (
    ServiceCall,
    decode_ended,
    decode_request,
    encode_request,
)
from qubesforward.lab.qrexec.policy import (
    Allowed,
    Denied,
    QubeInfo,
    Request,
    evaluate,
    parse_policy,
)
from qubesforward.lab.qubesd.relay import RELAY_METHODS

PACKAGED = Path(__file__).parents[2] / "packaging" / "qrexec"

SYSTEM = {
    "dom0": QubeInfo("AdminVM", frozenset(), running=True),
    "work": QubeInfo("AppVM", frozenset(("office", "created-by-dom0")), running=True),
    "personal": QubeInfo("AppVM", frozenset(), running=True),
    "vault": QubeInfo("AppVM", frozenset(("office",)), running=False),
    "debian": QubeInfo("TemplateVM", frozenset(), running=False),
}


def decide(text: str, source: str, target: str, service: str = "s+") -> str:
    """Return the target that is allowed, or an empty text."""
    name, _, argument = service.partition("+")
    request = Request(name, f"+{argument}", source, target)
    verdict = evaluate(parse_policy(text, "f"), request, SYSTEM)
    return verdict.target if isinstance(verdict, Allowed) else ""


# Rules, who calls whom, and who is called in the end; an empty text for nobody.
CASES = [
    ("", "work", "vault", ""),
    ("# s * * * allow\n\n  # another", "work", "vault", ""),
    ("s * work vault allow", "work", "vault", "vault"),
    ("s * work vault allow", "personal", "vault", ""),
    ("s * work vault allow", "work", "personal", ""),
    ("t * work vault allow", "work", "vault", ""),
    ("* * work vault allow", "work", "vault", "vault"),
    ("\ts\t*  work vault   allow \r\n", "work", "vault", "vault"),
    # The first that matches decides, whatever comes then.
    ("s * work vault deny\ns * * * allow", "work", "vault", ""),
    ("s * work vault allow\ns * * * deny", "work", "vault", "vault"),
    ("s * work vault ask\ns * * * allow", "work", "vault", ""),
    ("s * work vault ask default_target=vault", "work", "vault", ""),
    ("s * work @default ask target=vault user=root", "work", "", ""),
    # Keywords.
    ("s * @anyvm @anyvm allow", "work", "vault", "vault"),
    ("s * @anyvm @anyvm allow", "work", "dom0", ""),
    ("s * @anyvm @anyvm allow", "work", "@adminvm", ""),
    ("s * @anyvm @adminvm allow", "work", "dom0", "dom0"),
    ("s * @anyvm @adminvm allow", "work", "@adminvm", "dom0"),
    ("s * @anyvm dom0 allow", "work", "@adminvm", "dom0"),
    ("s * @anyvm @adminvm allow", "work", "vault", ""),
    ("s * * * allow", "work", "dom0", "dom0"),
    ("s * * * allow", "work", "vault", "vault"),
    ("s * @adminvm * allow", "work", "vault", ""),
    ("s * @tag:office @tag:office allow", "work", "vault", "vault"),
    ("s * @tag:office @anyvm allow", "personal", "vault", ""),
    ("s * @tag:offic @anyvm allow", "work", "vault", ""),
    ("s * @type:AppVM @type:TemplateVM allow", "work", "debian", "debian"),
    ("s * @type:AppVM @type:TemplateVM allow", "work", "vault", ""),
    ("s * @type:AppVM @type:AdminVM allow", "work", "dom0", ""),
    # Who asks for nobody, or for somebody who does not exist, gets the default.
    ("s * work @default allow target=vault", "work", "", "vault"),
    ("s * work @default allow target=vault", "work", "@default", "vault"),
    ("s * work @default allow target=vault", "work", "no-such-qube", "vault"),
    ("s * work @default allow target=vault", "work", "personal", ""),
    ("s * work @anyvm allow", "work", "", ""),
    ("s * work @anyvm allow", "work", "no-such-qube", ""),
    ("s * work no-such-qube allow", "work", "no-such-qube", ""),
    # Redirection.
    ("s * work @anyvm allow target=@adminvm", "work", "vault", "dom0"),
    ("s * work @anyvm allow target=dom0", "work", "vault", "dom0"),
    ("s * work @anyvm allow target=personal", "work", "vault", "personal"),
    ("s * work @anyvm allow target=no-such-qube", "work", "vault", ""),
    ("s * work @anyvm allow target=work", "work", "vault", ""),
    ("s * work @anyvm allow", "work", "work", ""),
    # Only what runs already.
    ("s * work @anyvm allow autostart=no", "work", "vault", ""),
    ("s * work @anyvm allow autostart=no", "work", "personal", "personal"),
    ("s * work @anyvm allow autostart=yes notify=no", "work", "vault", "vault"),
    ("s * work @adminvm allow autostart=no", "work", "dom0", "dom0"),
    # Disposables are read, and not made.
    ("s * work @dispvm allow", "work", "@dispvm", ""),
    (
        "s * work @dispvm:vault allow target=personal",
        "work",
        "@dispvm:vault",
        "personal",
    ),
    ("s * @dispvm:vault @dispvm:@tag:office allow", "work", "vault", ""),
    ("s * work @anyvm allow target=@dispvm:vault", "work", "vault", ""),
    ("s * work @anyvm allow", "work", "@dispvm:no-such-qube", ""),
    # What nobody can mean.
    ("s * * * allow", "work", "@anyvm", ""),
    ("s * * * allow", "work", "@tag:office", ""),
    ("s * * * allow", "work", "*", ""),
]


@pytest.mark.parametrize(("text", "source", "target", "called"), CASES)
def test_who_is_called(text: str, source: str, target: str, called: str) -> None:
    assert decide(text, source, target) == called


@pytest.mark.parametrize(
    ("rule", "service", "matches"),
    [
        ("s *", "s+a", True),
        ("s +", "s+", True),
        ("s +", "s+a", False),
        ("s +a", "s+a", True),
        ("s +a", "s+ab", False),
        ("s +a", "s+", False),
        ("s +a+b", "s+a+b", True),
        ("* *", "other+", True),
    ],
)
def test_argument(rule: str, service: str, matches: bool) -> None:
    called = decide(f"{rule} work vault allow", "work", "vault", service)
    assert called == ("vault" if matches else "")


@pytest.mark.parametrize(
    "line",
    [
        "s",
        "s * work vault",
        "s * work vault permit",
        "s a work vault allow",
        "s+a * work vault allow",
        "s/t * work vault allow",
        "s +a/b work vault allow",
        "* +a work vault allow",
        "s * @nobody vault allow",
        "s * @default vault allow",
        "s * @dispvm vault allow",
        "s * @dom0 vault allow",
        "s * @tag: vault allow",
        "s * @tag:@x vault allow",
        "s * @dispvm:@type:AppVM vault allow",
        "s * work @nobody allow",
        "s * work @default allow",
        "s * work vault allow user",
        "s * work vault allow nobody=yes",
        "s * work vault deny target=vault",
        "s * work vault allow default_target=vault",
        "s * work vault allow target=a target=b",
        "s * work vault allow target=",
        "s * work vault allow target=@anyvm",
        "s * work vault allow target=@default",
        "s * work vault allow target=@tag:office",
        "s * work vault allow target=*",
        "s * work vault allow autostart=maybe",
        "s * work vault allow # no comments here",
        "!include other.policy",
        "!compat-4.0",
    ],
)
def test_what_is_no_rule_is_said_with_its_place(line: str) -> None:
    with pytest.raises(LabError, match="^f:2: "):
        parse_policy(f"# one\n{line}\n", "f")


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                "s t * + +a work vault @anyvm @adminvm @default @tag:office allow"
                " deny ask target=vault dom0 # @dispvm autostart=no".split()
            ),
            max_size=7,
        ),
        max_size=6,
    ),
    st.sampled_from(["work", "personal"]),
    st.text(alphabet="@workvaultdisp:", max_size=12) | st.sampled_from(list(SYSTEM)),
)
def test_only_an_allow_that_names_it_allows(
    lines: list[list[str]], source: str, target: str
) -> None:
    text = "\n".join(" ".join(words) for words in lines)
    try:
        rules = parse_policy(text, "f")
    except LabError:
        return
    verdict = evaluate(rules, Request("s", "+", source, target), SYSTEM)
    if isinstance(verdict, Denied):
        # What was denied stays so without the rules that allow.
        kept = [rule for rule in rules if rule.action != "allow"]
        again = evaluate(kept, Request("s", "+", source, target), SYSTEM)
        assert isinstance(again, Denied)
        return
    assert any(rule.action == "allow" for rule in rules)
    assert verdict.target in SYSTEM
    assert verdict.target != source


@given(st.text())
def test_any_text_is_rules_or_an_error(text: str) -> None:
    try:
        rules = parse_policy(text, "f")
    except LabError:
        return
    assert len(rules) <= len(text.split())


@given(st.binary(max_size=600))
def test_any_message_is_a_call_or_an_error(message: bytes) -> None:
    try:
        request = decode_request(message, "work")
    except MalformedMessage:
        return
    assert request.source == "work"
    assert "/" not in request.service + request.argument
    assert decode_ended(message) is None


def test_a_call_is_told_as_it_was_made() -> None:
    request = decode_request(encode_request("a.B-c_d+e+f", "@dispvm:x"), "work")
    assert request == Request("a.B-c_d", "+e+f", "work", "@dispvm:x")
    request = decode_request(encode_request("s", ""), "work")
    assert request == Request("s", "+", "work", "")
    for words in (("s\0", "t"), ("s t", "u"), ("", "t"), ("s/t", "u"), ("ß", "t")):
        with pytest.raises(MalformedMessage):
            decode_request(encode_request(*words), "work")


@pytest.mark.parametrize(
    ("requested", "descriptor"),
    [
        ("", b"s+a work\0"),
        ("@adminvm", b"s+a work keyword adminvm\0"),
        ("vault", b"s+a work name vault\0"),
        ("@dispvm:vault", b"s+a work keyword dispvm:vault\0"),
    ],
)
def test_descriptor(requested: str, descriptor: bytes) -> None:
    assert ServiceCall("s", "+a", "work", requested).descriptor == descriptor


def copy_policy(target: Path) -> None:
    for path in (PACKAGED / "policy.d").iterdir():
        (target / path.name).write_bytes(path.read_bytes())


class TestPackaged:
    def test_every_netvm_can_ask_dom0_and_nobody_else(self) -> None:
        rules = load_policy(PACKAGED / "policy.d")
        for target, allowed in (("dom0", True), ("vault", False), ("", False)):
            request = Request("qubes.PortMapping", "+", "work", target)
            verdict = evaluate(rules, request, SYSTEM)
            assert isinstance(verdict, Allowed) == allowed

    def test_no_qube_gets_at_forwards_by_a_rule_of_the_system(self) -> None:
        stock = parse_policy("* * @anyvm * allow target=@adminvm", "90-stock.policy")
        rules = (*load_policy(PACKAGED / "policy.d"), *stock)
        new = {f"admin.vm.firewall.{verb}" for verb in ("Diagnose", "Grant", "Deny")}
        for method in {*RELAY_METHODS, *new}:
            for target in ("vault", "dom0", "no-such-qube"):
                asked = Request(method, "+forward", "work", target)
                assert isinstance(evaluate(rules, asked, SYSTEM), Denied), method
            outbound = Request(method, "+", "work", "vault")
            assert isinstance(evaluate(rules, outbound, SYSTEM), Allowed)

    def test_grants_of_old_formats_of_policy_came_before_the_deny(
        self, tmp_path: Path
    ) -> None:
        """Qubes reads /etc/qubes-rpc/policy by its 35-compat.policy."""
        copy_policy(tmp_path)
        line = "admin.vm.firewall.Set * work @anyvm allow target=dom0\n"
        (tmp_path / "35-compat.policy").write_text(line)
        for target in ("vault", "", "@dispvm"):
            asked = Request("admin.vm.firewall.Set", "+forward", "work", target)
            assert isinstance(evaluate(load_policy(tmp_path), asked, SYSTEM), Denied)

    @pytest.mark.parametrize("feature", sorted(OURS))
    @pytest.mark.parametrize("verb", ["Set", "Remove"])
    def test_who_restores_a_backup_let_its_programs_open_ports(
        self, verb: str, feature: str
    ) -> None:
        stock = parse_policy(
            f"admin.vm.feature.{verb} * work vault allow target=dom0", "85-stock.policy"
        )
        rules = (*load_policy(PACKAGED / "policy.d"), *stock)

        def judge(feature: str) -> object:
            method = f"admin.vm.feature.{verb}"
            asked = Request(method, f"+{feature}", "work", "vault")
            return evaluate(rules, asked, SYSTEM)

        assert isinstance(judge(feature), Denied)
        assert isinstance(judge("service.cups"), Allowed)

    def test_a_user_can_allow_it_in_a_file_before(self, tmp_path: Path) -> None:
        copy_policy(tmp_path)
        line = "admin.vm.firewall.Status +forward work vault allow target=dom0\n"
        (tmp_path / "30-user.policy").write_text(line)
        asked = Request("admin.vm.firewall.Status", "+forward", "work", "vault")
        verdict = evaluate(load_policy(tmp_path), asked, SYSTEM)
        assert verdict == Allowed("dom0", "vault")

    def test_every_call_about_forwards_is_a_service_and_is_denied(self) -> None:
        """Qubes looks for SERVICE+ARGUMENT first, so stock's own stay as they are."""
        links = {
            path.name: str(path.readlink())
            for path in (PACKAGED / "rpc").iterdir()
            if path.name.startswith("admin.")
        }
        assert set(links.values()) == {"/run/qubes-forwardd.sock"}
        denied = {
            f"{rule.service}{rule.argument}"
            for rule in load_policy(PACKAGED / "policy.d")
            if rule.action == "deny" and "firewall" in str(rule.service)
        }
        assert links.keys() == denied
        new = {"Diagnose", "Requests", "Grant", "Deny"}
        served = {*RELAY_METHODS, *(f"admin.vm.firewall.{verb}" for verb in new)}
        assert links.keys() == {f"{method}+forward" for method in served}

    def test_the_service_is_the_daemons_socket(self) -> None:
        link = PACKAGED / "rpc" / "qubes.PortMapping"
        assert str(link.readlink()) == "/run/qubes-forward/portmap.sock"
