# SPDX-License-Identifier: GPL-2.0-or-later
"""What one qube's firewall is, live, and the calls that change it. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from qubesforward.cli.status import Status, decode_plan, decode_status
from qubesforward.errors import ForwardError, InvalidRule
from qubesforward.gui.calls import Calls, OnAnswer, OnFailure
from qubesforward.gui.labels import Labels
from qubesforward.gui.look import Done, Look, may_change_paths
from qubesforward.gui.portmap_policy import FEATURES, PortmapPolicy, read_policy
from qubesforward.gui.talker import Read
from qubesforward.gui.words import say_error
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import ForwardRule, OutboundRule
from qubesforward.model.text import format_rule, parse_rules

_FIREWALL = "admin.vm.firewall."
_FORWARD = "forward"
_NO_FEATURE = "QubesFeatureNotFoundError"

_LOOK = 5000
"""Milliseconds between looks at counters, which no event tells."""

Refused = Callable[[str], None]
"""Is given why a change was not made."""


class QubeFirewall(QObject):
    """One qube's outbound rules, forwards and policy for programs.

    `status_read` has a `Status`; `outbound_read` the outbound rules; `policy_read` a
    `PortmapPolicy`; each comes at the start and whenever it may have changed. `failed`
    is what could not be read. All texts are as the daemon gave them. `labels` are those
    of any qubes.
    """

    status_read = pyqtSignal(object)
    outbound_read = pyqtSignal(object)
    policy_read = pyqtSignal(object)
    failed = pyqtSignal(str)

    def __init__(self, worker: Worker, qube: str, parent: QObject | None = None):
        super().__init__(parent)
        self.qube = qube
        self._worker = worker
        self._calls = Calls(worker, self)
        self.labels = Labels(worker, self)
        self._plan = 0
        self._features: dict[str, str] = {}
        self._status = Look(self._ask_status, self)
        self._outbound = Look(self._ask_outbound, self)
        self._policy = Look(self._ask_policy, self)
        self._counters = QTimer(self)
        self._counters.setInterval(_LOOK)
        self._counters.timeout.connect(self._status.wake)
        worker.happened.connect(self._note)
        worker.connected.connect(self._note_connection)
        worker.qubesd_heard.connect(self._wake_all)
        self._wake_all()

    def watch_counters(self, is_watching: bool) -> None:
        """Look at the counters now and then, while somebody sees them."""
        if is_watching:
            self._counters.start()
        else:
            self._counters.stop()

    def _wake_all(self) -> None:
        for look in (self._status, self._outbound, self._policy):
            look.wake()

    def _note_connection(self, is_connected: bool) -> None:
        if is_connected:
            self._wake_all()

    def _note(self, subject: str, name: str, _more: object) -> None:
        is_ours = subject == self.qube
        if name == "firewall-changed" and is_ours:
            self._outbound.wake()
        if "feature" in name and is_ours:
            self._policy.wake()
        if may_change_paths(name):
            self._status.wake()

    def _ask(
        self,
        name: str,
        arg: str,
        lines: Sequence[str],
        on_answer: OnAnswer,
        on_failure: OnFailure,
        read: Read = bytes,
    ) -> int:
        payload = "".join(f"{line}\n" for line in lines).encode("ascii", "replace")
        return self._calls.ask(
            _FIREWALL + name, self.qube, arg, payload, on_answer, on_failure, read
        )

    def _ask_status(self, done: Done) -> None:
        def take(status: Status) -> None:
            done()
            self.status_read.emit(status)

        fail = partial(self._tell_failed, done)
        self._ask("Status", _FORWARD, (), take, fail, decode_status)

    def _ask_outbound(self, done: Done) -> None:
        def take(content: bytes) -> None:
            done()
            self._decode(lambda: self.outbound_read.emit(_decode_outbound(content)))

        self._ask("Get", "", (), take, partial(self._tell_failed, done))

    def _decode(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ForwardError as error:
            self.failed.emit(say_error(error))

    def _tell_failed(self, done: Done, _kind: str, message: str) -> None:
        done()
        # Whoever cannot be reached is told of by the worker, once.
        if self._worker.is_connected:
            self.failed.emit(message)

    def _ask_policy(self, done: Done) -> None:
        found: dict[str, str] = {}
        left = set(FEATURES)

        def settle(name: str, value: str | None) -> None:
            left.discard(name)
            if value is not None:
                found[name] = value
            if not left:
                done()
                self._features = found
                self.policy_read.emit(read_policy(found))

        def fail(name: str, kind: str, message: str) -> None:
            settle(name, None)
            if kind != _NO_FEATURE and self._worker.is_connected:
                self.failed.emit(message)

        for name in FEATURES:
            self._calls.ask(
                "admin.vm.feature.Get",
                self.qube,
                name,
                b"",
                lambda content, name=name: settle(  # type: ignore[misc]
                    name, content.decode("utf-8", "replace")
                ),
                partial(fail, name),
            )

    def plan(
        self,
        rule: ForwardRule,
        instead: ForwardRule | None,
        on_plan: Callable[[Status], None],
        on_refused: Refused,
    ) -> None:
        """Ask what adding a forward would do; only the latest question is answered."""
        self.forget_plan()

        def take(content: bytes) -> None:
            try:
                on_plan(decode_plan(content, self.qube))
            except ForwardError as error:
                on_refused(say_error(error))

        lines = _addition(rule, instead, force=True)
        self._plan = self._ask(
            "Plan", _FORWARD, lines, take, lambda _kind, message: on_refused(message)
        )

    def forget_plan(self) -> None:
        """Have the last question about a plan not answered any more."""
        self._calls.drop(self._plan)

    def add(
        self,
        rule: ForwardRule,
        instead: ForwardRule | None,
        force: bool,
        done: Done,
        refused: Refused,
    ) -> None:
        """Add a forward, in place of another one if that is given."""
        self._change("Add", _FORWARD, _addition(rule, instead, force), done, refused)

    def remove(self, lines: Sequence[str], done: Done, refused: Refused) -> None:
        """Remove forwards by their lines: all of them, or none."""
        self._change("Remove", _FORWARD, lines, done, refused)

    def confirm(self, done: Done, refused: Refused) -> None:
        """Take a copied list as the qube's own."""
        self._change("Confirm", _FORWARD, (), done, refused)

    def set_outbound(
        self,
        rules: Sequence[OutboundRule],
        read: Sequence[OutboundRule],
        done: Done,
        changed: Callable[[], None],
        refused: Refused,
    ) -> None:
        """Replace the outbound rules if they are still as they were `read`.

        If they are not, nothing is written: `changed` is called, and they are told.
        """

        def fail(_kind: str, message: str) -> None:
            refused(message)

        def compare(content: bytes) -> None:
            try:
                present = _decode_outbound(content)
            except ForwardError as error:
                refused(say_error(error))
                return
            if present != list(read):
                changed()
                self.outbound_read.emit(present)
                return
            lines = [format_rule(rule) for rule in rules]
            self._change("Set", "", lines, done, refused)

        self._ask("Get", "", (), compare, fail)

    def set_policy(self, policy: PortmapPolicy, refused: Refused) -> None:
        """Set what programs of the qube may have; features that are so are left.

        One after the other, as long as nothing goes wrong: what limits comes first, so
        at no moment more is allowed than was meant.
        """
        changes = [
            (name, value)
            for name, value in policy.features().items()
            if value != self._features.get(name)
        ]
        self._set_features(changes, refused)

    def _set_features(
        self, changes: Sequence[tuple[str, str | None]], refused: Refused
    ) -> None:
        if not changes:
            self._policy.wake()
            return
        (name, value), *later = changes

        def go_on(_content: bytes) -> None:
            # Whoever chooses again before it is read anew does not set it twice.
            self._features.pop(name, None)
            if value is not None:
                self._features[name] = value
            self._set_features(later, refused)

        self._calls.ask(
            f"admin.vm.feature.{'Remove' if value is None else 'Set'}",
            self.qube,
            name,
            (value or "").encode("ascii", "replace"),
            go_on,
            lambda _kind, message: self._tell_refused(message, refused),
        )

    def _tell_refused(self, message: str, refused: Refused) -> None:
        refused(message)
        self._policy.wake()

    def _change(
        self, name: str, arg: str, lines: Sequence[str], done: Done, refused: Refused
    ) -> None:
        def take(_content: bytes) -> None:
            self._status.wake()
            done()

        def fail(_kind: str, message: str) -> None:
            refused(message)

        self._ask(name, arg, lines, take, fail)


def _addition(rule: ForwardRule, instead: ForwardRule | None, force: bool) -> list[str]:
    head = ["force=yes"] if force else []
    if instead is not None:
        head.append(f"instead={format_rule(instead)}")
    return [*head, format_rule(rule)]


def _decode_outbound(content: bytes) -> list[OutboundRule]:
    rules = parse_rules(content.decode("ascii", "replace"))
    outbound = [rule for rule in rules if isinstance(rule, OutboundRule)]
    if len(outbound) != len(rules):
        raise InvalidRule("the outbound rules hold forwards")
    return outbound
