"""A rule: what it is, its one canonical text, and its JSON.

    rule      = condition { "and" condition } { option }
    condition = metric { argument } op target

Two rules are equal exactly when their canonical texts are. Both `parse_rule(str(rule))` and
`Rule.from_json(rule.to_json())` give the rule back.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Self

import msgspec

from bot.analytics.units import LEVEL, UNITS
from bot.analytics.windows import Window, parse_window
from bot.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.analytics.metrics import Argument

AMOUNT = "amount"
CROSSES = "crosses"
OPS = (">", "<", ">=", "<=", CROSSES)
ABOVE = frozenset({">", ">="})
# One unit per sign writes amounts; units that share a sign write alike.
_WRITERS = {unit.symbol: unit for unit in reversed(UNITS)}


class JsonStruct(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A record that is stored as JSON text, without its fields at their defaults."""

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


class Condition(msgspec.Struct, frozen=True):
    """One comparison; `arguments` holds every parameter of the metric in the registry's order."""

    metric: str
    arguments: tuple[tuple[str, Argument], ...]
    op: str
    target: Target

    def __str__(self) -> str:
        return f"{self.subject} {self.op} {self.target}"

    @property
    def subject(self) -> str:
        """What is watched: the metric with its arguments, e.g. "flow iwm 5d"."""
        return subject_of(self.metric, self.arguments)


class RuleOptions(JsonStruct, frozen=True, kw_only=True):
    """How an alert behaves; counts are sessions.

    confirm   true on that many evaluated sessions in a row before it fires
    rearm     level at which it re-arms; None takes the default band off the target
    cooldown  that many sessions after a fire, further fires are recorded and not sent
    once      done after its first fire
    until     last session that is evaluated
    silent    its message makes no sound
    urgent    it is sent in quiet hours too; never together with `silent`
    """

    confirm: int = 1
    rearm: float | None = None
    cooldown: int = 0
    once: bool = False
    until: dt.date | None = None
    urgent: bool = False
    silent: bool = False
    note: str = ""


class Rule(RuleOptions, frozen=True):
    """Conditions that must all be true, and how the alert behaves."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        """Canonical text; options at their default are left out."""
        words = [" and ".join(str(condition) for condition in self.conditions)]
        if self.confirm != 1:
            words.append(f"confirm {self.confirm}")
        if self.rearm is not None:
            words.append(f"rearm {self.conditions[0].target.write(self.rearm)}")
        if self.cooldown:
            words.append(f"cooldown {self.cooldown}")
        if self.once:
            words.append("once")
        if self.until:
            words.append(f"until {self.until}")
        if self.urgent:
            words.append("urgent")
        if self.silent:
            words.append("silent")
        if self.note:
            words.append(f'note "{self.note}"')
        return " ".join(words)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal rule."""
        conditions = tuple(map(_StoredCondition.of, self.conditions))
        return _StoredRule(conditions, **_options(self)).to_json()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The rule of `to_json`; raises msgspec.DecodeError for any other text."""
        stored = _StoredRule.from_json(text)
        return cls(tuple(condition.condition for condition in stored.conditions), **_options(stored))


def _options(options: RuleOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in RuleOptions.__struct_fields__}


def subject_of(metric: str, arguments: Iterable[tuple[str, Argument]]) -> str:
    """A metric with its arguments as they are typed."""
    return " ".join(filter(None, [metric, *(_word(value) for _, value in arguments)]))


def _word(value: Argument) -> str:
    """An argument as it is typed: a window, a count, "since DATE", or a fund or convention in lower case."""
    if isinstance(value, dt.date):
        return f"since {value}"
    return str(value).lower()


class _StoredWindow(JsonStruct, frozen=True, tag="window"):
    text: str


class _StoredDate(JsonStruct, frozen=True, tag="date"):
    day: dt.date


class _StoredCondition(JsonStruct, frozen=True):
    """The JSON form of a condition, in which windows and dates are tagged."""

    metric: str
    arguments: tuple[tuple[str, int | str | _StoredWindow | _StoredDate], ...]
    op: str
    target: Target

    @classmethod
    def of(cls, condition: Condition) -> Self:
        arguments = tuple((name, _stored_argument(value)) for name, value in condition.arguments)
        return cls(condition.metric, arguments, condition.op, condition.target)

    @property
    def condition(self) -> Condition:
        arguments = tuple((name, _argument(value)) for name, value in self.arguments)
        return Condition(self.metric, arguments, self.op, self.target)


class _StoredRule(RuleOptions, frozen=True):
    conditions: tuple[_StoredCondition, ...]


def _stored_argument(value: Argument) -> int | str | _StoredWindow | _StoredDate:
    if isinstance(value, Window):
        return _StoredWindow(str(value))
    return _StoredDate(value) if isinstance(value, dt.date) else value


def _argument(value: int | str | _StoredWindow | _StoredDate) -> Argument:
    match value:
        case _StoredWindow(text=text):
            try:
                return parse_window(text)
            except BadInput as error:
                raise msgspec.ValidationError(str(error)) from error
        case _StoredDate(day=day):
            return day
    return value
