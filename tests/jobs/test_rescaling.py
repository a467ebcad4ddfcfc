"""A split through storage: levels on the ratio are rescaled once, with a notice, and nothing fires by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from storage import alerts as stored
from storage import chats
from storage.errors import DiskFull
from tests.funds import LARGE, SMALL
from tests.jobs.desk import Desk, after_close, sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS = sessions("2020-01-16", 10)
RULE = "ratio > 0.6 rearm 0.55"


pytestmark = pytest.mark.usefixtures("quiet")


async def split(desk: Desk, ticker: str = SMALL, ratio: float = 2.0, session: str = DAYS[0]) -> None:
    await desk.store("splits", [{"ticker": ticker, "session": session, "ratio": ratio}])


async def rules(desk: Desk) -> list[str]:
    return [row["rule"] for row in await desk.query("SELECT rule FROM alerts ORDER BY alert_id")]


async def day(desk: Desk, levels: Sequence[float], first: int = 0) -> None:
    await desk.closes(levels, DAYS[first])
    await desk.evaluate()


@pytest.mark.parametrize(
    ("ticker", "ratio", "level", "title", "rule"),
    [
        (SMALL, 2.0, 0.25, "Split: IWM 2 for 1 on Thu 16 Jan 2020", "ratio > 0.3 rearm 0.275"),
        (LARGE, 4.0, 2.0, "Split: SPY 4 for 1 on Thu 16 Jan 2020", "ratio > 2.4 rearm 2.2"),
        (SMALL, 0.5, 1.0, "Split: IWM 1 for 2 on Thu 16 Jan 2020", "ratio > 1.2 rearm 1.1"),
    ],
)
async def test_a_level_is_rescaled_with_a_notice_and_nothing_fires(
    desk: Desk, ticker: str, ratio: float, level: float, title: str, rule: str
) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk, ticker, ratio)
    assert await desk.evaluate() == []
    await day(desk, [level])
    assert await rules(desk) == [rule]
    (said,) = await desk.messages()
    assert said.splitlines()[0] == title
    assert said.splitlines()[2:] == [f"#1 {RULE} → {rule}"]
    assert await desk.events() == []


async def test_a_split_that_is_taken_back_takes_the_level_back_with_a_notice(desk: Desk) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate()
    desk.now = after_close(DAYS[1])
    await desk.store("splits", [{"ticker": SMALL, "session": DAYS[0], "ratio": None}])
    await desk.evaluate()
    assert await rules(desk) == [RULE]
    _, said = await desk.messages()
    assert said.splitlines() == [
        "Split: IWM 2 for 1 on Thu 16 Jan 2020, taken back by its source",
        "The ratio is 2 times what it was, and so are the levels set on it. Nothing fires by that.",
        f"#1 ratio > 0.3 rearm 0.275 → {RULE}",
    ]


async def test_a_split_that_returns_after_it_was_taken_back_is_told_again(desk: Desk) -> None:
    await desk.alert(RULE)
    for number, ratio in enumerate((2.0, None, 2.0)):
        desk.now = after_close(DAYS[number])
        await desk.store("splits", [{"ticker": SMALL, "session": DAYS[0], "ratio": ratio}])
        await desk.evaluate()
    assert await rules(desk) == ["ratio > 0.3 rearm 0.275"]
    titles = [said.splitlines()[0] for said in await desk.messages()]
    there = "Split: IWM 2 for 1 on Thu 16 Jan 2020"
    assert titles == [there, f"{there}, taken back by its source", there]


async def test_the_next_crossing_is_that_of_the_new_level(desk: Desk) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk)
    await day(desk, [0.25, 0.29, 0.31])
    assert await desk.events() == [f"1 fired {DAYS[2]}"]


async def test_an_alert_that_fired_before_the_split_re_arms_at_the_new_level(desk: Desk) -> None:
    await desk.alert(RULE)
    await day(desk, [0.65])
    desk.now = after_close(DAYS[1])
    await split(desk, session=DAYS[1])
    await day(desk, [0.325, 0.28, 0.31, 0.27, 0.31], 1)
    assert await desk.events() == [f"1 fired {DAYS[0]}", f"1 fired {DAYS[5]}"]
    assert not [said for said in await desk.messages() if said.startswith("Correction")]


async def test_a_split_is_told_once_whoever_tells_of_it_and_however_often(desk: Desk) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk)
    for _ in range(3):
        desk.restart()
        await desk.evaluate()
    await desk.change(
        "INSERT INTO splits SELECT id + 1, ticker, session, ratio, 'yahoo', observed_at, 1 FROM splits"
    )
    await desk.evaluate()
    assert len(await desk.messages()) == 1
    assert await rules(desk) == ["ratio > 0.3 rearm 0.275"]


async def test_rule_states_and_notice_are_stored_together_or_not_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.alert(RULE)
    desk.now = after_close(DAYS[0])
    await split(desk)

    def full(*_: object, **__: object) -> None:
        raise DiskFull("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("storage.outbox.enqueue", full)
        with pytest.raises(DiskFull):
            await desk.evaluate()
    assert await rules(desk) == [RULE]
    await desk.evaluate()
    assert await rules(desk) == ["ratio > 0.3 rearm 0.275"]
    assert len(await desk.messages()) == 1


async def test_rules_on_anything_else_are_left_as_they_are(desk: Desk) -> None:
    for rule in ("ratio_vs_sma 5 > 3%", "ratio > sma 5", "drawdown < -10%"):
        await desk.alert(rule)
    before = await rules(desk)
    desk.now = after_close(DAYS[0])
    await split(desk)
    await day(desk, [0.25])
    assert await rules(desk) == before
    assert await desk.messages() == []
    assert await desk.events() == []


async def test_the_bands_of_a_moving_target_shrink_with_the_ratio(desk: Desk) -> None:
    await desk.alert("ratio > sma 5")
    await desk.change("UPDATE alert_states SET state = json_set(state, '$.bands[0]', 0.02)")
    desk.now = after_close(DAYS[0])
    await split(desk)
    await day(desk, [0.25])
    rows = await desk.query("SELECT state FROM alert_states ORDER BY session")
    assert [json.loads(row["state"])["bands"] for row in rows] == [[0.01], [0.01]]


async def test_each_chat_and_topic_is_told_of_its_own(desk: Desk) -> None:
    for chat_id in (1, 1, 2):
        await desk.alert("ratio > 0.6", chat_id)
    await desk.change("UPDATE alerts SET thread_id = 7 WHERE alert_id = 2")
    await desk.database.run(lambda db: chats.set_quiet(db, 2, "16:00", "07:00"))
    await desk.alert("ratio > 0.7", 2)
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate()
    sql = "SELECT chat_id, thread_id, not_before, payload FROM outbox ORDER BY chat_id, thread_id"
    rows: list[dict[str, Any]] = await desk.query(sql)
    assert [(row["chat_id"], row["thread_id"], row["not_before"]) for row in rows] == [
        (1, None, "2020-01-16T22:00:00Z"),
        (1, 7, "2020-01-16T22:00:00Z"),
        (2, None, "2020-01-17T12:00:00Z"),
    ]
    assert json.loads(rows[2]["payload"])["plain"].splitlines()[2:] == [
        "#1 ratio > 0.6 → ratio > 0.3",
        "#2 ratio > 0.7 → ratio > 0.35",
    ]


async def test_paused_alerts_are_told_and_ended_ones_are_rescaled_silently(desk: Desk) -> None:
    paused, ended = await desk.alert("ratio > 0.6"), await desk.alert("ratio > 0.7")
    await desk.database.run(lambda db: stored.set_life(db, paused, "paused"))
    await desk.database.run(lambda db: stored.set_life(db, ended, "expired"))
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate()
    assert await rules(desk) == ["ratio > 0.3", "ratio > 0.35"]
    (said,) = await desk.messages()
    assert "#2" not in said


async def test_a_broken_rule_keeps_no_other_from_its_new_level(desk: Desk) -> None:
    await desk.alert("ratio > 0.6")
    await desk.alert("ratio > 0.7")
    await desk.change("UPDATE alerts SET rule_json = '{' WHERE alert_id = 1")
    desk.now = after_close(DAYS[0])
    await split(desk)
    await desk.evaluate()
    assert (await rules(desk))[1] == "ratio > 0.35"
    assert await desk.life(1) == "paused: what is stored of it is damaged"
