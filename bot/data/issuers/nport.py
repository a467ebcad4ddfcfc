"""Form N-PORT: the sales and redemptions of a fund in each month of a quarter, as filed with the SEC.

A fund's filings are listed by its series, or by its CIK where it is no series. They appear about two months
after a quarter. Creations in kind are among the sales, so their balance is the fund's flow.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from contextlib import suppress
from html import unescape
from typing import TYPE_CHECKING

import pandas as pd

from bot.data.csv_cells import shorten
from bot.data.csv_source import ANY_FILE, USER_AGENT, DownloadedFile, download
from bot.data.issuers.formats import LARGEST, decode, detect_format
from bot.data.provider import (
    SEC,
    AccessRefused,
    Empty,
    FetchOutcome,
    Ok,
    Provider,
    RateLimited,
    Rejected,
    SchemaChanged,
    compared,
    digest,
)
from bot.data.store import FileContents, Preview
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR, Pair
from bot.text import MONTHS, command_line
from storage.rows import FundFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OFFICIAL = "official"  # the figure as the sources call it: "IWM official"
_FILINGS = "https://www.sec.gov/cgi-bin/browse-edgar?action=getcompany&CIK={}&type=NPORT-P"
_FEED = f"{_FILINGS}&count=10&output=atom"
_QUARTERS = 2  # filings that are read: the last half year
_PAUSE = 0.2  # seconds between two requests: the SEC allows ten a second
_TIMEOUT = 20.0  # seconds
_MONTHS = 3

_FLOW = re.compile(r"<mon([123])Flow\b([^<>]*)>")
_AMOUNT = re.compile(r'\b(sales|reinvestment|redemption)="([^"<>]*)"')
_HREF = re.compile(r"https://[a-z.]+/Archives/edgar/data/[0-9]+/[0-9]+/")


class OtherFund(ImportRejected):
    """A filing of a fund that is not compared."""


def _text(tag: str, text: str) -> str:
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
    series, cik = _text("seriesId", text), _text("regCik", text).lstrip("0")
    fund = next((fund for fund in pair if fund.sec and fund.sec.lstrip("0") in {series, cik}), None)
    if fund is None or ticker not in {None, fund.ticker}:
        whose = shorten(_text("seriesName", text) or _text("regName", text), 60)
        raise OtherFund(f"{name} is of {whose} ({series or cik}), not a fund of this bot; {compared(pair)}.")
    try:
        end = pd.Timestamp(dt.date.fromisoformat(_text("repPdDate", text)))
        flows = {int(month): _balance(amounts) for month, amounts in _FLOW.findall(text)}
        assets = float(_text("netAssets", text))
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


class _Failed(Exception):
    """A request that ended without a file."""

    def __init__(self, outcome: FetchOutcome) -> None:
        super().__init__()
        self.outcome = outcome


class SecFilings(Provider):
    """The funds' filings at the SEC as a provider. `contact` is the name and address that the SEC wants."""

    name, label = SEC, "SEC filing"
    serves: tuple[str, ...] = (OFFICIAL,)

    def __init__(
        self,
        pair: Pair = DEFAULT_PAIR,
        contact: str = "",
        options: str = "",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pair, self._options, self._pause = pair, options, pause
        self._user_agent = f"{USER_AGENT} {contact}"
        self._numbers = {fund.ticker: fund.sec for fund in pair if fund.sec}
        self.tickers = tuple(self._numbers)
        self._read: dict[str, Sequence[FundFacts]] = {}

    def address(self, ticker: str, figure: str) -> str:
        """A hash of the fund's number and the User-Agent."""
        return digest(figure, self._numbers[ticker], self._user_agent)

    def document(self, figure: str, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """The flows of the newest filings, of each of which a process reads one once."""
        del figure
        try:
            feed = decode(self._fetch(_FEED.format(self._numbers[ticker]), ticker))
            rows: dict[str, FundFacts] = {}
            for entry in feed.split("<entry>")[1 : _QUARTERS + 1]:
                for row in self._filing(_text("filing-href", entry), ticker, completed):
                    rows.setdefault(row.session, row)
        except _Failed as failure:
            return failure.outcome
        except ImportRejected as error:
            return Rejected(str(error).rstrip("."))
        if not rows:
            return Empty("no list of filings" if "<entry>" not in feed else "its filings are of other funds")
        return Ok({"fund_facts": [row for _, row in sorted(rows.items())]})

    def _filing(self, href: str, ticker: str, completed: pd.DatetimeIndex) -> Sequence[FundFacts]:
        """The flows of one filing; none of another fund's, which a list may have."""
        folder = _HREF.search(href)
        if folder is None:
            raise _Failed(SchemaChanged("a filing without an address"))
        if folder[0] not in self._read:
            self._pause(_PAUSE)
            data = self._fetch(f"{folder[0]}primary_doc.xml", ticker)
            detect_format(data, "a filing")
            rows: Sequence[FundFacts] = ()
            with suppress(OtherFund):
                contents = read_nport(data, "a filing", completed, self._pair, ticker)
                rows = contents.observations["fund_facts"]
            self._read[folder[0]] = rows
        return self._read[folder[0]]

    def _fetch(self, url: str, ticker: str) -> bytes:
        """Download a file. Raises _Failed."""
        agent = self._user_agent
        answer = download(url, timeout=_TIMEOUT, largest=LARGEST, accept=ANY_FILE, user_agent=agent)
        if isinstance(answer, DownloadedFile):
            return answer.content
        if isinstance(answer, AccessRefused | RateLimited):
            reason = answer.reason if isinstance(answer, AccessRefused) else "HTTP 429"
            instead = (
                "see [sec] contact in the config, or download primary_doc.xml of the newest filing at "
                f"{_FILINGS.format(self._numbers[ticker])} in a browser and run: "
                + command_line("import issuer FILE", self._options)
            )
            raise _Failed(AccessRefused(f"{reason} to “{agent}”", instead))
        raise _Failed(answer)
