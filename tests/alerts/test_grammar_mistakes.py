"""What cannot be read as a rule: which word is named, and the example that works."""

from __future__ import annotations

import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import metrics_of
from bot.errors import BadInput
from bot.pair import Fund, Pair
from tests.alerts.examples import rule

OPS = "a comparison (>, <, >=, <=, crosses)"
OPTIONS = "and, confirm, rearm, cooldown, once, until, urgent, silent or note"
TARGETS = "or sma, high, low or pct with a number"


@pytest.mark.parametrize(
    ("typed", "sentence", "example"),
    [
        ("", "A rule needs a metric, a comparison and a target.", "ratio > sma 200"),
        ("  ", "A rule needs a metric, a comparison and a target.", "ratio > sma 200"),
        # metrics
        ("ratoi > 5", "“ratoi” is not a metric. Did you mean ratio?", "ratio > sma 200"),
        ("Trent > 5", "“Trent” is not a metric. Did you mean trend?", "ratio > sma 200"),
        ("inflws > 5", "“inflws” is not a metric. Did you mean inflows?", "flow iwm 5d > $1bn"),
        (
            "zzz > 5",
            "“zzz” is not a metric. Some metrics: ratio, gauge, gauge_low. All: /help metrics",
            "ratio > sma 200",
        ),
        (
            "valuation > 5",
            "“valuation” is not a metric. Some metrics: ratio, gauge_low, flow. All: /help metrics",
            "ratio > sma 200",
        ),
        (
            '"ratio" > 5',
            "“ratio” is not a metric. Some metrics: ratio, gauge, gauge_low. All: /help metrics",
            "ratio > sma 200",
        ),
        ("iwm", "The rule stops where a metric is expected.", "ratio > sma 200"),
        ("ratio > 5 and", "The rule stops where a metric is expected.", "ratio > sma 200"),
        (
            "premiums > 5%",
            "“premiums” is not a metric. Did you mean premium?",
            "pe_premium > 20%",
        ),
        # a fund that is not compared
        (
            "qqq inflows 5d above $1bn",
            "QQQ is not a fund of this bot; it compares IWM and SPY.",
            "flow iwm 5d > $1bn",
        ),
        # arguments and comparison
        ("ratio", f"The rule stops after “ratio”; expected {OPS}.", "ratio > sma 200"),
        ("ratio 0.5", f"“0.5” is not understood after “ratio”; expected {OPS}.", "ratio > sma 200"),
        ("ratio = 0.5", f"“=” is not understood after “ratio”; expected {OPS}.", "ratio > sma 200"),
        ('ratio "x"', f"“x” is not understood after “ratio”; expected {OPS}.", "ratio > sma 200"),
        ("ratio and", f"“and” is not understood after “ratio”; expected {OPS}.", "ratio > sma 200"),
        (
            "ratio Abov 5",
            "“Abov” is not understood after “ratio”. Did you mean above?",
            "ratio > sma 200",
        ),
        ("iwm ratio > 5", "“iwm” does not go with ratio.", "ratio > sma 200"),
        ("iwm SPY flow > 5", "“SPY” does not go with flow.", "flow iwm 5d > $1bn"),
        ("excess > 2pp", "excess needs a window (5d, 3m, ytd).", "excess 3m < -2pp"),
        (
            "flow 1q > 5",
            "“1q” is not a window; one of these works: 5d, 1w, 3m, 1y, ytd, mtd, since 2020-09-30.",
            "flow iwm 5d > $1bn",
        ),
        ("flow 101y > 5", "“101y” is out of range (1y to 100y).", "flow iwm 5d > $1bn"),
        (
            "flow since 2020-13-01 > 5",
            "“2020-13-01” is not a date: there is no month 13.",
            "flow iwm 5d > $1bn",
        ),
        (
            "channel since 2020-02-30 > 5",
            "“2020-02-30” is not a date: there is no 30 Feb 2020.",
            "channel > 2",
        ),
        (
            "channel 5d > 5",
            f"“5d” is not understood after “channel”; expected a date (since 2010-01-04) or {OPS}.",
            "channel > 2",
        ),
        (
            "flow 5d qqq > 5",
            f"“qqq” is not understood after “5d”; expected a fund (iwm or spy) or {OPS}.",
            "flow iwm 5d > $1bn",
        ),
        (
            "flow qqq > 5",
            (
                "“qqq” is not understood after “flow”; expected a fund (iwm or spy), "
                "a window (5d, 3m, ytd) or "
                f"{OPS}."
            ),
            "flow iwm 5d > $1bn",
        ),
        (
            "pe postive > 5",
            "“postive” is not understood after “pe”. Did you mean positive?",
            "pe iwm > 25x",
        ),
        (
            "pe premum > 5",
            "“premum” is not understood after “pe”. Did you mean pe_premium?",
            "pe_premium > 20%",
        ),
        (
            "pe bare > 5",
            (
                "“bare” is not understood after “pe”; expected a fund (iwm or spy), a convention (losses_in, "
                f"positive or capped) or {OPS}."
            ),
            "pe iwm > 25x",
        ),
        # a word that is near a fund's is none where no fund is taken
        (
            "excess iwn > 5pp",
            f"“iwn” is not understood after “excess”; expected a window (5d, 3m, ytd) or {OPS}.",
            "excess 3m < -2pp",
        ),
        ("flow iwn > $1bn", "“iwn” is not understood after “flow”. Did you mean iwm?", "flow iwm 5d > $1bn"),
        (
            "gauge 1 > 5%",
            f"“1” is not understood after “gauge”; expected a number of sessions from 2 to 500 or {OPS}.",
            "gauge 200 > 5%",
        ),
        (
            "gauge 501 > 5%",
            f"“501” is not understood after “gauge”; expected a number of sessions from 2 to 500 or {OPS}.",
            "gauge 200 > 5%",
        ),
        ("gauge 200 50 > 5%", f"“50” is not understood after “200”; expected {OPS}.", "gauge 200 > 5%"),
        # targets
        (
            "ratio >",
            f"“>” has no target; expected an amount such as 0.52, {TARGETS}.",
            "ratio > sma 200",
        ),
        (
            "gauge crosses",
            f"“crosses” has no target; expected an amount such as 5%, {TARGETS}.",
            "gauge 200 > 5%",
        ),
        (
            "ratio > Hello",
            f"“Hello” is not a target; expected an amount such as 0.52, {TARGETS}.",
            "ratio > sma 200",
        ),
        (
            "flow > $",
            f"“$” is not a target; expected an amount such as $1.5bn, {TARGETS}.",
            "flow iwm 5d > $1bn",
        ),
        ("ratio > smma 200", "“smma” is not a target. Did you mean sma?", "ratio > sma 200"),
        ("ratio > 5z", "“5z” is not an amount.", "ratio > sma 200"),
        ("ratio > 5%", "“5%” is in %; this needs a plain number.", "ratio > sma 200"),
        ("gauge > 5", "“5” has no unit; this needs percent (%).", "gauge 200 > 5%"),
        ("gauge > 5 pp", "“5 pp” is in pp; this needs percent (%).", "gauge 200 > 5%"),
        ("excess 3m > 5%", "“5%” is in %; this needs percentage points (pp).", "excess 3m < -2pp"),
        ("flow > 5%", "“5%” is in %; this needs dollars.", "flow iwm 5d > $1bn"),
        ("ratio > sma", "“sma” needs a number of sessions from 2 to 5000.", "ratio > sma 200"),
        (
            "ratio < sma 1",
            "“sma” needs a number of sessions from 2 to 5000, not “1”.",
            "ratio < sma 200",
        ),
        (
            "flow spy 1m > high 0",
            "“high” needs a number of sessions from 1 to 5000, not “0”.",
            "flow spy 1m > high 250",
        ),
        (
            "ratio < low 5001",
            "“low” needs a number of sessions from 1 to 5000, not “5001”.",
            "ratio < low 250",
        ),
        ("ratio > pct", "“pct” needs a percentile from 0 to 100.", "ratio > pct 90"),
        ("ratio > pct 100.1", "“pct” needs a percentile from 0 to 100, not “100.1”.", "ratio > pct 90"),
        ("ratio > pct x", "“pct” needs a percentile from 0 to 100, not “x”.", "ratio > pct 90"),
        ("outflows > sma 20", "Outflows compare with an amount, not with sma.", "flow iwm 5d > $1bn"),
        # options
        (
            "ratio > 0.5 hello",
            f"“hello” is not understood after “0.5”; expected {OPTIONS}.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 > 0.4",
            f"“>” is not understood after “0.5”; expected {OPTIONS}.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 once zzz",
            f"“zzz” is not understood after “once”; expected {OPTIONS}.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 ans",
            "“ans” is not understood after “0.5”. Did you mean and?",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 Cooldwn 3",
            "“Cooldwn” is not understood after “0.5”. Did you mean cooldown?",
            "ratio > 0.5 cooldown 10",
        ),
        (
            "ratio > 0.5 onec",
            "“onec” is not understood after “0.5”. Did you mean once?",
            "ratio > 0.5 once",
        ),
        ("ratio > 0.5 once once", "“once” is given twice.", "ratio > 0.5 once"),
        (
            "ratio > 0.5 once and gauge > 5%",
            "Conditions come before options.",
            "ratio > 0.5 and gauge 200 > 5% once",
        ),
        (
            "ratio > 0.5 confirm 2 and gauge > 5% cooldown 3",
            "Conditions come before options.",
            "ratio > 0.5 and gauge 200 > 5% confirm 2 cooldown 3",
        ),
        ("ratio > 0.5 rearm 0.4 and gauge > 5%", "Conditions come before options.", "ratio > 0.5 confirm 3"),
        (
            "ratio > 0.5 confirm",
            "“confirm” needs a number of sessions from 1 to 250.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 confirm three",
            "“confirm” needs a number of sessions from 1 to 250, not “three”.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 confirm 0",
            "“confirm” needs a number of sessions from 1 to 250, not “0”.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 confirm 251",
            "“confirm” needs a number of sessions from 1 to 250, not “251”.",
            "ratio > 0.5 confirm 3",
        ),
        (
            "ratio > 0.5 cooldown 0",
            "“cooldown” needs a number of sessions from 1 to 250, not “0”.",
            "ratio > 0.5 cooldown 10",
        ),
        (
            "ratio > 0.5 cooldown 251",
            "“cooldown” needs a number of sessions from 1 to 250, not “251”.",
            "ratio > 0.5 cooldown 10",
        ),
        (
            "ratio > 0.5 once cooldown 3 silent",
            "“cooldown” does nothing with “once”.",
            "ratio > 0.5 once silent",
        ),
        (
            "ratio > 0.5 silent confirm 2 urgent",
            "“urgent” is sent in quiet hours too, “silent” without a sound: choose one of them.",
            "ratio > 0.5 confirm 2 urgent",
        ),
        (
            "ratio > 0.5 urgnt",
            "“urgnt” is not understood after “0.5”. Did you mean urgent?",
            "ratio > 0.5 urgent",
        ),
        (
            "ratio > 0.5 rearmm 0.4",
            "“rearmm” is not understood after “0.5”. Did you mean rearm?",
            "ratio > 0.5 rearm 0.4",
        ),
        (
            "ratio > sma 200 rearmm 0.4",
            "“rearmm” is not understood after “200”. Did you mean rearm?",
            "ratio > sma 200",
        ),
        ("ratio > 0 rearm x", "“rearm” needs an amount, not “x”.", "ratio > 0 rearm -1"),
        ("ratio > 0.5 rearm", "“rearm” needs an amount.", "ratio > 0.5 rearm 0.4"),
        ("ratio < 0.5 rearm low", "“rearm” needs an amount, not “low”.", "ratio < 0.5 rearm 0.6"),
        ("gauge >= 0 rearm 1", "“1” has no unit; this needs percent (%).", "gauge 200 >= 0% rearm -1%"),
        ("ratio > 0.5 rearm 0.5", "“rearm 0.5” must be below 0.5.", "ratio > 0.5 rearm 0.4"),
        ("ratio >= 0.5 rearm 0.6", "“rearm 0.6” must be below 0.5.", "ratio >= 0.5 rearm 0.4"),
        ("ratio < 0.5 rearm 0.5", "“rearm 0.5” must be above 0.5.", "ratio < 0.5 rearm 0.6"),
        ("gauge <= -5% rearm -6%", "“rearm -6%” must be above -5%.", "gauge 200 <= -5% rearm -4%"),
        (
            "ratio > sma 200 rearm 0.5",
            "“rearm” needs a target that stands still; “sma 200” moves.",
            "ratio > sma 200",
        ),
        (
            "ratio crosses 0.5 rearm 0.4",
            "“rearm” does not go with “crosses”, which fires either way.",
            "ratio crosses 0.5",
        ),
        (
            "ratio > 0.5 and gauge > 5% rearm 0.4",
            "“rearm” is for a single condition; with “and” each has its own band.",
            "ratio > 0.5 and gauge 200 > 5%",
        ),
        (
            "ratio > 0.5 until",
            "“until” needs a date written YYYY-MM-DD.",
            "ratio > 0.5 until 2030-12-31",
        ),
        (
            "ratio > 0.5 until Monday",
            "“Monday” is not a date written YYYY-MM-DD.",
            "ratio > 0.5 until 2030-12-31",
        ),
        (
            'ratio > 0.5 note "a" confirm 2 note "b"',
            "“note” is given twice.",
            'ratio > 0.5 note "why"',
        ),
        (
            "gauge lo > 5%",
            "“lo” is not understood after “gauge”. Did you mean gauge_low?",
            "gauge_low 50 < 0%",
        ),
        ("ratio > 0.5 note", "“note” needs its text in quotes.", 'ratio > 0.5 note "why"'),
        ("ratio > 0.5 note hello", "“note” needs its text in quotes.", 'ratio > 0.5 note "why"'),
        ('ratio > 0.5 note "', "“note” needs its text in quotes.", 'ratio > 0.5 note "why"'),
        # size
        (f"{'x' * 501}", "A rule has at most 500 characters, not 501.", "ratio > sma 200"),
        (
            " and ".join(["ratio > 1"] * 6),
            "A rule has at most 5 conditions, not 6.",
            "ratio > sma 200",
        ),
    ],
)
def test_a_mistake_names_the_word_and_shows_what_works(typed: str, sentence: str, example: str) -> None:
    with pytest.raises(BadInput) as caught:
        rule(typed)
    assert str(caught.value) == f"{sentence} Example: {example}"
    assert rule(example)


@pytest.mark.parametrize(
    ("typed", "ticker", "example"),
    [
        ("iwm inflows 5d above $1bn", "IWM", "flow ijr 5d > $1bn"),
        ("SPY", "SPY", "flow ijr 5d > $1bn"),
        ("IWM/SPY > 0.5", "IWM", "flow ijr 5d > $1bn"),
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
    problem = r"^Written out, the rule has more than 500 characters\. Example: ratio > sma 200$"
    with pytest.raises(BadInput, match=problem):
        rule(glued)
    assert len(str(rule(glued.replace("xx", "", 1)))) == 500
