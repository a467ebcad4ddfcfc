"""A rule: what it is, its one canonical text, and its JSON.

    rule      = condition { "and" condition } { option }
    condition = metric { argument } op target

Two rules are equal exactly when their canonical texts are. Both `parse_rule(str(rule))` and
`Rule.from_json(rule.to_json())` give the rule back.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.analytics.units import LEVEL, UNITS
from bot.analytics.windows import Window, parse_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.analytics.metrics import Argument

AMOUNT = "amount"
CROSSES = "crosses"
MALFORMED = (ValueError, LookupError, TypeError, AttributeError)  # what from_json raises for a damaged text
OPS = (">", "<", ">=", "<=", CROSSES)
ABOVE = frozenset({">", ">="})
# One unit per sign writes amounts; units that share a sign write alike.
_WRITERS = {unit.symbol: unit for unit in reversed(UNITS)}


@dataclass(frozen=True)
class Target:
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


@dataclass(frozen=True)
class Condition:
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


@dataclass(frozen=True)
class Rule:
    """Conditions that must all be true, and how the alert behaves; counts are sessions.

    confirm   true on that many judged sessions in a row before it fires
    rearm     level at which it re-arms; None takes the default band off the target
    cooldown  that many sessions after a fire, further fires are recorded and not sent
    once      done after its first fire
    until     last session that is judged
    silent    its message makes no sound
    urgent    it is told in quiet hours too; never together with `silent`
    """

    conditions: tuple[Condition, ...]
    confirm: int = 1
    rearm: float | None = None
    cooldown: int = 0
    once: bool = False
    until: dt.date | None = None
    urgent: bool = False
    silent: bool = False
    note: str = ""

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
        """JSON text that `from_json` reads back to an equal rule; options at their default are left out."""
        options = {
            "confirm": self.confirm if self.confirm != 1 else None,
            "rearm": self.rearm,
            "cooldown": self.cooldown or None,
            "once": self.once or None,
            "until": self.until.isoformat() if self.until else None,
            "urgent": self.urgent or None,
            "silent": self.silent or None,
            "note": self.note or None,
        }
        conditions = [_to_dict(condition) for condition in self.conditions]
        given = {name: value for name, value in options.items() if value is not None}
        return json.dumps({"conditions": conditions, **given}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Rule:
        """Rule of `to_json`."""
        options: dict[str, Any] = json.loads(text)
        conditions = tuple(_from_dict(fields) for fields in options.pop("conditions"))
        if "until" in options:
            options["until"] = dt.date.fromisoformat(options["until"])
        return cls(conditions, **options)


def subject_of(metric: str, arguments: Iterable[tuple[str, Argument]]) -> str:
    """A metric with its arguments as they are typed."""
    return " ".join(filter(None, [metric, *(_word(value) for _, value in arguments)]))


def _word(value: Argument) -> str:
    """An argument as it is typed: a window, a count, "since DATE", or a fund or convention in lower case."""
    if isinstance(value, dt.date):
        return f"since {value}"
    return str(value).lower()


def _to_dict(condition: Condition) -> dict[str, Any]:
    target = condition.target
    return {
        "metric": condition.metric,
        "arguments": [[name, _plain(value)] for name, value in condition.arguments],
        "op": condition.op,
        "target": [target.kind, target.value, target.unit],
    }


def _plain(value: Argument) -> int | str | dict[str, str]:
    """An argument for JSON; windows and dates say what they are."""
    if isinstance(value, Window):
        return {"window": str(value)}
    return {"date": value.isoformat()} if isinstance(value, dt.date) else value


def _argument(value: int | str | dict[str, str]) -> Argument:
    if not isinstance(value, dict):
        return value
    return parse_window(value["window"]) if "window" in value else dt.date.fromisoformat(value["date"])


def _from_dict(fields: dict[str, Any]) -> Condition:
    arguments = tuple((name, _argument(value)) for name, value in fields["arguments"])
    return Condition(fields["metric"], arguments, fields["op"], Target(*fields["target"]))
