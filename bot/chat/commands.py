"""COMMANDS: the one table of commands. The menu, /help, the documentation and the handlers derive from it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bot.alerts.lexer import METRIC_WORDS
from bot.analytics.metrics import METRICS
from bot.chat import admin, alert_commands, info, market_commands, privacy, start
from bot.chat.access import Ask, Role
from bot.chat.settings import changes_settings, on_settings
from bot.messages.common import Answer, flow_steps
from bot.messages.html import lines
from bot.messages.pages.help import Entry, help_page
from bot.services import metrics_for

Handler = Callable[[Ask], Awaitable[Answer]]


@dataclass(frozen=True)
class Command(Entry):
    """One command: its entry in /help, its handler, and who may use it."""

    handler: Handler
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
    name = re.sub("[ -]", "_", word.replace("/", ""))
    name = METRIC_WORDS.get(name, name)
    if name not in METRICS:
        return help_page(word or ask.text, entries(owner=ask.is_owner), ask.services.pair)
    market = await ask.services.markets.current()
    page = help_page(name, entries(owner=ask.is_owner), ask.services.pair, metrics_for(market))
    steps = flow_steps(market, market.pair.tickers) if METRICS[name].part == "facts" else ()
    return replace(page, html=lines(page.html, *steps))


FORGET = "forgetme"
COMMANDS: tuple[Command, ...] = (
    Command("start", "", "what this bot does, and setting it up by taps", start.on_start, changes=start.changes_start),
    Command(
        "help",
        "[word]",
        "every command, or one word: a command, a metric, sma, pp, ...",
        on_help,
        example="/help alert",
    ),
    Command(
        "compare",
        "[window ...] [tr|price]",
        "who leads: returns of both funds, trend, flows, multiples",
        market_commands.on_compare,
        example="/compare 3y since 2020-09-30",
    ),
    Command("trend", "[window]", "whether the trend is breaking", market_commands.on_trend, example="/trend 5y"),
    Command(
        "seasons",
        "[window]",
        "what the ratio did in each calendar month",
        market_commands.on_seasons,
        example="/seasons 10y",
        aliases=("season", "seasonality"),
    ),
    Command("flows", "[window ...]", "net flows of both funds", market_commands.on_flows, example="/flows 3m"),
    Command(
        "multiples",
        "[kind]",
        "valuation multiples, by convention and source",
        market_commands.on_multiples,
        aliases=("multiple", "valuation", "valuations"),
    ),
    Command(
        "fundamentals",
        "[window]",
        "implied earnings, sales, cash flow and book per share",
        market_commands.on_fundamentals,
        example="/fundamentals 1y",
    ),
    Command(
        "why",
        "[window]",
        "what moved the prices: earnings, multiple, flows",
        market_commands.on_why,
        example="/why ytd",
    ),
    Command("sectors", "[groups]", "sector weights of both funds", market_commands.on_sectors),
    Command(
        "chart",
        "METRIC [window]",
        "the chart of any metric",
        market_commands.on_chart,
        example="/chart ratio_vs_sma 200 5y",
        aliases=("charts", "plot"),
    ),
    Command(
        "alert",
        f"RULE | ID [{'|'.join(alert_commands.ACTIONS)}]",
        "a message when a rule turns true",
        alert_commands.on_alert,
        example="/alert ratio > sma 200 confirm 2",
        changes=alert_commands.changes,
    ),
    Command(
        "backtest",
        "RULE [years]",
        "how often a rule would have fired, and what followed",
        market_commands.on_backtest,
        example="/backtest ratio > sma 200 10y",
    ),
    Command("alerts", "[ID]", "this chat's alerts and where they stand", alert_commands.on_alerts),
    Command("history", "[ID]", "what fired and when", alert_commands.on_history, example="/history 1"),
    Command(
        "summary",
        "[now|on HH:MM|off|weekdays|daily|weekly]",
        "the daily or weekly summary",
        info.on_summary,
        example="/summary on 18:30",
        changes=info.changes_summary,
    ),
    Command("pin", "[off]", "a pinned board that is kept up to date", info.on_pin, role=Role.ADMIN, aliases=("board",)),
    Command(
        "settings",
        "[zone|quiet|returns|theme|numbers]",
        "time zone, quiet hours, returns, charts, numbers",
        on_settings,
        example="/settings zone Europe/Berlin",
        aliases=("setting",),
        changes=changes_settings,
    ),
    Command("status", "", "age of the data, state of the sources, restatements, queue", info.on_status),
    Command("about", "", "sources and definitions; not investment advice", info.on_about),
    Command("privacy", "", "what is stored about this chat, where, how long", privacy.on_privacy),
    Command("export", "", "all that is stored about this chat, as a file", privacy.on_export, role=Role.ADMIN),
    Command(
        FORGET,
        "",
        "delete all that is stored about this chat",
        privacy.on_forgetme,
        role=Role.ADMIN,
        aliases=("forget",),
        changes=privacy.deletes,
    ),
    Command(
        "admin",
        "[people|approve ID|reject ID|stats|backup|accept|broadcast TEXT]",
        "who may use the bot, figures, a backup, a message to all",
        admin.on_admin,
        example="/admin people",
        role=Role.OWNER,
        changes=admin.changes,
    ),
)

BY_NAME: dict[str, Command] = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}


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
