"""Revised figures, through storage: one correction for what was sent, none for what was not."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from bot.alerts.engine import State
from bot.jobs.deferred import send_deferred
from storage import alert_store, chat_store, outbox
from tests.jobs.desk import DAYS, RULE, Desk, after_close
from tests.storage.messages import claim
from tests.titles import title_of

pytestmark = pytest.mark.usefixtures("quiet")


async def revise(desk: Desk, levels: Sequence[float | None], first: int = 0, *, hours: float = 2) -> None:
    """Other closes for some sessions, told some hours after the close of the newest one."""
    now = desk.now
    await desk.closes(levels, DAYS[first])
    desk.now = now + dt.timedelta(hours=hours)
    await desk.evaluate()


async def send(desk: Desk, message_id: int = 70) -> None:
    """Everything that waits is sent."""

    def write(db: Any) -> None:  # noqa: ANN401 - sqlite-utils
        for row in claim(db, desk.now, 50):
            outbox.mark_sent(db, row.id, message_id, desk.now)

    await desk.database.run(write)


async def fired(desk: Desk) -> None:
    """An alert has fired, and its message was sent."""
    await desk.alert(RULE)
    await desk.evaluate([0.65])
    await send(desk)


async def log(desk: Desk) -> list[str]:
    rows = await desk.query("SELECT * FROM alert_events ORDER BY event_id")
    return [f"{row['session']} {row['transition']} {row['value']} r{row['revision']}" for row in rows]


async def test_fired_on_a_bar_that_was_revised_away_then_truly_crossed_two_days_later(desk: Desk) -> None:
    await fired(desk)
    await revise(desk, [0.58])
    await desk.evaluate([0.58], DAYS[1])
    await desk.evaluate([0.62], DAYS[2])
    first, correction, again = await desk.messages()
    assert title_of(first) == "#1 fired · close of Thu 16 Jan 2020"
    assert correction.splitlines() == [
        "Correction: “IWM/SPY crossed above 0.6” no longer holds",
        "It was reported for the close of Thu 16 Jan 2020; its figures have been revised since.",
        "ratio, 16 Jan 2020: 0.6500 → 0.5800.",
        "#1: ratio > 0.6 rearm 0.55",
        "ratio: 0.5800 against 0.6 (−3.33%).",
        "Armed.",
        "Source: CSV import.",
    ]
    assert title_of(again) == "#1 fired · close of Tue 21 Jan 2020"
    assert "Fired once in 90 days." in again
    assert [payload.get("reply_to") for payload in await desk.payloads()] == [None, 70, None]
    for _ in range(3):
        desk.restart()
        await desk.evaluate()
    assert await log(desk) == ["2020-01-16 fired 0.65 r0", "2020-01-16 withdrawn 0.58 r1", "2020-01-21 fired 0.62 r0"]


async def test_each_revision_is_told_once_there_and_back(desk: Desk) -> None:
    await fired(desk)
    await revise(desk, [0.58])
    await send(desk)
    await revise(desk, [0.66], hours=3)
    await send(desk)
    await revise(desk, [0.57], hours=4)
    titles = [title.split(" · ")[0] for title in await desk.titles()]
    assert titles == ["#1 fired", "#1 Correction"] * 2
    assert await log(desk) == [
        "2020-01-16 fired 0.65 r0",
        "2020-01-16 withdrawn 0.58 r1",
        "2020-01-16 fired 0.66 r2",
        "2020-01-16 withdrawn 0.57 r3",
    ]


async def test_a_message_that_was_not_sent_says_the_figures_of_now_or_is_taken_back(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.65])
    await revise(desk, [0.63])
    (text,) = await desk.messages()
    assert "0.6300 against 0.6 (+5.00%), close of Thu 16 Jan 2020. Before: 0.5000." in text
    assert "Fired once in 90 days." in text
    assert await log(desk) == ["2020-01-16 fired 0.65 r0", "2020-01-16 restated 0.63 r1"]
    await revise(desk, [0.58], hours=3)
    assert await desk.messages() == []
    assert (await log(desk))[2:] == ["2020-01-16 withdrawn 0.58 r2"]


@pytest.mark.parametrize("level", [0.65, 0.66])
async def test_an_unsent_fire_that_a_cooldown_mutes_now_is_not_sent(desk: Desk, level: float) -> None:
    await desk.alert(f"{RULE} cooldown 5")
    await desk.evaluate([0.5, 0.5])
    await desk.evaluate([0.65], DAYS[2])
    await revise(desk, [0.65, 0.5, level])
    assert await desk.titles() == ["#1 fired · close of Thu 16 Jan 2020"]
    await revise(desk, [0.5, 0.5, level], hours=3)
    assert await desk.titles() == ["#1 fired · close of Tue 21 Jan 2020"]
    await revise(desk, [0.5, 0.5, 0.5], hours=4)
    assert await desk.messages() == []


async def test_a_line_that_a_cooldown_mutes_now_is_taken_out_and_a_sent_one_still_corrected(desk: Desk) -> None:
    await desk.alert(f"{RULE} cooldown 5")
    await desk.alert("ratio > 0.64 rearm 0.6")
    await desk.evaluate([0.5, 0.5, 0.65, 0.65])
    await revise(desk, [0.65, 0.5, 0.66, 0.65])
    first, second = await desk.messages()
    assert [line.split(" · ")[1:] for line in first.splitlines()[1:]] == [
        ["#2 ratio > 0.64 rearm 0.6", "0.6600, still true (CSV import)"]
    ]
    assert second.startswith("Late: 2 events")
    await send(desk)
    await revise(desk, [0.65, 0.5, 0.65, 0.65], hours=3)
    await revise(desk, [0.65, 0.5, 0.5, 0.5], hours=4)
    assert [title.split(" · ")[0] for title in (await desk.titles())[2:]] == ["#2 Correction"]


async def test_a_sent_fire_that_stays_true_is_not_corrected(desk: Desk) -> None:
    await fired(desk)
    await revise(desk, [0.63])
    assert len(await desk.messages()) == 1
    await revise(desk, [0.58], hours=3)
    assert len(await desk.messages()) == 2


async def test_a_fire_that_appears_is_told_late(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.58, 0.5])
    await revise(desk, [0.65, 0.5])
    (text,) = await desk.messages()
    assert title_of(text) == "#1 fired · close of Thu 16 Jan 2020"
    assert "Late by 1 session" in text


async def test_a_session_that_was_missing_and_came_late_is_evaluated(desk: Desk) -> None:
    await desk.alert(RULE)
    levels: list[float | None] = [None, *([0.5] * 6)]
    await desk.evaluate(levels)
    assert await desk.evaluated_up_to(1) == DAYS[6]
    await revise(desk, [0.65])
    (text,) = await desk.messages()
    assert title_of(text) == "#1 fired · close of Thu 16 Jan 2020"


async def test_a_revision_older_than_the_kept_sessions_changes_nothing(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.65, *([0.64] * 12)])
    await send(desk)
    await revise(desk, [0.58])
    assert len(await desk.messages()) == 1


async def test_once_is_active_again_when_its_fire_is_gone(desk: Desk) -> None:
    await desk.alert("ratio > 0.6 once")
    await desk.evaluate([0.65])
    await send(desk)
    assert await desk.life(1) == "done: fired once"
    await revise(desk, [0.58])
    assert await desk.life(1) == "active"
    assert (await desk.messages())[1].splitlines()[5] == "Armed."
    await desk.evaluate([0.62], DAYS[1])
    assert await desk.life(1) == "done: fired once"
    assert len(await desk.messages()) == 3


async def test_what_ended_by_hand_is_not_corrected(desk: Desk) -> None:
    await fired(desk)
    await desk.database.run(lambda db: alert_store.switch_off(db, 1))
    await revise(desk, [0.58])
    assert len(await desk.messages()) == 1


async def test_a_paused_alert_is_corrected_and_fires_no_more(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.alert("ratio > 0.7")
    await desk.evaluate([0.65])
    await send(desk)
    await desk.database.run(lambda db: [alert_store.update_alert(db, alert, life="paused") for alert in (1, 2)])
    await revise(desk, [0.58])
    titles = [title.split(" · ")[0] for title in await desk.titles()]
    assert titles == ["#1 fired", "#1 Correction"]
    assert await desk.life(1) == "paused"
    await revise(desk, [0.75], hours=3)
    assert len(await desk.messages()) == 2


async def test_a_line_is_taken_out_of_a_list_that_was_not_sent(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.alert("ratio > 0.62 rearm 0.61")
    await desk.evaluate([0.65, 0.65])
    (text,) = await desk.messages()
    assert text.splitlines()[0] == "Late: 2 events, evaluated only now, newest first"
    await revise(desk, [0.615, 0.65])
    text, *more = await desk.messages()
    assert text.splitlines() == [
        "Late: 1 event, evaluated only now",
        "16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6150, still true (CSV import)",
    ]
    assert [title_of(text) for text in more] == ["#2 fired · close of Fri 17 Jan 2020"]
    await revise(desk, [0.5, 0.5], hours=3)
    assert await desk.messages() == []


@pytest.mark.parametrize(("status", "messages"), [("sending", 2), ("ambiguous", 2), ("dead", 1)])
async def test_a_message_that_may_have_arrived_is_corrected_and_one_that_nobody_got_is_not(
    desk: Desk, status: str, messages: int
) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.65])
    await desk.change("UPDATE outbox SET status = ?", (status,))
    await revise(desk, [0.58])
    assert len(await desk.messages()) == messages


async def test_what_is_held_is_forgotten_or_told_with_the_figures_of_now(desk: Desk) -> None:
    await desk.database.run(lambda db: chat_store.ensure_chat(db, 1, "private", "", desk.now))
    await desk.database.run(lambda db: chat_store.set_preferences(db, 1, quiet_from="16:00", quiet_to="07:00"))
    await desk.alert(RULE)
    await desk.alert("ratio > 0.62 rearm 0.55")
    await desk.evaluate([0.65])
    await revise(desk, [0.61])
    desk.now = after_close(DAYS[1], -4)
    await send_deferred(desk.services)
    (text,) = await desk.messages()
    assert title_of(text).startswith("#1 fired")
    assert "0.6100 against 0.6 (+1.67%), close of Thu 16 Jan 2020. Before: 0.5000." in text


async def test_a_correction_waits_for_the_end_of_a_snooze(desk: Desk) -> None:
    await fired(desk)
    until = desk.now + dt.timedelta(days=1)
    await desk.database.run(partial(alert_store.update_alert, alert_id=1, snoozed_until=until))
    await revise(desk, [0.58])
    assert len(await desk.messages()) == 1
    desk.now = until
    await send_deferred(desk.services)
    text = await desk.messages()
    assert text[1].splitlines()[2] == "ratio, 16 Jan 2020: 0.6500 → 0.5800."


async def test_a_correction_and_a_fire_after_a_snooze_are_one_list(desk: Desk) -> None:
    await fired(desk)
    until = after_close(DAYS[1], 2)
    await desk.database.run(partial(alert_store.update_alert, alert_id=1, snoozed_until=until))
    await revise(desk, [0.58])
    await desk.evaluate([0.62], DAYS[1])
    desk.now = until
    await send_deferred(desk.services)
    assert (await desk.messages())[1].splitlines() == [
        "2 events while alerts were snoozed, newest first",
        "17 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6200, still true (CSV import)",
        ("16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · withdrawn: ratio, 16 Jan 2020: 0.6500 → 0.5800 (CSV import)"),
    ]


async def test_a_confirmed_fire_moves_with_the_session_that_was_revised(desk: Desk) -> None:
    await desk.alert("ratio > 0.6 confirm 2")
    await desk.evaluate([0.65, 0.65])
    await send(desk)
    await revise(desk, [0.58])
    _, correction = await desk.messages()
    assert correction.splitlines()[2:6] == [
        "ratio, 16 Jan 2020: 0.6500 → 0.5800.",
        "#1: ratio > 0.6 confirm 2",
        "ratio: 0.6500 against 0.6 (+8.33%).",
        "Confirming, 1 of 2.",
    ]


async def test_the_state_after_a_revision_is_the_stored_one(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.65, 0.62])
    await revise(desk, [0.58, 0.58])
    rows = await desk.query("SELECT session, state FROM alert_states ORDER BY session")
    statuses = [(row["session"], State.from_json(row["state"]).status) for row in rows]
    assert statuses == [("2020-01-15", "armed")]
    await revise(desk, [0.58, 0.7], hours=3)
    rows = await desk.query("SELECT session, state FROM alert_states ORDER BY session")
    assert [State.from_json(row["state"]).status for row in rows] == ["armed", "fired"]


async def test_only_alerts_that_changed_figures_can_turn_are_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in (RULE, "ratio > 0.7", "corr 5 > 0.9", "ratio < 0.45 confirm 2"):
        await desk.alert(rule)
    await desk.evaluate([0.5])
    read: list[list[int]] = []
    real = alert_store.stored_states

    def noted(db: Any, alert_ids: list[int]) -> dict[int, list[str]]:  # noqa: ANN401 - sqlite-utils
        read.append(alert_ids)
        return real(db, alert_ids)

    monkeypatch.setattr(alert_store, "stored_states", noted)
    await desk.evaluate([0.5], DAYS[1])
    await revise(desk, [0.51], 1)
    assert read == []
    await revise(desk, [0.65], 1)
    await revise(desk, [0.44], 1)
    assert read == [[1], [1, 4]]  # the first, because it turned


async def test_an_alert_that_broke_after_its_fire_says_so_once(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.65])
    await desk.change("UPDATE alerts SET rule_json = '{'")
    for first, level in enumerate((0.65, 0.5), start=1):
        await desk.evaluate([level], DAYS[first])
    desk.restart()
    await revise(desk, [0.58])
    titles = [title.split(":")[0] for title in await desk.titles()]
    assert titles == ["#1 fired · close of Thu 16 Jan 2020", "Alert #1 is paused"]
