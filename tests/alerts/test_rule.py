from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from bot.alerts.rule import Condition, Rule, Target
from bot.analytics.windows import Window

FLOW = Condition("flow", (("fund", "IWM"), ("window", Window("d", 5))), ">", Target("amount", 1e9, "$"))
RATIO = Condition("ratio", (), "<=", Target("low", 250.0))
CHANNEL = Condition("channel", (("since", Window("since", since=dt.date(2010, 1, 4))),), "crosses", Target("pct", 97.5))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule((RATIO,)), "ratio <= low 250"),
        (Rule((FLOW,), rearm=-2.5e8), "flow iwm 5d > $1bn rearm -$250m"),
        (Rule((CHANNEL,), confirm=2), "channel since 2010-01-04 crosses pct 97.5 confirm 2"),
        (
            Rule((FLOW, RATIO), cooldown=5, until=dt.date(2021, 1, 1), silent=True, note="Mind the gap"),
            'flow iwm 5d > $1bn and ratio <= low 250 cooldown 5 until 2021-01-01 silent note "Mind the gap"',
        ),
        (Rule((RATIO,), confirm=3, back=True, once=True), "ratio <= low 250 confirm 3 and back once"),
        (Rule((RATIO,), remind=5), "ratio <= low 250 remind 5"),
        (Rule((RATIO,), rearm=0.0), "ratio <= low 250 rearm 0"),
        (
            Rule((RATIO, FLOW, RATIO, FLOW), (1, 3), once=True),
            "ratio <= low 250 or flow iwm 5d > $1bn and ratio <= low 250 or flow iwm 5d > $1bn once",
        ),
        (Rule((RATIO,), urgent=True, note="Now"), 'ratio <= low 250 urgent note "Now"'),
    ],
)
def test_canonical_text_and_json(rule: Rule, text: str) -> None:
    assert str(rule) == text
    assert Rule.from_json(rule.to_json()) == rule


def test_the_json_of_a_bare_rule_names_no_option() -> None:
    target = '{"kind":"low","value":250.0}'
    expected = f'{{"conditions":[{{"metric":"ratio","arguments":[],"op":"<=","target":{target}}}]}}'
    assert Rule((RATIO,)).to_json() == expected
    assert Rule((RATIO,), urgent=True).to_json() == expected[:-1] + ',"urgent":true}'


def test_the_subject_is_what_is_watched() -> None:
    assert FLOW.subject == "flow iwm 5d"
    assert RATIO.subject == "ratio"


@pytest.mark.parametrize(
    ("unit", "text"), [("$", "-$2.5"), ("%", "-2.5%"), ("pp", "-2.5pp"), ("x", "-2.5x"), ("", "-2.5")]
)
def test_amounts_are_written_in_their_unit(unit: str, text: str) -> None:
    assert str(Target("amount", -2.5, unit)) == text


JSON = (
    '{"conditions":[{"metric":"flow","arguments":[["fund","IWM"],["window",{"kind":"d","count":5}]],'
    '"op":">","target":{"kind":"amount","value":1000000000.0,"unit":"$"}},'
    '{"metric":"channel","arguments":[["since",{"kind":"since","since":"2010-01-04"}]],'
    '"op":"crosses","target":{"kind":"pct","value":97.5}}],'
    '"confirm":2,"rearm":0.0,"cooldown":3,"once":true,"until":"2021-01-01","silent":true,"note":"größer"}'
)


def test_the_json_of_a_rule_holds_windows_in_their_parts() -> None:
    rule = Rule(
        (FLOW, CHANNEL),
        confirm=2,
        rearm=0.0,
        cooldown=3,
        once=True,
        until=dt.date(2021, 1, 1),
        silent=True,
        note="größer",
    )
    assert rule.to_json() == JSON
    assert Rule.from_json(JSON) == rule


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("}}],", "}}]"),  # cut off
        ('"op":">",', ""),
        ('"confirm":2', '"confirm":2,"extra":1'),
        ('"metric":"flow"', '"metric":"flow","extra":1'),
        ('"confirm":2', '"confirm":"2"'),
        ('"once":true', '"once":1'),
        ('"rearm":0.0', '"rearm":NaN'),
        ('"rearm":0.0', '"rearm":1e999'),
        ("97.5", "null"),
        ('"IWM"', "1.5"),
        ('"2021-01-01"', '"2021-02-30"'),
        ('"kind":"d"', '"kind":"q"'),
        ('"kind":"d"', '"kind":"ytd"'),
        ('"count":5', '"count":0'),
        ('"count":5', '"count":20001'),
        ('"kind":"since",', ""),
        ('"since":"2010-01-04"', '"since":"2010-02-30"'),
        (',"since":"2010-01-04"', ""),
    ],
)
def test_a_damaged_rule_is_refused(old: str, new: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        Rule.from_json(JSON.replace(old, new))
