import pandas as pd
import pytest

from bot.alerts.grammar import WORDS, parse_rule
from bot.analytics.metrics import METRICS, metrics_of
from bot.analytics.windows import AsOf
from bot.messages.pages.help import Entry, help_page, metric_list
from bot.pair import DEFAULT_PAIR
from tests.messages.pages import shown

ENTRIES = (
    Entry("compare", "[window ...] [tr|price]", "who leads", example="/compare 3y"),
    Entry("alert", "RULE", "tell me when a rule turns true", example="/alert ratio > sma 200"),
    Entry("status", "", "age of the data & <queue>"),
)


def test_help_lists_every_command_as_given() -> None:
    lines = shown(help_page("", ENTRIES, DEFAULT_PAIR))
    assert lines[:4] == [
        "Commands",
        "/compare [window ...] [tr|price]: who leads",
        "/alert RULE: tell me when a rule turns true",
        "/status: age of the data & <queue>",
    ]
    assert "Windows: 5d, 1w, 3m, 1y, ytd, mtd, max, since 2020-09-30." in lines


@pytest.mark.parametrize("topic", ["compare", " /Compare ", "COMPARE"])
def test_help_with_a_command_shows_its_page(topic: str) -> None:
    answer = help_page(topic, ENTRIES, DEFAULT_PAIR)
    head = ["/compare [window ...] [tr|price]", "Who leads.", "Example: /compare 3y"]
    assert shown(answer)[:3] == head
    assert answer.buttons == ((("Try it", "/compare 3y"),),)


def test_help_with_alert_tells_the_grammar() -> None:
    lines = shown(help_page("alert", ENTRIES, DEFAULT_PAIR))
    fires = "An alert fires when its rule turns true, then waits until the value is back past its re-arm level."
    options = (
        "Options: confirm N · rearm AMOUNT · cooldown N · remind N · and back · once · until DATE · urgent · "
        'silent · note "..."'
    )
    assert lines[4:8] == [
        "A rule: metric, comparison (> < >= <= crosses), target.",
        "Targets: an amount, sma N, high N, low N, pct P. Join conditions with and, or.",
        options,
        f"Rules are evaluated on completed sessions. {fires}",
    ]
    for line in lines:
        if line.startswith("/alert ") and "RULE" not in line:
            parse_rule(line.removeprefix("/alert "), METRICS)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_has_a_page(name: str) -> None:
    metric = METRICS[name]
    lines = shown(help_page(name.upper(), ENTRIES, DEFAULT_PAIR))
    assert lines[0] == f"{name} · {metric.title}"
    assert {metric.meaning, f"Formula: {metric.formula}", f"Unit: {metric.unit.words}."} <= set(lines)
    assert lines[-1] == f"Alert: /alert {metric.example}"
    assert ("The figure of a session is known one session later." in lines) is bool(metric.lag)
    assert any(line.startswith("Takes ") for line in lines) is bool(metric.parameters)


CONVENTIONS = "Takes a convention, losses_in, positive, capped, morningstar or yahoo"


@pytest.mark.parametrize(
    ("name", "stored", "line"),
    [
        ("flow", None, "Takes a fund, iwm or spy (default iwm); a window (default 20d)."),
        ("beta", None, "Takes a number of sessions, 3 to 5,000 (default 252)."),
        ("channel", None, "Takes since DATE (default 2010-01-04)."),
        ("pe_premium", None, f"{CONVENTIONS} (default morningstar)."),
        ("pe_premium", "losses_in", f"{CONVENTIONS} (default losses_in)."),
    ],
)
def test_a_metrics_arguments_are_told_with_their_defaults(name: str, stored: str | None, line: str) -> None:
    assert line in shown(help_page(name, ENTRIES, DEFAULT_PAIR, metrics_of(DEFAULT_PAIR, stored)))


def test_the_list_of_metrics_has_a_line_and_a_button_each() -> None:
    answer = help_page("metrics", ENTRIES, DEFAULT_PAIR)
    lines = shown(answer)
    assert len(lines) == len(METRICS) + 3
    assert {"ratio IWM/SPY", "excess Total-return gap (pp)", "flow Fund flow ($)"} <= set(lines)
    assert [line for row in answer.buttons for _, line in row] == [
        f"/chart {metric.subject}" for metric in METRICS.values()
    ]
    assert help_page("metric", ENTRIES, DEFAULT_PAIR) == answer


def test_the_lists_buttons_keep_the_moment() -> None:
    answer = metric_list(AsOf(asof=pd.Timestamp("2020-12-13")), DEFAULT_PAIR)
    assert answer.buttons[0][0] == ("ratio", "/chart ratio asof 2020-12-13")


@pytest.mark.parametrize(("name", "usage"), [("multiples", ""), ("sectors", ""), ("why", "[window]")])
def test_only_a_command_that_takes_windows_explains_them(name: str, usage: str) -> None:
    lines = shown(help_page(name, [Entry(name, usage, "what is paid")], DEFAULT_PAIR))
    assert any(line.startswith("Windows:") for line in lines) is bool(usage)
    assert any(line.startswith("Market commands take asof") for line in lines)


@pytest.mark.parametrize("word", [*WORDS, "OR", "back", "windows", "ytd", "tr", "pp", "x", "asof"])
def test_every_word_that_the_bot_uses_has_help(word: str) -> None:
    answer = help_page(word, [Entry("help", "[word]", "help")], DEFAULT_PAIR)
    assert len(shown(answer)) >= 2
    for line in (line for line in shown(answer) if line.startswith("Example: ")):
        parse_rule(line.removeprefix("Example: /alert "), METRICS)  # it is a rule
