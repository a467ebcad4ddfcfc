"""COMMANDS: the one table of commands. The menu, /help, the README and the handlers derive from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.analytics.metrics import METRICS
from bot.chat import admin, alert_commands, info, market_commands, privacy
from bot.chat.access import Role
from bot.chat.ask import Ask
from bot.chat.settings import changes_settings, on_settings
from bot.messages.common import Answer
from bot.messages.pages.help import Entry, help_page

Handler = Callable[[Ask], Awaitable[Answer]]


@dataclass(frozen=True)
class Command:
    """One command: what it is called, takes, answers, and who may change what with it."""

    name: str
    usage: str
    help: str
    example: str
    handler: Handler
    who: Role  # who may use it at all
    aliases: tuple[str, ...] = ()  # other names that are understood, not shown in the menu
    changes: Callable[[str], bool] | None = None  # whether these words change settings: administrators only

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

    @property
    def entry(self) -> Entry:
        """What the reference shows."""
        return Entry(self.name, self.usage, self.help, self.example, self.users)


async def on_help(ask: Ask) -> Answer:
    """/help: all commands, or one command or metric."""
    word = ask.text.lower().lstrip("/").partition("@")[0]
    command = None if word in METRICS else BY_NAME.get(word)
    return help_page(command.name if command else ask.text, entries(owner=ask.is_owner), ask.services.pair)


FORGET = "forgetme"
COMMANDS: tuple[Command, ...] = (
    Command("start", "", "what this bot does", "/start", info.on_start, Role.MEMBER),
    Command(
        "help",
        "[command or metric]",
        "every command, or one in detail",
        "/help alert",
        on_help,
        Role.MEMBER,
    ),
    Command(
        "compare",
        "[window ...] [tr|price]",
        "who leads: returns of both funds, trend, flows, multiples",
        "/compare 3y since 2020-09-30",
        market_commands.on_compare,
        Role.MEMBER,
    ),
    Command(
        "trend",
        "[window]",
        "is the relative trend breaking",
        "/trend 5y",
        market_commands.on_trend,
        Role.MEMBER,
    ),
    Command("flows", "[window ...]", "is money moving", "/flows 3m", market_commands.on_flows, Role.MEMBER),
    Command(
        "multiples",
        "",
        "what is being paid, by convention and source",
        "/multiples",
        market_commands.on_multiples,
        Role.MEMBER,
        aliases=("multiple", "valuation", "valuations"),
    ),
    Command(
        "fundamentals",
        "[window]",
        "implied earnings, sales, cash flow and book per share",
        "/fundamentals 1y",
        market_commands.on_fundamentals,
        Role.MEMBER,
    ),
    Command(
        "why",
        "[window]",
        "what moved it: earnings, multiple, flows",
        "/why ytd",
        market_commands.on_why,
        Role.MEMBER,
    ),
    Command(
        "sectors",
        "",
        "what the funds hold, largest differences",
        "/sectors",
        market_commands.on_sectors,
        Role.MEMBER,
    ),
    Command(
        "chart",
        "METRIC [window]",
        "any metric as a picture",
        "/chart ratio_vs_sma 200 5y",
        market_commands.on_chart,
        Role.MEMBER,
        aliases=("charts", "plot"),
    ),
    Command(
        "alert",
        "RULE | ID [edit|snooze|pause|resume|renew|off|test|why|chart|history|back]",
        "tell me when a rule turns true",
        "/alert ratio > sma 200 confirm 2",
        alert_commands.on_alert,
        Role.MEMBER,
        changes=alert_commands.changes,
    ),
    Command(
        "backtest",
        "RULE [years]",
        "how often a rule fired, and what followed",
        "/backtest ratio > sma 200 10y",
        market_commands.on_backtest,
        Role.MEMBER,
    ),
    Command(
        "alerts",
        "[ID]",
        "this chat's alerts and where they stand",
        "/alerts",
        alert_commands.on_alerts,
        Role.MEMBER,
    ),
    Command("history", "[ID]", "what fired and when", "/history 1", alert_commands.on_history, Role.MEMBER),
    Command(
        "summary",
        "[now|on HH:MM|off|weekdays|daily]",
        "the daily message",
        "/summary on 18:30",
        info.on_summary,
        Role.MEMBER,
        changes=info.changes_summary,
    ),
    Command(
        "settings",
        "[zone|quiet|returns|theme|numbers]",
        "time zone, quiet hours, returns, charts, numbers",
        "/settings zone Europe/Berlin",
        on_settings,
        Role.MEMBER,
        aliases=("setting",),
        changes=changes_settings,
    ),
    Command(
        "status",
        "",
        "age of the data, how each source stands, restatements, queue",
        "/status",
        info.on_status,
        Role.MEMBER,
    ),
    Command(
        "about",
        "",
        "sources and definitions; not investment advice",
        "/about",
        info.on_about,
        Role.MEMBER,
    ),
    Command(
        "privacy",
        "",
        "what is stored about this chat, where, how long",
        "/privacy",
        privacy.on_privacy,
        Role.MEMBER,
    ),
    Command(
        "export",
        "",
        "all that is stored about this chat, as a file",
        "/export",
        privacy.on_export,
        Role.ADMIN,
    ),
    Command(
        FORGET,
        "",
        "delete all that is stored about this chat",
        "/forgetme",
        privacy.on_forgetme,
        Role.ADMIN,
        aliases=("forget",),
    ),
    Command(
        "admin",
        "[people|approve ID|reject ID|stats|backup|broadcast TEXT]",
        "who may use the bot, figures, a backup, a word to all",
        "/admin people",
        admin.on_admin,
        Role.OWNER,
    ),
)

BY_NAME: dict[str, Command] = {
    name: command for command in COMMANDS for name in (command.name, *command.aliases)
}


def entries(*, owner: bool = True) -> tuple[Entry, ...]:
    """What the reference shows of every command; to others than the owner, of those they may use."""
    return tuple(command.entry for command in COMMANDS if owner or command.who is not Role.OWNER)
