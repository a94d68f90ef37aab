# SPDX-License-Identifier: GPL-2.0-or-later
"""libtorrent in a domain: what it is told of its ports, and a file that it shares."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.lab.standing import Standing
from tests.lab.traffic import Lab

# Every session knows the same torrent, made from the same bytes. Takes a line for each
# look, and answers with what there is to tell by then: successful and failed mappings,
# answers of PCP and NAT-PMP (which may come when libtorrent has given up, and are no
# success then, though it keeps and renews the port), peers, and the part that it has.
_SESSION = """
import json, os, sys, tempfile
import libtorrent as lt
words = json.loads(sys.argv[1])
content = bytes(range(256)) * 256
files = lt.file_storage()
files.add_file("shared", len(content))
maker = lt.create_torrent(files, piece_size=16384)
with tempfile.TemporaryDirectory() as place:
    with open(os.path.join(place, "shared"), "wb") as file:
        file.write(content)
    lt.set_piece_hashes(maker, place)
    if not words["seeds"]:
        os.unlink(os.path.join(place, "shared"))
    session = lt.session({
        "listen_interfaces": "0.0.0.0:%d" % words["port"],
        "enable_natpmp": words["maps"], "enable_upnp": words["maps"],
        "enable_dht": False, "enable_lsd": False,
        "enable_outgoing_tcp": words["proto"] == "tcp",
        "enable_outgoing_utp": words["proto"] == "udp",
        "alert_mask": lt.alert.category_t.port_mapping_notification
        | lt.alert.category_t.port_mapping_log_notification
        | lt.alert.category_t.peer_notification,
    })
    torrent = lt.add_torrent_params()
    torrent.ti, torrent.save_path = lt.torrent_info(maker.generate()), place
    flags = lt.torrent_flags
    torrent.flags &= ~(flags.auto_managed | flags.paused)
    handle = session.add_torrent(torrent)
    if words["peer"]:
        handle.connect_peer(tuple(words["peer"]))
    opened, failed, answers, peers = [], [], [], set()
    print("ready", flush=True)
    for line in sys.stdin:
        for alert in session.pop_alerts():
            text = alert.message()
            if isinstance(alert, lt.portmap_alert):
                words = text.split(" using ")[1].split(".")[0]
                proto, _, port = text.rpartition(" ")[2].partition("/")
                opened.append([words, proto.lower(), int(port)])
            elif isinstance(alert, lt.portmap_error_alert):
                failed.append(text)
            elif isinstance(alert, lt.incoming_connection_alert):
                peers.add(alert.endpoint[0])
            elif "<== port map" in text:
                answers.append(text.partition("protocol: ")[2].split()[0])
        told = opened, failed, answers, sorted(peers), handle.status().progress
        print(json.dumps(told), flush=True)
    del handle, session
"""


class Port(NamedTuple):
    """An outer port that libtorrent was told of: by which protocol, and for what."""

    via: str
    proto: str
    port: int


class Told(NamedTuple):
    """What a session knows. `answers` are the protocols of answers to PCP requests."""

    opened: set[Port]
    failed: list[str]
    answers: list[str]
    peers: list[str]
    has: float


class Session(Standing):
    """One session, which asks for its port by PCP, NAT-PMP and UPnP if it `maps`.

    One that has a `peer` downloads from there, by uTP if `proto` is ``udp``.
    """

    def __init__(
        self,
        lab: Lab,
        where: str,
        port: int,
        *,
        maps: bool = False,
        peer: tuple[str, int] | None = None,
        proto: str = "tcp",
    ) -> None:
        words = {"port": port, "maps": maps, "seeds": peer is None, "peer": peer}
        super().__init__(lab, where, _SESSION, json.dumps(words | {"proto": proto}))

    def look(self) -> Told:
        """Return what it knows now."""
        opened, *rest = self.ask(None)
        return Told({Port(*each) for each in opened}, *rest)
