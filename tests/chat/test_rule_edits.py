from __future__ import annotations

import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.registry import METRICS
from bot.chat.rule_edits import edited
from bot.errors import BadInput

ONE = "excess 3m > 5pp rearm 3pp cooldown 5"
TWO = "ratio > sma 200 and flow_gap 20d > 1pp confirm 2"


@pytest.mark.parametrize(
    ("rule", "words", "now"),
    [
        (ONE, "ratio > sma 50", "ratio > sma 50"),
        (ONE, "> 6pp", "excess 3m > 6pp rearm 4pp cooldown 5"),
        (ONE, "above 6 pp", "excess 3m > 6pp rearm 4pp cooldown 5"),
        (ONE, ">= 6pp", "excess 3m >= 6pp rearm 4pp cooldown 5"),
        (ONE, "< -2pp", "excess 3m < -2pp cooldown 5"),
        (ONE, "crosses 0", "excess 3m crosses 0pp cooldown 5"),
        (ONE, "> sma 20", "excess 3m > sma 20 cooldown 5"),
        (ONE, "> 6pp rearm 5pp confirm 3", "excess 3m > 6pp confirm 3 rearm 5pp cooldown 5"),
        (ONE, "rearm 4pp", "excess 3m > 5pp rearm 4pp cooldown 5"),
        (ONE, "no rearm", "excess 3m > 5pp cooldown 5"),
        (ONE, "no cooldown", "excess 3m > 5pp rearm 3pp"),
        (ONE, "NO Cooldown", "excess 3m > 5pp rearm 3pp"),
        (ONE, 'note "Mind it" silent', 'excess 3m > 5pp rearm 3pp cooldown 5 silent note "Mind it"'),
        (ONE, "cooldown 9", "excess 3m > 5pp rearm 3pp cooldown 9"),
        (TWO, "leg 2 > 2pp", "ratio > sma 200 and flow_gap 20d > 2pp confirm 2"),
        (TWO, "Leg 1 < low 20 once", "ratio < low 20 and flow_gap 20d > 1pp confirm 2 once"),
        (TWO, "confirm 1", "ratio > sma 200 and flow_gap 20d > 1pp"),
        (TWO, "no confirm", "ratio > sma 200 and flow_gap 20d > 1pp"),
        (TWO, "until 2030-01-01", "ratio > sma 200 and flow_gap 20d > 1pp confirm 2 until 2030-01-01"),
        ('ratio > 0.5 note "confirm 9"', "once", 'ratio > 0.5 once note "confirm 9"'),
    ],
)
def test_words_change_a_rule(rule: str, words: str, now: str) -> None:
    made = edited(parse_rule(rule, METRICS), words, METRICS)
    assert str(made) == now
    assert parse_rule(now, METRICS) == made


@pytest.mark.parametrize(
    ("rule", "words", "said", "example"),
    [
        (TWO, "> 2pp", "The rule has 2 conditions; say which.", "leg 2 > 2pp"),
        (TWO, "leg 3 > 2pp", "There is no “leg 3”: the rule has 2 conditions.", "leg 2 > 2pp"),
        (TWO, "> 2x", "The rule has 2 conditions; say which.", "leg 1 > sma 50"),
        (TWO, "leg 2 > 2%", "“2%” is in %; this needs percentage points (pp).", "leg 2 > 2pp"),
        (ONE, "leg 2 > 2pp", "There is no “leg 2”: the rule has 1 condition.", "leg 1 > 2pp"),
        (
            TWO.replace(" confirm 2", ""),
            "no idea",
            "“idea” is no option of an alert.",
            "confirm 2",
        ),
        (ONE, "no once", "The rule has no “once”.", "no rearm"),
        (ONE, "no idea", "“idea” is no option of an alert.", "no rearm"),
        (ONE, "once", "“cooldown” does nothing with “once”.", "excess 3m > 5pp rearm 3pp once"),
        (
            TWO,
            "rearm 0.3",
            "“rearm” is for a single condition; with “and” each has its own band.",
            "confirm 3",
        ),
        (
            ONE,
            "> 6pp and ratio > 1",
            "To add a condition, type the whole rule.",
            "excess 3m > 5pp and ratio > 1 cooldown 5",
        ),
        (ONE, "confirm", "“confirm” needs a number of sessions from 1 to 250.", "confirm 3"),
        (ONE, "> 6pp confirm", "“confirm” needs a number of sessions from 1 to 250.", "> 6pp confirm 3"),
        (ONE, "> 6", "“6” has no unit; this needs percentage points (pp).", "> 6pp"),
        (ONE, "> 6%", "“6%” is in %; this needs percentage points (pp).", "> 6pp"),
        (ONE, "< -6%", "“-6%” is in %; this needs percentage points (pp).", "< -6pp"),
        (ONE, "> 5%", "“5%” is in %; this needs percentage points (pp).", "> 2pp"),
        ("flow iwm 5d > $1bn once", "> 2%", "“2%” is in %; this needs dollars.", "> $1.5bn"),
    ],
)
def test_what_cannot_be_changed_is_said(rule: str, words: str, said: str, example: str) -> None:
    with pytest.raises(BadInput) as refused:
        edited(parse_rule(rule, METRICS), words, METRICS)
    assert refused.value.sentence == said
    assert refused.value.example == example
    assert edited(parse_rule(rule, METRICS), example, METRICS) != parse_rule(rule, METRICS)
