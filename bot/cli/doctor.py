"""The command doctor: checks everything and says what to do.

`--quick` runs only the checks that a health check needs. They cost next to nothing: what the others need is
imported when they run.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.cli.console import log_briefly, refuse_other_pair, refuse_reserved, say, spinner
from bot.errors import BotError, ConfigError
from bot.jobs.backup_files import dated_backups, failing_since, refuse_lost_database, with_restore_command
from bot.secrets import is_readable_by_others, token_secret
from bot.text import counted
from storage import chat_store, outbox, sources
from storage.database import (
    SQLITE_VERSION,
    TWO_WRITERS_SAFE,
    DatabaseMissing,
    StorageError,
    is_locked,
    open_database,
    refuse_lost,
    refuse_unsound,
)
from storage.records import Row, insert, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import httpx

    from bot.analytics.market import Market
    from bot.analytics.sessions import Sessions
    from bot.config import Config
    from bot.pair import Pair
    from storage.database import Database


LEAST_DISK = 100 * 2**20  # bytes: room for a year of growth and the write-ahead log
LONGEST_SILENCE = 300  # seconds: ten ticks
OLDEST_BACKUP = dt.timedelta(days=2)  # one night may fail
LEAST_CALENDAR = 30  # days for which sessions are known ahead
REQUEST_SECONDS = 10.0
LARGEST_CLOCK_ERROR = 60  # seconds: what is due by the minute is still on time
# A file that is newer by more than this was written before the clock was set back.
_CLOCK_SLACK = dt.timedelta(minutes=5)
_REFUSED = (401, 404)
_CHATS_NAMED = 3
# A note is worth knowing, but needs no repair.
OK, NOTE, FAIL = "ok", "note", "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`."""

    mark: str
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.mark:4} {self.subject}: {self.words}"


def _measured(is_well: bool, subject: str, words: str, advice: str) -> Finding:
    return Finding(OK, subject, words) if is_well else Finding(FAIL, subject, f"{words}; {advice}")


def doctor(config: Config, *, config_file: Path | None, offline: bool, quick: bool) -> int:
    """`doctor`: print one line for each check. Returns 1 if one fails, else 0."""
    log_briefly()
    now, code = dt.datetime.now(dt.UTC), 0
    whole = partial(all_checks, config_file=config_file, online=not offline)
    for finding in (quick_checks if quick else whole)(config, now=now):
        say(str(finding))
        code = 1 if finding.mark == FAIL else code
    return code


def quick_checks(config: Config, now: dt.datetime) -> Iterator[Finding]:
    """Check disk, clock and backups, that the database can be read, and that the bot ticks."""
    yield check_disk(config.storage.database)
    yield check_clock(config, now)
    yield from _database_and_backups(config, now, lambda database: [check_running(database, now)], refuse_lost)


def all_checks(
    config: Config, config_file: Path | None, now: dt.datetime, *, online: bool = False
) -> Iterator[Finding]:
    """Check everything. If the database cannot be opened, the reason stands for the checks of it."""
    from bot.analytics.sessions import Sessions  # noqa: PLC0415 - late: the quick form does without

    sessions = Sessions(config.calendar.closed)

    def check_contents(database: Database) -> Iterator[Finding]:
        yield from check_database(database, config, sessions, now)
        yield check_running(database, now)
        yield check_queue(database)
        yield from check_chats(database)

    yield check_config_file(config, config_file)
    yield from check_telegram(config, online=online)
    yield from check_owner(config)
    yield from check_pair(config.pair)
    yield check_clock(config, now)
    yield check_sqlite()
    yield check_calendar(sessions, now)
    yield check_disk(config.storage.database)
    yield from _database_and_backups(config, now, check_contents, partial(refuse_unsound, whole=True))
    if online:
        yield from ask_sources(config, sessions, now)


def _database_and_backups(
    config: Config,
    now: dt.datetime,
    check_contents: Callable[[Database], Iterable[Finding]],
    check: Callable[[Path], None],
) -> Iterator[Finding]:
    """Check the database and then its backups, for which it says since when they fail."""
    path, failing = config.storage.database, None
    try:
        refuse_lost_database(config, check)
        with open_database(path, read_only=True) as database:
            failing = database.run_sync(failing_since)
            database.run_sync(partial(refuse_other_pair, pair=config.pair))
            yield from check_contents(database)
    except DatabaseMissing:
        words = f"there is none at {path}; “run”, “chat” or “import” creates it, “restore” restores a backup"
        yield Finding(FAIL, "database", words)
    except StorageError as error:
        yield Finding(FAIL, "database", with_restore_command(error, config))
    except BotError as error:
        yield Finding(FAIL, "database", str(error))
    yield check_backups(config, now, failing, runs=is_locked(path))


def check_config_file(config: Config, file: Path | None) -> Finding:
    """Report the file, which is valid because it was read. Warn if others may read secrets in it."""
    if file is None:
        return Finding(OK, "config", "no file given; the defaults apply")
    secrets = config.secrets - {token_secret(config.telegram.token.get_secret_value())}
    if secrets and is_readable_by_others(file):
        words = "others may read the keys or passwords in its URLs; run chmod 600 on it"
        return Finding(NOTE, "config", f"{file} is valid, but {words}")
    return Finding(OK, "config", f"{file} is valid")


def check_owner(config: Config) -> Iterator[Finding]:
    """Warn if a bot on Telegram has no owner: nobody would be told of a full disk or a failed backup."""
    if config.telegram.token and config.access.owner is None:
        words = "nobody is notified when something needs attention; see [access] owner in the config"
        yield Finding(NOTE, "owner", words)


def check_pair(pair: Pair) -> Iterator[Finding]:
    """Check that the pair can be used. Name the funds of which only the ticker is known."""
    try:
        refuse_reserved(pair)
    except ConfigError as error:
        yield from (Finding(FAIL, "pair", problem) for problem in error.problems)
    for key, fund in (("small", pair.small), ("large", pair.large)):
        if not fund.issuer_file:
            words = (
                f"no address of {fund.ticker}'s issuer is known, so its files are not fetched and flows need "
                f"an import; put name and issuer_file into [pair.{key}] of the config"
            )
            yield Finding(NOTE, "pair", words)


def check_telegram(config: Config, *, online: bool) -> Iterator[Finding]:
    """Check the token and the clock by a request to Telegram, unless offline or without a token."""
    base_url, token = config.telegram.base_url, config.telegram.token.get_secret_value()
    if not token:
        yield Finding(NOTE, "token", "not set; “run” needs one, see [telegram] in the config")
        return
    if not online:
        yield Finding(OK, "token", "set; not tried (--offline)")
        return
    import httpx  # noqa: PLC0415 - late: --quick does without

    try:
        answer = httpx.get(f"{base_url}/bot{token}/getMe", timeout=REQUEST_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # whose text may hold the token
        words = f"{base_url} cannot be reached ({type(error).__name__}); check the network and base_url"
        yield Finding(FAIL, "token", words)
    else:
        yield _token_finding(base_url, answer)
        yield from _clock_error(answer.headers.get("Date", ""))


def _token_finding(base_url: str, answer: httpx.Response) -> Finding:
    status = answer.status_code
    if status in _REFUSED:
        return Finding(FAIL, "token", f"Telegram refuses it ({status}); ask @BotFather for a valid one")
    try:
        return Finding(OK, "token", f"@{answer.json()['result']['username']} answers")
    except (ValueError, KeyError, TypeError):
        words = f"{base_url} did not answer as Telegram does (HTTP {status}); check base_url"
        return Finding(FAIL, "token", words)


def _clock_error(header: str) -> Iterator[Finding]:
    """Compare the clock with the date of the answer, if it has one."""
    try:
        telegram_time = parsedate_to_datetime(header)
    except ValueError:
        return
    seconds = round((dt.datetime.now(dt.UTC) - telegram_time.astimezone(dt.UTC)).total_seconds())
    words = f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} Telegram's"
    is_right = abs(seconds) <= LARGEST_CLOCK_ERROR
    yield _measured(is_right, "clock's error", words, "set the clock, e.g. by NTP")


def check_sqlite() -> Finding:
    """Check whether two programs may write to the database at once."""
    if TWO_WRITERS_SAFE:
        return Finding(OK, "sqlite", f"version {SQLITE_VERSION}")
    words = (
        f"version {SQLITE_VERSION} has the WAL-reset bug; stop the bot before import, refresh and backup, "
        "or install SQLite 3.51.3 or later"
    )
    return Finding(NOTE, "sqlite", words)


def check_disk(file: Path) -> Finding:
    """Check that the disk has room and that the database can be written."""
    folder = next(parent for parent in file.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    words = f"{free // 2**20:,} MB free on the database's disk"
    if free < LEAST_DISK:
        return Finding(FAIL, "disk", f"{words}; free some, or move [storage] database to another disk")
    if unwritable := [path for path in (folder, file) if path.exists() and not os.access(path, os.W_OK)]:
        words = f"{unwritable[0]} cannot be written; check its owner, and whether the disk is read-only"
        return Finding(FAIL, "disk", words)
    return Finding(OK, "disk", words)


def check_clock(config: Config, now: dt.datetime) -> Finding:
    """Show the local time. Fail if files of the database were written in the future."""
    local = f"{now.astimezone(ZoneInfo(config.time.timezone)):%Y-%m-%d %H:%M} in {config.time.timezone}"
    database = config.storage.database
    written = [_written_at(database.with_name(database.name + end)) for end in ("", "-wal")]
    last = max((moment for moment in written if moment), default=now)
    if last <= now + _CLOCK_SLACK:
        return Finding(OK, "clock", local)
    written_at = f"{last:%Y-%m-%d %H:%M} UTC"
    words = f"{local}, but the database was written later than that, at {written_at}; set the clock"
    return Finding(FAIL, "clock", words)


def _written_at(file: Path) -> dt.datetime | None:
    try:
        return dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
    except (OSError, OverflowError, ValueError):
        return None


def check_calendar(sessions: Sessions, now: dt.datetime) -> Finding:
    """Check that the exchange's sessions are known far enough ahead."""
    ahead = (sessions.index[-1].date() - now.date()).days
    words, advice = f"sessions known for {ahead} days ahead", "install a newer version"
    return _measured(ahead > LEAST_CALENDAR, "calendar", words, f"{advice}, or set the clock")


def ask_sources(config: Config, sessions: Sessions, now: dt.datetime) -> Iterator[Finding]:
    """Ask each source once, as “refresh” does, and say what it gave, which is not stored.

    What the database's statuses forbid is not asked: files that were asked for lately, sources that rest.
    """
    from bot.data.refresh import build_providers, refresh  # noqa: PLC0415 - late: pandas takes a second

    statuses: list[Row] = []
    with suppress(StorageError), open_database(config.storage.database, read_only=True) as database:
        statuses = database.run_sync(lambda db: select(db, "SELECT * FROM sources"))
    with tempfile.TemporaryDirectory() as folder, open_database(Path(folder) / "bot.db") as thrown_away:
        for status in statuses:
            thrown_away.run_sync(partial(insert, table="sources", row=status))
        with spinner("Asking the sources"):
            # Runs over companies are many requests.
            providers = [source for source in build_providers(config) if not source.stored_as]
            asking = refresh(thrown_away, providers, sessions, now, force=True)
            reports = asyncio.run(asking)
    for report in reports:
        yield Finding(OK if report.ok else NOTE, f"asked {report.label}, {report.subject}", report.outcome)


def check_database(database: Database, config: Config, sessions: Sessions, now: dt.datetime) -> Iterator[Finding]:
    """Name the file, which was checked, the age of the prices and the last answers of the sources."""
    from bot.data.load import build_market, read_frames  # noqa: PLC0415 - late: pandas takes a second
    from bot.data.refresh import switched_on  # noqa: PLC0415 - as above
    from bot.messages.pages import status  # noqa: PLC0415 - as above
    from storage.migrations import NAMES  # noqa: PLC0415 - as above
    from storage.observations import recent  # noqa: PLC0415 - as above

    yield Finding(OK, "database", f"{database.path} is sound, its schema is {max(NAMES)}")
    market = build_market(database.run_sync(read_frames), sessions, now, config.pair)
    yield _check_prices(market, sessions, now)
    rows, sources_on = database.run_sync(sources.source_statuses), switched_on(config)
    healths = status.source_healths(rows, sessions, now, sources_on)
    since, zone = now - dt.timedelta(days=status.RESTATED_DAYS), ZoneInfo(config.time.timezone)
    restated = database.run_sync(lambda db: recent(db, since=since))
    for well, subject, words in status.findings(market, healths, restated, zone, now):
        yield Finding(OK if well else NOTE, subject, words)


def _check_prices(market: Market, sessions: Sessions, now: dt.datetime) -> Finding:
    """Report how old the prices are. Old ones are no fault of the installation."""
    from bot.analytics.sessions import STALE_AFTER  # noqa: PLC0415 - late: as above

    if market.end is None:
        return Finding(NOTE, "data", "no prices of both funds yet; run “refresh” or “import prices”")
    due = sessions.last_completed(now, STALE_AFTER)
    behind = int((sessions.between(market.end, due) > market.end).sum())
    age = f"{counted(behind, 'session')} behind" if behind else "current"
    words = f"prices to {market.end:%Y-%m-%d}, {age}; {market.source('prices').label}"
    return Finding(NOTE if behind else OK, "data", words)


def check_running(database: Database, now: dt.datetime) -> Finding:
    """Check that a bot that holds the lock has ticked recently."""
    if not is_locked(database.path):
        return Finding(OK, "bot", "not running")
    last_tick = database.run_sync(sources.last_heartbeat)
    if last_tick is None:
        return Finding(OK, "bot", "starting, no tick yet")
    age = (now - last_tick).total_seconds()
    words = f"running, last tick {age:.0f} s ago"
    return _measured(age < LONGEST_SILENCE, "bot", words, "look at its log and start it again")


def check_queue(database: Database) -> Finding:
    """Count the messages that wait and those that were given up."""
    counts = database.run_sync(outbox.count_by_status)
    waiting = sum(count for status, count in counts.items() if status not in {"sent", "dead"})
    dead = counts.get("dead", 0)
    return Finding(NOTE if dead else OK, "queue", f"{waiting} waiting, {dead} given up")


def check_chats(database: Database) -> Iterator[Finding]:
    """Name chats that refuse messages, and count the others."""
    refusing = database.run_sync(chat_store.refusing_chats)
    for chat in refusing[:_CHATS_NAMED]:
        words = f"refused the last message, on {chat.refused_at:%Y-%m-%d}"
        yield Finding(NOTE, f"chat {chat.chat_id}", f"{words}: {chat.reason}" if chat.reason else words)
    if len(refusing) > _CHATS_NAMED:
        yield Finding(NOTE, "chats", f"{len(refusing) - _CHATS_NAMED} more refused the last message")


def check_backups(config: Config, now: dt.datetime, failing: dt.datetime | None, *, runs: bool) -> Finding:
    """Check the age of the newest backup. A running bot makes one a night, or has failed since `failing`."""
    if not config.backup.enabled:
        return Finding(NOTE, "backups", "switched off; see [backup] in the config")
    today = now.astimezone(ZoneInfo(config.time.timezone)).date()
    try:
        copies = dated_backups(config)
    except OSError as error:
        return Finding(FAIL, "backups", f"{config.backups} cannot be read ({error.strerror})")
    # A day ahead is another zone's; more was written by a wrong clock, and says nothing of last night.
    copies = [(day, file) for day, file in copies if (day - today).days <= 1]
    if not copies and failing and runs:
        words = f"none in {config.backups}; they have failed since {failing:%Y-%m-%d}; look at the bot's log"
        return Finding(FAIL if now - failing > OLDEST_BACKUP else NOTE, "backups", words)
    if not copies:
        words = f"none in {config.backups} yet; the running bot makes one a night, “backup” makes one now"
        return Finding(NOTE, "backups", words)
    day, newest = copies[0]
    age = max(today - day, dt.timedelta())
    made_ago = f"made {counted(age.days, 'day')} ago" if age else "made today"
    words = f"{newest}, {made_ago}, {len(copies)} kept"
    if age <= OLDEST_BACKUP:
        return Finding(OK, "backups", words)
    advice = "the nightly ones fail, look at the bot's log" if runs else "make one with “backup”"
    return Finding(FAIL if runs else NOTE, "backups", f"{words}; {advice}")
