# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of the causes: written by people, shown with the measured numbers."""

from __future__ import annotations

FINDINGS = """## What was mended for it, and what the limits are

- **Sources.** Forwards for a source were all kept in an interval map, of which the
  kernel copies all elements at every change: two thirds of the time to load ten
  thousand were the one system call that sends them. Networks of /8, /16, /24, /32 and
  /48, /56, /64, /128 are looked up in hashes by their masked address now, with one rule
  for each length. Networks of other lengths, and ranges of ports, still need the
  interval map, so they load, close and connect slower; rows with a /23 show by how
  much.
- **Planning** started from nothing at every change. Now the last plan is kept, and
  only forwards that meet a changed one, directly or through others, are decided anew;
  what is published is compared only where a hop's entries changed. What remains at one
  change is going through the lists of qubes, and copying the set of a hop's entries.
- **Python's garbage collector** goes through everything that is being made again and
  again: about a quarter of the time of planning ten thousand forwards. The daemon lets
  it look less often (`daemon/garbage.py`), as the agent did already.
- **Cold load** of ten thousand: two thirds are the agent's reading of entries and its
  encoding of elements, in many small parts, and the kernel's taking them in, which is
  half of that; a third is QubesDB, which in the lab is in Python.
- **Throughput.** Translating alone, with the least rules that do it (*documented
  commands*), costs some hundredths of what plain routing carries; our table costs as
  much again. No part of it stands out: with the same forward, leaving out the look-up
  of the mark, its counters, the chains for tunnels, the chain for mappings or that for
  a target's answers, one at a time, in 22 rounds each, changed what passed of TCP by
  0.99 to 1.01 times. Of UDP, where every packet is small and pays for all hooks, the
  look-up of the mark took 3 hundredths, and the others nothing that could be told from
  the spread. It is the sum of five hooks in each of three qubes, for each of which
  there is a promise that it keeps: that what is closed is cut in mid-transfer.
- **Mappings a second.** Dom0's part is not the limit: with the gateway's lines played
  by the measuring process, it granted 8,300 a second, 99 of 100 within 0.4 ms. In the
  lab the client, the gateway, dom0, three agents and three QubesDBs share two
  processors, and each mapping is work for all of them. So what was granted is planned
  and published together once nothing more has followed for 20 ms, or after a second
  at the latest: a program that asks for one port does not notice, and one that asks
  for a thousand in a row is not held up by the publishing of the first hundreds.
  Before, passes came as often as they were short: 1,127 a second, and one answer in a
  hundred took 15 ms.
- **Windows** read the daemon's answers in the worker's thread now: of a thousand
  forwards it is a megabyte, and the overview stood still for it. Rows tell Qt of what
  changes by events only; age and traffic, which change with every look, are drawn with
  the rows that are seen. Before, each look made Qt ask for all cells of all rows.
- **Planning everything** is at its limit give or take the spread of the machine.
- **Outbound rules** are one chain for each qube, which is written anew when one rule
  changes; so one change costs as much as all.
- **Status** of ten thousand forwards is megabytes of JSON, because it tells every step
  of every path.
"""

_COPIED = "the kernel copies the interval map"
_WAY = "at 60,000, half is QubesDB's, in Python here (see above)"

EXPLAINED: dict[tuple[str, str, str], str] = {
    ("agent", "one less", "for a /23"): _COPIED,
    ("agent", "cold load", "for a /23"): _COPIED,
    ("agent", "cold load", "open to anyone"): _WAY,
    ("agent", "cold load", "for a /24"): _WAY,
    ("agent", "start with all there", "open to anyone"): _WAY,
    ("agent", "start with all there", "for a /24"): _WAY,
}
"""By part, what and side: why something grows faster than N log N."""
