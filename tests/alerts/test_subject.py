from __future__ import annotations

import pytest

from bot.alerts.grammar import parse_subject
from bot.analytics.metrics import METRICS
from bot.analytics.windows import Window, parse_window
from bot.errors import BadInput
from tests.alerts.examples import REGISTRY


@pytest.mark.parametrize(
    ("text", "windows", "metric", "arguments", "span"),
    [
        ("ratio", [], "ratio", {}, None),
        ("trend", ["5y"], "ratio", {}, "5y"),
        ("gauge 100", ["3y"], "gauge", {"n": 100}, "3y"),
        # of a metric with a window the first is its own, the next the span
        ("flow spy", ["5d"], "flow", {"fund": "SPY", "window": "5d"}, None),
        ("flow", ["5d", "3y"], "flow", {"fund": "IWM", "window": "5d"}, "3y"),
        ("spy flow", [], "flow", {"fund": "SPY", "window": "20d"}, None),
        # a date is the metric's where it takes one, otherwise a span
        ("channel", ["since 2012-05-06"], "channel", {"since": "since 2012-05-06"}, None),
        ("channel", ["3y"], "channel", {"since": "since 2010-01-04"}, "3y"),
        ("channel", ["since 2012-05-06", "3y"], "channel", {"since": "since 2012-05-06"}, "3y"),
        ("ratio", ["since 2012-05-06"], "ratio", {}, "since 2012-05-06"),
    ],
)
def test_windows_go_to_the_metric_first(
    text: str, windows: list[str], metric: str, arguments: dict[str, object], span: str | None
) -> None:
    found, given, left = parse_subject(text, [parse_window(each) for each in windows], REGISTRY)
    assert found is REGISTRY[metric]
    assert {name: str(v) if isinstance(v, Window) else v for name, v in given.items()} == arguments
    assert left == (parse_window(span) if span else None)


def test_a_metric_without_its_window_says_so() -> None:
    with pytest.raises(BadInput, match=r"^excess needs a window"):
        parse_subject("excess", [], REGISTRY)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "beta 100000",
            "“100000” is not understood after “beta”; expected a number of sessions from 3 to 5000.",
        ),
        ("ratio 5", "“5” is not understood after “ratio”; expected nothing more."),
        ("flow iwm 5d 7", "“7” is not understood after “5d”; expected nothing more."),
        # other words for a metric, and a fund before it
        ("spy flows qqq", "“qqq” is not understood after “flows”; expected a window (5d, 3m, ytd)."),
        (
            "inflows qqq",
            (
                "“qqq” is not understood after “inflows”; "
                "expected a fund (iwm or spy) or a window (5d, 3m, ytd)."
            ),
        ),
    ],
)
def test_a_mistake_says_nothing_of_a_comparison(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_subject(text, [], METRICS)
    assert caught.value.sentence == sentence


def test_a_mistake_comes_with_a_rule_on_the_same_metric() -> None:
    with pytest.raises(BadInput) as caught:
        parse_subject("beta 100000", [], METRICS)
    assert caught.value.example == METRICS["beta"].example
