"""A Yahoo on loopback for real, unpatched yfinance: cookies, crumbs, consent, charts, quotes, faults.

It is a CONNECT proxy with a certificate of its own, which yfinance uses through HTTPS_PROXY and
CURL_CA_BUNDLE. As strict as Yahoo: figures other than prices need a crumb minted for the cookie sent.

By hand: `python -m tests.fakes.yahoo [--fault chart=429]` prints the variables to export.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from tests.fakes import yahoo_pages as pages
from tests.fakes.yahoo_pages import Fund, sample_fund
from tests.fakes.yahoo_proxy import Answer, Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fakes.yahoo_proxy import Request

NAMES = ("query1.finance", "query2.finance", "finance", "fc", "guce", "consent")
OTHERS = {"www.blackrock.com", "www.ssga.com", "www.sec.gov"}  # whose files are FakeYahoo.files
HOSTS = frozenset(f"{name}.yahoo.com" for name in NAMES) | OTHERS
# A fault is a name below, or a change to the page's JSON.
Fault = str | Callable[[Any], Any]
WALL = b"<!doctype html><html><body>Please confirm that you are not a robot</body></html>"
DOWN = b"<html><body>Will be right back...</body></html>"
BOMB = gzip.compress(b" " * 11_000_000)
FAULTS: Mapping[str, Callable[[Answer], Answer]] = {
    "429": lambda _: Answer(429, b"Too Many Requests\r\n", "text/html", {"Retry-After": "1200"}),
    "429-json": lambda _: Answer.of(*pages.limited()),
    "401": lambda _: Answer.of(*pages.refused()),
    "403": lambda _: Answer(403, WALL, "text/html"),
    "404": lambda _: Answer(404, b"<html><body>Not Found</body></html>", "text/html"),
    "404-json": lambda _: Answer.of(*pages.not_found()),
    "500": lambda _: Answer(500, b"Internal Server Error", "text/plain"),
    "500-json": lambda _: Answer.of(500, pages.not_found()[1]),
    "502": lambda _: Answer(502, b"<html><body>Bad Gateway</body></html>", "text/html"),
    "empty": lambda _: Answer(200, b""),
    "null": lambda _: Answer(200, b"null"),
    "list": lambda _: Answer(200, b"[]"),
    "broken": lambda answer: Answer(200, answer.body[: len(answer.body) // 2]),
    "deep": lambda _: Answer(200, b"[" * 100_000),
    "bomb": lambda _: Answer(200, BOMB, headers={"Content-Encoding": "gzip"}),
    "html": lambda _: Answer(200, WALL, "text/html"),
    "down": lambda _: Answer(200, DOWN, "text/html"),
    "truncated": lambda answer: Answer(answer.status, answer.body, cut=len(answer.body) // 2),
    "reset": lambda answer: Answer(answer.status, b"", then="reset"),
    "hang": lambda answer: Answer(answer.status, b"", then="hang"),
}


class FakeYahoo:
    """The site. `funds`, `companies` by symbol; `asked` records the requests, `fail`, `heal` its faults."""

    def __init__(self, folder: Path) -> None:
        self.funds: dict[str, Fund] = {}
        self.files: dict[str, Answer] = {}  # by a part of their address; others are refused
        self.companies: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []  # part, query
        self.screens: list[dict[str, Any]] = []  # what the screener was asked for
        self._faults: dict[str, tuple[Fault, int | None]] = {}
        self._numbers = itertools.count(1)
        self._crumbs: dict[str, str] = {}  # cookie -> crumb
        self._proxy = Proxy(HOSTS, self._answer, folder)

    def __enter__(self) -> Self:
        self._proxy.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that direct yfinance to this proxy."""
        address, bundle = self._proxy.address, str(self._proxy.bundle)
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), address),
            **dict.fromkeys(("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), bundle),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        }

    def add(self, *funds: Fund) -> None:
        """Add funds."""
        self.funds.update({fund.symbol: fund for fund in funds})

    def fail(self, part: str, fault: Fault, times: int | None = None) -> None:
        """Let a part fail, `times` times: chart, summary, quote, screen, series, crumb, cookie, all, ..."""
        if isinstance(fault, str) and fault not in FAULTS:
            raise ValueError(f"No fault is called {fault}; there are {', '.join(FAULTS)}.")
        self._faults[part] = (fault, times)

    def heal(self) -> None:
        """End all faults."""
        self._faults.clear()

    def reset(self) -> None:
        """Remove all funds, faults and recorded requests."""
        self.funds.clear()
        self.files.clear()
        self.companies.clear()
        self.asked.clear()
        self.screens.clear()
        self._crumbs.clear()
        self.heal()

    def count(self, part: str) -> int:
        """How often a part was requested."""
        return sum(name == part for name, _ in self.asked)

    def _answer(self, request: Request) -> Answer:
        part, answer = self._page(request)
        self.asked.append((part, request.query))
        fault = self._fault(part)
        if fault is None:
            return answer
        if isinstance(fault, str):
            return FAULTS[fault](answer)
        return Answer.of(answer.status, fault(json.loads(answer.body)))

    def _fault(self, part: str) -> Fault | None:
        """The fault of a request to the part. Counts it down."""
        key = part if part in self._faults else "all"
        fault, left = self._faults.get(key, (None, None))
        if fault is not None and left is not None:
            self._faults[key] = (fault, left - 1)
            if left <= 1:
                del self._faults[key]
        return fault

    def _page(self, request: Request) -> tuple[str, Answer]:
        """The requested part and its correct response."""
        if request.host in OTHERS:
            address = f"{request.host}{request.path}?{urlencode(request.query)}"
            answers = (answer for part, answer in self.files.items() if part in address)
            return address, next(answers, Answer(403, WALL, "text/html"))
        if request.host == "fc.yahoo.com":
            return "cookie", self._cookie(404)
        if request.host in ("guce.yahoo.com", "consent.yahoo.com"):
            return "consent", self._consent(request.path)
        if request.path == "/v1/test/getcrumb":
            return "crumb", self._crumb(request)
        return self._figures(request)

    def _figures(self, request: Request) -> tuple[str, Answer]:
        """Prices for everybody, other figures only with the right crumb."""
        folder, _, symbol = request.path.rpartition("/")
        fund = self.funds.get(symbol)
        if folder == "/v8/finance/chart":
            return "chart", Answer.of(*(pages.chart(fund, request.query) if fund else pages.not_found()))
        if folder == "/v10/finance/quoteSummary":
            page = pages.summary(fund, request.query) if fund else pages.quote_not_found(symbol)
            return "summary", self._guarded(request, page)
        if folder == "/v7/finance":
            names = request.query["symbols"].split(",")
            funds = (self.funds[name] for name in names if name in self.funds)
            page = pages.quotes(funds, (self.companies[name] for name in names if name in self.companies))
            return "quote", self._guarded(request, page)
        if request.path == "/v1/finance/screener":
            asked = json.loads(request.body)
            self.screens.append(asked)
            return "screen", self._guarded(request, pages.screen(self.companies.values(), asked))
        if folder.startswith("/ws/fundamentals-timeseries/"):
            return "series", self._guarded(request, pages.series(symbol))
        return "unknown", Answer(404, b"Not Found", "text/plain")

    def _cookie(self, status: int) -> Answer:
        """A cookie of a year, as fc.yahoo.com sets it beside its 404."""
        expires = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 365 * 86_400))
        cookie = f"A3=d={next(self._numbers)}; Expires={expires}; Domain=.yahoo.com; Path=/; Secure; HttpOnly"
        return Answer(status, b"<html></html>", "text/html", {"Set-Cookie": cookie})

    def _consent(self, path: str) -> Answer:
        """The consent form, and the cookie set after consent."""
        if path == "/v2/collectConsent":
            return self._cookie(200)
        form = b'<form><input name="csrfToken" value="t"><input name="sessionId" value="s"></form>'
        return Answer(200, b"<html>" + form + b"</html>", "text/html")

    def _crumb(self, request: Request) -> Answer:
        """The crumb of the request's cookie."""
        cookie = request.cookies.get("A3")
        if cookie is None:
            return Answer.of(*pages.refused())
        crumb = self._crumbs.setdefault(cookie, f"crumb{next(self._numbers)}")
        return Answer(200, crumb.encode(), "text/plain")

    def _guarded(self, request: Request, page: pages.Page) -> Answer:
        """The page if the crumb is right, else an error."""
        crumb = self._crumbs.get(request.cookies.get("A3", ""))
        return Answer.of(*(page if crumb and request.query.get("crumb") == crumb else pages.refused()))


def main() -> None:
    """Serve two made-up funds up to yesterday until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.yahoo", description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=int, default=600, help="sessions of history (600)")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="PART=FAULT", help=f"one of {', '.join(FAULTS)}"
    )
    arguments = parser.parse_args()

    from bot.analytics.sessions import Sessions  # noqa: PLC0415 - late: only needed by hand

    sessions = Sessions()
    last = sessions.last_completed(dt.datetime.now(dt.UTC))
    days = [session.date() for session in sessions.index[sessions.index <= last][-arguments.days :]]
    with tempfile.TemporaryDirectory() as folder, FakeYahoo(Path(folder)) as yahoo:
        yahoo.add(sample_fund("IWM", days, 200.0), sample_fund("SPY", days, 500.0))
        for fault in arguments.fault:
            part, _, name = fault.partition("=")
            yahoo.fail(part, name)
        for name, value in yahoo.environment.items():
            print(f"export {name}={value}", flush=True)  # noqa: T201 - the output of the command
        while True:
            time.sleep(3_600)


if __name__ == "__main__":
    main()
