"""COMMANDS: the one table of commands. The menu, /help, the documentation and the handlers derive from it.

Their texts are in commands.toml.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.alerts.grammar import nearest_rule, parse_rule, parse_subject
from bot.alerts.lexer import SENTENCE, without_request
from bot.analytics.metrics import METRICS, metrics_of
from bot.chat import admin, alert_commands, alert_edit, info, market_commands, privacy, start
from bot.chat.access import Ask, Role
from bot.chat.settings import changes_settings, on_settings
from bot.errors import BadInput
from bot.messages.common import Answer, flow_steps
from bot.messages.html import lines
from bot.messages.pages.help import Entry, has_help, help_page, metric_name
from bot.pair import Pair
from bot.services import metrics_for
from bot.services.questions import parse_question, plain_question, without_filler
from bot.text import load_toml


@dataclass(frozen=True)
class Command(Entry):
    """One command: its entry in /help, its handler, and who may use it."""

    handler: market_commands.Handler
    role: Role = Role.MEMBER  # who may use it at all
    aliases: tuple[str, ...] = ()  # other names that are understood, not shown in the menu
    changes: Callable[[str], bool] | None = None  # whether these words change something: administrators only

    @property
    def users(self) -> str:
        """Who may use it, in words."""
        if self.role is Role.MEMBER and self.changes is not None:
            return "everybody; in groups administrators change"
        return self.role.value


async def on_help(ask: Ask) -> Answer:
    """/help: all commands, or one command, metric or other word."""
    word = ask.text.lower().lstrip("/").partition("@")[0].strip("?! ")
    if (command := BY_NAME.get(word)) is not None:
        return help_page(command.name, entries(owner=ask.is_owner), ask.services.pair)
    if (name := metric_name(word)) not in METRICS:
        return help_page(word or ask.text, entries(owner=ask.is_owner), ask.services.pair)
    market = await ask.services.markets.current()
    page = help_page(name, entries(owner=ask.is_owner), ask.services.pair, metrics_for(market))
    steps = flow_steps(market, market.pair.tickers) if ask.is_owner and METRICS[name].part == "facts" else ()
    return replace(page, html=lines(page.html, *steps))


FORGET = "forgetme"
_TEXTS = load_toml("bot.chat", "commands.toml")


def _command(
    name: str,
    handler: market_commands.Handler,
    *,
    role: Role = Role.MEMBER,
    changes: Callable[[str], bool] | None = None,
) -> Command:
    texts = _TEXTS[name]
    usage, example = texts.get("usage", ""), texts.get("example", "")
    usage = usage.replace("ACTIONS", "|".join(alert_commands.ACTIONS))
    aliases = tuple(texts.get("aliases", ()))
    if handler.__module__ == market_commands.__name__:
        handler = market_commands.paged(name, handler)
    return Command(name, usage, texts["help"], handler, role, aliases, changes, example=example)


COMMANDS: tuple[Command, ...] = (
    _command("start", start.on_start, changes=start.changes_start),
    _command("help", on_help),
    _command("compare", market_commands.on_compare),
    _command("trend", market_commands.on_trend),
    _command("seasons", market_commands.on_seasons),
    _command("flows", market_commands.on_flows),
    _command("multiples", market_commands.on_multiples),
    _command("fundamentals", market_commands.on_fundamentals),
    _command("why", market_commands.on_why),
    _command("sectors", market_commands.on_sectors),
    _command("chart", market_commands.on_chart),
    _command("alert", alert_commands.on_alert, changes=alert_commands.changes),
    _command("backtest", market_commands.on_backtest),
    _command("alerts", alert_commands.on_alerts),
    _command("history", alert_commands.on_history),
    _command("snooze", alert_edit.on_snooze, changes=bool),
    _command("summary", info.on_summary, changes=info.changes_summary),
    _command("pin", info.on_pin, role=Role.ADMIN),
    _command("settings", on_settings, changes=changes_settings),
    _command("status", info.on_status),
    _command("about", info.on_about),
    _command("privacy", privacy.on_privacy),
    _command("export", privacy.on_export, role=Role.ADMIN),
    _command(FORGET, privacy.on_forgetme, role=Role.ADMIN, changes=privacy.deletes),
    _command("admin", admin.on_admin, role=Role.OWNER, changes=admin.changes),
)

BY_NAME: dict[str, Command] = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}


_SHORT_QUESTION = 2  # words behind a command that are taken as they are


def plain_request(text: str, pair: Pair, today: dt.date) -> tuple[str, str] | None:
    """Return the command and its words that words without a slash ask for, None if they ask for nothing.

    None creates an alert: a rule, or what may be meant as one, opens in the guide.
    """
    metrics, (name, _, words) = metrics_of(pair), text.partition(" ")
    command = BY_NAME.get(name.lower().strip("?!.,"))
    is_rule = without_request(text) != text
    with suppress(BadInput):
        is_rule = parse_rule(text, metrics, guesses=False) is not None
    if is_rule or (command is None and SENTENCE["rule"].search(text)):
        return ("alert", f"new {text}")
    if command is None:
        question = plain_question(text, pair, today)
        return _mentioned(text, pair, today) if question is None else ("compare", question)
    if command.handler is alert_commands.on_alert and first_step(f"alert {words}") == f"/alert new {words}":
        words = f"new {words}"
    elif command.changes is None and (text.endswith("?") or len(words.split()) > _SHORT_QUESTION):
        words = plain_question(words, pair, today) or ""
    return (command.name, words)


def _mentioned(text: str, pair: Pair, today: dt.date) -> tuple[str, str] | None:
    """Return the command for the alert, word, metric or command that a sentence mentions, None for none."""
    line, metrics = without_filler(text), metrics_of(pair)
    if (match := SENTENCE["alert"].search(text)) is not None:
        return ("alert", match[1])
    if match := SENTENCE["explain"].match(text):
        word = text[match.end() :].strip("?!. ").removesuffix(" mean")
        if has_help(word):
            return ("help", word)
    with suppress(BadInput):
        asked = parse_question(line, "/chart", pair, today, rest=True)
        parse_subject(" ".join(asked.rest), asked.windows, metrics)
        if text.lower() not in metrics and line not in BY_NAME:
            return ("chart", line)
    for command in filter(None, map(BY_NAME.get, line.split())):
        if command.role is Role.MEMBER:
            return (command.name, "")
    meant = nearest_rule(text, metrics) if text.endswith("?") else ""
    if not meant:
        return None
    condition = parse_rule(meant, metrics).conditions[0]  # its convention is left to the Market
    arguments = (str(value).lower() for kind, value in condition.arguments if kind != "convention")
    return ("chart", " ".join((condition.metric, *arguments)))


def first_step(line: str) -> str:
    """Return a command line that leads to `line` and changes nothing: there a change is confirmed.

    A rule opens in the guide, filled in; of other changes the words that make them are left out.
    """
    name, _, words = line.removeprefix("/").partition(" ")
    command = BY_NAME.get(name.lower())
    if command is None or command.changes is None or not command.changes(words):
        return line
    if command.handler is alert_commands.on_alert and not words.startswith(tuple("#0123456789")):
        return f"/{name} new {words}"
    while words and command.changes(words):
        words = words.rpartition(" ")[0]
    return f"/{name} {words}".strip()


def entries(*, owner: bool = True) -> tuple[Command, ...]:
    """Return all commands, or those that others than the owner may use."""
    return tuple(command for command in COMMANDS if owner or command.role is not Role.OWNER)
