# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from qubesforward.nft.refusals import Surroundings, clean_reason, find_refusal
from tests.nft.entries import entry

CHAINS = frozenset(
    (family, f"custom-{name}") for family in (4, 6) for name in ("forward", "input")
)
OUTERMOST = Surroundings(False, {}, CHAINS)
INNER = Surroundings(True, {}, CHAINS)
VPN = Surroundings(True, {4: "tun0"}, CHAINS)


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("in=external", OUTERMOST),
        ("in=local", OUTERMOST),
        ("in=uplink", INNER),
        ("in=local", INNER),
        ("in=self", INNER),
        ("in=local", VPN),
        ("in=self", VPN),
        ("in=uplink src=::/0", VPN),
        ("in=uplink bypass=yes", VPN),
        ("in=uplink bypass=yes mapped=yes", VPN),
        ("in=serve src=10.137.0.5/32", OUTERMOST),
        ("in=serve src=10.137.0.5/32", VPN),
    ],
)
def test_a_qube_takes_what_fits_its_place(text: str, here: Surroundings) -> None:
    assert find_refusal(entry(text), here) is None


@pytest.mark.parametrize(
    ("text", "here", "reason"),
    [
        (
            "in=external",
            INNER,
            "in=external: this qube has an uplink, so it is not the outermost",
        ),
        ("in=uplink", OUTERMOST, "in=uplink: this qube has no uplink"),
        ("in=self", OUTERMOST, "in=self: this qube has no uplink"),
        (
            "in=answer src=10.137.0.1/32 proto=udp ports=1900",
            OUTERMOST,
            "in=answer: this qube has no uplink",
        ),
        ("in=uplink", VPN, "would bypass tunnel tun0"),
        ("in=uplink mapped=yes", VPN, "would bypass tunnel tun0"),
        (
            "in=external",
            Surroundings(False, {4: "wg0"}, CHAINS),
            "would bypass tunnel wg0",
        ),
        (
            "in=uplink",
            Surroundings(True),
            "no custom-forward chain in table ip qubes",
        ),
        (
            "in=self src=::/0",
            Surroundings(True, {}, CHAINS - {(6, "custom-input")}),
            "no custom-input chain in table ip6 qubes",
        ),
        (
            "in=serve src=10.137.0.5/32",
            Surroundings(False, {}, CHAINS - {(4, "custom-input")}),
            "no custom-input chain in table ip qubes",
        ),
    ],
)
def test_a_qube_refuses_what_does_not(
    text: str, here: Surroundings, reason: str
) -> None:
    assert find_refusal(entry(text), here) == reason


def test_reasons_are_one_short_line_of_printable_ascii() -> None:
    assert clean_reason("no\nsuch\tfile: \x1b[1m\u202e") == "no such file: ?[1m?"
    assert len(clean_reason("x" * 1000)) == 200
