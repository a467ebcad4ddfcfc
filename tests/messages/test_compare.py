from dataclasses import replace

import pandas as pd
import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.market import Market, Source
from bot.analytics.metrics import METRICS
from bot.analytics.performance import performance
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import AsOf, Window, parse_window
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.common import flow_line, multiple_line, trend_line
from bot.messages.pages.chart import metric_answer
from bot.messages.pages.compare import RETURN_WINDOWS, compare_answer
from bot.pair import DEFAULT_PAIR
from tests.analytics.facts import facts_at
from tests.messages.pages import context, days, drawing, market, page, shown
from tests.sample_market import sample_market

SUNDAY = AsOf(asof=pd.Timestamp("2020-12-13"))
SINCE = parse_window("since 2020-09-30")


def test_windows_count_back_from_the_day_asked_for() -> None:
    lines = shown(compare_answer(facts_at("2020-12-13"), SUNDAY, LIGHT))
    assert lines[1] == "Asked for Sun 13 Dec 2020; the last close before it is used."
    assert any("6m 12 Jun 2020, ytd 31 Dec 2019, 1y 13 Dec 2019" in line for line in lines)
    assert "Flows 20d: IWM +$1.7bn (+3.5%), SPY n/a, no fund facts." in lines
    assert "P/E: n/a, none stored." in lines


def test_a_window_of_more_than_a_year_is_told_by_the_year_too() -> None:
    until = days(1500).get_loc(pd.Timestamp("2024-01-02"))
    of = market([1.0, *[9.0] * (until - 1), 16.0])  # sixteen times as much in 1,461 days
    lines = shown(compare_answer(of, AsOf(), LIGHT, [parse_window("since 2020-01-02")]))
    assert "since 2020-01-02 a year: IWM +100.00%, SPY 0.00%." in lines
    assert not any(line.startswith("1y a year") for line in lines)


TOTAL = "Total return, distributions reinvested."


def row(lines: list[str], name: str) -> list[str]:
    """The cells of a window's row; those of a long name stand on the next line."""
    at = next(number for number, line in enumerate(lines) if line == name or line.startswith(f"{name} "))
    return lines[at + 1].split() if lines[at] == name else lines[at].split()[1:]


@pytest.mark.parametrize("total", [False, True])
def test_every_figure_is_that_of_the_analytics(total: bool) -> None:
    of = sample_market()
    extra = [parse_window(text) for text in ("2d", "4w", "18m", "3y", "10y", "mtd", "since 2015-06-30")]
    for asked in (extra[:4], extra[4:], ()):
        lines = shown(compare_answer(of, AsOf(), LIGHT, asked, total))
        for window in asked or RETURN_WINDOWS:
            figures = performance(of, window, total)
            gap = POINTS.show(figures.gap).removesuffix("pp")
            assert row(lines, str(window)) == [PERCENT.show(figures.small), PERCENT.show(figures.large), gap]
        assert (TOTAL in lines, "Price return." in lines) == (total, not total)


def test_windows_longer_than_the_history_have_no_figure_and_are_named() -> None:
    lines = shown(compare_answer(market([50.0, 51.0, 49.0]), AsOf(), LIGHT, [parse_window("2d")]))
    assert row(lines, "2d") == ["−2.00%", "0.00%", "−2.00"]
    assert row(lines, "1y") == ["n/a", "n/a", "n/a"]
    assert "Base closes: 2d 2 Jan 2020. Too little history for 1w, 1m, 6m, ytd, 1y." in lines


@pytest.mark.parametrize(
    ("levels", "windows", "reading"),
    [
        ([50.0, 51.0, 49.0], "2d", "SPY leads over 2d"),
        ([50.0, 40.0, 41.0], "1d 2d", "SPY leads, but not over 1d"),
        ([50.0, 49.0, 52.0], "1d 2d", "IWM leads on every window"),
        ([50.0] * 9, "", "Both moved alike"),
        ([50.0, 50.001, 50.001], "1d 2d", "Both moved alike"),  # less than is shown
    ],
)
def test_the_leader_is_told_with_its_windows(levels: list[float], windows: str, reading: str) -> None:
    extra = [parse_window(text) for text in windows.split()]
    assert shown(compare_answer(market(levels), AsOf(), LIGHT, extra))[0].startswith(f"{reading} · ")


def test_an_asked_window_that_is_always_there_is_shown_once() -> None:
    year = parse_window("1y")
    lines = shown(compare_answer(market([50.0] * 5), AsOf(), LIGHT, [year, year], False))
    assert len([line for line in lines if line.startswith("1y ")]) == 1


def test_flows_of_another_session_are_dated() -> None:
    of = market([50.0] * 30, units={"IWM": [250.0 + number for number in range(29)], "SPY": [900.0] * 5})
    iwm = "IWM +$2.0bn (+7.8%) to 12 Feb, 1 session old"
    assert flow_line(of) == f"Flows 20d: {iwm}, SPY n/a, too little history."


@pytest.mark.parametrize(
    ("levels", "line"),
    [
        ([0.5] * 199, "Trend: its 200-day average needs 200 sessions, stored so far: 199."),
        ([0.5] * 200, "Trend: exactly at its 200-day average."),
        ([0.5] * 199 + [0.6], "Trend: 19.9% over its 200-day average."),
        ([0.5] * 200 + [0.4, 0.4], "Trend: 19.8% under its 200-day average since 16 Oct."),
        ([0.5] * 200 + [0.4, 0.6, 0.6], "Trend: 19.9% over its 200-day average since 19 Oct."),
    ],
)
def test_the_ratio_tells_its_side_of_the_average_and_since_when(levels: list[float], line: str) -> None:
    assert trend_line(market([100 * level for level in levels])) == line


def test_flows_of_doubtful_counts_say_so() -> None:
    counts = [250.0 + number for number in range(28)]
    jumped = market([50.0] * 29, units={"IWM": [*counts, 400.0]})
    flagged = "unconfirmed, 1 flagged day, BIG on 12 Feb 2020 (see /flows)"
    assert f"(+55.0%), {flagged}, SPY" in flow_line(jumped)
    spike = market([50.0] * 30, units={"IWM": [*counts, 400.0, 279.0]})
    assert "%), 2 flagged days, the last SPIKE_REVERT on 13 Feb 2020 (see /flows), SPY" in flow_line(spike)
    large = market([50.0] * 30, units={"IWM": [*counts, 300.0, 301.0]})
    assert "flagged" not in flow_line(large)


PE = [("2020-01-03", "IWM", "pe", 25.0), ("2020-01-03", "SPY", "pe", 20.0)]
POSITIVE = "P/E (profitable companies only, trailing):"


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ([], "P/E: n/a, none stored."),
        ([("2020-01-03", "IWM", "pb", 2.0)], "P/E: n/a, none stored."),
        (PE, f"{POSITIVE} IWM 25.0x, SPY 20.0x; premium 25%, close of Fri 3 Jan 2020, 3 sessions old."),
        (PE[:1], f"{POSITIVE} IWM 25.0x (3 Jan, 3 sessions old), SPY n/a."),
        (PE[1:], f"{POSITIVE} IWM n/a, SPY 20.0x (3 Jan, 3 sessions old)."),
        (
            [*PE, ("2020-01-06", "SPY", "pe", 21.0)],
            f"{POSITIVE} IWM 25.0x (3 Jan, 3 sessions old), SPY 21.0x (6 Jan, 2 sessions old).",
        ),
    ],
)
def test_a_multiple_has_convention_and_dates(figures: list[tuple[str, str, str, float]], line: str) -> None:
    assert multiple_line(market([50.0] * 5, multiples=figures)) == line


def test_a_multiple_is_of_the_newest_convention_and_of_the_date_of_its_prices() -> None:
    of = market([50.0] * 5, multiples=PE)
    dated = of.multiples.assign(price_date="2020-01-02")
    line = multiple_line(replace(of, multiples=dated))
    assert line.endswith("IWM 25.0x, SPY 20.0x; premium 25%, close of Thu 2 Jan 2020, 4 sessions old.")
    newer = of.multiples.assign(session=pd.Timestamp("2020-01-06"), convention="capped", basis="unstated")
    line = multiple_line(replace(of, multiples=pd.concat([of.multiples, newer])))
    assert line.startswith("P/E (each P/E capped at 60, basis unstated): ")


def test_sources_are_named_by_part() -> None:
    of = market([50.0] * 5, units={"IWM": [250.0] * 5}, multiples=PE)
    issuer, yahoo = Source("issuer", "issuer file"), Source("yahoo", "Yahoo")
    of = replace(of, sources={**of.sources, "facts:IWM": issuer, "multiples": yahoo})
    line = shown(compare_answer(of, AsOf(), LIGHT))[-1]
    assert line == "Sources: CSV import (prices); issuer file (flows); Yahoo (multiples)."


@pytest.mark.parametrize(
    ("extra", "title"),
    [([], "IWM and SPY, price since 11 Dec 2019"), ([SINCE], "IWM and SPY, price since 30 Sep 2020")],
)
def test_the_chart_shows_the_asked_window_or_a_year(extra: list[Window], title: str) -> None:
    _, style, *_ = drawing(compare_answer(sample_market(), AsOf(), LIGHT, extra)).args
    assert (style.title, style.sample) == (title, True)
    assert style.source == "Source: sample data · close of Fri 11 Dec 2020"


def test_a_close_missing_on_the_last_session_ends_the_comparison_a_session_earlier() -> None:
    lines = shown(compare_answer(market([50.0, 51.0, 52.0], [100.0, 100.0, None]), AsOf(), LIGHT))
    assert lines[0] == "No return of IWM/SPY is known · Fri 3 Jan 2020"
    assert lines[1] == "Stale: 1 session old; the last completed session is Mon 6 Jan 2020."


@pytest.mark.parametrize(("total", "kind"), [(None, ""), (True, " tr"), (False, " price")])
def test_buttons_keep_the_moment_and_the_kind_of_return(total: bool | None, kind: str) -> None:
    above, kind_of_return, below = compare_answer(market([50.0]), SUNDAY, LIGHT, [Window("m", 1)], total).buttons
    assert above[1] == ("6m", f"/compare 6m{kind} asof 2020-12-13")
    other = ("Price", "/compare 1m price") if total else ("Total return", "/compare 1m tr")
    assert kind_of_return == ((other[0], f"{other[1]} asof 2020-12-13"),)
    assert below[0] == ("Trend", "/trend asof 2020-12-13")
    assert below[-1] == ("Why", "/why ytd asof 2020-12-13")


def test_a_date_that_is_no_session_is_followed_by_its_base_close() -> None:
    answer = compare_answer(sample_market(), AsOf(), LIGHT, [parse_window("since 2020-10-03")])
    assert "since 2020-10-03: 2 Oct 2020." in page(answer)


def shared_figures(of: Market, moment: AsOf, window: Window) -> tuple[str, str, str]:
    """The gap of total returns by /compare, by /chart, and by the chart's caption."""
    table = shown(compare_answer(of, moment, LIGHT, [window], total=True))
    metric = METRICS["excess"]
    answer = metric_answer(of, moment, LIGHT, metric, {"window": window}, Window("y", 1))
    (panel,), _ = drawing(answer).args
    value = shown(answer)[0].partition(": ")[2].partition(" ")[0]
    return f"{row(table, str(window))[-1]}pp", value, POINTS.show(panel.series.iloc[-1])


@pytest.mark.parametrize("window", ["1w", "1m", "3m", "6m", "1y", "ytd", "20d", "since 2020-09-30"])
def test_one_question_has_one_answer_on_every_page(window: str) -> None:
    for moment in (SUNDAY, AsOf()):
        of = sample_market() if moment.asof is None else sample_market().at(moment.asof)
        assert len(set(shared_figures(of, moment, parse_window(window)))) == 1


def test_a_missing_base_is_named_with_its_date_and_gives_no_figure() -> None:
    of = market([50.0] * 10 + [None, 51.0])
    lines = shown(compare_answer(of, AsOf(), LIGHT, [Window("d", 1), Window("d", 2)]))
    assert lines.count("1d: n/a, the close of Thu 16 Jan 2020 is missing.") == 1
    assert row(lines, "1d") == ["n/a", "n/a", "n/a"]
    assert row(lines, "2d") == ["+2.00%", "0.00%", "+2.00"]
    with pytest.raises(
        NoData, match=r"IWM's lead in total return over 1d: n/a, the close of Thu 16 Jan 2020 is missing\.$"
    ):
        metric_answer(of, AsOf(), LIGHT, METRICS["excess"], {"window": Window("d", 1)}, Window("y", 1))
    rule = context(of).histories.series(parse_rule("excess 1d > 1pp", METRICS).conditions[0])
    assert rule.value.isna().tolist() == [True] + [False] * 9 + [True]


def test_without_stored_distributions_there_is_no_total_return() -> None:
    of = replace(market([50.0] * 120), pair=DEFAULT_PAIR)
    lines = shown(compare_answer(of, AsOf(), LIGHT, (), True))
    assert lines[0].startswith("No return of IWM/SPY is known · ")
    assert row(lines, "1m") == ["n/a", "n/a", "n/a"]
    assert "1w, 1m: n/a, no distributions of IWM and SPY stored." in lines
    lines = shown(compare_answer(of, AsOf(), LIGHT))
    assert "1w, 1m: total return n/a, no distributions of IWM and SPY stored." in lines
