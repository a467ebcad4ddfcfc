"""The guided choice: every path of buttons ends in a canonical line, and nothing is remembered."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.grammar import PRESETS, parse_rule
from bot.analytics.metrics import METRICS
from bot.chat.alert_commands import guide_page
from bot.messages.alerts.guide import TOPICS, topic_of
from bot.messages.common import MAX_BUTTON_DATA
from bot.pair import DEFAULT_PAIR
from bot.services import Caller, Chat
from bot.services.alert_views import evaluation_context, parse_alert_rule
from tests.chat.talk import ME, labels, talking
from tests.messages.pages import page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chat.talk import Talk


async def test_a_ready_rule_is_shown_before_it_is_made_all_in_one_message(talk: Talk) -> None:
    (choice,) = await talk.ask("/alert")
    assert labels(choice) == [*(preset.name for preset in PRESETS), "Make my own"]
    for number, preset in enumerate(PRESETS, start=1):
        (choice,) = await talk.ask("/alert")
        (shown,) = await talk.press(choice, preset.name)
        assert shown.text.startswith(f"{preset.name}\n")
        assert DEFAULT_PAIR.fill(preset.meaning) in shown.text
        assert "it would " in shown.text
        (made,) = await talk.press(shown, "Create")
        assert made.message_id == choice.message_id
        assert made.text.startswith(f"Alert #{number} ")
    market = await talk.bot.services.markets.current()
    rules = [row["rule"] for row in await talk.rows("alerts")]
    assert rules == [str(parse_alert_rule(preset.rule, market)) for preset in PRESETS]


async def test_a_rule_of_ones_own_is_made_of_taps(talk: Talk) -> None:
    (message,) = await talk.ask("/alert")
    for label, said in (
        ("Make my own", "What is it about?"),
        ("Is money moving?", "Fund flow: "),
        ("Fund flow", "Of which fund?"),
        ("SPY", "Over which window?"),
        ("20d (default)", "Message you when it ..."),
        ("falls below", "flow spy 20d below what?"),
        ("$0", "flow spy 20d < $0"),
        ("confirm 2", "flow spy 20d < $0 confirm 2"),
        ("Create", "Alert #1 flow spy 20d < $0 confirm 2"),
    ):
        (edited,) = await talk.press(message, label)
        assert edited.message_id == message.message_id
        assert said in edited.text
    assert [row["rule"] for row in await talk.rows("alerts")] == ["flow spy 20d < $0 confirm 2"]


async def test_back_leads_through_every_step_to_the_beginning(talk: Talk) -> None:
    (message,) = await talk.ask("/alert new flow spy 20d < $0 confirm 2")
    seen = []
    while "Back" in labels(message):
        (message,) = await talk.press(message, "Back")
        seen.append(message.text.splitlines()[0])
    assert seen == [
        "Your rule", "flow spy 20d below what?", "Fund flow SPY 20d", "Fund flow", "Fund flow",
        "Is money moving?", "A rule of your own", "When should the bot message you?",
    ]  # fmt: skip


async def test_what_was_chosen_outlives_a_restart(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path) as talk:
        talk.api.chat(ME)
        (message,) = await talk.ask("/alert new ratio >")
        data = dict(button for row in message.buttons for button in row)["sma 200"]
    (tmp_path / "again").mkdir()
    async with talking(tmp_path / "bot.db", tmp_path / "again") as talk:
        talk.api.chat(ME)
        talk.api.last_update_id += 1_000  # those before are noted in the database
        (message,) = await talk.ask("/about")
        message.markup = {"inline_keyboard": [[{"text": "sma 200", "callback_data": data}]]}
        (shown,) = await talk.press(message, "sma 200")
        assert shown.text.startswith("Your rule\nratio > sma 200\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/alert new nonsense", "“nonsense” is not one of the choices."),
        ("/alert new ratio near 5", "“near” is not one of the choices after “ratio”."),
        (
            "/alert new excess 3m > 5",
            "“5” has no unit; this needs percentage points (pp).",
        ),
        (
            "/alert new flow iwm 9x >",
            "“9x” is not a window; one of these works: 5d, 1w, 3m, 1y, ytd, mtd, since 2020-09-30.",
        ),
    ],
)
async def test_what_no_button_says_is_refused(typed: str, said: str, talk: Talk) -> None:
    (answer,) = await talk.ask(typed)
    assert answer.text.startswith(said)
    assert answer.text.endswith("Example: /alert new")


async def test_every_way_through_the_buttons_ends_in_a_rule_that_fits_a_button(talk: Talk) -> None:
    services = talk.bot.services
    chat = Chat(ME, "private", "Me", ZoneInfo("America/New_York"))
    context = await evaluation_context(Caller(services, chat, ME, services.clock(), talk.database.run))
    ended = set()
    chance = random.Random(7)
    for _ in range(20):
        line = ""
        while True:
            answer = guide_page(line, context, services.clock())
            page(answer)
            every = [(label, data) for row in answer.buttons for label, data in row]
            for label, data in every:
                assert len(f"e{data}".encode()) <= MAX_BUTTON_DATA, (label, data)
            create = [data for label, data in every if label == "Create"]
            ways = [
                data
                for label, data in every
                if data.startswith("/alert new ") and label not in {"Back", "‹ Previous"}
            ]
            if create and (not ways or chance.random() < 0.5):
                rule = parse_rule(create[0].removeprefix("/alert "), METRICS)
                assert parse_rule(str(rule), METRICS) == rule
                ended.add(rule.conditions[0].metric)
                break
            line = chance.choice(ways).removeprefix("/alert new ")
    assert len(ended) > 8


def test_every_metric_has_a_topic() -> None:
    assert {topic_of(metric) for metric in METRICS.values()} == set(TOPICS)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
async def test_a_preset_goes_by_its_name(preset: object, talk: Talk) -> None:
    name = getattr(preset, "name", "").upper()
    (made,) = await talk.ask(f"/alert  {name}")
    assert made.text.startswith("Alert #1 ")
    tested, _ = await talk.ask(f"/backtest {name}")
    assert tested.text.startswith("Backtest")
    assert labels(tested)[0] == "Make it an alert"
