"""The answer to /backtest: when a rule would have fired, and what the ratio did afterwards."""

import datetime as dt
from collections.abc import Sequence

import pandas as pd

from bot.alerts.backtest import Outcome
from bot.alerts.view import EvaluationContext
from bot.analytics.metrics import metrics_of, sources_of
from bot.analytics.units import PERCENT
from bot.analytics.windows import AsOf
from bot.messages import common
from bot.messages.alerts.card import preset_buttons
from bot.messages.alerts.words import times
from bot.messages.canvas import Theme
from bot.messages.html import bold, code, lines, pre, table
from bot.services.questions import Backtest
from bot.text import counted, short_date

_DATES_SHOWN = 5
_LONGER = (5, 10, 20)  # years that are offered where fewer were tested
_DAYS_A_MONTH = 30.44
_FEW = 10  # fires below this are too few to mean anything


def backtest_choices(context: EvaluationContext, example: str) -> common.Answer:
    """Return the question which rule, with the presets that have a history."""
    html = lines(bold("Test which rule?"), "Type one, e.g. " + code(example))
    return common.Answer(html, buttons=preset_buttons("/backtest", context))


def backtest_answer(backtest: Backtest, theme: Theme) -> common.Answer:
    """Return dates fired, fires without the band, outcome after 5, 20 and 60 sessions, a chart with marks."""
    rule, market, fires = backtest.rule, backtest.context.market, backtest.fires
    metrics = metrics_of(market.pair)
    begin = (pd.Timestamp(fires.until) - pd.DateOffset(years=backtest.years)).date()
    is_short = fires.since is not None and fires.since > begin + dt.timedelta(days=10)
    months = round((pd.Timestamp(fires.until) - pd.Timestamp(backtest.begin)).days / _DAYS_A_MONTH)
    span = counted(round(months / 12), "year") if months >= 12 else counted(months, "month")
    dates = ", ".join(short_date(day) for day in reversed(fires.dates[-_DATES_SHOWN:]))
    more = len(fires.dates) - _DATES_SHOWN
    rows = [
        (
            str(outcome.horizon),
            PERCENT.show(outcome.median, 1),
            None if outcome.rose is None else f"{outcome.rose:.0f}%",
            str(outcome.n),
            PERCENT.show(outcome.base, 1),
        )
        for outcome in backtest.after
    ]
    spreads = [
        f"{after.horizon} sessions {PERCENT.show(after.lower, 1)} to {PERCENT.show(after.upper, 1)}, "
        f"worst {PERCENT.show(after.worst, 1)}"
        for after in backtest.after
        if after.n
    ]
    html = lines(
        common.heading(f"{'Fired ' + times(fires.count) if fires.count else 'Never fired'} in {span}", market, AsOf()),
        code(str(rule)),
        f"What {market.pair} did once the fire was known:" if fires.count else None,
        pre(table(("sessions", "median", "rose", "n", "any day"), rows)) if fires.count else None,
        f"n below {_FEW}: too few to mean anything." if 0 < fires.count < _FEW else None,
        f"On {dates}{f' and {more} more' if more > 0 else ''}." if dates else None,
    )
    quote = common.details(
        market,
        f"Without the re-arm band: {times(backtest.bare)}." if backtest.bare else None,
        _span(backtest, is_short),
        "Any day: the median after every session, fired or not." if fires.count else None,
        f"Middle half of the moves: {'; '.join(spreads)}, the lowest on the way." if spreads else None,
        _luck(backtest.after) if fires.count else None,
        common.sources(
            {metrics[c.metric].title: sources_of(metrics[c.metric], market, dict(c.arguments)) for c in rule.conditions}
        ),
    )
    longer = None if is_short else next((years for years in _LONGER if years > backtest.years), None)
    # The rule of a preset might be too long for a button.
    line = backtest.preset.name.lower() if backtest.preset else str(rule)
    again = ((f"{longer} years", f"/backtest {line} {longer}y"),) if longer else ()
    buttons = ((("Make it an alert", f"/alert {line}"), *again),)
    draw, _ = common.rule_chart_spec(f"Backtest: {rule}", rule, backtest.context, theme, backtest.begin, fires.dates)
    return common.Answer(html, draw, "backtest", buttons, quote=quote)


def _luck(outcomes: Sequence[Outcome]) -> str | None:
    known = [(outcome.horizon, outcome.luck) for outcome in outcomes if outcome.luck is not None]
    phrases = []
    for horizon, percent in known:
        phrases.append(f"{horizon} sessions {common.luck_phrase(percent)}")
    if not phrases:
        return None
    return f"How likely by luck (shifts of the same dates that do as well): {'; '.join(phrases)}."


def _span(backtest: Backtest, is_short: bool) -> str:
    """Return the sessions that were evaluated, and which condition has no earlier ones."""
    note = ""
    if is_short:
        latest = common.latest_starting_condition(backtest.rule, backtest.context.histories)
        of = f" of {latest}" if len(backtest.rule.conditions) > 1 else ""
        note = f"; before that there is too little history{of}"
    behind = backtest.context.market.sessions_behind(pd.Timestamp(backtest.end))
    age = f", {counted(behind, 'session')} before the last close" if behind else ""
    span = f"from {short_date(backtest.begin)} to {short_date(backtest.end)}"
    return f"Evaluated close by close {span}{age}{note}."
