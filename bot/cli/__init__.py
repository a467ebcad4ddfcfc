"""The command line: run, chat, demo, check, refresh, import, export, doctor, backup, restore.

Exit codes: 0 done, 1 a clear refusal or failure, 2 wrong usage or configuration, 130 interrupted.
What a subcommand needs is imported when it is called, so that --help and a mistyped word answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot import __version__
from bot.cli.veil import veil
from bot.errors import BotError, ConfigError
from bot.secrets import of_proxies
from storage.errors import StorageError
from storage.lock import hold_lock

if TYPE_CHECKING:
    from bot.config import Config

REFUSED, MISUSED, INTERRUPTED = 1, 2, 130
KINDS = {
    "prices": "daily prices with distributions and splits",
    "fund-facts": "net asset value, shares outstanding, assets",
    "multiples": "valuation multiples by convention",
    "weights": "weights of sectors and industry groups",
}
ISSUER = "issuer"
# The exchange's calendar begins in January 1993 and ends about a year from today.
_FIRST, _AHEAD = dt.datetime(1993, 2, 1, tzinfo=dt.UTC), dt.timedelta(days=180)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit code. Errors meant for people are printed as they stand."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show − still shows the rest
    veil()  # before anything is read: what is wrong may be told with the secret in it
    top = parser()
    given = top.parse_args(arguments)
    if given.command is None:
        top.print_help(sys.stderr)
        return MISUSED
    return _left(_run(given))


def _run(given: argparse.Namespace) -> int:
    """The subcommand's exit code, its errors told."""
    try:
        config = _config(given)
        veil({*config.secrets, *of_proxies(os.environ)})
        # Before the imports, which take seconds: a second starter is told at once.
        with hold_lock(config.storage.database) if given.locked else contextlib.nullcontext():
            code = int(given.command(given, config))
        if sys.stdout is not None:  # closed by who started this
            sys.stdout.flush()  # here a reader that has gone is still an answer, at exit it is noise
    except ConfigError as error:
        for problem in error.problems:
            _complain(f"config: {problem}")
        return MISUSED
    except (BotError, StorageError) as error:
        _complain(f"error: {error}")
        return REFUSED
    except BrokenPipeError:
        _let_go(sys.stdout.fileno())
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _left(code: int) -> int:
    """The exit code; the process ends here where its end would wait for a source that does not answer."""
    question = sys.modules.get("bot.data.question")
    if question is not None and question.under_way():  # all of ours is closed and committed
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)
    return code


def _complain(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201 - the command line's voice


def _let_go(descriptor: int) -> None:
    """What is still buffered for a reader that has gone goes nowhere."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _config(given: argparse.Namespace) -> Config:
    """The config of --config (else the defaults), with --db over it; ConfigError, BotError for a folder."""
    from bot.config import load_config  # noqa: PLC0415 - late: it costs more than all of --help

    config = load_config(given.config, token_needed=given.token_needed, token_used=given.token_used)
    config = config.with_keys(storage={"database": given.db}) if given.db else config
    database = config.storage.database
    try:
        is_folder = database.is_dir()
    except OSError as error:
        raise BotError(f"{database} cannot be reached ({error.strerror}); name another file.") from error
    if is_folder:
        raise BotError(f"{database} is a folder; name a file, e.g. --db {database / 'bot.db'}")
    return config


def instant(text: str) -> dt.datetime:
    """--now: an ISO 8601 instant with its zone, UTC without one, within the exchange's calendar."""
    try:
        moment = dt.datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"“{text}” is not an instant such as 2020-10-06T22:00Z") from None
    last = dt.datetime.now(dt.UTC) + _AHEAD
    if not _FIRST <= moment <= last:
        raise argparse.ArgumentTypeError(
            f"“{text}” is outside the exchange's calendar, {_FIRST:%Y-%m-%d} to {last:%Y-%m-%d}"
        )
    return moment


def _late(module: str, function: str) -> Callable[[argparse.Namespace, Config], int]:
    """A subcommand's function, imported from this package when it is called."""

    def call(given: argparse.Namespace, config: Config) -> int:
        found = importlib.import_module(f"{__name__}.{module}")
        return int(getattr(found, function)(given, config))

    return call


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m bot",
        description="IWM against SPY on Telegram: answers, alerts, a daily summary.",
        epilog="To begin: python -m bot demo. Each command has a --help of its own.",
    )
    top.add_argument("--version", action="version", version=__version__)
    top.set_defaults(command=None, token_needed=False, token_used=False, locked=False)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, metavar="FILE", help="the TOML configuration")
    shared.add_argument(
        "--db", type=Path, metavar="FILE", help="the SQLite database, instead of the configuration's"
    )
    commands = top.add_subparsers(metavar="COMMAND")

    def add(name: str, place: str, words: str, example: str = "") -> argparse.ArgumentParser:
        """One subcommand; `place` is its module and function in this package."""
        sub = commands.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=f"Example: {top.prog} {name} {example}".strip(),
            parents=[shared],
        )
        sub.set_defaults(command=_late(*place.split(".")))
        return sub

    add("run", "operate.run", "run the bot on Telegram", "--config config.toml").set_defaults(
        token_needed=True, locked=True
    )
    chat = add("chat", "talk.chat", "talk to the bot in the terminal", "--offline --db bot.db")
    demo = add("demo", "talk.demo", "play a story on sample data: no token, no network")
    check = add("check", "operate.check", "do once what the scheduler would do now", "--offline")
    check.set_defaults(token_used=True)
    add("refresh", "operate.refresh_now", "fetch from the sources now")
    _add_switches(chat, demo, check)
    example = "prices IWM.csv --ticker IWM"
    _add_files(
        add("import", "data.take_in", "take in a file, all of it or nothing", example),
        add("export", "data.give_out", "write a CSV file that import reads", example),
    )
    doctor = add("doctor", "machine.doctor", "look at everything and say what to do; exit 1 if not well")
    doctor.set_defaults(token_used=True)
    doctor.add_argument("--offline", action="store_true", help="never touch the network")
    doctor.add_argument(
        "--quick",
        action="store_true",
        help="only what a health check needs, in a moment: no network, no data",
    )
    _add_copies(
        add(
            "backup", "copies.back_up", "copy the database, verified, also while the bot runs", "bot-copy.db"
        ),
        add(
            "restore",
            "copies.put_back",
            "put a backup in the place of the database, which is kept aside",
            "FILE",
        ),
    )
    return top


def _add_switches(
    chat: argparse.ArgumentParser, demo: argparse.ArgumentParser, check: argparse.ArgumentParser
) -> None:
    """Clock, network and charts of the commands that talk."""
    for sub in (chat, demo, check):
        sub.add_argument(
            "--now", type=instant, metavar="ISO-TIME", help="where the clock starts, e.g. 2020-10-06T22:00Z"
        )
    for sub in (chat, check):
        sub.add_argument("--offline", action="store_true", help="never touch the network")
    for sub, folder in ((chat, "charts"), (demo, "demo-output")):
        sub.add_argument(
            "--out",
            type=Path,
            metavar="FOLDER",
            default=Path(folder),
            help=f"where charts are saved ({folder})",
        )


def _add_copies(copy: argparse.ArgumentParser, restore: argparse.ArgumentParser) -> None:
    """Arguments of backup and restore."""
    copy.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="the copy, an older one is replaced; without it today's, in the folder of the nightly ones",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="the backup; it stays as it is")


def _add_files(taken: argparse.ArgumentParser, given: argparse.ArgumentParser) -> None:
    """Arguments of import and export."""
    kinds = "; ".join(f"{name}: {words}" for name, words in KINDS.items())
    more = f"{kinds}; {ISSUER}: a fund's file as its issuer gives it"
    taken.add_argument("kind", choices=(*KINDS, ISSUER), metavar="KIND", help=more)
    given.add_argument("kind", choices=KINDS, metavar="KIND", help=kinds)
    for sub, file in ((taken, "the file"), (given, "the CSV file to write, - for standard output")):
        sub.add_argument("file", type=Path, metavar="FILE", help=file)
    taken.add_argument("--ticker", metavar="FUND", help="IWM or SPY; an issuer's file says it itself")
    given.add_argument("--ticker", required=True, metavar="FUND", help="IWM or SPY")
