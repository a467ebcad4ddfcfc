from datetime import timedelta
from itertools import pairwise

import httpx
import pytest
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from bot.delivery.outcome import GIVE_UP_AGE, GIVE_UP_SENDS, REPEATS, ErrorClass, classify
from bot.delivery.rate_limiter import SendPostponed

# Of a chat that may take messages again, in the words of the Bot API, TDLib and MTProto.
REFUSALS = (
    "chat not found",
    "not enough rights to send text messages to the chat",
    "have no rights to send a message",
    "Have no write access to the chat",
    "can't access the chat",
    "need administrator rights in the channel chat",
    "CHAT_WRITE_FORBIDDEN",
    "CHAT_SEND_PLAIN_FORBIDDEN",
    "CHAT_GUEST_SEND_FORBIDDEN",
    "CHAT_RESTRICTED",
    "CHAT_ADMIN_REQUIRED",
    "USER_BANNED_IN_CHANNEL",
    "CHANNEL_PRIVATE",
    "PEER_ID_INVALID",
)


def caused(error: TelegramError, cause: Exception) -> TelegramError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (caused(NetworkError("httpx.ConnectError: refused"), httpx.ConnectError("")), ErrorClass.LATER),
        (caused(NetworkError("httpx.ProxyError: 503"), httpx.ProxyError("")), ErrorClass.LATER),
        (caused(TimedOut(), httpx.ConnectTimeout("")), ErrorClass.LATER),
        (caused(TimedOut("Pool timeout"), httpx.PoolTimeout("")), ErrorClass.LATER),
        (NetworkError("Too Many Requests (429)"), ErrorClass.LATER),
        (caused(TimedOut(), httpx.ReadTimeout("")), ErrorClass.UNKNOWN),
        (caused(TimedOut(), httpx.WriteTimeout("")), ErrorClass.UNKNOWN),
        (caused(NetworkError("httpx.ReadError"), httpx.ReadError("")), ErrorClass.UNKNOWN),
        (caused(NetworkError("httpx.RemoteProtocolError"), httpx.RemoteProtocolError("")), ErrorClass.UNKNOWN),
        (NetworkError("Internal Server Error (500)"), ErrorClass.UNKNOWN),
        (NetworkError("Bad Gateway (502), not by the Bot API: b'<html>'"), ErrorClass.UNKNOWN),
        (TimedOut(), ErrorClass.UNKNOWN),
        (TelegramError("Invalid server response"), ErrorClass.UNKNOWN),
        (RetryAfter(3), ErrorClass.HALTED),
        (SendPostponed(3), ErrorClass.HALTED),
        (Forbidden("Forbidden: bot was blocked by the user"), ErrorClass.LEFT),
        (Forbidden("Forbidden: bot was kicked from the supergroup chat"), ErrorClass.LEFT),
        (Forbidden("Forbidden: user is deactivated"), ErrorClass.LEFT),
        (BadRequest("Bad Request: group chat was deactivated"), ErrorClass.LEFT),
        (Forbidden("Forbidden: not enough rights to send text messages to the chat"), ErrorClass.ASLEEP),
        *((BadRequest(f"Bad Request: {reason}"), ErrorClass.ASLEEP) for reason in REFUSALS),
        (ChatMigrated(-1001), ErrorClass.MIGRATED),
        (BadRequest("Bad Request: can't parse entities: Unclosed start tag"), ErrorClass.PLAIN),
        (BadRequest("Bad Request: message thread not found"), ErrorClass.NO_TOPIC),
        (BadRequest("Bad Request: TOPIC_CLOSED"), ErrorClass.NO_TOPIC),
        (BadRequest("Bad Request: not enough rights to send photos to the chat"), ErrorClass.NO_FILE),
        (BadRequest("Bad Request: CHAT_SEND_DOCS_FORBIDDEN"), ErrorClass.NO_FILE),
        (BadRequest("Bad Request: IMAGE_PROCESS_FAILED"), ErrorClass.NO_FILE),
        (NetworkError("Request Entity Too Large"), ErrorClass.NO_FILE),
        (BadRequest("Bad Request: message is not modified: specified new"), ErrorClass.NOTHING),
        (BadRequest("Bad Request: query is too old and response timeout expired"), ErrorClass.NOTHING),
        (BadRequest("Bad Request: BUTTON_DATA_INVALID"), ErrorClass.DEAD),
        (InvalidToken("Unauthorized"), ErrorClass.PAUSED),
        (Conflict("Conflict: terminated by other getUpdates request"), ErrorClass.PAUSED),
        (ValueError("a fault of the program"), ErrorClass.DEAD),
    ],
    ids=repr,
)
def test_each_error_has_its_class(error: Exception, error_class: ErrorClass) -> None:
    assert classify(error) is error_class


def test_the_waits_of_all_sends_outlast_the_day_after_which_a_message_may_be_given_up() -> None:
    sends = range(1, GIVE_UP_SENDS)
    waits = [REPEATS.wait(number - 1) for number, _ in pairwise(sends)]
    assert sum(waits, timedelta()) >= GIVE_UP_AGE
