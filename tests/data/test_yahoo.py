"""The whole way: real yfinance over TLS to the loopback Yahoo."""

from __future__ import annotations

import datetime as dt
import json
import time
from functools import partial, reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

import certifi
import pytest

from bot.data.provider import Empty, FetchOutcome, NetworkDown, RateLimited, SchemaChanged, UnknownSymbol
from bot.data.yahoo import RecordedRequest, Yahoo, find_problem, outcome_of_error
from storage.records import Bar, Distribution, FundFacts, Multiple, Split
from tests.data.conftest import CLOSES, COMPLETED, day, figures, forget
from tests.fakes.yahoo_pages import at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bot.data.provider import Observations
    from tests.fakes.yahoo import FakeYahoo, Fault


CALLS: dict[str, Callable[[Yahoo], FetchOutcome]] = {
    "prices": lambda yahoo: yahoo.prices("IWM", day("2020-12-01"), COMPLETED),
    "multiples": lambda yahoo: yahoo.multiples("IWM", COMPLETED),
    "fund": lambda yahoo: yahoo.fund("IWM", COMPLETED),
}
PARTS = {"prices": "chart", "multiples": "summary", "fund": "summary"}
FAULTS = {
    "429": RateLimited(1200.0),
    "429-json": RateLimited(None),
    "401": NetworkDown("access was refused (HTTP 401)"),
    "403": NetworkDown("access was refused (HTTP 403)"),
    "404": SchemaChanged("a web page instead of figures"),
    "500": NetworkDown("the server is out of order (HTTP 500)"),
    "500-json": NetworkDown("the server is out of order (HTTP 500)"),
    "502": NetworkDown("the server is out of order (HTTP 502)"),
    "empty": SchemaChanged("an empty body"),
    "null": SchemaChanged("null instead of an object"),
    "list": SchemaChanged("[] instead of an object"),
    "broken": SchemaChanged("broken JSON"),
    "deep": SchemaChanged("broken JSON"),
    "bomb": NetworkDown("its answer is larger than 10 MB"),
    "html": SchemaChanged("a web page instead of figures"),
    "down": NetworkDown("the server is down for maintenance"),
    "truncated": NetworkDown("the answer broke off"),
    "reset": NetworkDown("the connection failed"),
}


# One of each kind: those that come out alike at a cookie or a crumb are left out.
WIDE_FAULTS = ("429", "401", "403", "404", "500", "empty", "null", "html", "truncated", "reset")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_is_named_and_leaves_nothing(call: str, fault: str, fake: FakeYahoo, yahoo: Yahoo) -> None:
    for _ in ("at first", "with the cookie and the time zone known"):
        fake.fail(PARTS[call], fault)
        assert CALLS[call](yahoo) == FAULTS[fault]
        fake.heal()
        figures(CALLS[call](yahoo))


@pytest.mark.parametrize("fault", ["500", "null", "html", "reset", "429"])
def test_half_of_the_fund_facts_failing_is_a_fault(fault: str, fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.fail("quote", fault)
    assert CALLS["fund"](yahoo) == FAULTS[fault]


@pytest.mark.parametrize("fault", WIDE_FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_everything_failing_is_never_a_fund_gone(call: str, fault: str, fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.fail("all", fault)
    outcome = CALLS[call](yahoo)
    assert isinstance(outcome, (RateLimited, NetworkDown, SchemaChanged))
    assert "delisted" not in outcome.describe()


@pytest.mark.parametrize(("call", "part"), [("prices", "all"), *((call, PARTS[call]) for call in CALLS)])
def test_a_server_that_hangs_is_given_up(call: str, part: str, fake: FakeYahoo, yahoo_cache: Path) -> None:
    forget(yahoo_cache)
    fake.fail(part, "hang")
    assert CALLS[call](Yahoo(yahoo_cache, timeout=0.1)) == NetworkDown("no answer in time")


def test_no_proxy_is_no_connection(fake: FakeYahoo, yahoo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del fake
    forget(yahoo_cache)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for call in CALLS.values():
        assert call(Yahoo(yahoo_cache, timeout=5)) == NetworkDown("the connection failed")


def test_an_untrusted_certificate(fake: FakeYahoo, yahoo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del fake
    forget(yahoo_cache)
    # A name that is not set leaves what curl_cffi read when it was first imported.
    for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, certifi.where())
    outcome = CALLS["prices"](Yahoo(yahoo_cache, timeout=5))
    assert outcome == NetworkDown("its certificate is not trusted")


@pytest.mark.parametrize("fault", ["429", "401"])
@pytest.mark.parametrize("call", CALLS)
def test_one_refusal_is_overcome_by_a_retry(call: str, fault: str, fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.fail(PARTS[call], fault, times=1)
    figures(CALLS[call](yahoo))


def _result(*value: object) -> Fault:
    """The page with another result and no error, or without any."""

    return lambda page: {part: {"result": value[0], "error": None} if value else {} for part in page}


RESULTS: dict[str, tuple[Fault, FetchOutcome]] = {
    "an empty list": (_result([]), Empty("its result is empty")),
    "null": (_result(None), Empty("its result is empty")),
    "none": (_result(), SchemaChanged("it has no result")),
}


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("call", CALLS)
def test_an_empty_answer_is_no_success(call: str, result: str, fake: FakeYahoo, yahoo: Yahoo) -> None:
    fault, expected = RESULTS[result]
    for part in ("summary", "quote") if call == "fund" else (PARTS[call],):
        for _ in ("at first", "with the cookie and the time zone known"):
            fake.fail(part, fault)
            assert CALLS[call](yahoo) == expected
            fake.heal()
            CALLS[call](yahoo)


def _without(*path: str | int) -> Callable[[Any], Any]:
    """The page without one key."""
    return partial(_set, path, None)


def _with(value: object, *path: str | int) -> Callable[[Any], Any]:
    """The page with another value of one key."""
    return partial(_set, path, [value])


def _set(path: tuple[str | int, ...], values: list[Any] | None, page: Any) -> Any:  # noqa: ANN401 - any JSON
    place, key = reduce(getitem, path[:-1], page), path[-1]
    del place[key]
    if values is not None:
        [place[key]] = values
    return page


RESULT = ("chart", "result", 0)


def test_sessions_without_any_close_are_no_success(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.fail("chart", _with([None] * len(COMPLETED), *RESULT, "indicators", "quote", 0, "close"))
    assert yahoo.prices("IWM", None, COMPLETED) == Empty("it has no completed session")


def test_prices_need_no_crumb_but_the_rest_does(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.fail("crumb", "429")
    figures(CALLS["prices"](yahoo))
    assert CALLS["multiples"](yahoo) == RateLimited(1200.0)
    assert CALLS["fund"](yahoo) == RateLimited(1200.0)
    fake.heal()
    figures(CALLS["multiples"](yahoo))


def test_a_symbol_is_unknown_only_in_the_sources_own_words(fake: FakeYahoo, yahoo: Yahoo) -> None:
    del fake
    assert yahoo.prices("IWMX", None, COMPLETED) == UnknownSymbol("IWMX")
    assert yahoo.multiples("IWMX", COMPLETED) == UnknownSymbol("IWMX")
    assert yahoo.fund("IWMX", COMPLETED) == UnknownSymbol("IWMX")


@pytest.mark.parametrize(
    ("call", "fault", "reason"),
    [
        ("prices", _without(*RESULT, "meta", "exchangeTimezoneName"), "'exchangeTimezoneName'"),
        ("prices", _without(*RESULT, "meta", "symbol"), "'symbol'"),
        ("prices", _without(*RESULT, "indicators", "quote", 0, "close"), "'close'"),
        ("prices", _without(*RESULT, "indicators"), "'indicators'"),
        ("multiples", _without("quoteSummary", "result", 0, "topHoldings"), "'topHoldings'"),
        ("multiples", _without("quoteSummary", "result", 0, "quoteType"), "'quoteType'"),
    ],
)
def test_a_missing_key_is_named(call: str, fault: Fault, reason: str, fake: FakeYahoo, yahoo: Yahoo) -> None:
    figures(CALLS["prices"](yahoo))  # the time zone is known from here on
    fake.fail(PARTS[call], fault)
    assert CALLS[call](yahoo) == SchemaChanged(f"{reason} is missing")


def test_prices_of_another_fund_are_refused(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.fail("chart", _with("IWN", *RESULT, "meta", "symbol"))
    assert CALLS["prices"](yahoo) == SchemaChanged("prices of IWN instead of IWM")


def test_all_prices_come_as_published(yahoo: Yahoo) -> None:
    payload = figures(yahoo.prices("IWM", None, COMPLETED))
    assert [bar.session for bar in payload["bars"]] == [f"{session:%Y-%m-%d}" for session in COMPLETED]
    assert [bar.close for bar in payload["bars"]] == CLOSES
    assert payload["bars"][-1] == Bar(
        "IWM", "2020-12-11", 190.3, open=188.397, high=192.203, low=186.494, volume=1_000_000, provisional=0
    )


def test_prices_start_where_asked_and_ask_for_no_end(fake: FakeYahoo, yahoo: Yahoo) -> None:
    payload = figures(yahoo.prices("IWM", day("2020-12-09"), COMPLETED))
    assert [bar.session for bar in payload["bars"]] == ["2020-12-09", "2020-12-10", "2020-12-11"]
    part, query = fake.asked[-1]
    assert part == "chart"
    assert int(query["period2"]) > time.time() - 60


def test_the_same_question_twice_is_asked_twice(fake: FakeYahoo, yahoo: Yahoo) -> None:
    CALLS["prices"](yahoo)
    fake.funds["IWM"].closes[day("2020-12-10")] = 191.0
    payload = figures(CALLS["prices"](yahoo))
    assert payload["bars"][-2].close == 191.0


def test_each_figure_is_one_call_of_few_requests(fake: FakeYahoo, yahoo: Yahoo) -> None:
    CALLS["prices"](yahoo)
    fake.asked.clear()
    for call in CALLS.values():
        call(yahoo)
    parts = [part for part, _ in fake.asked]
    assert parts == ["chart", "summary", "summary", "quote", "series"]


def test_the_bar_of_an_open_session_is_left_out(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.funds["IWM"].live = (at(day("2020-12-14"), 11, 12), 185.0)
    fake.funds["IWM"].dividends[day("2020-12-14")] = 0.592
    payload = figures(CALLS["prices"](yahoo))
    assert payload["bars"][-1].session == "2020-12-11"
    assert payload["distributions"] == []


def test_a_bar_quoted_before_the_bell_is_provisional(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.funds["IWM"].quoted_at = at(day("2020-12-11"), 15, 45)
    payload = figures(CALLS["prices"](yahoo))
    assert [bar.provisional for bar in payload["bars"]][-2:] == [0, 1]


def test_sessions_without_a_close_are_missing_not_filled(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fund = fake.funds["IWM"]
    fund.closes[day("2020-12-03")] = None
    del fund.closes[day("2020-12-08")], fund.closes[day("2020-12-11")]  # the last one is not served yet
    payload = figures(CALLS["prices"](yahoo), "2020-12-03", "2020-12-08", "2020-12-11")
    assert len(payload["bars"]) == 6


def test_rows_off_the_calendar_are_left_out(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.funds["IWM"].closes[day("2020-12-05")] = 188.0
    fake.funds["IWM"].dividends[day("2020-12-05")] = 0.5
    payload = figures(CALLS["prices"](yahoo), "a distribution dated 2020-12-05, which is no session")
    assert "2020-12-05" not in [bar.session for bar in payload["bars"]]


def test_distributions_and_splits_keep_their_dates(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fund = fake.funds["IWM"]
    fund.dividends |= {day("2020-12-02"): 0.592, day("2020-12-09"): 0.25}
    fund.splits[day("2020-12-07")] = (2, 1)
    del fund.closes[day("2020-12-09")]  # yfinance alone would date its distribution 12-08
    payload = figures(CALLS["prices"](yahoo), "2020-12-09")
    paid = {"2020-12-02": 0.592, "2020-12-09": 0.25}
    assert payload["distributions"] == [Distribution("IWM", session, paid[session]) for session in paid]
    assert payload["splits"] == [Split("IWM", "2020-12-07", 2.0)]


def test_a_range_without_sessions_is_empty_not_unknown(fake: FakeYahoo, yahoo: Yahoo) -> None:
    figures(CALLS["prices"](yahoo))
    nothing = Empty("there are no prices in the sessions asked for")
    assert yahoo.prices("IWM", day("2021-01-04"), COMPLETED) == nothing

    bare = _with({"quote": [{}], "adjclose": [{}]}, *RESULT, "indicators")
    fake.fail("chart", lambda page: bare(_without(*RESULT, "timestamp")(page)))
    assert CALLS["prices"](yahoo) == nothing


def test_only_an_open_session_is_empty(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.funds["IWM"].live = (at(day("2020-12-14"), 11, 12), 185.0)
    assert yahoo.prices("IWM", day("2020-12-14"), COMPLETED) == Empty("it has no completed session")


def _multiples(payload: Observations) -> dict[tuple[str, str], float | None]:
    return {(row.metric, row.convention): row.value for row in payload["multiples"]}


def test_multiples_come_the_right_way_up(yahoo: Yahoo) -> None:
    payload = figures(CALLS["multiples"](yahoo))
    expected = {"pe": 16.0, "pb": 2.0, "ps": 1.25, "pcf": 8.0}
    assert _multiples(payload) == {(name, "morningstar"): value for name, value in expected.items()}
    assert payload["multiples"][0] == Multiple("IWM", "2020-12-11", "pe", "morningstar", "unstated", 16.0)


def test_sector_weights_are_percent(yahoo: Yahoo) -> None:
    payload = figures(CALLS["multiples"](yahoo))
    weights = {row.sector: row.weight for row in payload["sector_weights"]}
    assert weights == {"Real Estate": 7.0, "Technology": 43.0, "Consumer Cyclical": 50.0}


def test_without_any_multiple_the_weights_still_come(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.funds["IWM"].holdings = {}
    payload = figures(CALLS["multiples"](yahoo), "multiples (no P/E to tell which way up they are)")
    assert payload["multiples"] == []
    assert len(payload["sector_weights"]) == 3


def test_nothing_usable_at_all_is_empty(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.funds["IWM"].holdings = {}
    fake.funds["IWM"].sectors = {}
    assert isinstance(CALLS["multiples"](yahoo), Empty)


def test_fund_facts_are_those_of_the_day_before_and_leave_the_share_count_out(yahoo: Yahoo) -> None:
    payload = figures(CALLS["fund"](yahoo))
    [facts] = payload["fund_facts"]
    assert facts == FundFacts("IWM", "2020-12-10", nav=facts.nav, shares=None, assets=71e9)
    assert facts.nav == pytest.approx(190.08901)
    assert _multiples(payload) == {("pe", "yahoo"): 17.5, ("yield", "yahoo"): 1.07}
    assert payload["multiples"][0].price_date == "2020-12-11"


def test_a_growth_ratio_of_no_use_here_may_fail(fake: FakeYahoo, yahoo: Yahoo) -> None:
    for fault in ("500", "html", "reset"):
        fake.fail("series", fault)
        figures(CALLS["fund"](yahoo))


def test_the_cache_is_private(fake: FakeYahoo, tmp_path: Path) -> None:
    del fake
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    Yahoo(folder, timeout=5).prices("IWM", None, COMPLETED)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_made_is_an_outcome_too(fake: FakeYahoo, tmp_path: Path) -> None:
    del fake
    (tmp_path / "file").write_text("in the way")
    outcome = Yahoo(tmp_path / "file", timeout=5).prices("IWM", None, COMPLETED)
    assert outcome == NetworkDown("the request failed (FileExistsError)")


def test_sessions_are_dated_by_the_exchange(fake: FakeYahoo, yahoo: Yahoo) -> None:
    """A quote of 20:00 New York is of the day before by UTC."""
    fake.funds["IWM"].quoted_at = dt.datetime(2020, 12, 12, 1, 0, tzinfo=dt.UTC)
    payload = figures(CALLS["fund"](yahoo))
    assert payload["multiples"][0].session == "2020-12-11"


CHART, SUMMARY, CRUMB = "/v8/finance/chart/IWM", "/v10/finance/quoteSummary/IWM", "/v1/test/getcrumb"
DELISTED = "No data found, symbol may be delisted"


def _said(description: str, status: int, part: str = "chart") -> RecordedRequest:
    """An answer with an error of the source's own."""
    body = {part: {"result": None, "error": {"code": "x", "description": description}}}
    return RecordedRequest(CHART, status, json.dumps(body))


SOUND = RecordedRequest(CHART, 200, '{"chart": {"result": [{"meta": {}, "timestamp": [1]}], "error": null}}')


@pytest.mark.parametrize(
    ("attempts", "outcome"),
    [
        ([_said(DELISTED, 404)], UnknownSymbol("IWM")),
        ([_said("Quote not found for symbol: IWM", 404, "quoteSummary")], UnknownSymbol("IWM")),
        # the same words beside any other status are no statement about the fund
        ([_said(DELISTED, 200)], SchemaChanged("an error, HTTP 200")),
        ([_said(DELISTED, 500)], NetworkDown("the server is out of order (HTTP 500)")),
        ([_said("Too strange", 404)], SchemaChanged("an error, HTTP 404")),
        ([RecordedRequest(CHART, 404, "{}")], SchemaChanged("HTTP 404")),
        (
            [_said("No fundamentals data found for symbol: IWM", 404, "quoteSummary")],
            Empty("it keeps no such figures for this fund"),
        ),
        (
            [_said("Data doesn't exist for startDate = 1, endDate = 2", 400)],
            Empty("there are no prices in the sessions asked for"),
        ),
        ([RecordedRequest(CHART, 429)], RateLimited(None)),
        ([RecordedRequest(CHART, 429), RecordedRequest(SUMMARY, 429, retry_after=60.0)], RateLimited(60.0)),
        # what a second try overcame does not count
        ([RecordedRequest(CHART, 429), _said(DELISTED, 404)], UnknownSymbol("IWM")),
        ([RecordedRequest(CRUMB, 429), RecordedRequest(SUMMARY, 401)], RateLimited(None)),
        ([RecordedRequest(CRUMB, fault="no answer in time")], NetworkDown("no answer in time")),
        ([RecordedRequest(CRUMB, 200, "x")], NetworkDown("the request failed (KeyError)")),
        ([], NetworkDown("the request failed (KeyError)")),
        ([RecordedRequest(CHART, fault="the answer broke off")], NetworkDown("the answer broke off")),
        ([SOUND], SchemaChanged("'close' is missing")),
    ],
)
def test_a_failure_is_judged_by_the_answers(attempts: list[RecordedRequest], outcome: FetchOutcome) -> None:
    assert outcome_of_error(KeyError("close"), attempts, "IWM") == outcome


def test_the_wording_of_the_library_is_not_passed_on() -> None:
    error = ValueError("$IWM: possibly delisted; no timezone found")
    assert outcome_of_error(error, [SOUND], "IWM") == SchemaChanged("ValueError")


def test_sound_answers_raise_no_complaint() -> None:
    series = RecordedRequest("/ws/fundamentals-timeseries/v1/finance/x", 500)
    assert find_problem([SOUND, series], "IWM") is None
    assert find_problem([SOUND, RecordedRequest(SUMMARY, 200, "null")], "IWM") == FAULTS["null"]
