"""Failures that only a real connection shows, and what becomes of every message whatever fails."""

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.delivery.outcome import DrainReport
from bot.delivery.send import REPEAT_MARK, compose
from bot.messages.html import strip_html
from storage import outbox
from storage.outbox import OutboxMessage
from storage.records import instant
from tests.delivery.office import DOWN, ME, THIRD, YOU, Office, open_office
from tests.fakes.botapi import RecordedRequest
from tests.fakes.botapi_faults import Fault, bad_gateway, drop, flood, garbled, hang, refusal, server_error

SOON = 0.3  # seconds


# Not delivered


async def test_a_connection_that_is_not_made_in_time_is_tried_again(office: Office) -> None:
    row = await office.put()
    with closing(socket.socket()) as full, closing(socket.socket()) as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # one connection fits, which nobody accepts; the next one is left waiting
        waiting.connect(full.getsockname())
        bot = office.client(f"http://127.0.0.1:{full.getsockname()[1]}/bot", connect_timeout=SOON)
        assert (await office.fresh(bot).drain()).stopped == DOWN
    stored = await office.row(row)
    assert (stored["status"], stored["unknown"], stored["not_before"]) == ("waiting", 0, "2020-12-11T21:20:05Z")
    office.later(seconds=5)
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.texts() == ["fired"]


async def test_a_connection_that_is_not_free_in_time_is_tried_again(office: Office) -> None:
    bot = office.client(connection_pool_size=1, pool_timeout=SOON)
    office.api.fail("getChat", hang())
    holding = asyncio.create_task(bot.get_chat(ME))
    await office.api.until(lambda: office.api.calls("getChat"))
    row = await office.put()
    await office.fresh(bot).drain()
    stored = await office.row(row)
    assert (stored["status"], stored["unknown"], stored["attempts"]) == ("waiting", 0, 1)
    assert stored["reason"].startswith("Pool timeout")
    assert office.api.calls("sendMessage") == []
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


# Unknown


async def test_ten_minutes_of_502_lose_no_alert_and_repeat_no_summary(office: Office) -> None:
    alerts = [await office.put(f"alert {number}", chat_id=chat) for chat in (ME, YOU) for number in range(8)]
    await office.put("daily", kind="summary", chat_id=THIRD)
    office.api.fail("*", bad_gateway(acts=True), times=10_000)
    for _ in range(20):
        await office.delivery.drain()
        office.later(seconds=30)
    office.api.heal()
    for _ in range(40):
        await office.delivery.drain()
        office.later(seconds=30)
    statuses = [(await office.row(row))["status"] for row in alerts]
    assert statuses == ["sent"] * len(alerts)
    for chat_id in (ME, YOU):
        texts = office.texts(chat_id)
        seen = {text.removeprefix("possible repeat\n") for text in texts}
        assert seen == {f"alert {number}" for number in range(8)}
        assert len(texts) - len(seen) == sum(text.startswith("possible repeat") for text in texts)
    assert office.texts(THIRD) == ["daily"]


# Whatever fails

FAULTS = [
    drop(), drop(acts=True), server_error(), server_error(acts=True), bad_gateway(), garbled(), flood(7),
    flood(90), refusal(403, "Forbidden: bot was blocked by the user"),
    refusal(400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
    refusal(400, "Bad Request: can't parse entities: Unclosed start tag"), refusal(401, "Unauthorized"),
    refusal(400, "Bad Request: message thread not found"), refusal(400, "Bad Request: BUTTON_DATA_INVALID"),
]  # fmt: skip
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "fail", "fail", "drain", "drain", "restart", "reply"]),
        st.sampled_from([ME, YOU, THIRD]),
        st.sampled_from(FAULTS),
        st.sampled_from(["alert", "alert", "notice", "summary"]),
    ),
    min_size=4,
    max_size=24,
)
# The second message of the row that is queued third is in doubt, and so is its repeat.
BETWEEN_PARTS = [
    *[(action, ME, drop(acts=True), "alert") for action in ("drain", "fail", "put", "fail")],
    *[("drain", ME, drop(), "alert")] * 20,
]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
@example(steps=BETWEEN_PARTS)
def test_every_message_ends_sent_or_dead_with_a_reason_or_waits_and_no_halt_is_broken(
    steps: list[tuple[str, int, Fault, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(play(steps, tmp_path_factory.mktemp("table") / "bot.sqlite3"))


async def play(steps: list[tuple[str, int, Fault, str]], path: Path) -> None:
    async with open_office(path, one_clock=True) as office:
        for number, (action, chat_id, fault, kind) in enumerate(steps):
            words = (f"{kind} {number} {line}" for line in range(400 if number % 3 else 1))  # two messages, or one
            await act(office, action, chat_id, fault, "\n".join(words))
            office.later(seconds=3)
        office.api.heal()
        for seconds in (0, 1, 31, 100):
            office.later(seconds=seconds)
            await office.delivery.drain()
        await settled(office)
        await counted(office)
        assert broken_halts(office.api.requests) == []


async def act(office: Office, action: str, chat_id: int, fault: Fault, text: str) -> None:
    if action == "put":
        await office.put(text, chat_id=chat_id, kind=text.split(maxsplit=1)[0])
    elif action == "fail":
        after = int(text.split()[1]) % 2  # at the first message of a row, or at its second
        office.api.fail("sendMessage", fault, chat_id=chat_id, after=after)
    elif action == "restart":
        office.bot = office.client()
        office.delivery = office.fresh()
        await office.delivery.recover()
    elif action == "reply":
        await asyncio.gather(office.bot.send_message(chat_id, "reply"), return_exceptions=True)
    else:
        await office.delivery.drain()


async def settled(office: Office) -> None:
    rows = await office.database.run(lambda db: list(db["outbox"].rows))
    known = await office.database.run(lambda db: list(db["chats"].rows))
    asleep = {row["chat_id"] for row in known if row["status"] != "active"}
    halted = {halt.chat_id for halt in await office.database.run(lambda db: outbox.current_halts(db, office.now))}
    for row in rows:
        waits = row["not_before"] > instant(office.now) or {row["chat_id"], outbox.EVERY_CHAT} & halted
        assert (
            row["status"] == "sent"
            or (row["status"] == "dead" and row["reason"])
            or row["status"] == "held"  # until a tick
            or (row["status"] in ("queued", "waiting") and (waits or row["chat_id"] in asleep))
        ), row


async def counted(office: Office) -> None:
    """Of each message of a row: one copy, and one more for each unknown outcome, each further one marked."""
    for row in await office.database.run(lambda db: list(db["outbox"].rows)):
        parts = compose(msgspec.convert(row, OutboxMessage))
        received = office.texts(row["chat_id"])
        marks = [
            [
                text.startswith(REPEAT_MARK)
                for text in received
                if text.removeprefix(f"{REPEAT_MARK}\n").strip() == words
            ]
            for words in (strip_html(part).removeprefix(f"{REPEAT_MARK}\n").strip() for part in parts)
        ]
        assert sum(map(len, marks)) <= len(parts) + (row["kind"] != "summary") * row["unknown"], row
        assert all(len(copies) - sum(copies) <= 1 for copies in marks), row
        assert row["status"] != "sent" or all(marks), row


def broken_halts(log: list[RecordedRequest]) -> list[RecordedRequest]:
    """Messages that came within a halt of their chat, or of all chats."""
    until: dict[int, float] = {}
    everyone, broken = 0.0, []
    for call in log:
        if call.method != "sendMessage" or call.chat_id is None:
            continue
        if call.at < max(until.get(call.chat_id, 0.0), everyone):
            broken.append(call)
        if call.status == 429:
            end = call.at + int(call.description.rpartition(" ")[2] or 0)
            if any(at > call.at for chat, at in until.items() if chat != call.chat_id):
                everyone = max(everyone, end)
            until[call.chat_id] = max(end, until.get(call.chat_id, 0.0))
    return broken
