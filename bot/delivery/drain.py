"""Draining: claim a row, send it, settle it; several chats at a time, each chat in order.

A row is committed as `sending` before its request and settled after it, by a step that the ledger keeps
until it is written; a process that dies first leaves the row `sending`, which `recover` takes for an
unknown outcome at the next start. One row may be several messages: those that arrived are not sent again
after a failure, but all are after a crash.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from telegram.error import InvalidToken, TelegramError

from bot.delivery.ledger import Ledger
from bot.delivery.parts import Manner, arrived, compose, post
from bot.delivery.settle import FIRST_REST, LONGEST_REST, Case, grown, put_back, sent, settle
from bot.delivery.verdicts import Verdict, classify
from storage import outbox
from storage.db import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from telegram.ext import ExtBot

    from bot.delivery.ledger import Step
    from bot.delivery.parts import Part
    from storage.db import Database
    from storage.rows import Row

logger = logging.getLogger(__name__)

SLOTS = 8  # requests at a time: enough for 28 messages a second at 250 ms each
LONGEST_REASON = 200  # characters; a proxy's error page stands in some
DOUBTS = {
    Verdict.LATER: "Telegram cannot be reached; sending goes on when it answers.",
    Verdict.UNKNOWN: "Telegram does not answer as it should; sending goes on when it does.",
    Verdict.PAUSED: "Telegram refuses this token; sending is paused until it is accepted.",
}


@dataclass(frozen=True)
class DrainReport:
    """Rows by what became of them in one drain; `stopped` says why not all that was due was tried, or ""."""

    sent: int = 0
    waiting: int = 0
    ambiguous: int = 0
    dead: int = 0
    stopped: str = ""


class Delivery:
    """Sends what the outbox holds through `bot`, whose rate limiter is a SendBudget.

    now: the clock, aware UTC. owner: the chat told of messages given up. only: serve
    this chat and leave the others' messages waiting (the terminal); besides: leave this
    one's. jitter: numbers in [0, 1).
    """

    def __init__(
        self,
        bot: ExtBot[Any],
        database: Database,
        *,
        now: Callable[[], datetime],
        owner: int | None = None,
        only: int | None = None,
        besides: int | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bot, self._database, self._now = bot, database, now
        self._owner, self._jitter = owner, jitter
        self._only, self._besides = only, besides
        self._one = asyncio.Lock()
        self._doubt: Verdict | None = None
        self._ledger = Ledger(database)
        self._rests: dict[int, datetime] = {}
        self._became: dict[int, str] = {}
        self._closing = False

    async def recover(self) -> int:
        """At start: what a crash left `sending` is taken for an unknown outcome; how many rows."""
        return await self._database.run(partial(outbox.recover, now=self._now()))

    async def drain(self) -> DrainReport:
        """Send all that is due. Raises StorageError when the database cannot be written; nothing is lost."""
        async with self._one:
            self._became = {}
            await self._ledger.flush()
            if await self._may_begin():
                await self._empty()
            stopped = DOUBTS[self._doubt] if self._doubt else ""
            return DrainReport(**Counter(self._became.values()), stopped=stopped)

    async def stop(self) -> None:
        """Claim nothing more; return when the requests under way are settled."""
        self._closing = True
        async with self._one:
            await self._ledger.flush()

    async def _may_begin(self) -> bool:
        """Whether to send: after a doubt, and before a repeat, getMe must have answered."""
        counts = await self._database.run(outbox.pending)
        if not self._doubt and not counts.get("ambiguous"):
            return True
        if await self._answers():
            await self._database.run(partial(outbox.requeue_ambiguous, now=self._now()))
        return self._doubt is None

    async def _answers(self) -> bool:
        try:
            await self._bot.get_me()
        except TelegramError as error:
            self._doubt = Verdict.PAUSED if isinstance(error, InvalidToken) else Verdict.LATER
            return False
        self._doubt = None
        return True

    async def _empty(self) -> None:
        """Claim and send until nothing is due; in doubt claim nothing more, finish, and ask getMe."""
        running: set[asyncio.Task[None]] = set()
        faults: list[BaseException] = []
        try:
            while True:
                if not (self._doubt or self._closing or faults):
                    try:
                        self._start(await self._claim(SLOTS - len(running)), running)
                    except StorageError as error:
                        faults.append(error)
                if not running:
                    if faults:
                        raise faults[0]
                    if self._closing or not self._doubt or not await self._answers():
                        return
                    continue
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.discard(task)
                    if fault := task.exception():
                        faults.append(fault)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _claim(self, limit: int) -> list[Row]:
        """Rows now `sending`; a cancelled drain gives them back."""
        claiming = asyncio.ensure_future(
            self._database.run(
                partial(outbox.claim, now=self._now(), limit=limit, only=self._only, besides=self._besides)
            )
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for row in await claiming:
                self._ledger.keep(self._untouched(row))
            raise

    def _start(self, rows: list[Row], running: set[asyncio.Task[None]]) -> None:
        """A task for each row; a chat has one row under way, so its order is kept."""
        for row in rows:
            running.add(asyncio.create_task(self._deliver(row)))

    async def _deliver(self, row: Row) -> None:
        held_back = self._doubt or self._closing
        step = self._untouched(row) if held_back else await self._attempt(row)
        self._became[row["id"]] = await self._ledger.write(step)

    async def _attempt(self, row: Row) -> Step:
        """Send the parts that have not arrived; the step that settles the row."""
        rest = self._rests.pop(row["id"], None)
        if rest and rest > self._now():
            return partial(put_back, row=row, until=rest)
        done, message_id = arrived(row), None
        try:
            for part in _remaining(row, done):
                message_id = await self._post(row, part) or message_id
                done += 1
        except asyncio.CancelledError as error:
            self._ledger.keep(self._failure(row, error, done, Verdict.UNKNOWN))
            raise
        except TelegramError as error:
            return self._failure(row, error, done, classify(error))
        except Exception as error:
            logger.exception("Message %s cannot be sent", row["id"])
            return self._failure(row, error, done, Verdict.DEAD)
        return partial(sent, row=row, message_id=message_id, now=self._now())

    async def _post(self, row: Row, part: Part) -> int | None:
        """Send one part, with the concessions that Telegram's refusals ask for."""
        manner = Manner()
        while True:
            try:
                return await post(self._bot, row, part, manner)
            except TelegramError as error:
                following = manner.after(classify(error), row, part)
                if following is None:
                    raise
                logger.warning("Message %s is sent in another form: %s", row["id"], self._reason(error))
                manner = following

    def _failure(self, row: Row, error: BaseException, done: int, verdict: Verdict) -> Step:
        """The step for a failed send; noted in memory are the doubt and the rest before a second repeat."""
        reason, now = self._reason(error), self._now()
        logger.warning("Message %s to chat %s: %s (%s)", row["id"], row["chat_id"], verdict.value, reason)
        if verdict in DOUBTS:
            self._doubt = verdict
        if verdict is Verdict.UNKNOWN and row["unknown"]:
            rest = grown(FIRST_REST, LONGEST_REST, row["unknown"] - 1, self._jitter())
            self._rests[row["id"]] = now + rest
        case = Case(row, error, reason, now, done, self._jitter(), self._owner)
        return partial(settle, case=case, verdict=verdict)

    def _reason(self, error: BaseException) -> str:
        """What went wrong in one line, never with the token."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._bot.token, "TOKEN")[:LONGEST_REASON]

    def _untouched(self, row: Row) -> Step:
        """The step that gives back a row for which no request was made."""
        return partial(put_back, row=row, until=self._now())


def _remaining(row: Row, done: int) -> list[Part]:
    """The parts to send, the first marked when it may be there already."""
    parts = compose(row)
    if not parts:
        raise ValueError("the message is empty")
    rest = parts[done:]
    return [rest[0].marked(), *rest[1:]] if rest and row["unknown"] else rest
