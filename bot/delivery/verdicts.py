"""What a failed request means: one table from python-telegram-bot's errors to verdicts.

BadRequest is a subclass of NetworkError, and so is TimedOut: the order of the table counts. Whether a
connection was ever made stands in the error's cause, an error of httpx.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)


class Verdict(Enum):
    """What became of a message, and what to do about it."""

    LATER = "not delivered: again, with back-off"
    UNKNOWN = "perhaps delivered"
    HALTED = "not delivered: not before the time that Telegram names"
    LEFT = "not delivered: the bot may not write to this chat"
    MIGRATED = "not delivered: the chat has another id"
    PLAIN = "not delivered: once more as plain text"
    NO_TOPIC = "not delivered: once more without the topic"
    NO_PHOTO = "not delivered: once more without the picture"
    NOTHING = "nothing to do"
    DEAD = "not delivered, and never will be"
    PAUSED = "not delivered: nothing can be sent with this token now"


@dataclass(frozen=True)
class Rule:
    """Errors of a kind, of these causes if any are given, whose text matches."""

    kind: type[TelegramError]
    verdict: Verdict
    says: str = ""
    causes: tuple[type[Exception], ...] = ()

    def fits(self, error: BaseException) -> bool:
        """Whether the rule is about this error."""
        caused = not self.causes or isinstance(error.__cause__, self.causes)
        return (
            isinstance(error, self.kind) and caused and bool(re.search(self.says, str(error), re.IGNORECASE))
        )


# No byte of the message has left: no connection was made, or none was free.
UNCONNECTED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
GONE = (
    "chat not found|not enough rights|have no rights to send|CHAT_WRITE_FORBIDDEN|CHAT_SEND_PLAIN_FORBIDDEN"
    "|PEER_ID_INVALID|group chat was deactivated|user is deactivated|need administrator rights"
)
BAD_PHOTO = (
    "rights to send photos|CHAT_SEND_(PHOTOS|MEDIA)_FORBIDDEN|IMAGE_PROCESS_FAILED|PHOTO_INVALID|PHOTO_SAVE"
    "|wrong file identifier|file must be non-empty|caption is too long"
)
RULES = (
    Rule(RetryAfter, Verdict.HALTED),
    Rule(ChatMigrated, Verdict.MIGRATED),
    Rule(Forbidden, Verdict.LEFT),
    Rule(InvalidToken, Verdict.PAUSED),
    Rule(Conflict, Verdict.PAUSED),
    Rule(BadRequest, Verdict.NO_PHOTO, BAD_PHOTO),
    Rule(BadRequest, Verdict.LEFT, GONE),
    Rule(BadRequest, Verdict.PLAIN, "can't parse entities"),
    Rule(BadRequest, Verdict.NO_TOPIC, "message thread not found|TOPIC_CLOSED|TOPIC_DELETED"),
    Rule(BadRequest, Verdict.NOTHING, "not modified|query is too old"),
    Rule(BadRequest, Verdict.DEAD),
    Rule(NetworkError, Verdict.LATER, causes=UNCONNECTED),
    Rule(NetworkError, Verdict.LATER, "Too Many Requests|HTTPXRequest is not initialized"),
    Rule(NetworkError, Verdict.NO_PHOTO, "Request Entity Too Large"),
    Rule(TelegramError, Verdict.UNKNOWN),
)


def classify(error: BaseException) -> Verdict:
    """The verdict on a failed request; an error that is not Telegram's is the program's own: DEAD."""
    return next((rule.verdict for rule in RULES if rule.fits(error)), Verdict.DEAD)
