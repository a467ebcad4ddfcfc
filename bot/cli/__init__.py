"""The command line: run, chat, demo, check, refresh, import, export, doctor, backup, restore.

Exit codes: 0 done, 1 refused or failed with a message, 2 wrong usage or configuration, 130 interrupted.
The function of a command is imported when it is run, so that --help and mistyped words are answered at once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot import __version__
from bot.errors import OUT_OF_MEMORY, BotError, ConfigError, is_out_of_memory
from bot.secrets import OUTPUT, proxy_secrets, redact_output
from bot.text import PROGRAM, command_line

if TYPE_CHECKING:
    from bot.config import Config


# Its threads would take 40 MB of address space each, for matrices that the bot does not have.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
REFUSED, MISUSED, INTERRUPTED = 1, 2, 130
SCRIPT = "small-versus-large-bot"
COMPLETION_VARIABLE = "_SMALL_VERSUS_LARGE_BOT_COMPLETE"  # as click derives it from the script's name
FILE_KINDS = {
    "prices": "daily prices with distributions and splits",
    "fund-facts": "net asset value, shares outstanding, assets",
    "multiples": "valuation multiples by convention",
    "weights": "weights of sectors and industry groups",
}
ISSUER_FILE = "issuer"
# The exchange's calendar begins in January 1993 and ends about a year from today.
_FIRST, _AHEAD = dt.datetime(1993, 2, 1, tzinfo=dt.UTC), dt.timedelta(days=180)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors meant for people are printed without a traceback."""
    _open_closed_streams()
    share_heap()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show − still shows the rest
    redact_output()  # before anything is read: an error message may contain the secret
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # what nobody can read is discarded, or the interpreter would complain of it at exit
            with contextlib.suppress(OSError), open(os.devnull, "w") as nothing:  # noqa: PTH123 - no path
                os.dup2(nothing.fileno(), stream.fileno())
    refresh = sys.modules.get("bot.data.refresh")
    if refresh is not None and refresh.fetch_in_progress():
        # The interpreter would wait for a source that does not answer. The database is closed by now.
        os._exit(code)
    return code


def share_heap() -> None:
    """Let all threads allocate from one heap, where the C library is glibc.

    Each thread's own takes 64 MB of address space, and without that every allocation becomes a system call.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes  # noqa: PLC0415 - an optional part of Python

        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage while modules are loaded, which saves a fifth; later collections leave them out."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _open_closed_streams() -> None:
    """Open the standard streams that are closed on the null device, so that no file gets their number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - it stays open
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _run(arguments: list[str]) -> int:
    """Run the command and print its errors. Returns the exit code."""
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # --help, --version
        code = end.exit_code
    except click.UsageError as error:
        code = MISUSED
        _print_usage_error(error)
    except ConfigError as error:
        code = MISUSED
        for problem in error.problems:
            print_error(f"config: {problem}")
    except BotError as error:
        code = REFUSED
        print_error(f"error: {error}")
    except BrokenPipeError:  # the reader of the output has gone
        code = REFUSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        code = REFUSED
        if not (words := _reason_outside(error)):
            raise
        print_error(f"error: {words}")
    return code


def _reason_outside(error: Exception) -> str:
    """Return the sentence about an error that is not the program's own, or ""."""
    if isinstance(error, OSError) and error.filename == OUTPUT:
        return f"Standard output cannot be written ({error.strerror})."
    return OUT_OF_MEMORY if is_out_of_memory(error) else ""


def _print_usage_error(error: click.UsageError) -> None:
    is_help = isinstance(error, click.exceptions.NoArgsIsHelpError)
    if error.ctx is not None and not is_help:
        print_error(error.ctx.get_usage())
    print_error(error.format_message() if is_help else f"error: {error.format_message()}")


def _invoke(arguments: list[str]) -> int:
    """Run the command, or answer the shell that completes one. Returns the exit code."""
    program = SCRIPT if Path(sys.argv[0]).stem == SCRIPT else PROGRAM
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        from click.shell_completion import shell_complete  # noqa: PLC0415 - a shell asks, not a person

        return shell_complete(commands, {}, program, COMPLETION_VARIABLE, instruction)
    with commands.make_context(program, arguments) as context:
        return int(commands.invoke(context))


def print_error(text: object) -> None:
    """Write a line to standard error. It is lost if that cannot be written."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - click.echo may bypass the redaction


class Instant(click.ParamType[dt.datetime]):
    """An ISO 8601 instant within the exchange's calendar, in UTC unless it names a zone."""

    name = "ISO-TIME"

    def convert(
        self, value: str | dt.datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        """Return the instant in UTC. Raises UsageError with a sentence."""
        if isinstance(value, dt.datetime):
            return value
        try:
            moment = dt.datetime.fromisoformat(value)
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            self.fail(f"“{value}” is not an instant such as 2020-10-06T22:00Z", param, ctx)
        last = dt.datetime.now(dt.UTC) + _AHEAD
        if not _FIRST <= moment <= last:
            calendar = f"the exchange's calendar, {_FIRST:%Y-%m-%d} to {last:%Y-%m-%d}"
            self.fail(f"“{value}” is outside {calendar}", param, ctx)
        return moment


_FILE = click.Path(path_type=Path)
_EVERY_COMMAND = (
    click.Option(["--config", "config_file"], type=_FILE, metavar="FILE", help="The TOML configuration."),
    click.Option(
        ["--db", "database"], type=_FILE, metavar="FILE", help="The SQLite database, instead of the configuration's."
    ),
)


class LazyCommand(click.Command):
    """A command whose function is imported from this package when it is run.

    The function gets the configuration, and by name the command's own options and those of `shared`. `needs` are words:
    "sound" refuses a damaged database, "lock" holds its lock meanwhile, "token" demands one, "any-token" reads it.
    """

    def __init__(
        self,
        name: str,
        function: str,
        summary: str,
        *params: click.Parameter,
        example: str = "",
        shared: tuple[str, ...] = (),
        needs: str = "",
    ) -> None:
        super().__init__(
            name,
            params=[*params, *_EVERY_COMMAND],
            help=f"{summary[0].upper()}{summary[1:]}.",
            short_help=summary,
            epilog=f"Example: {command_line(f'{name} {example}')}",
        )
        self._module, self._function = function.split(".")
        self._names = (*(param.name for param in params), *shared)
        self._needs = frozenset(needs.split())

    def invoke(self, ctx: click.Context) -> int:
        """Load the configuration, then import and call the function."""
        options = ctx.params
        with loading():
            config = self._load_config(options["config_file"], options["database"])
            redact_output({*config.secrets, *proxy_secrets(os.environ)})
            from bot.jobs import backup_files  # noqa: PLC0415 - --help does without
            from storage.database import StorageError, hold_lock  # noqa: PLC0415 - as above
        try:
            if "sound" in self._needs:
                backup_files.refuse_lost_database(config)
            # The lock is taken before the imports, which take seconds: a second bot is refused at once.
            with hold_lock(config.storage.database) if "lock" in self._needs else contextlib.nullcontext():
                with loading():
                    module = importlib.import_module(f"{__name__}.{self._module}")
                function = getattr(module, self._function)
                return int(function(config, **{name: options[name] for name in self._names}))
        except StorageError as error:
            raise BotError(backup_files.with_restore_command(error, config)) from error

    def _load_config(self, file: Path | None, database: Path | None) -> Config:
        """Return the configuration of the file, or the defaults, with the database of --db."""
        from bot.config import load_config  # noqa: PLC0415 - late: it costs more than all of --help

        config = load_config(file, token_needed="token" in self._needs, token_used="any-token" in self._needs)
        if database is not None:
            config = config.with_keys(storage={"database": database})
        path = config.storage.database
        try:
            is_folder = path.is_dir()
        except OSError as error:
            raise BotError(f"{path} cannot be reached ({error.strerror}); name another file.") from error
        if is_folder:
            raise BotError(f"{path} is a folder; name a file, e.g. --db {path / 'bot.db'}")
        config.set_command_options(file, database)
        return config


def _out(folder: str) -> click.Option:
    words = f"The folder in which charts are saved ({folder})."
    return click.Option(["--out"], type=_FILE, metavar="FOLDER", default=folder, help=words)


def _file(words: str, *, required: bool = True) -> click.Argument:
    metavar = "FILE" if required else "[FILE]"
    return click.Argument(["file"], type=_FILE, metavar=metavar, required=required, help=words)


def _kind(kinds: dict[str, str]) -> click.Argument:
    words = "; ".join(f"{name}: {meaning}" for name, meaning in kinds.items())
    return click.Argument(["kind"], type=click.Choice(tuple(kinds)), metavar="KIND", help=f"{words}.")


def _flag(name: str, words: str) -> click.Option:
    return click.Option([name], is_flag=True, help=words)


_NOW = click.Option(
    ["--now"], type=Instant(), metavar="ISO-TIME", help="Where the clock starts, e.g. 2020-10-06T22:00Z."
)
_OFFLINE = _flag("--offline", "Never use the network.")
CLI_COMMANDS = (
    LazyCommand("run", "run.run", "run the bot on Telegram", example="--config config.toml", needs="sound lock token"),
    LazyCommand(
        "chat",
        "demo.chat",
        "talk to the bot in the terminal",
        *(_NOW, _OFFLINE, _out("charts")),
        example="--offline --db bot.db",
        needs="sound",
    ),
    LazyCommand(
        "demo",
        "demo.demo",
        "play a story on sample data: no token, no network",
        *(_NOW, _out("demo-output")),
        shared=("database",),
    ),
    LazyCommand(
        "check",
        "run.check",
        "refresh, evaluate the alerts and send what is due, once",
        *(_NOW, _OFFLINE),
        example="--offline",
        needs="sound any-token",
    ),
    LazyCommand("refresh", "data.refresh_sources", "fetch from the sources now", needs="sound"),
    LazyCommand(
        "import",
        "data.import_file",
        "import a file, all of it or nothing",
        click.Option(["--ticker"], metavar="FUND", help="The fund. An issuer's file names it itself."),
        _flag("--accept", "Use implausible figures too, instead of keeping them as provisional."),
        _kind(FILE_KINDS | {ISSUER_FILE: "a fund's file as its issuer publishes it"}),
        _file("The file."),
        example="prices iwm.csv --ticker IWM",
        needs="sound",
    ),
    LazyCommand(
        "export",
        "data.export_file",
        "write a CSV file that import reads",
        click.Option(["--ticker"], required=True, metavar="FUND", help="The fund."),
        _kind(FILE_KINDS),
        _file("The CSV file to write, or - for standard output."),
        example="prices iwm.csv --ticker IWM",
        needs="sound",
    ),
    LazyCommand(
        "doctor",
        "doctor.doctor",
        "check everything and say what to do; exit 1 if something is wrong",
        _OFFLINE,
        _flag("--quick", "Only what a health check needs, in a moment: no network, no data."),
        shared=("config_file",),
        needs="any-token",
    ),
    LazyCommand(
        "backup",
        "data.back_up",
        "copy the database and verify the copy, also while the bot runs",
        _file("The copy; an older one is replaced. Default: today's of the nightly backups.", required=False),
        example="bot-copy.db",
    ),
    LazyCommand(
        "restore",
        "data.restore_backup",
        "replace the database by a backup and keep the old one",
        _file("The backup. It is not changed."),
        example="bot-copy.db",
    ),
)


class CommandGroup(click.Group):
    """The commands in the order of their table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        del ctx
        return list(self.commands)


commands = CommandGroup(
    "bot",
    commands=CLI_COMMANDS,
    help="Small caps against large caps on Telegram: answers, alerts, a daily summary.",
    epilog=f"To begin: {command_line('demo')}. Each command has its own --help.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
click.version_option(__version__, message="%(version)s", help="Show the version and exit.")(commands)
