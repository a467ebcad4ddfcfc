from __future__ import annotations

import datetime as dt
import gzip
import logging
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import trustme

from bot.analytics.sessions import Sessions
from bot.data import csv_source
from bot.data.csv_source import DailyCsv
from bot.data.provider import AccessRefused, Empty, FetchOutcome, NetworkDown, Ok, RateLimited, SchemaChanged
from storage.records import Bar, Distribution, Split
from tests.data.conftest import figures
from tests.fakes.website import Answer, Website, chunked, page, redirect, unbounded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bot.data.provider import Provider


SESSIONS = Sessions()
CHECK = "check the address and the key in the config's [sources] daily_csv"
COMPLETED = SESSIONS.index[SESSIONS.index <= pd.Timestamp("2020-12-11")]
FILE = """Date,Open,High,Low,Close,Volume
2020-12-08,186.21,189.84,185.42,189.13,24331000
2020-12-09,189.79,190.35,185.19,186.00,30871000
2020-12-10,184.65,190.49,184.52,190.07,21340100
2020-12-11,188.37,190.66,187.44,190.30,19000000
"""
HEADER, *ROWS = FILE.splitlines(keepends=True)
KEY = "k3y-0f-the-owner"


@pytest.fixture(scope="module")
def loopback() -> Iterator[Website]:
    with Website() as running:
        yield running


@pytest.fixture
def site(loopback: Website, monkeypatch: pytest.MonkeyPatch) -> Website:
    """A site with a healthy file of IWM."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    loopback.asked.clear()
    loopback.pages = {"/IWM.csv": page(FILE)}
    return loopback


@pytest.fixture
def source(site: Website) -> DailyCsv:
    return DailyCsv(f"{site.address}/{{ticker}}.csv", lambda: SESSIONS, timeout=0.5)


def ask(source: Provider, start: str | None = None) -> FetchOutcome:
    return source.prices("IWM", None if start is None else dt.date.fromisoformat(start), COMPLETED)


def answer(site: Website, source: DailyCsv, given: Answer) -> FetchOutcome:
    """Outcome where the site gives this answer."""
    site.pages["/IWM.csv"] = given
    return ask(source)


# The file


def test_a_sound_file_gives_its_bars(source: DailyCsv) -> None:
    outcome = ask(source)
    payload = figures(outcome)
    assert [bar.session[-2:] for bar in payload["bars"]] == ["08", "09", "10", "11"]
    assert payload["bars"][-1] == Bar(
        "IWM", "2020-12-11", 190.30, open=188.37, high=190.66, low=187.44, volume=19_000_000, provisional=0
    )
    assert payload.keys() == {"bars"}  # it has no column that would say that none were paid
    assert outcome.describe() == "4 prices."


def test_packed_pieces_and_utf16_are_read(site: Website, source: DailyCsv) -> None:
    expected = ask(source)
    assert answer(site, source, page(gzip.compress(FILE.encode()), Content_Encoding="gzip")) == expected
    assert answer(site, source, page(FILE.encode("utf-16"))) == expected
    assert answer(site, source, page(f"\ufeff{FILE}".rstrip("\n"))) == expected
    assert answer(site, source, chunked(FILE[:50], FILE[50:])) == expected
    assert answer(site, source, chunked(FILE.rstrip("\n"))) == expected
    assert answer(site, source, unbounded(FILE)) == expected


def test_dividends_and_splits_are_read_where_the_file_has_them(site: Website, source: DailyCsv) -> None:
    text = "Date,Close,Dividends,Stock Splits\n2020-12-10,190.07,0.3,0\n2020-12-11,190.3,0,2\n"
    payload = figures(answer(site, source, page(text)))
    assert payload["distributions"] == [Distribution("IWM", "2020-12-10", 0.3)]
    assert payload["splits"] == [Split("IWM", "2020-12-11", 2.0)]


def test_the_bar_of_the_session_under_way_is_left_out(site: Website, source: DailyCsv) -> None:
    expected = ask(source)
    assert answer(site, source, page(f"{FILE}2020-12-14,191,192,190,191.5,900\n")) == expected
    live = "Date,Close,Dividends\n2020-12-11,190.3,0\n2020-12-14,191.5,0.5\n"
    payload = figures(answer(site, source, page(live)))
    assert payload["distributions"] == []


def test_closes_as_traded_are_adjusted_for_completed_splits(site: Website, source: DailyCsv) -> None:
    text = "date,close,divCash,splitFactor\n2020-12-10,380.14,0,1\n2020-12-11,190.3,0,2\n2020-12-14,38,0,5\n"
    payload = figures(answer(site, source, page(text)))
    assert [bar.close for bar in payload["bars"]] == [190.07, 190.3]
    assert payload["splits"] == [Split("IWM", "2020-12-11", 2.0)]


def test_a_row_of_a_later_session_is_a_fault(site: Website, source: DailyCsv) -> None:
    outcome = answer(site, source, page(f"{FILE}2020-12-15,191,192,190,191.5,900\n"))
    assert outcome == SchemaChanged("1 row is wrong: line 6: 2020-12-15 is in the future")


def test_sessions_that_are_missing_are_named(site: Website, source: DailyCsv) -> None:
    outcome = answer(site, source, page(HEADER + ROWS[0] + ROWS[2]))
    figures(outcome, "2020-12-09", "2020-12-11")
    assert outcome.describe() == "2 prices; missing 2020-12-09, 2020-12-11."


def test_from_a_start_on_older_rows_come_too_and_newer_gaps_are_named(source: DailyCsv) -> None:
    assert len(figures(ask(source, "2020-12-10"))["bars"]) == 4
    figures(ask(source, "2020-12-07"), "2020-12-07")


def test_start_and_ticker_are_put_into_the_address(site: Website) -> None:
    source = DailyCsv(f"{site.address}/d?s={{ticker}}.us&from={{start}}", lambda: SESSIONS)
    site.pages["/d?s=IWM.us&from=2020-12-08"] = page(FILE)
    site.pages["/d?s=IWM.us&from=1993-01-01"] = page(FILE)
    figures(ask(source, "2020-12-08"))
    figures(ask(source))
    assert site.agents[-1].startswith("small-versus-large-bot/")


def test_it_has_prices_only() -> None:
    source = DailyCsv("https://prices.example/{ticker}.csv")
    assert (source.name, source.label) == ("daily-csv", "daily CSV (prices.example)")
    assert source.serves == ("prices",)


# Faults


BAR = Bar("IWM", "2020-12-11", 1.0)
LACKS = "it lacks the columns “date” and “close”; its first line is “"
ADJUSTED = "its closes are adjusted for distributions (on a cent: 0 of the last 20), and total returns "
OUTCOMES: dict[str, tuple[Answer, FetchOutcome]] = {
    "429": (page("", "429 Too Many Requests", Retry_After="1200"), RateLimited(1200.0)),
    "429 without a time": (page("slow down", "429 Too Many Requests", Retry_After="soon"), RateLimited()),
    "401": (page("", "401 Unauthorized"), AccessRefused("HTTP 401", CHECK)),
    "403": (page("<html>", "403 Forbidden"), AccessRefused("HTTP 403", CHECK)),
    "404": (page(FILE, "404 Not Found"), NetworkDown("there is nothing at its address (HTTP 404)")),
    "410": (page("", "410 Gone"), NetworkDown("there is nothing at its address (HTTP 410)")),
    "206": (page(FILE, "206 Partial Content"), NetworkDown("the request was not answered (HTTP 206)")),
    "204": (page("", "204 No Content"), NetworkDown("the request was not answered (HTTP 204)")),
    "500": (page(FILE, "500 Internal"), NetworkDown("the server is out of order (HTTP 500)")),
    "empty": (page(""), SchemaChanged("an empty body")),
    "blank": (page(" \r\n\n"), SchemaChanged("an empty body")),
    "html": (page("\n<!doctype html>..."), SchemaChanged("a web page instead of figures")),
    "html after a mark": (page("\ufeff<html>"), SchemaChanged("a web page instead of figures")),
    "json": (page('{"error": "x"}'), SchemaChanged("JSON instead of a CSV file")),
    "json list": (page("[]"), SchemaChanged("JSON instead of a CSV file")),
    "bytes": (page(b"\xff\xfa\x80"), SchemaChanged("not a text in UTF-8")),
    "zeros": (page("Date,Close\n\x00"), SchemaChanged("it is not a text file")),
    "daily limit": (page("Exceeded the daily hits limit"), RateLimited()),
    "too many": (page("Too Many Requests."), RateLimited()),
    "a column of that name": (page("Date,Close,Limit\n2020-12-11,1,1\n"), Ok({"bars": [BAR]})),
    "a long text": (
        page(f"No limit{' but time' * 50}"),
        SchemaChanged(f"{LACKS}{('No limit' + ' but time' * 50)[:99]}…”"),
    ),
    "no data": (page("No data"), Empty("it says that it has no data")),
    "no data, no length": (unbounded("No data"), Empty("it says that it has no data")),
    "words": (page("Your subscription has ended"), SchemaChanged(f"{LACKS}Your subscription has ended”")),
    "header only": (page(HEADER), Empty("it has a header line but no rows")),
    "later rows only": (page("Date,Close\n2020-12-14,1\n"), Empty("it has no completed session")),
    "other columns": (
        page("Date,Price\n2020-12-11,190.3\n"),
        SchemaChanged("it lacks the column “close”; its first line is “Date,Price”"),
    ),
    "closes adjusted for distributions": (
        page("Date,Close\n" + "".join(f"{day:%Y-%m-%d},{190.1234}\n" for day in COMPLETED[-20:])),
        SchemaChanged(f"{ADJUSTED}would count distributions twice"),
    ),
    "one bad row": (
        page(FILE.replace("190.07", "n.v.")),
        SchemaChanged("1 row is wrong: line 4: close “n.v.” is not a number"),
    ),
    "bad rows": (
        page(FILE.replace(",24", ",x").replace(",30", ",x").replace(",21", ",x").replace(",19000", ",x")),
        SchemaChanged(
            "4 rows are wrong: line 2: volume “x331000” is not a number; "
            "line 3: volume “x871000” is not a number; line 4: volume “x340100” is not a number and 1 more"
        ),
    ),
    "cut in a row": (page(FILE[:-25]), SchemaChanged("1 row is wrong: line 5: has 3 cells where the header has 6")),
    "shorter than said": (page(FILE, length=len(FILE) + 1), NetworkDown("the answer broke off")),
    "no end of pieces": (chunked(FILE, ended=False), NetworkDown("the answer broke off")),
    "cut, length unknown": (unbounded(FILE[:-3]), NetworkDown("the answer broke off")),
    "bad compression": (page(FILE, Content_Encoding="gzip"), SchemaChanged("its compression is broken")),
    "packed again and again": (
        page(gzip.compress(gzip.compress(bytes(10_000_000))), Content_Encoding="gzip, gzip"),
        SchemaChanged("it is compressed in a way that was not asked for"),
    ),
    "packed": (page(gzip.compress(bytes(9_000_000)), Content_Encoding="gzip"), SchemaChanged("larger than 2 MB")),
    "no HTTP": (Answer(b"SSH-2.0-OpenSSH\r\n"), NetworkDown("the answer broke off")),
    "nothing": (Answer(b""), NetworkDown("the answer broke off")),
    "reset": (Answer(b"HTTP/1.1 200 OK\r\n", "reset"), NetworkDown("the answer broke off")),
    "hang": (Answer(b"", "hang"), NetworkDown("no answer in time")),
    "hang within": (Answer(b"HTTP/1.1 200 OK\r\n\r\nDate,", "hang"), NetworkDown("no answer in time")),
    "in a circle": (redirect("/IWM.csv"), NetworkDown("it leads in a circle")),
    "to another scheme": (redirect("ftp://127.0.0.1/IWM.csv"), NetworkDown("its address is not valid")),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_fault_has_its_own_outcome(site: Website, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer, expected = OUTCOMES[name]
    path = f"/IWM.csv?apikey={KEY}"
    site.pages = dict.fromkeys(("/IWM.csv", path), answer)
    template = f"{site.address}/{{ticker}}.csv?apikey={KEY}"
    outcome = ask(DailyCsv(template, lambda: SESSIONS, timeout=0.1 if name.startswith("hang") else 5))
    assert outcome == expected
    assert site.asked[0] == path
    assert KEY not in f"{outcome!r} {outcome.describe()} {caplog.text}"


def test_a_redirect_is_followed(site: Website, source: DailyCsv) -> None:
    expected = ask(source)
    site.pages["/elsewhere"] = page(FILE)
    assert answer(site, source, redirect(f"{site.address}/elsewhere")) == expected
    endless = page("", "302 Found", length=10**12, Location="/elsewhere")
    assert answer(site, source, replace(endless, then="hang")) == expected


def test_too_large_a_file_is_left(site: Website, source: DailyCsv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "_LARGEST", 1_000_000)
    packed = gzip.compress(b"0" * 2_000_000)
    outcome = answer(site, source, page(packed, Content_Encoding="gzip"))
    assert outcome == SchemaChanged("larger than 1 MB")


def test_an_answer_that_trickles_in_is_left(source: DailyCsv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "_PATIENCE", 0)
    assert ask(source) == NetworkDown("no answer in time")


def test_a_refused_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert ask(DailyCsv(f"http://127.0.0.1:{port}/{{ticker}}")) == NetworkDown("the connection failed")


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("NO_PROXY", "*")
    assert ask(DailyCsv("http://prices.invalid/{ticker}")) == NetworkDown("its name could not be resolved")


def test_an_address_that_is_none_is_an_outcome_too() -> None:
    for template in ("nonsense/{ticker}", "http://127.0.0.1:port/{ticker}"):
        assert ask(DailyCsv(template)) == NetworkDown("its address is not valid")


def test_a_bug_is_an_outcome_without_its_words(source: DailyCsv, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("http://user:secret@host/")

    monkeypatch.setattr(csv_source, "download", broken)
    assert ask(source) == NetworkDown("the request failed (RuntimeError)")


def test_a_proxy_that_refuses(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", site.address)
    site.pages["prices.example:443"] = page("", "403 Forbidden")
    outcome = ask(DailyCsv("https://prices.example/{ticker}"))
    assert outcome == NetworkDown("the proxy refused the connection")


# Secure addresses


@pytest.fixture
def secure(site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    """A site with a certificate that is trusted."""
    del site  # for its environment
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Website(context) as running:
        yield running


def test_a_secure_address_is_read_and_never_left_for_an_open_one(site: Website, secure: Website) -> None:
    source = DailyCsv(f"{secure.address}/{{ticker}}.csv", lambda: SESSIONS)
    secure.pages["/IWM.csv"] = page(FILE)
    figures(ask(source))
    secure.pages["/IWM.csv"] = redirect(f"{site.address}/IWM.csv")
    assert ask(source) == NetworkDown("it leads from a secure address to one that is not")
    assert site.asked == []


def test_a_certificate_that_is_not_trusted(secure: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    source = DailyCsv(f"{secure.address}/{{ticker}}.csv")
    assert ask(source) == NetworkDown("its certificate is not trusted")


# Keys


@pytest.mark.parametrize("place", [f"/{{ticker}}?apikey={KEY}", f"/{KEY}/{{ticker}}.csv", f"/{{ticker}}?user=me:{KEY}"])
def test_no_part_of_the_address_is_told(site: Website, place: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = DailyCsv(f"{site.address}{place}", lambda: SESSIONS, timeout=5)
    path = place.replace("{ticker}", "IWM")
    for echo in (
        page(FILE, Key=KEY),
        page(f"Invalid key {KEY}\n"),
        page(f"Date,Close\n2020-12-11,{KEY}\n"),
        redirect(path),
    ):
        site.pages[path] = echo
        outcome = ask(source)
        assert site.asked[-1] == path
        assert KEY not in f"{outcome!r} {outcome.describe()} {source.label} {caplog.text}"


def test_a_password_in_the_address_is_not_told(site: Website) -> None:
    host = site.address.removeprefix("http://")
    source = DailyCsv(f"http://owner:{KEY}@{host}/{{ticker}}.csv", lambda: SESSIONS)
    figures(ask(source))
    assert source.label == "daily CSV (127.0.0.1)"
    site.pages["/IWM.csv"] = page(f"no such user owner:{KEY}\n")
    assert KEY not in ask(source).describe()


def test_a_key_that_is_echoed_in_another_spelling_is_not_told(site: Website) -> None:
    source = DailyCsv(f"{site.address}/{{ticker}}?key=a%2Bb%2Fc%3D%3D", lambda: SESSIONS)
    site.pages["/IWM?key=a%2Bb%2Fc%3D%3D"] = page("Invalid key a+b/c==\n")
    assert ask(source) == SchemaChanged(f"{LACKS}Invalid key …”")
