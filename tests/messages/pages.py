"""Answers as a person sees them on a phone, and small Markets with made-up closes to make them of."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from bot.alerts.engine import Event, evaluate, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.series import Histories
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.analytics.market import MULTIPLE_COLUMNS, Market, Source
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from bot.local.botapi import parse_html
from bot.messages.charts import Drawing
from bot.messages.common import COPY, INSERT, MAX_BUTTON_DATA, MAX_BUTTON_TEXT, Answer, button_rows
from bot.messages.html import TABLE_WIDTH
from bot.pair import DEFAULT_PAIR, Pair
from storage.alert_store import StoredAlert
from tests.funds import LARGE, SMALL

XNYS = Sessions()
CSV = Source("csv", "CSV import", "2020-12-11T22:00:00Z")
FIRST = "2020-01-02"
NEVER_PAYING = Pair(*(replace(fund, distributes=False) for fund in DEFAULT_PAIR))
SAMPLE = "Sample data, not the market."
LONG = [50.0 + (number % 7) / 10 for number in range(300)]  # closes of 300 sessions within a narrow band
# Notes that a rule may have.
NOTES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"“”'), max_size=60)


def page(answer: Answer | str) -> str:
    """The text that Telegram shows, if it takes the markup; no table is wider than a phone."""
    text, entities = parse_html(answer.text if isinstance(answer, Answer) else answer)
    encoded = text.encode("utf-16-le")
    for entity in entities:
        if entity["type"] == "pre":
            begin, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
            table = encoded[begin:end].decode("utf-16-le").splitlines()
            assert max(map(len, table)) <= TABLE_WIDTH, table
    for line in text.splitlines():
        assert line == line.rstrip(), f"white space at the end of {line!r}"
        assert "nan" not in line.lower().split(), line
    if isinstance(answer, Answer):
        assert sum(map(len, answer.buttons)) <= 100
        for row in button_rows(answer.buttons, "e"):
            limits = (
                (data, MAX_BUTTON_TEXT if data.startswith((COPY, INSERT)) else MAX_BUTTON_DATA) for _, data in row
            )
            assert all(len(data.encode()) <= limit for data, limit in limits)
            assert all(label for label, _ in row)
    return text


def shown(answer: Answer | str) -> list[str]:
    """The lines of a page."""
    return page(answer).splitlines()


def button_labels(answer: Answer) -> list[list[str]]:
    """The labels of the buttons, row by row."""
    return [[label for label, _ in row] for row in answer.buttons]


def drawing(answer: Answer) -> partial[Drawing]:
    """The chart of an answer, with the arguments that it would be drawn of."""
    assert isinstance(answer.draw, partial)
    return answer.draw


def days(count: int, first: str = FIRST) -> pd.DatetimeIndex:
    """The exchange's sessions from a date on."""
    begin = int(XNYS.index.searchsorted(pd.Timestamp(first)))
    return XNYS.index[begin : begin + count]


def market(
    small: Sequence[float | None],
    large: Sequence[float | None] | None = None,
    *,
    first: str = FIRST,
    behind: int = 0,
    units: Mapping[str, Sequence[float]] | None = None,
    multiples: Sequence[tuple[str, str, str, float]] = (),
) -> Market:
    """Closes of IWM and of SPY (100 if not given), `behind` sessions before the last completed one.

    Neither fund pays distributions.

    units: millions by ticker at a NAV of 100 dollars, on the same sessions. multiples: (session,
    ticker, metric, value), profitable companies only, trailing.
    """
    index = days(len(small), first)
    closes = {SMALL: list(small), LARGE: list(large) if large is not None else [100.0] * len(small)}
    prices = pd.DataFrame(closes, index, dtype="float64")
    facts = {
        ticker: pd.DataFrame(
            {"nav": 100.0, "shares": [count * 1e6 for count in counts], "assets": float("nan")}, index[: len(counts)]
        )
        for ticker, counts in (units or {}).items()
    }
    rows = [
        (pd.Timestamp(session), ticker, metric, "positive", "trailing", value, "csv")
        for session, ticker, metric, value in multiples
    ]
    figures = pd.DataFrame(rows, columns=list(MULTIPLE_COLUMNS))
    return Market(
        prices=prices,
        last_completed=days(len(small) + behind, first)[-1],
        pair=NEVER_PAYING,
        facts=facts,
        multiples=figures.astype({"session": "datetime64[ns]", "value": "float64"}),
        sources={"prices": CSV, **{f"facts:{ticker}": CSV for ticker in facts}, **({"multiples": CSV} if rows else {})},
        calendar=XNYS.index,
    )


def empty() -> Market:
    """A Market without anything, as a new database gives it."""
    return Market(
        prices=pd.DataFrame(columns=[SMALL, LARGE], index=pd.DatetimeIndex([]), dtype="float64"),
        last_completed=pd.Timestamp("2020-12-11"),
        calendar=XNYS.index,
    )


def context(of: Market) -> EvaluationContext:
    """What messages about alerts need of a Market."""
    following = XNYS.next_after(of.last_completed)
    return EvaluationContext(of, Histories(of, METRICS), XNYS.close(following))


def alert_with_events(
    text: str, of: EvaluationContext, *, number: int = 3, life: str = "active", until: int = 0
) -> tuple[AlertView, tuple[Event, ...]]:
    """An alert created `until` sessions ago, evaluated since, with what has happened to it."""
    rule = parse_rule(text, METRICS)
    history = of.histories.samples(rule, sessions=of.market.sessions)
    cut = len(history) - until
    state = first_state(rule, history[:cut], of.market.last_completed.date())
    run = evaluate(rule, state, history[cut:])
    return AlertView(number, rule, Life(life), run.states[-1] if run.states else state), run.events


def alert_view(text: str, of: EvaluationContext, *, number: int = 3, life: str = "active", until: int = 0) -> AlertView:
    """An alert created now, or `until` sessions ago and evaluated since."""
    return alert_with_events(text, of, number=number, life=life, until=until)[0]


def stored(alert: AlertView) -> StoredAlert:
    """A row of the alerts table with the alert's number and rule."""
    columns: dict[str, Any] = dict.fromkeys(StoredAlert.__struct_fields__)
    return StoredAlert(**columns | {"number": alert.number, "rule": str(alert.rule)})


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


FLAT = context(market(LONG))  # to Thu 11 Mar 2021
RISEN = context(market([*LONG, 70.0]))  # to Fri 12 Mar 2021
