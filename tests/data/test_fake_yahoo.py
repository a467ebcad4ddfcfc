"""The loopback Yahoo is as strict as the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from curl_cffi import requests

from tests.data.conftest import COMPLETED

if TYPE_CHECKING:
    from tests.fakes.yahoo import FakeYahoo

QUERY = "https://query1.finance.yahoo.com"
SUMMARY = f"{QUERY}/v10/finance/quoteSummary/IWM?modules=quoteType"


def test_figures_need_the_crumb_that_goes_with_the_cookie(fake: FakeYahoo) -> None:
    del fake
    browser: Any = requests.Session()
    stranger: Any = requests.Session()
    assert browser.get(f"{QUERY}/v1/test/getcrumb").status_code == 401
    assert browser.get("https://fc.yahoo.com/").status_code == 404
    crumb = browser.get(f"{QUERY}/v1/test/getcrumb").text
    assert browser.get(f"{SUMMARY}&crumb={crumb}").status_code == 200
    assert browser.get(SUMMARY).json()["finance"]["error"]["description"] == "Invalid Crumb"
    assert stranger.get(f"{SUMMARY}&crumb={crumb}").status_code == 401


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("interval=1d&range=max", 200),
        ("interval=1wk&range=max", 422),
        ("interval=1d&period1=1700000000&period2=1600000000", 400),
        ("interval=1d&period1=1700000000&period2=1800000000", 400),
    ],
)
def test_prices_are_daily_and_within_history(query: str, status: int, fake: FakeYahoo) -> None:
    del fake
    assert requests.get(f"{QUERY}/v8/finance/chart/IWM?{query}").status_code == status


def test_bars_are_stamped_half_past_nine_in_new_york(fake: FakeYahoo) -> None:
    del fake
    answer: Any = requests.get(f"{QUERY}/v8/finance/chart/IWM?interval=1d&range=max")
    stamps = answer.json()["chart"]["result"][0]["timestamp"]
    assert [(stamp - 14 * 3600 - 1800) % 86_400 for stamp in stamps] == [0] * len(COMPLETED)


def test_other_hosts_are_not_reached(fake: FakeYahoo) -> None:
    del fake
    with pytest.raises(requests.exceptions.RequestException, match="502"):
        requests.get("https://example.org/")


def test_a_fault_that_does_not_exist_is_refused(fake: FakeYahoo) -> None:
    with pytest.raises(ValueError, match=r"No fault is called 418; there are 429, "):
        fake.fail("chart", "418")
