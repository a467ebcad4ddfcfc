import datetime as dt
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlite_utils

from bot.jobs import commit
from bot.jobs.notify import NotifiedResult, Notifier
from bot.messages.alerts import notices
from storage import alert_store, chat_store, outbox
from storage.database import DiskFull
from tests.jobs.desk import DAYS, FIRST, QUIET, RULE, Desk, after_close, full_disk, sessions
from tests.titles import title_of

UNITS = [250.0, 250.05] * 5  # millions; a count that never moves is taken for a frozen one


async def armed(desk: Desk, rule: str = RULE, quiet: Sequence[float] = QUIET) -> int:
    """An alert over ten quiet sessions; the next ones are DAYS."""
    await desk.closes(quiet)
    return await desk.alert(rule)


async def test_an_alert_fires_once_and_a_repeat_gives_nothing(desk: Desk) -> None:
    await armed(desk)
    fires = await desk.evaluate([0.65, 0.66])
    assert [str(fire) for fire in fires] == ["alert #1 in chat 1, ratio > 0.6 rearm 0.55: fired on 2020-01-16"]
    assert await desk.events() == ["1 fired 2020-01-16"]
    assert len(await desk.messages()) == 1
    for _ in range(2):
        assert await desk.evaluate() == []
        desk.restart()
    assert await desk.events() == ["1 fired 2020-01-16"]
    assert len(await desk.messages()) == 1


async def test_the_stored_event_holds_value_threshold_and_inputs(desk: Desk) -> None:
    alert = await armed(desk)
    await desk.evaluate([0.65])
    (event,) = await desk.database.run(lambda db: alert_store.list_events(db, alert_id=alert))
    assert (event.value, event.threshold) == (0.65, 0.6)
    assert event.detail.source == "CSV import"
    assert event.detail.observed_at == "2020-01-15T22:00:00Z"
    assert '"session":"2020-01-16"' in event.detail.event
    assert '"session":"2020-01-15"' in (event.detail.before or "")
    assert '"metric":"ratio"' in event.detail.rule


async def test_states_are_stored_where_it_turns_and_kept_for_eleven_sessions(desk: Desk) -> None:
    alert = await armed(desk)
    await desk.evaluate([0.5] * 30)
    assert len(await desk.query("SELECT * FROM alert_states")) == 1
    days = await desk.closes([0.65, 0.5] * 15, "2020-03-02")
    await desk.evaluate()
    rows = await desk.query("SELECT session FROM alert_states WHERE alert_id = ? ORDER BY session", (alert,))
    assert [row["session"] for row in rows] == days[19:30]


@pytest.mark.parametrize("broken", ["save_states", "add_events", "enqueue_all", "store_results"])
async def test_a_failure_while_committing_leaves_neither_state_event_nor_message(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    alert = await armed(desk)
    await desk.closes([0.65], DAYS[0])
    with monkeypatch.context() as patched:
        break_off(patched, broken)
        with pytest.raises(DiskFull, match="The disk is full"):
            await desk.evaluate()
    assert await desk.evaluated_up_to(alert) == "2020-01-15"
    assert await desk.events() == []
    assert await desk.messages() == []
    assert len(await desk.evaluate()) == 1
    assert await desk.events() == ["1 fired 2020-01-16"]
    assert len(await desk.messages()) == 1


def break_off(patched: pytest.MonkeyPatch, where: str) -> None:
    """Raise after the named step of the transaction was done."""
    holder: Any = {"enqueue_all": outbox, "store_results": commit}.get(where, alert_store)
    real: Callable[..., object] = getattr(holder, where)

    def failing(*arguments: object, **named: object) -> None:
        real(*arguments, **named)
        full_disk()

    patched.setattr(holder, where, failing)


def meanwhile(monkeypatch: pytest.MonkeyPatch, desk: Desk, act: Callable[[sqlite_utils.Database], object]) -> None:
    """Let somebody do something, once, after the alerts were read and before they are committed."""
    tell = Notifier.notify
    acts = [act]

    def interrupted(self: Notifier, *arguments: Any) -> list[NotifiedResult]:  # noqa: ANN401 - passed on
        if acts:
            desk.database.run_sync(acts.pop())
        return tell(self, *arguments)

    monkeypatch.setattr(Notifier, "notify", interrupted)


@pytest.mark.parametrize(
    ("act", "life"),
    [
        (lambda db: alert_store.update_alert(db, 1, life="paused"), "paused"),
        (lambda db: alert_store.update_alert(db, 1, life="done", reason="switched off"), "done: switched off"),
        (lambda db: db.execute("DELETE FROM alert_states WHERE alert_id = 1"), "active"),
        (lambda db: db.execute("UPDATE alerts SET rule_json = '{}' WHERE alert_id = 1"), "active"),
    ],
    ids=["paused", "switched off", "resumed", "edited"],
)
async def test_an_alert_changed_between_reading_and_committing_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, act: Callable[[sqlite_utils.Database], object], life: str
) -> None:
    alert = await armed(desk)
    other = await desk.alert("ratio > 0.62")
    await desk.closes([0.65], DAYS[0])
    meanwhile(monkeypatch, desk, act)
    fires = await desk.evaluate()
    assert [fire.number for fire in fires] == [2]
    assert await desk.life(alert) == life
    assert await desk.evaluated_up_to(other) == "2020-01-16"
    assert await desk.events() == ["2 fired 2020-01-16"]
    assert len(await desk.messages()) == 1


async def test_a_damaged_event_stops_no_evaluation(desk: Desk) -> None:
    await armed(desk)
    await desk.alert("ratio > 0.7")
    await desk.evaluate([0.65])
    await desk.change("UPDATE alert_events SET detail = '{}'")
    desk.restart()
    assert [fire.number for fire in await desk.evaluate([0.75], DAYS[1])] == [2]
    assert [await desk.evaluated_up_to(alert) for alert in (1, 2)] == [DAYS[1]] * 2


async def test_an_alert_changed_meanwhile_is_evaluated_as_it_is_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await armed(desk)
    await desk.closes([0.65], DAYS[0])
    meanwhile(monkeypatch, desk, lambda db: chat_store.migrate_chat(db, 1, -100))
    (fire,) = await desk.evaluate()
    assert (fire.chat_id, fire.number) == (-100, 1)
    assert [row["chat_id"] for row in await desk.query("SELECT chat_id FROM outbox")] == [-100]
    assert await desk.evaluate() == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE alerts SET rule_json = '{'", "its stored data is damaged"),
        ("UPDATE alerts SET rule_json = 'null'", "its stored data is damaged"),
        ("UPDATE alerts SET rule_json = '{}'", "its stored data is damaged"),
        ("UPDATE alert_states SET state = '[]'", "its stored data is damaged"),
        ("DELETE FROM alert_states", "its stored data is damaged"),
        (
            """UPDATE alerts SET rule_json = replace(rule_json, '"ratio"', '"ratios"')""",
            "“ratios” is not a metric any more.",
        ),
        ("""UPDATE alerts SET rule_json = replace(rule_json, '">"', '"><"')""", "it cannot be evaluated (KeyError)"),
    ],
)
async def test_a_broken_alert_pauses_itself_says_so_once_and_stops_no_other(
    desk: Desk, caplog: pytest.LogCaptureFixture, damage: str, reason: str
) -> None:
    broken = await armed(desk)
    await desk.change(damage)
    await desk.alert(RULE, chat_id=2)
    await desk.closes([0.65], DAYS[0])
    with caplog.at_level(logging.CRITICAL):
        fires = await desk.evaluate()
    assert [(fire.chat_id, fire.number) for fire in fires] == [(2, 1)]
    assert await desk.life(broken) == f"paused: {reason}"
    rows = await desk.query("SELECT chat_id, kind, payload FROM outbox WHERE chat_id = 1")
    assert [row["kind"] for row in rows] == ["notice"]
    text = f"Alert #1 is paused: {reason.rstrip('.')}.\nratio > 0.6 rearm 0.55\n"
    assert (await desk.messages())[-1].startswith(text)
    desk.restart()
    assert await desk.evaluate() == []
    assert len(await desk.messages()) == 2


async def test_an_alert_that_cannot_be_told_pauses_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alert = await armed(desk)
    await desk.closes([0.65], DAYS[0])

    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(notices, "fired_message", failing)
    with caplog.at_level(logging.CRITICAL):
        assert await desk.evaluate() == []
    assert await desk.life(alert) == "paused: it cannot be evaluated (ZeroDivisionError)"
    assert await desk.evaluated_up_to(alert) == "2020-01-15"


async def test_a_broken_alert_that_was_switched_off_meanwhile_stays_off(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alert = await armed(desk)
    await desk.change("UPDATE alerts SET rule_json = '{'")
    meanwhile(monkeypatch, desk, lambda db: alert_store.update_alert(db, alert, life="done", reason="switched off"))
    with caplog.at_level(logging.CRITICAL):
        await desk.evaluate()
    assert await desk.life(alert) == "done: switched off"
    assert await desk.messages() == []


async def test_an_alert_expires_after_its_last_day_and_says_so(desk: Desk) -> None:
    alert = await armed(desk, "ratio > 0.6 until 2020-01-16")
    assert len(await desk.evaluate([0.65])) == 1
    assert await desk.life(alert) == "active"
    assert await desk.evaluate([0.65], "2020-01-17") == []
    assert await desk.life(alert) == "expired: its last day has passed"
    _, payload = await desk.payloads()
    assert payload["plain"] == (
        "Alert #1 has ended.\nLast day 16 Jan 2020: #1 ratio > 0.6 until 2020-01-16\nRenewed, it starts afresh."
    )
    assert payload["buttons"] == [[["Renew #1", "r/alert 1 renew"]], [["Alerts", "r/alerts"]]]
    desk.restart()
    assert await desk.evaluate() == []


async def test_the_last_day_itself_is_evaluated_before_the_end(desk: Desk) -> None:
    alert = await armed(desk, "ratio > 0.6 until 2020-01-18")  # a Saturday
    assert len(await desk.evaluate([0.5, 0.65, 0.65])) == 1
    assert await desk.life(alert) == "expired: its last day has passed"
    assert await desk.titles() == [
        "#1 fired · close of Fri 17 Jan 2020",
        "Alert #1 has ended.",
    ]


async def test_the_end_waits_for_figures_of_the_last_day_that_are_still_to_come(desk: Desk) -> None:
    await desk.units(UNITS)
    alert = await armed(desk, "flow iwm 1d > $1bn until 2020-01-16")
    await desk.evaluate([0.5, 0.5])
    assert await desk.life(alert) == "active"
    await desk.units([270.0], DAYS[0])
    (fire,) = await desk.evaluate()
    assert fire.event.session == dt.date(2020, 1, 16)
    assert await desk.life(alert) == "expired: its last day has passed"


async def test_the_end_does_not_wait_for_ever(desk: Desk) -> None:
    await desk.units(UNITS)
    alert = await armed(desk, "flow iwm 1d > $1bn until 2020-01-16")
    without_data = await desk.alert("pe iwm > 25x until 2020-01-16")
    await desk.evaluate([0.5] * 5)
    assert [await desk.life(alert_id) for alert_id in (alert, without_data)] == ["active", "active"]
    await desk.evaluate([0.5], "2020-01-24")
    ended = "expired: its last day has passed"
    assert [await desk.life(alert_id) for alert_id in (alert, without_data)] == [ended, ended]


async def test_a_fire_during_the_cooldown_is_stored_and_not_sent(desk: Desk) -> None:
    await armed(desk, f"{RULE} cooldown 3")
    fires = await desk.evaluate([0.65, 0.5, 0.65])
    assert [str(fire).rpartition(": ")[2] for fire in fires] == [
        "fired on 2020-01-16",
        "fired (held back by its cooldown) on 2020-01-21",
    ]
    assert await desk.events() == ["1 fired 2020-01-16", "1 fired 2020-01-21"]
    (text,) = await desk.messages()
    assert "For 3 sessions further fires are only listed in /history." in text
    (fire,) = await desk.evaluate([0.66, 0.66], "2020-01-22")
    assert str(fire).endswith("still true on 2020-01-23")
    assert title_of((await desk.messages())[1]) == "#1 still · close of Thu 23 Jan 2020"


async def test_a_silent_rule_is_pushed_silently(desk: Desk) -> None:
    await armed(desk, f"{RULE} silent")
    await desk.evaluate([0.65])
    assert [payload["silent"] for payload in await desk.payloads()] == [True]


async def test_a_flow_rule_evaluates_a_session_when_its_count_arrives_a_session_later(desk: Desk) -> None:
    await desk.units(UNITS)
    alert = await armed(desk, "flow iwm 1d > $1bn")
    assert await desk.evaluate([0.5]) == []
    assert await desk.evaluated_up_to(alert) == "2020-01-15"
    await desk.units([270.0], DAYS[0])
    (fire,) = await desk.evaluate([0.5], "2020-01-17")
    assert str(fire).endswith("fired on 2020-01-16")
    assert await desk.evaluated_up_to(alert) == "2020-01-16"
    (text,) = await desk.messages()
    assert "Late" not in text
    assert "Source: CSV import, 1 session old." in text


async def test_a_session_that_never_comes_is_given_up_five_sessions_later(desk: Desk) -> None:
    alert = await armed(desk)
    assert await desk.evaluate([None, 0.5, 0.5, 0.5, 0.65]) == []
    assert await desk.evaluated_up_to(alert) == "2020-01-15"
    (fire,) = await desk.evaluate([0.65], "2020-01-24")
    assert str(fire).endswith("fired on 2020-01-23")
    assert await desk.evaluated_up_to(alert) == "2020-01-24"
    assert (
        "Late by 1 session: the bot was off, or the data came late or had to be confirmed; still true."
        in (await desk.messages())[0]
    )


async def test_a_session_that_comes_after_all_is_evaluated_in_its_place(desk: Desk) -> None:
    await armed(desk)
    assert await desk.evaluate([None, 0.5]) == []
    await desk.closes([0.65], DAYS[0])
    desk.now = after_close("2020-01-17")
    (fire,) = await desk.evaluate()
    assert str(fire).endswith("fired on 2020-01-16")


async def test_missing_sessions_are_given_up_for_flows_as_well(desk: Desk) -> None:
    await desk.units(UNITS)
    alert = await armed(desk, "flow iwm 1d > $1bn")
    await desk.units([250.05, 270.0], "2020-01-17")  # none for the 16th
    assert await desk.evaluate([0.5] * 5) == []
    assert await desk.evaluated_up_to(alert) == "2020-01-15"
    (fire,) = await desk.evaluate([0.5], "2020-01-24")
    assert str(fire).endswith("fired on 2020-01-21")


@pytest.mark.parametrize(
    ("rule", "first", "events"),
    [
        ("flow iwm 5d > -$900bn", FIRST, ["1 already 2020-01-15"]),  # counts of before its creation, too
        ("flow iwm 5d > -$900bn", DAYS[0], ["1 already 2020-01-24"]),  # of five sessions later: a flow
        ("flow iwm 5d > $900bn", FIRST, []),
        ("flow iwm 1d crosses $3m", FIRST, None),  # the sides alternate: fires, but nothing of the start
    ],
)
@pytest.mark.parametrize("cuts", [(), (12, 30)], ids=["at once", "in three parts"])
async def test_a_rule_made_without_figures_takes_its_side_from_the_first(
    desk: Desk, rule: str, first: str, events: list[str] | None, cuts: tuple[int, ...]
) -> None:
    await armed(desk, rule)
    await desk.closes([0.5] * 40, DAYS[0])
    counts = [250.0, 250.05] * 30
    fires = []
    for end in (*cuts, 50 if first == FIRST else 40):
        await desk.units(counts[:end], first)
        fires += await desk.evaluate()
        desk.restart()
        assert await desk.evaluate() == []
    stored = await desk.events()
    assert len(fires) == sum(" fired " in event for event in stored)
    if events is None:
        assert len(fires) > 10
        return
    assert stored == events
    assert [title.split(" · ")[0] for title in await desk.titles()] == ["#1 already"] * len(events)
    if events:
        (text,) = await desk.messages()
        assert "Its first figures have come. Nothing turned, so this is no alert.\n" in text
        assert "Late" not in text


@pytest.mark.parametrize(("again", "fires"), [("2020-04-15", "twice"), ("2020-04-16", "once")])
async def test_a_fire_counts_those_of_ninety_days(desk: Desk, again: str, fires: str) -> None:
    await armed(desk, RULE)
    days = sessions(DAYS[0], 70)
    between = days[1 : days.index(again)]
    await desk.evaluate([0.65], days[0])
    await desk.evaluate([0.5] * len(between), between[0])
    await desk.evaluate([0.65], again)
    first, second = await desk.messages()
    assert "Fired once in 90 days." in first
    assert f"Fired {fires} in 90 days." in second


async def test_an_alert_that_is_back_says_how_long_it_held_and_what_the_ratio_did(desk: Desk) -> None:
    alert = await armed(desk, f"{RULE} and back")
    await desk.evaluate([0.65])
    await desk.evaluate([0.66, 0.52], DAYS[1])
    assert await desk.events() == ["1 fired 2020-01-16", "1 back 2020-01-21"]
    text = (await desk.messages())[1]
    assert title_of(text) == "#1 back · close of Tue 21 Jan 2020"
    assert "It held for 2 sessions, since 16 Jan 2020; IWM/SPY −20.00% meanwhile." in text
    assert "Armed again: you get a message when it becomes true." in text
    await desk.database.run(lambda db: alert_store.update_alert(db, alert, life="paused"))
    await desk.alert("ratio < 0.53 and back")
    await desk.evaluate([0.6], DAYS[3])
    assert "It was true from the start." in (await desk.messages())[2]


async def test_a_late_fire_and_its_end_are_one_list(desk: Desk) -> None:
    await armed(desk, f"{RULE} and back once")
    await desk.evaluate([0.65, 0.5, 0.5])
    assert (await desk.messages())[0].splitlines() == [
        "Late: 2 events, evaluated only now, newest first",
        f"17 Jan 2020 · #1 {RULE} and back once · 0.5000, back, not true since (CSV import)",
        f"16 Jan 2020 · #1 {RULE} and back once · 0.6500, no longer true since 17 Jan 2020 (CSV import)",
    ]
    assert await desk.life(1) == "done: fired once"


async def test_of_late_reminders_the_last_is_sent_while_it_holds_and_is_not_acknowledged(desk: Desk) -> None:
    alert = await armed(desk, f"{RULE} remind 2")
    await desk.evaluate([0.65])
    await desk.evaluate([0.65] * 5, DAYS[1])
    assert await desk.events() == ["1 fired 2020-01-16", "1 reminder 2020-01-23"]
    await desk.evaluate([0.65, 0.5], DAYS[6])
    await desk.evaluate([0.65], DAYS[8])
    await desk.database.run(lambda db: alert_store.update_alert(db, alert, acknowledged=DAYS[8]))
    await desk.evaluate([0.65] * 5, DAYS[9])
    assert await desk.events() == ["1 fired 2020-01-16", "1 reminder 2020-01-23", f"1 fired {DAYS[8]}"]
    await desk.evaluate([0.5, 0.65, 0.65, 0.65], DAYS[14])
    assert (await desk.events())[3:] == [f"1 fired {DAYS[15]}", f"1 reminder {DAYS[17]}"]
