"""The daily summary in a chat."""

import datetime as dt

from storage import chat_store
from tests.chat.talk import ME, RULE, STEP, Talk

ZONE = "America/New_York"


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
        assert f"Daily summary at {at} ({ZONE}), on {days} with a new close." in choice.text
        await talk.database.run(lambda db: chat_store.forget_chat(db, ME))


async def test_without_a_word_the_choice_is_buttons_that_work(talk: Talk) -> None:
    (choice,) = await talk.ask("/summary")
    assert choice.text.startswith("The summary is off.\n")
    (on,) = await talk.press(choice, "On 16:30")
    assert on.message_id == choice.message_id
    (off,) = await talk.press(on, "Off")
    assert off.text == "The summary is off.\nOn again: /summary on 18:30"
    assert [row["summary_at"] for row in await talk.rows("chats")] == [None]


async def test_weekly_comes_after_the_last_session_of_each_week(talk: Talk) -> None:
    talk.now = dt.datetime(2020, 10, 5, 12, tzinfo=dt.UTC)  # a Monday
    (answer,) = await talk.ask("/summary weekly")
    assert answer.text.startswith(f"Weekly summary at 18:30 ({ZONE}), after the last session of each week.\n")
    await talk.ask(f"/alert {RULE}")
    pushed = {}
    for day in range(6, 21):
        moment = dt.datetime(2020, 10, day, 22, 31, tzinfo=dt.UTC)
        for message in await talk.pass_to(moment):
            if "Weekly summary" in message.text:
                pushed[day] = message.text
    assert list(pushed) == [9, 16]
    assert pushed[9].splitlines()[0].endswith(" · Fri 9 Oct 2020")
    assert "Fired: Trend breaks (Tue)." in pushed[9].splitlines()
    assert "No alert fired." in pushed[16].splitlines()
    talk.now += STEP
    (now,) = await talk.ask("/summary weekly now")
    assert now.text.splitlines()[0].endswith(" · Tue 20 Oct 2020")


async def test_now_shows_it_at_once_with_the_alerts_that_are_on(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")
    await talk.ask("/alert ratio > 0.8")
    await talk.ask("/alert 2 pause")
    (answer,) = await talk.ask("/summary now")
    assert answer.text.startswith("IWM's largest inflow on record (from 31 Dec 2009): ")
    assert "#1 IWM/SPY above 0.9" in answer.text
    assert "#2" not in answer.text
    assert await talk.rows("outbox") == []
