"""After a downtime: every missed session is evaluated in order, one message a chat tells of all."""

import asyncio
import gc

import pytest
import sqlite_utils

from bot.jobs import commit
from bot.jobs.evaluate import Alerts, Evaluator
from storage import alert_store, chat_store
from storage.database import DiskFull
from tests.jobs.desk import DAYS, RULE, Desk, full_disk, sessions
from tests.titles import title_of

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(
    ("levels", "since"), [([0.65, 0.65, 0.65], "still true"), ([0.65, 0.5, 0.5], "no longer true since 17 Jan 2020")]
)
async def test_one_fire_after_a_downtime_is_a_message_of_its_own_labelled_late(
    desk: Desk, levels: list[float], since: str
) -> None:
    await desk.alert(RULE)
    assert len(await desk.evaluate(levels)) == 1
    (text,) = await desk.messages()
    assert title_of(text) == "#1 fired · close of Thu 16 Jan 2020"
    assert f"Late by 2 sessions: the bot was off, or the data came late or had to be confirmed; {since}." in text
    assert "Source: CSV import, 2 sessions old." in text


async def test_two_fires_of_today_are_two_messages(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.alert("ratio > 0.62")
    await desk.evaluate([0.65])
    assert await desk.titles() == [f"#{number} fired · close of Thu 16 Jan 2020" for number in (1, 2)]


async def test_a_downtime_is_told_in_one_message_newest_first_with_what_became_of_each(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.alert('ratio < 0.45 rearm 0.48 note "a <b> & c"')
    fires = await desk.evaluate([0.65, 0.5, 0.4, 0.66, 0.67])
    assert len(fires) == 3
    (payload,) = await desk.payloads()
    assert payload["plain"] == (
        "Late: 3 events, evaluated only now, newest first\n"
        "22 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6600, still true (CSV import)\n"
        '21 Jan 2020 · #2 ratio < 0.45 rearm 0.48 note "a <b> & c"'
        " · 0.4000, no longer true since 22 Jan 2020 (CSV import)\n"
        "16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6500, no longer true since 17 Jan 2020 (CSV import)"
    )
    assert 'note "a &lt;b&gt; &amp; c"' in payload["html"]
    assert payload["buttons"] == [[["Alerts", "r/alerts"], ["History", "r/history"]]]


@pytest.mark.parametrize(("other", "silent"), [("ratio > 0.62 silent", True), ("ratio > 0.62", False)])
async def test_a_list_is_silent_if_all_its_rules_are(desk: Desk, other: str, silent: bool) -> None:
    await desk.alert(f"{RULE} silent")
    await desk.alert(other)
    await desk.evaluate([0.65, 0.65])
    assert [payload["silent"] for payload in await desk.payloads()] == [silent]


async def test_what_a_cooldown_held_back_is_not_in_the_list(desk: Desk) -> None:
    await desk.alert(f"{RULE} cooldown 2")
    fires = await desk.evaluate([0.65, 0.5, 0.66, 0.67, 0.67])
    assert [(fire.event.kind, fire.event.muted) for fire in fires] == [
        ("fired", False),
        ("fired", True),
        ("still", False),
    ]
    (text,) = await desk.messages()
    assert text.splitlines() == [
        "Late: 2 events, evaluated only now, newest first",
        (
            "22 Jan 2020 · #1 ratio > 0.6 rearm 0.55 cooldown 2"
            " · 0.6700, true since 21 Jan 2020, still true (CSV import)"
        ),
        ("16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 cooldown 2 · 0.6500, no longer true since 17 Jan 2020 (CSV import)"),
    ]


async def test_many_chats_get_one_message_each_however_few_alerts_are_read_at_a_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_ALERTS_A_READ", 2)
    for chat_id in range(1, 6):
        await desk.alert(RULE, chat_id)
    assert len(await desk.evaluate([0.65, 0.5, 0.65])) == 10
    rows = await desk.query("SELECT chat_id, count(*) AS messages FROM outbox GROUP BY chat_id")
    assert [row["messages"] for row in rows] == [1] * 5


@pytest.mark.parametrize("cut", [1, 2, 3, 10, 13, 29])
async def test_runs_cut_anywhere_give_the_events_of_one_run(desk: Desk, cut: int) -> None:
    levels = [0.5, 0.65, 0.66, 0.58, 0.54, 0.61, 0.6, 0.2, 0.7, 0.71] * 3
    await desk.alert(f"{RULE} confirm 2 cooldown 3")
    first = await desk.evaluate(levels[:cut])
    desk.restart()
    second = await desk.evaluate(levels[cut:], DAYS[cut])
    assert await desk.events() == [f"1 fired {DAYS[position]}" for position in (2, 9, 12, 19, 22, 29)]
    assert [fire.event.muted for fire in first + second] == [False, False, True, False, True, False]


async def test_fires_of_the_last_ninety_days_are_counted_over_runs(desk: Desk) -> None:
    days = sessions(DAYS[0], 90)
    levels = [0.5] * len(days)
    for position in (0, 2, 4, 66):  # the first three are 96, 92 and 89 days before the last
        levels[position] = 0.65
    await desk.alert(RULE)
    for begin, end in ((0, 1), (1, 3), (3, 5), (5, 67)):
        await desk.evaluate(levels[begin:end], days[begin])
    counts = [line for text in await desk.messages() for line in text.splitlines() if "90 days" in line]
    assert counts == [f"Fired {count} in 90 days." for count in ("once", "twice", "3 times", "twice")]


async def test_a_fire_that_was_held_back_counts(desk: Desk) -> None:
    await desk.alert(f"{RULE} cooldown 2")
    await desk.evaluate([0.65])
    fires = await desk.evaluate([0.5, 0.65, 0.5, 0.65], DAYS[1])
    assert [fire.event.muted for fire in fires] == [True, False]
    assert "Fired 3 times in 90 days." in (await desk.messages())[1]


async def test_equal_rules_of_different_age_are_each_evaluated_from_their_own_session(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.alert(RULE, chat_id=2)
    await desk.database.run(lambda db: chat_store.deactivate(db, 2, "blocked"))
    assert len(await desk.evaluate([0.65])) == 1
    await desk.closes([0.66], DAYS[1])
    await desk.database.run(lambda db: chat_store.reactivate(db, 2))
    (fire,) = await desk.evaluate()
    assert str(fire).endswith(f"fired on {DAYS[0]}")


async def test_what_could_not_be_stored_is_evaluated_again_though_nothing_is_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.alert(RULE)
    await desk.alert(RULE, chat_id=2)
    await desk.database.run(lambda db: chat_store.deactivate(db, 2, "blocked"))
    assert len(await desk.evaluate([0.65])) == 1
    await desk.database.run(lambda db: chat_store.reactivate(db, 2))
    with monkeypatch.context() as patched:
        patched.setattr("storage.outbox.enqueue_all", full_disk)
        with pytest.raises(DiskFull):
            await desk.evaluate()
    assert gc.isenabled()
    assert len(await desk.evaluate()) == 1


async def test_a_run_that_is_broken_off_after_its_commit_is_not_repeated(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.alert(RULE)

    def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(Alerts, "move_on", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await desk.evaluate([0.65])
    assert len(await desk.evaluate([0.65, 0.5, 0.66], DAYS[1])) == 1
    assert await desk.events() == [f"1 fired {DAYS[0]}", f"1 fired {DAYS[3]}"]


async def test_what_is_new_is_evaluated_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = await desk.alert(RULE)
    runs = counted(monkeypatch)
    await desk.evaluate()
    await desk.evaluate()
    assert runs == [1]
    await desk.alert("ratio > 0.62")
    await desk.evaluate()
    await desk.evaluate()
    assert runs == [1, 1]
    assert len(await desk.evaluate([0.65])) == 2
    await desk.evaluate()
    assert runs == [1, 1, 1]
    await desk.database.run(lambda db: alert_store.update_alert(db, alert, life="paused"))
    await desk.evaluate()
    await desk.evaluate()
    assert runs == [1, 1, 1, 1]


async def test_an_alert_set_back_while_it_stayed_active_is_evaluated_again(desk: Desk) -> None:
    alert = await desk.alert(RULE)
    before = await desk.database.run(lambda db: alert_store.current_state(db, alert))
    assert before is not None
    assert len(await desk.evaluate([0.65])) == 1

    def edit(db: sqlite_utils.Database) -> None:
        alert_store.start_state(db, alert, before.session.isoformat(), before.state)
        db.execute("DELETE FROM alert_events")

    await desk.database.run(edit)
    assert len(await desk.evaluate()) == 1


async def test_alerts_that_end_cause_no_second_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.alert(f"{RULE} once")
    await desk.alert("ratio > 0.7 until 2020-01-15")
    await desk.closes([0.65], DAYS[0])
    runs = counted(monkeypatch)
    assert len(await desk.evaluate()) == 1
    await desk.evaluate()
    assert runs == [1]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A 1 for each evaluation that is not left out."""
    runs: list[int] = []
    real = Evaluator.choose

    def noted(self: Evaluator) -> None:
        runs.append(1)
        real(self)

    monkeypatch.setattr(Evaluator, "choose", noted)
    return runs
