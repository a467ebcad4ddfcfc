from __future__ import annotations

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

from bot.delivery import Verdict, classify
from bot.ratelimit import SendPostponed


def caused(error: TelegramError, cause: Exception) -> TelegramError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (caused(NetworkError("httpx.ConnectError: refused"), httpx.ConnectError("")), Verdict.LATER),
        (caused(NetworkError("httpx.ProxyError: 503"), httpx.ProxyError("")), Verdict.LATER),
        (caused(TimedOut(), httpx.ConnectTimeout("")), Verdict.LATER),
        (caused(TimedOut("Pool timeout"), httpx.PoolTimeout("")), Verdict.LATER),
        (NetworkError("Too Many Requests (429)"), Verdict.LATER),
        (caused(TimedOut(), httpx.ReadTimeout("")), Verdict.UNKNOWN),
        (caused(TimedOut(), httpx.WriteTimeout("")), Verdict.UNKNOWN),
        (caused(NetworkError("httpx.ReadError"), httpx.ReadError("")), Verdict.UNKNOWN),
        (caused(NetworkError("httpx.RemoteProtocolError"), httpx.RemoteProtocolError("")), Verdict.UNKNOWN),
        (NetworkError("Internal Server Error (500)"), Verdict.UNKNOWN),
        (NetworkError("Bad Gateway (502). Parsing the server response b'<html>' failed"), Verdict.UNKNOWN),
        (TimedOut(), Verdict.UNKNOWN),
        (TelegramError("Invalid server response"), Verdict.UNKNOWN),
        (RetryAfter(3), Verdict.HALTED),
        (SendPostponed(3), Verdict.HALTED),
        (Forbidden("Forbidden: bot was blocked by the user"), Verdict.LEFT),
        (Forbidden("Forbidden: bot was kicked from the supergroup chat"), Verdict.LEFT),
        (Forbidden("Forbidden: user is deactivated"), Verdict.LEFT),
        (BadRequest("Chat not found"), Verdict.LEFT),
        (BadRequest("Bad Request: not enough rights to send text messages to the chat"), Verdict.LEFT),
        (BadRequest("Bad Request: CHAT_WRITE_FORBIDDEN"), Verdict.LEFT),
        (ChatMigrated(-1001), Verdict.MIGRATED),
        (BadRequest("Bad Request: can't parse entities: Unclosed start tag"), Verdict.PLAIN),
        (BadRequest("Bad Request: message thread not found"), Verdict.NO_TOPIC),
        (BadRequest("Bad Request: TOPIC_CLOSED"), Verdict.NO_TOPIC),
        (BadRequest("Bad Request: not enough rights to send photos to the chat"), Verdict.NO_PHOTO),
        (BadRequest("Bad Request: IMAGE_PROCESS_FAILED"), Verdict.NO_PHOTO),
        (NetworkError("Request Entity Too Large"), Verdict.NO_PHOTO),
        (BadRequest("Bad Request: message is not modified: specified new"), Verdict.NOTHING),
        (BadRequest("Bad Request: query is too old and response timeout expired"), Verdict.NOTHING),
        (BadRequest("Bad Request: BUTTON_DATA_INVALID"), Verdict.DEAD),
        (InvalidToken("Unauthorized"), Verdict.PAUSED),
        (Conflict("Conflict: terminated by other getUpdates request"), Verdict.PAUSED),
        (ValueError("a fault of the program"), Verdict.DEAD),
    ],
    ids=repr,
)
def test_each_error_has_its_verdict(error: Exception, verdict: Verdict) -> None:
    assert classify(error) is verdict
