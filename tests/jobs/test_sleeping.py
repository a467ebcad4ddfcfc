"""Chats that refuse messages for a time: what waits, when it is tried, and the one message afterwards."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import sqlite_utils

from bot.delivery.drain import Delivery
from bot.delivery.rate_limiter import SendBudget
from bot.jobs.deferred import send_deferred
from bot.jobs.notify import OutboxWriter
from bot.local.botapi import bad_request
from bot.messages.common import Answer
from bot.messages.html import Html
from storage import chat_store, outbox
from tests.fakes.botapi import FakeBotApi
from tests.jobs.desk import DAYS, QUIET, RULE, Desk
from tests.titles import title_of

OWNER, TOPIC = 7, 9
FIRST_IDS = {"private": 42, "group": -5, "supergroup": -100200, "channel": -100300}
NAMED = (
    "not enough rights to send text messages to the chat", "chat not found", "CHAT_WRITE_FORBIDDEN",
    "CHAT_RESTRICTED", "USER_BANNED_IN_CHANNEL", "CHANNEL_PRIVATE", "TOPIC_CLOSED",
)  # fmt: skip
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


class Hall(Desk):
    """A desk whose messages go over HTTP to chats that refuse them."""

    def __init__(self, path: Path, api: FakeBotApi) -> None:
        super().__init__(path)
        self.api, self._seconds = api, 0.0
        self.client = api.client(limiter=SendBudget(monotonic=lambda: self._seconds, sleep=self._leap))
        api.chat(OWNER)
        self.chats: list[int] = []

    async def _leap(self, seconds: float) -> None:
        self._seconds += seconds

    async def open(self, kind: str, reasons: Sequence[str], *rules: str) -> None:
        """A chat of a kind for each reason to refuse messages, with these alerts; supergroups in a topic."""
        await self.closes(QUIET)
        for chat_id, reason in enumerate(reasons, FIRST_IDS[kind]):
            self.chats.append(chat_id)
            self.api.chat(chat_id, kind).refusal = bad_request(reason)
            for rule in rules:
                await self.alert(rule, chat_id)
        await self.change("UPDATE chats SET kind = ?, title = 'Ada & co'", (kind,))
        if kind == "supergroup":
            for chat_id in self.chats:
                self.api.chat(chat_id).threads.add(TOPIC)
            await self.change("UPDATE alerts SET thread_id = ?", (TOPIC,))

    def relent(self) -> None:
        """Every chat takes messages again."""
        for chat_id in self.chats:
            self.api.chat(chat_id).refusal = None

    async def tick(self) -> None:
        """A tick of a new process."""
        self.restart()
        self._seconds += 60
        delivery = Delivery(self.client, self.database, now=lambda: self.now, owner=OWNER, jitter=lambda: 0.0)
        await delivery.recover()
        await send_deferred(self.services)
        await self.evaluation.run()
        await self.summaries.run()
        await delivery.drain()

    async def days(self, levels: Sequence[float], first: int) -> None:
        """The closes of some sessions, with a tick after each."""
        for day, level in enumerate(levels, first):
            await self.closes([level], DAYS[day])
            await self.tick()

    def tried(self) -> list[int]:
        """How often each chat was sent a message, delivered or not."""
        return [len(self.api.calls("sendMessage", chat_id)) for chat_id in self.chats]

    def texts(self, chat_id: int) -> list[str]:
        return [message.text for message in self.api.messages(chat_id)]

    async def statuses(self) -> set[str]:
        return {row["status"] for row in await self.query("SELECT status FROM chats")}


@pytest.fixture
async def hall(path: Path) -> AsyncIterator[Hall]:
    async with FakeBotApi() as api:
        with (opened := Hall(path, api)).database:
            yield opened
            await opened.client.request.shutdown()


@pytest.mark.parametrize("kind", FIRST_IDS)
async def test_what_refusing_chats_missed_comes_in_one_message_each(hall: Hall, kind: str) -> None:
    await hall.open(kind, NAMED, RULE, "ratio > 0.62")
    await hall.days([0.65], 0)
    assert await hall.statuses() == {"asleep"}
    first = hall.tried()
    await hall.closes([0.5, 0.66], DAYS[1])  # on Friday and Tuesday
    for _ in range(3):
        await hall.tick()  # judges them, tries once
        hall.now += HOUR
    again = [after - before for before, after in zip(first, hall.tried(), strict=True)]
    assert again == [1] * 6 + [2 if kind == "supergroup" else 1]  # once more without the topic
    hall.relent()
    await hall.tick()
    assert not any(map(hall.texts, hall.chats))
    hall.now += DAY
    await hall.tick()
    for chat_id in hall.chats:
        (text,) = hall.texts(chat_id)
        assert text.splitlines() == [
            "4 events while this chat refused messages, newest first",
            "21 Jan 2020 · #2 ratio > 0.62 · 0.6600, still true (CSV import)",
            "21 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6600, still true (CSV import)",
            "16 Jan 2020 · #2 ratio > 0.62 · 0.6500, no longer true since 17 Jan 2020 (CSV import)",
            "16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6500, no longer true since 17 Jan 2020 (CSV import)",
        ]
    topic = TOPIC if kind == "supergroup" else None
    assert {message.thread_id for chat_id in hall.chats for message in hall.api.messages(chat_id)} == {topic}
    assert await hall.statuses() == {"active"}
    told = sorted(text.partition(" refuses messages: ")[0] for text in hall.texts(OWNER))
    assert told == sorted(f"Chat “Ada & co” ({chat_id})" for chat_id in hall.chats)


async def test_a_topic_closed_with_its_chat_waits(hall: Hall) -> None:
    await hall.open("supergroup", ["x"], RULE)
    hall.relent()
    (chat_id,) = hall.chats
    hall.api.chat(chat_id).closed = {TOPIC, None}
    await hall.days([0.65, 0.66], 0)
    assert (hall.texts(chat_id), hall.tried()) == ([], [4])  # each time without the topic too
    hall.api.chat(chat_id).closed = {None}
    await hall.days([0.66], 2)
    (message,) = hall.api.messages(chat_id)
    assert message.text.splitlines()[2] == "Held back while this chat refused messages; still true."
    assert message.thread_id == TOPIC


async def test_in_a_chat_with_closed_topics_each_is_tried_in_turn(hall: Hall) -> None:
    await hall.open("supergroup", ["x"], RULE, "ratio > 0.62")
    hall.relent()
    (chat_id,) = hall.chats
    hall.api.chat(chat_id).closed = {None}
    await hall.change("UPDATE alerts SET thread_id = NULL WHERE number = 1")
    await hall.days([0.65], 0)
    assert await hall.statuses() == {"asleep"}
    await hall.days([0.66, 0.66], 1)
    (message,) = hall.api.messages(chat_id)
    assert message.text.startswith("2 events while this chat refused messages, newest first")
    assert message.thread_id == TOPIC


async def test_nothing_waiting_is_no_probe_and_summaries_are_dropped(hall: Hall) -> None:
    await hall.open("group", ["CHAT_RESTRICTED"], RULE)
    (chat_id,) = hall.chats
    await hall.database.run(partial(chat_store.set_summary, chat_id=chat_id, at="16:30"))
    await hall.days([0.5] * 5, 0)
    assert (await hall.statuses(), hall.tried()) == ({"asleep"}, [1])
    hall.relent()
    await hall.days([0.5], 5)
    assert hall.tried() == [1]
    await hall.database.run(lambda db: chat_store.note_sign_of_life(db, chat_id, hall.now))
    await hall.days([0.5], 6)
    (text,) = hall.texts(chat_id)
    assert "\nDaily summary · " in text
    assert await hall.query("SELECT count(*) AS due FROM summaries WHERE status = 'due'") == [{"due": 0}]
    assert len(hall.texts(OWNER)) == 1


async def test_what_may_have_been_sent_before_is_marked_after_the_sleep(hall: Hall) -> None:
    await hall.open("private", ["CHAT_RESTRICTED"], RULE)
    await hall.closes([0.65], DAYS[0])
    await hall.evaluation.run()
    ready = await hall.database.run(lambda db: outbox.find_ready(db, hall.now, 1))
    await hall.database.run(lambda db: outbox.mark_sending(db, ready, hall.now))  # and the process dies
    await hall.days([0.66], 1)
    assert await hall.statuses() == {"asleep"}
    hall.relent()
    await hall.days([0.66], 2)
    (text,) = hall.texts(hall.chats[0])
    assert text.startswith("possible repeat\n")
    assert title_of(text) == "#1 fired · close of Thu 16 Jan 2020"


@pytest.mark.parametrize(("fires", "told"), [(0, 1), (0, 2), (1, 1), (2, 2)])
async def test_notices_come_in_the_same_message(hall: Hall, fires: int, told: int) -> None:
    await hall.open("supergroup", ["CHAT_RESTRICTED"], RULE, "ratio > 0.62")
    (chat_id,) = hall.chats

    def write_notices(db: sqlite_utils.Database, *numbers: int) -> None:
        for number in numbers:
            answer = Answer(Html(f"<b>Notice {number}</b>"), buttons=((("Alerts", "/alerts"),),))
            OutboxWriter(db, hall.now, "UTC").notice((chat_id, TOPIC), f"notice {number}", answer)

    await hall.database.run(lambda db: write_notices(db, 1))
    for number in (1, 2)[fires:]:
        await hall.change("UPDATE alerts SET life = 'paused' WHERE number = ?", (number,))
    await hall.days([0.65], 0)
    await hall.database.run(lambda db: write_notices(db, *range(2, told + 1)))
    await hall.days([0.66] * 2, 1)
    assert (await hall.statuses(), hall.tried()) == ({"asleep"}, [3])  # one a day
    hall.relent()
    await hall.database.run(lambda db: chat_store.note_delivery(db, chat_id))
    for _ in range(2):
        await hall.tick()
    (message,) = hall.api.messages(chat_id)
    assert [f"Notice {number}" in message.text for number in (1, 2)] == [True, told > 1]
    assert [f"ratio > 0.6{'2' * number}" in message.text for number in range(2)] == [fires > 0, fires > 1]
    labels = [label for row in message.buttons for label, _ in row]
    assert (message.thread_id, labels.count("Alerts")) == (TOPIC, 1)
    assert {row["status"] for row in await hall.query("SELECT status FROM outbox")} == {"sent"}


async def test_a_fire_withdrawn_before_the_next_try_is_not_told_and_the_notice_is(hall: Hall) -> None:
    await hall.open("group", ["CHAT_RESTRICTED"], RULE)
    (chat_id,) = hall.chats
    await hall.days([0.65], 0)
    answer = Answer(Html("<b>Notice</b>"))
    write = partial(OutboxWriter.notice, place=(chat_id, None), dedup="notice", answer=answer)
    await hall.database.run(lambda db: write(OutboxWriter(db, hall.now, "UTC")))
    hall.relent()
    hall.now += DAY
    await send_deferred(hall.services)
    joined = (await hall.messages())[-1]
    assert title_of(joined).startswith("#1 fired")
    assert joined.endswith("\n\nNotice")
    await hall.days([0.5], 0)
    hall.now += DAY
    await hall.tick()
    assert hall.texts(chat_id) == ["Notice"]


async def test_a_sleeping_group_that_moves_is_tried_under_its_new_id(hall: Hall) -> None:
    await hall.open("group", ["CHAT_RESTRICTED"], RULE)
    (chat_id,) = hall.chats
    await hall.days([0.65], 0)
    hall.api.chat(-100500, "supergroup")
    await hall.database.run(lambda db: chat_store.migrate_chat(db, chat_id, -100500))
    await hall.tick()
    assert [title_of(text).split(" · ")[0] for text in hall.texts(-100500)] == ["#1 fired"]


async def test_what_an_unreadable_alert_reports_waits_too(hall: Hall) -> None:
    await hall.open("private", ["CHAT_RESTRICTED"], RULE)
    await hall.days([0.65], 0)
    await hall.change("UPDATE alert_events SET detail = json_set(detail, '$.rule', '{')")
    await hall.tick()
    assert await hall.query("SELECT deferred FROM alert_events") == [{"deferred": "asleep"}]
    hall.relent()
    hall.now += DAY
    await hall.tick()
    assert hall.texts(hall.chats[0])[0].startswith("1 event while this chat refused messages")


async def test_a_clock_that_was_ahead_prolongs_no_sleep(hall: Hall) -> None:
    await hall.open("private", ["CHAT_RESTRICTED"], RULE)
    await hall.days([0.65], 0)
    await hall.change("UPDATE chats SET refused_at = '2030-01-01T00:00:00Z', next_try = '2030-01-02T00:00:00Z'")
    hall.relent()
    await hall.tick()
    await hall.tick()
    assert len(hall.texts(hall.chats[0])) == 1
