from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bot.alerts.grammar import preset_of
from bot.alerts.view import Life
from bot.messages.alerts.card import suggestions
from bot.messages.alerts.history import MOST_ROWS, alert_list
from tests.messages.pages import context, market, page, said, standing
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.messages.common import Answer


SAMPLE = "Sample data: simulated between published points, not the market."
LONG = [50.0 + (number % 7) / 10 for number in range(300)]


def test_the_list_tells_state_and_distance_of_each() -> None:
    of = context(market([*LONG, 70.0], units={"IWM": [250.0 + number for number in range(299)]}))
    rules = ("ratio > 0.6", "ratio < 0.4 and excess 3m > 5pp", "flow iwm 5d > $1bn", "pe iwm > 25x")
    answer = alert_list([standing(rule, of, number=at) for at, rule in enumerate(rules, start=1)], of)
    assert said(answer) == [
        "Alerts · close of Fri 12 Mar 2021",
        "#1 ratio > 0.6",
        "Already true when it was set, waiting to re-arm. 0.7000, 16.67% above 0.6.",
        "#2 ratio < 0.4 and excess 3m > 5pp",
        "Armed. Ratio 0.7000, 75.00% above 0.4; excess 3m +39.72pp, 34.72pp above 5pp.",
        "#3 flow iwm 5d > $1bn",
        (
            "Armed. +$0.50bn, $0.50bn below $1bn (10 Mar 2021). Evaluated up to 10 Mar 2021; "
            "waiting for 11 Mar 2021, 5 sessions at most. Stale: 2 sessions old."
        ),
        "#4 pe iwm morningstar > 25x",
        "Armed. Has no value yet.",
        "Source: CSV import.",
    ]
    assert [[label for label, _ in row] for row in answer.buttons] == [
        [f"#{number}", "Why", "Pause", "Off"] for number in (1, 2, 3, 4)
    ]


def test_snoozed_paused_and_ending_alerts_say_so() -> None:
    of = context(market(LONG))
    made, last = standing("ratio > 0.6", of), of.market.last_completed.date()
    until = dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)
    lines = said(
        alert_list(
            [
                replace(made, number=1, snoozed_until=until),
                replace(made, number=2, life=Life.PAUSED),
                replace(made, number=3, expires_on=last + dt.timedelta(days=7)),
                replace(made, number=4, expires_on=last + dt.timedelta(days=300)),
            ],
            of,
        )
    )
    assert [line.partition(" 0.5050")[0] for line in lines[2:9:2]] == [
        "Armed; snoozed until Sun 14 Mar 2021, 08:30.", "Paused.", "Armed.", "Armed.",
    ]  # fmt: skip
    assert lines[6].endswith(" Ends 18 Mar 2021 unless renewed.")
    assert "Ends" not in lines[8]


def test_a_paused_alert_is_not_called_stale() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + at for at in range(200)]}))
    paused = standing("flow iwm 5d > $1bn", of, life="paused")
    assert "Stale" not in page(alert_list([paused], of))
    assert "Stale: 100 sessions old." in page(alert_list([replace(paused, life=Life.ACTIVE)], of))


def test_the_list_labels_sample_data() -> None:
    of = context(sample_market())
    assert said(alert_list([standing("ratio > sma 200", of)], of))[1] == SAMPLE


def many(count: int, shown: int = 0, note: str = "") -> Answer:
    of = context(market([50.0] * 5))
    rule = 'ratio > {} note "{}"' if note else "ratio > {}"
    made = [standing(rule.format(0.6 + at / 1000, note), of, number=2 * at + 1) for at in range(count)]
    return alert_list(made, of, shown)


def test_eight_alerts_are_one_page_with_a_row_of_buttons_each() -> None:
    answer = many(MOST_ROWS)
    assert said(answer)[0] == "Alerts · close of Wed 8 Jan 2020"
    assert [row[0][0] for row in answer.buttons] == [f"#{2 * at + 1}" for at in range(MOST_ROWS)]


def test_more_are_turned_by_buttons_that_name_an_alert() -> None:
    first = many(50)
    assert said(first)[0] == "Alerts, page 1 of 7 · close of Wed 8 Jan 2020"
    assert first.buttons[-1] == (("#17 to #31 ›", "/alerts 17"),)
    second = many(50, 17)
    assert said(second)[0].startswith("Alerts, page 2 of 7")
    assert second.buttons[-1] == (("‹ #1 to #15", "/alerts 1"), ("#33 to #47 ›", "/alerts 33"))
    last = many(50, 97)
    assert last.buttons[-1] == (("‹ #81 to #95", "/alerts 81"),)
    assert len(last.buttons) == 3


@pytest.mark.parametrize(("shown", "number"), [(18, 2), (0, 1), (99, 7), (10**8, 7), (31, 2), (32, 3)])
def test_the_page_of_a_number_that_is_gone_is_the_one_where_it_would_be(shown: int, number: int) -> None:
    assert said(many(50, shown))[0].startswith(f"Alerts, page {number} of 7")


def test_long_rules_make_shorter_pages_that_fit_one_message() -> None:
    shown, pages, numbers = 0, 0, list[str]()
    while True:
        answer = many(50, shown, "n" * 470)
        assert len(page(answer)) < 4096
        numbers += [row[0][0] for row in answer.buttons if row[0][0].startswith("#") and len(row) == 4]
        pages += 1
        onward = [line for row in answer.buttons for label, line in row if label.endswith("›")]
        if not onward:
            break
        shown = int(onward[0].rpartition(" ")[2])
    assert (pages > 7, numbers) == (True, [f"#{2 * at + 1}" for at in range(50)])


def test_no_alerts_offer_rules_to_begin_with() -> None:
    answer = alert_list([], context(market([50.0])))
    assert said(answer) == ["No alerts yet.", "Try /alert ratio > sma 200, or choose:"]
    assert answer.buttons == suggestions()


def test_every_suggestion_is_a_preset_or_the_way_to_ones_own() -> None:
    *presets, ((_, own),) = suggestions()
    assert own == "/alert new"
    for ((label, line),) in presets:
        preset = preset_of(line.removeprefix("/alert new "))
        assert preset is not None
        assert preset.name == label
