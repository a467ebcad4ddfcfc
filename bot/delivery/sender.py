"""Sending one message: the requests of its parts, and the status change that follows from their outcome."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from telegram.error import InvalidToken, TelegramError

from bot.delivery.parts import SendOptions, arrived, compose, post
from bot.delivery.settle import (
    REPEATS,
    FailedSend,
    give_back,
    mark_sent,
    note_progress,
    reason_after,
    settle_failure,
)
from bot.delivery.verdicts import ErrorClass, classify
from bot.secrets import hide, of_token
from storage.db import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from telegram.ext import ExtBot

    from bot.delivery.ledger import StatusWrite, StatusWrites
    from bot.delivery.parts import MessagePart
    from bot.delivery.room import RateLimitState
    from storage.outbox import OutboxMessage

logger = logging.getLogger(__name__)

LONGEST_REASON = 200  # characters; a proxy's error page stands in some
PAUSE_REASONS = {
    ErrorClass.LATER: "Telegram cannot be reached; sending goes on when it answers.",
    ErrorClass.UNKNOWN: "Telegram does not answer as it should; sending goes on when it does.",
    ErrorClass.PAUSED: "Telegram refuses this token; sending is paused until it is accepted.",
}


class Sender:
    """Sends messages through `bot`; `paused_by` says why nothing is sent before getMe has answered."""

    def __init__(
        self,
        bot: ExtBot[Any],
        status_writes: StatusWrites,
        rate_limits: RateLimitState,
        *,
        now: Callable[[], datetime],
        owner: int | None,
        jitter: Callable[[], float],
    ) -> None:
        self._bot, self._status_writes, self._rate_limits, self._now = bot, status_writes, rate_limits, now
        self._owner, self._jitter = owner, jitter
        self._rests: dict[int, datetime] = {}
        self.paused_by: ErrorClass | None = None

    async def answers(self) -> bool:
        """Whether getMe answers, which ends the pause."""
        try:
            await self._bot.get_me()
        except TelegramError as error:
            self.paused_by = ErrorClass.PAUSED if isinstance(error, InvalidToken) else ErrorClass.LATER
            return False
        self.paused_by = None
        return True

    async def attempt(self, message: OutboxMessage) -> StatusWrite:
        """Send the parts that have not arrived. Returns the status change to write."""
        rest = self._rests.pop(message.id, None)
        if rest and rest > self._now():
            return partial(give_back, message=message, until=rest)
        done, message_id = arrived(message), None
        try:
            for part, following in _remaining(message, done):
                message_id = await self._post(message, part) or message_id
                done += 1
                if following:
                    await self._status_writes.write(partial(note_progress, message=message, done=done))
        except StorageError as error:
            reason = reason_after(done, str(error))
            return partial(
                give_back, message=msgspec.structs.replace(message, reason=reason), until=self._now()
            )
        except asyncio.CancelledError as error:
            self._status_writes.keep(self._failure(message, error, done, ErrorClass.UNKNOWN))
            raise
        except TelegramError as error:
            return self._failure(message, error, done, classify(error))
        except Exception as error:
            logger.exception("Message %s cannot be sent", message.id)
            return self._failure(message, error, done, ErrorClass.DEAD)
        return partial(mark_sent, message=message, message_id=message_id, now=self._now())

    def untouched(self, message: OutboxMessage) -> StatusWrite:
        """Return the status change for a message for which no request was made."""
        return partial(give_back, message=message, until=self._now())

    async def _post(self, message: OutboxMessage, part: MessagePart) -> int | None:
        """Send one part, in another form where Telegram refuses this one."""
        options = SendOptions()
        while True:
            try:
                return await post(self._bot, message, part, options)
            except TelegramError as error:
                following = options.after(classify(error), message, part)
                if following is None:
                    raise
                logger.warning("Message %s is sent in another form: %s", message.id, self._reason(error))
                options = following

    def _failure(
        self, message: OutboxMessage, error: BaseException, done: int, error_class: ErrorClass
    ) -> StatusWrite:
        """Return the status change of a failed send. Pauses and waits before a repeat are kept in memory."""
        reason, now = self._reason(error), self._now()
        logger.warning(
            "Message %s to chat %s: %s (%s)", message.id, message.chat_id, error_class.value, reason
        )
        if error_class in PAUSE_REASONS:
            self.paused_by = error_class
        if error_class is ErrorClass.UNKNOWN and message.unknown:
            rest = REPEATS.wait(message.unknown - 1, self._jitter())
            self._rests[message.id] = now + rest
        failure = FailedSend(
            message, error, reason, now, done, self._jitter(), self._owner, self._rate_limits.halted()
        )
        return partial(settle_failure, failure=failure, error_class=error_class)

    def _reason(self, error: BaseException) -> str:
        """What went wrong in one line, never with the token."""
        text = " ".join(str(error).split()) or type(error).__name__
        return hide(text, [of_token(self._bot.token)])[:LONGEST_REASON]


def _remaining(message: OutboxMessage, done: int) -> list[tuple[MessagePart, int]]:
    """The parts to send, the first marked when it may be there already, each with how many follow it."""
    parts = compose(message)
    if not parts:
        raise ValueError("the message is empty")
    rest = parts[done:]
    if rest and message.unknown:
        rest[0] = rest[0].marked()
    return [(part, len(rest) - number) for number, part in enumerate(rest, start=1)]
