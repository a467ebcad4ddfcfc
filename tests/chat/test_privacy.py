"""What is stored is said, given and deleted, whatever tables there are."""

import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlite_utils
from telegram.error import BadRequest

from bot.chat.privacy import STORED
from bot.delivery.outcome import ErrorClass, FailedSend, settle_failure
from bot.local.botapi import Json
from storage import alert_store, chat_store, outbox, sources
from storage.database import open_database
from storage.outbox import OutboxMessage
from tests.chat.people import rows
from tests.chat.talk import GROUP, ME, OWNER, YOU, Talk, prepared, talking
from tests.storage.events import add_event
from tests.storage.messages import claim, queue_message

ELSEWHERE = -100_300  # a group of which the guest was the first to write
GUEST = 987_654_321  # stands nowhere in a table but where the guest is meant
WHERE = {"mode": "allowlist", "users": frozenset({ME}), "chats": frozenset({GROUP})}


def fill(db: sqlite_utils.Database) -> None:
    """What the chat itself cannot bring about at once: a halt, an outage, a summary, a held event."""
    now = dt.datetime(2020, 12, 13, 18, tzinfo=dt.UTC)
    outbox.begin_halt(db, GUEST, now + dt.timedelta(hours=1))
    sources.begin_outage(db, "prices", "2020-12-11", now)
    sources.add_outage_chats(db, "prices", "2020-12-11", [GUEST])
    chat_store.plan_summary(db, GUEST, "daily", "2020-12-11", now)
    body = outbox.MessageBody(f"to {GUEST}")
    queue_message(db, chat_id=GUEST, kind="alert", dedup=f"alert:{GUEST}", body=body, now=now)
    queue_message(db, chat_id=GUEST, kind="alert", dedup="lost", body=body, now=now)
    (lost,) = db["outbox"].rows_where("dedup = 'lost'")
    settle_failure(
        db,
        FailedSend(msgspec.convert(lost, OutboxMessage), BadRequest("x"), "Bad Request: x", now, owner=OWNER),
        ErrorClass.DEAD,
    )
    alert = alert_store.alerts_of(db, GUEST)[0]
    add_event(db, alert_id=alert.alert_id, session="2020-12-11", transition="fired", now=now)


@pytest.fixture(scope="module")
def lived_in(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which a guest and ME have something of everything."""

    async def live(talk: Talk) -> None:
        talk.api.chat(GROUP).members[GUEST] = "administrator"
        for typed in ("/start", "/admin"):
            await talk.ask(typed, GUEST)
        await talk.bot.delivery.drain()
        await talk.ask("/start", ELSEWHERE, user_id=GUEST)
        await talk.ask(f"/admin approve {GUEST}", OWNER)
        for chat_id in (GUEST, ME):
            for typed in ("/alert ratio > 0.9", "/summary on 18:30", "/settings theme dark", "/pin"):
                await talk.ask(typed, chat_id)
        await talk.ask("/alert ratio > 0.8", GROUP, user_id=GUEST)
        await talk.database.run(fill)

    folder = tmp_path_factory.mktemp("lived-in")
    return prepared(sample, folder, live, **WHERE)


@pytest.fixture
async def home(lived_in: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(lived_in, tmp_path, **WHERE) as talk:
        talk.api.chat(GUEST)
        talk.api.chat(GROUP).members.update({GUEST: "administrator", YOU: "member"})
        yield talk


def mentions(db: sqlite_utils.Database, number: int) -> dict[str, int]:
    """Table -> rows in which a number stands, in whatever column."""
    counts: dict[str, int] = {}
    for table in db.tables:
        count = sum(str(number) in " ".join(map(str, row.values())) for row in table.rows)
        counts |= {table.name: count} if count else {}
    return counts


def test_privacy_names_every_table_about_chats_and_the_guest_has_something_in_each(lived_in: Path) -> None:
    with open_database(lived_in) as database:
        tables = set(database.run_sync(chat_store.chat_row_conditions))
        assert set(database.run_sync(lambda db: chat_store.export_chat(db, GUEST))) == tables == set(STORED)


async def test_deleted_after_a_confirmation_nothing_names_the_chat_any_more(home: Talk) -> None:
    others = await home.database.run(lambda db: chat_store.export_chat(db, ME))
    before = await home.database.run(rows)
    for typed in ("/forgetme yes", "/FORGETME YES", "/forget yes", "forgetme yes"):
        assert (await home.ask(typed, GUEST))[0].text.startswith("Delete everything about this chat?")
    (question,) = await home.ask("/forgetme", GUEST)
    assert question.text == (
        "Delete everything about this chat?\n"
        "Settings, 1 alert, 1 event, 2 summaries, 3 messages, 5 other rows. This cannot be undone.\n"
        "Its access is deleted too: it would have to ask again."
    )
    assert await home.database.run(rows) == before
    (gone,) = await home.press(question, "Delete everything")
    assert gone.text.startswith("Deleted: settings, 1 alert, 1 event, ")
    assert gone.message_id == question.message_id
    assert await home.database.run(lambda db: mentions(db, GUEST)) == {}
    assert await home.database.run(lambda db: chat_store.export_chat(db, ME)) == others
    assert [row["owner_id"] for row in await home.rows("alerts") if row["chat_id"] == GROUP] == [0]
    gone.markup = {"inline_keyboard": [[{"text": "Delete everything", "callback_data": "e/forgetme yes"}]]}
    assert await home.press(gone, "Delete everything") == []  # the second of two quick taps
    assert await home.database.run(lambda db: mentions(db, GUEST)) == {}
    assert (await home.ask("/status", GUEST))[0].text.startswith("This bot is private.")


async def test_a_table_added_later_is_found_by_its_columns(home: Talk) -> None:
    def add(db: sqlite_utils.Database) -> None:
        db.execute("CREATE TABLE later (id INTEGER PRIMARY KEY, chat_id INTEGER)")
        db.execute("CREATE TABLE deeper (id INTEGER PRIMARY KEY, alert_id INTEGER)")
        db.execute("INSERT INTO later (chat_id) VALUES (?), (?)", (GUEST, ME))
        db.execute("INSERT INTO deeper (alert_id) SELECT alert_id FROM alerts")

    await home.database.run(add)
    await home.forget(GUEST)
    assert [row["chat_id"] for row in await home.rows("later")] == [ME]
    assert len(await home.rows("deeper")) == len(await home.rows("alerts"))


async def test_a_failure_half_way_deletes_nothing(home: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await home.database.run(rows)
    whole = chat_store.chat_row_conditions

    def with_a_hole(db: sqlite_utils.Database) -> dict[str, str]:
        return {**whole(db), "no_such_table": "1"}

    with monkeypatch.context() as broken:
        broken.setattr(chat_store, "chat_row_conditions", with_a_hole)
        await home.forget(GUEST)
    assert await home.database.run(rows) == before


async def test_a_deletion_delivered_again_deletes_nothing_new(home: Talk) -> None:
    (question,) = await home.ask("/forgetme")
    home.api.press(question.message_id, "e/forgetme yes")
    (update,) = home.api.updates
    await home.answers()
    await home.ask("/alert ratio > 0.7")
    await home.deliver(update)
    assert [row["rule"] for row in await home.rows("alerts") if row["chat_id"] == ME] == ["ratio > 0.7"]


async def test_while_its_message_is_on_the_way_a_chat_can_be_forgotten(home: Talk) -> None:
    after_the_halt = home.now + dt.timedelta(hours=2)
    (claimed,) = await home.database.run(lambda db: claim(db, after_the_halt, only_chat=GUEST))
    await home.forget(GUEST)
    assert not await home.database.run(lambda db: outbox.mark_sent(db, claimed.id, 1, home.now))
    assert await home.database.run(lambda db: mentions(db, GUEST)) == {}


def exported(message: Any) -> Json:  # noqa: ANN401 - an ApiMessage
    content: Json = json.loads(message.file.content)
    return content


async def test_the_export_is_everything_of_this_chat_and_nothing_of_another(home: Talk) -> None:
    text, file = await home.ask("/export", GUEST)
    assert text.text.startswith("Everything stored about this chat\nSettings, 1 alert, 1 event, ")
    content = exported(file)
    whole = await home.database.run(lambda db: chat_store.export_chat(db, GUEST))
    assert {table: len(rows) for table, rows in content["tables"].items()} == {
        table: len(rows) for table, rows in whole.items()
    }
    assert {row["chat_id"] for rows in content["tables"].values() for row in rows if "chat_id" in row} == {GUEST}
    (alert,) = content["tables"]["alerts"]
    assert alert["rule_json"]["conditions"]
    assert alert["rule"] == "ratio > 0.9"
    assert content["chat"] == GUEST


async def test_privacy_is_one_screen_that_names_the_days(home: Talk) -> None:
    (answer,) = await home.ask("/privacy")
    assert len(answer.text) < 1000
    assert "kept 14 days" in answer.text
    assert "messages for 90 days after they were sent, what alerts did for 3 years" in answer.text
    (question,) = await home.press(answer, "Delete")
    (page,) = await home.press(question, "Keep it")
    assert page.text == answer.text


async def test_a_group_about_which_nobody_was_asked_yet_may_ask_anew(home: Talk) -> None:
    about = [row for row in await home.rows("outbox") if row["dedup"].startswith(f"access:{ELSEWHERE}:")]
    assert [row["status"] for row in about] == ["queued"]
    await home.forget(GUEST)
    assert ELSEWHERE not in [row["chat_id"] for row in await home.rows("access")]
    assert (await home.ask("/start", ELSEWHERE, user_id=YOU))[0].text.startswith("This bot is private.")
    await home.bot.delivery.drain()
    assert f"{ELSEWHERE}" in home.api.messages(OWNER)[-1].text


async def test_what_was_asked_of_the_owner_about_a_group_stays_asked(home: Talk) -> None:
    await home.bot.delivery.drain()
    await home.forget(GUEST)
    assert [row["status"] for row in await home.rows("access") if row["chat_id"] == ELSEWHERE] == ["asked"]
    assert await home.database.run(lambda db: mentions(db, GUEST)) == {}


async def test_without_backups_none_are_named(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path, enabled=False) as talk:
        assert "backups" not in (await talk.ask("/privacy"))[0].text
        await talk.ask("/alert ratio > 0.9")
        assert "Backups" not in (await talk.forget())[0].text


async def test_where_nothing_is_stored_nothing_is_asked(talk: Talk) -> None:
    for typed in ("/export", "/forgetme", "/forgetme yes"):
        assert [m.text for m in await talk.ask(typed)] == ["Nothing is stored about this chat."]
    (answer,) = await talk.ask("/forgetme alerts")
    assert answer.text == ("“alerts” is not understood; /forgetme asks before it deletes.\nSee: /forgetme")
