"""Real data over the full history, where a checkout has it beside it in ../shared/data.

`shared` marks a test that needs it (the one skip of the suite); `market()` is all of it as one Market.
The files are read with plain pandas, so that the import of the program is not its own witness.
"""

from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest

from bot.analytics.market import Market, Source
from bot.analytics.sessions import Sessions
from tests.funds import PAIR

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"
EXISTS = FOLDER.is_dir()
shared = pytest.mark.skipif(not EXISTS, reason="needs the full history in ../shared/data")

FIRST, LAST = pd.Timestamp("2000-05-26"), pd.Timestamp("2021-12-31")


@lru_cache(maxsize=1)
def market() -> Market:
    """Both funds from 2000-05-26 to 2021-12-31, IWM's fund facts with the issuer's own bad rows left in."""
    daily = {ticker: prices(ticker) for ticker in PAIR}
    csv = Source("csv", "CSV import", "2022-01-01T00:00:00Z")
    return Market(
        prices=pd.DataFrame({ticker: frame["Close"] for ticker, frame in daily.items()}),
        last_completed=LAST,
        distributions={ticker: frame["Dividends"].loc[lambda d: d > 0] for ticker, frame in daily.items()},
        facts={"IWM": fund_facts()},
        sources={"prices": csv, "facts:IWM": csv},
        calendar=Sessions().index,
    )


def market_at(anchor: str) -> Market:
    """The Market as of a date."""
    return market().at(pd.Timestamp(anchor))


def prices(ticker: str) -> pd.DataFrame:
    """Daily bars of one ticker as Yahoo gives them, on their sessions."""
    return _dated(FOLDER / f"{ticker}_daily.csv")


def fund_facts() -> pd.DataFrame:
    """IWM's NAV and shares outstanding, rows on days without a session included; assets are not given."""
    return issuer_facts()[["nav", "shares"]].assign(assets=float("nan"))


def issuer_facts() -> pd.DataFrame:
    """The issuer's own table of IWM: nav, exdiv (dollars per share by ex-date), shares."""
    return _dated(FOLDER / "IWM_nav_shares.csv")


def monthly_total_returns() -> pd.Series:
    """The issuer's total returns of IWM in percent by calendar month end, on NAV."""
    return _dated(FOLDER / "IWM_issuer_monthly_total_return.csv")["nav_total_return_pct"].dropna()


def _dated(file: Path) -> pd.DataFrame:
    """A file on the dates of its first column, in the resolution that the program's frames have."""
    frame = pd.read_csv(file, index_col=0, parse_dates=True, na_values="--")
    return frame.set_index(pd.DatetimeIndex(frame.index).as_unit("ns"))
