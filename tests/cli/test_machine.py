from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.cli import machine, online
from bot.cli.health import examine
from bot.cli.machine import FAIL, LONGEST_PAUSE, NOTE, OK, Finding, backups, clock, disk, quick
from bot.cli.online import telegram
from bot.config import Config
from bot.copies import FAILING, file_of
from bot.jobs.tick import TICK_SECONDS
from storage import sources
from storage.db import hold_lock, open_database
from tests.cli.conftest import Call, process
from tests.fakes.website import Answer, Website, page

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "123456789:" + "A" * 35
NOW = dt.datetime(2026, 11, 20, 22, tzinfo=dt.UTC)
ME = '{"ok": true, "result": {"id": 1, "is_bot": true, "first_name": "B", "username": "my_bot"}}'
DAY = dt.date(2026, 11, 20)


@pytest.fixture
def config() -> Config:
    return Config().with_keys(storage={"database": Path("bot.db")})


@pytest.fixture
def site() -> Iterator[Website]:
    with Website() as opened:
        yield opened


def asked(site: Website, answer: Answer) -> list[Finding]:
    """Findings on a token that is tried, when this is the answer."""
    site.pages[f"/bot{TOKEN}/getMe"] = answer
    return list(
        telegram(Config().with_keys(telegram={"token": TOKEN, "base_url": site.address}), online=True)
    )


def http_date(seconds: float) -> str:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return f"{moment:%a, %d %b %Y %H:%M:%S} GMT"


# Token and clock, asked of Telegram


def test_a_token_that_is_taken_names_the_bot(site: Website) -> None:
    assert asked(site, page(ME)) == [Finding(OK, "token", "@my_bot answers")]


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found"])
def test_a_token_that_is_refused_fails(site: Website, status: str) -> None:
    words = f"Telegram refuses it ({status[:3]}); ask @BotFather for a valid one"
    assert asked(site, page('{"ok": false}', status)) == [Finding(FAIL, "token", words)]


@pytest.mark.parametrize("body", ["<html>", "[]", '{"ok": true}'])
def test_an_answer_that_is_not_telegrams_fails(site: Website, body: str) -> None:
    words = f"{site.address} gave no answer of Telegram's (HTTP 502); check base_url"
    assert asked(site, page(body, "502 Bad Gateway")) == [Finding(FAIL, "token", words)]


@pytest.mark.parametrize(
    ("answer", "error"), [(Answer(b""), "RemoteProtocolError"), (Answer(b"", "hang"), "ReadTimeout")]
)
def test_telegram_out_of_reach_fails_without_the_token(
    site: Website, answer: Answer, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "SECONDS", 0.2)
    words = f"{site.address} cannot be reached ({error}); check the network and base_url"
    assert asked(site, answer) == [Finding(FAIL, "token", words)]


@pytest.mark.parametrize(
    ("seconds", "mark", "words"),
    [
        (20, OK, "20 s behind Telegram's"),
        (50, OK, "50 s behind Telegram's"),
        (3600, FAIL, "3600 s behind Telegram's; set the clock, best by NTP"),
        (-3600, FAIL, "3600 s ahead of Telegram's; set the clock, best by NTP"),
    ],
)
def test_the_clock_is_compared_with_telegrams(site: Website, seconds: int, mark: str, words: str) -> None:
    _, skew = asked(site, page(ME, Date=http_date(seconds)))
    assert (skew.mark, skew.subject) == (mark, "clock's error")
    numbers = [int(word.split()[0]) for word in (skew.words, words)]
    assert abs(numbers[0] - numbers[1]) <= 5  # a busy machine takes its time
    assert skew.words.split()[3:] == words.split()[3:]


def test_a_date_that_is_none_says_nothing(site: Website) -> None:
    assert len(asked(site, page(ME, Date="soon"))) == 1


def test_offline_and_without_a_token_nobody_is_asked(site: Website) -> None:
    given = Config().with_keys(telegram={"token": TOKEN, "base_url": site.address})
    assert list(telegram(given, online=False)) == [Finding(OK, "token", "given; not tried (--offline)")]
    none = Finding(NOTE, "token", "none given, which “run” needs; see [telegram] in the config")
    assert list(telegram(given.with_keys(telegram={"token": ""}), online=True)) == [none]
    assert site.asked == []


def test_the_command_asks_unless_it_is_told_not_to(bot: Call, site: Website) -> None:
    site.pages[f"/bot{TOKEN}/getMe"] = page('{"ok": false}', "401 Unauthorized")
    lines = [f'[telegram]\ntoken = "{TOKEN}"\nbase_url = "{site.address}"', '[storage]\ndatabase = "bot.db"']
    Path("config.toml").write_text("\n".join(lines))
    Path("config.toml").chmod(0o600)
    bot("check", "--offline", "--db", "bot.db")
    refused = bot("doctor", "--config", "config.toml")
    assert refused.code == 1
    assert refused.lines("FAIL") == ["FAIL token: Telegram refuses it (401); ask @BotFather for a valid one"]
    for switch in ("--offline", "--quick"):
        assert bot("doctor", switch, "--config", "config.toml").code == 0
    assert len(site.asked) == 1


# The machine


def test_the_time_is_told_in_the_configured_zone(config: Config) -> None:
    assert clock(config.with_keys(time={"timezone": "Asia/Tokyo"}), NOW) == Finding(
        OK, "clock", "2026-11-21 07:00 in Asia/Tokyo"
    )


def test_a_database_of_the_future_tells_of_a_clock_that_is_wrong(config: Config) -> None:
    Path("bot.db").touch()
    for hours, mark in ((0, OK), (3, FAIL)):
        os.utime("bot.db", (0, (NOW + dt.timedelta(hours=hours)).timestamp()))
        assert clock(config, NOW).mark == mark
    assert clock(config, NOW).words == (
        "2026-11-20 17:00 in America/New_York, but the database was written later than that, "
        "at 2026-11-21 01:00 UTC; set the clock"
    )


@pytest.mark.parametrize("name", ["bot.db", ""])
def test_what_cannot_be_written_is_named(
    config: Config, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bot.db").touch()
    assert disk(config.storage.database).mark == OK
    closed = Path(name) if name else tmp_path
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and real(path, mode))
    words = f"{closed} cannot be written; check whose it is, and whether the disk is read-only"
    assert disk(config.storage.database) == Finding(FAIL, "disk", words)


# Backups


def copies(config: Config, *ages: int) -> None:
    config.backups.mkdir(exist_ok=True)
    for age in ages:
        file_of(config, DAY - dt.timedelta(days=age)).touch()


@pytest.mark.parametrize(
    ("ages", "runs", "mark", "words"),
    [
        ((0, 1, 2), True, OK, "backups/bot-2026-11-20.db, 0 days old, one of 3"),
        ((1,), True, OK, "backups/bot-2026-11-19.db, 1 day old, one of 1"),
        ((2,), True, OK, "backups/bot-2026-11-18.db, 2 days old, one of 1"),
        (
            (3,),
            True,
            FAIL,
            "backups/bot-2026-11-17.db, 3 days old, one of 1; the nightly ones fail, look at the bot's log",
        ),
        ((3,), False, NOTE, "backups/bot-2026-11-17.db, 3 days old, one of 1; make one with “backup”"),
    ],
)
def test_the_age_of_the_newest_backup_counts(
    config: Config, ages: tuple[int, ...], runs: bool, mark: str, words: str
) -> None:
    copies(config, *ages)
    assert backups(config, NOW, None, runs=runs) == Finding(mark, "backups", words)


def test_a_copy_of_the_future_hides_no_failing_nights(config: Config) -> None:
    copies(config, -1)
    assert backups(config, NOW, None, runs=True).words == "backups/bot-2026-11-21.db, 0 days old, one of 1"
    copies(config, -1500)
    assert backups(config, NOW + dt.timedelta(days=6), None, runs=True) == Finding(
        FAIL,
        "backups",
        "backups/bot-2026-11-21.db, 5 days old, one of 1; the nightly ones fail, look at the bot's log",
    )


@pytest.mark.parametrize(("days", "mark"), [(2, NOTE), (3, FAIL)])
def test_backups_that_fail_from_the_first_night_on_are_found(config: Config, days: int, mark: str) -> None:
    since = NOW - dt.timedelta(days=days)
    words = f"none in backups, they fail since {since:%Y-%m-%d}; look at the bot's log"
    assert backups(config, NOW, since, runs=True) == Finding(mark, "backups", words)


def test_what_the_bot_notes_of_its_backups_is_read(config: Config) -> None:
    with open_database("bot.db") as database:
        database.run_sync(lambda db: sources.beat(db, NOW))
        database.run_sync(lambda db: sources.set_meta(db, FAILING, "2026-11-10T22:00:00Z"))
    with hold_lock("bot.db"):
        found = [list(quick(config, NOW)), list(examine(config, None, NOW))]
    words = "none in backups, they fail since 2026-11-10; look at the bot's log"
    assert [findings[-1] for findings in found] == [Finding(FAIL, "backups", words)] * 2


def test_no_backup_is_a_note(config: Config) -> None:
    none = "none in backups yet; the running bot makes one a night, “backup” makes one now"
    assert backups(config, NOW, None, runs=True) == Finding(NOTE, "backups", none)
    off = backups(config.with_keys(backup={"enabled": False}), NOW, None, runs=True)
    assert off == Finding(NOTE, "backups", "switched off; see [backup] in the config")


def test_a_folder_of_backups_that_cannot_be_read_fails(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine, "kept", refuse)
    assert backups(config, NOW, None, runs=True) == Finding(
        FAIL, "backups", "backups cannot be read (Permission denied)"
    )


# The quick form


def test_quick_finds_what_a_health_check_needs(config: Config) -> None:
    (*_, missing, copies) = quick(config, NOW)
    assert missing == Finding(
        FAIL,
        "database",
        "there is none at bot.db; “run”, “chat” or “import” makes it, “restore” puts a backup there",
    )
    assert copies.subject == "backups"
    with open_database("bot.db") as database:
        database.run_sync(lambda db: sources.beat(db, NOW))
    os.utime("bot.db", (0, NOW.timestamp()))
    with hold_lock("bot.db"):
        late = NOW + dt.timedelta(seconds=LONGEST_PAUSE)
        assert [f"{each.mark} {each.subject}" for each in quick(config, late)] == [
            "ok disk",
            "ok clock",
            "FAIL bot",
            "note backups",
        ]
    Path("bot.db").write_text("no database at all\n" * 100)
    (*_, broken, copies) = quick(config, NOW)
    assert copies.subject == "backups"
    assert broken == Finding(
        FAIL,
        "database",
        "bot.db is not a database of this program; name another file, e.g. --db bot.sqlite3.",
    )


def test_ten_ticks_may_be_missed() -> None:
    assert LONGEST_PAUSE == 10 * TICK_SECONDS


def test_quick_loads_neither_telegram_nor_the_calendar() -> None:
    heavy = {"telegram", "exchange_calendars", "matplotlib", "yfinance", "httpx"}
    code = (
        f"import sys; from bot.cli import main; main(sys.argv[1:]); print(sorted({heavy} & set(sys.modules)))"
    )
    done = process("doctor", "--quick", "--db", "bot.db", start=("-c", code))
    assert done.out.splitlines()[-1] == "[]"
    assert "telegram" in sys.modules  # so that the name is right
