"""Replies to what cannot be answered: mistakes, unknown commands, missing access, internal errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bot.alerts.grammar import parse_rule
from bot.analytics.registry import metrics_of
from bot.errors import BadInput, BotError
from bot.rendering.answer import Answer, Button
from bot.rendering.text import Html, bold, code, lines, strip_html
from bot.text import counted, nearest

if TYPE_CHECKING:
    from bot.pair import Pair

COMMANDS_PER_MINUTE = 30  # of one person; see Quota
FAILED = "Something failed here; it has been logged. Please try again."
UNUSABLE = "The bot's database cannot be used at the moment; please try again later."
ADMINISTRATORS_ONLY = "In a group only its administrators may do that."
OWNER_ONLY = "Only this bot's owner may use /admin, in their private chat with it."
MAX_TOAST_LENGTH = 200  # characters of the text of answerCallbackQuery
_MAX_QUOTE_LENGTH = 40
_LONG_QUOTE = re.compile("“([^“”]{80})[^“”]{20,}”")


class Denied(BotError):
    """The person may not use the bot. The message says how to get access."""

    def __init__(self, user_id: int, chat_id: int, *, asked: bool = False) -> None:
        super().__init__("This bot is private.")
        if asked:
            self.html = lines(
                "This bot is private. Its owner has been asked; if they agree, it says so here."
            )
            return
        self.html = lines("This bot is private. Its owner can let you in with your id: " + code(user_id))
        if user_id == chat_id < 0:
            self.html = lines(
                "This bot is private. Its owner can let this group in with its id: " + code(chat_id)
            )
        elif chat_id != user_id:
            self.html = lines(self.html, "or this group with its id: " + code(chat_id))


def error_answer(error: BotError) -> Answer:
    """An error as an answer: its sentence, and its example as text and as a button."""
    if isinstance(error, Denied):
        return Answer(error.html)
    line = error.example if error.example.startswith("/") else ""
    return Answer(
        lines(_clipped(error.sentence), "Example: " + code(error.example) if error.example else None),
        buttons=((("Try the example", line),),) if line else (),
    )


def _clipped(sentence: str) -> str:
    """The sentence with long quotations shortened."""
    return sentence if isinstance(sentence, Html) else _LONG_QUOTE.sub(r"“\1…”", sentence)


def unknown_command(name: str, words: str, known: Iterable[str], pair: Pair) -> Answer:
    """Answer an unknown command: suggest the nearest one, or what can be done with a metric or a rule."""
    if _is_rule(typed := f"{name} {words}", pair):
        html = lines(
            bold("That reads as a rule."), "To be told when it turns true: " + code(f"/alert {typed}")
        )
        buttons = (("Make it an alert", f"/alert {typed}"), ("Backtest", f"/backtest {typed}"))
        return Answer(html, buttons=(buttons,))
    word = name if len(name) <= _MAX_QUOTE_LENGTH else name[:_MAX_QUOTE_LENGTH] + "…"
    near = nearest(name.lstrip("/"), known)
    sentence = bold(f"“{word}” is not a command.") + (f" Did you mean /{near}?" if near else "")
    first: tuple[Button, ...] = ((f"/{near}", f"/{near}"),) if near else ()
    metric = metrics_of(pair).get(name.lower())
    if metric is None:
        return Answer(lines(sentence, "All commands: /help"), buttons=(first or (("Help", "/help"),),))
    rule = metric.example
    html = lines(sentence, f"{metric.name} is a metric ({metric.title}). Alert: " + code(f"/alert {rule}"))
    row = (("Alert", f"/alert {rule}"), ("Chart", f"/chart {metric.name}"), ("Help", f"/help {metric.name}"))
    return Answer(html, buttons=(first, row))


def _is_rule(text: str, pair: Pair) -> bool:
    """Whether the text is a rule, typed without a command."""
    try:
        parse_rule(text, metrics_of(pair))
    except BadInput:
        return False
    return True


def toast_text(answer: Answer) -> str | None:
    """The answer as plain text for a toast, or None if it is too long for one."""
    text = strip_html(answer.html)
    return text if len(text) <= MAX_TOAST_LENGTH else None


def rate_limit_notice(seconds: int) -> str:
    """What a person who has used up the quota is told."""
    wait = counted(seconds, "second")
    return f"That was more than {COMMANDS_PER_MINUTE} commands in a minute; please go on in {wait}."
