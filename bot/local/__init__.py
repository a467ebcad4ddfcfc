"""Telegram played in the terminal: the same Application, with no token and no network.

`LocalTelegram` stands where the HTTP client would and answers the Bot API; `converse` feeds it what a
person types.
"""

from __future__ import annotations

from bot.local.limits import Unlimited
from bot.local.request import LOCAL_CHAT, LocalTelegram
from bot.local.terminal import PROMPT, converse, printer, typed_lines

__all__ = [
    "LOCAL_CHAT",
    "PROMPT",
    "LocalTelegram",
    "Unlimited",
    "converse",
    "printer",
    "typed_lines",
]
