from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from bot.alerts.engine import Status, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.view import RecordedFire
from bot.analytics.metrics import METRICS
from bot.messages.alerts.history import explanation
from tests.messages.pages import context, market, said, told

if TYPE_CHECKING:
    from bot.alerts.view import EvaluationContext


LONG = [50.0 + (number % 7) / 10 for number in range(300)]
OF = context(market([*LONG, 70.0]))


def stored(text: str, of: EvaluationContext = OF, until: int = 1) -> RecordedFire:
    """The first fire of a rule made `until` sessions ago, with the state before it."""
    rule = parse_rule(text, METRICS)
    history = of.histories.samples(rule, sessions=of.market.sessions)
    before = first_state(rule, history[: len(history) - until], of.market.last_completed.date())
    event = told(text, of, until=until)[1][0]
    return RecordedFire(3, rule, event, before, "CSV import", "2021-03-12T21:15:30Z")


def test_why_evaluates_the_stored_figures_again() -> None:
    assert said(explanation(stored("ratio > sma 20 and excess 3m > 5pp"), OF)) == [
        "Why #3 fired · close of Fri 12 Mar 2021",
        "ratio > sma 20 and excess 3m > 5pp",
        "ratio: 0.7000 > 0.5129 (sma 20), previously 0.5050.",
        "excess 3m: +39.72pp > +5.00pp, previously +0.80pp.",
        "Re-arms at 0.5123 (moves with sma 20) or +4.88pp.",
        "Inputs as stored: CSV import, observed 12 Mar 2021, 21:15 UTC.",
        "Evaluated again from the state after 11 Mar 2021 (armed): it fires.",
    ]


def test_why_of_a_first_evaluation_has_nothing_before() -> None:
    fire = stored("ratio > 0.6")
    first = replace(fire, event=msgspec.structs.replace(fire.event, previous=(None,)))
    assert said(explanation(first, OF))[2] == "ratio: 0.7000 > 0.6000."


def test_a_step_that_gives_something_else_is_said() -> None:
    fire = stored("ratio > 0.6")
    assert fire.before is not None
    side = msgspec.structs.replace(fire.before.sides[0], status=Status.FIRED)
    fired_before = replace(fire, before=msgspec.structs.replace(fire.before, sides=(side,)))
    assert said(explanation(fired_before, OF))[-1] == (
        "Evaluated again from the state after 11 Mar 2021 (fired): it does not fire."
    )
    other = replace(fire, event=msgspec.structs.replace(fire.event, levels=(0.1,)))
    assert said(explanation(other, OF))[-1] == (
        "Evaluated again from the state after 11 Mar 2021 (armed): the result differs from what was reported."
    )


def test_a_state_that_is_not_kept_is_not_made_up() -> None:
    assert said(explanation(replace(stored("ratio > 0.6"), before=None), OF))[-1] == (
        "Not evaluated again: the state before it is no longer stored."
    )


def test_what_was_still_true_after_its_cooldown_is_replayed_too() -> None:
    of = context(market([*LONG, 70.0, 50.0, 70.0, 70.0]))
    rule = parse_rule("ratio > 0.6 cooldown 2", METRICS)
    made, events = told(str(rule), of, until=4)
    assert [event.kind for event in events] == ["fired", "fired", "still"]
    state = first_state(rule, of.histories.samples(rule)[:-4], made.state.session)
    from bot.alerts.engine import evaluate  # noqa: PLC0415 - here only

    before = evaluate(rule, state, of.histories.samples(rule)[-4:-1]).states[-1]
    lines = said(
        explanation(RecordedFire(3, rule, events[-1], before, "CSV import", "2021-03-17T21:15:30Z"), of)
    )
    assert lines[0] == "Why #3 was still true · close of Wed 17 Mar 2021"
    assert lines[-1] == "Evaluated again from the state after 16 Mar 2021 (fired): still true."


def test_data_that_was_revised_since_is_shown_beside_what_was_evaluated() -> None:
    fire = stored("ratio > sma 20 and excess 3m > 5pp")
    for close, verdict in (
        (69.0, "the rule is still true on these figures"),
        (40.0, "the rule is not true on these figures"),
    ):
        now = context(market([*LONG, close]))
        last = said(explanation(fire, now))[-1]
        assert last.startswith(f"Data revised since: ratio is {close / 100:.4f} (sma 20 0.")
        assert last.endswith(f" now; {verdict}.")
    gone = context(market([*LONG[:-1], 50.0, None, 50.0]))
    assert said(explanation(stored("ratio > 0.6"), gone))[-1] == (
        "Data revised since: ratio is n/a now; the rule cannot be evaluated on these figures."
    )
