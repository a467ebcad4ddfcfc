"""Form N-PORT: the sales and redemptions of a fund in each month of a quarter, as filed with the SEC.

They appear about two months after a quarter. Creations in kind are among the sales, so their balance is the
fund's flow.
"""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING

import pandas as pd

from bot.data.csv_cells import shorten
from bot.data.issuers.formats import decode
from bot.data.provider import SEC, compared
from bot.data.store import FileContents, Preview
from bot.errors import ImportRejected
from bot.text import MONTHS
from storage.rows import FundFacts

if TYPE_CHECKING:
    from bot.pair import Pair

_MONTHS = 3

_FLOW = re.compile(r"<mon([123])Flow\b([^<>]*)>")
_AMOUNT = re.compile(r'\b(sales|reinvestment|redemption)="([^"<>]*)"')


class OtherFund(ImportRejected):
    """A filing of a fund that is not compared."""


def text_of(tag: str, text: str) -> str:
    """What the first element of this name holds, an empty string without any."""
    return unescape(text.partition(f"<{tag}>")[2].partition("<")[0].strip())


def read_nport(
    data: bytes, name: str, completed: pd.DatetimeIndex, pair: Pair, ticker: str | None = None
) -> FileContents:
    """The flows of the three months of a filing, each dated by the month's last session.

    Raises ImportRejected for a filing that is cut, of another fund or without them.
    """
    text = decode(data)
    if not text.rstrip().endswith("</edgarSubmission>"):
        raise ImportRejected(f"{name} breaks off before its end; download it again.")
    series, cik = text_of("seriesId", text), text_of("regCik", text).lstrip("0")
    fund = next((fund for fund in pair if fund.sec and fund.sec.lstrip("0") in {series, cik}), None)
    if fund is None or ticker not in {None, fund.ticker}:
        whose = shorten(text_of("seriesName", text) or text_of("regName", text), 60)
        raise OtherFund(f"{name} is of {whose} ({series or cik}), not a fund of this bot; {compared(pair)}.")
    try:
        end = pd.Timestamp(dt.date.fromisoformat(text_of("repPdDate", text)))
        flows = {int(month): _balance(amounts) for month, amounts in _FLOW.findall(text)}
        assets = float(text_of("netAssets", text))
    except ValueError:
        flows = {}
    if len(flows) != _MONTHS or any(abs(flow) > assets for flow in flows.values()):
        raise ImportRejected(f"{name} does not say what was sold and redeemed in each of its months.")
    rows = []
    for month, flow in sorted(flows.items()):
        sessions = completed[completed <= end + pd.offsets.MonthEnd(month - _MONTHS)]
        if len(sessions):
            rows.append(FundFacts(fund.ticker, f"{sessions[-1]:%Y-%m-%d}", flow=flow))
    months = f"official flows of the {_MONTHS} months to {MONTHS[end.month - 1]} {end.year}"
    preview = Preview(fund.ticker, f"{fund.ticker}, N-PORT filing: {months}.")
    return FileContents({"fund_facts": rows}, preview, f"{fund.ticker} import", source=SEC)


def _balance(attributes: str) -> float:
    """Dollars sold and reinvested less those redeemed. Raises ValueError unless all three are given."""
    amounts = {name: float(amount) for name, amount in _AMOUNT.findall(attributes)}
    if len(amounts) != _MONTHS or any(not 0 <= amount < 1e13 for amount in amounts.values()):
        raise ValueError("an amount is missing")
    return round(amounts["sales"] + amounts["reinvestment"] - amounts["redemption"], 2)
