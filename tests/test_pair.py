"""Another pair: no output names the funds of the default one; pairs that cannot be are refused.

Prices of IJR and IVV are made here and imported by the command line; the questions go through the real
Application. Commands and metrics come from their registries, so that a new one is covered.
"""

import asyncio
import contextlib
import csv
import datetime as dt
import io
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from bot.alerts.grammar import grammar_words, parse_rule
from bot.analytics.metrics import METRICS, metrics_of
from bot.analytics.sessions import Sessions
from bot.analytics.valuation import CONVENTIONS, MULTIPLES
from bot.chat.access import Role
from bot.chat.commands import BY_NAME
from bot.chat.dispatch import menu
from bot.cli import demo, main
from bot.errors import ConfigError
from bot.pair import DEFAULT_PAIR, Fund, Pair
from bot.services.questions import refuse_reserved_tickers
from storage.database import open_database
from tests.chat.people import command_lines
from tests.chat.talk import ME, OWNER, STEP, Talk, talking
from tests.fakes.chart_texts import leave_out_drawing
from tests.fakes.yahoo import FakeYahoo
from tests.fakes.yahoo_pages import Fund as YahooFund

PAIR = Pair(Fund("IJR"), Fund("IVV"))
TICKERS = {"small": "IJR", "large": "IVV"}
DEFAULT_FUNDS = re.compile(r"(?<![a-z])(iwm|spy)(?![a-z])", re.IGNORECASE)
XNYS = Sessions()
HISTORY = XNYS.index[(XNYS.index >= "2018-12-03") & (XNYS.index <= "2020-12-11")]
MONDAY, TUESDAY = "2020-12-14", "2020-12-15"
CLOSES = {"IJR": 90.0, "IVV": 366.0}
PICTURE = (Path(__file__).parents[1] / "docs" / "compare.png").read_bytes()


def write(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])
    return file


def closes(ticker: str, seed: int) -> list[float]:
    """A random walk that ends at CLOSES."""
    steps = np.random.default_rng(seed).normal(0, 0.01, len(HISTORY))
    walk = np.cumsum(steps)
    return [round(float(CLOSES[ticker] * value), 2) for value in np.exp(walk - walk[-1])]


def price_file(folder: Path, ticker: str, rows: Iterable[Sequence[object]]) -> Path:
    header = ("Date", "Close", "Volume", "Dividends", "Stock Splits")
    return write(folder / f"{ticker}-prices.csv", header, rows)


class CommandLine:
    """Runs commands with the pair's configuration; `printed` is all that they printed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, ""
        self.database = folder / "pair.db"
        self.config = folder / "pair.toml"
        self.configure(*PAIR.tickers)

    def configure(self, small: str, large: str, *, yahoo: bool = False) -> None:
        text = f'[pair]\nsmall = "{small}"\nlarge = "{large}"\n[sources]\nyahoo = {str(yahoo).lower()}\n'
        self.config.write_text(text, encoding="utf-8")

    def run(self, *words: object) -> tuple[int, str]:
        """Exit code of a command, and what it printed."""
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            code = main([*map(str, words), "--config", str(self.config), "--db", str(self.database)])
        self.printed += stream.getvalue()
        return code, stream.getvalue()

    def take_in(self, kind: str, file: Path, ticker: str) -> None:
        code, output = self.run("import", kind, file, "--ticker", ticker)
        assert code == 0, output

    def import_all(self) -> None:
        """Two years of everything that can be imported."""
        days = [f"{day:%Y-%m-%d}" for day in HISTORY]
        for seed, ticker in enumerate(PAIR.tickers):
            prices = closes(ticker, seed)
            rows = [
                (day, close, 1_000_000, 0.4 if count % 63 == 0 else 0, 0)
                for count, (day, close) in enumerate(zip(days, prices, strict=True))
            ]
            self.take_in("prices", price_file(self.folder, ticker, rows), ticker)
            shares = 500e6 + np.cumsum(np.random.default_rng(seed + 9).integers(-40, 40, len(days))) * 50_000
            facts = [(day, close, int(count)) for day, close, count in zip(days, prices, shares, strict=True)]
            file = write(self.folder / "facts.csv", ("date", "nav", "shares"), facts)
            self.take_in("fund-facts", file, ticker)
            multiples = [
                (day, metric, convention, "trailing", 10 + count % 7 + 5 * seed)
                for count, day in enumerate(days[::21] + days[-1:])
                for metric in MULTIPLES
                for convention in CONVENTIONS
            ]
            header = ("date", "metric", "convention", "basis", "value")
            self.take_in("multiples", write(self.folder / "multiples.csv", header, multiples), ticker)
            weights = [
                *((days[-1], "sector", name, weight) for name, weight in (("Energy", 60), ("Technology", 40))),
                (days[-1], "industry_group", "Banks", 20 + 10 * seed),
                (days[-1], "revenue", "United States", 80 - 20 * seed),
            ]
            file = write(self.folder / "weights.csv", ("date", "level", "name", "weight"), weights)
            self.take_in("weights", file, ticker)

    def close(self, day: str, small: float, large: float, *, split: float = 0) -> None:
        """Import one session's closes; `split` is the small fund's on that day."""
        for ticker, price, ratio in (("IJR", small, split), ("IVV", large, 0)):
            self.take_in("prices", price_file(self.folder, ticker, [(day, price, 1_000, 0, ratio)]), ticker)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line that imported everything into a database."""
    line = CommandLine(tmp_path_factory.mktemp("pair"))
    line.import_all()
    return line


@pytest.fixture
def line(imported: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A command line with a copy of that database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    line = CommandLine(tmp_path)
    shutil.copy(imported.database, line.database)
    line.printed = imported.printed
    return line


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of all figures, which are not made into pictures: that takes most of the time."""
    texts: list[str] = []

    def png(figure: Figure) -> bytes:
        texts.extend(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))
        return PICTURE

    leave_out_drawing(monkeypatch, png)
    return texts


def outputs(talk: Talk) -> Iterator[str]:
    """Every text that the bot has sent to Telegram, the names of files too."""
    for request in talk.api.requests:
        yield from request.fields.values()
        yield from (f"{upload.name} {upload.content[:100_000]!r}" for upload in request.files.values())
    yield from talk.notes()


def naming_default_funds(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if DEFAULT_FUNDS.search(text)})


async def ask_all(talk: Talk, lines: Iterable[str], chat_id: int = OWNER) -> None:
    for text in lines:
        talk.now += STEP
        assert await talk.ask(text, chat_id) or "/forgetme" in text, text


async def press_all(talk: Talk) -> list[str]:
    """Press the buttons under all messages, then those that came up, one of each shape. Returns them all."""
    words = re.compile(rf"\d+|\b({'|'.join([*metrics_of(PAIR), *PAIR.words])})\b")
    pressed: dict[str, str] = {}
    page = talk.api.add_message(talk.api.chat(OWNER), text="a page")
    for _ in range(2):
        shown = [data for message in talk.api.history.values() for row in message.buttons for _, data in row]
        new = {words.sub("#", data): data for data in shown if "forgetme" not in data}
        for shape in new.keys() - pressed.keys():
            talk.now += STEP
            talk.api.send_callback_data(page, new[shape], OWNER)
            await talk.answers()
            pressed[shape] = new[shape]
    return shown


def questions() -> list[str]:
    """Questions about every command and metric, rules on every metric, spellings and mistakes."""
    metrics = metrics_of(PAIR)
    of_metrics = [
        text
        for name, metric in metrics.items()
        for text in (f"/help {name}", f"/chart {name}", f"/alert {metric.example}")
    ]
    backtests = [f"/backtest {metrics[name].example}" for name in ("ratio", "flow", "pe_premium")]
    others = (
        "/help metrics", "/alert ijr inflows 5d above $1bn", "/alert ivv outflows 1m over $2bn",
        "/alert ijr/ivv > 0.1", "/alert IVV P/E > 5", "/alert ijr > 5", "/alert nonsense > 5", "/alert",
        "/compare ijr vs ivv 3y", "/compare QQQ", "/flow", "/nonsense", "ratio > 0.5", "/alerts", "/history",
        "/chart flow ivv 20d", "/chart pe ivv", "/compare asof 1999-01-04", "/sectors", "/multiples",
        "/why 1y", "ratio",
    )  # fmt: skip
    return [*(f"/help {name}" for name in BY_NAME), *of_metrics, *backtests, *others]


async def test_no_answer_names_the_default_funds(line: CommandLine, drawn: list[str], tmp_path: Path) -> None:
    async with talking(line.database, tmp_path, **TICKERS) as talk:
        talk.api.chat(OWNER)
        await ask_all(talk, [*questions(), *command_lines()])
        shown = await press_all(talk)
        for text in ("", "6m", "6m total", "QQQ"):
            talk.api.type_inline(ME, text)
            await talk.answers()
        cards = [str(query.results) for query in talk.api.inline_queries.values()]
        menus = [f"{entry.command} {entry.description}" for entry in menu(Role.OWNER)]
        assert len(shown) > 100
        assert len(drawn) > 100
        assert naming_default_funds([*outputs(talk), *shown, *cards, *menus, *drawn]) == []
        texts = "\n".join([*outputs(talk), *drawn])
        for words in ("IJR and IVV", "IJR/IVV", "IJR ÷ IVV", "Flows 20d: IJR", "flow ijr 5d", "fund, ijr or ivv"):
            assert words in texts, words


def after_close(day: str, hours: float) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T21:00:00+00:00") + dt.timedelta(hours=hours)


async def test_no_push_names_the_default_funds(line: CommandLine, drawn: list[str], tmp_path: Path) -> None:
    async with talking(line.database, tmp_path, **TICKERS) as talk:
        talk.api.chat(ME)
        line.database = talk.database.path
        await ask_all(talk, ["/alert ratio > 0.265", "/alert ratio > 0.9 once", "/summary on 18:30"], ME)
        await asyncio.to_thread(line.close, MONDAY, 100.0, 366.0)
        pushed = await talk.pass_to(after_close(MONDAY, 3))
        await asyncio.to_thread(line.close, MONDAY, 96.0, 366.0)
        pushed += await talk.pass_to(after_close(MONDAY, 6))
        pushed += await talk.pass_to(after_close(TUESDAY, 4))
        await asyncio.to_thread(line.close, TUESDAY, 45.0, 366.0, split=2)
        pushed += await talk.pass_to(after_close(TUESDAY, 6))
        pushed += await talk.pass_to(after_close("2021-12-20", 6))
        await ask_all(talk, ["/alert 1", "/alert 1 why", "/alert 1 history", "/history", "/status", "/export"], ME)
        first_lines = "\n".join(message.text.splitlines()[0] for message in pushed)
        for title in (
            "IJR/IVV crossed above 0.265", "Correction: “IJR/IVV", "Data stale: prices", "Data back: prices",
            "Split: IJR 2 for 1", "IJR's largest lead over IVV",
        ):  # fmt: skip
            assert title in first_lines, first_lines
        assert naming_default_funds([*outputs(talk), *drawn, line.printed]) == []


def test_no_command_names_the_default_funds(line: CommandLine, tmp_path: Path) -> None:
    for words in (
        ("doctor", "--offline"), ("doctor", "--quick"), ("check", "--offline", "--now", "2020-12-12T12:00Z"),
        ("export", "prices", "IJR-exported.csv", "--ticker", "ijr"), ("refresh",), ("backup", "copy.db"),
        ("restore", "copy.db"), ("import", "prices", "x.csv"), ("export", "weights", "-", "--ticker", "QQQ"),
    ):  # fmt: skip
        line.run(*words)
    assert naming_default_funds([*line.printed.splitlines(), *(file.name for file in tmp_path.iterdir())]) == []
    assert "it compares IJR and IVV" in line.printed
    assert "--ticker IJR" in line.printed


# Pairs that cannot be


def refused(line: CommandLine, small: str, large: str = "IVV", code: int = 2) -> str:
    """What `chat` says of a pair, with which it does nothing."""
    line.configure(small, large)
    exit_code, output = line.run("chat", "--offline", "--now", "2020-12-12T12:00Z")
    assert exit_code == code, output
    return output


@pytest.mark.parametrize("word", ["LOW", "Flow"])
def test_a_word_of_the_rules_is_no_fund(line: CommandLine, word: str) -> None:
    line.database = line.folder / "new.db"
    example = 'is a word of commands and alert rules; name another fund, such as small = "IJR"'
    problem = f"[pair] small: {word.upper()} {example}"
    assert refused(line, word) == f"config: {problem}\n"
    assert f"FAIL pair: {problem}" in line.run("doctor", "--offline")[1].splitlines()


def test_every_word_of_the_grammar_that_looks_like_a_ticker_is_refused() -> None:
    words = {word for word in grammar_words(METRICS) if word.isalpha() and word.isascii()}
    for word in words | {"and", "at", "d", "new", "once", "over", "tr"}:
        with pytest.raises(ConfigError, match=rf"^\[pair\] large: {word.upper()} is a word"):
            refuse_reserved_tickers(Pair(Fund("IJR"), Fund(word.upper())))
    assert {"low", "high", "sma", "pct", "flow", "ratio", "crosses", "confirm", "bn", "ytd"} <= words


@pytest.mark.parametrize("pair", [DEFAULT_PAIR, PAIR, Pair(Fund("BRK-B"), Fund("CSP1.L"))])
def test_other_tickers_are_funds_and_rules_on_them_are_read_back(pair: Pair) -> None:
    refuse_reserved_tickers(pair)
    metrics = metrics_of(pair)
    for fund in pair:
        rule = parse_rule(f"{fund.word} inflows 5d above $1bn", metrics)
        assert str(rule) == f"flow {fund.word} 5d > $1bn"
        assert parse_rule(str(rule), metrics) == rule
    assert str(parse_rule(f"{pair} > 0.5", metrics)) == "ratio > 0.5"


def test_a_database_of_another_pair_is_refused_and_left_as_it_is(line: CommandLine) -> None:
    before = line.run("export", "prices", "-", "--ticker", "IJR")
    output = refused(line, "IWM", "SPY", code=1)
    assert output == (
        "error: The config compares IWM and SPY, but this database was made for IJR and IVV, so nothing was "
        'done. Name another file, e.g. --db new.db, or write small = "IJR" and large = "IVV" below [pair].\n'
    )
    line.run("backup", "copy.db")
    file = write(line.folder / "x.csv", ("Date", "Close"), [("2020-12-11", 190.0)])
    for words in (
        ("import", "prices", file, "--ticker", "IWM"), ("export", "prices", "-", "--ticker", "IWM"),
        ("refresh",), ("doctor", "--offline"), ("doctor", "--quick"), ("restore", "copy.db"),
    ):  # fmt: skip
        code, output = line.run(*words)
        assert (code, "was made for IJR and IVV" in output) == (1, True), output
    line.configure(*PAIR.tickers)
    assert line.run("export", "prices", "-", "--ticker", "IJR") == before


def test_funds_known_by_their_ticker_alone_are_noted_by_doctor(line: CommandLine) -> None:
    _, output = line.run("doctor", "--offline")
    for key, fund in (("small", "IJR"), ("large", "IVV")):
        words = f"no address of {fund}'s issuer is known, so its files are not fetched and flows need an import"
        assert f"note pair: {words}; put name and issuer_file into [pair.{key}] of the config" in output


@pytest.mark.usefixtures("drawn")
def test_the_demo_keeps_to_the_sample_market(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_QUESTIONS", ("/compare asof 2020-12-13",))
    line.database = line.folder / "demo.db"
    code, output = line.run("demo", "--out", line.folder / "pictures", "--now", "2020-12-29T22:00Z")
    assert code == 0, output
    assert "IWM leads on every window · Fri 11 Dec 2020" in output


def test_a_fund_that_the_source_does_not_know_is_named_with_an_example_and_nothing_is_judged(
    line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.database = line.folder / "new.db"
    line.configure("IJRX", "IVV", yahoo=True)
    open_database(line.database).close()
    with FakeYahoo(line.folder) as yahoo:
        yahoo.add(YahooFund("IVV", {day.date(): 366.0 for day in HISTORY[-20:]}))
        for name, value in yahoo.environment.items():
            monkeypatch.setenv(name, value)
        _, output = line.run("check")
    hint = 'IJRX is not known there; see [pair] in the config, e.g. small = "IJR".'
    assert f"Yahoo, IJRX prices: No data: {hint}" in output.splitlines()
    assert "no prices of both funds are stored" in output
    assert hint.rstrip(".") in line.run("doctor", "--offline")[1]
