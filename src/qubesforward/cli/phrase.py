# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that remember what they were put together from.

On a terminal they are English text like any other. The windows put them together
again in the user's language, in which words may stand in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Say = Callable[[str], str]
"""Translates a text without its parts: ``port {0}``."""


class Phrase(str):
    """A text with numbered holes, and what is in them: data, or other phrases.

    The text has to stand in the call itself: that is where translators' files have
    it from. Whatever is made of a phrase by methods of `str` is no phrase any more.
    """

    template: str
    parts: tuple[str, ...]

    def __new__(cls, template: str, *parts: str) -> Phrase:
        """Put it together in English."""
        made = super().__new__(cls, template.format(*parts))
        made.template = template
        made.parts = parts
        return made

    def put(self, say: Say) -> str:
        """Return it as `say` would have each of its texts."""
        parts = [
            part.put(say) if isinstance(part, Phrase) else part for part in self.parts
        ]
        return say(self.template).format(*parts)


class Start(Phrase):
    """A phrase that begins a sentence."""

    def __new__(cls, phrase: str) -> Start:
        """Give it a capital letter."""
        made = str.__new__(cls, _capitalize(phrase))
        made.template = "{0}"
        made.parts = (phrase,)
        return made

    def put(self, say: Say) -> str:
        """Return it with a capital letter."""
        return _capitalize(super().put(say))


class Told(Phrase):
    """What another program said, in English: it may be one of the texts we know."""

    def __new__(cls, text: str) -> Told:
        """Take it as it is."""
        made = str.__new__(cls, text)
        made.template = text
        made.parts = ()
        return made

    def put(self, say: Say) -> str:
        """Return what `say` makes of it: that sees that it is no text with holes."""
        return say(self)


def put_in_row(phrases: Sequence[str], between: str) -> Phrase:
    """Write phrases one after another; `between` has no words."""
    holes = between.join(f"{{{number}}}" for number in range(len(phrases)))
    return Phrase(holes, *phrases)


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
