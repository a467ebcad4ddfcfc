"""An alert's life in a chat: made, looked at, fired, paused, resumed, switched off."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from bot.services.alerts import MOST_ALERTS
from storage import alert_store, chat_store, observations
from storage.rows import Bar
from tests.chat.talk import ME, YOU, labels, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import sqlite_utils

    from tests.chat.talk import Talk


RULE = "ratio > sma 200"
OCTOBER = dt.datetime(2020, 10, 5, 22, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


async def lives(talk: Talk) -> list[tuple[int, str]]:
    return [(row["number"], row["life"]) for row in await talk.rows("alerts")]


async def test_a_rule_becomes_an_alert_that_says_where_it_stands(talk: Talk) -> None:
    talk.now = OCTOBER
    (made,) = await talk.ask("/alert Trend crosses above its 200 day average")
    assert made.text.startswith(f"Alert #1 {RULE}\nSample data: ")
    assert "below sma 200" in made.text
    assert "Next check: Tue 6 Oct 2020, 16:15 (New York)" in made.text
    (row,) = await talk.rows("alerts")
    assert (row["chat_id"], row["owner_id"], row["number"], row["rule"]) == (ME, ME, 1, RULE)


async def test_it_is_pushed_once_when_it_fires_and_every_button_answers_beside_it(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE}")
    (pushed,) = await talk.pass_to(OCTOBER + DAY)
    assert pushed.text.startswith("Alert #1 fired · close of Tue 6 Oct 2020")
    assert await talk.pass_to(OCTOBER + DAY) == []
    said, edits = pushed.text, pushed.edits

    (why,) = await talk.press(pushed, "Why")
    assert why.text.startswith("Why #1 fired · close of Tue 6 Oct 2020")
    assert "Inputs as stored: sample data, observed 13 Dec 2020, 18:00 UTC." in why.text
    chart, picture = await talk.press(pushed, "#1 Chart")
    assert chart.text.startswith("Alert #1 ratio > sma 200\n")
    assert picture.photo
    (paused,) = await talk.press(pushed, "Pause")
    assert "Resume" in labels(paused)
    (off,) = await talk.press(pushed, "Off")
    assert off.text == f"Alert #1 is off.\n{RULE}"
    assert (pushed.text, pushed.edits) == (said, edits)
    assert (await talk.ask("/history"))[0].text == (
        "One event\n6 Oct 2020 · #1 ratio > sma 200 · fired at 0.4676\n\nSource: sample data."
    )


async def test_a_fire_that_came_again_after_it_was_taken_back_stands(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE}")
    (pushed,) = await talk.pass_to(OCTOBER + DAY)
    (fire,) = await talk.database.run(lambda db: alert_store.list_events(db, alert_id=1))

    def store(transition: str, revision: int) -> Callable[[sqlite_utils.Database], object]:
        return lambda db: alert_store.add_event(
            db,
            alert_id=1,
            session=fire.session.isoformat(),
            transition=transition,
            now=talk.now,
            value=fire.value,
            detail=fire.detail,
            revision=revision,
        )

    back = "It was withdrawn when the data was revised."
    await talk.database.run(store("withdrawn", 1))
    assert back in (await talk.press(pushed, "Why"))[0].text
    await talk.database.run(store("fired", 2))
    assert back not in (await talk.press(pushed, "Why"))[0].text


async def test_history_turns_to_older_events(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")

    def fires(db: sqlite_utils.Database) -> None:
        for day in range(1, 27):
            alert_store.add_event(
                db, alert_id=1, session=f"2020-10-{day:02}", transition="fired", now=talk.now
            )

    await talk.database.run(fires)
    for typed in ("/history", "/history 1"):
        (newest,) = await talk.ask(typed)
        assert "26 Oct 2020 · #1" in newest.text
        assert "\n6 Oct 2020" not in newest.text
        (turned,) = await talk.press(newest, "Older ›")
        assert [line.split(" · ")[0] for line in turned.text.splitlines()[1:7]] == [
            f"{day} Oct 2020" for day in range(6, 0, -1)
        ]
        (again,) = await talk.press(turned, "‹ Newer")
        assert again.text == newest.text


async def test_an_alert_for_one_fire_is_done_and_can_still_be_looked_at(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE} once")
    (pushed,) = await talk.pass_to(OCTOBER + DAY)
    assert [label for label in labels(pushed) if label in {"Pause", "Off"}] == []
    assert (await talk.press(pushed, "Why"))[0].text.startswith("Why #1 fired")
    assert (await talk.press(pushed, "#1 Chart"))[-1].photo
    (ended,) = await talk.ask("/alert 1 pause")
    assert ended.text == "Alert #1 has ended (fired once).\nExample: /alert 1 renew"
    assert await lives(talk) == [(1, "done")]
    assert (await talk.ask("/alerts"))[0].text.startswith("No alerts yet.")


async def test_pausing_holds_it_back_and_resuming_begins_afresh(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE}")
    (paused,) = await talk.ask("/alert 1 PAUSE")
    assert "\nPaused" in paused.text
    assert (await talk.ask("/alert #1 pause"))[0].text == "Alert #1 is paused already.\nExample: /alert 1"
    assert await talk.pass_to(OCTOBER + 30 * DAY) == []
    (resumed,) = await talk.press(paused, "Resume")
    assert resumed.message_id == paused.message_id
    assert [row["session"] for row in await talk.rows("alert_states")] == ["2020-11-04"]
    assert (await talk.ask("/alert 1 resume"))[0].text == "Alert #1 is active already.\nExample: /alert 1"
    assert await talk.pass_to(OCTOBER + 60 * DAY) == []


async def test_switched_off_it_can_be_looked_at_and_taken_back_by_one_tap(talk: Talk) -> None:
    await talk.ask("/alert excess 3m > 50pp")
    (off,) = await talk.ask("/alert 1 off")
    (ended,) = await talk.ask("/alert 1")
    assert "\nEnded: switched off.\n" in ended.text
    assert labels(ended) == ["#1 Chart", "Why", "History", "Renew", "All alerts"]
    assert (await talk.ask("/alerts"))[0].text.startswith("No alerts yet.")
    (again,) = await talk.press(off, "Undo")
    assert again.text.startswith(
        "Alert #1 excess 3m > 50pp\nIt had ended (switched off) and starts afresh.\n"
    )
    assert await lives(talk) == [(1, "active")]


@pytest.mark.parametrize(
    ("typed", "said", "example"),
    [
        ("/alert 9", "There is no alert #9 in this chat. Your alerts: /alerts", ""),
        ("/alert #9 pause", "There is no alert #9 in this chat. Your alerts: /alerts", ""),
        (f"/alert {10**30}", f"There is no alert #{10**30} in this chat. Your alerts: /alerts", ""),
        (
            "/alert 1 puase",
            "“puase” is not something you can do with an alert. Did you mean pause?",
            "/alert 1 pause",
        ),
        (
            "/alert 1 edti",
            "“edti” is not something you can do with an alert. Did you mean edit?",
            "/alert 1 edit",
        ),
        (
            "/alert 1 2",
            (
                "“2” is not something you can do with an alert. "
                "You can: why, chart, test, history, edit, snooze, pause, resume, renew, off, rescale, "
                "back."
            ),
            "/alert 1",
        ),
        (
            "/alert 1 pause now",
            "“pause” takes no more words, but “now” follows.",
            "/alert 1 pause",
        ),
        ("/alert ratio >  SMA 200", "Alert #1 has this rule already (active).", "/alert 1"),
        (
            "/alert excess 3m > 5",
            "“5” has no unit; this needs percentage points (pp).",
            "/alert excess 3m > 5pp",
        ),
        (
            "/alert ratio",
            "The rule stops after “ratio”; expected a comparison (>, <, >=, <=, crosses).",
            "/alert ratio > sma 200",
        ),
        (
            f"/alert ratio > {'9' * 500}",
            "A rule has at most 500 characters, not 508.",
            "/alert ratio > sma 200",
        ),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    typed: str, said: str, example: str, talk: Talk
) -> None:
    await talk.ask(f"/alert {RULE}")
    before = await talk.rows("alerts")
    (answer,) = await talk.ask(typed)
    assert answer.text == said + (f"\nExample: {example}" if example else "")
    assert await talk.rows("alerts") == before


async def test_a_mistakes_example_can_be_tapped(talk: Talk) -> None:
    (refused,) = await talk.ask("/alert excess 3m > 5")
    (made,) = await talk.press(refused, "Try the example")
    assert made.text.startswith("Alert #1 excess 3m > 5pp")
    assert made.message_id == refused.message_id


async def test_fifty_alerts_are_the_most_and_still_fit_a_list(talk: Talk) -> None:
    def fill(db: sqlite_utils.Database) -> None:
        (first,) = db["alerts"].rows
        current = alert_store.current_state(db, first["alert_id"])
        assert current is not None
        for level in range(1, MOST_ALERTS):
            row = alert_store.add_alert(
                db, chat_id=ME, owner_id=ME, rule=f"ratio > {level}",
                rule_json=first["rule_json"].replace("0.9", str(level)), now=talk.now,
            )  # fmt: skip
            alert_store.save_state(db, row.alert_id, "2020-12-11", current.state)

    await talk.ask("/alert ratio > 0.9")
    await talk.database.run(fill)
    (refused,) = await talk.ask("/alert ratio > 0.8")
    assert refused.text == (
        "This chat has 50 alerts, the most that are allowed. Switch one off first.\nExample: /alerts"
    )
    (page,) = await talk.press(refused, "Try the example")
    found = [label for label in labels(page) if label.startswith("#")]
    while "›" in (last := (labels(page))[-1]):
        (page,) = await talk.press(page, last)
        found += [label for label in labels(page) if re.fullmatch(r"#\d+", label)]
    assert [label for label in found if " " not in label] == [f"#{number}" for number in range(1, 51)]
    (one,) = await talk.press(page, "#50")
    assert one.text.startswith("Alert #50 ratio > 49")
    await talk.press(one, "Off")
    assert (await talk.ask("/alert ratio > 0.8"))[0].text.startswith("Alert #51 ")


async def test_an_alert_is_its_chats_alone(talk: Talk) -> None:
    talk.api.chat(YOU)
    await talk.ask(f"/alert {RULE}")
    for typed in ("/alert 1", "/alert 1 off", "/alert 1 why", "/alert 1 chart", "/history 1"):
        (answer,) = await talk.ask(typed, YOU)
        assert answer.text == "There is no alert #1 in this chat. Your alerts: /alerts"
    assert (await talk.ask("/alerts", YOU))[0].text.startswith("No alerts yet.")
    assert (await talk.ask("/history", YOU))[0].text == "Nothing has fired yet.\nYour alerts: /alerts"
    (made,) = await talk.ask(f"/alert {RULE}", YOU)
    assert made.text.startswith("Alert #1 ")
    assert {(row["chat_id"], row["life"]) for row in await talk.rows("alerts")} == {
        (ME, "active"),
        (YOU, "active"),
    }


async def test_why_before_any_fire_says_where_it_stands(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE}")
    (why,) = await talk.ask("/alert 1 why")
    assert why.text.startswith(f"Alert #1 {RULE}")
    assert why.text.endswith("It has not fired yet.")


async def test_what_fired_while_the_chat_had_left_is_not_lost_to_the_list(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE}")
    await talk.database.run(lambda db: chat_store.deactivate(db, ME, "kicked"))
    assert await talk.pass_to(OCTOBER + DAY) == []
    await talk.ask("/start")
    assert "#1" in (await talk.ask("/alerts"))[0].text


@pytest.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[Talk]:
    """A bot whose prices stop at Wed 15 Jan 2020, two sessions ago, which it has noticed."""
    async with talking(None, tmp_path) as talk:
        talk.api.chat(ME)
        await closes(talk, "2020-01-14", "2020-01-15")
        talk.now = dt.datetime(2020, 1, 18, 12, tzinfo=dt.UTC)
        await talk.bot.scheduler.evaluate()
        yield talk


async def closes(talk: Talk, *days: str) -> None:
    rows = [Bar(fund, day, 100.0) for day in days for fund in ("IWM", "SPY")]
    at = f"{talk.now:%Y-%m-%dT%H:%M:%SZ}"
    await talk.database.run(lambda db: observations.add(db, Bar, rows, source="csv", observed_at=at))


async def test_an_alert_made_while_data_is_stale_says_so_and_is_told_when_it_is_back(stopped: Talk) -> None:
    (made,) = await stopped.ask("/alert ratio > 2")
    stale = (
        "Data stale: prices end on 15 Jan 2020. The alert waits; you get one message when the data is back."
    )
    assert stale in made.text.splitlines()
    assert await stopped.pass_to(stopped.now) == []  # said already
    await closes(stopped, "2020-01-16", "2020-01-17")
    (back,) = await stopped.pass_to(stopped.now)
    assert back.text.splitlines()[0] == "Data back: prices"
    (made,) = await stopped.ask("/alert ratio > 3")
    assert "Data stale" not in made.text


async def test_an_alert_that_begins_again_while_data_is_stale_says_so(stopped: Talk) -> None:
    for line in ("ratio > 2", "1 pause", "1 resume", "1 edit confirm 2", "1 off", "1 renew"):
        (said,) = await stopped.ask(f"/alert {line}")
        assert ("Data stale: prices end on 15 Jan 2020." in said.text) is (
            line not in {"1 pause", "1 off"}
        ), line


async def test_an_alert_on_other_figures_than_the_stale_ones_says_nothing_of_them(stopped: Talk) -> None:
    (made,) = await stopped.ask("/alert flow iwm 5d > $1bn")
    assert "Data stale" not in made.text
    await closes(stopped, "2020-01-16", "2020-01-17")
    assert await stopped.pass_to(stopped.now) == []


async def test_an_alert_that_cannot_be_read_is_named_and_can_be_switched_off(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask("/alert ratio > 0.7")
    await talk.ask("/alert ratio > 0.8")

    def damage(db: sqlite_utils.Database) -> None:
        db.execute("UPDATE alerts SET rule_json = replace(rule_json, 'ratio', 'ratios') WHERE number = 1")

    await talk.database.run(damage)
    why = "Alert #1 cannot be read (“ratios” is not a metric any more); switch it off and set it again."
    (listed,) = await talk.ask("/alerts")
    assert "#2 ratio > 0.8" in listed.text
    assert listed.text.splitlines()[-1] == why
    for deed in ("", " edit confirm 2", " renew", " back", " chart"):
        (said,) = await talk.ask(f"/alert 1{deed}")
        assert said.text == f"{why}\nExample: /alert 1 off"
    (summary,) = await talk.ask("/summary now")
    assert "#2 ratio > 0.8" in summary.text
    (off,) = await talk.ask("/alert 1 off")
    assert off.text.startswith("Alert #1 is off.")
    (listed,) = await talk.ask("/alerts")
    assert "cannot be read" not in listed.text
