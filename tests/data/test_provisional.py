"""Provisional figures in the database: how they become final, and what is known of them on a date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.data.load import pending_frame
from bot.data.provider import observations_of
from bot.data.provisional import accept, confirm_pending, mark_answer, pending_sessions
from storage import observations
from storage.records import KINDS, Bar, Distribution, FundFacts, Provisional, Split

if TYPE_CHECKING:
    import sqlite_utils

    from bot.data.provider import Observations
    from storage.records import Observation

DAYS = [f"{day:%Y-%m-%d}" for day in Sessions().between(pd.Timestamp("2020-11-16"), pd.Timestamp("2020-12-11"))]
LAST = DAYS[-1]
EVENING, NEXT_EVENING = f"{LAST}T22:00:00Z", "2020-12-14T22:00:00Z"


def completed(last: str = LAST) -> pd.DatetimeIndex:
    index = Sessions().index
    return index[index <= pd.Timestamp(last)]


def bars(last: float, ticker: str = "IWM", usual: float = 190.0) -> list[Bar]:
    return [Bar(ticker, day, last if day == LAST else usual) for day in DAYS]


def give(
    db: sqlite_utils.Database, rows: Observations, at: str = EVENING, source: str = "yahoo", last: str = LAST
) -> None:
    """Store an answer as a refresh does."""
    (ticker,) = {row.ticker for group in rows.values() for row in group}  # type: ignore[attr-defined]
    marked = mark_answer(db, rows, source=source, ticker=ticker, completed=completed(last))
    for kind, group in marked.items():
        observations.add(db, KINDS[kind], group, source=source, observed_at=at)  # type: ignore[arg-type]
    confirm_pending(db, now=at)


@pytest.fixture
def held(db: sqlite_utils.Database) -> sqlite_utils.Database:
    """Both funds over four weeks; IWM's last close is 30% lower, SPY's is not."""
    give(db, {"bars": bars(340.0, "SPY", 340.0)})
    give(db, {"bars": bars(133.0)})
    return db


def finals(db: sqlite_utils.Database, kind: type[Observation] = Bar) -> dict[str, float]:
    """The figures of IWM that are used, from Yahoo."""
    rows = observations.newest(db, kind, ticker="IWM", source="yahoo")
    return {row.session: getattr(row, *kind.figures) for row in rows if not getattr(row, "provisional", 0)}


def test_a_provisional_close_is_no_close_of_the_session(held: sqlite_utils.Database) -> None:
    assert pending_sessions(held, "yahoo", "IWM") == [LAST]
    assert LAST not in finals(held)
    assert pending_frame(held).to_dict("records") == [
        {
            "ticker": "IWM",
            "noun": "close",
            "source": "yahoo",
            "reason": Provisional.MOVE,
            "session": LAST,
            "value": 133.0,
        }
    ]


@pytest.mark.parametrize(
    ("source", "kind", "row", "is_confirmed"),
    [
        ("issuer", "fund_facts", FundFacts("IWM", LAST, nav=134.0), True),
        ("issuer", "fund_facts", FundFacts("IWM", LAST, nav=190.0), False),
        ("daily-csv", "bars", Bar("IWM", LAST, 133.2), True),
        ("daily-csv", "bars", Bar("IWM", LAST, 190.1), False),
        ("yahoo", "bars", Bar("SPY", LAST, 250.0), True),  # the other fund fell too, as was seen later
        ("yahoo", "bars", Bar("IWM", LAST, 190.2), True),  # the source corrects it
    ],
)
def test_what_is_stored_later_confirms_a_close_or_not(
    held: sqlite_utils.Database, source: str, kind: str, row: Observation, is_confirmed: bool
) -> None:
    if row.ticker == "SPY":
        held.execute("DELETE FROM bars WHERE ticker = 'SPY' AND session = ?", (LAST,))
    give(held, observations_of({kind: [row]}), "2020-12-11T23:00:00Z", source)
    assert (LAST in finals(held)) == is_confirmed
    assert (pending_sessions(held, "yahoo", "IWM") == []) == is_confirmed


@pytest.mark.parametrize(
    ("at", "last", "is_final"), [("2020-12-12T03:00:00Z", LAST, False), (NEXT_EVENING, "2020-12-14", True)]
)
def test_the_same_source_confirms_a_close_with_the_answer_of_the_next_session(
    held: sqlite_utils.Database, at: str, last: str, is_final: bool
) -> None:
    give(held, {"bars": bars(133.0)}, at, last=last)
    assert (LAST in finals(held)) == is_final


def test_a_close_that_contradicts_its_row_is_not_confirmed_by_repetition(db: sqlite_utils.Database) -> None:
    give(db, {"bars": bars(340.0, "SPY", 340.0)})
    wrong = [*bars(190.0)[:-1], Bar("IWM", LAST, 1.9, low=189.0, high=191.0)]
    for at, last in ((EVENING, LAST), (NEXT_EVENING, "2020-12-14")):
        give(db, {"bars": wrong}, at, last=last)
        assert pending_sessions(db, "yahoo", "IWM") == [LAST]
    assert accept(db, "IWM", now=NEXT_EVENING) == 1  # the owner decides
    assert finals(db)[LAST] == 1.9


def test_an_older_final_close_stands_while_its_revision_is_provisional(db: sqlite_utils.Database) -> None:
    give(db, {"bars": bars(340.0, "SPY", 340.0)})
    give(db, {"bars": bars(190.0)})
    give(db, {"bars": bars(19.0)}, "2020-12-12T03:00:00Z")
    assert finals(db)[LAST] == 190.0
    assert pending_sessions(db, "yahoo", "IWM") == [LAST]
    assert list(pending_frame(db, EVENING)["session"]) == []  # as was known then


@pytest.mark.parametrize("wrong", [DAYS[-1], DAYS[-3]])
def test_a_sound_close_replaces_an_implausible_one_that_was_accepted(held: sqlite_utils.Database, wrong: str) -> None:
    sound = bars(190.0)
    observations.add(held, Bar, [*sound, Bar("IWM", wrong, 1.9)], source="yahoo", observed_at=EVENING)
    assert finals(held)[wrong] == 1.9
    give(held, {"bars": sound}, "2020-12-12T03:00:00Z")
    assert pending_sessions(held, "yahoo", "IWM") == []
    assert finals(held)[wrong] == 190.0


def test_a_split_of_long_ago_explains_no_halved_close(db: sqlite_utils.Database) -> None:
    give(db, {"bars": bars(340.0, "SPY", 340.0)})
    give(db, {"bars": bars(95.0), "splits": [Split("IWM", "2005-06-09", 2.0)]})
    assert pending_sessions(db, "yahoo", "IWM") == [LAST]


@pytest.mark.parametrize("amount", [None, -0.5])
def test_what_cannot_be_an_amount_is_not_confirmed_by_repetition(
    held: sqlite_utils.Database, amount: float | None
) -> None:
    paid = Distribution("IWM", DAYS[3], amount, Provisional.AMOUNT)
    for at, last in ((EVENING, LAST), (NEXT_EVENING, "2020-12-14")):
        give(held, {"bars": bars(190.0), "distributions": [paid]}, at, last=last)
        assert finals(held, Distribution) == {}
        assert pending_sessions(held, "yahoo", "IWM") == [DAYS[3]]


def test_the_issuers_list_confirms_a_distribution(held: sqlite_utils.Database) -> None:
    paid = Distribution("IWM", DAYS[3], 12.0)
    give(held, {"bars": bars(190.0), "distributions": [paid]})
    assert finals(held, Distribution) == {}
    assert pending_sessions(held, "yahoo", "IWM") == [DAYS[3]]
    give(held, {"distributions": [Distribution("IWM", DAYS[3], 12.01)]}, NEXT_EVENING, "issuer")
    assert finals(held, Distribution) == {DAYS[3]: 12.0}
