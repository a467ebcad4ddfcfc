"""The tables of the documentation, made from what the program itself goes by.

    python -m docs.tables        # writes them into docs/*.md, and config.example.toml and closures.csv

A table stands between `<!-- name -->` and `<!-- /name -->`. A test compares what stands there with
what is made here, so that no command, metric, key or subcommand is missing or out of date.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
import exchange_calendars
import pandas as pd
from pandas.errors import Pandas4Warning
from pydantic import SecretStr

from bot.alerts.grammar import WORDS
from bot.alerts.presets import PRESETS
from bot.analytics.flows import FLAGS
from bot.analytics.metrics import METRICS, RATIO_WORD
from bot.analytics.sessions import EXCHANGE, FIRST_DAY
from bot.analytics.sources import SAMPLE
from bot.chat.commands import COMMANDS
from bot.chat.settings import SETTINGS
from bot.cli import CLI_COMMANDS
from bot.config import Config, Section, section_model
from bot.data.csv_cells import COMMA
from bot.data.csv_table import DIALECTS
from bot.data.provider import LABELS, STANDS_FOR
from bot.messages.html import strip_html
from bot.pair import DEFAULT_PAIR, Fund
from bot.text import PROGRAM

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric, Parameter


ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLE = ROOT / "config.example.toml"
CLOSURES = ROOT / "bot" / "analytics" / "closures.csv"
LAST_YEAR = 2050  # of the closures
EXAMPLE_HEAD = """\
# Copy to config.toml, edit, and run: python -m bot run --config config.toml
# Every key may be left out; what stands here is its default unless the comment says otherwise.
"""
_EVERYWHERE = {"--config", "--db"}
_BLOCK = re.compile(r"<!-- (?P<name>[a-z ]+) -->\n.*?<!-- /(?P=name) -->", re.DOTALL)


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    section: str
    name: str
    description: str
    value: object  # the default, or an example if there is none
    commented_out: bool  # in the example file, because there is no default


def _keys() -> Iterator[Key]:
    for section in Config.model_fields:
        model = section_model(section)
        descriptions = _descriptions(model)
        for name, field in model.model_fields.items():
            value = field.examples[0] if field.examples else field.get_default()
            value = value.ticker if isinstance(value, Fund) else value
            commented_out = bool(field.examples) and field.default_factory is None
            yield Key(section, name, descriptions[name], value, commented_out)


def _descriptions(model: type[Section]) -> dict[str, str]:
    """Return the text below each field of a model's source."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - for the type checker
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


KEYS = tuple(_keys())


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def commands() -> str:
    """Every chat command."""
    rows = [
        (f"`{f'/{each.name} {each.usage}'.strip()}`", each.help, f"`{each.example}`", each.users) for each in COMMANDS
    ]
    return table(("Command", "Answers", "For example", "Who"), rows)


def settings() -> str:
    """Every setting of a chat, its choices on buttons, and what it is for."""
    rows = [
        (
            f"`/settings {setting.name}`",
            ", ".join(f"`{choice}`" for choice in setting.choices),
            strip_html(setting.description),
        )
        for setting in SETTINGS.values()
    ]
    return table(("Setting", "For example", "What it is for"), rows)


def layouts() -> str:
    """Every layout of daily prices that is recognised, and what is known of it beforehand."""
    rows: dict[str, str] = {}
    for dialect in DIALECTS:
        remarks = (
            "" if dialect.split_adjusted else "closes as traded, adjusted here by its split factors",
            f"dates {dialect.order}" if dialect.order else "",
            COMMA if dialect.decimal_comma else "",
        )
        rows[dialect.name] = ", ".join(filter(None, remarks))
    return table(("Layout", "Remarks"), list(rows.items()))


def sources() -> str:
    """Every source of data in order of preference, and its name in an export."""
    rows = [
        (label, f"`{name}`", f"only for what {LABELS[STANDS_FOR[name]]} lacks" if name in STANDS_FOR else "")
        for name, label in LABELS.items()
        if name != SAMPLE
    ]
    return table(("Source", "In an export", "Asked"), rows)


def metrics() -> str:
    """Every metric: what it says, and a rule on it."""
    rows = [(f"`{each.name}`", each.meaning, f"`{each.example}`") for each in METRICS.values()]
    return table(("Metric", "What it says", "A rule"), rows)


def flags() -> str:
    """Every flag that a day of share counts can carry."""
    return table(("Flag", "Means"), [(f"`{name}`", meaning) for name, meaning in FLAGS.items()])


def options() -> str:
    """Every option of a rule."""
    rows = [(f"`{each.usage}`", each.meaning) for each in WORDS.values() if each.place == "option"]
    return table(("Option", "Means"), rows)


def presets() -> str:
    """The rules that are offered ready made."""
    rows = [(each.name, f"`{each.rule}`", DEFAULT_PAIR.fill(each.meaning)) for each in PRESETS]
    return table(("Name", "Rule", "Fires when"), rows)


def formulas() -> str:
    """Every metric: what it takes, its unit and formula, and its lag."""
    rows = [
        (
            f"`{each.name}`",
            ", ".join(map(_parameter, each.parameters)) or "nothing",
            each.unit.symbol or "none",
            f"`{each.formula}`",
            _lag(each),
        )
        for each in METRICS.values()
    ]
    return table(("Metric", "Takes", "Unit", "Formula", "Known"), rows)


def _parameter(parameter: Parameter) -> str:
    name = {"n": "sessions", "since": "date"}.get(parameter.name, parameter.name)
    return name if parameter.required else f"{name} ({str(parameter.default).lower() or RATIO_WORD})"


def _lag(metric: Metric) -> str:
    return f"{metric.lag} session later" if metric.lag else "at the close"


def keys() -> str:
    """Every key of the configuration, and its default unless its description speaks of one."""
    rows = [(f"`[{key.section}] {key.name}`", key.description + _default(key)) for key in KEYS]
    return table(("Key", "What it does"), rows)


def _default(key: Key) -> str:
    value = toml_value(key.value)
    shown = not key.commented_out and "default" not in key.description.lower() and value != '""'
    return f" Default: `{value}`." if shown else ""


def toml_value(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return json.dumps(sorted(value) if isinstance(value, frozenset) else value)


def example_config() -> str:
    """The text of config.example.toml: every key below its description."""
    blocks = [EXAMPLE_HEAD]
    for section in dict.fromkeys(key.section for key in KEYS):
        blocks.append(f"\n[{section}]\n")
        for key in (key for key in KEYS if key.section == section):
            comments = textwrap.wrap(key.description, 106, break_long_words=False, break_on_hyphens=False)
            blocks += [f"# {line}\n" for line in comments]
            blocks.append(f"{'# ' if key.commented_out else ''}{key.name} = {toml_value(key.value)}\n")
    return "".join(blocks)


def closures() -> str:
    """The text of closures.csv: the weekdays on which the exchange closes early or is closed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pandas4Warning)  # the library still calls what pandas 4 will remove
        calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=f"{LAST_YEAR}-12-31")
        weekdays = pd.bdate_range(FIRST_DAY, f"{LAST_YEAR}-12-31")
    closes = calendar.closes.dt.tz_convert(EXCHANGE)
    lines = [f"{day:%Y-%m-%d},\n" for day in weekdays.difference(calendar.sessions)]
    lines += [f"{day:%Y-%m-%d},{closes[day]:%H:%M}\n" for day in calendar.early_closes]
    return "".join(["day,close\n", *sorted(lines)])


def subcommands() -> str:
    """Every subcommand; --config and --db, which all take, are left out."""
    rows = [(f"`{_usage(command)}`", str(command.help)) for command in CLI_COMMANDS]
    return table(("Subcommand", "Does"), rows)


def _usage(command: click.Command) -> str:
    """A subcommand with its options and arguments, e.g. "python -m bot backup [FILE]"."""
    options: list[str] = []
    arguments: list[str] = []
    for param in command.params:
        metavar = param.metavar or ""
        words = f"{param.opts[0]} {metavar}".strip() if isinstance(param, click.Option) else metavar
        shown = words if param.required or words.startswith("[") else f"[{words}]"
        if param.opts[0] not in _EVERYWHERE:
            (options if isinstance(param, click.Option) else arguments).append(shown)
    return " ".join((PROGRAM, str(command.name), *options, *arguments))


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "layouts": layouts,
    "sources": sources,
    "metrics": metrics,
    "flags": flags,
    "presets": presets,
    "options": options,
    "formulas": formulas,
    "keys": keys,
    "subcommands": subcommands,
}


def filled(text: str) -> str:
    """A page with its tables as they should stand."""
    return _BLOCK.sub(lambda found: _block(found["name"]), text)


def _block(name: str) -> str:
    return f"<!-- {name} -->\n{TABLES[name]()}\n<!-- /{name} -->"


def main() -> None:
    """Write the tables into the pages, and the example configuration."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(filled(text), encoding="utf-8")
    EXAMPLE.write_text(example_config(), encoding="utf-8")
    CLOSURES.write_text(closures(), encoding="utf-8")


if __name__ == "__main__":
    main()
