import datetime as dt
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from bot.analytics.market import Market
from bot.config import Config
from bot.data.refresh import switched_on
from bot.messages.pages.status import (
    COUNTS_CHECKED,
    StatusReport,
    about_answer,
    knowledge,
    source_healths,
    status_answer,
)
from bot.pair import DEFAULT_PAIR, Fund
from bot.services.questions import StoredStatus
from storage.observations import Restatement
from storage.records import Holdings
from storage.sources import SourceStatus
from tests.data.statuses import source_status
from tests.messages.pages import XNYS, days, empty, market, page, shown
from tests.sample_market import sample_market

NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2020, 12, 13, 18, tzinfo=dt.UTC)
CHECK = dt.datetime(2020, 12, 14, 21, 15, tzinfo=dt.UTC)


def report(
    rows: list[SourceStatus] | None = None,
    *,
    queue: dict[str, int] | None = None,
    restated: list[Restatement] | None = None,
    zone: ZoneInfo = NEW_YORK,
    now: dt.datetime = NOW,
    stored: tuple[str, ...] = (),
    refusing: int = 0,
) -> StatusReport:
    healths = source_healths(rows or [], XNYS, now)
    of_database = StoredStatus([], set(stored), restated or [], queue or {}, refusing)
    return StatusReport(now, zone, healths, of_database, CHECK, "0.2.0")


def lines(of: Market, rows: list[SourceStatus] | None = None, **named: Any) -> list[str]:  # noqa: ANN401 - of `report`
    return shown(status_answer(of, report(rows, **named)))


def source(subject: str = "IWM prices", **columns: Any) -> SourceStatus:  # noqa: ANN401 - of a row
    return source_status(subject=subject, **columns)


def test_files_imported_this_year_with_figures_of_an_earlier_one_fit_a_phone() -> None:
    row = source("IWM daily prices", source="csv", last_success="2021-03-15T17:50:00Z", last_session="2020-12-11")
    text = lines(sample_market(), [row], now=dt.datetime(2021, 3, 15, 18, tzinfo=dt.UTC))
    at = text.index("CSV import")
    assert text[at + 1 : at + 4] == ["      answered        up to", "IWM daily prices", "  15 Mar 13:50  11 Dec 2020"]


def replaced(session: str = "2020-12-10", old: float = 190.0, new: float | None = 190.19) -> Restatement:
    key = {"ticker": "IWM", "session": session}
    return Restatement("bars", key, "close", old, new, "yahoo", "2020-12-11T21:20:31Z")


def test_the_whole_page() -> None:
    rows = [source(f"{fund} {figure}") for figure in ("prices", "multiples") for fund in ("IWM", "SPY")]
    failed = {"failures": 2, "last_success": None, "last_session": None, "detail": "Yahoo did not answer."}
    rows[3] = source("SPY multiples", **failed, last_attempt="2020-12-13T17:58:00Z")
    queue = {"queued": 2, "sent": 9}
    answer = status_answer(sample_market(), report(rows, queue=queue, restated=[replaced()]))
    assert page(answer) == (
        "Status · last completed session Fri 11 Dec 2020\n"
        "Sample data, not the market.\n"
        "Prices: 31 Dec 2009 to 11 Dec 2020, current; sample data.\n"
        "IWM fund facts: 31 Dec 2009 to 11 Dec 2020, current; sample data.\n"
        "SPY fund facts: 31 Dec 2009 to 11 Dec 2020, current; sample data.\n"
        "IWM flags on the last 20 share counts: none.\n"
        "SPY flags on the last 20 share counts: none.\n"
        "Multiples: 31 Dec 2014 to 11 Dec 2020, current; sample data.\n"
        "Sources\n"
        "Yahoo             answered  up to\n"
        "IWM prices    11 Dec 16:20 11 Dec\n"
        "SPY prices    11 Dec 16:20 11 Dec\n"
        "IWM multiples 11 Dec 16:20 11 Dec\n"
        "SPY multiples        never   none\n"
        "Next try Mon 14 Dec 2020, 16:15: IWM prices, SPY prices, IWM multiples.\n"
        "Next try Sun 13 Dec 2020, 13:08: SPY multiples.\n"
        "SPY multiples failed 2x: Yahoo did not answer.\n"
        "Restated in the last 30 days:\n"
        "IWM 10 Dec 2020 close 190 → 190.19 (+10.0 bp), Yahoo\n"
        "Next check: Mon 14 Dec 2020, 16:15.\n"
        "Queue: 2 to be sent.\n"
        "Version 0.2.0. Times: America/New_York."
    )


def test_sources_of_imported_exports_are_named() -> None:
    stored = ("issuer", "yahoo")
    assert "Figures of Yahoo, issuer file are stored from an import." in lines(empty(), stored=stored)
    text = lines(empty(), [source()], stored=stored)
    assert "Figures of issuer file are stored from an import." in text


def test_a_new_database_has_nothing_and_facts_may_have_no_count() -> None:
    assert lines(empty())[1:7] == [
        "Prices: none stored.",
        "IWM fund facts: no share counts.",
        "SPY fund facts: no share counts.",
        "Multiples: none stored.",
        "Sources: none has been asked yet.",
        "Restated in the last 30 days: nothing over 1 bp.",
    ]
    nav_only = pd.DataFrame({"nav": 100.0, "shares": float("nan"), "assets": 1e9}, days(5))
    line = lines(replace(empty(), facts={"IWM": nav_only}))[2]
    assert line == "IWM fund facts: no share counts (NAV only, to 8 Jan 2020)."


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (market([50.0] * 5), "2 Jan 2020 to 8 Jan 2020, current; CSV import."),
        (market([50.0] * 5, behind=1), "2 Jan 2020 to 8 Jan 2020, 1 session old; CSV import."),
        (market([50.0], [None]), "no session has a close of both funds; stored are IWM to 2 Jan 2020."),
        (
            market([50.0, None], [None, 50.0]),
            "no session has a close of both funds; stored are IWM to 2 Jan 2020, SPY to 3 Jan 2020.",
        ),
        (
            replace(empty(), first_close=pd.Timestamp("2021-01-04")),
            "none yet, the first stored close is of Mon 4 Jan 2021.",
        ),
    ],
)
def test_prices_have_their_span_and_age(of: Market, line: str) -> None:
    assert lines(of)[1] == f"Prices: {line}"


def test_missing_sessions_are_counted_and_the_last_ones_named() -> None:
    title = "Sessions without a close of both funds:"
    few = lines(market([50.0, *[None] * 3, 50.0]))[2]
    assert few == f"{title} 3, 3 Jan 2020, 6 Jan 2020, 7 Jan 2020."
    many = lines(market([50.0, *[None] * 4, 50.0]))[2]
    assert many == f"{title} 4, the last ones 6 Jan 2020, 7 Jan 2020, 8 Jan 2020."


def test_facts_and_multiples_have_their_span_and_age() -> None:
    figures = [("2020-01-03", "IWM", "pe", 25.0), ("2020-01-06", "SPY", "pe", 20.0)]
    units = {"IWM": [250.0] * 5, "SPY": [900.0] * 3}
    text = lines(market([50.0] * 6, units=units, multiples=figures))
    assert text[2:4] == [
        "IWM fund facts: 2 Jan 2020 to 8 Jan 2020, 1 session old; CSV import.",
        "SPY fund facts: 2 Jan 2020 to 6 Jan 2020, 3 sessions old; CSV import.",
    ]
    assert "Multiples: 3 Jan 2020 to 6 Jan 2020, 3 sessions old; CSV import." in text


def test_times_are_those_of_the_chat_and_dates_of_another_year_have_it() -> None:
    text = lines(empty(), [source()], zone=BERLIN)
    assert "IWM prices  11 Dec 22:20  11 Dec" in text
    assert "Next try: Mon 14 Dec 2020, 22:15." in text
    assert "Next check: Mon 14 Dec 2020, 22:15." in text
    assert text[-1] == "Version 0.2.0. Times: Europe/Berlin."
    later = dt.datetime(2021, 1, 4, 15, tzinfo=dt.UTC)
    assert "IWM prices 11 Dec 2020 11 Dec 2020" in lines(empty(), [source()], now=later)


def test_a_source_that_asked_to_slow_down_is_left_alone_until_an_instant() -> None:
    failing = source(
        failures=1,
        outcome="RateLimited",
        detail="Yahoo asked to slow down (429).",
        last_attempt="2020-12-13T17:59:00Z",
        breaker_until="2020-12-13T18:14:00Z",
        last_session="2020-12-10",
    )
    text = lines(empty(), [failing, source("SPY prices", last_session="2020-12-10")])
    at = text.index("Next try: Sun 13 Dec 2020, 13:14.")
    assert text[at + 1 : at + 3] == [
        "IWM prices failed 1x: Yahoo asked to slow down (429).",
        "Yahoo is not asked until Sun 13 Dec 2020, 13:14.",
    ]


def test_what_is_due_is_tried_now_and_what_a_file_brought_is_not_asked() -> None:
    text = lines(empty(), [source(last_session="2020-12-10"), source(source="csv", outcome="Imported")])
    assert {"Next try: now.", "Not asked: imported or switched off."} <= set(text)


def test_sessions_that_a_source_dropped_are_named_and_its_words_are_no_markup() -> None:
    row = source(missing="2020-07-24 2020-07-28 2020-08-28 2020-12-10", failures=1, detail="<html> & “quotes”")
    text = lines(market([50.0]), [row])
    assert "IWM prices are missing for 28 Jul 2020, 28 Aug 2020, 10 Dec 2020 and 1 before." in text
    assert "IWM prices failed 1x: <html> & “quotes”" in text


@pytest.mark.parametrize(
    ("sections", "on"),
    [
        ({}, {"yahoo", "issuer"}),
        ({"sources": {"yahoo": False, "daily_csv": "https://a.org/{ticker}"}}, {"daily-csv", "issuer"}),
        ({"sources": {"yahoo": False}, "issuer": {"fetch": False}}, set()),
        ({"pair": {"small": Fund("IJR"), "large": Fund("IVV")}}, {"yahoo"}),
        ({"pair": {"small": Fund("IJR"), "large": Fund("IVV", issuer_file="x")}}, {"yahoo", "issuer"}),
    ],
)
def test_what_is_switched_off_is_not_asked(sections: dict[str, Any], on: set[str]) -> None:
    assert switched_on(Config().with_keys(**sections)) == on
    (health,) = source_healths([source()], XNYS, NOW, on)
    assert (health.next_try is None) == ("yahoo" not in on)


def test_the_flags_of_the_last_counts_are_told() -> None:
    counts = [250.0, 251, 251, 251, 251, 251, 251.01, *(252.0 + n for n in range(16))]
    text = lines(market([50.0] * 23, units={"IWM": counts}))
    flags = "STALE 2x, last 9 Jan 2020; LOT 2x, last 13 Jan 2020"
    assert f"IWM flags on the last {COUNTS_CHECKED} share counts: {flags}." in text


def test_what_the_sources_do_not_agree_on_is_told() -> None:
    notes = {"prices": ("IWM: 3 of 250 sessions.",), "facts:IWM": ("Other.",)}
    text = lines(replace(market([50.0] * 5), notes=notes))
    assert text[2] == "IWM: 3 of 250 sessions."
    assert "Other." in text


def test_at_most_five_restatements_are_named() -> None:
    rows = [replaced(f"2020-12-{day:02}", 190.0, 171.0) for day in range(9, 2, -1)]
    text = lines(empty(), restated=rows)
    at = text.index("Restated in the last 30 days:")
    assert text[at + 1] == "IWM 9 Dec 2020 close 190 → 171 (−1,000.0 bp), Yahoo"
    assert text[at + 6] == "... and 2 more"


def test_the_queue_is_counted_in_words() -> None:
    queue = {"dead": 1, "ambiguous": 2, "waiting": 3, "sending": 4, "queued": 5, "sent": 6}
    words = "5 to be sent, 4 on its way, 3 waiting for a new try, 2 of unknown outcome, 1 given up"
    assert f"Queue: {words}." in lines(empty(), queue=queue)
    assert "Queue: empty." in lines(empty(), queue={"sent": 5, "queued": 0})
    refusing = lines(empty(), refusing=1)
    assert "1 chat refused the last message; what alerts report there waits." in refusing


def test_about_defines_and_does_not_advise() -> None:
    text = shown(about_answer(DEFAULT_PAIR))
    assert (text[0], text[-1]) == ("About", "Not investment advice.")
    defined = {line.split(":")[0] for line in text if ":" in line}
    assert {"Price return", "Total return", "Ratio", "Flow", "Multiples", "Percentile"} <= defined


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_is_known_of_each_fund_is_a_table_of_the_terminals_width(width: int) -> None:
    of = replace(
        market([50.0] * 5, units={"IWM": [250.0] * 4}),
        official={"IWM": pd.Series([1e9], pd.DatetimeIndex(["2020-01-31"]))},
        refusals={"SPY holdings": "No data: refused (HTTP 403); download the file and import it."},
    )
    held = {"IWM": Holdings("IWM", "2020-01-07", None, ()), "SPY": None}
    text = "\n".join(knowledge(of, held, width)).splitlines()
    address = DEFAULT_PAIR.large.issuer_file
    assert max(len(line) for line in text if address not in line) <= width
    first = "20-01-02 20-01-08" if width == 40 else "2020-01-02 2020-01-08"
    rows = [" ".join(line.split()) for line in text if line]
    assert rows[0] == "IWM since to from"
    assert rows[1].startswith(f"prices {first} ")
    assert rows[3].startswith("units ")
    assert any(line.startswith("filings ") for line in rows)
    words = " ".join(rows)
    assert "Lacking: payouts, sectors, multiples. SPY since to from" in words
    assert "SPY holdings: No data: refused (HTTP 403); download the file and import it." in words
    assert "SPY: its issuer's file brings NAV and units: python -m bot refresh; or download" in words
    assert words.endswith("Filings: set [sec] contact in the config.")
