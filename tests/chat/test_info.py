"""The daily summary in a chat, and the main job from the first question to the pushed messages."""

import datetime as dt
import shutil
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlite_utils

from bot.data.sample import SOURCE, between, sample_observations
from bot.data.store import store
from bot.messages.common import SAMPLE
from storage import chat_store
from storage.db import open_database
from tests.chat.talk import ME, STEP, Talk, labels, talking

MINUTE = dt.timedelta(minutes=1)
ZONE = "America/New_York"


def new_york(day: str, time: str) -> dt.datetime:
    """A local time of New York as an instant."""
    return dt.datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZoneInfo(ZONE)).astimezone(dt.UTC)


async def pass_to(talk: Talk, moment: dt.datetime) -> list[str]:
    """The clock goes to a moment and the scheduler ticks; first lines of what is pushed."""
    talk.now = moment
    before = len(talk.api.messages(ME))
    await talk.bot.scheduler.tick()
    return [message.text.splitlines()[0] for message in talk.api.messages(ME)[before:]]


TIMES = {
    "on": "18:30 every day",
    "on 18:30": "18:30 every day",
    "ON 7:45": "07:45 every day",
    "7.45": "07:45 every day",
    "on 00:00": "00:00 every day",
    "on 23:59": "23:59 every day",
    "weekdays": "18:30 weekdays",
    "on 7:45 weekdays": "07:45 weekdays",
    "daily": "18:30 every day",
    "daily 16:30": "16:30 every day",
}


async def test_the_summary_is_set_to_a_local_time_and_to_days(talk: Talk) -> None:
    for words, when in TIMES.items():
        talk.now += STEP
        (answer,) = await talk.ask(f"/summary {words}")
        at, days = when.split(maxsplit=1)
        assert answer.text.startswith(f"Daily summary at {at} ({ZONE}), on {days} with a new close."), words
        assert [row["summary_at"] for row in await talk.rows("chats")] == [at]
        (choice,) = await talk.ask("/summary")
        assert f"The daily summary comes at {at} ({ZONE}), on {days} with a new close." in choice.text
        await talk.database.run(lambda db: chat_store.forget_chat(db, ME))


async def test_without_a_word_the_choice_is_buttons_that_work(talk: Talk) -> None:
    (choice,) = await talk.ask("/summary")
    assert choice.text.startswith("Daily summary\nThe daily summary is off.")
    (on,) = await talk.press(choice, "On 16:30")
    assert on.message_id == choice.message_id
    (off,) = await talk.press(on, "Off")
    assert off.text == "Daily summary off.\nOn again: /summary on 18:30"
    assert [row["summary_at"] for row in await talk.rows("chats")] == [None]


async def test_now_shows_it_at_once_with_the_alerts_that_are_on(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")
    await talk.ask("/alert ratio > 0.8")
    await talk.ask("/alert 2 pause")
    (answer,) = await talk.ask("/summary now")
    assert answer.text.startswith(f"Daily summary · close of Fri 11 Dec 2020\n{SAMPLE}\n")
    assert "#1 ratio > 0.9" in answer.text
    assert "#2" not in answer.text
    assert await talk.rows("outbox") == []


async def test_what_was_due_before_it_was_asked_for_is_not_sent_after_the_fact(talk: Talk) -> None:
    talk.now = new_york("2020-12-01", "12:00")
    await talk.ask("/start")
    for day, time in (("2020-12-08", "12:00"), ("2020-12-09", "19:00")):
        talk.now = new_york(day, time)
        await talk.ask("/summary on 18:30")
        assert await pass_to(talk, talk.now + MINUTE) == []
        await talk.ask("/summary off")
    await talk.ask("/summary on 18:30")
    assert await pass_to(talk, new_york("2020-12-10", "18:30")) == [
        "Daily summary · close of Thu 10 Dec 2020"
    ]


def remove(db: sqlite_utils.Database, table: str, where: str, until: str) -> None:
    db.table(table).delete_where(where, [until])


def cut(sample: Path, folder: Path, until: str) -> Path:
    """The sample as it stood at the close of a session."""
    path = folder / "cut.db"
    shutil.copy(sample, path)
    with open_database(path) as database:
        for table in ("bars", "fund_facts", "multiples"):
            database.run_sync(partial(remove, table=table, where="session > ?", until=until))
        database.run_sync(partial(remove, table="distributions", where="ex_date > ?", until=until))
    return path


async def test_the_main_job_from_the_question_to_the_pushed_messages(sample: Path, tmp_path: Path) -> None:
    async with talking(cut(sample, tmp_path, "2020-10-05"), tmp_path) as talk:
        talk.now = new_york("2020-10-05", "17:00")
        text, picture = await talk.ask("/compare")
        assert text.text.startswith(f"IWM and SPY · close of Mon 5 Oct 2020\n{SAMPLE}\n")
        for part in ("Price return", "Total return", "Flows 20d", "P/E", "Ratio IWM/SPY"):
            assert part in text.text
        assert picture.photo
        (answer,) = await talk.ask("/alert ratio > sma 200")
        assert answer.text.startswith("Alert #1 ratio > sma 200")
        await talk.ask("/summary on 18:30")
        evening = new_york("2020-10-05", "18:30")
        assert await pass_to(talk, evening) == ["Daily summary · close of Mon 5 Oct 2020"]

        close = new_york("2020-10-06", "17:00")
        assert await pass_to(talk, close) == []  # the session is over, but nobody has its close yet
        with open_database(
            talk.bot.services.config.storage.database
        ) as other:  # as `import` does, beside the bot
            rows = between(sample_observations(), "2020-10-05", "2020-10-06")
            observed = f"{close:%Y-%m-%dT%H:%M:%SZ}"
            other.run_sync(lambda db: store(db, rows, source=SOURCE, observed_at=observed))
        assert await pass_to(talk, close + MINUTE) == ["Alert #1 fired · close of Tue 6 Oct 2020"]
        pushed = talk.api.messages(ME)[-1]
        assert {"#1 Chart", "Why", "Pause", "Off"} <= set(labels(pushed))
        assert "sample data" in pushed.text
        assert await pass_to(talk, close + 2 * MINUTE) == []

        evening = new_york("2020-10-06", "18:30")
        assert await pass_to(talk, evening) == ["Daily summary · close of Tue 6 Oct 2020"]
        summary = talk.api.messages(ME)[-1]
        assert "The ratio crossed above its 200-day average." in summary.text
        assert "#1 ratio > sma 200" in summary.text
        assert await pass_to(talk, evening + MINUTE) == []
        statuses = {(row["kind"], row["status"]) for row in await talk.rows("outbox")}
        assert statuses == {("alert", "sent"), ("summary", "sent")}
