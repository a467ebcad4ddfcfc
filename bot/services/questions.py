"""Questions about the Market: parsing "3m tr asof 2020-12-11", loading the Market, backtests."""

import asyncio
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import pandas as pd

from bot.alerts.backtest import Frequency, Outcome, fires_without_band, frequency, outcomes
from bot.alerts.grammar import grammar_words, is_plain
from bot.alerts.lexer import SENTENCE
from bot.alerts.presets import Preset, preset_of
from bot.alerts.rule import Rule
from bot.alerts.series import known_sessions, rule_lag
from bot.alerts.view import EvaluationContext
from bot.analytics import trend
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.analytics.windows import (
    DATE,
    EXAMPLES,
    NAMED,
    AsOf,
    Window,
    joined_windows,
    named_dates,
    parse_date,
    parse_window,
)
from bot.errors import Ambiguous, BadInput, ConfigError, NoData
from bot.pair import Pair
from bot.services import Services, context_of
from bot.services.alert_views import parse_alert_rule
from bot.text import date_phrase, did_you_mean
from storage import chat_store, outbox
from storage.observations import Restatement, recent, stored_sources
from storage.sources import SourceStatus, source_statuses

P = ParamSpec("P")
T = TypeVar("T")
MOST_ANSWERS = 64  # that a Market keeps; with the figures of a picture each takes up to 50 kB
_KINDS = {"tr": True, "total": True, "price": False, "both": None}
_DATE_WORDS = ("asof", "known", "since")
# Between the funds, which are both in every answer, and between two dates.
_JOINTS = frozenset({"the", "vs", "versus", "against", "and", "between", "from", "to", "until", "over", "-", "\u2013"})
_DATE = re.compile(DATE)
_DATE_OR_YEAR = re.compile(rf"{DATE}|(?:19|20)[0-9]{{2}}")
_AS_OF = re.compile(r"\bas[ -]of\b", re.IGNORECASE)
# Words of a plain question that say it is about the pair.
_ABOUT = frozenset({"cap", "caps", "small", "large", "compare", "smallcaps", "largecaps"})
_GUIDE = "new"  # /alert new opens the guide
_EXAMPLE_FUNDS = {"small": "IJR", "large": "IVV"}
_TICKER = re.compile(r"\^?[A-Z][A-Z.]{0,5}")
_OTHER_FUND = "Only {small} and {large} are compared, no other ticker."
MOST_WINDOWS = 6


def refuse_reserved_tickers(pair: Pair) -> None:
    """Raise ConfigError for funds whose ticker means something else in a command or an alert rule."""
    reserved = {*grammar_words(METRICS), *_KINDS, *_DATE_WORDS, *_JOINTS, _GUIDE}
    funds = {"small": pair.small, "large": pair.large}
    if problems := [
        f"[pair] {key}: {fund.ticker} is a word of commands and alert rules; name another fund, "
        f'such as {key} = "{_EXAMPLE_FUNDS[key]}"'
        for key, fund in funds.items()
        if fund.word in reserved or not is_plain(fund.word)
    ]:
        raise ConfigError(problems)


@dataclass(frozen=True)
class MarketQuestion:
    """What is asked about the Market.

    total   the kind of return: total, price, or None for both
    stated  whether a kind of return was typed
    dates   as of which session, and as known on which day
    rest    words left to the command
    """

    windows: tuple[Window, ...] = ()
    total: bool | None = None
    stated: bool = False
    dates: AsOf = field(default_factory=AsOf)
    rest: tuple[str, ...] = ()

    def returns(self, preferred: bool | None) -> bool | None:
        """Return the kind of return that was typed, else the preferred one."""
        return self.total if self.stated else preferred

    @property
    def window(self) -> Window | None:
        """The first window, if one was typed."""
        return self.windows[0] if self.windows else None


@dataclass(frozen=True)
class Backtest:
    """A rule run over the sessions from `begin` to `end`, up to `years` of them.

    bare   how often it would have fired without the band
    after  what the ratio did after the fires
    """

    rule: Rule
    preset: Preset | None
    context: EvaluationContext
    years: int
    fires: Frequency
    begin: dt.date
    end: dt.date
    bare: int
    after: list[Outcome]


async def backtest(services: Services, rule_text: str, years: int, asof: pd.Timestamp | None = None) -> Backtest:
    """Evaluate a typed rule, or a preset by its name, over the last `years`; raises BadInput and NoData."""
    # Every session of a history counts back from itself, the last one too.
    market = replace(await services.markets.at(asof, None), anchor=None)
    rule, preset = parse_alert_rule(rule_text, market, "/backtest"), preset_of(rule_text, market)
    context = context_of(market, services.markets)
    return await asyncio.to_thread(run_backtest, rule, context, years, preset)


def run_backtest(rule: Rule, context: EvaluationContext, years: int, preset: Preset | None = None) -> Backtest:
    """Evaluate a rule over the last `years` with the live engine; raises NoData without any history."""
    market, histories = context.market, context.histories
    market.require_end()
    samples = histories.samples(rule, None, market.sessions)
    fires = frequency(rule, samples, years)
    if fires.since is None or fires.until is None:
        series = [histories.series(condition) for condition in rule.conditions]
        lacking = [
            str(condition)
            for condition, figures in zip(rule.conditions, series, strict=True)
            if (figures.value - figures.threshold).isna().all()
        ]
        raise NoData(f"There is no history for {' and '.join(lacking) or rule}; nothing can be tested.")
    ratio = trend.ratio(market)
    sessions = market.sessions[(market.sessions >= ratio.index[0]) & (market.sessions <= ratio.index[-1])]
    ratio = ratio.reindex(sessions)
    return Backtest(
        rule=rule,
        preset=preset,
        context=context,
        years=years,
        fires=fires,
        begin=fires.since,
        end=fires.until,
        bare=fires_without_band(rule, samples, years),
        after=outcomes(known_sessions(rule, market, fires.dates), ratio, fires.since, rule_lag(rule, METRICS)),
    )


class StoredStatus(NamedTuple):
    """What /status shows of the database."""

    statuses: list[SourceStatus]
    sources: set[str]  # names of those that stored figures are from
    restated: list[Restatement]
    queue: dict[str, int]  # messages by status
    refusing: int  # number of chats that refuse messages


async def read_status(services: Services, since: dt.datetime) -> StoredStatus:
    """Read the states of the sources, restatements since an instant, and the queue."""
    return await services.database.read(
        lambda db: StoredStatus(
            source_statuses(db),
            stored_sources(db),
            recent(db, since=since),
            outbox.count_by_status(db),
            len(chat_store.refusing_chats(db)),
        )
    )


async def load_market(services: Services, question: MarketQuestion, example: str = "") -> tuple[MarketQuestion, Market]:
    """Load the Market that a question is about; raises BadInput for a window that begins after it ends.

    A window that begins at the last close, or since then, is that session alone: what "yesterday" asks for.
    """
    market, windows = await services.markets.at(question.dates.asof, question.dates.known), list[Window]()
    end = market.end.date() if market.end is not None else dt.date.max
    latest = end if question.dates.asof is not None else services.clock().date()
    for window in question.windows:
        if window.since is not None and window.since > max(end, latest):
            raise BadInput(f"“{window}” begins after the last known close, {date_phrase(end)}.", example)
        windows.append(Window("d", 1) if window.since is not None and window.since >= end else window)
    return replace(question, windows=tuple(windows)), market


async def answer_once(
    page: Callable[Concatenate[Market, AsOf, P], T],
    market: Market,
    as_of: AsOf,
    *arguments: P.args,
    **options: P.kwargs,
) -> T:
    """Return what a page answers, computed once for all who ask the same, also at the same moment.

    An answer follows from the Market, which has its age in it and never changes, and from the arguments. It
    is forgotten with the Market. An error is not kept.
    """
    answers = (market.whole or market).results.setdefault((answer_once,), {})
    key = (page, as_of, arguments, tuple(options.items()))
    answer: asyncio.Task[T] | None = answers.pop(key, None)
    if answer is None or answer.cancelled():
        answer = asyncio.create_task(asyncio.to_thread(page, market, as_of, *arguments, **options))
    answers[key] = answer  # as the last, so that the one asked for longest ago comes first
    while len(answers) > MOST_ANSWERS:
        answers.pop(next(iter(answers)))
    try:
        return await asyncio.shield(answer)
    except Exception:
        if answers.get(key) is answer:
            del answers[key]
        raise


def parse_question(
    text: str,
    example: str,
    pair: Pair,
    today: dt.date | None = None,
    *,
    kinds: bool = False,
    rest: bool = False,
    most_windows: int = MOST_WINDOWS,
) -> MarketQuestion:
    """Return the question that the words after a command ask; raises BadInput naming the word.

    A date by itself is the beginning of a window, a second one its end; a command without windows takes it as
    the date asked about. "yesterday" counts from `today`. `kinds` allows tr and price; `rest` keeps what is not a
    window (words, bare numbers) for the command.
    """
    question = MarketQuestion()
    text = joined_windows(_AS_OF.sub("asof", named_dates(text, today)))
    words = (text if rest else text.replace(",", " ")).split()
    _order_dates(words, example)
    while words:
        word = words.pop(0)
        lower = word.lower()
        if lower in _DATE_WORDS:
            question = _with_date(question, lower, words, example)
        elif (_DATE if rest else _DATE_OR_YEAR).fullmatch(word):
            begins = most_windows and all(window.since is None for window in question.windows)
            question = _with_date(question, "since" if begins else "asof", [word], example)
        elif kinds and lower in _KINDS:
            both = question.stated and question.total is not _KINDS[lower]  # "tr price" asks for both
            question = replace(question, total=None if both else _KINDS[lower], stated=True)
        elif lower in _JOINTS or (not rest and lower in pair.words):
            continue
        elif not rest or lower in NAMED or (lower[0].isdigit() and not lower.isdigit()):
            question = _with_window(question, word, pair, example, kinds=kinds)
        else:
            question = replace(question, rest=(*question.rest, lower))
    if len(question.windows) > most_windows:
        command = example.split(maxsplit=1)[0]
        if not most_windows:
            raise BadInput(f"{command} takes no window.", example)
        if most_windows == 1:
            raise BadInput(f"{command} takes one window.", example)
        raise BadInput(f"{len(question.windows)} windows are too many; at most {most_windows}.", example)
    return question


def _order_dates(words: list[str], example: str) -> None:
    """Put two dates by themselves, the ends of a span, in their order."""
    dates = [at for at, word in enumerate(words) if _DATE.fullmatch(word)]
    for first, second in pairwise(at for at in dates if not at or words[at - 1].lower() not in _DATE_WORDS):
        if parse_date(words[first], example) > parse_date(words[second], example):
            words[first], words[second] = words[second], words[first]


def plain_question(text: str, pair: Pair, today: dt.date | None = None) -> str | None:
    """Return the words of /compare that plain words ask for, None if they ask for something else.

    "IWM vs SPY last 6 months" asks for 6months, "how are small caps doing?" for the usual windows.
    """
    for name, word in zip(("small", "large"), pair.words, strict=True):
        text = SENTENCE[name].sub(word, text)
    line = without_filler(text)
    try:
        question = parse_question(line, "/compare", pair, today, kinds=True)
    except Ambiguous:
        return line
    except BadInput:
        return None
    is_about_pair = not _ABOUT.union(pair.words).isdisjoint(_plain_words(text))
    return line if is_about_pair or question.windows else None


def without_filler(text: str) -> str:
    """Return plain words without those that say nothing, such as "how"; windows and dates are one word each."""
    return " ".join(word for word in _plain_words(text) if not SENTENCE["filler"].fullmatch(word))


def _plain_words(text: str) -> list[str]:
    text = joined_windows(_AS_OF.sub("asof", named_dates(text)))
    return [word.strip("?!.;:").lower() for word in text.split()]


def _with_date(question: MarketQuestion, word: str, words: list[str], example: str) -> MarketQuestion:
    if not words:
        raise BadInput(f"“{word}” needs a date after it.", example)
    day = parse_date(words.pop(0), example, begins=word == "since")
    if word == "since":
        return replace(question, windows=(*question.windows, Window("since", since=day)))
    if getattr(question.dates, word) is not None:
        raise BadInput(f"“{word}” is given twice.", example)
    return replace(question, dates=replace(question.dates, **{word: pd.Timestamp(day)}))


def _with_window(question: MarketQuestion, word: str, pair: Pair, example: str, *, kinds: bool) -> MarketQuestion:
    try:
        return replace(question, windows=(*question.windows, parse_window(word, example)))
    except BadInput as error:
        if word[0].isdigit():
            raise
        names = (*NAMED, "since", "asof", "known", *(_KINDS if kinds else ()))
        hint = did_you_mean(word, names) or (pair.fill(_OTHER_FUND) if _TICKER.fullmatch(word) else "")
        raise BadInput(
            f"“{word}” is not understood here. {hint + ' ' if hint else ''}Windows: {EXAMPLES}; dates: asof 2020-12-11."
        ) from error
