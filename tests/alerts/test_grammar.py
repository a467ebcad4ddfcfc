"""What can be typed: a spelling has one canonical text, a mistake names the word and what works."""

from __future__ import annotations

import datetime as dt
import re
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.alerts.grammar import MOST_CHARACTERS, WORDS, Word, parse_rule, parse_subject
from bot.alerts.rule import OPS, Condition, Rule, Target
from bot.analytics.metrics import METRICS, metrics_of
from bot.analytics.windows import Window, parse_window
from bot.errors import BadInput
from bot.pair import Fund, Pair
from tests.alerts.examples import REGISTRY, rule
from tests.alerts.strategies import rules


def test_a_rule_with_everything() -> None:
    assert rule(
        'flow spy 1m < -$2.5bn and excess 3m >= 2pp confirm 3 cooldown 5 until 2021-06-30 silent note "Sell?"'
    ) == Rule(
        (
            Condition("flow", (("fund", "SPY"), ("window", Window("m", 1))), "<", Target("amount", -2.5e9, "$")),
            Condition("excess", (("window", Window("m", 3)),), ">=", Target("amount", 2.0, "pp")),
        ),
        confirm=3,
        cooldown=5,
        until=dt.date(2021, 6, 30),
        silent=True,
        note="Sell?",
    )


# By canonical text what can be typed for it.
SPELLINGS = {
    "ratio > sma 200": (
        "ratio > sma200 | RATIO>SMA200 | ratio above its 200-day moving average | ratio > 200dma | ratio > 200 sma"
    ),
    "ratio >= 0.5": "ratio>=0.5 | ratio ≥ 0.5 | ratio at least 0.5 | ratio => 0.5 | ratio => 0,5",
    "ratio < 0.5": (
        "  ratio   <   0.50  | ratio below 0.5 | ratio falls under 0.5 | ratio crosses below 0.5 | ratio less than 0.5"
    ),
    "ratio <= 0.5": "ratio ≤ 0.5 | ratio at most 0.5 | ratio =< 0.5",
    "ratio > 0.4 and ratio < 0.5": "ratio between 0.4 and 0.5 | ratio Between 0,4 AND 0,5",
    "flow iwm 5d < -$1bn and flow iwm 5d > -$2bn": "outflows between $1bn and $2bn in 5 days",
    "ratio > sma 200 and excess 3m > 5pp": ("ratio > sma 200 & excess 3m > 5% | ratio>sma200 && excess 3m>5 percent"),
    "ratio > sma 200 until 2026-12-31": (
        "ratio > sma 200 until 31 Dec 2026 | ratio > sma 200 until December 31st, 2026 | "
        "ratio > sma 200 until 2026-12 | ratio > sma 200 until 2026 | ratio > sma 200 until 12/31/2026"
    ),
    "excess since 2019-12-31 > 5pp": "excess since Jan 2020 > 5pp | excess since 2020 > 5pp",
    "ratio > pct 97.5": "ratio > pct97.5",
    "ratio > pct 90": "ratio > pct 90% | ratio above its 90th percentile",
    "ratio > pct 0": "ratio > pct 0",
    "ratio > pct 100": "ratio > pct 100",
    "ratio > high 1": "ratio > high 1",
    "ratio > sma 2": "ratio > sma 2",
    "ratio > sma 5000": "ratio > sma 5000",
    "flow iwm 20d > $1": "flow > $1",
    "flow spy 5d > $1": "flow 5d spy > $1",
    "flow spy 20d > $1": "flow SPY > $1",
    "flow iwm since 2020-01-02 > $1": "flow since 2020-01-02 > $1",
    "flow iwm ytd > $1": "flow ytd iwm > $1",
    "flow iwm 5d > $1": "iwm flow 5d > $1",
    "gauge 200 > 5%": "gauge > 5%",
    "gauge 2 > 5%": "gauge 2 > 5%",
    "gauge 500 > 5%": "gauge 500 > 5%",
    "gauge 50 > 5%": "gauge 50d > 5% | gauge 50 days > 5%",
    "excess 3m < -2pp": "excess 3 months < -2pp",
    "channel since 2010-01-04 > 2": "channel > 2",
    "channel since 2012-05-06 > 2": "channel since 2012-05-06 > 2 | channel 2012-05-06 > 2",
    "pe spy positive > 25x": "pe positive spy > 25x",
    "pe iwm losses_in > 25x": "pe losses in > 25",
    "pe iwm losses_in > 50x": "pe iwm losses-in > 50x",
    "gauge_low 50 > 5%": "gauge low > 5%",
    "flow iwm 5d > $1.5bn": (
        "flow iwm 5d > 1.5bn | flow iwm 5d > $1,500m | flow iwm 5d > 1.5 billion | "
        "flow iwm 5d > $1.500,0 mio | flow iwm > $1,5 bln in 5 days | iwm flow > 1,500,000,000 within 5d"
    ),
    "flow iwm 5d < -$250k": (
        "flow iwm 5d < −$250k | flow iwm 5d < $-250 k | flow iwm 5d < –250 thousand | flow iwm 5d < −$250,000"
    ),
    "gauge 200 > 20%": "gauge 200 > 20 %",
    "excess 3m > 2pp once": "excess 3m > 2 points once",
    "ratio > 0.5": (
        "ratio > .5 | ratio above 0.5 | ratio is over 0.5 | ratio rises above 0.5 | "
        "ratio crosses above 0.5 | ratio goes back above 0.5 | ratio more than 0.5 | iwm/spy > 0.5 | "
        'ratio > 0.5 confirm 1 | ratio > 0.5 note ""'
    ),
    "ratio crosses 0.5": "ratio Crosses 0.5 | ratio cross 0.5",
    "ratio crosses sma 200": (
        "trend crosses its 200 day average | Tell me when the trend crosses its 200-day average | "
        "please alert me if the ratio crosses 200 dma"
    ),
    "ratio > sma 50": "ratio above the 50 session simple moving average",
    "ratio > high 250": "ratio above its 250 day high",
    "ratio < low 20": "ratio below its 20-day low",
    "ratio > high 252": "ratio above its 52-week high | ratio at 1-year high | ratio hits a new 52 week high",
    "ratio < low 252": "ratio makes a new one-year low",
    "gauge 200 > 0%": "gauge > 0% | gauge is positive | gauge turns positive",
    "flow iwm 5d > $1bn": "iwm inflows 5d above $1bn",
    "flow spy 5d > $1bn": "inflow into spy 5d above $1bn",
    "pe_premium losses_in > 20%": "pe premium over 20 % | P/E premium > 20%",
    "pe spy losses_in > 20x": "P/E of spy > 20",
    "flow spy 1m < -$2bn": "spy outflows 1m over $2bn",
    "flow iwm 5d > -$1bn": "outflow 5d < $1bn",
    "flow iwm 5d <= -$1bn": "outflows 5d at least $1bn",
    "flow iwm 5d >= -$1bn": "outflows 5d at most $1bn",
    "flow iwm 5d crosses -$1bn": "outflows 5d crosses $1bn",
    "flow iwm 5d < $0": "outflows 5d > 0",
    "flow iwm 5d < -$1bn rearm -$500m": "outflows 5d > $1bn rearm $500m",
    "flow iwm 5d < -$1bn rearm $0": "outflows 5d > $1bn rearm 0",
    "ratio > 0.5 confirm 250": "ratio > 0.5 confirm 250",
    "ratio > 0.5 confirm 3 once": (
        "ratio > 0.5 confirm 3 sessions once | ratio > 0.5 once confirm 3d | ratio > 0.5 for 3 days once"
    ),
    "ratio > 0.5 confirm 3": "ratio > 0.5 for 3 sessions in a row | ratio > 0.5 3 days in a row",
    "ratio > 0.5 cooldown 250": "ratio > 0.5 cooldown 250",
    "ratio > 0.5 confirm 2 once": "ratio > 0.5, confirm 2, once",
    "ratio > 0.5 rearm 0.49": "ratio > 0.5 rearm at 0.49",
    "ratio < 0.5 rearm 0.51": "ratio < 0.5 re-arm 0.51",
    "gauge 200 >= 5% rearm 0%": "gauge 200 >= 5% rearm 0",
    "gauge 200 <= -5% rearm -4%": "gauge 200 <= -5% rearm -4 %",
    "ratio > 0.5 once urgent": "ratio > 0.5 Urgent once",
    "ratio > 0.5 until 2021-01-01 silent": "ratio > 0.5 SILENT until 2021-01-01",
    'ratio > 0.5 note "Over the Top, and out"': 'ratio > 0.5 note "Over  the Top, and out"',
    'ratio > 0.5 once note "sma200 > 5"': "ratio > 0.5 note “sma200 > 5” once",
    "ratio > 0.5 and gauge 200 > 5% and excess 3m > 0pp": "ratio > 0.5 and gauge > 5% AND excess 3m > 0",
    "ratio crosses 0.5 and gauge 200 > 5%": "ratio crosses 0.5 and gauge > 5%",
}


@pytest.mark.parametrize("canonical", SPELLINGS)
def test_what_is_typed_has_one_canonical_text(canonical: str) -> None:
    for typed in SPELLINGS[canonical].split(" | "):
        assert str(rule(typed)) == canonical
        assert rule(typed) == rule(canonical)


def test_a_chart_of_a_fund_alone_lacks_a_metric() -> None:
    with pytest.raises(BadInput, match="A metric is missing") as caught:
        parse_subject("spy", [], REGISTRY)
    assert caught.value.example == "flow spy 5d > $1bn"


@pytest.mark.parametrize(
    "text",
    [
        "ratio >= 0.5 and ratio <= 0.5",
        "ratio > 0.5 or ratio < 0.5",
        "ratio > 0.4 and gauge 200 > 1% or ratio < 0.5",
        "ratio > 0.6 and ratio < sma 20",
        "ratio > 0.5 and ratio > 0.4 and pe iwm losses_in > 5x and pe spy losses_in < 4x",
    ],
)
def test_amounts_of_one_metric_that_leave_something_open_are_taken(text: str) -> None:
    assert str(rule(text)) == text


def test_five_conditions_are_taken() -> None:
    assert len(rule(" and ".join(["ratio > 1"] * 5)).conditions) == 5


FUZZ_WORDS = (
    "ratio gauge flow pe premium outflows iwm spy 5d 200 day average 90th percentile since 2020-01-02 "
    "> < >= <= = crosses above below at least 5% 0 $1bn -2pp 0.5 sma high low pct 20 and confirm 3 "
    'rearm once cooldown until urgent silent note "x" “y” " , its'
)


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(FUZZ_WORDS.split()), max_size=14).map(" ".join)))
def test_anything_typed_is_a_rule_or_a_plain_mistake(typed: str) -> None:
    try:
        parsed = rule(typed)
    except BadInput as err:
        assert not err.example or rule(err.example)  # noqa: PT017 - the example is what is tested
    else:
        assert rule(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        ("\u202eevil\u202c \u2066text\u2069", "evil text"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("bell\x07 and\ttab", "bell and tab"),
        ("\U0001f469\u200d\U0001f4bb works", "\U0001f469\u200d\U0001f4bb works"),
    ],
)
def test_a_note_keeps_no_character_that_turns_or_hides_text(typed: str, note: str) -> None:
    assert rule(f'ratio > 0.5 note "{typed}"').note == note


# Mistakes

COMPARISON = "a comparison (>, <, >=, <=, crosses)"
OPTIONS = "and, or, confirm, rearm, cooldown, remind, back, once, until, urgent, silent or note"
TARGETS = "or sma, high, low or pct with a number"
# By the example that is shown: what is typed, and the sentence about it.
MISTAKES = {
    "ratio > sma 200": {
        "": "A rule needs a metric, a comparison and a target.",
        "ratoi > 5": "“ratoi” is not a metric. Did you mean ratio?",
        "Trent > 5": "“Trent” is not a metric. Did you mean trend?",
        "ratio": f"The rule stops after “ratio”; expected {COMPARISON}.",
        "ratio 0.5": f"“0.5” is not understood after “ratio”; expected {COMPARISON}.",
        'ratio "x"': f"“x” is not understood after “ratio”; expected {COMPARISON}.",
        "ratio Abov 5": "“Abov” is not understood after “ratio”. Did you mean above?",
        "iwm ratio > 5": "“iwm” does not go with ratio.",
        "ratio >": f"“>” has no target; expected an amount such as 0.52, {TARGETS}.",
        "ratio > Hello": f"“Hello” is not a target; expected an amount such as 0.52, {TARGETS}.",
        "ratio > smma 200": "“smma” is not a target. Did you mean sma?",
        "ratio > 5z": "“5z” is not an amount.",
        "ratio > 5%": "“5%” is in %; this needs a plain number.",
        "ratio > sma": "“sma” needs a number of sessions from 2 to 5000.",
        "ratio > sma 200 rearmm 0.4": "“rearmm” is not understood after “200”. Did you mean rearm?",
        "ratio > sma 200 rearm 0.5": "“rearm” needs a target that stands still; “sma 200” moves.",
    },
    "": {
        "zzz > 5": "“zzz” is not a metric. What should it watch? All metrics: /help metrics",
        "hello": "“hello” is not a metric. What should it watch? All metrics: /help metrics",
        "x" * 501: "A rule has at most 500 characters, not 501.",
    },
    "ratio > 5": {
        "ratio > 5 and": "The rule stops where a metric is expected.",
        "ratio > 5 and zzz > 1": "“zzz” is not a metric. All metrics: /help metrics",
    },
    " and ".join(["ratio > 1"] * 5): {" and ".join(["ratio > 1"] * 6): "A rule has at most 5 conditions, not 6."},
    "flow spy 5d > $1bn": {"spy": "The rule stops where a metric is expected."},
    "flow iwm 5d > $1bn": {
        "iwm": "The rule stops where a metric is expected.",
        "inflws > 5": "“inflws” is not a metric. Did you mean inflows?",
        "qqq inflows 5d above $1bn": "QQQ is not a fund of this bot; it compares IWM and SPY.",
        "iwm SPY flow > 5": "“SPY” does not go with flow.",
        "flow 1q > 5": ("“1q” is not a window; one of these works: 5d, 1w, 3m, 1y, ytd, mtd, max, since 2020-09-30."),
        "flow 101y > 5": "“101y” is out of range (1y to 100y).",
        "flow since 2020-13-01 > 5": "“2020-13-01” is not a date: there is no month 13.",
        "flow 5d qqq > 5": (f"“qqq” is not understood after “5d”; expected a fund (iwm or spy) or {COMPARISON}."),
        "flow qqq > 5": (
            f"“qqq” is not understood after “flow”; expected a fund (iwm or spy), a window (5d, 3m, "
            f"ytd) or {COMPARISON}."
        ),
        "flow iwn > $1bn": "“iwn” is not understood after “flow”. Did you mean iwm?",
        "flow > $": f"“$” is not a target; expected an amount such as $1.5bn, {TARGETS}.",
        "flow > 5%": "“5%” is in %; this needs dollars.",
        "outflows > sma 20": "Outflows compare with an amount, not with sma.",
    },
    "pe_premium > 20%": {
        "premiums > 5%": "“premiums” is not a metric. Did you mean premium?",
        "pe premum > 5": "“premum” is not understood after “pe”. Did you mean pe_premium?",
    },
    "excess 3m < -2pp": {
        "excess > 2pp": "excess needs a window (5d, 3m, ytd).",
        "excess iwn > 5pp": (
            f"“iwn” is not understood after “excess”; expected a window (5d, 3m, ytd) or {COMPARISON}."
        ),
        "excess 3m > 5x": "“5x” is in x; this needs percentage points (pp).",
    },
    "channel > 2": {
        "channel since 2020-02-30 > 5": "“2020-02-30” is not a date: there is no 30 Feb 2020.",
        "channel 5d > 5": (
            f"“5d” is not understood after “channel”; expected a date (since 2010-01-04) or {COMPARISON}."
        ),
    },
    "pe iwm > 25x": {
        "pe postive > 5": "“postive” is not understood after “pe”. Did you mean positive?",
        "pe bare > 5": (
            f"“bare” is not understood after “pe”; expected a fund (iwm or spy), a convention "
            f"(losses_in, positive or capped) or {COMPARISON}."
        ),
    },
    "gauge 200 > 5%": {
        "gauge 1 > 5%": (
            f"“1” is not understood after “gauge”; expected a number of sessions from 2 to 500 or {COMPARISON}."
        ),
        "gauge 501 > 5%": (
            f"“501” is not understood after “gauge”; expected a number of sessions from 2 to 500 or {COMPARISON}."
        ),
        "gauge 200 50 > 5%": f"“50” is not understood after “200”; expected {COMPARISON}.",
        "gauge crosses": f"“crosses” has no target; expected an amount such as 5%, {TARGETS}.",
        "gauge > 5": "“5” has no unit; this needs percent (%).",
        "gauge > 5 pp": "“5 pp” is in pp; this needs percent (%).",
    },
    "ratio < sma 200": {"ratio < sma 1": "“sma” needs a number of sessions from 2 to 5000, not “1”."},
    "flow spy 1m > high 250": {"flow spy 1m > high 0": "“high” needs a number of sessions from 1 to 5000, not “0”."},
    "ratio < low 250": {"ratio < low 5001": "“low” needs a number of sessions from 1 to 5000, not “5001”."},
    "ratio > pct 90": {
        "ratio > pct": "“pct” needs a percentile from 0 to 100.",
        "ratio > pct 100.1": "“pct” needs a percentile from 0 to 100, not “100.1”.",
        "ratio > pct x": "“pct” needs a percentile from 0 to 100, not “x”.",
    },
    "ratio > 0.5 confirm 3": {
        "ratio > 0.5 hello": f"“hello” is not understood after “0.5”; expected {OPTIONS}.",
        "ratio > 0.5 > 0.4": f"“>” is not understood after “0.5”; expected {OPTIONS}.",
        "ratio > 0.5 once zzz": f"“zzz” is not understood after “once”; expected {OPTIONS}.",
        "ratio > 0.5 ans": "“ans” is not understood after “0.5”. Did you mean and?",
        "ratio > 0.5 rearm 0.4 and gauge > 5%": "Conditions come before options.",
        "ratio > 0.5 confirm": "“confirm” needs a number of sessions from 1 to 250.",
        "ratio > 0.5 confirm three": "“confirm” needs a number of sessions from 1 to 250, not “three”.",
        "ratio > 0.5 confirm 0": "“confirm” needs a number of sessions from 1 to 250, not “0”.",
        "ratio > 0.5 confirm 251": "“confirm” needs a number of sessions from 1 to 250, not “251”.",
    },
    "ratio > 0.5 cooldown 10": {
        "ratio > 0.5 Cooldwn 3": "“Cooldwn” is not understood after “0.5”. Did you mean cooldown?",
        "ratio > 0.5 cooldown 0": "“cooldown” needs a number of sessions from 1 to 250, not “0”.",
        "ratio > 0.5 cooldown 251": "“cooldown” needs a number of sessions from 1 to 250, not “251”.",
    },
    "ratio > 0.5 once": {
        "ratio > 0.5 onec": "“onec” is not understood after “0.5”. Did you mean once?",
        "ratio > 0.5 once once": "“once” is given twice.",
    },
    "ratio > 0.5 and gauge 200 > 5% once": {"ratio > 0.5 once and gauge > 5%": "Conditions come before options."},
    "ratio > 0.5 and gauge 200 > 5% confirm 2 cooldown 3": {
        "ratio > 0.5 confirm 2 and gauge > 5% cooldown 3": "Conditions come before options."
    },
    "ratio > 0.5 once silent": {"ratio > 0.5 once cooldown 3 silent": "“cooldown” does nothing with “once”."},
    "ratio > 0.4 and ratio < 0.5": {"ratio between 0.5 and 0.4": "“ratio > 0.5 and ratio < 0.4” is never true."},
    "ratio >= 0.5": {"ratio >= 0.5 and ratio < 0.5": "“ratio >= 0.5 and ratio < 0.5” is never true."},
    "gauge 200 > 1% or ratio > 0.5 or ratio <= 0.4": {
        "gauge > 1% or ratio > 0.4 or ratio <= 0.5": "“ratio > 0.4 or ratio <= 0.5” is always true."
    },
    "ratio > 0.5 remind 3": {
        "ratio > 0.5 remind 3 once": "“remind” does not go with “once”, which ends with its first fire."
    },
    "ratio > 0.5 remind 5": {"ratio > 0.5 remind 0": "“remind” needs a number of sessions from 1 to 250, not “0”."},
    "ratio crosses 0.5 once": {
        "ratio crosses 0.5 once and back": "“and back” does nothing with “crosses”, which fires either way."
    },
    "ratio > 0.5 confirm 2 urgent": {
        "ratio > 0.5 silent confirm 2 urgent": (
            "“urgent” is sent in quiet hours too, “silent” without a sound: choose one of them."
        )
    },
    "ratio > 0.5 urgent": {"ratio > 0.5 urgnt": "“urgnt” is not understood after “0.5”. Did you mean urgent?"},
    "ratio > 0.5 rearm 0.4": {
        "ratio > 0.5 rearmm 0.4": "“rearmm” is not understood after “0.5”. Did you mean rearm?",
        "ratio > 0.5 rearm": "“rearm” needs an amount.",
        "ratio > 0.5 rearm 0.5": "“rearm 0.5” must be below 0.5.",
    },
    "ratio > 0 rearm -1": {"ratio > 0 rearm x": "“rearm” needs an amount, not “x”."},
    "ratio < 0.5 rearm 0.6": {
        "ratio < 0.5 rearm low": "“rearm” needs an amount, not “low”.",
        "ratio < 0.5 rearm 0.5": "“rearm 0.5” must be above 0.5.",
    },
    "gauge 200 >= 0% rearm -1%": {"gauge >= 0 rearm 1": "“1” has no unit; this needs percent (%)."},
    "ratio >= 0.5 rearm 0.4": {"ratio >= 0.5 rearm 0.6": "“rearm 0.6” must be below 0.5."},
    "gauge 200 <= -5% rearm -4%": {"gauge <= -5% rearm -6%": "“rearm -6%” must be above -5%."},
    "ratio crosses 0.5": {"ratio crosses 0.5 rearm 0.4": "“rearm” does not go with “crosses”, which fires either way."},
    "ratio > 0.5 or gauge 200 > 5%": {
        "ratio > 0.5 or gauge > 5% rearm 0.4": ("“rearm” is for a single condition; with “or” each has its own band."),
        "ratio crosses 0.5 or gauge > 5%": (
            "“crosses” does not go with “or”, as it fires either way: say above or below."
        ),
        "ratio > 0.5 or gauge > 5% or": "The rule stops where a metric is expected.",
    },
    "ratio > 0.5 or gauge 200 > 5% once": {"ratio > 0.5 once or gauge > 5%": "Conditions come before options."},
    "ratio > 0.5 and gauge 200 > 5%": {
        "ratio > 0.5 and gauge > 5% rearm 0.4": ("“rearm” is for a single condition; with “and” each has its own band.")
    },
    "ratio > 0.5 until 2030-12-31": {
        "ratio > 0.5 until": "“until” needs a date written YYYY-MM-DD.",
        "ratio > 0.5 until Monday": "“Monday” is not a date written YYYY-MM-DD.",
    },
    'ratio > 0.5 note "why"': {
        'ratio > 0.5 note "a" confirm 2 note "b"': "“note” is given twice.",
        "ratio > 0.5 note": "“note” needs its text in quotes.",
        "ratio > 0.5 note hello": "“note” needs its text in quotes.",
        'ratio > 0.5 note "': "“note” needs its text in quotes.",
    },
    "gauge_low 50 < 0%": {"gauge lo > 5%": "“lo” is not understood after “gauge”. Did you mean gauge_low?"},
}


@pytest.mark.parametrize("example", MISTAKES)
def test_a_mistake_names_the_word_and_shows_what_works(example: str) -> None:
    assert not example or rule(example)
    for typed, sentence in MISTAKES[example].items():
        with pytest.raises(BadInput) as caught:
            rule(typed)
        assert (caught.value.sentence, caught.value.example) == (sentence, example)


@pytest.mark.parametrize(
    ("typed", "ticker", "example"),
    [
        ("iwm inflows 5d above $1bn", "IWM", "flow ijr 5d > $1bn"),
        ("SPY", "SPY", "flow ijr 5d > $1bn"),
        ("IWM/SPY > 0.5", "IWM", "ratio > sma 200"),
        ("spy excess 3m > 5pp", "SPY", "excess 3m > 5pp"),
        ("pe spy > 25x", "SPY", "pe ijr > 25x"),
        ("qqq p/e > 25x", "QQQ", "pe ijr > 25x"),
    ],
)
def test_a_fund_of_another_pair_is_named_as_such(typed: str, ticker: str, example: str) -> None:
    metrics = metrics_of(Pair(Fund("IJR"), Fund("IVV")))
    with pytest.raises(BadInput) as caught:
        parse_rule(typed, metrics)
    assert caught.value.sentence == f"{ticker} is not a fund of this bot; it compares IJR and IVV."
    assert caught.value.example == example
    assert parse_rule(example, metrics)


def test_a_rule_that_grows_too_long_when_written_out_is_refused() -> None:
    glued = f'ratio>0.5 note "{"x" * 483}"'
    assert len(glued) == 500
    problem = r"^Written out, the rule has more than 500 characters\. Example: ratio > 0\.5$"
    with pytest.raises(BadInput, match=problem):
        rule(glued)
    assert len(str(rule(glued.replace("xx", "", 1)))) == 500


# On the real registry

AMOUNTS = ("amount", "-amount", "sma 200", "high 252", "low 20", "pct 97.5")
ENDINGS = (
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
    subject = parse_rule(metric.example, METRICS).conditions[0].subject
    for op, target, option in [*product(OPS, AMOUNTS, [""]), *product([">"], ["amount"], ENDINGS)]:
        amount = target.replace("amount", metric.unit.example)
        typed = f"{subject} {op} {amount} {option}".strip()
        if "amount" in target and not metric.range.allows(op, metric.unit.parse(amount)):
            continue  # refused: its own tests are below
        parsed = parse_rule(typed, METRICS)
        assert parsed.conditions[0].metric == name
        assert (parsed.conditions[0].op, str(parsed).endswith(option)) == (op, True)
        assert parse_rule(str(parsed), METRICS) == parsed
        assert Rule.from_json(parsed.to_json()) == parsed


@given(rules(METRICS))
def test_any_rule_survives_its_text_and_its_json(original: Rule) -> None:
    assert Rule.from_json(original.to_json()) == original
    assert Rule.from_json(original.to_json()).to_json() == original.to_json()
    assume(len(str(original)) <= MOST_CHARACTERS)
    parsed = parse_rule(str(original), METRICS)
    assert parsed == original
    assert str(parsed) == str(original)


@pytest.mark.parametrize("name", METRICS)
def test_a_misspelt_metric_is_recognised(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_rule(f"{name}x > 0", METRICS)
    assert re.fullmatch(rf"“{name}x” is not a metric\. Did you mean (\w+)\?", caught.value.sentence)
    assert parse_rule(caught.value.example, METRICS)


ABOVE_ZERO, BELOW_ALL = "always above 0", "always above -100%"
DRAWDOWN = "drawdown is always above -100% and never above 0%"
# By what is typed: how true it is, the range, and an example that is possible.
IMPOSSIBLE = {
    "drawdown > 30%": ("never", DRAWDOWN, "drawdown < -30%"),
    "drawdown > 0": ("never", DRAWDOWN, "drawdown < 0%"),
    "drawdown <= 0": ("always", DRAWDOWN, "drawdown < 0%"),
    "drawdown crosses 0": ("never", DRAWDOWN, "drawdown < 0%"),
    "drawdown <= -100%": ("never", DRAWDOWN, "drawdown < -30%"),
    "corr > 1": ("never", "corr is never below -1 and never above 1", "corr 60 < 0.7"),
    "corr 20 >= -1": ("always", "corr is never below -1 and never above 1", "corr 20 < 0.7"),
    "flow_z spy > 5.1": ("never", "flow_z is never below -5 and never above 5", "flow_z spy 20d > 2"),
    "ratio > -5": ("always", f"ratio is {ABOVE_ZERO}", "ratio > sma 200"),
    "ratio <= 0": ("never", f"ratio is {ABOVE_ZERO}", "ratio > sma 200"),
    "slope < -100%": ("never", f"slope is {BELOW_ALL}", "slope 60 > 10%"),
    "ratio > sma 200 and units spy 3m < -150%": ("never", f"units is {BELOW_ALL}", "units spy 3m > 5%"),
    "pe spy < 0": ("never", "pe is always above 0x", "pe spy morningstar > 25x"),
    "yield < 0": ("never", "yield is never below 0%", "yield iwm yahoo > 1%"),
    "pb_premium >= -100%": ("always", f"pb_premium is {BELOW_ALL}", "pb_premium morningstar > 20%"),
}


@pytest.mark.parametrize("typed", IMPOSSIBLE)
def test_what_no_value_or_every_value_makes_true_is_refused_with_the_range(typed: str) -> None:
    how, words, example = IMPOSSIBLE[typed]
    with pytest.raises(BadInput, match=rf"” is {how} true: {words}\.") as caught:
        parse_rule(typed, METRICS)
    assert caught.value.example == example
    parse_rule(example, METRICS)


def test_a_level_that_is_never_reached_re_arms_nothing() -> None:
    with pytest.raises(BadInput, match=rf"^“rearm 5%” is never reached: {DRAWDOWN}. Example: drawdown < -30%$"):
        parse_rule("drawdown < -30% rearm 5%", METRICS)
    for typed in ("drawdown < 0%", "corr > -0.9", "flow_z < 4.5"):
        with pytest.raises(BadInput) as caught:
            parse_rule(f"{typed} rearm", METRICS)
        assert parse_rule(caught.value.example, METRICS)
    for typed in ("drawdown < -30% rearm 0%", "corr 60 >= 1 rearm -1", "drawdown < 0%", "flow_z > -5"):
        assert parse_rule(typed, METRICS)


@pytest.mark.parametrize("window", ["ytd", "mtd", "since 2020-01-02"])
def test_a_change_of_flow_needs_a_window_with_a_length(window: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_rule(f"flow_change iwm {window} > $1bn", METRICS)
    assert str(caught.value) == (
        f"“{window.split(maxsplit=1)[0]}” is not understood after “iwm”; expected a window (5d, 1w, 3m, 1y) "
        f"or {COMPARISON}. Example: flow_change iwm 20d > $1bn"
    )


# Subjects


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
    parsed = parse_subject(text, [parse_window(window) for window in windows], REGISTRY)
    assert parsed[0] is REGISTRY[metric]
    assert {name: str(v) if isinstance(v, Window) else v for name, v in parsed[1].items()} == arguments
    assert parsed[2] == (parse_window(span) if span else None)


def test_a_metric_without_its_window_says_so() -> None:
    with pytest.raises(BadInput, match=r"^excess needs a window"):
        parse_subject("excess", [], REGISTRY)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("beta 100000", "“100000” is not understood after “beta”; expected a number of sessions from 3 to 5000."),
        ("ratio 5", "“5” is not understood after “ratio”; expected nothing more."),
        ("flow iwm 5d 7", "“7” is not understood after “5d”; expected nothing more."),
        # other words for a metric, and a fund before it
        ("spy flows qqq", "“qqq” is not understood after “flows”; expected a window (5d, 3m, ytd)."),
        (
            "inflows qqq",
            ("“qqq” is not understood after “inflows”; expected a fund (iwm or spy) or a window (5d, 3m, ytd)."),
        ),
    ],
)
def test_a_mistake_says_nothing_of_a_comparison(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_subject(text, [], METRICS)
    assert caught.value.sentence == sentence
    assert parse_rule(caught.value.example, METRICS)


@pytest.mark.parametrize(("word", "entry"), WORDS.items())
def test_every_word_has_a_sentence_and_a_rule_with_it(word: str, entry: Word) -> None:
    assert word in entry.usage
    assert entry.meaning.endswith(".")
    assert f" {word}" in entry.example
    assert parse_rule(entry.example, METRICS)


@pytest.mark.parametrize("name", ["price", "return", "volatility", "from_high", "from_low"])
def test_a_metric_of_one_fund_needs_it(name: str) -> None:
    with pytest.raises(BadInput, match=rf"^{name} needs a fund \(iwm or spy\)\. Example: {name} iwm"):
        parse_rule(f"{name} > 0", METRICS)
