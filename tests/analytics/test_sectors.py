from __future__ import annotations

import pandas as pd

from bot.analytics.market import Market
from bot.analytics.valuation import GROUP, SECTOR, newest_weights
from tests.funds import LARGE, SMALL

OLD, NEW = pd.Timestamp("2020-10-30"), pd.Timestamp("2020-11-30")


def market(*rows: tuple[pd.Timestamp, str, str, str, float, str]) -> Market:
    columns = ["session", "ticker", "level", "sector", "weight", "source"]
    return Market(
        prices=pd.DataFrame({SMALL: [1.0], LARGE: [1.0]}, index=[NEW]),
        last_completed=NEW,
        weights=pd.DataFrame(list(rows), columns=columns),
    )


def test_the_newest_weights_of_each_fund_count_and_the_largest_difference_leads() -> None:
    (found,) = newest_weights(
        market(
            (OLD, SMALL, SECTOR, "Banks", 50.0, "issuer"),
            (NEW, SMALL, SECTOR, "Banks", 12.0, "issuer"),
            (NEW, SMALL, SECTOR, "Energy", 3.0, "issuer"),
            (OLD, LARGE, SECTOR, "Banks", 10.0, "issuer"),
            (OLD, LARGE, SECTOR, "Energy", 9.5, "issuer"),
        ),
        SECTOR,
    )
    assert found.frame["gap"].to_dict() == {"Energy": -6.5, "Banks": 2.0}
    assert found.sessions == {SMALL: NEW, LARGE: OLD}
    assert found.both


def test_a_sector_that_one_fund_does_not_list_has_no_weight_there() -> None:
    (found,) = newest_weights(
        market(
            (NEW, SMALL, SECTOR, "Biotech", 8.0, "csv"),
            (NEW, LARGE, SECTOR, "Banks", 5.0, "csv"),
        ),
        SECTOR,
    )
    assert found.frame.loc["Biotech"].to_list() == [8.0, 0.0, 8.0]
    assert found.frame.loc["Banks"].to_list() == [0.0, 5.0, -5.0]


def test_classifications_of_two_sources_are_never_set_against_each_other() -> None:
    found = newest_weights(
        market(
            (NEW, SMALL, SECTOR, "Technology", 13.0, "yahoo"),
            (NEW, LARGE, SECTOR, "Technology", 28.0, "yahoo"),
            (NEW, SMALL, SECTOR, "Information Technology", 14.0, "issuer"),
        ),
        SECTOR,
    )
    assert [(one.source, one.both) for one in found] == [("yahoo", True), ("issuer", False)]
    assert pd.isna(found[1].frame.loc["Information Technology", LARGE])


def test_levels_are_kept_apart() -> None:
    rows = market(
        (NEW, SMALL, GROUP, "Biotech", 8.0, "csv"), (NEW, SMALL, SECTOR, "Health Care", 20.0, "csv")
    )
    assert list(newest_weights(rows, GROUP)[0].frame.index) == ["Biotech"]
    assert newest_weights(market(), SECTOR) == []
