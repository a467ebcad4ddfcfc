"""What a failed request means: one table from python-telegram-bot's errors to error classes.

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


class ErrorClass(Enum):
    """What an error means for the message: whether it was delivered, and what to do."""

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
class ErrorRule:
    """Errors of a kind, of these causes if any are given, whose text matches."""

    kind: type[TelegramError]
    error_class: ErrorClass
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
    ErrorRule(RetryAfter, ErrorClass.HALTED),
    ErrorRule(ChatMigrated, ErrorClass.MIGRATED),
    ErrorRule(Forbidden, ErrorClass.LEFT),
    ErrorRule(InvalidToken, ErrorClass.PAUSED),
    ErrorRule(Conflict, ErrorClass.PAUSED),
    ErrorRule(BadRequest, ErrorClass.NO_PHOTO, BAD_PHOTO),
    ErrorRule(BadRequest, ErrorClass.LEFT, GONE),
    ErrorRule(BadRequest, ErrorClass.PLAIN, "can't parse entities"),
    ErrorRule(BadRequest, ErrorClass.NO_TOPIC, "message thread not found|TOPIC_CLOSED|TOPIC_DELETED"),
    ErrorRule(BadRequest, ErrorClass.NOTHING, "not modified|query is too old"),
    ErrorRule(BadRequest, ErrorClass.DEAD),
    ErrorRule(NetworkError, ErrorClass.LATER, causes=UNCONNECTED),
    ErrorRule(NetworkError, ErrorClass.LATER, "Too Many Requests|HTTPXRequest is not initialized"),
    ErrorRule(NetworkError, ErrorClass.NO_PHOTO, "Request Entity Too Large"),
    ErrorRule(TelegramError, ErrorClass.UNKNOWN),
)


def classify(error: BaseException) -> ErrorClass:
    """Return the class of an error; one that is not Telegram's is the program's own fault: DEAD."""
    return next((rule.error_class for rule in RULES if rule.fits(error)), ErrorClass.DEAD)
