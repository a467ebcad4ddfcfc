"""Sample contents in the issuers' layouts: published NAVs and counts of IWM and SPY, the rest made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.records import Distribution, FundFacts, SectorWeight
from tests.data.issuers.builders import csv_file

if TYPE_CHECKING:
    from tests.data.issuers.builders import Cell

NBSP = "\u00a0"
HISTORICAL: list[list[Cell]] = [
    ["As Of", "NAV per Share", "Ex-Dividends", "Shares Outstanding"],
    ["Dec 11, 2020", 190.2135, "--", 290300000.0],
    ["Dec 04, 2020", 188.2706, "--", 285250000.0],
    ["Nov 30, 2020", "181.0172", "--", "281,900,000.00"],
    ["Jun 30, 2013", 97.0, "--", "--"],  # a Sunday
    ["May 31, 2010", 66.250316, "--", "--"],  # Memorial Day
    ["May 28, 2010", 66.250316, "--", 207550000.0],
    ["Jun 21, 2007", 83.01, "--", 1150000.0],  # the issuer's own garbage
    ["May 25, 2000", "--", "--", "--"],
]
DISTRIBUTIONS: list[list[Cell]] = [
    ["Record Date", "Ex-Date", "Payable Date", "Total Distribution", "Income", "Return of Capital"],
    ["Sep 24, 2020", "Sep 23, 2020", "Sep 28, 2020", 0.566445, 0.566445, 0.0],
    ["Jun 16, 2020", "Jun 15, 2020", "Jun 19, 2020", 0.465775, 0.465775, 0.0],
    ["Dec 31, 2007", "Dec 27, 2007", "Jan 03, 2008", 0.267236, 0.251439, 0.015797],
    ["--", "--", "--", "--", "--", "--"],
]
COLUMNS: list[Cell] = ["Ticker", "Name", "Sector", "Asset Class", "Market Value", "Weight (%)", "Quantity"]
EQUITIES: list[list[Cell]] = [
    ["BANK", "SAMPLE BANK & TRUST", "Financials", "Equity", "5,000,000.00", "49.50", "1,000.00"],
    ["BIOT", "SAMPLE BIOTECH", "Health Care", "Equity", "3,000,000.00", "29.70", "500.00"],
    ["PHRM", "S&P PHARMA", "Health Care", "Equity", "2,000,000.00", "19.80", "-"],
]
REST: list[list[Cell]] = [
    ["XTSLA", "BLK CSH FND TREASURY", "Cash and/or Derivatives", "Money Market", "101,010.00", "1.00", "--"],
    ["RTYZ0", "RUSSELL 2000 EMINI", "Cash and/or Derivatives", "Futures", "--", "0.00", "9.00"],
]
NAME = "iShares Russell 2000 ETF"
HELD: list[list[Cell]] = [
    ["11-Dec-2020"],
    [NAME],
    ["Inception Date", "May 22, 2000"],
    ["Shares Outstanding", "290,300,000.00"],
    [],
    COLUMNS,
    *EQUITIES,
    *REST,
]
DISCLAIMERS: list[list[Cell]] = [
    ["Past performance <b>does not</b> guarantee<br>results &copy; 2020 &nbsp;S&P Dow Jones <p>Indices & co"],
    ["Disclosures"],
]
PERFORMANCE: list[list[Cell]] = [["Month End Date", "Monthly Total"], ["Nov 30, 2020", 18.43]]
FUND: dict[str, list[list[Cell]]] = {
    "Disclaimers": DISCLAIMERS,
    "Holdings": HELD,
    "Historical": HISTORICAL,
    "Performance": PERFORMANCE,
    "Distributions": DISTRIBUTIONS,
}

FACTS = [
    FundFacts("IWM", "2007-06-21", nav=83.01, shares=1150000.0, assets=None),
    FundFacts("IWM", "2010-05-28", nav=66.250316, shares=207550000.0, assets=None),
    FundFacts("IWM", "2020-11-30", nav=181.0172, shares=281900000.0, assets=None),
    FundFacts("IWM", "2020-12-04", nav=188.2706, shares=285250000.0, assets=None),
    FundFacts("IWM", "2020-12-11", nav=190.2135, shares=290300000.0, assets=None),
]
PAID = [
    Distribution("IWM", "2007-12-27", 0.267236),
    Distribution("IWM", "2020-06-15", 0.465775),
    Distribution("IWM", "2020-09-23", 0.566445),
]


def weights(session: str = "2020-12-11", ticker: str = "IWM") -> list[SectorWeight]:
    """Rows of the sample holdings: half of the equities' ten millions each."""
    return [
        SectorWeight(ticker, session, "sector", "Financials", 50.0),
        SectorWeight(ticker, session, "sector", "Health Care", 50.0),
    ]


def holdings_csv(
    *,
    name: str = NAME,
    as_of: str = "Apr 10, 2026",
    count: str = "280,200,000.00",
    rows: list[list[Cell]] | None = None,
    header: list[Cell] = COLUMNS,
) -> bytes:
    """The holdings CSV as iShares serves it, traps and all."""
    return csv_file(
        [
            [name],
            ["Fund Holdings as of", as_of],
            ["Inception Date", "May 22, 2000"],
            ["Shares Outstanding", count],
            *([title, "-"] for title in ("Stock", "Bond", "Cash", "Other")),
            [NBSP],
            header,
            *((EQUITIES + REST) if rows is None else rows),
            [NBSP],
            ['The content contained herein is owned\nor licensed by, among others, "BlackRock"\nand others.'],
        ]
    )


NAVHIST: dict[str, list[list[Cell]]] = {
    "navhist": [
        ["Fund Name:", "SPDR® S&P 500® ETF Trust"],
        ["Ticker Symbol:", "SPY"],
        [],
        ["Date", "NAV", "Shares Outstanding", "Total Net Assets"],
        ["14-Dec-2020", 364.751, 860882116.0, 314007612693.52],
        ["11-Dec-2020", "366.350000", "861,032,116", "315,439,115,696.60"],
        ["10-Dec-2020", 366.87, 860832116.0, 315813478396.92],
        ["09-Dec-2020", 367.0, "-", "-"],
        ["06-Dec-2020", 369.0, 860000000.0, 317340000000.0],  # a Sunday
        ["29-Jan-1993", "-", "-", "-"],
        [],
        ["Past performance is not a reliable indicator of future performance."],
    ]
}
SPY_FACTS = [
    FundFacts("SPY", "2020-12-09", nav=367.0, shares=None, assets=None),
    FundFacts("SPY", "2020-12-10", nav=366.87, shares=860832116.0, assets=315813478396.92),
    FundFacts("SPY", "2020-12-11", nav=366.35, shares=861032116.0, assets=315439115696.60),
    FundFacts("SPY", "2020-12-14", nav=364.751, shares=860882116.0, assets=314007612693.52),
]
SPY_HELD: dict[str, list[list[Cell]]] = {
    "holdings": [
        ["Fund Name:", "SPDR® S&P 500® ETF Trust"],
        ["Ticker Symbol:", "SPY"],
        ["Holdings:", "As of 10-May-2024"],
        [],
        ["Name", "Ticker", "Identifier", "SEDOL", "Weight", "Sector", "Shares Held", "Local Currency"],
        ["SAMPLE SOFTWARE", "SOFT", "000000101", "0000001", 60.5, "-", 1000.0, "USD"],
        ["SAMPLE DRUGS", "DRUG", "000000102", "0000002", 39.0, "-", 900.0, "USD"],
        ["US DOLLAR", "-", "CASH_USD", "-", 0.5, "-", 5000.0, "USD"],
        [],
        ["This document is for informational purposes only."],
    ]
}
