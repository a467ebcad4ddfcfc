from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.rule import Condition, Rule, Target
from bot.analytics.windows import Window
from bot.errors import BadInput
from tests.alerts.examples import REGISTRY, rule


@pytest.mark.parametrize("name", REGISTRY)
def test_every_example_is_a_rule(name: str) -> None:
    assert rule(REGISTRY[name].example).conditions[0].metric == name


def test_a_rule_with_everything() -> None:
    assert rule(
        'flow spy 1m < -$2.5bn and excess 3m >= 2pp confirm 3 cooldown 5 until 2021-06-30 silent note "Sell?"'
    ) == Rule(
        (
            Condition(
                "flow", (("fund", "SPY"), ("window", Window("m", 1))), "<", Target("amount", -2.5e9, "$")
            ),
            Condition("excess", (("window", Window("m", 3)),), ">=", Target("amount", 2.0, "pp")),
        ),
        confirm=3,
        cooldown=5,
        until=dt.date(2021, 6, 30),
        silent=True,
        note="Sell?",
    )


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        # spacing, case and glue
        ("ratio > sma200", "ratio > sma 200"),
        ("RATIO>SMA200", "ratio > sma 200"),
        ("ratio>=0.5", "ratio >= 0.5"),
        ("  ratio   <   0.50 ", "ratio < 0.5"),
        ("ratio ≥ 0.5", "ratio >= 0.5"),
        ("ratio ≤ 0.5", "ratio <= 0.5"),
        ("ratio > pct97.5", "ratio > pct 97.5"),
        ("ratio > pct 90%", "ratio > pct 90"),
        ("ratio > pct 0", "ratio > pct 0"),
        ("ratio > pct 100", "ratio > pct 100"),
        ("ratio > high 1", "ratio > high 1"),
        ("ratio > sma 2", "ratio > sma 2"),
        ("ratio > sma 5000", "ratio > sma 5000"),
        # arguments: defaults filled in, any order, each by its kind
        ("flow > $1", "flow iwm 20d > $1"),
        ("flow 5d spy > $1", "flow spy 5d > $1"),
        ("flow SPY > $1", "flow spy 20d > $1"),
        ("flow since 2020-01-02 > $1", "flow iwm since 2020-01-02 > $1"),
        ("flow ytd iwm > $1", "flow iwm ytd > $1"),
        ("iwm flow 5d > $1", "flow iwm 5d > $1"),
        ("gauge > 5%", "gauge 200 > 5%"),
        ("gauge 2 > 5%", "gauge 2 > 5%"),
        ("gauge 500 > 5%", "gauge 500 > 5%"),
        ("gauge 50d > 5%", "gauge 50 > 5%"),
        ("gauge 50 days > 5%", "gauge 50 > 5%"),
        ("excess 3 months < -2pp", "excess 3m < -2pp"),
        ("channel > 2", "channel since 2010-01-04 > 2"),
        ("channel since 2012-05-06 > 2", "channel since 2012-05-06 > 2"),
        ("channel 2012-05-06 > 2", "channel since 2012-05-06 > 2"),
        ("pe positive spy > 25x", "pe spy positive > 25x"),
        ("pe losses in > 25", "pe iwm losses_in > 25x"),
        ("gauge low > 5%", "gauge_low 50 > 5%"),
        # amounts
        ("flow iwm 5d > 1.5bn", "flow iwm 5d > $1.5bn"),
        ("flow iwm 5d > $1,500m", "flow iwm 5d > $1.5bn"),
        ("flow iwm 5d < −$250k", "flow iwm 5d < -$250k"),
        ("flow iwm 5d < $-250 k", "flow iwm 5d < -$250k"),
        ("gauge 200 > 20 %", "gauge 200 > 20%"),
        ("gauge 200 > 0", "gauge 200 > 0%"),
        ("excess 3m > 2 points once", "excess 3m > 2pp once"),
        ("ratio > .5", "ratio > 0.5"),
        # comparisons in words
        ("ratio above 0.5", "ratio > 0.5"),
        ("ratio is over 0.5", "ratio > 0.5"),
        ("ratio rises above 0.5", "ratio > 0.5"),
        ("ratio crosses above 0.5", "ratio > 0.5"),
        ("ratio goes back above 0.5", "ratio > 0.5"),
        ("ratio more than 0.5", "ratio > 0.5"),
        ("ratio below 0.5", "ratio < 0.5"),
        ("ratio falls under 0.5", "ratio < 0.5"),
        ("ratio crosses below 0.5", "ratio < 0.5"),
        ("ratio less than 0.5", "ratio < 0.5"),
        ("ratio at least 0.5", "ratio >= 0.5"),
        ("ratio at most 0.5", "ratio <= 0.5"),
        ("ratio Crosses 0.5", "ratio crosses 0.5"),
        ("ratio cross 0.5", "ratio crosses 0.5"),
        # targets in words
        ("trend crosses its 200 day average", "ratio crosses sma 200"),
        ("ratio above its 200-day moving average", "ratio > sma 200"),
        ("ratio above the 50 session simple moving average", "ratio > sma 50"),
        ("ratio > 200dma", "ratio > sma 200"),
        ("ratio > 200 sma", "ratio > sma 200"),
        ("ratio above its 250 day high", "ratio > high 250"),
        ("ratio below its 20-day low", "ratio < low 20"),
        ("ratio above its 52-week high", "ratio > high 252"),
        ("ratio above its 90th percentile", "ratio > pct 90"),
        # metrics in words
        ("iwm inflows 5d above $1bn", "flow iwm 5d > $1bn"),
        ("inflow into spy 5d above $1bn", "flow spy 5d > $1bn"),
        ("pe premium over 20 %", "pe_premium losses_in > 20%"),
        ("P/E premium > 20%", "pe_premium losses_in > 20%"),
        ("P/E of spy > 20", "pe spy losses_in > 20x"),
        ("iwm/spy > 0.5", "ratio > 0.5"),
        # outflows are the mirror
        ("spy outflows 1m over $2bn", "flow spy 1m < -$2bn"),
        ("outflow 5d < $1bn", "flow iwm 5d > -$1bn"),
        ("outflows 5d at least $1bn", "flow iwm 5d <= -$1bn"),
        ("outflows 5d at most $1bn", "flow iwm 5d >= -$1bn"),
        ("outflows 5d crosses $1bn", "flow iwm 5d crosses -$1bn"),
        ("outflows 5d > 0", "flow iwm 5d < $0"),
        ("outflows 5d > $1bn rearm $500m", "flow iwm 5d < -$1bn rearm -$500m"),
        ("outflows 5d > $1bn rearm 0", "flow iwm 5d < -$1bn rearm $0"),
        # options
        ("ratio > 0.5 confirm 1", "ratio > 0.5"),
        ("ratio > 0.5 confirm 250", "ratio > 0.5 confirm 250"),
        ("ratio > 0.5 confirm 3 sessions once", "ratio > 0.5 confirm 3 once"),
        ("ratio > 0.5 once confirm 3d", "ratio > 0.5 confirm 3 once"),
        ("ratio > 0.5 for 3 days once", "ratio > 0.5 confirm 3 once"),
        ("ratio > 0.5 for 3 sessions in a row", "ratio > 0.5 confirm 3"),
        ("ratio > 0.5 cooldown 250", "ratio > 0.5 cooldown 250"),
        ("ratio > 0.5, confirm 2, once", "ratio > 0.5 confirm 2 once"),
        ("ratio > 0.5 rearm at 0.49", "ratio > 0.5 rearm 0.49"),
        ("ratio < 0.5 re-arm 0.51", "ratio < 0.5 rearm 0.51"),
        ("gauge 200 >= 5% rearm 0", "gauge 200 >= 5% rearm 0%"),
        ("gauge 200 <= -5% rearm -4 %", "gauge 200 <= -5% rearm -4%"),
        ("ratio > 0.5 Urgent once", "ratio > 0.5 once urgent"),
        ("ratio > 0.5 SILENT until 2021-01-01", "ratio > 0.5 until 2021-01-01 silent"),
        ('ratio > 0.5 note "Over  the Top, and out"', 'ratio > 0.5 note "Over the Top, and out"'),
        ("ratio > 0.5 note “sma200 > 5” once", 'ratio > 0.5 once note "sma200 > 5"'),
        ('ratio > 0.5 note ""', "ratio > 0.5"),
        # and
        (
            "ratio > 0.5 and gauge > 5% AND excess 3m > 0",
            "ratio > 0.5 and gauge 200 > 5% and excess 3m > 0pp",
        ),
        ("ratio crosses 0.5 and gauge > 5%", "ratio crosses 0.5 and gauge 200 > 5%"),
    ],
)
def test_what_is_typed_has_one_canonical_text(typed: str, canonical: str) -> None:
    assert str(rule(typed)) == canonical
    assert rule(canonical) == rule(typed)


def test_five_conditions_are_taken() -> None:
    assert len(rule(" and ".join(["ratio > 1"] * 5)).conditions) == 5


WORDS = st.sampled_from(
    [
        "ratio",
        "gauge",
        "flow",
        "pe",
        "premium",
        "outflows",
        "iwm",
        "spy",
        "5d",
        "200",
        "day",
        "average",
        "90th",
        "percentile",
        "since",
        "2020-01-02",
        ">",
        "<",
        ">=",
        "<=",
        "=",
        "crosses",
        "above",
        "below",
        "at",
        "least",
        "5%",
        "0",
        "$1bn",
        "-2pp",
        "0.5",
        "sma",
        "high",
        "low",
        "pct",
        "20",
        "and",
        "confirm",
        "3",
        "rearm",
        "once",
        "cooldown",
        "until",
        "urgent",
        "silent",
        "note",
        '"x"',
        "“y”",
        '"',
        ",",
        "its",
    ]
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=14).map(" ".join)))
def test_anything_typed_is_a_rule_or_a_plain_mistake(typed: str) -> None:
    try:
        made = rule(typed)
    except BadInput as err:
        assert rule(err.example)  # noqa: PT017 - the example is what is tested
    else:
        assert rule(str(made)) == made


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("\u202eevil\u202c \u2066text\u2069", "evil text"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("bell\x07 and\ttab", "bell and tab"),
        ("\U0001f469\u200d\U0001f4bb works", "\U0001f469\u200d\U0001f4bb works"),
    ],
)
def test_a_note_keeps_no_character_that_turns_or_hides_text(typed: str, kept: str) -> None:
    assert rule(f'ratio > 0.5 note "{typed}"').note == kept
