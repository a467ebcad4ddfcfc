"""Pages about one alert: after it was created or changed, in full, its chart, and its buttons.

A page has four lines at most before its quote, and one row of buttons; [More] shows the others in their place.
"""

import datetime as dt
from collections.abc import Sequence
from functools import partial

import pandas as pd

from bot.alerts.backtest import Frequency
from bot.alerts.engine import Status
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import Preset, presets_for
from bot.alerts.rule import CROSSES, Condition, Rule
from bot.alerts.series import values_needed
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.analytics.metrics import METRICS, funds_of, metric_value, metrics_of, multiple_read
from bot.analytics.valuation import ADDED_UP, FROM_YAHOO
from bot.errors import NoData
from bot.messages import common
from bot.messages.alerts import words
from bot.messages.canvas import Theme
from bot.messages.common import COPY, Answer, Button
from bot.messages.html import Html, bold, capital, code, lines
from bot.text import MONTHS, command_line

_ENDS_SOON = dt.timedelta(days=30)  # before its end an alert says so in the list, and can be renewed
_CHART_SPAN = pd.DateOffset(years=1)
ALL_ALERTS: Button = ("All alerts", "/alerts")


def new_alert_page(
    alert: AlertView,
    context: EvaluationContext,
    frequency: Frequency,
    remark: str | None = None,
    *,
    done: str = "",
    waits: str | None = None,
) -> Answer:
    """The reply to a new rule: its value, its distance, and how often it would have fired.

    `remark` says what became of the earlier rule of an alert that is edited or renewed, `done` what was done
    to one that there was already, `waits` that its data is overdue.
    """
    note = f"{capital(words.armed_phrase(alert.state))}: you get a message when it becomes true."
    if alert.life is Life.PAUSED:
        note = "Paused: resume it to get messages."
    elif alert.state.status is Status.FIRED:
        note = "It is true already, so nothing is sent now."
    elif alert.state.status is Status.WAITING:
        note = "Waiting for its first figures: you are told if it is true by then."
    name = words.label(alert, context.market)
    html = lines(
        bold(f"{name} is {done.lower() or 'set'}") + f": {words.rule_words(alert.rule, context.market.pair)}.",
        words.figures_line(alert, context),
        note,
        words.frequency_line(frequency, alert.rule, context),
    )
    quote, below = _details(alert, context, remark, waits), _below(alert, done and f"{done}; it starts afresh.")
    return Answer(html, quote=quote, buttons=card_buttons(alert), below=below, toast=(done and f"{done}.") or None)


def alert_page(alert: AlertView, context: EvaluationContext, *, remark: str | None = None) -> Answer:
    """One alert in full. `remark` says what was just done to it, also below the message with the button."""
    html = lines(
        bold(words.label(alert, context.market)) + f": {words.rule_words(alert.rule, context.market.pair)}.",
        bold(remark) if remark else None,
        words.state_sentence(alert, context.zone),
        words.figures_line(alert, context),
    )
    quote, buttons = _details(alert, context), card_buttons(alert)
    return Answer(html, quote=quote, buttons=buttons, below=_below(alert, remark), toast=remark)


def _below(alert: AlertView, remark: str | None) -> Html | None:
    return Html.escape(f"#{alert.number}: {remark}") if remark else None


def _details(alert: AlertView, context: EvaluationContext, *first: str | None) -> Html:
    has_ended = alert.life.has_ended or alert.state.done
    return words.details(
        alert,
        context,
        *first,
        words.waiting_phrase(alert, context),
        *words.rank_sentences(alert.rule, context),
        None if has_ended else words.rearm_phrase(alert, context),
        words.ending_phrase(alert),
        words.next_check(context) if alert.life is Life.ACTIVE else None,
        *next_steps(alert.rule, context),
    )


def rule_chart_answer(alert: AlertView, context: EvaluationContext, theme: Theme, fires: Sequence[dt.date]) -> Answer:
    """The chart of an alert: a year of every condition with its threshold and re-arm level, the fires marked.

    Raises NoData if no condition has a figure.
    """
    rule, market = alert.rule, context.market
    begin = market.require_end() - _CHART_SPAN
    bands = () if alert.state.done or (rule.once and not rule.back) else alert.state.bands
    title = capital(words.rule_words(rule, market.pair))
    draw, missing = common.rule_chart_spec(title, rule, context, theme, begin, fires, bands=bands)
    if len(missing) == len(rule.conditions):
        raise NoData(f"There is nothing to draw for {rule}: no figures are stored for the last year.")
    note = f"Not drawn, because there are no figures for the last year: {'; '.join(missing)}."
    html = lines(
        bold(words.label(alert, market)) + f": {words.rule_words(rule, market.pair)}.",
        words.figures_line(alert, context),
        note if missing else None,
    )
    buttons = (tuple(button for button in card_buttons(alert)[0] if button[0] != "Chart"),)
    return Answer(html, draw, "alert", buttons, quote=words.details(alert, context))


def _button(alert: AlertView, label: str, action: str) -> Button:
    return label, f"/alert {alert.number} {action}"


def card_buttons(
    alert: AlertView, *, pushed: bool = False, reminds: bool = False, often: bool = False
) -> tuple[tuple[Button, ...], ...]:
    """The buttons below a message about one alert, four at most; below one that was `pushed`, what fits a fire."""
    button = partial(_button, alert)
    row = [button("Got it", "ok")] if reminds else []
    if alert.life is Life.ACTIVE and not alert.state.done:
        snooze = button("Snooze ▸", "snooze") if alert.snoozed_until is None else button("End snooze", "snooze off")
        edit = button("Widen ▸" if often else "Edit ▸", "edit")
        row += [snooze, edit if often else button("Why", "why")] if pushed else [button("Chart", "chart"), edit, snooze]
    else:
        row.append(button("Why", "why") if pushed else button("Chart", "chart"))
        if alert.life is Life.PAUSED:
            row += [button("Rescale", "rescale")] if alert.is_paused_by_split else []
            row.append(button("Resume", "resume"))
        else:
            row.append(button("Renew", "renew"))
    return ((*row, button("More ▸", "more")),)


def more_buttons(alert: AlertView, context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """All buttons of one alert. One that has ended can only be viewed and renewed."""
    button = partial(_button, alert)
    has_ended = alert.life.has_ended or alert.state.done
    both_ways = alert.rule.back or any(condition.op == CROSSES for condition in alert.rule.conditions)
    pause = button("Pause", "pause") if alert.life is Life.ACTIVE else button("Resume", "resume")
    rule = ("Copy the rule", COPY + str(alert.rule))
    return (
        (button("Chart", "chart"), button("Why", "why"), button("History", "history")),
        *(() if has_ended else ((button("Edit ▸", "edit"), pause, button("Off", "off")),)),
        *(() if has_ended or both_ways else ((button("Also tell me when it goes back", "back"),),)),
        *(((button("Renew for a year", "renew"),),) if has_ended or ends_soon(alert, context) else ()),
        (rule, ALL_ALERTS, button("‹ Back", "less")),
    )


def buttons_answer(alert: AlertView, context: EvaluationContext, *, more: bool) -> Answer:
    """All buttons of one alert, or the usual ones, below the message as it is."""
    buttons = more_buttons(alert, context) if more else card_buttons(alert)
    page = alert_page(alert, context)
    return Answer(page.html, quote=page.quote, buttons=buttons, below=Html())


def snooze_menu(alert: AlertView, context: EvaluationContext) -> Answer:
    """The question for how long, as buttons below the message as it is."""
    command = f"/alert {alert.number} snooze"
    html = lines(
        bold(words.label(alert, context.market) + ": how long should it be snoozed?"),
        words.state_sentence(alert, context.zone),
        "Whatever fires in the meantime is sent in one message at the end. Or type:",
        code(f"{command} until 2030-12-31"),
    )
    spans = tuple((span, f"{command} {span}") for span in ("2h", "1d", "1w", "1m"))
    end = (("End snooze", f"{command} off"),) if alert.snoozed_until is not None else ()
    rows = (spans, (*end, ("‹ Back", f"/alert {alert.number} less")))
    return Answer(html, buttons=rows, below=Html())


def suggestions(context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """Rules to start with that can be evaluated, one button each, and the way to one's own."""
    return (*preset_buttons("/alert new", context), (("Make my own", "/alert new"),))


def preset_buttons(command: str, context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """A button a preset that can be evaluated, which gives it to a command."""
    rules = ((preset.name, preset_rule(preset, context)) for preset in presets_for(context.market))
    return tuple(((name, f"{command} {name.lower()}"),) for name, rule in rules if not lacking(rule, context))


def preset_rule(preset: Preset, context: EvaluationContext) -> Rule:
    """The rule of a preset of `presets_for`."""
    return parse_rule(preset.rule, metrics_of(context.market.pair))


def lacking(rule: Rule, context: EvaluationContext) -> list[str]:
    """What is missing for the conditions that cannot be evaluated yet, a clause each."""
    clauses = []
    for condition in rule.conditions:
        series = context.histories.series(condition)
        if (series.value - series.threshold).notna().any():
            continue
        metric, arguments = METRICS[condition.metric], dict(condition.arguments)
        if series.value.notna().any():
            clauses.append(_too_short(condition, series.value.dropna()))
        elif metric.part == "multiples":
            clauses.append(f"no {condition.subject} stored")
        else:
            clauses.append(metric_value(metric, context.market, arguments).reason)
    return list(dict.fromkeys(clauses))


def _too_short(condition: Condition, values: pd.Series) -> str:
    """How many of a metric's values a target still lacks, and the month that has them at the earliest."""
    needed, clause = values_needed(condition.target), f"too little history of {condition.metric}"
    if len(values) >= needed:
        return f"{clause} for {condition.target}"
    day = values.index[-1] + pd.offsets.BDay(needed - len(values))
    month = f"{MONTHS[day.month - 1]} {day.year}"
    progress = f"{len(values)} of {needed} sessions for {condition.target}"
    return f"{clause}: {progress}, complete in {month} at the earliest"


def next_steps(rule: Rule, context: EvaluationContext) -> list[str]:
    """How to get the figures of which a rule's conditions have none: which file, by which command."""
    market, steps = context.market, list[str]()
    refresh = command_line("refresh", market.options)
    for condition in rule.conditions:
        metric, arguments = METRICS[condition.metric], dict(condition.arguments)
        if context.histories.series(condition).value.notna().any():
            continue
        funds = funds_of(market.pair, arguments)
        if metric.part == "facts":
            steps += common.flow_steps(market, funds)
        elif metric.part == "multiples":
            multiple, convention = multiple_read(metric, arguments)
            rows = market.multiples[market.multiples["metric"] == multiple]
            stored = set(rows[rows["convention"] == convention]["ticker"])
            if multiple in FROM_YAHOO.get(convention, ()):
                how = "It is added up from the companies" if convention in ADDED_UP else "Yahoo gives it"
                steps.append(f"{how} once a day: {refresh}")
            else:
                files = [market.import_line("multiples", fund) for fund in funds if fund not in stored]
                steps += [f"{multiple} {convention} comes from a file alone: {line}" for line in files]
        elif market.end is None:
            steps.append(f"Prices come with {refresh}")
    return list(dict.fromkeys(steps))


def ends_soon(alert: AlertView, context: EvaluationContext) -> bool:
    """Whether the alert's last day is near."""
    if alert.expires_on is None or alert.life.has_ended:
        return False
    today: dt.date = context.market.last_completed.date()
    return alert.expires_on - today <= _ENDS_SOON
