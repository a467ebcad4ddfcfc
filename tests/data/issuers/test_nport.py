"""Monthly flows by filings: read, fetched from the SEC over TLS, stored and shown beside ours."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bot import __version__
from bot.analytics.sessions import Sessions
from bot.analytics.windows import AsOf
from bot.config import Config
from bot.data.csv_formats import export
from bot.data.issuers.fetch import SecFilings, store_issuer
from bot.data.issuers.layouts import read_issuer
from bot.data.load import build_market, read_frames
from bot.data.provider import AccessRefused, Empty, Ok, OutOfOrder, Rejected, SchemaChanged
from bot.data.refresh import build_providers, refresh
from bot.errors import ImportRejected
from bot.messages.canvas import LIGHT
from bot.messages.html import strip_html
from bot.messages.pages.flows import flows_answer
from storage import observations, sources
from storage.records import Bar, FundFacts
from tests import shared_data
from tests.fakes.yahoo_proxy import Answer

if TYPE_CHECKING:
    from bot.data.provider import FetchOutcome
    from storage.database import Database
    from tests.fakes.yahoo import FakeYahoo

SESSIONS = Sessions()
COMPLETED = SESSIONS.index[SESSIONS.index <= "2020-12-11"]
TODAY = dt.date(2020, 12, 12)
IWM, SPY = "S000004344", "884394"
CONTACT = "Jane Doe jane@example.com"


def filing(series: str = IWM, cik: str = "0001100663", end: str = "2020-10-31", **months: str) -> bytes:
    """A filing in the SEC's form; `months` replace the amounts of one, e.g. mon1='sales="1"'."""
    usual = 'redemption="100.50" reinvestment="0.00" sales="150.25"'
    flows = "".join(f"<mon{n}Flow {months.get(f'mon{n}', usual)}/>" for n in (1, 2, 3))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><edgarSubmission xmlns="http://www.sec.gov/edgar/nport">'
        f"<formData><genInfo><regName>A trust</regName><regCik>{cik}</regCik>"
        f"<seriesName>A series &amp; more</seriesName><seriesId>{series}</seriesId>"
        f"<repPdEnd>2021-03-31</repPdEnd><repPdDate>{end}</repPdDate></genInfo>"
        f"<fundInfo><netAssets>50000.25</netAssets>{flows}</fundInfo></formData></edgarSubmission>\n"
    ).encode()


def feed(*filings: tuple[str, str]) -> Answer:
    """The SEC's list of filings: the date and the number of each, the newest first."""
    entries = "".join(
        f"<entry><content type='text/xml'><accession-number>{number}</accession-number>"
        f"<filing-date>{date}</filing-date><filing-href>https://www.sec.gov/Archives/edgar/data/1100663/"
        f"{number}/0001-index.htm</filing-href><filing-type>NPORT-P</filing-type></content></entry>"
        for date, number in filings
    )
    return Answer(200, f'<?xml version="1.0"?><feed>{entries}</feed>'.encode(), "application/atom+xml")


def refusal(data: bytes, ticker: str | None = None) -> str:
    with pytest.raises(ImportRejected) as caught:
        read_issuer(data, name="file", completed=COMPLETED, today=TODAY, ticker=ticker)
    return str(caught.value)


OTHER = "file is of A series & more (S000000001), not a fund of this bot; it compares IWM and SPY."
NO_FLOWS = "file does not say what was sold and redeemed in each of its months."
MONTHS = [
    FundFacts("IWM", "2020-08-31", flow=49.75),
    FundFacts("IWM", "2020-09-30", flow=49.75),
    FundFacts("IWM", "2020-10-30", flow=49.75),
]


def test_a_filing_gives_the_balance_of_each_month_dated_by_its_last_session() -> None:
    contents = read_issuer(filing(), name="file", completed=COMPLETED, today=TODAY)
    assert contents.observations == {"fund_facts": MONTHS}
    assert contents.preview.sentences() == ["IWM, N-PORT filing: official flows of the 3 months to Oct 2020."]
    of_spy = read_issuer(filing("N/A", "0000884394"), name="file", completed=COMPLETED, today=TODAY)
    assert of_spy.preview.ticker == "SPY"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (filing()[:-30], "file breaks off before its end; download it again."),
        (filing("S000000001"), OTHER),
        (filing(mon2='redemption="N/A" reinvestment="0" sales="1"'), NO_FLOWS),
        (filing(mon3='redemption="1" sales="1"'), NO_FLOWS),
        (filing(mon1='redemption="0" reinvestment="0" sales="60000"'), NO_FLOWS),
        (filing(mon1='redemption="-1" reinvestment="0" sales="1"'), NO_FLOWS),
        (filing(end="soon"), NO_FLOWS),
    ],
    ids=["cut", "other fund", "no number", "no reinvestment", "above the assets", "negative", "no date"],
)
def test_a_filing_that_cannot_be_used_is_refused_with_the_reason(data: bytes, sentence: str) -> None:
    assert refusal(data) == sentence


def test_a_filing_must_be_of_the_fund_that_was_named() -> None:
    assert refusal(filing(), "SPY").startswith("file is of A series & more (S000004344), not a fund")


def test_an_imported_filing_is_of_the_sec_and_is_exported_as_a_fund_fact(database: Database) -> None:
    contents = read_issuer(filing(), name="file", completed=COMPLETED, today=TODAY)
    at = "2020-12-12T10:00:00Z"
    database.run_sync(partial(store_issuer, contents=contents, name="file", observed_at=at))
    [status] = database.run_sync(sources.source_statuses)
    assert (status.source, status.subject, status.outcome) == ("sec", "IWM import", "Imported")
    exported = database.run_sync(partial(export, form="fund-facts", ticker="IWM")).text.splitlines()
    assert exported[:2] == ["date,nav,shares,assets,flow,source,observed_at", f"2020-08-31,,,,49.75,sec,{at}"]


@shared_data.shared
def test_a_real_filing_of_another_fund_is_recognised_and_refused() -> None:
    data = (shared_data.FOLDER / "bottom_up" / "nport_sample.xml").read_bytes()
    assert refusal(data) == (
        "file is of Kentucky Tax-Free Short-to-Medium Series (S000012000), not a fund of this bot; "
        "it compares IWM and SPY."
    )


def provider() -> SecFilings:
    return SecFilings(contact=CONTACT, options="--db my.db", pause=lambda _: None)


@pytest.mark.usefixtures("fake")
def test_the_sec_is_asked_only_with_a_contact_which_is_declared() -> None:
    assert "sec" not in [provider.name for provider in build_providers(Config())]
    with_contact = Config().with_keys(sec={"contact": CONTACT})
    assert [provider.name for provider in build_providers(with_contact)] == ["yahoo", "issuer", "sec", "yahoo"]
    agent = f"small-versus-large-bot/{__version__} {CONTACT}"
    wall = provider().document("official", "IWM", COMPLETED)
    assert isinstance(wall, AccessRefused)
    assert wall.reason == f"HTTP 403 to “{agent}”"
    assert wall.instead == (
        "see [sec] contact in the config, or download primary_doc.xml of the newest filing at "
        f"https://www.sec.gov/cgi-bin/browse-edgar?action=getcompany&CIK={IWM}&type=NPORT-P in a browser and "
        "run: python -m bot import issuer FILE --db my.db"
    )


def test_the_two_newest_filings_are_fetched_each_once(fake: FakeYahoo) -> None:
    older = filing(end="2020-09-30", mon3='redemption="0" reinvestment="0" sales="7"')
    fake.files = {
        f"CIK={IWM}": feed(("2020-12-09", "3"), ("2020-12-08", "2"), ("2020-09-28", "1")),
        "/3/primary_doc": Answer(200, filing()),
        "/2/primary_doc": Answer(200, older),
    }
    sec = provider()
    for requests in (3, 4):
        whole = sec.document("official", "IWM", COMPLETED)
        assert isinstance(whole, Ok)
        flows = [(row.session, row.flow) for row in whole.payload["fund_facts"]]
        assert flows == [("2020-07-31", 49.75), *((row.session, 49.75) for row in MONTHS)]
        assert len(fake.asked) == requests
    fake.files = {f"CIK={IWM}": feed(("2020-12-09", "4")), "/4/primary_doc": Answer(200, filing("S000000009"))}
    assert sec.document("official", "IWM", COMPLETED) == Empty("its filings are of other funds")


@pytest.mark.parametrize(
    ("listing", "document", "outcome"),
    [
        (Answer(200, b"<html>no</html>"), None, Empty("no list of filings")),
        (Answer(500, b""), None, OutOfOrder("the server is out of order (HTTP 500)")),
        (feed(("2020-12-08", "2")), Answer(200, b"<html>no</html>"), "a filing is a web page, not"),
        (feed(("2020-12-08", "2")), Answer(200, filing()[:-9]), "a filing breaks off before its end"),
        (feed(("2020-12-08", "2")), Answer(200, filing(), cut=90), OutOfOrder("the answer broke off")),
        (feed(("2020-12-08", "x y")), None, SchemaChanged("a filing without an address")),
    ],
    ids=["html", "500", "html document", "cut document", "cut answer", "no address"],
)
def test_what_is_no_list_or_no_filing_stores_nothing(
    fake: FakeYahoo, listing: Answer, document: Answer | None, outcome: FetchOutcome | str
) -> None:
    fake.files = {"browse-edgar": listing, **({"primary_doc": document} if document else {})}
    answer = provider().document("official", "IWM", COMPLETED)
    if isinstance(outcome, str):
        assert isinstance(answer, Rejected)
        assert answer.reason.startswith(outcome)
    else:
        assert answer == outcome


async def test_official_flows_stand_beside_ours_in_flows(fake: FakeYahoo, database: Database) -> None:
    fake.files = {f"CIK={IWM}": feed(("2020-12-08", "2")), "/2/primary_doc": Answer(200, filing())}
    now = dt.datetime(2020, 12, 11, 22, tzinfo=dt.UTC)
    sec = provider()
    days = SESSIONS.index[(SESSIONS.index >= "2020-08-27") & (SESSIONS.index <= "2020-12-11")]

    def write(counts: dict[str, float]) -> None:
        facts = [FundFacts("IWM", day, nav=2.0, shares=count) for day, count in counts.items()]
        database.run_sync(lambda db: observations.add(db, FundFacts, facts, source="issuer", observed_at=now))

    bars = [Bar(ticker, f"{day:%Y-%m-%d}", 2.0) for day in days for ticker in ("IWM", "SPY")]
    database.run_sync(lambda db: observations.add(db, Bar, bars, source="yahoo", observed_at=now))
    [first, second] = await refresh(database, [sec], SESSIONS, now)
    assert str(first) == "SEC filing, IWM official: 3 fund facts. Stored: 3 new, 0 revised."
    assert not second.ok
    status = database.run_sync(lambda db: sources.source_status(db, "sec", "IWM official"))
    assert status is not None
    assert str(status.last_session) == "2020-10-30"
    [again] = await refresh(database, [sec], SESSIONS, now + dt.timedelta(days=5))
    assert again.subject == "SPY official"  # what came is asked for once a week, what was refused once a day

    def line() -> str:
        market = build_market(database.run_sync(read_frames), SESSIONS, now)
        answer = flows_answer(market, AsOf(), LIGHT)
        text = strip_html(f"{answer.html}\n{answer.quote}")
        return next(line for line in text.splitlines() if line.startswith("Official"))

    assert line() == "Official, by filings (N-PORT): IWM +$50 in Oct 2020, ours n/a."
    write({f"{day:%Y-%m-%d}": 10_000.0 + (20 if day >= DAY else 0) for day in days})
    assert line() == "Official, by filings (N-PORT): IWM +$50 in Oct 2020, ours +$40."


DAY = SESSIONS.index[SESSIONS.index.searchsorted("2020-10-15")]
