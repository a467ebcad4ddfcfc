from __future__ import annotations

import json

import pytest

from bot.data.provider import Empty, FetchOutcome, NetworkDown, RateLimited, SchemaChanged, UnknownSymbol
from bot.data.yahoo import RecordedRequest, find_problem, outcome_of_error

CHART, SUMMARY, CRUMB = "/v8/finance/chart/IWM", "/v10/finance/quoteSummary/IWM", "/v1/test/getcrumb"
DELISTED = "No data found, symbol may be delisted"


def _said(description: str, status: int, part: str = "chart") -> RecordedRequest:
    """An answer with an error of the source's own."""
    body = {part: {"result": None, "error": {"code": "x", "description": description}}}
    return RecordedRequest(CHART, status, json.dumps(body))


SOUND = RecordedRequest(
    CHART, 200, json.dumps({"chart": {"result": [{"meta": {}, "timestamp": [1]}], "error": None}})
)


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
    assert (
        find_problem([SOUND, RecordedRequest("/ws/fundamentals-timeseries/v1/finance/x", 500)], "IWM") is None
    )
    assert find_problem([SOUND, RecordedRequest(SUMMARY, 200, "null")], "IWM") == SchemaChanged(
        "null instead of an object"
    )
