from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.cli import health, machine
from bot.cli.health import examine
from bot.cli.hold import alone
from bot.cli.machine import FAIL, NOTE, OK, Finding
from bot.config import Config
from bot.copies import file_of
from bot.data.store import store
from storage import outbox, sources
from storage.db import SQLITE_VERSION, hold_lock, open_database
from storage.migrations import NAMES
from tests.cli.conftest import Call, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.db import Database

NOW = dt.datetime(2026, 11, 20, 22, tzinfo=dt.UTC)  # a Friday, an hour after the close
STAMP = "2026-11-20T22:00:00Z"
SESSIONS = Sessions()


@contextmanager
def prepared() -> Iterator[Database]:
    with open_database("bot.db") as database:
        yield database


def found(subject: str, now: dt.datetime = NOW) -> Finding:
    """The one finding on a subject."""
    config = Config().with_keys(storage={"database": Path("bot.db")})
    (finding,) = (each for each in examine(config, None, now) if each.subject == subject)
    return finding


def store_closes(*days: str) -> None:
    rows = [{"ticker": ticker, "session": day, "close": 1.0} for day in days for ticker in ("IWM", "SPY")]
    with prepared() as database:
        database.run_sync(lambda db: store(db, {"bars": rows}, source="csv", observed_at=STAMP))


def test_a_new_installation_is_well_but_for_its_database(bot: Call, tmp_path: Path) -> None:
    before = bot("doctor", "--db", "bot.db")
    assert before.code == 1
    assert before.out.splitlines()[-2:] == [
        (
            "FAIL database: there is none at bot.db; “run”, “chat” or “import” makes it, "
            "“restore” puts a backup there"
        ),
        "note backups: none in backups yet; the running bot makes one a night, “backup” makes one now",
    ]
    assert list(tmp_path.iterdir()) == []
    bot("check", "--offline", "--db", "bot.db")
    after = bot("doctor", "--db", "bot.db")
    assert (after.code, after.err) == (0, "")
    lines = after.out.splitlines()
    assert lines[:2] == [
        "ok   config: no file given, defaults hold",
        "note token: none given, which “run” needs; see [telegram] in the config",
    ]
    assert [line.partition(":")[0] for line in lines[2:6]] == [
        "ok   clock",
        "ok   sqlite",
        "ok   calendar",
        "ok   disk",
    ]
    assert lines[6:] == [
        f"ok   database: bot.db is sound, its schema is {max(NAMES)}",
        "note data: no prices of both funds yet; run “refresh” or “import prices”",
        "ok   restatements: Restated in 30 days: nothing over 1 bp",
        "ok   bot: not running",
        "ok   queue: 0 waiting, 0 given up",
        "note backups: none in backups yet; the running bot makes one a night, “backup” makes one now",
    ]


def test_the_configuration_given_is_named(bot: Call) -> None:
    Path("mine.toml").write_text('[storage]\ndatabase = "bot.db"\n')
    assert bot("doctor", "--config", "mine.toml").lines("ok   config: mine.toml is valid")


def test_a_healthy_bot_is_well(bot: Call) -> None:
    store_closes("2026-11-19", "2026-11-20")
    with alone(Path("bot.db")):
        assert bot("doctor", "--db", "bot.db").code == 0
        assert found("bot", dt.datetime.now(dt.UTC)).mark == OK
    assert found("data") == Finding(OK, "data", "prices to 2026-11-20, current; CSV import")


@pytest.mark.parametrize(("owner", "said"), [(None, 1), (7, 0)])
def test_a_bot_on_telegram_without_an_owner_is_a_note(owner: int | None, said: int) -> None:
    config = Config().with_keys(
        storage={"database": Path("bot.db")}, telegram={"token": "1:" + "A" * 35}, access={"owner": owner}
    )
    notes = [each for each in examine(config, None, NOW) if each.subject == "owner"]
    words = "nobody is told when something needs a person; see [access] owner in the config"
    assert notes == [Finding(NOTE, "owner", words)] * said


@pytest.mark.parametrize(("seconds", "mark"), [(0, OK), (299, OK), (300, FAIL), (86_400, FAIL)])
def test_a_bot_whose_tick_stands_still_is_not_well(seconds: int, mark: str) -> None:
    with prepared() as database:
        database.run_sync(lambda db: sources.beat(db, STAMP))
    later = NOW + dt.timedelta(seconds=seconds)
    assert found("bot", later) == Finding(OK, "bot", "not running")
    with hold_lock("bot.db"):
        words = f"running, last tick {seconds} s ago"
        todo = "" if mark == OK else "; look at its log and start it again"
        assert found("bot", later) == Finding(mark, "bot", f"{words}{todo}")


def test_a_bot_before_its_first_tick_is_starting() -> None:
    with prepared(), hold_lock("bot.db"):
        assert found("bot") == Finding(OK, "bot", "starting, no tick yet")


def test_a_bot_started_after_a_pause_has_a_heartbeat_at_once() -> None:
    with prepared() as database:
        database.run_sync(lambda db: sources.beat(db, "2020-01-01T00:00:00Z"))
    with alone(Path("bot.db")):
        assert found("bot", dt.datetime.now(dt.UTC)).mark == OK


@pytest.mark.parametrize(
    ("now", "words", "mark"),
    [
        (NOW, "prices to 2026-11-18, 1 session behind; CSV import", NOTE),  # Friday's close may be late
        (NOW + dt.timedelta(hours=3), "prices to 2026-11-18, 2 sessions behind; CSV import", NOTE),
        (NOW - dt.timedelta(days=1), "prices to 2026-11-18, current; CSV import", OK),
    ],
)
def test_old_prices_are_a_note(now: dt.datetime, words: str, mark: str) -> None:
    store_closes("2026-11-17", "2026-11-18")
    assert found("data", now) == Finding(mark, "data", words)


def test_sample_data_is_called_so() -> None:
    rows = [{"ticker": ticker, "session": "2026-11-20", "close": 1.0} for ticker in ("IWM", "SPY")]
    with prepared() as database:
        database.run_sync(lambda db: store(db, {"bars": rows}, source="sample", observed_at=STAMP))
    assert found("data").words.endswith("; sample data")


def test_a_source_that_fails_is_a_note() -> None:
    with prepared() as database:
        database.run_sync(
            lambda db: sources.record_failure(
                db,
                "yahoo",
                "IWM prices",
                now=STAMP,
                outcome="NetworkDown",
                detail="No data: no answer in time.",
            )
        )
        database.run_sync(
            lambda db: sources.record_success(
                db, "yahoo", "SPY prices", now=STAMP, session="2026-11-20", outcome="Ok", detail="1 price."
            )
        )
    failed = (
        "no success yet; no session yet; next try Fri 20 Nov 2026, 17:05 New York; "
        "failed 1x: No data: no answer in time"
    )
    assert found("source Yahoo, IWM prices") == Finding(NOTE, "source Yahoo, IWM prices", failed)
    well = (
        "last success Fri 20 Nov 2026, 17:00; last session 20 Nov 2026; "
        "next try Mon 23 Nov 2026, 16:15 New York"
    )
    assert found("source Yahoo, SPY prices") == Finding(OK, "source Yahoo, SPY prices", well)


def test_a_source_that_asked_to_slow_down_is_a_note_with_its_end() -> None:
    until = NOW + dt.timedelta(minutes=15)
    with prepared() as database:
        database.run_sync(
            lambda db: sources.record_failure(
                db,
                "yahoo",
                "IWM prices",
                now=STAMP,
                outcome="RateLimited",
                detail="429.",
                breaker_until=until,
            )
        )
    finding = found("source Yahoo, IWM prices")
    assert finding.mark == NOTE
    assert finding.words.endswith(
        "next try Fri 20 Nov 2026, 17:15 New York; failed 1x: 429; left alone until Fri 20 Nov 2026, 17:15"
    )


def test_flags_disagreements_and_restatements_are_told() -> None:
    days = [
        f"{day:%Y-%m-%d}" for day in SESSIONS.between(pd.Timestamp("2026-10-01"), pd.Timestamp("2026-11-20"))
    ]
    counts = [*(1e6 * (250 + number) for number in range(len(days) - 1)), 1e6 * (250 + len(days)) + 12_300]
    with prepared() as database:

        def say(kind: str, source: str, rows: list[dict[str, object]], at: str = STAMP) -> None:
            rows = [{"ticker": "IWM", **row} for row in rows]
            database.run_sync(lambda db: store(db, {kind: rows}, source=source, observed_at=at))

        say("bars", "yahoo", [{"session": day, "close": 100.0} for day in days])
        say("bars", "csv", [{"session": day, "close": 101.0} for day in days])
        say("bars", "yahoo", [{"session": days[-1], "close": 102.0}], "2026-11-20T22:01:00Z")
        say(
            "fund_facts",
            "issuer",
            [{"session": d, "nav": 100.0, "shares": c} for d, c in zip(days, counts, strict=True)],
        )
    assert found("sources of prices") == Finding(
        NOTE,
        "sources of prices",
        "IWM: CSV import disagrees with Yahoo on 37 of 37 sessions, worst 1 Oct 2026 by 100 bp; "
        "it fills no gaps",
    )
    assert found("share counts") == Finding(
        NOTE, "share counts", "IWM flags, last 20 counts: LOT 20 Nov 2026"
    )
    assert found("restatements").words == "IWM 20 Nov 2026 close 100 → 102 (+200.0 bp), Yahoo"


def test_messages_that_wait_or_were_given_up_are_counted() -> None:
    payload = {"html": "news", "plain": "news", "buttons": [], "silent": False}
    with prepared() as database:
        for number in range(3):
            database.run_sync(
                lambda db, number=number: outbox.enqueue(  # type: ignore[misc]  # bound now
                    db, chat_id=5, kind="alert", dedup=f"{number}", payload=payload, now=STAMP
                )
            )
        database.run_sync(
            lambda db: db.execute("UPDATE outbox SET status = 'dead', reason = 'x' WHERE id = 1")
        )
    assert found("queue") == Finding(NOTE, "queue", "2 waiting, 1 given up")


def test_a_full_disk_and_an_ending_calendar_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_DISK", 2**80)
    disk, calendar = found("disk"), found("calendar", NOW + dt.timedelta(days=400))
    assert (disk.mark, calendar.mark) == (FAIL, FAIL)
    assert disk.words.endswith("; free some, or move [storage] database to another disk")
    assert calendar.words.endswith("; install a newer exchange_calendars, or set the clock")


def test_an_old_sqlite_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("sqlite") == Finding(OK, "sqlite", f"version {SQLITE_VERSION}")
    monkeypatch.setattr(machine, "TWO_WRITERS_SAFE", False)
    words = (
        f"version {SQLITE_VERSION} has the WAL-reset bug; stop the bot before import, refresh and backup, "
        "or install SQLite 3.51.3 or later"
    )
    assert found("sqlite") == Finding(NOTE, "sqlite", words)


def test_what_the_integrity_check_finds_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with prepared():
        pass
    assert found("database") == Finding(OK, "database", f"bot.db is sound, its schema is {max(NAMES)}")
    monkeypatch.setattr(health, "integrity_check", lambda _: ["one", "two", "three", "four"])
    assert found("database") == Finding(
        FAIL, "database", "one; two; three; put a backup in its place with “restore”"
    )


def test_a_damaged_database_fails(bot: Call) -> None:
    days = [f"{day:%Y-%m-%d}" for day in (dt.date(2020, 1, 1) + dt.timedelta(n) for n in range(2_000))]
    store_closes(*days)
    content = bytearray(Path("bot.db").read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\x55" * 4096
    Path("bot.db").write_bytes(content)
    broken = bot("doctor", "--db", "bot.db")
    assert (broken.code, broken.err) == (1, "")
    assert broken.lines("FAIL database: ")
    Path("bot.db").write_text("no database at all\n" * 100)
    copy = file_of(Config().with_keys(storage={"database": Path("bot.db")}), dt.date(2020, 1, 1))
    copy.parent.mkdir()
    copy.touch()
    garbled = bot("doctor", "--db", "bot.db").out.splitlines()
    assert garbled[-2] == (
        "FAIL database: bot.db is not a database of this program; name another file, e.g. --db bot.sqlite3."
    )
    assert garbled[-1].startswith("note backups: backups/bot-2020-01-01.db, ")


def test_looking_changes_nothing_and_needs_no_lock(bot: Call) -> None:
    store_closes("2026-11-20")
    before = {file.name for file in Path().iterdir()}
    content = Path("bot.db").read_bytes()
    with hold_lock("bot.db") as lock:
        said = lock.read_text()
        assert bot("doctor", "--db", "bot.db").code in {0, 1}
        assert lock.read_text() == said
    assert Path("bot.db").read_bytes() == content
    assert {file.name for file in Path().iterdir()} - before <= {"bot.db.lock", "bot.db-shm", "bot.db-wal"}


def test_doctor_draws_and_downloads_nothing() -> None:
    program = (
        "import sys\n"
        "from bot.cli import main\n"
        "code = main(['doctor', '--db', 'bot.db'])\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = process(start=("-c", program))
    assert done.lines("FAIL database: there is none at bot.db")
    assert {"matplotlib", "yfinance", "telegram"}.isdisjoint(done.err.split())


def test_keys_in_a_configuration_that_others_may_read_are_noted(bot: Call) -> None:
    file = Path("bot.toml")
    file.write_text('[heartbeat]\nurl = "https://hc-ping.com/your-uuid"\n')
    open_to = "others may read the keys or passwords in its addresses; run chmod 600 on it"
    for mode, said in (
        (0o600, "ok   config: bot.toml is valid"),
        (0o640, f"note config: bot.toml is valid, but {open_to}"),
    ):
        file.chmod(mode)
        assert bot("doctor", "--offline", "--config", file).lines("config:") == [said]
    file.write_text("")
    assert bot("doctor", "--offline", "--config", file).lines("ok   config:")
