from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bot.rendering.status import about, status
from tests.rendering.pages import CSV, days, empty, market, page, said
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.analytics.market import Market

SUCCESS = "Yahoo, IWM prices: last success 2020-12-11 21:20 UTC"
CHECK = dt.datetime(2020, 12, 14, 21, tzinfo=dt.UTC)


def lines(
    of: Market, rows: list[dict[str, Any]] | None = None, queue: dict[str, int] | None = None
) -> list[str]:
    return said(status(of, rows or [], queue or {}, CHECK, "0.1.0"))


def test_the_whole_page() -> None:
    rows = [source(), source("SPY multiples", failures=2, last_success=None, detail="Yahoo did not answer.")]
    assert page(status(sample_market(), rows, {"queued": 2, "sent": 9}, CHECK, "0.1.0")) == (
        "Status · last completed session Fri 11 Dec 2020\n"
        "Sample data: simulated between published points, not the market.\n"
        "Prices: 31 Dec 2009 to 11 Dec 2020, current; sample data.\n"
        "IWM fund facts: 31 Dec 2009 to 11 Dec 2020, current; sample data.\n"
        "SPY fund facts: 31 Dec 2009 to 11 Dec 2020, current; sample data.\n"
        "Multiples: 31 Dec 2014 to 11 Dec 2020, current; sample data.\n"
        "Sources\n"
        "Yahoo, IWM prices: last success 2020-12-11 21:20 UTC.\n"
        "Yahoo, SPY multiples: no success yet; Yahoo did not answer.\n"
        "Next check: after the close of Mon 14 Dec 2020, 21:00 UTC.\n"
        "Queue: 2 to be sent.\n"
        "Version 0.1.0."
    )


def source(subject: str = "IWM prices", **given: Any) -> dict[str, Any]:  # noqa: ANN401 - a row's columns
    row = {"source": "yahoo", "subject": subject, "last_success": "2020-12-11T21:20:31Z", "failures": 0}
    return {**row, "detail": "", "breaker_until": None, **given}


def test_a_new_database_has_nothing() -> None:
    assert lines(empty())[1:6] == [
        "Prices: none stored.",
        "IWM fund facts: no share counts.",
        "SPY fund facts: no share counts.",
        "Multiples: none stored.",
        "Sources: none asked yet.",
    ]


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (market([50.0] * 5), "Prices: 2 Jan 2020 to 8 Jan 2020, current; CSV import."),
        (market([50.0] * 5, behind=1), "Prices: 2 Jan 2020 to 8 Jan 2020, 1 session old; CSV import."),
        (market([50.0] * 5, [None] * 5), "Prices: no close of both funds, only IWM to 8 Jan 2020."),
        (
            market([50.0, None], [None, 50.0]),
            "Prices: no close of both funds, only IWM to 2 Jan 2020, SPY to 3 Jan 2020.",
        ),
    ],
)
def test_prices_have_their_span_and_age(of: Market, line: str) -> None:
    assert lines(of)[1] == line


@pytest.mark.parametrize(
    ("levels", "line"),
    [
        ([50.0, None, 50.0], "Sessions without a close of both funds: 1, 3 Jan 2020."),
        ([50.0, *[None] * 4, 50.0], "Sessions without a close of both funds: 4, the last ones 6 Jan 2020, "),
    ],
)
def test_missing_sessions_are_counted_and_the_last_ones_named(levels: list[float | None], line: str) -> None:
    assert lines(market(levels))[2].startswith(line)


def test_facts_have_their_span_and_age() -> None:
    of = market([50.0] * 6, units={"IWM": [250.0] * 5, "SPY": [900.0] * 3})
    assert lines(of)[2:4] == [
        "IWM fund facts: 2 Jan 2020 to 8 Jan 2020, current; CSV import.",
        "SPY fund facts: 2 Jan 2020 to 6 Jan 2020, 2 sessions old; CSV import.",
    ]


def test_facts_without_a_count_are_named() -> None:
    of = market([50.0] * 5)
    nav_only = pd.DataFrame({"nav": 100.0, "shares": float("nan"), "assets": 1e9}, days(5))
    held = replace(of, facts={"IWM": nav_only}, sources={**of.sources, "facts:IWM": CSV})
    assert lines(held)[2] == "IWM fund facts: no share counts (NAV only, to 8 Jan 2020)."


def test_multiples_have_their_span_and_age() -> None:
    of = market([50.0] * 5, multiples=[("2020-01-03", "IWM", "pe", 25.0), ("2020-01-06", "SPY", "pe", 20.0)])
    assert "Multiples: 3 Jan 2020 to 6 Jan 2020, 2 sessions old; CSV import." in lines(of)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (source(detail="an old one"), f"{SUCCESS}."),
        (
            source(failures=1, detail="It did not answer.", breaker_until="2020-12-11T22:15:00Z"),
            f"{SUCCESS}; It did not answer; left alone until 2020-12-11 22:15 UTC.",
        ),
        (source(source="other", last_success=None), "other, IWM prices: no success yet."),
        (
            source(failures=1, detail="<html> & “quotes”"),
            f"{SUCCESS}; <html> & “quotes”.",
        ),
    ],
    ids=["healthy", "failing", "unknown", "markup"],
)
def test_a_source_says_how_it_answered(row: dict[str, Any], line: str) -> None:
    assert line in lines(market([50.0]), [row])


@pytest.mark.parametrize(
    ("queue", "line"),
    [
        ({}, "Queue: empty."),
        ({"sent": 5, "queued": 0}, "Queue: empty."),
        (
            {"dead": 1, "ambiguous": 2, "waiting": 3, "sending": 4, "queued": 5, "sent": 6},
            "Queue: 5 to be sent, 4 on its way, 3 waiting for a new try, 2 of unknown outcome, 1 given up.",
        ),
    ],
)
def test_the_queue_is_counted_in_words(queue: dict[str, int], line: str) -> None:
    assert line in lines(market([50.0]), queue=queue)


def test_about_defines_and_does_not_advise() -> None:
    told = said(about())
    assert told[0] == "About"
    assert told[-1] == "Not investment advice."
    defined = {line.split(":")[0] for line in told if ":" in line}
    assert {"Price return", "Total return", "Ratio", "Flow", "Multiples", "Percentile"} <= defined
