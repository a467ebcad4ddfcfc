import datetime as dt
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
from msgspec.structs import replace

from bot.cli import console
from bot.data.csv_formats import FORMATS
from bot.data.provider import observations_of, rows_by_kind, sample_observations
from bot.data.store import store
from storage import observations, outbox
from storage.database import hold_lock, open_database
from storage.records import KINDS, Bar, Observation, Provisional, SectorWeight
from tests.cli.conftest import Call, Files, Result
from tests.data.issuers import samples
from tests.fakes.chart_texts import leave_out_drawing
from tests.funds import PAIR
from tests.shared_data import FOLDER, shared
from tests.storage.messages import queue_message

# The golden figures of the article's day, by the words that one line must hold: price, then total return.
GOLDEN = (
    ("6m", "+37.63%", "+20.41%"),
    ("ytd", "+14.87%", "+13.81%"),
    ("1y", "+16.51%", "+15.44%"),
    ("+27.04%", "+9.38%"),
    ("6m", "+38.63%", "+21.43%"),
    ("ytd", "+16.14%", "+15.48%"),
    ("1y", "+18.23%", "+17.70%"),
    ("SPY", "n/a, no fund facts"),
    ("0.5195",),
)
# What the days between the published ones decide too, so that only the whole history gives it.
GOLDEN_BY_DAY = (("ytd", "+$0.82bn"), ("+$5.55bn",), ("200-day", "+13.08%"))
COMPARE = "/compare 1w 1m 6m ytd 1y since 2020-09-30 asof 2020-12-13"
FLOWS = "/flows ytd since 2020-09-30 asof 2020-12-11"
TREND = "/trend asof 2020-12-11"
WRONG = "line 4: close “dear” is not a number\nline 5: close 0 is not above zero"
TWO = "date,close\n2020-10-05,1.5\n2020-10-06,1.6\n"


def answers(bot: Call, *lines: str, db: str = "bot.db", now: str = "2020-12-14T12:00Z") -> Result:
    return bot("chat", "--offline", "--db", db, "--now", now, stdin="".join(f"{x}\n" for x in lines))


def import_two(bot: Call, db: str = "bot.db") -> None:
    """Import closes of two sessions."""
    Path("two.csv").write_text(TWO)
    assert bot("import", "prices", "two.csv", "--ticker", "IWM", "--db", db).code == 0


def stored(kind: str, db: str = "bot.db") -> list[Observation]:
    with open_database(db, read_only=True) as database:
        rows = database.run_sync(lambda each: observations.newest(each, KINDS[kind]))
    return [replace(row, observed_at="") for row in rows]


def test_imported_files_give_the_golden_figures(bot: Call, files: Files) -> None:
    files.take_in(bot)
    said = answers(bot, COMPARE, FLOWS, TREND)
    assert said.err == ""
    assert [words for words in GOLDEN if not said.lines(*words)] == []


@shared
def test_the_real_files_give_the_golden_figures_to_the_digit(bot: Call) -> None:
    taken = [
        bot("import", kind, FOLDER / name, "--ticker", name[:3], "--db", "bot.db")
        for kind, name in (
            ("prices", "IWM_daily.csv"),
            ("prices", "SPY_daily.csv"),
            ("fund-facts", "IWM_nav_shares.csv"),
        )
    ]
    assert [(done.code, done.err) for done in taken] == [(0, "")] * 3
    assert taken[0].out.splitlines() == [
        "bot.db is a new database.",
        "IWM daily prices: 5,435 rows, 2000-05-26 to 2021-12-31.",
        "Columns not read: Adj Close.",
        "bars: 5,435 new, 0 revised, 0 unchanged",
        "distributions: 88 new, 0 revised, 0 unchanged",
        "splits: 1 new, 0 revised, 0 unchanged",
    ]
    assert "Left out, no session on that day: 2010-05-31, 2013-06-30." in taken[2].out.splitlines()

    said = answers(bot, COMPARE, FLOWS, TREND)
    assert [words for words in (*GOLDEN, *GOLDEN_BY_DAY) if not said.lines(*words)] == []


NASDAQ = "Date,Close/Last,Volume\n12/14/2020,$189.25,1000\n12/11/2020,$190.30,1000\n"


def test_a_row_of_the_open_session_is_left_out_and_named(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_in(text: str, now: str) -> Result:
        class Clock(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> Self:
                return cls.fromisoformat(now).astimezone(tz)

        monkeypatch.setattr("bot.cli.data.dt", SimpleNamespace(datetime=Clock, UTC=dt.UTC))
        Path("in.csv").write_text(text)
        return bot("import", "prices", "in.csv", "--ticker", "IWM", "--db", "bot.db")

    assert take_in(NASDAQ, "2020-12-14T11:13-05:00").out.splitlines()[:6] == [
        "bot.db is a new database.",
        "IWM daily prices: 1 row, 2020-12-11 to 2020-12-11.",
        "Layout: Nasdaq, dates month/day/year.",
        "Left out, session not completed: 2020-12-14.",
        "Too few closes to tell whether they are adjusted for distributions; taken as not adjusted.",
        "bars: 1 new, 0 revised, 0 unchanged",
    ]
    assert take_in(NASDAQ, "2020-12-14T16:16-05:00").lines("bars: 1 new, 0 revised, 1 unchanged")
    assert take_in(NASDAQ, "2020-12-14T17:00-05:00").lines("bars: 0 new, 0 revised, 2 unchanged")


def test_nothing_is_said_of_rows_that_could_not_be_stored(bot: Call) -> None:
    Path("in.csv").write_text(NASDAQ)
    Path("file").touch()
    refused = bot("import", "prices", "in.csv", "--ticker", "IWM", "--db", "file/new.db")
    assert (refused.code, refused.out) == (1, "")
    assert "file/new.db" in refused.err


EVERY = (
    "/compare 18m since 2020-09-30",
    "/trend",
    "/flows 3m",
    "/multiples",
    "/fundamentals 1y",
    "/why ytd",
    "/sectors",
    "/chart pe_premium",
    "/alert pe_premium > pct 90",
)


def test_what_is_exported_and_imported_answers_the_same(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds, two sources of prices, figures that were replaced, a split; also as it was known before."""
    leave_out_drawing(monkeypatch, lambda _: b"")
    say_everything()
    for kind in FORMATS:
        for ticker in PAIR:
            name = f"{kind}-{ticker}.csv"
            given = bot("export", kind, name, "--ticker", ticker, "--db", "bot.db")
            assert (given.code, given.err) == (0, "")
            assert bot("import", kind, name, "--ticker", ticker, "--db", "copy.db").code == 0
    texts = [EVERY, [line + " known 2020-12-12" for line in EVERY[::2] if not line.startswith("/alert")]]
    for lines in texts:
        one, other = (answers(bot, *lines, db=db, now="2020-12-15T12:00Z") for db in ("bot.db", "copy.db"))
        assert (one.code, one.out) == (0, other.out)
        assert "not understood" not in one.out
    for kind in KINDS:
        assert stored(kind) == stored(kind, "copy.db")


def say_everything() -> None:
    """A database to which several sources have told all kinds of figures, some of them again."""
    rows = sample_observations()
    with open_database("bot.db") as database:

        def say(source: str, at: str, kind: str, found: Sequence[Observation]) -> None:
            rows = observations_of({kind: found})
            database.run_sync(lambda db: store(db, rows, source=source, observed_at=at))

        first, then = "2020-12-11T22:00:00Z", "2020-12-14T22:30:00Z"
        for kind, found in rows_by_kind(rows).items():
            new = [row for row in found if "2019" <= row.session <= "2020-12-11"]
            source = {"fund_facts": "issuer", "multiples": "csv", "sector_weights": "csv"}.get(kind, "yahoo")
            say(source, first, kind, new)
            say(source, then, kind, [row for row in found if row.session > "2020-12-11"])
        bars = [row for row in rows["bars"] if row.session > "2020-06"]
        say("csv", "2020-12-12T09:00:00Z", "bars", bars)
        last = [row for row in rows["bars"] if row.session == "2020-12-11"]
        say("yahoo", then, "bars", [replace(row, close=row.close * 1.001) for row in last])
        counts = [row for row in rows["fund_facts"] if row.session == "2020-12-10"]
        say("issuer", then, "fund_facts", [replace(row, shares=(row.shares or 0.0) + 100_000) for row in counts])
        names = {"Banks, regional": (8.1, 1.2), "Biotech & pharma": (10.2, 4.4)}
        for number, ticker in enumerate(PAIR):
            weights = [
                SectorWeight(ticker, "2020-11-30", "industry group", name, weight[number])
                for name, weight in names.items()
            ]
            say("csv", first, "sector_weights", weights)


def test_an_export_to_standard_output_is_the_file_and_nothing_else(bot: Call) -> None:
    import_two(bot)
    with open_database("bot.db", read_only=True) as database:
        at = database.run_sync(observations.first_observed)
    assert bot("export", "prices", "-", "--ticker", "iwm", "--db", "bot.db") == Result(
        0,
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits,Provisional,Dividends Provisional,"
        "source,observed_at\n"
        f"2020-10-05,,,,1.5,,,,0,,csv,{at}\n"
        f"2020-10-06,,,,1.6,,,,0,,csv,{at}\n",
        "",
    )


def test_an_implausible_figure_of_a_file_is_held_and_named_unless_it_is_accepted(bot: Call) -> None:
    rows = "".join(f"2020-10-{day:02},{close}\n" for day, close in ((5, 150.0), (6, 1.51), (7, 151.2)))
    Path("spike.csv").write_text(f"Date,Close\n{rows}")
    command = ("import", "prices", "spike.csv", "--ticker", "IWM", "--db", "bot.db")
    assert bot(*command).out.endswith(
        "IWM's close of Tue 6 Oct 2020 is provisional and not used: CSV import gives 1.51, a move that the "
        "other fund does not share and the next session undoes.\n"
        "If the file is right, import it with --accept.\n"
    )
    assert [bar.provisional for bar in stored("bars") if isinstance(bar, Bar)] == [0, Provisional.SPIKE, 0]
    assert "provisional" not in bot(*command, "--accept").out
    assert [bar.provisional for bar in stored("bars") if isinstance(bar, Bar)] == [0, 0, 0]


def test_an_export_takes_the_place_of_the_older_file_in_one_step(bot: Call) -> None:
    import_two(bot)
    Path("out.csv").write_text("older\n")
    with Path("out.csv").open() as older:
        assert bot("export", "prices", "out.csv", "--ticker", "IWM", "--db", "bot.db").code == 0
        assert older.read() == "older\n"  # who was reading it is not given half of each
    assert Path("out.csv").read_text().startswith("Date,Open,")
    assert not Path("out.csv.part").exists()


def test_a_link_in_the_place_of_half_an_export_is_refused(bot: Call) -> None:
    import_two(bot)
    Path("precious").write_text("kept")
    Path("out.csv.part").symlink_to("precious")
    refused = bot("export", "prices", "out.csv", "--ticker", "IWM", "--db", "bot.db")
    assert refused.code == 1
    assert refused.err.endswith("out.csv.part is a symbolic link, which is not followed; move it away and try again.\n")
    assert Path("precious").read_text() == "kept"


def test_an_export_that_fails_leaves_the_older_file(bot: Call, tmp_path: Path) -> None:
    import_two(bot)
    Path("out.csv").write_text("older\n")
    Path("out.csv.part").mkdir()
    refused = bot("export", "prices", "out.csv", "--ticker", "IWM", "--db", "bot.db")
    assert refused == Result(1, "", "error: out.csv cannot be written: Is a directory.\n")
    assert Path("out.csv").read_text() == "older\n"
    assert bot("export", "prices", tmp_path, "--ticker", "IWM", "--db", "bot.db") == Result(
        1, "", f"error: {tmp_path} is a folder; name a file.\n"
    )
    assert bot("export", "prices", "no/out.csv", "--ticker", "IWM", "--db", "bot.db") == Result(
        1, "", "error: no/out.csv cannot be written: No such file or directory.\n"
    )


@pytest.mark.parametrize(
    ("kind", "text", "faults"),
    [
        ("prices", f"{TWO}2020-10-07,dear\n2020-10-08,0\n", f"2 rows are wrong:\n{WRONG}"),
        (
            "prices",
            "date,close\n2020-10-05,1.5\n2020-10-10,1.5\n",
            "1 row is wrong:\nline 3: 2020-10-10 is a day without a session",
        ),
        ("fund-facts", "date,nav,shares\n2199-10-04,1.5,3\n", "1 row is wrong:\nline 2: 2199-10-04 is in the future"),
    ],
)
def test_a_file_with_a_fault_is_refused_whole(kind: str, text: str, faults: str, bot: Call) -> None:
    command = ("import", kind, "in.csv", "--ticker", "IWM", "--db", "bot.db")
    assert bot(*command) == Result(1, "", "error: There is no file in.csv.\n")
    Path("in.csv").write_text(text)
    assert bot(*command) == Result(1, "", f"error: in.csv was not imported, {faults}\n")
    assert not Path("bot.db").exists()


@pytest.mark.parametrize("command", [("import", "prices", "two.csv"), ("export", "prices", "out.csv")])
def test_a_fund_that_is_not_compared_is_refused(command: tuple[str, ...], bot: Call) -> None:
    Path("two.csv").write_text(TWO)
    assert bot(*command, "--ticker", "QQQ", "--db", "bot.db") == Result(
        1, "", "error: “QQQ” is not a fund of this bot; it compares IWM and SPY.\n"
    )
    assert not Path("bot.db").exists()


def test_there_is_nothing_to_export_from_an_empty_database(bot: Call) -> None:
    bot("chat", "--offline", "--db", "bot.db")
    assert bot("export", "prices", "out.csv", "--ticker", "SPY", "--db", "bot.db") == Result(
        1, "", "error: There are no daily prices of SPY to export.\n"
    )
    assert not Path("out.csv").exists()


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, who may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_is_named(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import_two(bot, "warm.db")  # all modules are loaded
    folder = Path("closed")
    folder.mkdir()
    (folder / "two.csv").write_text(TWO)
    folder.chmod(0o555)
    monkeypatch.chdir(folder)
    try:
        with nobody():
            taken = bot("import", "prices", "two.csv", "--ticker", "IWM", "--db", "bot.db")
            checked = bot("chat", "--offline", "--db", "bot.db")
    finally:
        Path().chmod(0o755)
    check = "(Permission denied); check that its folder is yours to write."
    assert taken.err == f"error: bot.db cannot be created {check}\n"
    assert checked.err == f"error: The lock file bot.db.lock cannot be written {check}\n"
    assert [file.name for file in Path().iterdir()] == ["two.csv"]


def test_a_database_that_may_not_even_be_looked_at_is_named(bot: Call) -> None:
    bot("doctor", "--quick", "--db", "bot.db")  # all modules are loaded
    folder = Path("closed")
    folder.mkdir(mode=0o700)
    try:
        folder.chmod(0)
        with nobody():
            refused = [bot(command, "--db", folder / "bot.db") for command in ("doctor", "check", "backup")]
    finally:
        folder.chmod(0o755)
    said = "error: closed/bot.db cannot be reached (Permission denied); name another file.\n"
    assert [(each.code, each.err) for each in refused] == [(1, said)] * 3


def test_a_backup_is_a_whole_database_and_is_replaced_by_the_next(bot: Call, files: Files) -> None:
    files.take_in(bot)
    for _ in range(2):
        done = bot("backup", "copy.db", "--db", "bot.db")
        assert (done.code, done.err) == (0, "")
        assert re.fullmatch(r"copy\.db: [\d,]+ rows in \d+ tables, verified\n", done.out)
    assert stored("bars") == stored("bars", "copy.db")
    assert bot("backup", "bot.db", "--db", "bot.db").err == (
        "error: bot.db is a database in use; name another file, e.g. bot-copy.db.\n"
    )


def test_beside_a_bot_all_but_restore_work(bot: Call) -> None:
    with hold_lock("bot.db"):
        import_two(bot)
        assert bot("backup", "copy.db", "--db", "bot.db").code == 0
        assert bot("export", "prices", "-", "--ticker", "IWM", "--db", "bot.db").code == 0
        refused = bot("restore", "copy.db", "--db", "bot.db")
    assert refused.code == 1
    assert refused.err.startswith("error: Another bot (process ")


@pytest.mark.parametrize(
    "command",
    [("import", "prices", "two.csv", "--ticker", "IWM"), ("backup", "copy.db"), ("refresh",)],
    ids=lambda command: command[0],
)
def test_with_an_old_sqlite_the_bot_has_to_be_stopped_first(
    command: tuple[str, ...], bot: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("two.csv").write_text(TWO)
    Path("config.toml").write_text("[sources]\nyahoo = false\n[issuer]\nfetch = false\n")
    bot("chat", "--offline", "--db", "bot.db")
    monkeypatch.setattr(console, "TWO_WRITERS_SAFE", False)
    with hold_lock("bot.db"):
        refused = bot(*command, "--db", "bot.db", "--config", "config.toml")
    assert refused.code == 1
    assert "is using bot.db; stop it first" in refused.err
    assert bot(*command, "--db", "bot.db", "--config", "config.toml").code == 0


TUESDAY = "2020-10-06T22:00Z"
MARKED = "their alerts, perhaps sent before, are marked “possible repeat”; summaries due until now left out"
BODY = outbox.MessageBody("news")


def ask(bot: Call, line: str) -> str:
    """What the terminal's bot answers."""
    return bot("chat", "--offline", "--db", "bot.db", "--now", TUESDAY, stdin=f"{line}\n").out


def test_wrecked_and_restored_the_bot_answers_as_before(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-10-06")
    ask(bot, "/alert ratio > 0.9")
    questions = ("/compare 3m", "/alerts", "/flows")
    before = [ask(bot, line) for line in questions]
    assert "ratio > 0.9" in before[1]
    assert bot("backup", "copy.db", "--db", "bot.db").code == 0
    Path("bot.db").write_bytes(b"wrecked" * 10_000)

    restored = bot("restore", "copy.db", "--db", "bot.db")
    assert (restored.code, restored.err) == (0, "")
    first, aside, tick, marked = restored.out.splitlines()
    assert re.fullmatch(r"bot\.db is now a copy of copy\.db: [\d,]+ rows in \d+ tables, verified", first)
    found = re.fullmatch(
        r"the old database is kept as (bot-replaced-\d{4}-\d\d-\d\dT\d{6}Z\.db); "
        r"delete it when you no longer need it",
        aside,
    )
    assert found is not None
    assert Path(found[1]).read_bytes() == b"wrecked" * 10_000
    assert tick.startswith("the backup's last tick: 20")
    assert marked == MARKED
    assert [ask(bot, line) for line in questions] == before


def test_what_waited_is_counted(bot: Call) -> None:
    with open_database("bot.db") as database:
        for kind, chat in (("alert", 5), ("notice", 5), ("summary", 5)):
            database.run_sync(
                lambda db, kind=kind, chat=chat: queue_message(  # type: ignore[misc]  # bound now
                    db, chat_id=chat, kind=kind, dedup=kind, body=BODY, now="2020-10-06T22:00:00Z"
                )
            )
    bot("backup", "copy.db", "--db", "bot.db")
    Path("bot.db").unlink()
    restored = bot("restore", "copy.db", "--db", "bot.db")
    assert restored.out.splitlines()[1:] == [
        (
            "the backup's last tick: before the bot's first tick; "
            "sessions since are evaluated when the bot runs and has their data"
        ),
        MARKED,
        "2 messages waiting in the backup: sent, marked “possible repeat”",
        "1 summary waiting in the backup: left out",
    ]


def test_what_is_no_backup_is_refused_and_the_newest_is_named(bot: Call) -> None:
    bot("chat", "--offline", "--db", "bot.db")
    refused = bot("restore", "none.db", "--db", "bot.db")
    assert (refused.code, refused.err) == (1, "error: There is no backup none.db.\n")
    made = bot("backup", "--db", "bot.db").out.partition(":")[0]
    refused = bot("restore", "none.db", "--db", "bot.db")
    assert refused.err == f"error: There is no backup none.db; the newest is {made}.\n"


def test_holdings_are_known_by_their_bytes_and_weigh_the_sectors(bot: Call) -> None:
    Path("download.bin").write_bytes(samples.holdings_csv(as_of="Dec 11, 2020"))
    first = bot("import", "issuer", "download.bin", "--db", "bot.db")
    assert first.code == 0
    assert first.out.splitlines()[1] == (
        "IWM, iShares holdings: fund facts of 1 session, 2020-12-11; weights of 2 sectors as of 2020-12-11."
    )
    assert first.lines("sector weights: 2 new, 0 revised, 0 unchanged")
    again = bot("import", "issuer", "download.bin", "--db", "bot.db")
    assert again.lines("sector weights: 0 new, 0 revised, 2 unchanged")
    other = bot("import", "issuer", "download.bin", "--ticker", "SPY", "--db", "bot.db")
    assert (other.code, "IWM" in other.err) == (1, True)


def test_a_web_page_is_refused_with_what_to_do(bot: Call) -> None:
    page = "<!doctype html><html><body>Access denied</body></html>"
    Path("IWM_fund.xls").write_text(page, encoding="utf-8")
    assert bot("import", "issuer", "IWM_fund.xls", "--db", "bot.db") == Result(
        1,
        "",
        "error: IWM_fund.xls is a web page, not a file of figures. "
        "Download the file in a browser and run: python -m bot import issuer FILE\n",
    )
    assert not Path("bot.db").exists()


def test_other_kinds_need_the_fund(bot: Call) -> None:
    assert bot("import", "prices", "a.csv", "--db", "bot.db") == Result(
        1, "", "error: --ticker is missing. Example: import prices a.csv --ticker IWM\n"
    )


def test_a_backup_that_cannot_be_written_names_the_file_that_was_typed(bot: Call) -> None:
    bot("chat", "--offline", "--db", "bot.db")
    refused = bot("backup", "/proc/x.db", "--db", "bot.db")
    assert refused.code == 1
    assert "/proc/x.db " in refused.err
    assert ".part" not in refused.err
