"""The command line: run, chat, demo, check, refresh, import, export, doctor, backup.

Exit codes: 0 done, 1 a clear refusal or failure, 2 wrong usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot import __version__
from bot.config import Config, load_config
from bot.errors import BotError, ConfigError
from storage.db import StorageError

REFUSED, MISUSED, INTERRUPTED = 1, 2, 130
_KINDS = ("prices", "fund-facts", "multiples")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit code. Errors meant for people are printed as they stand."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show − still shows the rest
    given = parser().parse_args(arguments)
    try:
        config = _config(given)
        return int(given.command(given, config))
    except ConfigError as error:
        for problem in error.problems:
            print(f"config: {problem}", file=sys.stderr)  # noqa: T201 - the command line's voice
        return MISUSED
    except (BotError, StorageError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - as above
        return REFUSED
    except BrokenPipeError:
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _config(given: argparse.Namespace) -> Config:
    """The config of --config (else config.toml where `run` and `doctor` expect one), with --db over it."""
    config = load_config(given.config, token_needed=getattr(given, "token_needed", False))
    return replace(config, database=given.db) if given.db else config


def instant(text: str) -> dt.datetime:
    """--now: an ISO 8601 instant with its zone, UTC without one."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not an instant such as 2020-10-06T22:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from bot.cli import data, operate, talk  # noqa: PLC0415 - late: they import pandas

    top = argparse.ArgumentParser(
        prog="python -m bot", description="IWM against SPY on Telegram: answers, alerts, a daily summary."
    )
    top.add_argument("--version", action="version", version=__version__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, metavar="FILE", help="the TOML configuration")
    shared.add_argument("--db", type=Path, metavar="FILE", help="the SQLite database")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, words: str, command: object, **defaults: object) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=words, description=f"{words[0].upper()}{words[1:]}.", parents=[shared]
        )
        sub.set_defaults(command=command, **defaults)
        return sub

    add("run", "run the bot on Telegram", operate.run, token_needed=True)
    chat = add("chat", "talk to the bot in the terminal", talk.chat)
    demo = add("demo", "play a story on sample data: no token, no network", talk.demo)
    check = add("check", "do once what the scheduler would do now", operate.check)
    refresh = add("refresh", "fetch from the sources now", operate.refresh_now)
    for sub in (chat, demo, check):
        sub.add_argument("--now", type=instant, metavar="ISO-TIME", help="where the clock starts")
    for sub in (chat, check):
        sub.add_argument("--offline", action="store_true", help="never touch the network")
    for sub in (chat, demo):
        sub.add_argument("--out", type=Path, metavar="FOLDER", help="where charts are saved")
    demo.set_defaults(out=Path("demo-output"))
    chat.set_defaults(out=Path("charts"))
    del refresh
    taken = add("import", "take in a CSV file, all of it or nothing", data.take_in)
    given = add("export", "write what import reads", data.give_out)
    for sub in (taken, given):
        sub.add_argument("kind", choices=_KINDS)
        sub.add_argument("file", type=Path, metavar="FILE")
        sub.add_argument("--ticker", required=True, help="IWM or SPY")
    add(
        "doctor",
        "look at config, database, calendar, data, disk; exit 1 if something is wrong",
        operate.doctor,
    )
    add("backup", "copy the database, verified, beside a running bot too", data.back_up).add_argument(
        "file", type=Path, metavar="FILE"
    )
    return top
