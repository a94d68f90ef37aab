# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules as lines of the Admin API, and as QubesDB holds outbound rules.

The order of the elements of outbound rules is that of Qubes, byte for byte; that of
forwards is in the design, section 4.
"""

from __future__ import annotations

from qubesforward.errors import InvalidRule
from qubesforward.model.elements import collect_elements, parse_elements
from qubesforward.model.rule import ForwardRule, OutboundRule, Reach, Rule

LONGEST_LINE = 4096
"""Characters of one rule."""

LONGEST_TEXT = 16 * 2**20
"""Characters of a list of rules: far above 10,000 of them with long comments."""


def parse_rule(untrusted_line: str) -> Rule:
    """Read one line, without its line end; raise `InvalidRule` otherwise."""
    if len(untrusted_line) > LONGEST_LINE:
        raise InvalidRule(
            f"rule of {len(untrusted_line)} characters; at most {LONGEST_LINE} fit"
        )
    # The comment is last and takes all that is left, spaces too.
    untrusted_words, marker, untrusted_comment = f" {untrusted_line}".partition(
        " comment="
    )
    untrusted_pairs = []
    for untrusted_word in untrusted_words.split(" "):
        if not untrusted_word:
            continue
        untrusted_name, equals, untrusted_value = untrusted_word.partition("=")
        if not equals:
            raise InvalidRule(
                f"{untrusted_word[:40]!a}: give elements as NAME=VALUE, comment last"
            )
        untrusted_pairs.append((untrusted_name, untrusted_value))
    if marker:
        untrusted_pairs.append(("comment", untrusted_comment))
    return parse_elements(collect_elements(untrusted_pairs))


def parse_rules(untrusted_text: str) -> list[Rule]:
    """Read one rule a line, with or without a last line end.

    Raises `InvalidRule`, which names the line that it is about.
    """
    if len(untrusted_text) > LONGEST_TEXT:
        raise InvalidRule(
            f"rules of {len(untrusted_text)} characters; at most {LONGEST_TEXT} fit"
        )
    if not untrusted_text:
        return []
    rules = []
    # Not splitlines(): that one splits at more than line ends.
    untrusted_lines = untrusted_text.removesuffix("\n").split("\n")
    for number, untrusted_line in enumerate(untrusted_lines, 1):
        try:
            rules.append(parse_rule(untrusted_line))
        except InvalidRule as error:
            raise InvalidRule(f"line {number}: {error}") from None
    return rules


def format_rule(rule: Rule) -> str:
    """Write the API line of a rule, without a line end."""
    if isinstance(rule, ForwardRule):
        words = _format_forward(rule)
    else:
        words = [f"action={rule.action}"]
        if rule.expire is not None:
            words.append(f"expire={rule.expire}")
        words += _format_matches(rule)
    if rule.comment:
        words.append(f"comment={rule.comment}")
    return " ".join(words)


def format_enforced(rule: OutboundRule) -> str:
    """Write the QubesDB value of a rule: what the firewall needs of it."""
    return " ".join([f"action={rule.action}", *_format_matches(rule)])


def _format_matches(rule: OutboundRule) -> list[str]:
    words = []
    if rule.dsthost is not None:
        words.append(f"{rule.dsthost.kind}={rule.dsthost.text}")
    if rule.proto is not None:
        words.append(f"proto={rule.proto}")
    if rule.specialtarget is not None:
        words.append(f"specialtarget={rule.specialtarget}")
    if rule.dstports is not None:
        words.append(f"dstports={rule.dstports[0]}-{rule.dstports[1]}")
    if rule.icmptype is not None:
        words.append(f"icmptype={rule.icmptype}")
    return words


def _format_forward(rule: ForwardRule) -> list[str]:
    words = ["action=forward", f"forwardtype={rule.forwardtype}"]
    if rule.proto is not None:
        words.append(f"proto={rule.proto}")
    if rule.srchost is not None:
        words.append(f"src{rule.srchost.version}={rule.srchost}")
    words.append(f"srcports={rule.srcports}")
    if rule.dstports is not None:
        words.append(f"dstports={rule.dstports}")
    if rule.expire is not None:
        words.append(f"expire={rule.expire}")
    if rule.reach is not Reach.LAN:
        words.append(f"reach={rule.reach}")
    if rule.bypass:
        words.append("bypass=yes")
    if rule.disposables:
        words.append("disposables=yes")
    return words
