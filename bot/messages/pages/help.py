"""Help: one screen of commands, one page a command or metric, the list of metrics as buttons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.metrics import METRICS, metrics_of
from bot.analytics.valuation import CONVENTIONS
from bot.analytics.windows import EXAMPLES, AsOf
from bot.errors import BadInput
from bot.messages.common import DISCLAIMER, Answer, in_rows, page_buttons
from bot.messages.html import Html, bold, capital, code, lines
from bot.text import did_you_mean

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric, Parameter
    from bot.pair import Pair


_MOMENT = "Market commands take asof DATE (as the market was) and known DATE (as it was known)."
_OPTIONS = 'confirm N · rearm AMOUNT · cooldown N · once · until DATE · urgent · silent · note "..."'
_FIRES = (
    "Rules are evaluated on completed sessions. An alert fires when its rule turns true, then waits "
    "until the value is back past its re-arm level."
)
_A_ROW = 3


@dataclass(frozen=True)
class Entry:
    """One command as the reference shows it."""

    name: str
    usage: str
    help: str
    example: str
    users: str = "everybody"


def start_answer(pair: Pair) -> Answer:
    """The first screen: what the bot does, with examples as buttons."""
    html = lines(
        bold(pair.fill("Small caps against large caps: {small} and {large}")),
        "Who leads, by how much, is the trend breaking, is money moving, what is being paid, "
        "what moved it. And a message when that changes.",
        "",
        "Compare: " + code("/compare"),
        "Alert: " + code("/alert ratio > sma 200"),
        "Daily message: " + code("/summary on 18:30"),
        "All commands: /help",
        "",
        f"Every number carries its date and source. {DISCLAIMER}",
    )
    last = (*page_buttons(AsOf(), "Multiples", "What moved it"), ("Help", "/help"))
    return Answer(html, buttons=(page_buttons(AsOf(), "Compare", "Trend", "Flows"), last))


def help_page(topic: str, entries: Sequence[Entry], pair: Pair) -> Answer:
    """All commands, or the page of one command or metric. Raises BadInput for anything else."""
    word = topic.strip().lower().lstrip("/")
    if not word:
        return _overview(entries)
    by_name = {entry.name: entry for entry in entries}
    if word in by_name:
        return _command(by_name[word], pair)
    if word in METRICS:
        return _metric(metrics_of(pair)[word])
    if word in {"metrics", "metric"}:
        return metric_list(AsOf(), pair)
    hint = did_you_mean(word, [*by_name, *METRICS])
    raise BadInput(f"There is no help on “{topic.strip()}”. {hint}".strip(), "/help alert")


def _overview(entries: Sequence[Entry]) -> Answer:
    commands = [lines(Html("").join((f"/{e.name} {e.usage}".rstrip(), ": ", e.help))) for e in entries]
    html = lines(
        bold("Commands"),
        *commands,
        "",
        _MOMENT,
        f"Windows: {EXAMPLES}.",
        "Metrics: /help metrics. One in detail: " + code("/help excess"),
    )
    return Answer(html, buttons=((("Compare", "/compare"), ("Metrics", "/help metrics")),))


def _command(entry: Entry, pair: Pair) -> Answer:
    more: tuple[object, ...] = ()
    metrics = metrics_of(pair)
    if entry.name == "alert":
        more = (
            "",
            "A rule: metric, comparison (> < >= <= crosses), target.",
            "Targets: an amount, sma N, high N, low N, pct P. Join conditions with and.",
            f"Options: {_OPTIONS}",
            _FIRES,
            *(code(f"/alert {metrics[name].example}") for name in ("ratio", "excess", "flow", "pe_premium")),
            "Metrics: /help metrics. No rule in mind: /alert",
            "",
            "An alert by its number (/alert 1) shows all that can be done with it as buttons; in words, e.g.",
            "edit: /alert 1 edit confirm 2, or a whole rule behind edit",
            "snooze: /alert 1 snooze 1d (2h, 1w, until DATE, off)",
        )
    elif entry.name in {"compare", "trend", "flows", "multiples", "why", "chart"}:
        more = ("", _MOMENT, f"Windows: {EXAMPLES}.")
    html = lines(
        bold(f"/{entry.name} {entry.usage}".rstrip()),
        f"{capital(entry.help)}.",
        "Example: " + code(entry.example),
        None if entry.users == "everybody" else f"Who may use it: {entry.users}.",
        *more,
    )
    return Answer(html, buttons=((("Try it", entry.example),),))


def _metric(metric: Metric) -> Answer:
    parameters = [_kind(parameter) for parameter in metric.parameters]
    html = lines(
        bold(metric.name) + f" · {metric.title}",
        metric.meaning,
        "Formula: " + metric.formula,
        f"Unit: {metric.unit.words}.",
        "Takes " + "; ".join(parameters) + "." if parameters else None,
        "The figure of a session is known one session later." if metric.lag else None,
        "Alert: " + code(f"/alert {metric.example}"),
    )
    return Answer(
        html, buttons=((("Chart", f"/chart {metric.name}"), ("Make an alert", f"/alert new {metric.name}")),)
    )


def _kind(parameter: Parameter) -> str:
    default = f" (default {str(parameter.default).lower()})" if parameter.default is not None else ""
    match parameter.kind:
        case "window":
            return f"a window{default}"
        case "count":
            return f"a number of sessions, {parameter.low:,} to {parameter.high:,}{default}"
        case "fund":
            return f"a fund, {' or '.join(parameter.choices).lower()}{default}"
        case "date":
            return f"since DATE{default}"
    *names, last = CONVENTIONS
    return f"a convention, {', '.join(names)} or {last}{default}"


def metric_list(asked: AsOf, pair: Pair) -> Answer:
    """All metrics, one line each, and a button for each chart."""
    entries = [
        lines(Html("").join((code(m.name), f" {m.title}{f' ({m.unit.symbol})' if m.unit.symbol else ''}")))
        for m in metrics_of(pair).values()
    ]
    rows = in_rows([(name, f"/chart {name}{asked.suffix}") for name in METRICS], _A_ROW)
    return Answer(lines(bold("Metrics"), *entries, "", "Choose one to see its chart."), buttons=rows)
