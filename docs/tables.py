"""The tables of the documentation, made from what the program itself goes by.

    python -m docs.tables        # writes them into README.md and docs/*.md

A table stands between `<!-- name -->` and `<!-- /name -->`. A test compares what stands there with
what is made here, so that no command, metric, key or subcommand is missing or out of date.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.alerts.presets import PRESETS
from bot.analytics.counts import FLAGS
from bot.analytics.registry import METRICS
from bot.chat.commands import COMMANDS
from bot.cli import parser
from bot.config import KEYS

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric, Parameter

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLE = ROOT / "config.example.toml"
_BLOCK = re.compile(r"<!-- (?P<name>[a-z ]+) -->\n.*?<!-- /(?P=name) -->", re.DOTALL)
_SECTION = re.compile(r"\[(\w+)\]")
_KEY = re.compile(r"(?P<off># )?(?P<key>[a-z_]+) = (?P<value>.+)")
_EVERYWHERE = re.compile(r"\[(?:-h|--config FILE|--db FILE)\] ?")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def commands() -> str:
    """Every chat command."""
    rows = [
        (f"`{f'/{each.name} {each.usage}'.strip()}`", each.help, f"`{each.example}`", each.users)
        for each in COMMANDS
    ]
    return table(("Command", "Answers", "For example", "Who"), rows)


def metrics() -> str:
    """Every metric: what it says, and a rule on it."""
    rows = [(f"`{each.name}`", each.meaning, f"`{each.example}`") for each in METRICS.values()]
    return table(("Metric", "What it says", "A rule"), rows)


def flags() -> str:
    """Every flag that a day of share counts can carry."""
    return table(("Flag", "Means"), [(f"`{name}`", meaning) for name, meaning in FLAGS.items()])


def presets() -> str:
    """The rules that are offered ready made."""
    rows = [(each.name, f"`{each.rule}`", each.meaning) for each in PRESETS]
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
    name = {"n": "sessions"}.get(parameter.name, parameter.name)
    return f"{name} ({str(parameter.default).lower()})"


def _lag(metric: Metric) -> str:
    return f"{metric.lag} session later" if metric.lag else "at the close"


def keys() -> str:
    """Every key of the configuration, described by the comments of config.example.toml."""
    described = dict(_described(EXAMPLE.read_text(encoding="utf-8")))
    rows = [(f"`[{section}] {key}`", described[section, key]) for section, key, _ in KEYS.values()]
    return table(("Key", "What it does"), rows)


def _described(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Section and key -> the comments above it, and its default unless they speak of it."""
    section, comments = "", list[str]()
    for line in text.splitlines():
        if found := _KEY.fullmatch(line):
            words = " ".join(comments)
            if not found["off"] and "default" not in words.lower() and found["value"] != '""':
                words += f" Default: `{found['value']}`."
            yield (section, found["key"]), words
            comments = []
        elif line.startswith("# "):
            comments.append(line.removeprefix("# "))
        else:
            comments = []
            section = found[1] if (found := _SECTION.fullmatch(line)) else section


def subcommands() -> str:
    """Every subcommand; --config and --db, which all take, are left out."""
    rows = [
        (f"`{_EVERYWHERE.sub('', usage).strip()}`", words) for _, usage, words in sorted_subcommands(parser())
    ]
    return table(("Subcommand", "Does"), rows)


def sorted_subcommands(top: argparse.ArgumentParser) -> list[tuple[str, str, str]]:
    """Name, usage on one line and description of each subcommand, in the parser's order."""
    (group,) = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 - argparse tells it no other way
    found = []
    for name, sub in group.choices.items():
        usage = " ".join(sub.format_usage().split()).removeprefix("usage: ")
        found.append((name, usage, str(sub.description)))
    return found


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "metrics": metrics,
    "flags": flags,
    "presets": presets,
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
    """Write the tables into the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main()
