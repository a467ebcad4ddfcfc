"""Telegram in this process: one strict Bot API for the terminal and for tests, and the terminal's chat.

`BotApi` is the double, `LocalRequest` python-telegram-bot's way to it, `Terminal` one person's chat.
"""

from __future__ import annotations

from bot.local.botapi import BotApi
from bot.local.request import LocalRequest, NoRateLimiter
from bot.local.terminal import LOCAL_CHAT, PROMPT, Terminal, converse, printer, typed_lines

__all__ = [
    "LOCAL_CHAT",
    "PROMPT",
    "BotApi",
    "LocalRequest",
    "NoRateLimiter",
    "Terminal",
    "converse",
    "printer",
    "typed_lines",
]
