"""Sending one row: the requests of its parts, and the step that settles it by what came of them."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from telegram.error import InvalidToken, TelegramError

from bot.delivery.parts import Manner, arrived, compose, post, reason_after
from bot.delivery.settle import REPEATS, Case, begun, put_back, sent, settle
from bot.delivery.verdicts import Verdict, classify
from bot.secrets import hide, of_token
from storage.db import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from telegram.ext import ExtBot

    from bot.delivery.ledger import Ledger, Step
    from bot.delivery.parts import Part
    from bot.delivery.room import Room
    from storage.outbox import OutboxMessage

logger = logging.getLogger(__name__)

LONGEST_REASON = 200  # characters; a proxy's error page stands in some
DOUBTS = {
    Verdict.LATER: "Telegram cannot be reached; sending goes on when it answers.",
    Verdict.UNKNOWN: "Telegram does not answer as it should; sending goes on when it does.",
    Verdict.PAUSED: "Telegram refuses this token; sending is paused until it is accepted.",
}


class Sender:
    """Sends rows through `bot`; `doubt` says why nothing should be sent before getMe has answered."""

    def __init__(
        self,
        bot: ExtBot[Any],
        ledger: Ledger,
        room: Room,
        *,
        now: Callable[[], datetime],
        owner: int | None,
        jitter: Callable[[], float],
    ) -> None:
        self._bot, self._ledger, self._room, self._now = bot, ledger, room, now
        self._owner, self._jitter = owner, jitter
        self._rests: dict[int, datetime] = {}
        self.doubt: Verdict | None = None

    async def answers(self) -> bool:
        """Whether getMe answers; that ends a doubt."""
        try:
            await self._bot.get_me()
        except TelegramError as error:
            self.doubt = Verdict.PAUSED if isinstance(error, InvalidToken) else Verdict.LATER
            return False
        self.doubt = None
        return True

    async def attempt(self, message: OutboxMessage) -> Step:
        """Send the parts that have not arrived; the step that settles the row."""
        rest = self._rests.pop(message.id, None)
        if rest and rest > self._now():
            return partial(put_back, message=message, until=rest)
        done, message_id = arrived(message), None
        try:
            for part, following in _remaining(message, done):
                message_id = await self._post(message, part) or message_id
                done += 1
                if following:
                    await self._ledger.write(partial(begun, message=message, done=done))
        except StorageError as error:
            reason = reason_after(done, str(error))
            return partial(
                put_back, message=msgspec.structs.replace(message, reason=reason), until=self._now()
            )
        except asyncio.CancelledError as error:
            self._ledger.keep(self._failure(message, error, done, Verdict.UNKNOWN))
            raise
        except TelegramError as error:
            return self._failure(message, error, done, classify(error))
        except Exception as error:
            logger.exception("Message %s cannot be sent", message.id)
            return self._failure(message, error, done, Verdict.DEAD)
        return partial(sent, message=message, message_id=message_id, now=self._now())

    def untouched(self, message: OutboxMessage) -> Step:
        """The step that gives back a row for which no request was made."""
        return partial(put_back, message=message, until=self._now())

    async def _post(self, message: OutboxMessage, part: Part) -> int | None:
        """Send one part, with the concessions that Telegram's refusals ask for."""
        manner = Manner()
        while True:
            try:
                return await post(self._bot, message, part, manner)
            except TelegramError as error:
                following = manner.after(classify(error), message, part)
                if following is None:
                    raise
                logger.warning("Message %s is sent in another form: %s", message.id, self._reason(error))
                manner = following

    def _failure(self, message: OutboxMessage, error: BaseException, done: int, verdict: Verdict) -> Step:
        """The step for a failed send; noted in memory are the doubt and the rest before a second repeat."""
        reason, now = self._reason(error), self._now()
        logger.warning("Message %s to chat %s: %s (%s)", message.id, message.chat_id, verdict.value, reason)
        if verdict in DOUBTS:
            self.doubt = verdict
        if verdict is Verdict.UNKNOWN and message.unknown:
            rest = REPEATS.wait(message.unknown - 1, self._jitter())
            self._rests[message.id] = now + rest
        case = Case(message, error, reason, now, done, self._jitter(), self._owner, self._room.halted())
        return partial(settle, case=case, verdict=verdict)

    def _reason(self, error: BaseException) -> str:
        """What went wrong in one line, never with the token."""
        text = " ".join(str(error).split()) or type(error).__name__
        return hide(text, [of_token(self._bot.token)])[:LONGEST_REASON]


def _remaining(message: OutboxMessage, done: int) -> list[tuple[Part, int]]:
    """The parts to send, the first marked when it may be there already, each with how many follow it."""
    parts = compose(message)
    if not parts:
        raise ValueError("the message is empty")
    rest = parts[done:]
    if rest and message.unknown:
        rest[0] = rest[0].marked()
    return [(part, len(rest) - number) for number, part in enumerate(rest, start=1)]
