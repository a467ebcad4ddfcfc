"""The issuers' files and the funds' filings at the SEC as providers; and what of a file is accepted.

The addresses change, and the sites often refuse programs and cloud addresses: with a 403, or with "200 OK"
and a web page. Such a refusal is not an outage: then only a browser helps. Fetched and imported files pass
the same checks, among them that the NAVs can be this fund's.
"""

import datetime as dt
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
import pandas as pd
import sqlite_utils

from bot.data import provider
from bot.data.csv_source import ANY_FILE, USER_AGENT, DownloadedFile, download, short_reason
from bot.data.issuers.formats import LARGEST, WebPageInstead, decode, detect_format
from bot.data.issuers.layouts import OtherFund, off_market_sentence, read_issuer, read_nport, text_of
from bot.data.load import stored_closes
from bot.data.source_selection import ISSUER
from bot.data.store import FileContents, store_import, with_withdrawals
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR, PUBLIC_FILES, Fund, Pair
from bot.text import command_line
from storage import observations, sources
from storage.observations import Written
from storage.records import FundFacts

# A fund's price stays this close to its NAV: IWM's own file is 13% above it in July 2001, 7% in January 2002.
NEAR = 0.05
# Sessions before it is judged whether the file is of the fund at all.
ENOUGH_SESSIONS = 5


def accepted_rows(
    db: sqlite_utils.Database, ticker: str, rows: provider.Observations, name: str
) -> tuple[provider.Observations, tuple[str, ...]]:
    """The rows to store for a file, and the NAVs that are far from the market price, each with how far.

    Both imported and fetched files pass here. What a file does not give (a holdings file has no NAV) stays as an
    earlier one gave it. Raises ImportRejected if its NAVs are another fund's; then nothing may be written.
    """
    facts = rows.get("fund_facts", ())
    if not facts:
        return rows, ()
    far = off_market(facts, ticker, stored_closes(db, ticker), name)
    stored = observations.newest(db, FundFacts, ticker=ticker, source=ISSUER)
    known = {row.session: row for row in stored}
    return {**rows, "fund_facts": [_completed(row, known.get(row.session, row)) for row in facts]}, far


def off_market(facts: Sequence[FundFacts], ticker: str, market: pd.Series, name: str) -> tuple[str, ...]:
    """Sessions whose NAV is more than 5% off that session's close: "2020-12-04 (+10.7%)".

    Such NAVs are stored as given: one file has a few. Raises ImportRejected if most of them are off, because
    then the file is another fund's. Without prices nothing is compared.
    """
    closed = {f"{session:%Y-%m-%d}": float(close) for session, close in market.dropna().items()}
    apart = [(row.session, row.nav / closed[row.session] - 1) for row in facts if row.nav and row.session in closed]
    far = tuple(f"{session} ({100 * off:+.1f}%)" for session, off in apart if abs(off) > NEAR)
    if len(apart) >= ENOUGH_SESSIONS and len(far) > len(apart) / 2:
        raise ImportRejected(
            f"{name} was not imported: {len(far):,} of {len(apart):,} NAVs are more than 5% off "
            f"{ticker}'s price, so it is another fund's."
        )
    return far


def store_issuer(
    db: sqlite_utils.Database, contents: FileContents, *, name: str, observed_at: str
) -> tuple[FileContents, dict[str, Written]]:
    """Write a file's contents in the caller's transaction. Returns them as accepted, and the counts.

    Raises ImportRejected as `accept` does.
    """
    rows, source, ticker = contents.observations, contents.source, contents.preview.ticker
    far: tuple[str, ...] = ()
    if source == ISSUER:
        rows, far = accepted_rows(db, ticker, rows, name)
        rows = with_withdrawals(db, ISSUER, ticker, provider.Ok(rows), pd.DatetimeIndex([]))
    written = store_import(db, rows, source=source, subject=contents.subject, observed_at=observed_at)
    if contents.holdings:
        sources.save_holdings(db, contents.holdings, observed_at)
    if far:
        notes = (off_market_sentence(far), *contents.preview.notes)
        contents = replace(contents, preview=replace(contents.preview, notes=notes))
    return contents, written


def _completed(row: FundFacts, known: FundFacts) -> FundFacts:
    """A row of fund facts, completed by what was known before."""
    absent = {name: getattr(known, name) for name in row.figures if getattr(row, name) is None}
    return msgspec.structs.replace(row, **absent)


TIMEOUT = 20.0  # seconds for a step of a download
# Sessions that an issuer's file is behind by nature: the count for one day is published on the next.
BEHIND = 1

_REACHED = {"the answer broke off", "it leads in a circle"}  # faults of requests that the site got
Fetch: TypeAlias = "Callable[[str, str], bytes | provider.FetchOutcome]"


def fetch(url: str, user_agent: str) -> bytes | provider.FetchOutcome:
    """Download a file. Returns the outcome instead if that fails."""
    answer = download(url, timeout=TIMEOUT, largest=LARGEST, accept=ANY_FILE, user_agent=user_agent)
    return answer.content if isinstance(answer, DownloadedFile) else answer


def refused(outcome: provider.FetchOutcome, user_agent: str, instead: str) -> provider.FetchOutcome:
    """An outcome without a file: a refusal says to whom, and what a person can do `instead`.

    A site that keeps programs waiting, or asks them to slow down for one file a day, refuses them too.
    """
    match outcome:
        case provider.AccessRefused(reason):
            words = reason
        case provider.RateLimited():
            words = "HTTP 429"
        case provider.NetworkDown("no answer in time"):
            words = "no answer in time"
        case provider.NetworkDown(reason) if "HTTP" in reason or reason in _REACHED:
            return provider.OutOfOrder(reason)
        case _:
            return outcome
    return provider.AccessRefused(f"{words} to “{user_agent}”", instead)


def by_hand(fund: Fund, figure: str, options: str = "", day: str = "") -> str:
    """What a person can do to get a file: where to download it, and the command that imports it.

    `day` is that of dated files. An address that may hold a key is not shown.
    """
    url = fund.files[figure]
    shown = url.replace("&asOfDate={date}", day and f"&asOfDate={day}")
    where = shown if url in PUBLIC_FILES else f"the file at {urlsplit(url).hostname}"
    return f"download {where} in a browser and run: {command_line('import issuer FILE', options)}"


class IssuerFiles(provider.Provider):
    """The issuers' files of a pair as a provider, under the name `user_agent` ("": the bot's own)."""

    name = ISSUER
    label = "issuer file"
    serves: tuple[str, ...] = ("fund", "holdings", "distributions")

    def __init__(
        self, pair: Pair = DEFAULT_PAIR, user_agent: str = "", options: str = "", fetch: Fetch = fetch
    ) -> None:
        self.tickers = pair.tickers
        self._pair, self._funds = pair, {fund.ticker: fund for fund in pair}
        self._user_agent, self._options = user_agent or USER_AGENT, options
        self._fetch = fetch

    def has(self, ticker: str, figure: str) -> bool:
        """Whether the fund has an address of such a file."""
        return ticker in self._funds and figure in self._funds[ticker].files

    def address(self, ticker: str, figure: str) -> str:
        """A hash of the file's address and the User-Agent."""
        return provider.digest(self._funds[ticker].files[figure], self._user_agent)

    def _file_name(self, ticker: str, figure: str = "fund") -> str:
        return f"what {urlsplit(self._funds[ticker].files.get(figure, '')).hostname} gave for {ticker}"

    def document(self, figure: str, ticker: str, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """What a file of a fund says. KeyError for one without an address.

        A dated file is asked for of the session before the last one, whose file is published by now, and
        must be of that day: for a day without holdings sites answer with those of another one.
        """
        day = f"{completed[-1 - BEHIND]:%Y-%m-%d}" if len(completed) > BEHIND else ""
        url = self._funds[ticker].files[figure].replace("{date}", day.replace("-", ""))
        dated = url != self._funds[ticker].files[figure]
        data = self._fetch(url, self._user_agent)
        if isinstance(data, provider.FetchOutcome):
            return self._refusal(data, figure, ticker, day)
        name = self._file_name(ticker, figure)
        try:
            today = dt.datetime.now(dt.UTC).date()
            contents = read_issuer(data, name=name, completed=completed, today=today, ticker=ticker, pair=self._pair)
        except WebPageInstead:
            page = provider.AccessRefused("a web page instead of the file")
            return self._refusal(page, figure, ticker, day)
        except ImportRejected as error:
            return provider.Rejected(short_reason(str(error)).rstrip("."))
        held = contents.holdings
        if figure == "holdings" and held is None:
            return provider.Rejected(f"{name} lists no holdings with their quantity")
        if held and dated and held.as_of != day:
            return provider.Empty(f"it is of {held.as_of}, not of {day}, which was asked for")
        return _outcome(contents, figure, completed, provider.digest(data))

    def _refusal(self, outcome: provider.FetchOutcome, figure: str, ticker: str, day: str) -> provider.FetchOutcome:
        instead = by_hand(self._funds[ticker], figure, self._options, day.replace("-", ""))
        return refused(outcome, self._user_agent, instead)

    def review(self, db: sqlite_utils.Database, ticker: str, outcome: provider.Ok) -> tuple[provider.FetchOutcome, str]:
        """Accept or reject the file as its import would; the note names new NAVs far from the price.

        A count above holdings does not replace one that a history gave with its NAV.
        """
        stored = observations.newest(db, FundFacts, ticker=ticker, source=ISSUER)
        known = {row.session: row for row in stored}
        rows = outcome.payload
        if facts := rows.get("fund_facts"):
            by_history = {day for day, row in known.items() if row.nav is not None}
            facts = [row for row in facts if row.nav is not None or row.session not in by_history]
            rows = {**rows, "fund_facts": facts}
        try:
            rows, far = accepted_rows(db, ticker, rows, self._file_name(ticker))
        except ImportRejected as error:
            return provider.Rejected(str(error).rstrip(".")), ""
        new = [nav for nav in far if nav.split()[0] not in known]
        return replace(outcome, payload=rows), f" {off_market_sentence(new)}" if new else ""


def _outcome(contents: FileContents, figure: str, completed: pd.DatetimeIndex, raw: str) -> provider.FetchOutcome:
    """The rows of a file, or that it has none; sessions may be missing at the end of a history."""
    rows = contents.observations
    if not rows and not contents.holdings:
        return provider.Empty("; ".join(note.rstrip(".") for note in contents.preview.notes) or "it has no figures")
    facts = rows.get("fund_facts", ())
    last = max((row.session for row in facts if row.nav is not None), default="")
    days = [f"{session:%Y-%m-%d}" for session in completed[-30:]]
    late = tuple(day for day in days[: len(days) - BEHIND] if day > last)
    if not last:
        late = ("NAV",) if facts else ("NAV and shares",)
    return provider.Ok(rows, late if figure == "fund" else (), raw, contents.holdings)


OFFICIAL = "official"  # the figure as the sources call it: "IWM official"
_FILINGS = "https://www.sec.gov/cgi-bin/browse-edgar?action=getcompany&CIK={}&type=NPORT-P"
_FEED = f"{_FILINGS}&count=10&output=atom"
_QUARTERS = 2  # filings that are read: the last half year
_PAUSE = 0.2  # seconds between two requests: the SEC allows ten a second
_HREF = re.compile(r"https://[a-z.]+/Archives/edgar/data/[0-9]+/[0-9]+/")


class SecFilings(provider.Provider):
    """The funds' filings at the SEC as a provider. `contact` is the name and address that the SEC wants.

    They are listed by a fund's series, or by its CIK where it is no series.
    """

    name, label = provider.SEC, "SEC filing"
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
        self._read: dict[str, Sequence[FundFacts]] = {}  # by the address of a filing

    def address(self, ticker: str, figure: str) -> str:
        """A hash of the fund's number and the User-Agent."""
        return provider.digest(figure, self._numbers[ticker], self._user_agent)

    def document(self, figure: str, ticker: str, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """The flows of the newest filings, of each of which a process reads one once."""
        del figure
        answer = self._fetch(_FEED.format(self._numbers[ticker]), ticker)
        if isinstance(answer, provider.FetchOutcome):
            return answer
        rows: dict[str, FundFacts] = {}
        entries = decode(answer).split("<entry>")[1:]
        for entry in entries[:_QUARTERS]:
            folder = _HREF.search(text_of("filing-href", entry))
            if folder is None:
                return provider.SchemaChanged("a filing without an address")
            if folder[0] not in self._read:
                self._pause(_PAUSE)
                answer = self._fetch(f"{folder[0]}primary_doc.xml", ticker)
                if isinstance(answer, provider.FetchOutcome):
                    return answer
                try:
                    self._read[folder[0]] = self._flows(answer, ticker, completed)
                except ImportRejected as error:
                    return provider.Rejected(str(error).rstrip("."))
            for row in self._read[folder[0]]:
                rows.setdefault(row.session, row)
        if not rows:
            return provider.Empty("its filings are of other funds" if entries else "no list of filings")
        return provider.Ok({"fund_facts": [row for _, row in sorted(rows.items())]})

    def _flows(self, data: bytes, ticker: str, completed: pd.DatetimeIndex) -> Sequence[FundFacts]:
        """The flows of one filing; none of another fund's, which a list may have."""
        detect_format(data, "a filing")
        try:
            contents = read_nport(data, "a filing", completed, self._pair, ticker)
        except OtherFund:
            return ()
        return contents.observations["fund_facts"]

    def _fetch(self, url: str, ticker: str) -> bytes | provider.FetchOutcome:
        answer = fetch(url, self._user_agent)
        if isinstance(answer, bytes):
            return answer
        instead = (
            "see [sec] contact in the config, or download primary_doc.xml of the newest filing at "
            f"{_FILINGS.format(self._numbers[ticker])} in a browser and run: "
            + command_line("import issuer FILE", self._options)
        )
        return refused(answer, self._user_agent, instead)
