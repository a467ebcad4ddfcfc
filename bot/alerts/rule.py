"""Rules: their parts, their one canonical text, and their JSON.

    rule      = group { "or" group } { option }
    group     = condition { "and" condition }
    condition = metric { argument } op target

Two rules are equal exactly when their canonical texts are. Both `parse_rule(str(rule))` and
`Rule.from_json(rule.to_json())` give the rule back.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Self, TypeVar

import msgspec

from bot.analytics.metrics import Argument
from bot.analytics.units import LEVEL, UNITS
from bot.analytics.windows import Window

T = TypeVar("T")
AMOUNT = "amount"
CROSSES = "crosses"
OPS = (">", "<", ">=", "<=", CROSSES)
ABOVE = frozenset({">", ">="})
MIRROR = {">": "<", "<": ">", ">=": "<=", "<=": ">=", CROSSES: CROSSES}
# One unit per sign writes amounts; units that share a sign write alike.
_WRITERS = {unit.symbol: unit for unit in reversed(UNITS)}


class JsonStruct(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A record that is stored as JSON text, without its fields at their defaults. It has no cycles."""

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal record."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record of `to_json`; raises msgspec.DecodeError for any other text."""
        return msgspec.json.decode(text, type=cls)


class Target(JsonStruct, frozen=True):
    """What the metric is compared with.

    kind "amount"            value in the metric's unit; `unit` is that unit's sign ($, %, pp, x or "")
    kind "sma"               the metric's mean over the last `value` sessions, this one included
    kind "high" or "low"     its extreme over the `value` sessions before this one
    kind "pct"               its `value`-th percentile over all sessions before this one
    """

    kind: str
    value: float
    unit: str = ""

    def __str__(self) -> str:
        """Canonical text: "$1bn", "-2pp", "sma 200", "pct 97.5"."""
        if self.kind == AMOUNT:
            return self.write(self.value)
        return f"{self.kind} {LEVEL.write(self.value)}"

    def write(self, value: float) -> str:
        """Canonical text of another amount in the same unit."""
        return _WRITERS[self.unit].write(value)


class Condition(JsonStruct, frozen=True):
    """One comparison; `arguments` holds every parameter of the metric in the registry's order."""

    metric: str
    arguments: tuple[tuple[str, int | str | Window], ...]
    op: str
    target: Target

    def __str__(self) -> str:
        return f"{self.subject} {self.op} {self.target}"

    @property
    def subject(self) -> str:
        """The metric with its arguments, e.g. "flow iwm 5d"."""
        return subject_of(self.metric, self.arguments)


def subject_of(metric: str, arguments: Iterable[tuple[str, Argument]]) -> str:
    """A metric with its arguments as they are typed."""
    return " ".join(filter(None, [metric, *(str(value).lower() for _, value in arguments)]))


class Rule(JsonStruct, frozen=True):
    """Groups of conditions, one of which must be true as a whole, and how the alert behaves.

    or_at     positions of the conditions with which another group begins
    confirm   true on that many evaluated sessions in a row before it fires; all counts are sessions
    rearm     level at which it re-arms; None takes the default band off the target
    cooldown  that many sessions after a fire, further fires are recorded and not sent
    remind    every so many sessions while it is still true, a reminder until it is acknowledged; 0 for none;
              never together with `once`
    back      one more message when it re-arms
    once      done after its first fire, and after the message that it re-armed
    until     last session that is evaluated
    urgent    sent in quiet hours too; never together with `silent`
    silent    its message makes no sound
    """

    conditions: tuple[Condition, ...]
    or_at: tuple[int, ...] = ()
    confirm: int = 1
    rearm: float | None = None
    cooldown: int = 0
    remind: int = 0
    back: bool = False
    once: bool = False
    until: dt.date | None = None
    urgent: bool = False
    silent: bool = False
    note: str = ""

    @property
    def bare(self) -> "Rule":
        """The rule without options."""
        return Rule(self.conditions, self.or_at)

    def grouped(self, items: Sequence[T]) -> list[Sequence[T]]:
        """Items, one for each condition, by the groups of these."""
        if not self.or_at:  # mostly, and many times a run
            return [items]
        edges = (0, *self.or_at, len(items))
        return [items[begin:end] for begin, end in pairwise(edges)]

    def joined(self, phrases: Sequence[str], outer: str = "or", inner: str = "and") -> str:
        """Phrases, one for each condition, joined by a word between groups and one within them."""
        return f" {outer} ".join(f" {inner} ".join(group) for group in self.grouped(phrases))

    def __str__(self) -> str:
        """Canonical text; options at their default are left out."""
        words = (
            self.joined(list(map(str, self.conditions))),
            f"confirm {self.confirm}" if self.confirm != 1 else "",
            "" if self.rearm is None else f"rearm {self.conditions[0].target.write(self.rearm)}",
            f"cooldown {self.cooldown}" if self.cooldown else "",
            f"remind {self.remind}" if self.remind else "",
            "and back" if self.back else "",
            "once" if self.once else "",
            f"until {self.until}" if self.until else "",
            "urgent" if self.urgent else "",
            "silent" if self.silent else "",
            f'note "{self.note}"' if self.note else "",
        )
        return " ".join(filter(None, words))
