import datetime as dt
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import sqlite_utils

import storage.database
from bot import __version__
from bot.analytics.sessions import Sessions
from bot.cli import doctor
from bot.cli.console import open_exclusively
from bot.cli.doctor import (
    FAIL,
    LONGEST_SILENCE,
    NOTE,
    OK,
    Finding,
    all_checks,
    check_backups,
    check_clock,
    check_disk,
    check_telegram,
    quick_checks,
)
from bot.config import Config
from bot.data.provider import Observations
from bot.data.store import store
from bot.jobs.backup_files import FAILING, backup_file
from bot.jobs.scheduler import TICK_SECONDS
from bot.pair import DEFAULT_PAIR
from storage import chat_store, outbox, sources
from storage.database import SQLITE_VERSION, hold_lock, open_database
from storage.migrations import NAMES
from storage.records import Bar, FundFacts, set_meta
from tests.cli.conftest import Call, process
from tests.fakes.website import Answer, Website, page
from tests.fakes.yahoo import FakeYahoo
from tests.storage.messages import queue_message

TOKEN = "123456789:" + "A" * 35
NOW = dt.datetime(2026, 11, 20, 22, tzinfo=dt.UTC)
ME = '{"ok": true, "result": {"id": 1, "is_bot": true, "first_name": "B", "username": "my_bot"}}'
DAY = dt.date(2026, 11, 20)


@pytest.fixture(autouse=True)
def no_source_is_asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "fake_sources" not in request.fixturenames:
        monkeypatch.setattr(doctor, "ask_sources", lambda *_: iter(()))


@pytest.fixture
def fake_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeYahoo]:
    folder = tmp_path / "authority"
    folder.mkdir()
    with FakeYahoo(folder) as sources_on_loopback:
        for name, value in sources_on_loopback.environment.items():
            monkeypatch.setenv(name, value)
        yield sources_on_loopback


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
    return list(check_telegram(Config().with_keys(telegram={"token": TOKEN, "base_url": site.address}), online=True))


def http_date(seconds: float) -> str:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return f"{moment:%a, %d %b %Y %H:%M:%S} GMT"


# Token and clock, asked of Telegram


REFUSED = "Telegram refuses it ({}); ask @BotFather for a valid one"
UNLIKE = "{site} did not answer as Telegram does (HTTP 502); check base_url"
UNREACHED = "{{site}} cannot be reached ({}); check the network and base_url"


@pytest.mark.parametrize(
    ("answer", "mark", "words"),
    [
        (page(ME), OK, "@my_bot answers"),
        (page('{"ok": false}', "401 Unauthorized"), FAIL, REFUSED.format(401)),
        (page('{"ok": false}', "404 Not Found"), FAIL, REFUSED.format(404)),
        (page("<html>", "502 Bad Gateway"), FAIL, UNLIKE),
        (page("[]", "502 Bad Gateway"), FAIL, UNLIKE),
        (page('{"ok": true}', "502 Bad Gateway"), FAIL, UNLIKE),
        (Answer(b""), FAIL, UNREACHED.format("RemoteProtocolError")),
        (Answer(b"", "hang"), FAIL, UNREACHED.format("ReadTimeout")),
    ],
)
def test_a_token_is_tried(
    site: Website, answer: Answer, mark: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "REQUEST_SECONDS", 0.2 if answer == Answer(b"", "hang") else 10.0)
    assert asked(site, answer) == [Finding(mark, "token", words.format(site=site.address))]


@pytest.mark.parametrize(
    ("seconds", "mark", "words"),
    [
        (20, OK, "20 s behind Telegram's"),
        (50, OK, "50 s behind Telegram's"),
        (3600, FAIL, "3600 s behind Telegram's; set the clock, e.g. by NTP"),
        (-3600, FAIL, "3600 s ahead of Telegram's; set the clock, e.g. by NTP"),
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
    assert list(check_telegram(given, online=False)) == [Finding(OK, "token", "set; not tried (--offline)")]
    none = Finding(NOTE, "token", "not set; “run” needs one, see [telegram] in the config")
    assert list(check_telegram(given.with_keys(telegram={"token": ""}), online=True)) == [none]
    assert site.asked == []


def test_the_command_asks_unless_it_is_told_not_to(bot: Call, site: Website) -> None:
    site.pages[f"/bot{TOKEN}/getMe"] = page('{"ok": false}', "401 Unauthorized")
    lines = [f'[telegram]\ntoken = "{TOKEN}"\nbase_url = "{site.address}"', '[storage]\ndatabase = "bot.db"']
    Path("config.toml").write_text("\n".join(lines))
    Path("config.toml").chmod(0o600)
    bot("chat", "--offline", "--db", "bot.db")
    refused = bot("doctor", "--config", "config.toml")
    assert refused.code == 1
    assert refused.lines("FAIL") == ["FAIL token: Telegram refuses it (401); ask @BotFather for a valid one"]
    for switch in ("--offline", "--quick"):
        assert bot("doctor", switch, "--config", "config.toml").code == 0
    assert len(site.asked) == 1


# The machine


def test_the_time_is_told_in_the_configured_zone(config: Config) -> None:
    assert check_clock(config.with_keys(time={"timezone": "Asia/Tokyo"}), NOW) == Finding(
        OK, "clock", "2026-11-21 07:00 in Asia/Tokyo"
    )


def test_a_database_of_the_future_tells_of_a_clock_that_is_wrong(config: Config) -> None:
    Path("bot.db").touch()
    for hours, mark in ((0, OK), (3, FAIL)):
        os.utime("bot.db", (0, (NOW + dt.timedelta(hours=hours)).timestamp()))
        assert check_clock(config, NOW).mark == mark
    assert check_clock(config, NOW).words == (
        "2026-11-20 17:00 in America/New_York, but the database was written later than that, "
        "at 2026-11-21 01:00 UTC; set the clock"
    )


@pytest.mark.parametrize("name", ["bot.db", ""])
def test_what_cannot_be_written_is_named(
    config: Config, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bot.db").touch()
    assert check_disk(config.storage.database).mark == OK
    closed = Path(name) if name else tmp_path
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and real(path, mode))
    words = f"{closed} cannot be written; check its owner, and whether the disk is read-only"
    assert check_disk(config.storage.database) == Finding(FAIL, "disk", words)


# Backups


def copies(config: Config, *ages: int) -> None:
    config.backups.mkdir(exist_ok=True)
    for age in ages:
        backup_file(config, DAY - dt.timedelta(days=age)).touch()


OLD = "backups/bot-2026-11-17.db, made 3 days ago, 1 kept"
NONE = "none in backups yet; the running bot makes one a night, “backup” makes one now"
FAILED = "none in backups; they have failed since {}; look at the bot's log"


@pytest.mark.parametrize(
    ("ages", "failing", "runs", "mark", "words"),
    [
        ((0, 1, 2), None, True, OK, "backups/bot-2026-11-20.db, made today, 3 kept"),
        ((1,), None, True, OK, "backups/bot-2026-11-19.db, made 1 day ago, 1 kept"),
        ((2,), None, True, OK, "backups/bot-2026-11-18.db, made 2 days ago, 1 kept"),
        ((3,), None, True, FAIL, f"{OLD}; the nightly ones fail, look at the bot's log"),
        ((3,), None, False, NOTE, f"{OLD}; make one with “backup”"),
        ((), None, True, NOTE, NONE),
        ((), 2, True, NOTE, FAILED.format("2026-11-18")),
        ((), 3, True, FAIL, FAILED.format("2026-11-17")),
    ],
)
def test_the_age_of_the_newest_backup_counts(
    config: Config, ages: tuple[int, ...], failing: int | None, runs: bool, mark: str, words: str
) -> None:
    copies(config, *ages)
    since = None if failing is None else NOW - dt.timedelta(days=failing)
    assert check_backups(config, NOW, since, runs=runs) == Finding(mark, "backups", words)


def test_a_copy_of_the_future_hides_no_failing_nights(config: Config) -> None:
    copies(config, -1)
    assert check_backups(config, NOW, None, runs=True).words == "backups/bot-2026-11-21.db, made today, 1 kept"
    copies(config, -1500)
    assert check_backups(config, NOW + dt.timedelta(days=6), None, runs=True) == Finding(
        FAIL,
        "backups",
        "backups/bot-2026-11-21.db, made 5 days ago, 1 kept; the nightly ones fail, look at the bot's log",
    )


def test_what_the_bot_notes_of_its_backups_is_read(config: Config) -> None:
    with open_database("bot.db") as database:
        database.run_sync(lambda db: sources.record_heartbeat(db, NOW))
        database.run_sync(lambda db: set_meta(db, FAILING, "2026-11-10T22:00:00Z"))
    with hold_lock("bot.db"):
        found = [list(quick_checks(config, NOW)), list(all_checks(config, None, NOW))]
    finding = Finding(FAIL, "backups", FAILED.format("2026-11-10"))
    assert [findings[-1] for findings in found] == [finding] * 2


def test_backups_that_are_switched_off_are_a_note(config: Config) -> None:
    off = check_backups(config.with_keys(backup={"enabled": False}), NOW, None, runs=True)
    assert off == Finding(NOTE, "backups", "switched off; see [backup] in the config")


def test_a_folder_of_unreadable_backups_fails(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor, "dated_backups", refuse)
    assert check_backups(config, NOW, None, runs=True) == Finding(
        FAIL, "backups", "backups cannot be read (Permission denied)"
    )


# The quick form


def test_quick_finds_what_a_health_check_needs(config: Config) -> None:
    assert LONGEST_SILENCE == 10 * TICK_SECONDS
    (*_, missing, copies) = quick_checks(config, NOW)
    assert missing == Finding(
        FAIL, "database", "there is none at bot.db; “run”, “chat” or “import” creates it, “restore” restores a backup"
    )
    assert copies.subject == "backups"
    with open_database("bot.db") as database:
        database.run_sync(lambda db: sources.record_heartbeat(db, NOW))
    os.utime("bot.db", (0, NOW.timestamp()))
    with hold_lock("bot.db"):
        late = NOW + dt.timedelta(seconds=LONGEST_SILENCE)
        assert [f"{each.mark} {each.subject}" for each in quick_checks(config, late)] == [
            "ok disk",
            "ok clock",
            "FAIL bot",
            "note backups",
        ]
    Path("bot.db").write_text("no database at all\n" * 100)
    (*_, broken, copies) = quick_checks(config, NOW)
    assert copies.subject == "backups"
    assert broken.mark == FAIL
    assert broken.words.startswith("bot.db is no database, or damaged at its start; ")


def test_doctor_offline_draws_and_downloads_nothing_and_its_quick_form_loads_little() -> None:
    program = (
        "import sys\n"
        "from bot.cli import main\n"
        "for form in (['--quick'], ['--offline']):\n"
        "    code = main(['doctor', '--db', 'bot.db', *form])\n"
        "    loaded = [name for name, module in sys.modules.items() if module]\n"
        "    print(*{name.split('.')[0] for name in loaded}, file=sys.stderr)\n"
    )
    done = process(start=("-c", program))
    assert len(done.lines("FAIL database: there is none at bot.db")) == 2
    quick, whole = (set(line.split()) for line in done.err.splitlines())
    assert {"pandas", "httpx", "matplotlib", "telegram", "yfinance"}.isdisjoint(quick)
    assert {"matplotlib", "telegram", "yfinance"}.isdisjoint(whole)
    assert "pandas" in whole  # so that the names are right


def test_an_import_of_prices_loads_no_more_than_it_needs() -> None:
    Path("two.csv").write_text("date,close,stock splits\n2020-10-05,1.5,0\n2020-10-06,0.8,2\n")
    program = (
        "import sys\n"
        "from bot.cli import main\n"
        "for fund in ('IWM', 'SPY'):\n"
        "    main(['import', 'prices', 'two.csv', '--ticker', fund, '--db', 'bot.db'])\n"
        "print(*{name.split('.')[0] for name, module in sys.modules.items() if module}, file=sys.stderr)\n"
    )
    done = process(start=("-c", program))
    assert len(done.lines("bars: 2 new")) == 2
    loaded = set(done.err.splitlines()[-1].split())
    assert {"pandas", "numpy", "httpx", "telegram", "yfinance"}.isdisjoint(loaded)
    assert "msgspec" in loaded  # so that the names are right


STAMP = "2026-11-20T22:00:00Z"
SESSIONS = Sessions()


def write(change: Callable[[sqlite_utils.Database], object]) -> None:
    """Change the database, which is made if there is none."""
    with open_database("bot.db") as database:
        database.run_sync(change)


def found(subject: str, now: dt.datetime = NOW) -> Finding:
    """The one finding on a subject."""
    config = Config().with_keys(storage={"database": Path("bot.db")})
    (finding,) = (each for each in all_checks(config, None, now) if each.subject == subject)
    return finding


def store_closes(*days: str) -> None:
    rows = [Bar(ticker, day, 1.0) for day in days for ticker in ("IWM", "SPY")]
    write(lambda db: store(db, {"bars": rows}, source="csv", observed_at=STAMP))


def test_a_new_installation_is_well_but_for_its_database(bot: Call, tmp_path: Path) -> None:
    before = bot("doctor", "--db", "bot.db")
    assert before.code == 1
    assert before.out.splitlines()[-2:] == [
        ("FAIL database: there is none at bot.db; “run”, “chat” or “import” creates it, “restore” restores a backup"),
        "note backups: none in backups yet; the running bot makes one a night, “backup” makes one now",
    ]
    assert list(tmp_path.iterdir()) == []
    bot("chat", "--offline", "--db", "bot.db")
    after = bot("doctor", "--db", "bot.db")
    assert (after.code, after.err) == (0, "")
    lines = after.out.splitlines()
    assert lines[:2] == [
        "ok   config: no file given; the defaults apply",
        "note token: not set; “run” needs one, see [telegram] in the config",
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
        "ok   restatements: Restated in the last 30 days: nothing over 1 bp",
        "ok   bot: not running",
        "ok   queue: 0 waiting, 0 given up",
        "note backups: none in backups yet; the running bot makes one a night, “backup” makes one now",
    ]


def test_each_source_is_asked_once_and_nothing_is_stored(bot: Call, fake_sources: FakeYahoo) -> None:
    Path("config.toml").write_text('[storage]\ndatabase = "bot.db"\n[sources]\nyahoo = false\n')
    call = ("doctor", "--config", "config.toml")

    def told() -> list[str]:
        return bot(*call).lines("asked issuer file, ")

    assert [line.partition(": ")[0] for line in told()] == [
        f"note asked issuer file, {file}"
        for file in ("IWM fund", "SPY fund", "IWM holdings", "SPY holdings", "SPY distributions")
    ]
    name = f"small-versus-large-bot/{__version__}"
    spy = DEFAULT_PAIR.large
    assert told()[1] == (
        f"note asked issuer file, SPY fund: No data: refused (HTTP 403 to “{name}”); download "
        f"{spy.issuer_file} in a browser and run: python -m bot import issuer FILE --config config.toml."
    )
    assert not Path("bot.db").exists()
    bot("refresh", "--config", "config.toml")
    before = Path("bot.db").read_bytes()
    asked_so_far = len(fake_sources.asked)
    assert [line for line in told() if ", not again before " in line] == told()
    assert (len(fake_sources.asked), Path("bot.db").read_bytes()) == (asked_so_far, before)
    assert bot(*call, "--offline").lines("asked issuer") == []


def test_what_the_library_of_a_source_warns_about_is_left_to_the_findings(bot: Call) -> None:
    logging.getLogger("yfinance").setLevel(logging.NOTSET)
    bot("doctor", "--offline")
    assert not logging.getLogger("yfinance").isEnabledFor(logging.ERROR)


def test_a_healthy_bot_is_well(bot: Call) -> None:
    store_closes("2026-11-19", "2026-11-20")
    with open_exclusively(Path("bot.db"), DEFAULT_PAIR):
        assert bot("doctor", "--db", "bot.db").code == 0
        assert found("bot", dt.datetime.now(dt.UTC)).mark == OK
    assert found("data") == Finding(OK, "data", "prices to 2026-11-20, current; CSV import")


@pytest.mark.parametrize(("owner", "said"), [(None, 1), (7, 0)])
def test_a_bot_on_telegram_without_an_owner_is_a_note(owner: int | None, said: int) -> None:
    config = Config().with_keys(
        storage={"database": Path("bot.db")}, telegram={"token": "1:" + "A" * 35}, access={"owner": owner}
    )
    notes = [each for each in all_checks(config, None, NOW) if each.subject == "owner"]
    words = "nobody is notified when something needs attention; see [access] owner in the config"
    assert notes == [Finding(NOTE, "owner", words)] * said


@pytest.mark.parametrize(("seconds", "mark"), [(0, OK), (299, OK), (300, FAIL), (86_400, FAIL)])
def test_a_bot_whose_tick_stands_still_is_not_well(seconds: int, mark: str) -> None:
    write(lambda db: sources.record_heartbeat(db, STAMP))
    later = NOW + dt.timedelta(seconds=seconds)
    assert found("bot", later) == Finding(OK, "bot", "not running")
    with hold_lock("bot.db"):
        words = f"running, last tick {seconds} s ago"
        todo = "" if mark == OK else "; look at its log and start it again"
        assert found("bot", later) == Finding(mark, "bot", f"{words}{todo}")


def test_a_bot_before_its_first_tick_is_starting() -> None:
    write(lambda _: None)
    with hold_lock("bot.db"):
        assert found("bot") == Finding(OK, "bot", "starting, no tick yet")


def test_a_bot_started_after_a_pause_has_a_heartbeat_at_once() -> None:
    write(lambda db: sources.record_heartbeat(db, "2020-01-01T00:00:00Z"))
    with open_exclusively(Path("bot.db"), DEFAULT_PAIR):
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
    rows = [Bar(ticker, "2026-11-20", 1.0) for ticker in ("IWM", "SPY")]
    write(lambda db: store(db, {"bars": rows}, source="sample", observed_at=STAMP))
    assert found("data").words.endswith("; sample data")


def fail_source(outcome: str, detail: str, until: dt.datetime | None = None) -> None:
    """Record that Yahoo gave no prices of IWM."""
    record = partial(sources.record_failure, outcome=outcome, detail=detail, breaker_until=until)
    write(lambda db: record(db, "yahoo", "IWM prices", now=STAMP))


def test_a_source_that_fails_is_a_note() -> None:
    fail_source("NetworkDown", "No data: no answer in time.")
    record = partial(sources.record_success, session="2026-11-20", outcome="Ok", detail="1 price.")
    write(lambda db: record(db, "yahoo", "SPY prices", now=STAMP))
    failed = (
        "no success yet; no session yet; next try Fri 20 Nov 2026, 17:05 New York; "
        "failed 1x: No data: no answer in time"
    )
    assert found("source Yahoo, IWM prices") == Finding(NOTE, "source Yahoo, IWM prices", failed)
    well = "last success Fri 20 Nov 2026, 17:00; last session 20 Nov 2026; next try Mon 23 Nov 2026, 16:15 New York"
    assert found("source Yahoo, SPY prices") == Finding(OK, "source Yahoo, SPY prices", well)


def test_a_source_that_asked_to_slow_down_is_a_note_with_its_end() -> None:
    fail_source("RateLimited", "429.", NOW + dt.timedelta(minutes=15))
    finding = found("source Yahoo, IWM prices")
    assert finding.mark == NOTE
    assert finding.words.endswith(
        "next try Fri 20 Nov 2026, 17:15 New York; failed 1x: 429; not asked until Fri 20 Nov 2026, 17:15"
    )


def test_flags_disagreements_and_restatements_are_told() -> None:
    days = [f"{day:%Y-%m-%d}" for day in SESSIONS.between(pd.Timestamp("2026-10-01"), pd.Timestamp("2026-11-20"))]
    counts = [*(1e6 * (250 + number) for number in range(len(days) - 1)), 1e6 * (250 + len(days)) + 12_300]

    def say(source: str, rows: Observations, at: str = STAMP) -> None:
        write(lambda db: store(db, rows, source=source, observed_at=at))

    say("yahoo", {"bars": [Bar("IWM", day, 100.0) for day in days]})
    say("csv", {"bars": [Bar("IWM", day, 101.0) for day in days]})
    say("yahoo", {"bars": [Bar("IWM", days[-1], 102.0)]}, "2026-11-20T22:01:00Z")
    facts = [FundFacts("IWM", day, 100.0, count) for day, count in zip(days, counts, strict=True)]
    say("issuer", {"fund_facts": facts})
    assert found("sources of prices") == Finding(
        NOTE,
        "sources of prices",
        "IWM: CSV import disagrees with Yahoo on 37 of 37 sessions, worst 1 Oct 2026 by 100 bp; it fills no gaps",
    )
    assert found("share counts") == Finding(
        NOTE, "share counts", "IWM flags on the last 20 share counts: LOT 20 Nov 2026"
    )
    assert found("restatements").words == "IWM 20 Nov 2026 close 100 → 102 (+200.0 bp), Yahoo"


def test_messages_that_wait_or_were_given_up_are_counted() -> None:
    body = outbox.MessageBody("news")
    for number in range(3):
        key = f"{number}"
        write(partial(queue_message, chat_id=5, kind="alert", dedup=key, body=body, now=STAMP))
    write(lambda db: db.execute("UPDATE outbox SET status = 'dead', reason = 'x' WHERE id = 1"))
    assert found("queue") == Finding(NOTE, "queue", "2 waiting, 1 given up")


def test_chats_that_refuse_messages_are_named() -> None:
    for chat_id in range(5):
        write(partial(chat_store.ensure_chat, chat_id=chat_id, kind="group", title="", now=STAMP))
        sleep = partial(chat_store.put_to_sleep, reason="Chat not found", now=NOW, next_try=NOW)
        write(partial(sleep, chat_id=chat_id))
    words = f"refused the last message, on {NOW:%Y-%m-%d}: Chat not found"
    assert found("chat 0") == Finding(NOTE, "chat 0", words)
    assert found("chats").words == "2 more refused the last message"


def test_a_full_disk_and_an_ending_calendar_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 2**80)
    disk, calendar = found("disk"), found("calendar", NOW + dt.timedelta(days=400))
    assert (disk.mark, calendar.mark) == (FAIL, FAIL)
    assert disk.words.endswith("; free some, or move [storage] database to another disk")
    assert calendar.words.endswith("; install a newer version, or set the clock")


def test_an_old_sqlite_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("sqlite") == Finding(OK, "sqlite", f"version {SQLITE_VERSION}")
    monkeypatch.setattr(doctor, "TWO_WRITERS_SAFE", False)
    words = (
        f"version {SQLITE_VERSION} has the WAL-reset bug; stop the bot before import, refresh and backup, "
        "or install SQLite 3.51.3 or later"
    )
    assert found("sqlite") == Finding(NOTE, "sqlite", words)


def test_what_the_integrity_check_finds_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    write(lambda _db, **_: None)
    assert found("database") == Finding(OK, "database", f"bot.db is sound, its schema is {max(NAMES)}")
    monkeypatch.setattr(storage.database, "integrity_check", lambda _db, **_: ["one", "two"])
    assert found("database") == Finding(
        FAIL, "database", "bot.db is damaged (one); restore a backup in its place (python -m bot restore FILE)."
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
    copy = backup_file(Config().with_keys(storage={"database": Path("bot.db")}), dt.date(2020, 1, 1))
    copy.parent.mkdir()
    copy.touch()
    garbled = bot("doctor", "--db", "bot.db").out.splitlines()
    assert garbled[-2] == (
        "FAIL database: bot.db is no database, or damaged at its start; name another, e.g. "
        "--db bot.db, or restore a backup in its place "
        "(python -m bot restore backups/bot-2020-01-01.db --db bot.db)."
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


def test_keys_in_a_configuration_that_others_may_read_are_noted(bot: Call) -> None:
    file = Path("bot.toml")
    file.write_text('[heartbeat]\nurl = "https://hc-ping.com/your-uuid"\n')
    open_to = "others may read the keys or passwords in its URLs; run chmod 600 on it"
    for mode, said in (
        (0o600, "ok   config: bot.toml is valid"),
        (0o640, f"note config: bot.toml is valid, but {open_to}"),
    ):
        file.chmod(mode)
        assert bot("doctor", "--offline", "--config", file).lines("config:") == [said]
    file.write_text("")
    assert bot("doctor", "--offline", "--config", file).lines("ok   config:")
