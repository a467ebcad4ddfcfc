"""Shows what an alert's message would look like now. Nothing fires and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.bars import lag
from bot.alerts.engine import directions, levels, truth
from bot.alerts.state import Event
from bot.analytics.registry import METRICS
from bot.errors import NoData
from bot.rendering.answer import Answer
from bot.rendering.pushes import fired_message
from bot.rendering.text import bold, lines

if TYPE_CHECKING:
    from bot.alerts.state import Sample
    from bot.alerts.view import AlertView, EvaluationContext

MARK = "TEST - nothing has fired"


def trial_message(alert: AlertView, context: EvaluationContext, fires: int) -> Answer:
    """The message with the figures of the last session that has any. `fires` counts those of 90 days.

    Raises NoData while a condition has no figure at all.
    """
    event, market = trial_event(alert, context), context.market
    late = max(market.behind(pd.Timestamp(event.session)) - lag(alert.rule, METRICS), 0)
    message = fired_message(alert, event, context, fires + 1, late)
    number = alert.number
    buttons = (((f"#{number}", f"/alert {number}"), ("Edit", f"/alert {number} edit")),)
    return Answer(lines(bold(MARK), message.html), buttons=buttons)


def trial_event(alert: AlertView, context: EvaluationContext) -> Event:
    """The event of a rule that fired at the last session on which all of its conditions have figures."""
    rule, state = alert.rule, alert.state
    samples = context.histories.samples(rule, sessions=context.market.sessions)
    full = [sample for sample in samples if all(leg.pair for leg in sample.legs)]
    if not full:
        raise NoData(f"There are no figures yet for {rule}, so there is nothing to show.")
    ops, last = _side(alert, full[-1]), full[-1]
    before = full[-2].legs if len(full) > 1 else ()
    return Event(
        kind="fired",
        session=last.session,
        ops=ops,
        legs=last.legs,
        levels=levels(rule, state, ops, last.legs),
        previous=tuple(leg.value for leg in before) or (None,) * len(last.legs),
        since=last.session,
        done=rule.once,
    )


def _side(alert: AlertView, sample: Sample) -> tuple[str, ...]:
    """The side that is true now, or the first one if the rule is false."""
    ways = directions(alert.rule)
    return next((ops for ops in ways if truth(ops, sample)), ways[0])
