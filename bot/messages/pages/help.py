"""Help: one screen of commands, one page a command or metric, the list of metrics as buttons."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.alerts.grammar import WORDS
from bot.alerts.lexer import METRIC_WORDS
from bot.analytics.metrics import METRICS, RATIO_WORD, Metric, Parameter, metrics_of
from bot.analytics.valuation import CONVENTIONS
from bot.analytics.windows import EXAMPLES, AsOf
from bot.errors import BadInput
from bot.messages.common import DISCLAIMER, Answer, in_rows
from bot.messages.html import bold, capital, code, lines
from bot.pair import Pair
from bot.text import load_toml, nearest

_DATES = "Market commands take asof DATE (the market of that day) and known DATE (what was known by then)."
_MARKET_COMMANDS = {"compare", "trend", "flows", "multiples", "fundamentals", "why", "sectors", "chart"}
_EXAMPLES = ("ratio", "excess", "flow", "pe_premium")
_OPTIONS = " · ".join(word.usage for word in WORDS.values() if word.place == "option")
_BUTTONS_A_ROW = 3
_TERMS = {
    word: meaning.format(windows=EXAMPLES, dates=_DATES, options=_OPTIONS)
    for words, meaning in load_toml("bot.messages.pages", "terms.toml").items()
    for word in words.split(", ")
}


@dataclass(frozen=True)
class Entry:
    """One command as /help shows it."""

    name: str
    usage: str
    help: str
    example: str = field(default="", kw_only=True)  # by default the command alone

    def __post_init__(self) -> None:
        object.__setattr__(self, "example", self.example or f"/{self.name}")

    @property
    def users(self) -> str:
        """Who may use it, in words."""
        return "everybody"


PURPOSE = (
    "Who leads and by how much, whether the trend is breaking, where money moves, what is being paid and "
    "what moved it. And a message when that changes."
)


def described(pair: Pair) -> tuple[str, str, str]:
    """Return the bot's name, and what it is as an empty chat and as its profile show it.

    They have at most 64, 512 and 120 characters.
    """
    title = pair.fill("Small caps against large caps: {small} and {large}.")
    name, short = pair.fill("{small} vs {large} alerts"), "Performance, flows, valuation, alerts."
    return name, f"{title} {PURPOSE}\n\n{DISCLAIMER}", f"{title} {short}"


def metric_name(word: str) -> str:
    """Return the name of the metric that a word or two mean, "" for none: pe for "P/E", flow for "inflows"."""
    name = re.sub("[ -]", "_", word.lower().replace("/", ""))
    name = METRIC_WORDS.get(name, name)
    return name if name in METRICS else ""


def has_help(word: str) -> bool:
    """Return whether there is a page of help on a word other than a command."""
    return bool(metric_name(word)) or word.lower() in _TERMS or word.lower() in WORDS


def help_page(topic: str, entries: Sequence[Entry], pair: Pair, metrics: Mapping[str, Metric] | None = None) -> Answer:
    """Return all commands, or the page of a command, metric or other word. Raises BadInput for none.

    `metrics` are those of a Market, with the conventions that rules without any take; None for the usual.
    """
    word = topic.strip().lower().lstrip("/")
    if not word:
        return _overview(entries)
    by_name = {entry.name: entry for entry in entries}
    if word in by_name:
        return _command(by_name[word], pair)
    if word in METRICS:
        return _metric((metrics or metrics_of(pair))[word])
    if word in {"metrics", "metric"}:
        return metric_list(AsOf(), pair)
    if (term := WORDS.get(word) or WORDS.get(f"and {word}")) is not None:
        example = f"/alert {term.example}"
        html = lines(bold(term.usage), term.meaning, "Example: " + code(example))
        return Answer(html, buttons=((("Try it", f"/alert new {term.example}"), ("Rules", "/help alert")),))
    if word in _TERMS:
        return Answer(lines(bold(word), _TERMS[word]), buttons=((("Help", "/help"),),))
    near = nearest(word, [*by_name, *METRICS, *WORDS, *_TERMS])
    hint = f" Did you mean {near}?" if near else ""
    raise BadInput(f"There is no help on “{topic.strip()}”.{hint}", f"/help {near or ''}".strip())


def _overview(entries: Sequence[Entry]) -> Answer:
    commands = [f"{f'/{entry.name} {entry.usage}'.rstrip()}: {entry.help}" for entry in entries]
    html = lines(
        bold("Commands"),
        *commands,
        "",
        _DATES,
        f"Windows: {EXAMPLES}.",
        "Metrics: /help metrics. One in detail: " + code("/help excess"),
    )
    return Answer(html, buttons=((("Compare", "/compare"), ("Metrics", "/help metrics")),))


def _command(entry: Entry, pair: Pair) -> Answer:
    more: tuple[object, ...] = ()
    if entry.name == "alert":
        examples = (code(f"/alert {metrics_of(pair)[name].example}") for name in _EXAMPLES)
        more = ("", _TERMS["a rule"], *examples, _TERMS["an alert"])
    elif entry.name in _MARKET_COMMANDS:
        more = ("", _DATES, *([f"Windows: {EXAMPLES}."] if "window" in entry.usage else []))
    html = lines(
        bold(f"/{entry.name} {entry.usage}".rstrip()),
        f"{capital(entry.help)}.",
        "Example: " + code(entry.example),
        None if entry.users == "everybody" else f"Who may use it: {entry.users}.",
        *more,
    )
    return Answer(html, buttons=((("Try it", entry.example),),))


def _metric(metric: Metric) -> Answer:
    parameters = "; ".join(map(_parameter, metric.parameters))
    html = lines(
        bold(metric.name) + f" · {metric.title}",
        metric.meaning,
        "Formula: " + metric.formula,
        f"Unit: {metric.unit.words}.",
        f"Takes {parameters}." if parameters else None,
        "The figure of a session is known one session later." if metric.lag else None,
        "Alert: " + code(f"/alert {metric.example}"),
    )
    buttons = ((("Chart", f"/chart {metric.subject}"), ("Make an alert", f"/alert new {metric.name}")),)
    return Answer(html, buttons=buttons)


def _parameter(parameter: Parameter) -> str:
    *names, last = CONVENTIONS
    words = {
        "window": "a window",
        "count": f"a number of sessions, {parameter.low:,} to {parameter.high:,}",
        "fund": f"a fund, {' or '.join(parameter.words)}",
        "date": "since DATE",
        "convention": f"a convention, {', '.join(names)} or {last}",
    }[parameter.kind]
    default = str(parameter.default).lower().removeprefix("since ") or RATIO_WORD
    return words if parameter.default is None or parameter.required else f"{words} (default {default})"


def metric_list(as_of: AsOf, pair: Pair) -> Answer:
    """Return all metrics, one line each, and a button for each chart."""
    entries = [
        code(metric.name) + f" {metric.title}" + (f" ({metric.unit.symbol})" if metric.unit.symbol else "")
        for metric in metrics_of(pair).values()
    ]
    charts = [(metric.name, f"/chart {metric.subject}{as_of.suffix}") for metric in metrics_of(pair).values()]
    rows = in_rows(charts, _BUTTONS_A_ROW)
    return Answer(lines(bold("Metrics"), *entries, "", "Choose one to see its chart."), buttons=rows)
