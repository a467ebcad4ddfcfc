"""Errors whose message is fit to show the person who caused them.

BotError
├── ConfigError        the configuration cannot be used (every problem at once)
├── BadInput           what a person typed cannot be understood; names the word and a form that works
├── NoData             the question is fine, the stored data cannot answer it
├── ChartFailed            a picture cannot be made now
└── ImportRejected     a file was not taken in; nothing of it was stored
"""

from __future__ import annotations


class BotError(Exception):
    """Base of all errors that are shown to a person: `sentence` says why, `example` is a form that works."""

    def __init__(self, sentence: str, example: str = "") -> None:
        self.sentence = sentence
        self.example = example
        super().__init__(f"{sentence} Example: {example}" if example else sentence)


class ConfigError(BotError):
    """The configuration cannot be used; `problems` has one sentence per key."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class BadInput(BotError):
    """What was typed cannot be understood."""


class NoData(BotError):
    """The stored data cannot answer the question."""


class ChartFailed(BotError):
    """A picture cannot be made now; the text it belongs to stands."""


class ImportRejected(BotError):
    """A file was not imported; nothing of it was stored."""
