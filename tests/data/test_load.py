from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from msgspec.structs import replace

from bot.analytics.sessions import Sessions
from bot.data.load import PENDING, PENDING_COLUMNS, build_market, frame_of, read_frames
from storage import observations
from storage.database import open_database
from storage.records import KINDS, Bar, Distribution, FundFacts, Observation, Provisional, Split, columns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bot.analytics.market import Market
    from bot.data.source_selection import Frames


SESSIONS = Sessions()
DAYS = [f"{day:%Y-%m-%d}" for day in SESSIONS.between(pd.Timestamp("2020-11-02"), pd.Timestamp("2020-12-31"))]
NOW = dt.datetime(2020, 12, 31, 22, tzinfo=dt.UTC)
STAMP = "2020-12-31T22:00:00Z"
MULTIPLE = {"ticker": "IWM", "metric": "pe", "convention": "morningstar", "basis": "unstated"}


class Rows(dict[str, list[dict[str, Any]]]):
    """Rows as storage gives them, put in kind by kind: their fields by name."""

    def __init__(self) -> None:
        super().__init__({kind: [] for kind in KINDS})

    def put(self, kind: str, source: str, rows: Iterable[dict[str, Any]], at: str = STAMP) -> Rows:
        """Rows of one source observed at one instant; the ticker is IWM unless it is given."""
        self[kind] += [{"ticker": "IWM", **row, "source": source, "observed_at": at} for row in rows]
        return self

    def closes(
        self, source: str, days: Iterable[str], close: float = 100.0, ticker: str = "IWM", at: str = STAMP
    ) -> Rows:
        """A close that rises by one cent a session, the same at every source."""
        rows = [
            {"ticker": ticker, "session": day, "close": close + DAYS.index(day) / 100, "provisional": 0} for day in days
        ]
        return self.put("bars", source, rows, at)

    def paid(self, source: str, **amounts: float | None) -> Rows:
        """Distributions by ex-date, written d20201221."""
        rows = [
            {"session": f"{day[1:5]}-{day[5:7]}-{day[7:]}", "amount": amount, "provisional": 0}
            for day, amount in amounts.items()
        ]
        return self.put("distributions", source, rows)

    def market(self, now: dt.datetime = NOW, sessions: Sessions = SESSIONS, pending: Frames | None = None) -> Market:
        """The Market they make."""
        frames = {
            table: frame_of({name: [row.get(name) for row in self[table]] for name in columns(kind)})
            for table, kind in KINDS.items()
        }
        return build_market(frames | dict(pending or {}), sessions, now)


def closes(market: Market, ticker: str = "IWM") -> dict[str, float]:
    return {f"{day:%Y-%m-%d}": value for day, value in market.prices[ticker].dropna().items()}


def paid(market: Market) -> dict[str, float]:
    return {f"{day:%Y-%m-%d}": value for day, value in market.distributions_of("IWM").items()}


# What is there at all


def test_an_empty_database_is_an_empty_market() -> None:
    market = Rows().market()
    assert market.end is None
    assert len(market.closes) == 0
    assert market.last_completed == pd.Timestamp("2020-12-31")
    assert market.source("prices").name == "none"
    assert len(market.multiples) == len(market.weights) == 0
    assert market.fund("IWM").empty
    assert not market.is_sample


def test_one_fund_alone_makes_no_pair() -> None:
    market = Rows().closes("csv", DAYS[:3]).market()
    assert list(closes(market)) == DAYS[:3]
    assert market.end is None
    assert market.source("prices").label == "CSV import"


def test_sessions_are_naive_midnights_in_nanoseconds() -> None:
    market = Rows().closes("csv", DAYS[:3]).closes("csv", DAYS[:3], ticker="SPY").market()
    assert market.prices.index.dtype == "datetime64[ns]"
    assert market.prices.columns.tolist() == ["IWM", "SPY"]
    assert market.end == pd.Timestamp(DAYS[2])


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2020-12-31T21:14:59+00:00", "2020-12-30"),  # the close is at 21:00, trusted at 21:15
        ("2020-12-31T21:15:00+00:00", "2020-12-31"),
        ("2020-12-24T18:14:00+00:00", "2020-12-23"),  # an early close, at 18:00
        ("2020-12-24T18:15:00+00:00", "2020-12-24"),
        ("2020-12-27T12:00:00+00:00", "2020-12-24"),
    ],
)
def test_nothing_after_the_last_completed_session_is_seen(now: str, last: str) -> None:
    every = [{"session": day} for day in DAYS]
    rows = Rows().closes("csv", DAYS).paid("csv", d20201223=0.5, d20201224=0.5, d20201231=0.5)
    rows.put("fund_facts", "csv", [{**row, "nav": 1.0, "shares": 2.0, "assets": None} for row in every])
    rows.put("multiples", "yahoo", [{**MULTIPLE, **row, "value": 20.0} for row in every])
    weight = {"level": "sector", "sector": "Energy", "weight": 5.0}
    rows.put("sector_weights", "yahoo", [{**weight, **row} for row in every])
    market = rows.market(dt.datetime.fromisoformat(now))
    end = pd.Timestamp(last)
    assert market.last_completed == end
    assert market.prices.index.max() == end
    assert market.distributions_of("IWM").index.max() <= end
    assert market.fund("IWM").index.max() == end
    assert market.multiples["session"].max() == end
    assert market.weights["session"].max() == end


def test_provisional_bars_and_bars_without_a_close_are_no_closes() -> None:
    rows = Rows().closes("csv", DAYS[:2])
    rows.put("bars", "csv", [{"session": DAYS[2], "close": 101.0, "provisional": 1}])
    rows.put("bars", "csv", [{"session": DAYS[3], "close": None, "provisional": 0}])
    rows.put("bars", "csv", [{"session": DAYS[4], "close": 0.0, "provisional": 0}])
    assert list(closes(rows.market())) == DAYS[:2]
    only = Rows().put("bars", "csv", [{"session": DAYS[2], "close": None, "provisional": 0}])
    assert only.market().source("prices").name == "none"


def test_rows_of_a_day_that_the_config_calls_closed_are_left_out() -> None:
    rows = Rows().closes("csv", DAYS[:3])
    facts = [{"session": day, "nav": 1.0, "shares": 2.0, "assets": None} for day in DAYS[:3]]
    rows.put("fund_facts", "csv", facts)
    market = rows.market(sessions=Sessions([dt.date.fromisoformat(DAYS[1])]))
    assert list(closes(market)) == [DAYS[0], DAYS[2]]
    assert market.fund("IWM").index.tolist() == [pd.Timestamp(DAYS[0]), pd.Timestamp(DAYS[2])]


# Sources


def test_the_source_with_most_sessions_leads() -> None:
    rows = Rows().closes("yahoo", DAYS[-5:], close=500.0).closes("csv", DAYS[:30])
    market = rows.market()
    assert list(closes(market)) == DAYS[:30]
    assert market.source("prices").label == "CSV import"


def test_a_single_session_that_was_filled_in_is_named_so() -> None:
    market = Rows().closes("yahoo", [*DAYS[:10], *DAYS[11:40]]).closes("csv", DAYS[:30]).market()
    assert list(closes(market)) == DAYS[:40]
    assert market.source("prices").label == "Yahoo + CSV import (1 session)"
    assert market.notes == {}


@pytest.mark.parametrize(("factor", "joins"), [(1.0009, True), (1.0011, False), (0.5, False)])
def test_sources_that_disagree_on_common_sessions_are_not_joined(factor: float, joins: bool) -> None:
    rows = Rows().closes("yahoo", DAYS[:30])
    other = [{"session": day, "close": (100 + DAYS.index(day) / 100) * factor} for day in DAYS[6:35]]
    rows.put("bars", "csv", [{**row, "provisional": 0} for row in other])
    market = rows.market()
    assert list(closes(market)) == (DAYS[:35] if joins else DAYS[:30])
    notes = [note.split(",")[0] for note in market.notes.get("prices", ())]
    assert notes == ([] if joins else ["IWM: CSV import disagrees with Yahoo on 24 of 24 sessions"])
    assert bool(market.disputes) != joins
    for dispute in market.disputes:
        assert (dispute.ticker, dispute.used, dispute.other) == ("IWM", "Yahoo", "CSV import")
        assert dispute.differences.tolist() == pytest.approx([factor - 1] * 24)


def test_a_source_that_knows_no_split_is_rebased_by_one_that_does() -> None:
    before, after = "2020-12-11T22:00:00Z", "2020-12-14T22:00:00Z"
    rows = Rows().closes("csv", DAYS[:29], close=100.0, at=before)
    rows.closes("yahoo", DAYS[5:30], close=50.0, at=after)
    for row in rows["bars"]:
        row["close"] = 50.0 if row["source"] == "yahoo" else 100.0
    rows.put("splits", "yahoo", [{"session": "2020-12-14", "ratio": 2.0}], after)
    market = rows.market()
    assert closes(market) == dict.fromkeys(DAYS[:30], 50.0)
    assert market.source("prices").label == "Yahoo + CSV import (5 sessions)"


def test_two_funds_of_two_sources_are_both_named() -> None:
    market = Rows().closes("csv", DAYS[:3]).closes("yahoo", DAYS[:3], ticker="SPY").market()
    assert market.source("prices").label == "CSV import / Yahoo"


def test_fund_facts_are_of_the_one_source_with_most_counts() -> None:
    rows = Rows().put("fund_facts", "csv", facts_of(DAYS[:3], 5.0))
    rows.put("fund_facts", "yahoo", [{"session": d, "nav": 9.0, "shares": None, "assets": 1.0} for d in DAYS])
    market = rows.market()
    assert market.fund("IWM")["shares"].tolist() == [5.0, 5.0, 5.0]
    assert market.fund("IWM")["nav"].tolist() == [8.0, 8.0, 8.0]
    assert market.source("facts:IWM").label == "CSV import"
    assert market.source("facts:SPY").name == "none"
    assert list(market.facts) == ["IWM"]


def facts_of(days: Iterable[str], shares: float) -> list[dict[str, Any]]:
    return [{"session": day, "nav": 8.0, "shares": shares, "assets": None} for day in days]


@pytest.mark.parametrize(
    ("days", "chosen", "told"),
    [
        (DAYS[20:39], "CSV import", "issuer file counts units of 10 sessions, last 28 Dec 2020, CSV import"),
        (DAYS[25:41], "CSV import", "issuer file counts units of 12 sessions, last 30 Dec 2020, CSV import"),
        (DAYS[22:42], "CSV import", "issuer file counts units of 13 sessions, last 31 Dec 2020, CSV import"),
    ],
)
def test_counts_of_another_source_are_left_aside_and_told(days: list[str], chosen: str, told: str) -> None:
    rows = Rows().put("fund_facts", "csv", facts_of(DAYS[:29], 5.0))
    market = rows.put("fund_facts", "issuer", facts_of(days, 7.0)).market()
    assert market.source("facts:IWM").label == chosen
    assert set(market.fund("IWM")["shares"]) == {5.0}
    assert market.notes == {
        "facts:IWM": (f"SOURCE_SWITCH IWM: {told} does not; a flow is never taken across sources.",)
    }


def test_a_count_that_another_source_has_too_is_marked() -> None:
    rows = Rows().put("fund_facts", "issuer", facts_of(DAYS[:4], 5.0))
    rows.put("fund_facts", "csv", [*facts_of(DAYS[1:2], 5.0), *facts_of(DAYS[2:3], 5.1)])
    assert rows.market().fund("IWM")["seconded"].tolist() == [False, True, False, False]


def test_a_source_that_has_gone_on_for_twenty_sessions_takes_over() -> None:
    rows = Rows().put("fund_facts", "csv", facts_of(DAYS[:21], 5.0))
    market = rows.put("fund_facts", "issuer", facts_of(DAYS[21:41], 7.0)).market()
    assert market.source("facts:IWM").label == "issuer file"
    assert set(market.fund("IWM")["shares"]) == {7.0}
    assert market.notes["facts:IWM"] == (
        (
            "SOURCE_SWITCH IWM: CSV import counts units of 21 sessions, last 1 Dec 2020, "
            "issuer file does not; a flow is never taken across sources."
        ),
    )


def test_multiples_keep_their_sources_and_name_the_newest_first() -> None:
    rows = Rows()
    rows.put("multiples", "csv", [{**MULTIPLE, "session": DAYS[0], "convention": "losses_in", "value": 75.0}])
    rows.put("multiples", "yahoo", [{**MULTIPLE, "session": DAYS[1], "value": 16.0}])
    market = rows.market()
    assert market.multiples["source"].tolist() == ["csv", "yahoo"]
    assert market.source("multiples").label == "Yahoo, CSV import"


@pytest.mark.parametrize("real", ["bars", "fund_facts", "multiples"])
def test_the_sample_is_never_mixed_with_anything_real(real: str) -> None:
    sample = Rows().closes("sample", DAYS).closes("sample", DAYS, ticker="SPY").paid("sample", d20201221=1.0)
    sample.put("multiples", "sample", [{**MULTIPLE, "session": DAYS[0], "value": 75.0}])
    assert sample.market().is_sample
    assert sample.market().source("prices").label == "sample data"
    assert sample.market().end == pd.Timestamp(DAYS[-1])
    values: dict[str, dict[str, Any]] = {
        "bars": {"close": 7.0, "provisional": 0},
        "fund_facts": {"nav": 7.0, "shares": 7.0, "assets": None},
        "multiples": {**MULTIPLE, "value": 7.0},
    }
    market = sample.put(real, "csv", [{"session": DAYS[0], **values[real]}]).market()
    assert not market.is_sample
    assert market.end is None
    assert set(closes(market).values()) <= {7.0}
    assert paid(market) == {}
    assert set(market.multiples["source"]) <= {"csv"}


# Distributions


def test_distributions_come_from_the_source_of_the_closes_and_of_the_sessions_joined_to_it() -> None:
    whole, first_ten = Rows().closes("csv", DAYS), Rows().closes("csv", DAYS).closes("yahoo", DAYS[:10])
    assert paid(whole.paid("csv", d20201116=0.2, d20201221=None).market()) == {"2020-11-16": 0.2}  # withdrawn
    first_ten.paid("yahoo", d20201104=9.0, d20201116=0.25)
    only = {"2020-11-04": 9.0, "2020-11-16": 0.25}
    assert paid(first_ten.market()) == only  # a file of closes only takes those of another source
    assert paid(first_ten.paid("csv", d20201116=0.26).market()) == {"2020-11-16": 0.26}
    rows = Rows().closes("csv", DAYS[:30]).closes("yahoo", DAYS[:40])  # Yahoo leads
    rows.paid("csv", d20201116=0.2).paid("yahoo", d20201116=0.201, d20201221=0.5)
    assert paid(rows.market()) == {"2020-11-16": 0.201, "2020-12-21": 0.5}
    longer = Rows().closes("yahoo", DAYS[:34]).closes("csv", DAYS[8:40])  # Yahoo leads up to 2020-12-18
    assert DAYS[34] == "2020-12-21"
    longer.paid("yahoo", d20201116=0.2).paid("csv", d20201116=0.201, d20201117=9.0, d20201221=0.5)
    assert paid(longer.market()) == {"2020-11-16": 0.2, "2020-12-21": 0.5}
    assert paid(longer.paid("yahoo", d20201221=0.4).market()) == {"2020-11-16": 0.2, "2020-12-21": 0.4}


def test_a_provisional_distribution_that_the_issuers_list_covers_is_settled() -> None:
    held = [("IWM", "distribution", "yahoo", int(Provisional.NEIGHBOUR), day, 0.1) for day in DAYS[5:30:12]]
    pending = {PENDING: pd.DataFrame(held, columns=list(PENDING_COLUMNS))}
    rows = Rows().paid("issuer", d20201112=0.5, d20201201=0.5, d20201214=0.5)
    assert [figures.noun for figures in Rows().market(pending=pending).provisional] == ["distribution"]
    (waiting,) = rows.market(pending=pending).provisional
    assert [f"{day:%Y-%m-%d}" for day in waiting.amounts.index] == [DAYS[5]]


# Splits


BEFORE, AFTER = "2020-12-11T22:00:00Z", "2020-12-14T22:00:00Z"
SPLIT = {"session": "2020-12-14", "ratio": 2.0}


def test_distributions_and_facts_of_before_a_split_are_rebased_too() -> None:
    rows = Rows().closes("yahoo", DAYS[:29], at=BEFORE).put("splits", "yahoo", [SPLIT], AFTER)
    rows.put("distributions", "yahoo", [{"session": DAYS[10], "amount": 0.5, "provisional": 0}], BEFORE)
    facts = {"nav": 100.0, "shares": 1e6, "assets": 1e8}
    rows.put("fund_facts", "csv", [{"session": DAYS[10], **facts}], BEFORE)
    market = rows.market()
    assert paid(market) == {DAYS[10]: 0.25}
    assert market.fund("IWM").iloc[0].to_dict() == {"nav": 50.0, "shares": 2e6, "assets": 1e8}


def test_a_split_counts_for_its_fund_while_it_is_not_withdrawn_and_for_no_multiple() -> None:
    spy = Rows().closes("yahoo", DAYS[:5], ticker="SPY", at=BEFORE).put("splits", "yahoo", [SPLIT], AFTER)
    assert closes(spy.market(), "SPY")[DAYS[0]] == 100.0
    rows = Rows().closes("yahoo", DAYS[:28], close=100.0, at=BEFORE)
    rows.put("multiples", "yahoo", [{**MULTIPLE, "session": DAYS[10], "value": 20.0}], BEFORE)
    rows.put("splits", "yahoo", [{**SPLIT, "ratio": None}], AFTER)
    assert closes(rows.market())[DAYS[0]] == 100.0
    market = rows.put("splits", "csv", [SPLIT], AFTER).market()
    assert closes(market)[DAYS[0]] == 50.0
    assert list(market.multiples["value"]) == [20.0]


def test_before_a_source_rewrites_its_history_all_of_it_is_rebased_here() -> None:
    """Of a database that was first filled between a split and the rewriting; distributions go with closes."""
    rows = Rows().closes("yahoo", DAYS[:29], close=100.0, at=AFTER).put("splits", "yahoo", [SPLIT], AFTER)
    rows.put("bars", "yahoo", [{"session": DAYS[29], "close": 50.2, "provisional": 0}], AFTER)
    rows.put("distributions", "yahoo", [{"session": DAYS[10], "amount": 0.5, "provisional": 0}], AFTER)
    for day, nav, shares in ((DAYS[28], 100.3, 1e6), (DAYS[29], 50.2, 2e6)):
        rows.put("fund_facts", "yahoo", [{"session": day, "nav": nav, "shares": shares, "assets": None}], AFTER)
    market = rows.market()
    assert closes(market)[DAYS[28]] == pytest.approx(50.14)
    assert paid(market) == {DAYS[10]: 0.25}
    assert list(market.fund("IWM")["nav"]) == [50.15, 50.2]
    assert list(market.fund("IWM")["shares"]) == [2e6, 2e6]


def test_a_clock_before_the_first_close_knows_when_it_is() -> None:
    rows = Rows().closes("csv", DAYS[3:6]).closes("csv", DAYS[4:6], ticker="SPY")
    market = rows.market(dt.datetime(2020, 11, 2, 22, tzinfo=dt.UTC))
    assert market.end is None
    assert market.first_close == pd.Timestamp(DAYS[4])


# As known on a date


def test_a_count_that_was_replaced_is_remembered_as_it_was_known(tmp_path: Path) -> None:
    fact = FundFacts("IWM", DAYS[28], nav=190.0, assets=None)
    with open_database(tmp_path / "bot.db") as database:
        for at, shares in ((DAYS[28], 240e6), (DAYS[29], 250e6), (DAYS[30], 250e6 * (1 + 5e-6))):
            row = replace(fact, shares=shares)
            database.run_sync(
                lambda db, row=row, at=at: observations.add(  # type: ignore[misc]  # bound now
                    db, FundFacts, [row], source="issuer", observed_at=f"{at}T22:00:00Z"
                )
            )

        def facts(known: str) -> pd.DataFrame:
            day = dt.date.fromisoformat(known)
            return build_market(database.run_sync(lambda db: read_frames(db, day)), SESSIONS, NOW).fund("IWM")

        assert "was" not in facts(DAYS[28])
        assert facts(DAYS[28])["shares"].tolist() == [240e6]
        for later in (DAYS[29], DAYS[30]):
            assert facts(later)[["shares", "was"]].iloc[0].tolist() == [250e6, 240e6]


def test_known_reads_what_was_stored_by_the_end_of_that_day(tmp_path: Path) -> None:
    with open_database(tmp_path / "bot.db") as database:

        def say(kind: str, at: str, *rows: Observation) -> None:
            database.run_sync(lambda db: observations.add(db, KINDS[kind], rows, source="yahoo", observed_at=at))

        def seen(known: str | None) -> Market:
            day = dt.date.fromisoformat(known) if known else None
            return build_market(database.run_sync(lambda db: read_frames(db, day)), SESSIONS, NOW)

        first, second, third = DAYS[27], DAYS[28], DAYS[29]  # 2020-12-10, -11, -14
        say("bars", f"{second}T22:00:00Z", *(Bar("IWM", d, 100.0) for d in DAYS[:29]))
        say("distributions", f"{second}T22:00:00Z", Distribution("IWM", first, 0.4))
        say("bars", f"{third}T22:00:00Z", Bar("IWM", second, 50.5))
        say("distributions", f"{third}T22:00:00Z", Distribution("IWM", first, None))
        say("splits", f"{third}T22:00:00Z", Split("IWM", third, 2.0))
        say("bars", f"{third}T22:00:00Z", Bar("IWM", third, 50.0))

        assert seen(first).prices.empty
        then = seen(second)
        assert closes(then)[second] == 100.0
        assert third not in closes(then)
        assert paid(then) == {first: 0.4}
        assert then.source("prices").observed_at == f"{second}T22:00:00Z"
        for now in (seen(third), seen(None)):
            assert closes(now)[first] == 50.0  # observed before the split, in its units
            assert closes(now)[second] == 50.5  # revised on the day of the split: already in them
            assert closes(now)[third] == 50.0
            assert paid(now) == {}
