"""A split through storage: alerts on a level of the ratio are paused with one notice, and nothing fires."""

import json
from typing import Any

import pytest
import sqlite_utils

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.messages.html import strip_html
from storage import alert_store, chat_store
from storage.database import DiskFull
from storage.records import Split
from tests.funds import LARGE, SMALL
from tests.jobs.desk import DAYS, RULE, Desk, after_close, full_disk

pytestmark = pytest.mark.usefixtures("quiet")


async def split(desk: Desk, ticker: str = SMALL, ratio: float = 2.0, session: str = DAYS[0]) -> None:
    await desk.store("splits", [Split(ticker, session, ratio)])


async def split_first(desk: Desk) -> None:
    """IWM splits on the first of DAYS, an hour after whose close alerts are evaluated."""
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate()


async def rules(desk: Desk) -> list[str]:
    return [row["rule"] for row in await desk.query("SELECT rule FROM alerts ORDER BY alert_id")]


@pytest.mark.parametrize(
    ("ticker", "ratio", "level", "title", "rule"),
    [
        (SMALL, 2.0, 0.31, "Split: IWM 2 for 1 on Thu 16 Jan 2020", "ratio > 0.3 rearm 0.275"),
        (LARGE, 4.0, 2.5, "Split: SPY 4 for 1 on Thu 16 Jan 2020", "ratio > 2.4 rearm 2.2"),
        (SMALL, 0.5, 1.3, "Split: IWM 1 for 2 on Thu 16 Jan 2020", "ratio > 1.2 rearm 1.1"),
    ],
)
async def test_an_alert_on_a_level_is_paused_with_one_notice_and_nothing_fires(
    desk: Desk, ticker: str, ratio: float, level: float, title: str, rule: str
) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk, ticker, ratio)
    assert await desk.evaluate() == []
    await desk.evaluate([level])
    assert await rules(desk) == [RULE]
    assert await desk.life(1) == f"paused: {title.replace('Split: ', 'split of ')}"
    (payload,) = await desk.payloads()
    first, levels, line, hint = payload["plain"].splitlines()
    assert (first, line) == (title, f"#1 {RULE} → {rule}")
    assert levels.endswith("are paused; the split fires none of them.")
    assert hint.startswith("A button sets the alert to its rescaled level")
    assert payload["buttons"][0] == [["Rescale #1", "r/alert 1 rescale"]]
    assert await desk.events() == []


async def test_a_price_is_rescaled_by_the_splits_of_its_own_fund(desk: Desk) -> None:
    await desk.alert("price iwm > $60 or price spy > $120 remind 3")
    await desk.alert("price spy > $120")
    await split_first(desk)
    await desk.evaluate([0.31])
    assert [await desk.life(number) for number in (1, 2)] == [
        "paused: split of IWM 2 for 1 on Thu 16 Jan 2020",
        "active",
    ]
    (notice,) = await desk.messages()
    assert "→ price iwm > $30 or price spy > $120 remind 3" in notice
    assert await desk.events() == []


async def test_a_fire_of_before_the_split_is_not_taken_back(desk: Desk) -> None:
    await desk.alert(RULE)
    await desk.evaluate([0.65])
    desk.now = after_close(DAYS[1])
    await split(desk, session=DAYS[1])
    await desk.evaluate([0.325, 0.28, 0.31])
    assert await desk.events() == [f"1 fired {DAYS[0]}"]
    assert not [text for text in await desk.messages() if text.startswith("Correction")]


async def test_a_split_is_reported_once_whoever_reports_it_and_however_often(desk: Desk) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk)
    for _ in range(3):
        desk.restart()
        await desk.evaluate()
    await desk.change("INSERT INTO splits SELECT id + 1, ticker, session, ratio, 'yahoo', observed_at, 1 FROM splits")
    await desk.evaluate()
    assert len(await desk.messages()) == 1


async def test_a_second_split_is_reported_with_both(desk: Desk) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[1])
    await split(desk)
    await desk.evaluate()
    await split(desk, session=DAYS[1])
    await desk.evaluate()
    _, notice = await desk.messages()
    assert notice.splitlines()[0] == "Split: IWM 2 for 1 on Thu 16 Jan 2020, IWM 2 for 1 on Fri 17 Jan 2020"
    assert notice.splitlines()[2] == f"#1 {RULE} → ratio > 0.15 rearm 0.1375"


async def test_a_split_that_is_withdrawn_after_the_level_was_rescaled_pauses_again(desk: Desk) -> None:
    await desk.alert(RULE)
    await split_first(desk)
    await desk.database.run(_rescale_by_hand)
    desk.now = after_close(DAYS[1])
    await desk.store("splits", [Split(SMALL, DAYS[0], None)])
    await desk.evaluate()
    _, notice = await desk.messages()
    assert notice.splitlines()[:3] == [
        "Split: IWM 2 for 1 on Thu 16 Jan 2020, withdrawn by its source",
        "Alerts on the level of a price or of the ratio are paused; the split fires none of them.",
        f"#1 ratio > 0.3 → {RULE.replace(' rearm 0.55', '')}",
    ]


def _rescale_by_hand(db: sqlite_utils.Database) -> None:
    rule = parse_rule("ratio > 0.3", METRICS)
    newest = alert_store.newest_split_id(db)
    alert_store.update_alert(db, 1, rule=str(rule), rule_json=rule.to_json(), life="active", last_split_id=newest)


async def test_pause_and_notice_are_stored_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk)

    with monkeypatch.context() as patched:
        patched.setattr("storage.outbox.enqueue", full_disk)
        with pytest.raises(DiskFull):
            await desk.evaluate()
    assert await desk.life(1) == "active"
    await desk.evaluate()
    assert (await desk.life(1)).startswith("paused")
    assert len(await desk.messages()) == 1


async def test_rules_on_anything_else_are_left_as_they_are(desk: Desk) -> None:
    for rule in ("ratio_vs_sma 5 > 3%", "ratio > sma 5", "drawdown < -10%"):
        await desk.alert(rule)
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate([0.25])
    assert [await desk.life(number) for number in (1, 2, 3)] == ["active"] * 3
    assert await desk.messages() == []
    assert await desk.events() == []


async def test_the_bands_of_a_moving_target_shrink_with_the_ratio(desk: Desk) -> None:
    await desk.alert("ratio > sma 5")
    await desk.change("UPDATE alert_states SET state = json_set(state, '$.bands[0]', 0.02)")
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate([0.25])
    rows = await desk.query("SELECT state FROM alert_states ORDER BY session")
    assert [json.loads(row["state"])["bands"] for row in rows] == [[0.01]]


async def test_each_chat_and_topic_is_told_of_its_own(desk: Desk) -> None:
    for chat_id in (1, 1, 2):
        await desk.alert("ratio > 0.6", chat_id)
    await desk.change("UPDATE alerts SET thread_id = 7 WHERE alert_id = 2")
    await desk.database.run(lambda db: chat_store.set_preferences(db, 2, quiet_from="16:00", quiet_to="07:00"))
    await desk.alert("ratio > 0.7", 2)
    await split_first(desk)
    sql = "SELECT chat_id, thread_id, not_before, payload FROM outbox ORDER BY chat_id, thread_id"
    rows: list[dict[str, Any]] = await desk.query(sql)
    assert [(row["chat_id"], row["thread_id"], row["not_before"]) for row in rows] == [
        (1, None, "2020-01-16T22:00:00Z"),
        (1, 7, "2020-01-16T22:00:00Z"),
        (2, None, "2020-01-17T12:00:00Z"),
    ]
    assert strip_html(json.loads(rows[2]["payload"])["html"]).splitlines()[2:4] == [
        "#1 ratio > 0.6 → ratio > 0.3",
        "#2 ratio > 0.7 → ratio > 0.35",
    ]


async def test_paused_alerts_are_reported_and_ended_ones_are_not(desk: Desk) -> None:
    paused, ended = await desk.alert("ratio > 0.6"), await desk.alert("ratio > 0.7")
    await desk.database.run(lambda db: alert_store.update_alert(db, paused, life="paused"))
    await desk.database.run(lambda db: alert_store.update_alert(db, ended, life="expired"))
    await split_first(desk)
    (notice,) = await desk.messages()
    assert "#1" in notice
    assert "#2" not in notice
    assert await desk.life(ended) == "expired"


async def test_a_broken_rule_keeps_no_other_from_its_notice(desk: Desk) -> None:
    await desk.alert("ratio > 0.6")
    await desk.alert("ratio > 0.7")
    await desk.change("UPDATE alerts SET rule_json = '{' WHERE alert_id = 1")
    await split_first(desk)
    assert (await desk.life(2)).startswith("paused: split of IWM 2 for 1")
    assert await desk.life(1) == "paused: its stored data is damaged"
