# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy of dom0: which qube may call which service of which qube. No I/O.

This is what Qubes' policy format 5 has in common with the lab: rules, without
``!include`` and its like. Somebody has to be asked for ``ask``, and nobody is, so it
denies. Source of syntax and meaning: doc/ and qrexec/policy of qubes-core-qrexec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qubesforward.errors import LabError

ADMINVM, ANYVM, DEFAULT, ANY = "@adminvm", "@anyvm", "@default", "*"

_SERVICE = re.compile(r"[A-Za-z0-9_.-]+")
_ARGUMENT = re.compile(r"\+[A-Za-z0-9_.+-]*")
_TYPE, _TAG, _DISPVM, _DISPVM_TAG = "@type:", "@tag:", "@dispvm:", "@dispvm:@tag:"
_DISPVM_DEFAULT = "@dispvm"
# The longer one of two that begin alike comes first.
_PREFIXES = (_DISPVM_TAG, _DISPVM, _TYPE, _TAG)

# Which keywords may stand where. Anything that does not begin with @ is a name.
_SOURCES = frozenset((ADMINVM, ANYVM))
_TARGETS = frozenset((ADMINVM, ANYVM, DEFAULT, _DISPVM_DEFAULT))
_REDIRECTS = frozenset((ADMINVM, _DISPVM_DEFAULT))
_REQUESTS = frozenset((ADMINVM, DEFAULT, _DISPVM_DEFAULT))

_PARAMS = {
    "allow": frozenset(("target", "user", "notify", "autostart")),
    "ask": frozenset(("target", "default_target", "user", "notify", "autostart")),
    "deny": frozenset(("notify",)),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. None for `service` or `argument` is any; `where` is FILE:LINE.

    `redirect` is the ``target=`` of an action that has one.
    """

    service: str | None
    argument: str | None
    source: str
    target: str
    action: str
    redirect: str | None
    autostart: bool
    where: str


@dataclass(frozen=True, slots=True)
class QubeInfo:
    """What rules can ask about a qube."""

    klass: str
    tags: frozenset[str]
    running: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A call that a qube wants to make; `argument` has its plus sign.

    `source` is known from the hypervisor, all else is the qube's own words.
    """

    service: str
    argument: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call is made to `target`, the name of a qube or dom0.

    `requested` is what the service is told about the target that was asked for.
    """

    target: str
    requested: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The call is refused; `why` is for the log of dom0."""

    why: str


def parse_policy(text: str, file: str) -> tuple[Rule, ...]:
    """Read a policy file. Raises `LabError` for the first line that is no rule."""
    rules = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            rules.append(_parse_rule(words, f"{file}:{number}"))
    return tuple(rules)


def _parse_rule(words: Sequence[str], where: str) -> Rule:
    if words[0].startswith("!"):
        raise _wrong(where, words[0], "directives are not known in the lab")
    if len(words) < 5:
        raise _wrong(where, words[0], "a rule has five columns or more")
    service, argument, source, target, action, *params = words
    if action not in _PARAMS:
        raise _wrong(where, action, f"the actions are {', '.join(_PARAMS)}")
    given = _parse_params(params, action, where)
    redirect = given.get("target")
    rule = Rule(
        service=None if service == ANY else service,
        argument=None if argument == ANY else argument,
        source=_parse_token(source, _SOURCES, where),
        target=_parse_token(target, _TARGETS, where),
        action=action,
        redirect=redirect,
        autostart=given.get("autostart", "yes") == "yes",
        where=where,
    )
    _check_service(rule)
    if action == "allow" and rule.target == DEFAULT and redirect is None:
        raise _wrong(where, DEFAULT, "allowing it needs target=")
    return rule


def _check_service(rule: Rule) -> None:
    if rule.service is not None and not _SERVICE.fullmatch(rule.service):
        raise _wrong(rule.where, rule.service, "not the name of a service")
    if rule.argument is None:
        return
    if not _ARGUMENT.fullmatch(rule.argument):
        raise _wrong(rule.where, rule.argument, "an argument is * or begins with +")
    if rule.service is None:
        raise _wrong(rule.where, rule.argument, "service * has only argument *")


def _parse_params(params: Iterable[str], action: str, where: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for param in params:
        key, equals, value = param.partition("=")
        if not equals or key not in _PARAMS[action]:
            raise _wrong(where, param, f"not a parameter of {action}")
        if key in given:
            raise _wrong(where, param, "given twice")
        if key in ("target", "default_target"):
            value = _parse_token(value, _REDIRECTS, where)
        elif key != "user" and value not in ("yes", "no"):
            raise _wrong(where, param, "either yes or no")
        given[key] = value
    return given


def _parse_token(word: str, keywords: frozenset[str], where: str) -> str:
    """Check the name or keyword of a qube; `keywords` tells which column it is in."""
    if word == "dom0":
        return ADMINVM
    prefixes = (_DISPVM,) if keywords is _REDIRECTS else _PREFIXES
    prefix = next(filter(word.startswith, prefixes), "")
    known = _is_name(word.removeprefix(prefix)) or word in keywords
    if not known or (word == ANY and keywords is _REDIRECTS):
        raise _wrong(where, word, "nothing that can stand for a qube here")
    return word


def _is_name(text: str) -> bool:
    return bool(text) and not text.startswith("@")


def _wrong(where: str, text: str, why: str) -> LabError:
    return LabError(f"{where}: {text[:80]!a}: {why}")


def evaluate(
    rules: Iterable[Rule], request: Request, system: Mapping[str, QubeInfo]
) -> Allowed | Denied:
    """Decide about a call: the first rule that matches does."""
    requested = _read_target(request.target, system)
    if requested is None:
        return Denied("a target that there cannot be")
    for rule in rules:
        if (
            rule.service in (None, request.service)
            and rule.argument in (None, request.argument)
            and _matches(rule.source, request.source, system)
            and _matches(rule.target, requested, system)
        ):
            return _apply(rule, request, requested, system)
    return Denied("no rule is about it")


def _read_target(untrusted_target: str, system: Mapping[str, QubeInfo]) -> str | None:
    if untrusted_target in ("", DEFAULT):
        return DEFAULT
    if untrusted_target in ("dom0", ADMINVM):
        return ADMINVM
    if not untrusted_target.startswith("@"):
        # As Qubes does: a name that no qube has is as good as none.
        return untrusted_target if untrusted_target in system else DEFAULT
    base = untrusted_target.removeprefix(_DISPVM)
    if untrusted_target in _REQUESTS or base in system:
        return untrusted_target
    return None


def _matches(token: str, qube: str, system: Mapping[str, QubeInfo]) -> bool:
    if token == ANY:
        return True
    if token == ANYVM:
        return qube != ADMINVM
    info = system.get(qube)
    if token.startswith(_TYPE):
        return info is not None and info.klass == token.removeprefix(_TYPE)
    if token.startswith(_TAG):
        return info is not None and token.removeprefix(_TAG) in info.tags
    return token == qube


def _apply(
    rule: Rule, request: Request, requested: str, system: Mapping[str, QubeInfo]
) -> Allowed | Denied:
    if rule.action != "allow":
        return Denied(f"{rule.action} by {rule.where}")
    target = rule.redirect or requested
    if target == ADMINVM:
        return Allowed("dom0", requested)
    if target.startswith(_DISPVM_DEFAULT):
        return Denied(f"{rule.where}: disposables are not made by calls in the lab")
    info = system.get(target)
    if info is None:
        return Denied(f"{rule.where} allows it, but there is no target")
    if target == request.source:
        return Denied("a qube cannot call itself")
    if not rule.autostart and not info.running:
        return Denied(f"{rule.where} allows it, but not to start {target}")
    return Allowed(target, requested)
