from __future__ import annotations

import pytest

from bot.data.provider import Empty, FetchOutcome, NetworkDown, Ok, RateLimited, Rejected, SchemaChanged, UnknownSymbol
from storage.records import Bar, Distribution, Multiple

BAR = Bar("IWM", "2020-12-11", 190.3)
PAID = Distribution("IWM", "2020-12-11", 0.6)
MULTIPLE = Multiple("IWM", "2020-12-11", "pe", "yahoo", "trailing", 20.0)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Ok({"bars": [BAR], "distributions": [PAID] * 2, "splits": []}), "1 price, 2 distributions."),
        (Ok({"bars": [BAR] * 1234}), "1,234 prices."),
        (Ok({"multiples": [MULTIPLE] * 3}, ("Price/Book",)), "3 multiples; missing Price/Book."),
        (
            Ok({"bars": [BAR] * 3}, ("2020-12-04", "2020-12-07", "2020-12-08", "2020-12-09")),
            "3 prices; missing 2020-12-07, 2020-12-08, 2020-12-09 and 1 more.",
        ),
        (Empty(), "No data: the answer held no figures."),
        (RateLimited(), "No data: asked to slow down (HTTP 429)."),
        (RateLimited(1200), "No data: asked to slow down (HTTP 429) and to wait 20 min."),
        (NetworkDown("no answer in time"), "No data: no answer in time."),
        (SchemaChanged("broken JSON"), "No data: the answer has an unknown form (broken JSON)."),
        (RateLimited(45), "No data: asked to slow down (HTTP 429) and to wait 45 s."),
        (Rejected("the file is of IWM, not of SPY"), "Rejected, nothing was stored: the file is of IWM, not of SPY."),
        (UnknownSymbol("IWMX"), 'No data: IWMX is not known there; see [pair] in the config, e.g. small = "IJR".'),
    ],
)
def test_each_outcome_is_one_sentence(outcome: FetchOutcome, sentence: str) -> None:
    assert outcome.describe() == sentence
