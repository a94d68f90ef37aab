# SPDX-License-Identifier: GPL-2.0-or-later
"""What the fields of the dialog stand for, and beside which one a problem belongs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from qubesforward.cli.status import ForwardStatus, State
from qubesforward.gui.forward_draft import (
    Case,
    Draft,
    Field,
    draft_of,
    place_problem,
    read_draft,
)
from qubesforward.model.rule import ForwardRule, ForwardType
from qubesforward.model.text import format_rule
from tests.model.rule_strategies import forwards

NOW = 1_790_000_000


def status(
    rule: ForwardRule, state: State = State.ACTIVE, why: str = ""
) -> ForwardStatus:
    return ForwardStatus(
        format_rule(rule), rule, "work", state, why, (), (), None, 0, 0, ()
    )


@pytest.mark.parametrize(
    ("draft", "line"),
    [
        (Draft(port="443"), "forwardtype=external proto=tcp srcports=443-443"),
        (Draft(port="HTTPS "), "forwardtype=external proto=tcp srcports=443-443"),
        (
            Draft(Case.QUBES, "53", proto="both", duration="reboot"),
            "forwardtype=internal srcports=53-53 expire=reboot",
        ),
        (
            Draft(Case.VPN, "8000-8010", "9000-9010", source="10.8.0.0/24"),
            "forwardtype=internal proto=tcp src4=10.8.0.0/24 srcports=8000-8010"
            " dstports=9000-9010",
        ),
        (
            Draft(port="80", inner="8080", duration="1h", internet=True, bypass=True),
            "forwardtype=external proto=tcp srcports=80-80 dstports=8080-8080"
            f" expire={NOW + 3600} reach=internet bypass=yes",
        ),
        # What is greyed out does not count.
        (
            Draft(Case.QUBES, "80", internet=True, bypass=True),
            "forwardtype=internal proto=tcp srcports=80-80",
        ),
    ],
)
def test_fields_stand_for_a_rule(draft: Draft, line: str) -> None:
    rule, problems = read_draft(draft, NOW)
    assert problems == {}
    assert rule is not None
    assert format_rule(rule) == f"action=forward {line}"


@pytest.mark.parametrize(
    ("draft", "field", "text"),
    [
        (Draft(port="80443"), Field.PORT, "ports are 1-65535"),
        (Draft(port="no-such-service"), Field.PORT, "no such port or service"),
        (Draft(port="443:8443"), Field.PORT, "a service, a port or a range"),
        (Draft(port="90-80"), Field.PORT, "above the last"),
        (Draft(port="80-89", inner="80-82"), Field.INNER, "do not fit"),
        (Draft(port="80", source="10.0.0"), Field.SOURCE, "'10.0.0': give"),
        (Draft(port="80", duration="25:99"), Field.DURATION, "give a time"),
        (Draft(port="80", duration="0s"), Field.DURATION, "no time"),
        (Draft(port="80", comment="ä"), Field.COMMENT, "cannot be used"),
    ],
)
def test_a_problem_stands_beside_its_field(
    draft: Draft, field: Field, text: str
) -> None:
    rule, problems = read_draft(draft, NOW)
    assert rule is None
    assert list(problems) == [field]
    assert text in problems[field]


def test_every_field_is_looked_at_even_if_one_is_wrong() -> None:
    draft = Draft(port="0", inner="x y", source="?", comment="ä", duration="soon")
    assert set(read_draft(draft, NOW)[1]) == set(Field) - {Field.CASE}


def test_nothing_typed_yet_is_no_problem() -> None:
    assert read_draft(Draft(port=" ", source="?"), NOW) == (None, {})


@given(forwards())
def test_a_forward_comes_back_from_its_fields_as_it_was(rule: ForwardRule) -> None:
    comment = rule.comment.strip()
    is_external = rule.forwardtype is ForwardType.EXTERNAL
    # Only what comes from outside can pass a tunnel on its way.
    rule = replace(rule, comment=comment, bypass=rule.bypass and is_external)
    if not is_external:
        rule = replace(rule, reach=ForwardRule(rule.forwardtype, rule.srcports).reach)
    assert read_draft(draft_of(status(rule)), NOW) == (rule, {})


def test_a_forward_that_a_tunnel_leads_to_is_shown_as_such() -> None:
    rule, _ = read_draft(Draft(Case.VPN, "80"), NOW)
    assert rule is not None
    assert draft_of(status(rule)).case is Case.QUBES
    assert draft_of(replace(status(rule), tunnels=("10.8.0.2",))).case is Case.VPN


@pytest.mark.parametrize(
    ("state", "field"),
    [
        (State.CONFLICT, Field.PORT),
        (State.REFUSED, Field.CASE),
        (State.UNREACHABLE, Field.CASE),
    ],
)
def test_what_the_daemon_objects_to_stands_beside_its_field(
    state: State, field: Field
) -> None:
    rule, _ = read_draft(Draft(port="80"), NOW)
    assert rule is not None
    assert place_problem(status(rule, state, "why")) == {field: "why"}
    assert place_problem(status(rule)) == {}
