"""Histories of metrics from their arguments: what the registry's entries are made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from bot.analytics import flows, trend

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.metrics import Arguments
    from bot.analytics.windows import Window

    History: TypeAlias = Callable[[Market, Arguments], pd.Series]


def n(arguments: Arguments) -> int:
    """The number of sessions among the arguments."""
    return cast("int", arguments["n"])


def window(arguments: Arguments) -> Window:
    """The window among the arguments."""
    return cast("Window", arguments["window"])


def on_ratio(function: Callable[[pd.Series, int], pd.Series]) -> History:
    """A metric of the ratio over n sessions."""
    return lambda market, arguments: function(trend.ratio(market), n(arguments))


def channel(market: Market, arguments: Arguments) -> pd.Series:
    """Residuals of the ratio in its channel since the date among the arguments."""
    return trend.channel_fit(trend.ratio(market), cast("dt.date", arguments["since"]))["residual"]


def flow(column: str) -> History:
    """One column of a fund's flow history."""

    def history(market: Market, arguments: Arguments) -> pd.Series:
        frame = flows.daily_flows(market, str(arguments["fund"]))
        return flows.flow_history(frame, window(arguments))[column]

    return history


def flow_z(market: Market, arguments: Arguments) -> pd.Series:
    """How unusual a fund's flow is, from its percent of assets."""
    return flows.robust_z(flow("percent")(market, arguments))
