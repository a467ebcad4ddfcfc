"""COMMANDS: the one table of commands. The menu, /help, the README and the handlers derive from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.analytics.metrics import METRICS
from bot.analytics.valuation import convention_for
from bot.chat import admin, alert_commands, info, market_commands, privacy
from bot.chat.access import Ask, Role
from bot.chat.settings import changes_settings, on_settings
from bot.messages.common import Answer
from bot.messages.pages.help import Entry, help_page

Handler = Callable[[Ask], Awaitable[Answer]]


@dataclass(frozen=True)
class Command(Entry):
    """One command: its entry in /help, its handler, and who may use it."""

    handler: Handler
    who: Role = Role.MEMBER  # who may use it at all
    aliases: tuple[str, ...] = ()  # other names that are understood, not shown in the menu
    changes: Callable[[str], bool] | None = None  # whether these words change something: administrators only

    @property
    def users(self) -> str:
        """Who may use it, in words."""
        if self.who is Role.MEMBER and self.changes is not None:
            return "everybody; in groups administrators change"
        return {
            Role.MEMBER: "everybody",
            Role.ADMIN: "everybody; in groups administrators",
            Role.OWNER: "the owner",
        }[self.who]


async def on_help(ask: Ask) -> Answer:
    """/help: all commands, or one command or metric."""
    word = ask.text.lower().lstrip("/").partition("@")[0]
    if word in METRICS:
        convention = convention_for(await ask.services.markets.current())
        return help_page(word, entries(owner=ask.is_owner), ask.services.pair, convention)
    command = BY_NAME.get(word)
    return help_page(command.name if command else ask.text, entries(owner=ask.is_owner), ask.services.pair)


FORGET = "forgetme"
COMMANDS: tuple[Command, ...] = (
    Command("start", "", "what this bot does", "/start", info.on_start),
    Command("help", "[command or metric]", "every command, or one in detail", "/help alert", on_help),
    Command(
        "compare",
        "[window ...] [tr|price]",
        "who leads: returns of both funds, trend, flows, multiples",
        "/compare 3y since 2020-09-30",
        market_commands.on_compare,
    ),
    Command("trend", "[window]", "is the relative trend breaking", "/trend 5y", market_commands.on_trend),
    Command("flows", "[window ...]", "is money moving", "/flows 3m", market_commands.on_flows),
    Command(
        "multiples",
        "",
        "what is being paid, by convention and source",
        "/multiples",
        market_commands.on_multiples,
        aliases=("multiple", "valuation", "valuations"),
    ),
    Command(
        "fundamentals",
        "[window]",
        "implied earnings, sales, cash flow and book per share",
        "/fundamentals 1y",
        market_commands.on_fundamentals,
    ),
    Command(
        "why", "[window]", "what moved it: earnings, multiple, flows", "/why ytd", market_commands.on_why
    ),
    Command(
        "sectors", "", "what the funds hold, largest differences", "/sectors", market_commands.on_sectors
    ),
    Command(
        "chart",
        "METRIC [window]",
        "any metric as a picture",
        "/chart ratio_vs_sma 200 5y",
        market_commands.on_chart,
        aliases=("charts", "plot"),
    ),
    Command(
        "alert",
        f"RULE | ID [{'|'.join(alert_commands.ACTIONS)}]",
        "tell me when a rule turns true",
        "/alert ratio > sma 200 confirm 2",
        alert_commands.on_alert,
        changes=alert_commands.changes,
    ),
    Command(
        "backtest",
        "RULE [years]",
        "how often a rule fired, and what followed",
        "/backtest ratio > sma 200 10y",
        market_commands.on_backtest,
    ),
    Command("alerts", "[ID]", "this chat's alerts and where they stand", "/alerts", alert_commands.on_alerts),
    Command("history", "[ID]", "what fired and when", "/history 1", alert_commands.on_history),
    Command(
        "summary",
        "[now|on HH:MM|off|weekdays|daily]",
        "the daily message",
        "/summary on 18:30",
        info.on_summary,
        changes=info.changes_summary,
    ),
    Command(
        "settings",
        "[zone|quiet|returns|theme|numbers]",
        "time zone, quiet hours, returns, charts, numbers",
        "/settings zone Europe/Berlin",
        on_settings,
        aliases=("setting",),
        changes=changes_settings,
    ),
    Command(
        "status",
        "",
        "age of the data, how each source stands, restatements, queue",
        "/status",
        info.on_status,
    ),
    Command("about", "", "sources and definitions; not investment advice", "/about", info.on_about),
    Command("privacy", "", "what is stored about this chat, where, how long", "/privacy", privacy.on_privacy),
    Command(
        "export",
        "",
        "all that is stored about this chat, as a file",
        "/export",
        privacy.on_export,
        who=Role.ADMIN,
    ),
    Command(
        FORGET,
        "",
        "delete all that is stored about this chat",
        "/forgetme",
        privacy.on_forgetme,
        who=Role.ADMIN,
        aliases=("forget",),
    ),
    Command(
        "admin",
        "[people|approve ID|reject ID|stats|backup|broadcast TEXT]",
        "who may use the bot, figures, a backup, a message to all",
        "/admin people",
        admin.on_admin,
        who=Role.OWNER,
    ),
)

BY_NAME: dict[str, Command] = {
    name: command for command in COMMANDS for name in (command.name, *command.aliases)
}


def entries(*, owner: bool = True) -> tuple[Command, ...]:
    """Return all commands, or those that others than the owner may use."""
    return tuple(command for command in COMMANDS if owner or command.who is not Role.OWNER)
