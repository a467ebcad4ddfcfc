"""The registry of metrics: everything that can be asked for, charted, alerted on and summarised.

Commands, alert words, units, charts, help and the tables of the documentation derive from METRICS. A metric's
`history` maps a Market and its arguments to a Series on sessions, NaN or absent where undefined; the value at
t uses nothing after t, and the current value is the last point. To add a metric, add one entry here, its texts
in metrics.toml, and one pure function.

Texts are templates of the pair, which `metrics_of` fills. At the end of the module: current values, and how far
each part of the Market reaches, which tells an outage from a holiday.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd

from bot.analytics import flows, trend, units, valuation
from bot.analytics.companies import LOSSES_IN
from bot.analytics.flows import FROZEN_SESSIONS, STANDS
from bot.analytics.market import NO_SOURCE, Market
from bot.analytics.performance import TOO_SHORT, excess_history, missing_base, performance, return_history
from bot.analytics.sources import TYPED_IN
from bot.analytics.units import Unit
from bot.analytics.windows import Window
from bot.pair import DEFAULT_PAIR, Pair
from bot.text import load_toml, short_date

Argument = Window | int | str
Arguments = Mapping[str, Argument]
History: TypeAlias = "Callable[[Market, Arguments], pd.Series]"


RATIO_WORD = "ratio"
_TEXTS = load_toml("bot.analytics", "metrics.toml")


@dataclass(frozen=True)
class Parameter:
    """One argument of a metric.

    `kind` is window, count, fund, convention or date (a window "since DATE"). Without a default, and where it
    is `required`, the argument must be given. The default and choices of a fund are templates of the pair; ""
    is the ratio, which is typed RATIO_WORD.
    """

    name: str
    kind: str
    default: Argument | None = None
    choices: tuple[str, ...] = ()
    low: int = 1
    high: int = 5_000
    counted: bool = False  # only a window that has a length, not ytd, mtd, since
    required: bool = False

    @property
    def words(self) -> dict[str, str]:
        """The choices by what is typed."""
        return {choice.lower() or RATIO_WORD: choice for choice in self.choices}

    def of_pair(self, pair: Pair, convention: Argument | None) -> "Parameter":
        """The parameter with the pair's tickers as choices, or with the default convention."""
        match self.kind:
            case "fund":
                choices = tuple(map(pair.fill, self.choices))
                return replace(self, default=pair.fill(str(self.default)), choices=choices)
            case "convention":
                return replace(self, default=convention)
        return self


@dataclass(frozen=True)
class Range:
    """The values that a metric can take: above `low`, or from it on if `reached`, up to and with `high`."""

    low: float = -math.inf
    high: float = math.inf
    reached: bool = False

    def never(self, op: str, value: float) -> bool:
        """Whether no possible value compares so with `value`."""
        match op:
            case ">":
                return value >= self.high
            case ">=":
                return value > self.high
            case "<":
                return value <= self.low
        return value < self.low or (value == self.low and not self.reached)

    def allows(self, op: str, value: float) -> bool:
        """Whether a comparison, or each side of `crosses`, is true of some possible values and not of all."""
        ops = (op,) if op in _OPPOSITE else (">", "<")
        return not any(self.never(op, value) or self.never(_OPPOSITE[op], value) for op in ops)

    def words(self, unit: Unit) -> str:
        """The range as a clause: "always above -100% and never above 0%"."""
        low = f"{'never below' if self.reached else 'always above'} {unit.write(self.low)}"
        high = f"never above {unit.write(self.high)}" if self.high < math.inf else ""
        return " and ".join(filter(None, (low if self.low > -math.inf else "", high)))


_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_POSITIVE = Range(low=0.0)
_LOSS_AT_MOST_ALL = Range(low=-100.0)  # of a change in percent of a positive figure


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of the registry.

    lag              sessions until the inputs of a session are stored
    level_of_prices  whether it is a level in units of prices: a split rescales it and pauses rules on it
    part             the part of the Market it reads: prices, facts or multiples
    reason           why the last session has no value although history reaches back far enough, else ""
    range            the values it can take; rules that none of them makes true, or false, are refused
    title            a few words
    phrase           the metric with its arguments in words, as the subject of a sentence: a template of the
                     pair and the parameters
    meaning          one sentence for people
    formula          in the field's notation, with its source where it has one
    example          a rule that can be typed; every example is itself a test
    """

    name: str
    unit: Unit
    history: Callable[[Market, Arguments], pd.Series]
    parameters: tuple[Parameter, ...] = ()
    lag: int = 0
    level_of_prices: bool = False
    part: str = "prices"
    reason: Callable[[Market, Arguments], str] = lambda _market, _arguments: ""
    range: Range = Range()
    title: str = ""
    phrase: str = ""
    meaning: str = ""
    formula: str = ""
    example: str = ""

    def of_pair(self, pair: Pair, convention: Argument | None) -> "Metric":
        """The metric with the texts of its name, the pair's tickers in them, and its default convention."""
        own = {name: getattr(self, name) for name in ("title", "phrase", "meaning", "formula", "example")}
        texts = {**own, **_TEXTS.get(self.name, {})}
        filled: dict[str, Any] = {name: text if name == "phrase" else pair.fill(text) for name, text in texts.items()}
        parameters = tuple(parameter.of_pair(pair, convention) for parameter in self.parameters)
        return replace(self, parameters=parameters, **filled)

    @property
    def subject(self) -> str:
        """The metric as it is typed with the least arguments: "ratio", "price iwm"."""
        return " ".join([self.name, *(str(p.default).lower() for p in self.parameters if p.required)])

    def defaults(self) -> dict[str, Argument]:
        """The default arguments; a parameter without a default is left out."""
        return {p.name: p.default for p in self.parameters if p.default is not None}


_FUND = Parameter("fund", "fund", "{small}", choices=("{small}", "{large}"))
_OWN_FUND = replace(_FUND, required=True)  # of a metric that has no fund by nature
_WINDOW = Parameter("window", "window", Window("d", 20))
_CONVENTION = Parameter("convention", "convention", "morningstar", choices=tuple(valuation.CONVENTIONS))


def _count(default: int, low: int = 2) -> Parameter:
    return Parameter("n", "count", default, low=low)


def _n(arguments: Arguments) -> int:
    return cast("int", arguments["n"])


def _window(arguments: Arguments) -> Window:
    return cast("Window", arguments["window"])


def _of_ratio(function: Callable[[pd.Series, int], pd.Series], default: int, low: int = 2) -> partial[Metric]:
    """A metric of the ratio over n sessions, in percent, that lacks only its texts."""
    return partial(
        Metric,
        unit=units.PERCENT,
        history=lambda market, arguments: trend.of_ratio(market, function, _n(arguments)),
        reason=lambda market, arguments: trend.missing_reason(market, _n(arguments)),
        range=_LOSS_AT_MOST_ALL,
        parameters=(_count(default, low),),
    )


def _of_price(function: Callable[[Market, str, int], pd.Series], default: int) -> partial[Metric]:
    """A metric of a fund's price over n sessions, in percent, that lacks only its texts and its range."""
    return partial(
        Metric,
        unit=units.PERCENT,
        history=lambda market, arguments: function(market, str(arguments["fund"]), _n(arguments)),
        reason=lambda market, arguments: trend.missing_reason(market, _n(arguments)),
        parameters=(_OWN_FUND, _count(default)),
    )


def _channel(market: Market, arguments: Arguments) -> pd.Series:
    since = cast("Window", arguments["since"]).since or trend.CHANNEL_FROM
    return trend.channel_fit(trend.ratio(market), since)["residual"]


def _flow(column: str) -> History:
    def history(market: Market, arguments: Arguments) -> pd.Series:
        frame = flows.daily_flows(market, str(arguments["fund"]))
        return flows.flow_history(frame, _window(arguments), market.anchor)[column]

    return history


# A metric of one fund's facts over a window; the count of a session arrives on the next one.
_of_facts = partial(Metric, parameters=(_FUND, _WINDOW), lag=1, part="facts")
_of_multiples = partial(Metric, lag=1, part="multiples")

# What is different of multiples that are no price over earnings.
_OTHERS: Mapping[str, Mapping[str, Any]] = {
    "pb": {"unit": units.LOW_MULTIPLE},
    "ps": {"unit": units.LOW_MULTIPLE},
    "yield": {"unit": units.YIELD, "range": Range(0.0, reached=True)},
    "earnings_yield": {"unit": units.YIELD, "range": Range()},
    "loss_share": {"unit": units.SHARE, "range": Range(0.0, 100.0, reached=True)},
}


def _multiple(name: str, title: str) -> Metric:
    usual = _of_multiples(
        name=name,
        title=title,
        phrase=f"{{fund}}'s {title} ({{convention}})",
        unit=units.MULTIPLE,
        range=_POSITIVE,
        history=lambda market, a: valuation.with_repeats(
            market,
            valuation.multiple_history(market, str(a["fund"]), name, str(a["convention"])),
            funds_of(market.pair, a),
            name,
            str(a["convention"]),
        ),
        parameters=(_FUND, _CONVENTION),
        meaning=f"{title} of one fund under one convention.",
        formula=f"{title} as the source states it; see /multiples for the conventions",
        example=f"{name} {{small_word}} > 25x",
    )
    return replace(usual, **_OTHERS.get(name, {}))


def _premium(name: str, title: str) -> Metric:
    return _of_multiples(
        name=f"{name}_premium",
        title=f"{title} premium",
        phrase=f"{{small}}'s {title} premium ({{convention}})",
        unit=units.PERCENT,
        range=Range(-100.0, reached=True) if name == "yield" else _LOSS_AT_MOST_ALL,
        history=lambda market, a: valuation.with_repeats(
            market,
            valuation.premium_history(market, name, str(a["convention"])),
            market.pair.tickers,
            name,
            str(a["convention"]),
        ),
        parameters=(_CONVENTION,),
        meaning=f"How much higher {{small}}'s {title} is than {{large}}'s, both under one convention.",
        formula=f"100 ({title} {{small}} / {title} {{large}} − 1)",
        example=f"{name}_premium > 20%",
    )


_TREND = (
    Metric(
        name="ratio",
        unit=units.LEVEL,
        history=lambda market, _: trend.ratio(market),
        level_of_prices=True,
        range=_POSITIVE,
    ),
    _of_ratio(trend.ratio_vs_sma, 200)(name="ratio_vs_sma"),
    Metric(
        name="excess",
        unit=units.POINTS,
        history=lambda market, a: excess_history(market, _window(a)),
        reason=lambda market, a: performance(market, _window(a), total=True).reason,
        parameters=(Parameter("window", "window", Window("m", 3)),),
    ),
    Metric(
        name="momentum",
        unit=units.POINTS,
        history=lambda market, _: trend.momentum(market),
        reason=lambda market, _: (
            missing_base(market, trend.SESSIONS_A_MONTH) or missing_base(market, trend.SESSIONS_A_YEAR)
        ),
    ),
    _of_ratio(trend.breakout, 252, 1)(name="breakout"),
    _of_ratio(trend.breakout_low, 252, 1)(name="breakout_low"),
    _of_ratio(trend.slope, 60, 3)(name="slope"),
    Metric(
        name="channel",
        unit=units.NUMBER,
        history=_channel,
        parameters=(Parameter("since", "date", Window("since", since=trend.CHANNEL_FROM)),),
    ),
    Metric(
        name="drawdown",
        unit=units.PERCENT,
        history=lambda market, a: trend.drawdown(
            market.closes[fund] if (fund := str(a.get("fund", ""))) else trend.ratio(market)
        ),
        range=Range(low=-100.0, high=0.0),
        parameters=(replace(_FUND, default="", choices=("", *_FUND.choices)),),
    ),
    Metric(
        name="beta",
        unit=units.NUMBER,
        history=lambda market, a: trend.beta(market, _n(a)),
        reason=lambda market, a: trend.daily_returns_reason(market, _n(a)),
        parameters=(_count(252, 3),),
    ),
    Metric(
        name="corr",
        unit=units.NUMBER,
        history=lambda market, a: trend.correlation(market, _n(a)),
        reason=lambda market, a: trend.daily_returns_reason(market, _n(a)),
        range=Range(-1.0, 1.0, reached=True),
        parameters=(_count(60, 3),),
    ),
)

_FUND_PRICES = (
    Metric(
        name="price",
        unit=units.PRICE,
        history=lambda market, a: market.closes[str(a["fund"])],
        parameters=(_OWN_FUND,),
        level_of_prices=True,
        range=_POSITIVE,
    ),
    Metric(
        name="return",
        unit=units.PERCENT,
        history=lambda market, a: return_history(market, _window(a), total=False)[str(a["fund"])],
        reason=lambda market, a: performance(market, _window(a)).reason,
        parameters=(_OWN_FUND, Parameter("window", "window", Window("d", 1))),
        range=_LOSS_AT_MOST_ALL,
    ),
    _of_price(trend.volatility, 20)(name="volatility", unit=units.YIELD, range=Range(low=0.0, reached=True)),
    _of_price(trend.from_high, 252)(name="from_high", range=Range(low=-100.0, high=0.0)),
    _of_price(trend.from_low, 252)(name="from_low", range=Range(low=0.0, reached=True)),
)

_FLOWS = (
    _of_facts(name="flow", unit=units.USD, history=_flow("dollars")),
    _of_facts(name="flow_pct", unit=units.PERCENT, history=_flow("percent")),
    _of_facts(
        name="flow_gap",
        unit=units.POINTS,
        history=lambda market, a: flows.flow_gap_history(market, _window(a)),
        parameters=(_WINDOW,),
    ),
    _of_facts(
        name="flow_change", unit=units.USD, history=_flow("change"), parameters=(_FUND, replace(_WINDOW, counted=True))
    ),
    _of_facts(
        name="flow_z",
        unit=units.NUMBER,
        history=lambda market, a: flows.robust_z(_flow("percent")(market, a)),
        range=Range(-flows.Z_CLIP, flows.Z_CLIP, reached=True),
    ),
    _of_facts(name="units", unit=units.PERCENT, range=_LOSS_AT_MOST_ALL, history=_flow("units")),
)

_VALUATION = (
    *(
        make(name, title)
        for name, title in valuation.MULTIPLES.items()
        for make in (_multiple, _premium)
        if make is _multiple or name not in valuation.OF_COMPANIES
    ),
    _of_multiples(
        name="earnings_yield_gap",
        unit=units.POINTS,
        history=lambda market, a: valuation.yield_gap_history(market, str(a["convention"])),
        parameters=(_CONVENTION,),
    ),
    _of_multiples(
        name="estimates",
        unit=units.INDEX,
        range=Range(),
        history=lambda market, a: valuation.estimate_index(market, str(a["fund"])),
        parameters=(_FUND,),
    ),
)


@cache
def metrics_of(pair: Pair, convention: str | None = None, stored: frozenset[str] = frozenset()) -> dict[str, Metric]:
    """All metrics of a pair. `convention` applies where none is named; None takes the usual one.

    A multiple that is not among those `stored` under it, and that Yahoo gives under another one only, takes that one.
    """
    usual = convention or str(_CONVENTION.default)

    def default(metric: Metric) -> str:
        kind, _ = multiple_read(metric, {})
        names = [name for name, kinds in valuation.FROM_YAHOO.items() if kind in kinds]
        elsewhere = kind not in stored and usual in valuation.FROM_YAHOO and usual not in names
        return names[0] if names and elsewhere else usual

    return {
        metric.name: metric.of_pair(pair, default(metric)) for metric in (*_TREND, *_FUND_PRICES, *_FLOWS, *_VALUATION)
    }


def multiple_read(metric: Metric, arguments: Arguments) -> tuple[str, str]:
    """The multiple that a metric of the multiples is made of, and its convention."""
    name = metric.name.removesuffix("_premium").removesuffix("_gap")
    name = "earnings_yield" if name == "estimates" else name
    return name, str(arguments.get("convention", LOSSES_IN))


# Names, units, lags and histories are the same for every pair; texts and funds are those of metrics_of(pair).
METRICS = metrics_of(DEFAULT_PAIR)


@dataclass(frozen=True)
class MetricValue:
    """A metric's value with its session, source and age; value is None where it cannot be given."""

    value: float | None
    session: pd.Timestamp | None
    source: str
    sessions_behind: int = 0
    reason: str = ""  # why there is no value


def metric_value(metric: Metric, market: Market, arguments: Arguments) -> MetricValue:
    """Current value of a metric: the last point of its history, with session, source and age.

    Where there is a reason why the last session has none it is n/a, not an older value.
    """
    source = sources_of(metric, market, arguments)
    history = metric.history(market, arguments)
    known = history[np.isfinite(history.to_numpy(dtype="float64"))] if len(history) else history
    reason = "" if market.end is None else metric.reason(market, arguments)
    if known.empty or reason not in {"", TOO_SHORT}:
        return MetricValue(None, None, source, reason=_missing_reason(metric, market, arguments))
    session = known.index[-1]
    return MetricValue(float(known.iloc[-1]), session, source, market.sessions_behind(session))


def _missing_reason(metric: Metric, market: Market, arguments: Arguments) -> str:
    """One clause that says what is missing for a metric without any value."""
    for parameter in metric.parameters:
        window = arguments.get(parameter.name)
        if parameter.counted and isinstance(window, Window) and not window.counted:
            return f"{window} has no window before it"
    if metric.part == "multiples":
        return f"no such multiple stored{'' if 'fund' in arguments else ' for both funds'}"
    if metric.part == "facts":
        counts = {fund: _share_counts(market, fund).index for fund in funds_of(market.pair, arguments)}
        if missing := [fund for fund, sessions in counts.items() if sessions.empty]:
            return f"no share counts of {' and '.join(missing)} stored"
        first = max(sessions[0] for sessions in counts.values())
        return f"too little history (share counts from {short_date(first)})"
    if market.end is None:
        return "no closes of both funds stored"
    reason = metric.reason(market, arguments) or TOO_SHORT
    return reason if reason != TOO_SHORT else f"{TOO_SHORT} (prices from {short_date(market.closes.index[0])})"


def funds_of(pair: Pair, arguments: Arguments) -> tuple[str, ...]:
    """Tickers of the fund that a metric is asked for, or of both."""
    fund = str(arguments.get("fund", ""))
    return (fund,) if fund else pair.tickers


def close_behind(metric: Metric, market: Market, arguments: Arguments, session: pd.Timestamp) -> pd.Timestamp:
    """The session whose close a metric's value on `session` is made of: that of a multiple may be earlier."""
    if metric.part != "multiples":
        return session
    funds = funds_of(market.pair, arguments)
    return valuation.priced_session(market, funds, *multiple_read(metric, arguments), session)


def parts_of(metric: Metric, pair: Pair, arguments: Arguments) -> list[str]:
    """Parts of the Market that a metric reads: "prices", "multiples", "facts:IWM"."""
    if metric.part != "facts":
        return [metric.part]
    return [f"facts:{fund}" for fund in funds_of(pair, arguments)]


def sources_of(metric: Metric, market: Market, arguments: Arguments) -> str:
    """Labels of the sources that a metric reads, e.g. "issuer file, Yahoo", or "no data"."""
    parts = parts_of(metric, market.pair, arguments)
    labels = dict.fromkeys(market.source(part).label for part in parts if part in market.sources)
    if metric.part == "facts" and any(
        flows.daily_flows(market, fund)["by_close"].tail(1).any() for fund in funds_of(market.pair, arguments)
    ):
        labels["by close"] = None
    return ", ".join(labels) or NO_SOURCE.label


def held_from(metric: Metric, market: Market, arguments: Arguments) -> pd.Timestamp | None:
    """The first session whose figures wait for a jump of a share count to be resolved, None without one.

    Where no count has come for so long that the jump would be resolved by now, nothing is awaited.
    """
    if metric.part != "facts":
        return None
    frames = (flows.daily_flows(market, fund) for fund in funds_of(market.pair, arguments))
    firsts = (
        frame.index[frame["held"]][0]
        for frame in frames
        if frame["held"].any() and market.sessions_behind(frame.index[-1]) <= STANDS + metric.lag
    )
    return min(firsts, default=None)


def known_on(metric: Metric, market: Market, arguments: Arguments, sessions: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Per session itself, or the later one whose share count resolved a jump of the count up to it.

    The figures of a session are known `lag` sessions after that.
    """
    known = sessions.to_series()
    for fund in funds_of(market.pair, arguments) if metric.part == "facts" else ():
        resolved = flows.daily_flows(market, fund)["known"].reindex(sessions)
        known = known.where(~(resolved > known), resolved)
    return pd.DatetimeIndex(known)


def newest_session(market: Market, part: str) -> pd.Timestamp | None:
    """The last session for which a part has its figures. None when it never had any.

    A share count that does not move for three sessions is frozen: it reaches as far as it moved.
    """
    if part == "prices":
        return market.end
    if part == "multiples":
        # Of both funds, of each source that is asked each day: imports may stop at any time. What is added up
        # from the companies moves with the price between two runs, for a month at most.
        rows = market.multiples
        known = rows[rows["value"].notna() & (rows["source"] != TYPED_IN)]
        last = known.groupby(["source", "ticker"], observed=True)["session"].max()
        return None if known["ticker"].nunique() < len(market.pair.tickers) else last.min()
    counts = _share_counts(market, part.partition(":")[2])
    if is_frozen(market, part):
        return counts.index[counts.diff() != 0][-1]
    return counts.index[-1] if len(counts) else None


def is_frozen(market: Market, part: str) -> bool:
    """Whether a part brings new sessions and the same share count for each."""
    if not part.startswith("facts:"):
        return False
    steps = _share_counts(market, part.partition(":")[2]).diff().iloc[-FROZEN_SESSIONS:]
    return len(steps) == FROZEN_SESSIONS and bool((steps == 0).all())


def _share_counts(market: Market, ticker: str) -> pd.Series:
    return market.fund(ticker)["shares"].dropna()


def first_overdue_session(market: Market, part: str, expected: pd.Timestamp) -> pd.Timestamp | None:
    """The first session that a part lacks although it is overdue. None where nothing is, or never was.

    `expected` is the last session whose close is overdue; the part's lag is allowed for.
    """
    lag = next(metric.lag for metric in METRICS.values() if metric.part == part.partition(":")[0])
    completed = market.sessions[market.sessions <= expected]
    last = newest_session(market, part)
    if last is None or len(completed) <= lag or last >= completed[-1 - lag]:
        return None
    return market.sessions[market.sessions.searchsorted(last, side="right")]
