"""Figures that stop coming: a notice when they are overdue, one when they are back, nothing false between."""

import datetime as dt
import itertools

import pytest

from bot.analytics.sessions import Sessions
from bot.jobs.notices import report_outages
from bot.text import date_phrase
from storage import alert_store, chat_store
from storage.records import Multiple
from tests.funds import LARGE, SMALL
from tests.jobs.desk import RULE, Desk, after_close, bar, sessions
from tests.jobs.test_scheduler import scheduled

DAYS = sessions("2020-01-02", 60)
QUIET = 10
STALE_HOURS = 3.25


async def tick(desk: Desk, session: str, hours: float) -> None:
    """A tick of a new process, some hours after a session's close."""
    desk.now = after_close(session, hours)
    await scheduled(desk).tick()


async def prepared(desk: Desk, rule: str = RULE, levels: list[float] | None = None) -> None:
    await desk.closes(levels or [0.5] * QUIET)
    await desk.alert(rule)


async def test_a_close_is_overdue_three_hours_and_a_quarter_after_the_bell(desk: Desk) -> None:
    await prepared(desk)
    await tick(desk, DAYS[10], STALE_HOURS - 0.01)
    assert await desk.messages() == []
    await tick(desk, DAYS[10], STALE_HOURS)
    (text,) = await desk.messages()
    assert text.splitlines() == [
        "Data stale: prices",
        "The latest is for Wed 15 Jan 2020; Thu 16 Jan 2020 is missing. Source: CSV import.",
        "Until the data is back, these alerts wait; none of them fires or re-arms:",
        "#1 ratio > 0.6 rearm 0.55",
        "You get one message when it is back.",
    ]


@pytest.mark.parametrize(
    ("kind", "length"), [("empty", 1), ("empty", 8), ("one leg", 2), ("one leg", 8), ("the last row again", 5)]
)
async def test_any_outage_is_one_stale_and_one_back_notice(desk: Desk, kind: str, length: int) -> None:
    # it fired before: a false re-arm would let it fire again at the end
    await prepared(desk, RULE, [0.5] * QUIET)
    await desk.closes([0.65], DAYS[10])
    await tick(desk, DAYS[10], 1)
    for day in DAYS[11 : 11 + length]:
        if kind == "one leg":
            await desk.store("bars", [bar(LARGE, day, 100.0)])
        elif kind == "the last row again":
            desk.now = after_close(day, 1)
            await desk.store("bars", [bar(SMALL, DAYS[10], 65.0), bar(LARGE, DAYS[10], 100.0)])
        for hours in (1, STALE_HOURS, STALE_HOURS + 6):
            await tick(desk, day, hours)
    end = 11 + length
    await desk.closes([0.65, 0.65], DAYS[end])
    for hours in (1, STALE_HOURS):
        await tick(desk, DAYS[end + 1], hours)
    assert await desk.titles() == [
        f"#1 fired · close of {date_phrase(dt.date.fromisoformat(DAYS[10]))}",
        "Data stale: prices",
        "Data back: prices",
    ]
    assert await desk.events() == [f"1 fired {DAYS[10]}"]


async def test_a_later_outage_is_another(desk: Desk) -> None:
    await prepared(desk)
    await tick(desk, DAYS[10], STALE_HOURS)
    await desk.closes([0.5, 0.5], DAYS[10])
    await tick(desk, DAYS[11], 1)
    assert (await desk.messages())[1].splitlines()[2] == "Alerts are evaluated on these sessions in order."
    await tick(desk, DAYS[12], STALE_HOURS)
    await desk.closes([0.5], DAYS[12])
    await tick(desk, DAYS[12], STALE_HOURS + 1)
    assert await desk.titles() == ["Data stale: prices", "Data back: prices"] * 2


async def test_what_comes_in_pieces_is_one_outage(desk: Desk) -> None:
    await prepared(desk)
    await tick(desk, DAYS[13], STALE_HOURS)
    now = desk.now
    await desk.closes([0.5, 0.5], DAYS[10])
    desk.now = now
    await scheduled(desk).tick()
    assert await desk.titles() == ["Data stale: prices"]
    await desk.closes([0.5, 0.5], DAYS[12])
    await tick(desk, DAYS[13], STALE_HOURS + 1)
    assert await desk.titles() == ["Data stale: prices", "Data back: prices"]


async def test_a_session_that_was_dropped_for_good_ends_with_the_next_one(desk: Desk) -> None:
    await prepared(desk)
    await tick(desk, DAYS[10], STALE_HOURS)
    await desk.closes([0.5], DAYS[11])
    await tick(desk, DAYS[11], 1)
    assert (await desk.messages())[1].splitlines()[1:] == [
        "It now reaches to Fri 17 Jan 2020, after Thu 16 Jan 2020 was missing. Source: CSV import.",
        "Alerts first wait for the sessions that are still missing, 5 sessions at most.",
    ]


@pytest.mark.parametrize(
    ("first", "early"),
    [("2020-11-19", "2020-11-27"), ("2020-12-17", "2020-12-24")],  # Thanksgiving; Christmas to New Year
)
async def test_holidays_weekends_and_early_closes_are_no_outage(desk: Desk, first: str, early: str) -> None:
    days = sessions(first, 12)
    assert early in days
    await desk.closes([0.5] * 5, days[0])
    await desk.alert(RULE)
    exchange = Sessions()
    for before, day in itertools.pairwise(days[4:]):
        desk.now = exchange.close(exchange.index[exchange.index.get_loc(day)]) - dt.timedelta(hours=1)
        assert desk.now > after_close(before)
        await scheduled(desk).tick()
        await desk.closes([0.5], day)
        await tick(desk, day, STALE_HOURS)
    assert await desk.messages() == []


async def test_the_early_close_counts_where_there_is_one(desk: Desk) -> None:
    await desk.closes([0.5] * 5, sessions("2020-11-19", 5)[0])
    await desk.alert(RULE)
    desk.now = dt.datetime.fromisoformat("2020-11-27T21:14:00+00:00")  # 13:00 New York and 3 h 14 min
    await scheduled(desk).tick()
    assert await desk.messages() == []
    desk.now = dt.datetime.fromisoformat("2020-11-27T21:15:00+00:00")
    await scheduled(desk).tick()
    assert await desk.titles() == ["Data stale: prices"]


async def test_only_chats_with_an_active_alert_on_the_figures_are_told(desk: Desk) -> None:
    await desk.units([250.0, 250.05] * 5)
    await prepared(desk)
    await desk.alert("flow iwm 5d > $1bn", chat_id=2)
    await desk.alert(RULE, chat_id=3)
    await desk.database.run(lambda db: alert_store.update_alert(db, 3, life="paused"))
    await desk.alert(RULE, chat_id=4)
    await desk.database.run(lambda db: chat_store.deactivate(db, 4, "blocked"))
    await tick(desk, DAYS[10], STALE_HOURS)
    rows = await desk.query("SELECT chat_id FROM outbox")
    assert [row["chat_id"] for row in rows] == [1]


async def test_share_counts_are_awaited_a_session_longer(desk: Desk) -> None:
    await desk.units([250.0, 250.05] * 5)
    await prepared(desk, "flow iwm 5d > $1bn")
    await desk.closes([0.5], DAYS[10])
    await tick(desk, DAYS[10], STALE_HOURS)
    assert await desk.messages() == []
    await desk.closes([0.5], DAYS[11])
    await tick(desk, DAYS[11], STALE_HOURS)
    assert await desk.titles() == ["Data stale: share counts of IWM"]
    await desk.units([250.1], DAYS[10])
    await tick(desk, DAYS[11], STALE_HOURS + 1)
    assert await desk.titles() == ["Data stale: share counts of IWM", "Data back: share counts of IWM"]


async def test_a_count_that_is_frozen_is_stale_and_fires_nothing(desk: Desk) -> None:
    await desk.units([250.0, 250.05] * 5)
    await prepared(desk, "flow iwm 5d > $1bn")
    await desk.closes([0.5] * 6, DAYS[10])
    await desk.units([250.05] * 5, DAYS[10])
    await tick(desk, DAYS[15], STALE_HOURS)
    (text,) = await desk.messages()
    assert text.splitlines()[:2] == [
        "Data stale: share counts of IWM",
        "The count has not changed since Wed 15 Jan 2020. Source: CSV import.",
    ]
    await desk.closes([0.5], DAYS[16])
    await desk.units([250.3], DAYS[15])
    await tick(desk, DAYS[16], 1)
    assert (await desk.titles())[1:] == ["Data back: share counts of IWM"]


async def test_two_parts_that_stop_together_are_one_message(desk: Desk) -> None:
    await desk.units([250.0, 250.05] * 5)
    await prepared(desk, "ratio > 0.6 and flow iwm 5d > $1bn")
    await tick(desk, DAYS[11], STALE_HOURS)
    assert await desk.titles() == ["Data stale: prices, share counts of IWM"]


async def test_notices_wait_for_the_end_of_quiet_hours(desk: Desk) -> None:
    await prepared(desk)
    await desk.database.run(lambda db: chat_store.set_preferences(db, 1, quiet_from="18:00", quiet_to="07:00"))
    await tick(desk, DAYS[10], STALE_HOURS)
    (row,) = await desk.query("SELECT not_before FROM outbox")
    assert row["not_before"] == "2020-01-17T12:00:00Z"


async def test_a_topic_is_told_of_the_alerts_that_were_made_in_it(desk: Desk) -> None:
    await prepared(desk)
    await desk.change("UPDATE alerts SET thread_id = 7")
    await tick(desk, DAYS[10], STALE_HOURS)
    await desk.alert(RULE)
    await desk.closes([0.5], DAYS[10])
    await tick(desk, DAYS[10], STALE_HOURS + 1)
    rows = await desk.query("SELECT thread_id FROM outbox ORDER BY id")
    assert [row["thread_id"] for row in rows] == [7, None]


async def test_a_broken_rule_keeps_no_notice_from_the_others(desk: Desk) -> None:
    await prepared(desk)
    await desk.alert(RULE, chat_id=2)
    await desk.change("UPDATE alerts SET rule_json = '{' WHERE alert_id = 1")
    desk.now = after_close(DAYS[10], STALE_HOURS)
    await report_outages(desk.services)  # without the evaluation, which pauses it
    rows = await desk.query("SELECT chat_id FROM outbox")
    assert [row["chat_id"] for row in rows] == [2]


async def test_made_up_figures_are_never_stale(desk: Desk) -> None:
    await prepared(desk)
    await desk.change("UPDATE bars SET source = 'sample'")
    await tick(desk, DAYS[20], STALE_HOURS)
    assert await desk.messages() == []


async def test_figures_that_never_came_are_no_outage(desk: Desk) -> None:
    await prepared(desk)
    await desk.alert("flow iwm 5d > $1bn")
    await desk.closes([0.5] * 5, DAYS[10])
    await tick(desk, DAYS[14], STALE_HOURS)
    assert await desk.messages() == []


def multiples(day: str, convention: str = "positive") -> list[Multiple]:
    return [Multiple(ticker, day, "pe", convention, "trailing", 20.0) for ticker in (SMALL, LARGE)]


@pytest.mark.parametrize(
    ("source", "length", "titles"),
    [
        ("yahoo", 5, ["Data stale: multiples"]),
        ("csv", 5, []),
        ("companies", 5, []),  # they move with the price
        ("companies", 30, ["Data stale: multiples"]),
    ],
)
async def test_multiples_of_an_asked_source_are_overdue(
    desk: Desk, source: str, length: int, titles: list[str]
) -> None:
    await desk.closes([0.5] * QUIET)
    await desk.store("multiples", multiples(DAYS[9]), source)
    await desk.alert("pe_premium positive > 20%")
    await desk.closes([0.5] * length, DAYS[10])
    if source == "companies":  # the other source goes on
        await desk.store("multiples", multiples(DAYS[9 + length], "morningstar"), "yahoo")
    await tick(desk, DAYS[9 + length], STALE_HOURS)
    assert await desk.titles() == titles
