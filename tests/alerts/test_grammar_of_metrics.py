"""The grammar on the real registry: every metric with every comparison, target and option."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import assume, given

from bot.alerts.grammar import MOST_CHARACTERS, parse_rule
from bot.alerts.rule import OPS, Rule
from bot.analytics.metrics import METRICS
from bot.errors import BadInput
from tests.alerts.strategies import THOUSAND, rules

TARGETS = ("amount", "-amount", "sma 200", "high 252", "low 20", "pct 97.5")
OPTIONS = (
    "",
    "confirm 3",
    "cooldown 10",
    "once",
    "until 2030-12-31",
    "urgent",
    "silent",
    'note "Über 90 %, endlich"',
    'confirm 2 cooldown 5 until 2030-12-31 urgent note "x"',
)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_goes_with_every_comparison_target_and_option(name: str) -> None:
    metric = METRICS[name]
    for op, target, option in product(OPS, TARGETS, OPTIONS):
        typed = f"{name} {op} {target.replace('amount', metric.unit.example)} {option}".strip()
        made = parse_rule(typed, METRICS)
        assert made.conditions[0].metric == name
        assert (made.conditions[0].op, str(made).endswith(option)) == (op, True)
        assert parse_rule(str(made), METRICS) == made
        assert Rule.from_json(made.to_json()) == made


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(("op", "sign"), [(">", -1), (">=", -1), ("<", 1), ("<=", 1)])
def test_every_metric_rearms_at_a_level_of_its_unit(name: str, op: str, sign: int) -> None:
    unit = METRICS[name].unit
    value = unit.parse(unit.example)
    made = parse_rule(f"{name} {op} {unit.example} rearm {unit.write(value + sign * value / 2)}", METRICS)
    assert made.rearm == value + sign * value / 2
    assert parse_rule(str(made), METRICS) == made
    assert Rule.from_json(made.to_json()) == made


@THOUSAND
@given(rules(METRICS))
def test_any_rule_survives_its_text_and_its_json(made: Rule) -> None:
    assert Rule.from_json(made.to_json()) == made
    assert Rule.from_json(made.to_json()).to_json() == made.to_json()
    assume(len(str(made)) <= MOST_CHARACTERS)
    again = parse_rule(str(made), METRICS)
    assert again == made
    assert str(again) == str(made)


@pytest.mark.parametrize("name", METRICS)
def test_a_misspelt_metric_is_recognised(name: str) -> None:
    typed = f"{name}x > 0"
    with pytest.raises(BadInput) as caught:
        parse_rule(typed, METRICS)
    found = re.fullmatch(rf"“{name}x” is not a metric\. Did you mean (\w+)\?", caught.value.sentence)
    assert found
    assert parse_rule(caught.value.example, METRICS)


@pytest.mark.parametrize(
    ("word", "few", "example"),
    [
        ("zzz", "ratio, ratio_vs_sma, excess", "ratio > sma 200"),
        ("price", "pe, pcf, pfcf", "pe iwm > 25x"),
        ("returns", "units, momentum, breakout", "units iwm 3m > 5%"),
    ],
)
def test_an_unknown_metric_is_answered_with_a_few_names_and_where_the_rest_is(
    word: str, few: str, example: str
) -> None:
    with pytest.raises(BadInput) as caught:
        parse_rule(f"{word} > 5", METRICS)
    assert str(caught.value) == (
        f"“{word}” is not a metric. Some metrics: {few}. All: /help metrics Example: {example}"
    )


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        # the specification's own words
        ("iwm inflows 5d above $1bn", "flow iwm 5d > $1bn"),
        ("spy outflows 5d above $1bn", "flow spy 5d < -$1bn"),
        ("outflows 5d below $1bn", "flow iwm 5d > -$1bn"),
        ("pe premium over 20 %", "pe_premium morningstar > 20%"),
        ("trend crosses its 200 day average", "ratio crosses sma 200"),
        ("ratio_vs_sma 200 > 5%", "ratio_vs_sma 200 > 5%"),
        ("excess 3m < -2pp", "excess 3m < -2pp"),
        ("ratio above sma 200", "ratio > sma 200"),
        ("ratio over sma 200", "ratio > sma 200"),
        ("ratio crosses above sma 200", "ratio > sma 200"),
        ("ratio below sma 200", "ratio < sma 200"),
        ("ratio under sma 200", "ratio < sma 200"),
        ("ratio crosses below sma 200", "ratio < sma 200"),
        ("FLOW IWM 5D > $1B", "flow iwm 5d > $1bn"),
        ("flow 5d > 1000m", "flow iwm 5d > $1bn"),
        ("flow 5d > $500k", "flow iwm 5d > $500k"),
        ("excess 3m > 0", "excess 3m > 0pp"),
        ("ratio vs sma 100 > 5%", "ratio_vs_sma 100 > 5%"),
        ("flow change spy 5d > $1bn", "flow_change spy 5d > $1bn"),
        ("dividend yield of spy under 1.2%", "yield spy morningstar < 1.2%"),
    ],
)
def test_friendly_spellings_on_the_real_metrics(typed: str, canonical: str) -> None:
    assert str(parse_rule(typed, METRICS)) == canonical
    assert parse_rule(canonical, METRICS) == parse_rule(typed, METRICS)


@pytest.mark.parametrize("window", ["ytd", "mtd", "since 2020-01-02"])
def test_a_change_of_flow_needs_a_window_with_a_length(window: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_rule(f"flow_change iwm {window} > $1bn", METRICS)
    word = window.split(maxsplit=1)[0]
    assert caught.value.sentence == (
        f"“{word}” is not understood after “iwm”; expected a window (5d, 1w, 3m, 1y) or "
        "a comparison (>, <, >=, <=, crosses)."
    )
    assert caught.value.example == "flow_change iwm 20d > $1bn"
