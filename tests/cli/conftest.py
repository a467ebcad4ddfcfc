"""The command line in this process and in its own, and price files small enough for every checkout."""

import csv
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

import pytest

from bot.cli import main
from bot.data.provider import sample_observations

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def lines(self, *words: str) -> list[str]:
        """Lines of standard output that hold all the words."""
        return [line for line in self.out.splitlines() if all(word in line for word in words)]


Call: TypeAlias = Callable[..., Result]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder and a data folder of the test's own, no token in the environment, no colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)


@pytest.fixture
def bot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in this process; `stdin` is piped in."""

    def call(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    return call


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Standard input is a terminal; what is given is typed on it."""
    keys, screen = pty.openpty()
    with os.fdopen(keys, "wb", buffering=0) as typed, os.fdopen(screen, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)

        def type_in(text: bytes) -> None:
            typed.write(text)

        yield type_in


def process(
    *arguments: object,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    start: Sequence[object] = ("-m", "bot"),
) -> Result:
    """Runs a command in a process of its own; `start` is how else than by `-m bot`."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-W", "error", *(str(word) for word in (*start, *arguments))],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **(environment or {})},
        check=False,
        timeout=120,
    )
    return Result(done.returncode, done.stdout, done.stderr)


OFFLINE = (ROOT / "tests" / "cli" / "offline.py",)  # `start` with every socket watched


@dataclass(frozen=True)
class Files:
    """CSV files of both funds' prices and of IWM's facts, as people download them, cut where a test wants."""

    folder: Path

    def prices(self, ticker: str, until: str = "9999") -> Path:
        """Daily prices from 2019 up to a day."""
        return self._cut(f"{ticker}_daily", until)

    def facts(self, until: str = "9999") -> Path:
        """IWM's net asset value and shares outstanding up to a day."""
        return self._cut("IWM_nav_shares", until)

    def _cut(self, name: str, until: str) -> Path:
        header, *lines = (self.folder / f"{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        cut = Path(f"{name}-{until}.csv").absolute()
        rows = [line for line in lines if "2019" <= line[:10] <= until]
        cut.write_text("".join([header, *rows]), encoding="utf-8")
        return cut

    def take_in(self, bot: Call, until: str = "9999", db: str = "bot.db") -> None:
        """Import both funds' prices and IWM's facts."""
        for kind, file, ticker in (
            ("prices", self.prices("IWM", until), "IWM"),
            ("prices", self.prices("SPY", until), "SPY"),
            ("fund-facts", self.facts(until), "IWM"),
        ):
            done = bot("import", kind, file, "--ticker", ticker, "--db", db)
            assert (done.code, done.err) == (0, "")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The sample market from 2019 on, taken for real: it runs through published month-ends.

    So the golden figures come out of it, and its ratio crosses its 200-day average on 2020-10-06 too.
    """
    folder = tmp_path_factory.mktemp("csv")
    rows = sample_observations()
    paid = {(row.ticker, row.session): row.amount for row in rows["distributions"]}
    figures = attrgetter("session", "open", "high", "low", "close", "close", "volume")
    for ticker in ("IWM", "SPY"):
        bars = [row for row in rows["bars"] if row.ticker == ticker and row.session >= "2019"]
        _write(
            folder / f"{ticker}_daily.csv",
            ("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits"),
            ((*figures(bar), paid.get((ticker, bar.session), 0.0), 0.0) for bar in bars),
        )
    facts = [row for row in rows["fund_facts"] if row.ticker == "IWM" and row.session >= "2019"]
    _write(
        folder / "IWM_nav_shares.csv",
        ("date", "nav", "exdiv", "shares"),
        ([row.session, row.nav, "", row.shares] for row in facts),
    )
    return Files(folder)


def _write(file: Path, header: Iterable[str], lines: Iterable[Iterable[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *lines])
