"""The documentation says what is true: tables, commands, rules, links, pictures."""

import datetime as dt
import re
import shlex
from pathlib import Path

import pytest

from bot import app
from bot.alerts.grammar import WORDS, parse_rule
from bot.alerts.rule import OPS
from bot.analytics.metrics import METRICS
from bot.analytics.sources import SAMPLE
from bot.analytics.valuation import CONVENTIONS
from bot.chat.commands import BY_NAME, COMMANDS
from bot.cli import commands, demo
from bot.cli.demo import QUESTIONS_NOW
from bot.config import Config
from bot.data.provider import sample_observations
from bot.data.store import store
from bot.local.terminal import Terminal, converse
from docs import pictures, tables
from storage.database import open_database
from tests.fakes.chart_texts import leave_out_drawing

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
# The two lines that a person copies to a bare machine.
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python -m bot demo"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m pytest"
BOT = re.compile(r"python -m bot ([^`|&;\n]+)")
SUBCOMMANDS = list(commands.commands)


def blocks(language: str) -> list[str]:
    """Lines of all fenced blocks of one language, continued lines joined."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", ALL, re.DOTALL | re.MULTILINE)
    return [line.strip() for block in found for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_what_the_program_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run: python -m docs.tables"


def test_every_table_stands_in_a_page() -> None:
    for name in tables.TABLES:
        assert ALL.count(f"<!-- {name} -->") == 1, name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_chat_command_is_in_the_pages(command: object) -> None:
    assert f"| `/{getattr(command, 'name', '')}" in ALL


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_in_the_reference_with_its_meaning_a_rule_and_its_formula(name: str) -> None:
    meaning, formula = re.findall(rf"^\| `{name}` \| (.*) \|$", ALL, re.MULTILINE)
    assert f"`{METRICS[name].example}`" in meaning
    assert f"`{METRICS[name].formula}`" in formula


@pytest.mark.parametrize(("section", "key"), [(key.section, key.name) for key in tables.KEYS])
def test_every_key_is_in_the_pages_with_its_meaning(section: str, key: str) -> None:
    row = re.search(rf"^\| `\[{section}\] {key}` \| (.*) \|$", ALL, re.MULTILINE)
    assert row is not None
    assert len(row[1]) > 10


def test_the_example_configuration_is_what_the_program_says() -> None:
    assert tables.EXAMPLE.read_text(encoding="utf-8") == tables.example_config(), "run: python -m docs.tables"


def test_the_closures_are_those_that_the_calendar_library_has() -> None:
    assert tables.CLOSURES.read_text(encoding="utf-8") == tables.closures(), "run: python -m docs.tables"


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_is_in_the_pages(name: str) -> None:
    assert f"| `python -m bot {name}" in ALL


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= 9000


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_is_explained(convention: str) -> None:
    assert f"| `{convention}` |" in ALL


def test_the_two_commands_of_the_quick_start_stand_alone_on_their_lines() -> None:
    assert [line for line in README.splitlines() if line in {DEMO, TESTS}] == [DEMO, TESTS]


@pytest.mark.parametrize("arguments", [match[1] for line in blocks("sh") for match in BOT.finditer(line)])
def test_every_subcommand_to_be_typed_is_understood(arguments: str) -> None:
    name, *words = shlex.split(arguments)
    assert commands.commands[name].make_context(name, words)


def test_every_subcommand_named_exists() -> None:
    assert {match[1].split()[0] for match in BOT.finditer(ALL)} <= set(SUBCOMMANDS)


def test_shell_blocks_hold_nothing_but_known_commands() -> None:
    known = {
        "python3", "uv", "python", "printf", "cp", "install", "mkdir", "docker", "bash", "litestream",
        "systemctl", "loginctl", "journalctl",
    }  # fmt: skip
    assert {line.split()[0] for line in blocks("sh")} <= known


@pytest.mark.parametrize("line", blocks("rule"))
def test_every_rule_is_understood_and_canonical(line: str) -> None:
    assert parse_rule(str(parse_rule(line, METRICS)), METRICS) == parse_rule(line, METRICS)


@pytest.mark.parametrize("line", blocks("spelling"))
def test_every_friendly_spelling_becomes_the_rule_beside_it(line: str) -> None:
    typed, rule = line.split("->")
    assert str(parse_rule(typed, METRICS)) == rule.strip()


def test_every_option_target_and_comparison_has_an_example() -> None:
    rules = "\n".join(blocks("rule"))
    for word in {*WORDS, *OPS} - {"between"}:
        assert re.search(rf"(^| ){re.escape(word)} |{word}$", rules, re.MULTILINE), word


async def replies(folder: Path, lines: list[str]) -> list[str]:
    """What the bot says to lines typed on the sample market, all in one text a line."""
    said: list[str] = []
    answers = []

    def now() -> dt.datetime:
        return QUESTIONS_NOW

    terminal = Terminal(said.append, None, now)
    with open_database(folder / "bot.db") as database:
        observed = f"{QUESTIONS_NOW:%Y-%m-%dT%H:%M:%SZ}"
        rows = sample_observations()
        database.run_sync(lambda db: store(db, rows, source=SAMPLE, observed_at=observed))
        config = Config().with_keys(storage={"database": database.path}, access={"mode": "open"})
        bot = app.local_bot(app.build_services(config, database, now, live=False), terminal.api)
        async with bot.application:
            for line in lines:
                said.clear()
                await converse(bot.application, terminal, [line])
                answers.append("\n".join(said))
    return answers


async def test_every_command_in_the_pages_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = (ROOT / "docs" / "compare.png").read_bytes()
    leave_out_drawing(monkeypatch, lambda _: picture)
    examples = [command.example for command in COMMANDS if command.name != "history"]
    # The table's /alert example would be the second of its kind, and an alert goes by its number.
    lines = [*blocks("chat"), *(line for line in examples if not line.startswith("/alert "))]
    for line, answer in zip(lines, await replies(tmp_path, lines), strict=True):
        assert answer, line
        assert "Example: " not in answer or line.startswith("/help"), f"{line} was refused: {answer}"
        assert "failed" not in answer, line


def test_every_command_named_in_the_pages_exists() -> None:
    named = set(re.findall(r"`/([a-z]+)", ALL)) | {line[1:].split()[0] for line in blocks("chat")}
    assert named - set(BY_NAME) - {"newbot", "setinline", "data"} == set()


def test_every_relative_link_and_picture_is_there() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
        for link in links:
            if not link.startswith("https://"):
                name, _, anchor = link.partition("#")
                target = page.parent / name if name else page
                assert target.is_file(), f"{page.name}: {link}"
                assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page ends with."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_sentence_stands_in_two_pages() -> None:
    pages_by_sentence: dict[str, set[str]] = {}
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for paragraph in text.split("\n\n"):
            for sentence in re.split(r"(?<=[.:;]) ", " ".join(paragraph.split())):
                pages_by_sentence.setdefault(sentence, set()).add(page.name)
    assert [text for text, pages in pages_by_sentence.items() if len(text) > 30 and len(pages) > 1] == []


def test_links_lead_to_few_known_sites() -> None:
    hosts = set(re.findall(r"https?://([^/)\s\"'`]+)", ALL))
    assert hosts <= {"t.me", "docs.astral.sh", "api.telegram.org", "core.telegram.org", "litestream.io"}


@pytest.mark.parametrize(
    "pattern",
    [
        r"p[y]pi|python[h]osted|/simple\b",
        r"(?<![\w.$/])/(?:home|root|work|tmp/|Users|opt)\b",
        r"\d{6,}:[A-Za-z0-9_-]{20,}",
        r"localhost:\d+|127\.0\.0\.1",
        r"\b(?:TODO|FIXME|TBD|XXX)\b",
    ],
)
def test_the_pages_name_no_registry_no_machine_and_no_secret(pattern: str) -> None:
    assert re.findall(pattern, ALL) == []


def test_changes_begin_with_what_they_do() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- (\w+)", text, re.MULTILINE)
    assert entries
    assert set(entries) <= {"Adds", "Changes", "Fixes", "Removes"}


def test_the_version_in_the_package_is_the_projects() -> None:
    import tomllib  # noqa: PLC0415 - here only

    from bot import __version__  # noqa: PLC0415 - as above

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__


def test_the_pictures_are_made_of_what_the_demo_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_QUESTIONS", demo._QUESTIONS[:1])  # no picture shows what the others answer
    chat, compare = pictures.make(tmp_path)
    for made in (chat, compare):
        kept = (ROOT / "docs" / made.name).read_bytes()
        assert kept[:8] == made.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert kept[16:20] == made.read_bytes()[16:20]  # as wide as the page shows it
