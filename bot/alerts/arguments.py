"""Arguments of a metric: each word goes to the first free parameter of its kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bot.alerts.reading import Tokens, choices, nearest, read_count
from bot.alerts.rule import OPS
from bot.analytics.windows import Window, parse_date, parse_window
from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Argument, Metric, Parameter

_DATED = re.compile(r"(?:since )?([0-9]{4}-[0-9]{2}-[0-9]{2})")
_WINDOW_START = re.compile(r"[0-9]|since$")
COMPARISON = f"a comparison ({', '.join(OPS)})"
_COMPARING = ("above", "below", "over", "under", "crosses")


def read_arguments(
    metric: Metric, funds: list[str], tokens: Tokens, registry: Mapping[str, Metric]
) -> tuple[tuple[str, Argument], ...]:
    """Read the arguments up to the comparison, in the registry's order, with defaults filled in.

    `funds` were typed before the metric ("iwm inflows 5d"). Raises BadInput.
    """
    given: dict[str, Argument] = {}
    for fund in funds:
        if not _fill(metric, given, fund.lower()):
            raise BadInput(f"“{fund}” does not go with {metric.name}.", metric.example)
    while tokens.text not in OPS:
        width = next((width for width in (2, 1) if _fill(metric, given, tokens.ahead(width))), 0)
        if not width:
            raise _unfit(metric, given, tokens, registry)
        tokens.take(width)
    return tuple((parameter.name, _value(metric, parameter, given)) for parameter in metric.parameters)


def _value(metric: Metric, parameter: Parameter, given: Mapping[str, Argument]) -> Argument:
    value = given.get(parameter.name, parameter.default)
    if value is None:
        raise BadInput(f"{metric.name} needs {describe(parameter)}.", metric.example)
    return value


def _fill(metric: Metric, given: dict[str, Argument], text: str) -> bool:
    """Assign the text to the first free parameter of its kind. Returns False when there is none."""
    for parameter in metric.parameters:
        if parameter.name not in given and (value := _read(parameter, text)) is not None:
            given[parameter.name] = value
            return True
    return False


def _read(parameter: Parameter, text: str) -> Argument | None:
    """The text as an argument; None if it is not of the parameter's kind or is out of range."""
    match parameter.kind:
        case "count":
            return read_count(text, parameter.low, parameter.high)
        case "window":
            window = _or_none(parse_window, text)
            fits = not parameter.counted or (isinstance(window, Window) and window.counted)
            return window if fits else None
        case "date":
            dated = _DATED.fullmatch(text)
            return _or_none(parse_date, dated[1]) if dated else None
    return {name.lower(): name for name in parameter.choices}.get(text.replace(" ", "_"))


def _or_none(parse: Callable[[str], Argument], text: str) -> Argument | None:
    try:
        return parse(text)
    except BadInput:
        return None


def describe(parameter: Parameter) -> str:
    """What a parameter expects, for messages."""
    match parameter.kind:
        case "count":
            return f"a number of sessions from {parameter.low} to {parameter.high}"
        case "window":
            return "a window (5d, 1w, 3m, 1y)" if parameter.counted else "a window (5d, 3m, ytd)"
        case "date":
            return "a date (since 2010-01-04)"
    return f"a {parameter.kind} ({choices([name.lower() for name in parameter.choices])})"


def _unfit(
    metric: Metric, given: Mapping[str, Argument], tokens: Tokens, registry: Mapping[str, Metric]
) -> BadInput:
    """The error for a word that is neither an argument nor a comparison."""
    free = [parameter for parameter in metric.parameters if parameter.name not in given]
    expected = choices([*map(describe, free), COMPARISON])
    if not tokens.text:
        return BadInput(f"The rule stops after “{tokens.before}”; expected {expected}.", metric.example)
    if any(parameter.kind in {"window", "date"} for parameter in free) and _WINDOW_START.match(tokens.text):
        text = tokens.ahead(2) if tokens.text == "since" else tokens.text
        try:
            parse_window(text)
        except BadInput as err:
            return BadInput(err.sentence, metric.example)
    return _near_miss(metric, free, tokens, registry) or BadInput(
        f"“{tokens.typed}” is not understood after “{tokens.before}”; expected {expected}.", metric.example
    )


def _near_miss(
    metric: Metric, free: list[Parameter], tokens: Tokens, registry: Mapping[str, Metric]
) -> BadInput | None:
    """The error for a misspelt comparison or argument, or for a misspelt second half of the metric's name."""
    problem = f"“{tokens.typed}” is not understood after “{tokens.before}”. Did you mean"
    known = [*_COMPARING, *(name.lower() for parameter in free for name in parameter.choices)]
    if near := nearest(tokens.text, known):
        return BadInput(f"{problem} {near}?", metric.example)
    start = f"{metric.name}_"
    endings = {name.removeprefix(start): name for name in registry if name.startswith(start)}
    if near := nearest(tokens.text, endings):
        return BadInput(f"{problem} {endings[near]}?", registry[endings[near]].example)
    return None
