from __future__ import annotations

import numpy as np
import pandas as pd

from bot.analytics.units import LEVEL, PERCENT
from bot.messages import charts
from bot.messages.canvas import ChartStyle

SESSIONS = pd.DatetimeIndex(["2020-12-08", "2020-12-09", "2020-12-10", "2020-12-11"])


def series(*values: float) -> pd.Series:
    return pd.Series(values, SESSIONS[: len(values)], dtype="float64")


def test_caption_has_title_and_source_and_no_empty_line() -> None:
    look = ChartStyle("A title", "Source: Yahoo", sample=True)

    assert charts.caption(look, ["One.", "", "Two."]) == "A title\nOne.\nTwo.\nSample data · Source: Yahoo"


def test_comparison_tells_ends_gap_and_ranges() -> None:
    returns = pd.DataFrame({"IWM": series(0, -2.5, 4, 3.25), "SPY": series(0, 1, 0.5, 4)})

    assert charts.describe_comparison(returns) == [
        "IWM +3.25%, SPY +4.00%, gap \u22120.75pp, 8 Dec 2020 to 11 Dec 2020.",
        "IWM between \u22122.50% (9 Dec 2020) and +4.00% (10 Dec 2020).",
        "SPY between 0.00% (8 Dec 2020) and +4.00% (11 Dec 2020).",
    ]


def test_comparison_of_one_leg_has_no_gap() -> None:
    returns = pd.DataFrame({"IWM": series(0, 1), "SPY": series(np.nan, np.nan)})

    assert charts.describe_comparison(returns) == ["IWM +1.00%, SPY n/a, 8 Dec 2020 to 9 Dec 2020.", "", ""]


def test_a_single_session_is_a_date_not_a_span() -> None:
    returns = pd.DataFrame({"IWM": series(0), "SPY": series(0)})

    assert charts.describe_comparison(returns)[0] == "IWM 0.00%, SPY 0.00%, gap 0.00pp, on 8 Dec 2020."


def test_ratio_against_its_average() -> None:
    assert (
        charts.describe_average(series(0.5, 0.52), series(0.4, 0.5))
        == "Ratio 0.5200, +4.00% against its average 0.5000."
    )
    assert charts.describe_average(series(0.52), series(np.nan)) == "Ratio 0.5200, average n/a."
    assert charts.describe_average(series(np.nan), series(0.5)) == ""


def test_metric_tells_its_last_value_with_its_session() -> None:
    assert charts.describe_metric(series(1, 3, -2, np.nan), PERCENT) == [
        "\u22122.00% on 10 Dec 2020.",
        "Between \u22122.00% (10 Dec 2020) and +3.00% (9 Dec 2020).",
    ]


def test_infinite_values_are_no_range() -> None:
    assert charts.describe_metric(series(1, np.inf, 2, 3), PERCENT)[1] == (
        "Between +1.00% (8 Dec 2020) and +3.00% (11 Dec 2020)."
    )


def test_threshold_and_marks() -> None:
    assert (
        charts.describe_threshold("200-day average", series(0.5, 0.4594), LEVEL) == "200-day average: 0.4594."
    )
    assert charts.describe_threshold("alert", series(np.nan), LEVEL) == "alert: n/a."
    assert charts.describe_marks("alert fired", []) == "Alert fired: never in this window."
    assert charts.describe_marks("alert fired", list(SESSIONS[:2])) == "Alert fired: 8 Dec 2020, 9 Dec 2020."
    assert charts.describe_marks("fired", [*SESSIONS, *SESSIONS]).endswith(" 11 Dec 2020 and 3 before.")


def test_flows_say_which_fund_has_none() -> None:
    sums = pd.DataFrame({"IWM": series(1e9, -2.5e8), "SPY": series(np.nan, np.nan)})

    assert charts.describe_flows(sums) == "IWM \u2212$0.25bn, SPY n/a, 8 Dec 2020 to 9 Dec 2020."
