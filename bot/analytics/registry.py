"""METRICS: every metric that can be asked for, charted, alerted on and summarised.

Their texts are templates of the pair, filled by `metrics_of`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

from bot.analytics import flows, histories, trend, units, valuation
from bot.analytics.metrics import Metric, Parameter
from bot.analytics.performance import excess
from bot.analytics.windows import Window
from bot.pair import DEFAULT_PAIR, Pair

_FUND = Parameter("fund", "fund", "{small}", choices=("{small}", "{large}"))
_WINDOW = Parameter("window", "window", Window("d", 20))
_CONVENTION = Parameter("convention", "convention", "morningstar", choices=tuple(valuation.CONVENTIONS))


def _count(default: int, low: int = 2) -> Parameter:
    return Parameter("n", "count", default, low=low)


# Of one fund's facts over a window; the count of session t arrives on the next one.
_of_facts = partial(Metric, parameters=(_FUND, _WINDOW), lag=1, part="facts")


# Of multiples that are no price over earnings: how they are written, and a level that says something.
_UNITS = {"pb": units.LOW_MULTIPLE, "ps": units.LOW_MULTIPLE, "yield": units.YIELD}
_LEVELS = {"pb": "2x", "ps": "1.5x", "pcf": "15x", "yield": "1%"}


def _multiple(name: str, title: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        unit=_UNITS.get(name, units.MULTIPLE),
        history=lambda market, a: valuation.select(market, str(a["fund"]), name, str(a["convention"])),
        parameters=(_FUND, _CONVENTION),
        lag=1,
        part="multiples",
        meaning=f"{title} of one fund under one convention.",
        formula=f"{title} as the source states it; see /multiples for the conventions",
        example=f"{name} {{small_word}} > {_LEVELS.get(name, '25x')}",
    )


def _premium(name: str, title: str) -> Metric:
    return Metric(
        name=f"{name}_premium",
        title=f"{title} premium",
        unit=units.PERCENT,
        history=lambda market, a: valuation.premium(market, name, str(a["convention"])),
        parameters=(_CONVENTION,),
        lag=1,
        part="multiples",
        meaning=f"How much higher {{small}}'s {title} is than {{large}}'s, both under one convention.",
        formula=f"100 ({title} {{small}} / {title} {{large}} − 1)",
        example=f"{name}_premium > 20%",
    )


_TREND = (
    Metric(
        name="ratio",
        title="{small}/{large}",
        unit=units.LEVEL,
        history=lambda market, _: trend.ratio(market),
        level_of_prices=True,
        meaning="Price of {small} in units of {large}: it rises when small caps lead.",
        formula="R = P({small}) / P({large})",
        example="ratio > sma 200",
    ),
    Metric(
        name="ratio_vs_sma",
        title="{small}/{large} against its average",
        unit=units.PERCENT,
        history=histories.on_ratio(trend.against_average),
        parameters=(_count(200),),
        meaning="How far the ratio stands above (+) or below (−) its own average.",
        formula="100 (R / SMA_n(R) − 1), Mansfield relative strength",
        example="ratio_vs_sma 200 > 5%",
    ),
    Metric(
        name="excess",
        title="Total-return gap",
        unit=units.POINTS,
        history=lambda market, a: excess(market, histories.window(a)),
        parameters=(Parameter("window", "window", Window("m", 3)),),
        meaning="Total return of {small} less that of {large} over the window.",
        formula="R({small}) − R({large}), distributions reinvested",
        example="excess 3m > 5pp",
    ),
    Metric(
        name="momentum",
        title="Relative momentum",
        unit=units.POINTS,
        history=lambda market, _: trend.momentum(market),
        meaning="Twelve-month momentum without the last month, {small} less {large}.",
        formula="100 (P[t−21] / P[t−252] − 1), {small} less {large}",
        example="momentum > 0",
    ),
    Metric(
        name="breakout",
        title="Breakout",
        unit=units.PERCENT,
        history=histories.on_ratio(trend.breakout),
        parameters=(_count(252, 1),),
        meaning="How far the ratio stands above (+) the highest of the n sessions before.",
        formula="100 (R / max(R[t−n..t−1]) − 1)",
        example="breakout 252 > 0%",
    ),
    Metric(
        name="breakout_low",
        title="Breakdown",
        unit=units.PERCENT,
        history=histories.on_ratio(trend.breakout_low),
        parameters=(_count(252, 1),),
        meaning="How far the ratio stands below (−) the lowest of the n sessions before.",
        formula="100 (R / min(R[t−n..t−1]) − 1)",
        example="breakout_low 252 < 0%",
    ),
    Metric(
        name="slope",
        title="Slope of the ratio",
        unit=units.PERCENT,
        history=histories.on_ratio(trend.slope),
        parameters=(_count(60, 3),),
        meaning="Yearly pace of the ratio's trend line over n sessions.",
        formula="100 (e^(252 b) − 1), b = OLS slope of ln R",
        example="slope 60 > 10%",
    ),
    Metric(
        name="channel",
        title="Place in the channel",
        unit=units.NUMBER,
        history=histories.channel,
        parameters=(Parameter("since", "date", trend.CHANNEL_FROM),),
        meaning="Sigmas above (+) the long trend line; above 2 for 5 sessions: the downtrend breaks.",
        formula="(ln R − its straight line from the date) / sigma, fitted up to t−1",
        example="channel > 2 confirm 5",
    ),
    Metric(
        name="drawdown",
        title="Drawdown of the ratio",
        unit=units.PERCENT,
        history=lambda market, _: trend.drawdown(trend.ratio(market)),
        meaning="How far the ratio lies below its highest value on record.",
        formula="100 (R / running maximum of R − 1)",
        example="drawdown < -30%",
    ),
    Metric(
        name="beta",
        title="Beta",
        unit=units.NUMBER,
        history=lambda market, a: trend.beta(market, histories.n(a)),
        parameters=(_count(252, 3),),
        meaning="How much {small} moves per move of {large}, daily total returns.",
        formula="cov({small}, {large}) / var({large}) over n days, ddof 1",
        example="beta 252 > 1.3",
    ),
    Metric(
        name="corr",
        title="Correlation",
        unit=units.NUMBER,
        history=lambda market, a: trend.correlation(market, histories.n(a)),
        parameters=(_count(60, 3),),
        meaning="Correlation of the daily total returns of both funds.",
        formula="corr({small}, {large}) over n days",
        example="corr 60 < 0.7",
    ),
)

_FLOWS = (
    _of_facts(
        name="flow",
        title="Fund flow",
        unit=units.USD,
        history=histories.flow("dollars"),
        meaning="Money into (+) or out of (−) the fund, from its units outstanding.",
        formula="sum of (S[t] − S[t−1]) NAV[t] over the window",
        example="flow {small_word} 5d > $1bn",
    ),
    _of_facts(
        name="flow_pct",
        title="Fund flow, % of assets",
        unit=units.PERCENT,
        history=histories.flow("percent"),
        meaning="The flow in percent of the fund's assets when the window began.",
        formula="100 flow / (S NAV at the base)",
        example="flow_pct {small_word} 20d > 3%",
    ),
    _of_facts(
        name="flow_gap",
        title="Flow gap",
        unit=units.POINTS,
        history=lambda market, a: flows.gap_history(market, histories.window(a)),
        parameters=(_WINDOW,),
        meaning="Flow in percent of assets, {small} less {large}: money turns to small caps when it rises.",
        formula="flow_pct({small}) − flow_pct({large})",
        example="flow_gap 20d > 2pp",
    ),
    _of_facts(
        name="flow_change",
        title="Change of flow",
        unit=units.USD,
        history=histories.flow("change"),
        parameters=(_FUND, replace(_WINDOW, counted=True)),
        meaning="Flow of the window less that of the window before: above zero it accelerates.",
        formula="flow w − flow of the w before",
        example="flow_change {small_word} 20d > $1bn",
    ),
    _of_facts(
        name="flow_z",
        title="Flow z-score",
        unit=units.NUMBER,
        history=histories.flow_z,
        meaning="How unusual the flow is against the 120 sessions before, robust standard scores.",
        formula="(x − median) / (1.4826 MAD), x = flow_pct, clipped to ±5",
        example="flow_z {small_word} 20d > 2",
    ),
    _of_facts(
        name="units",
        title="Units outstanding",
        unit=units.PERCENT,
        history=histories.flow("units"),
        meaning="Change of the fund's units outstanding over the window.",
        formula="100 (S[e] / S[base] − 1)",
        example="units {small_word} 3m > 5%",
    ),
)

_VALUATION = tuple(
    make(name, title) for name, title in valuation.MULTIPLES.items() for make in (_multiple, _premium)
)


@cache
def metrics_of(pair: Pair, convention: str | None = None) -> dict[str, Metric]:
    """All metrics of a pair; `convention` holds where nobody names one, None takes the usual."""
    default = convention or _CONVENTION.default
    return {
        name: replace(
            metric,
            parameters=tuple(
                replace(p, default=default) if p.kind == "convention" else p for p in metric.parameters
            ),
        ).of_pair(pair)
        for name, metric in _TEMPLATES.items()
    }


_TEMPLATES = {metric.name: metric for metric in (*_TREND, *_FLOWS, *_VALUATION)}
# Names, units, lags and histories are the same for every pair; texts and funds are those of metrics_of(pair).
METRICS = metrics_of(DEFAULT_PAIR)
