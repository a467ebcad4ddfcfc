"""COMMANDS: the one table of commands. The menu, /help, the documentation and the handlers derive from it.

Their texts are in commands.toml.
"""

import re
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib.resources import files

from bot.alerts.lexer import METRIC_WORDS
from bot.analytics.metrics import METRICS
from bot.chat import admin, alert_commands, alert_edit, info, market_commands, privacy, start
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
_TEXTS = tomllib.loads(files("bot.chat").joinpath("commands.toml").read_text(encoding="utf-8"))


def _command(
    name: str, handler: Handler, *, role: Role = Role.MEMBER, changes: Callable[[str], bool] | None = None
) -> Command:
    texts = _TEXTS[name]
    usage, example = texts.get("usage", ""), texts.get("example", "")
    usage = usage.replace("ACTIONS", "|".join(alert_commands.ACTIONS))
    aliases = tuple(texts.get("aliases", ()))
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
