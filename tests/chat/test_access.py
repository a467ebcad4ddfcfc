"""Strangers ask, the owner decides, and what was decided outlives the process."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from bot.chat.access import MOST_WAITING, close_doors
from bot.chat.dispatch import menu
from bot.chat.refusals import OWNER as OWNER_ONLY
from bot.quota import COMMANDS_A_MINUTE, Quota
from storage.db import open_database
from tests.chat.talk import GROUP, ME, NOW, OWNER, YOU, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chat.talk import Talk
    from tests.fakes.botapi_world import Message

STRANGER, OTHER = 3, 4
RULE = "ratio > 0.9"
ASKED = "This bot is private. Its owner has been asked; if they agree, it says so here."
ALONE = "This bot is private. Its owner can let you in with your id: 3"


@pytest.fixture
async def house(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    """A bot for ME alone, whose owner can be asked."""
    async with talking(sample, tmp_path, access="allowlist", users=frozenset({ME})) as talk:
        talk.api.chat(OWNER)
        yield talk


async def pushed(talk: Talk, chat_id: int) -> list[Message]:
    """What the bot sends to a chat by itself."""
    before = len(talk.api.messages(chat_id))
    await talk.bot.delivery.drain()
    return talk.api.messages(chat_id)[before:]


async def wish(talk: Talk, chat_id: int = STRANGER, user_id: int | None = None) -> Message:
    """A stranger writes; what the owner is asked."""
    await talk.ask("/start", chat_id, user_id=user_id)
    (asked,) = await pushed(talk, OWNER)
    return asked


async def test_a_stranger_gets_one_line_and_the_owner_one_question(house: Talk) -> None:
    (line,) = await house.ask(f"/alert {RULE}", STRANGER)
    assert line.text == ASKED
    (asked,) = await pushed(house, OWNER)
    assert asked.text == "Somebody asks to use this bot\nUser 3, 3"
    assert [[label for label, _ in row] for row in asked.buttons] == [["Approve", "Reject"]]
    for typed in ("/start", "/status", "hello", f"/alert {RULE}"):
        assert await house.ask(typed, STRANGER) == []
    assert await pushed(house, OWNER) == []
    assert await house.rows("chats") == await house.rows("alerts") == []


async def test_approved_the_stranger_is_told_and_let_in_also_after_a_restart(
    sample: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"access": "allowlist", "users": frozenset({ME})}
    async with talking(sample, tmp_path, **settings) as talk:
        talk.api.chat(OWNER)
        asked = await wish(talk)
    async with talking(None, tmp_path, **settings) as talk:
        talk.api.chat(STRANGER)
        talk.api.chat(OWNER)
        talk.api.world.last_update += 1_000
        kept = talk.api.world.message(talk.api.chat(OWNER), text=asked.text, markup=asked.markup)
        (said,) = await talk.press(kept, "Approve")
        assert (said.message_id, said.text) == (kept.message_id, "Let in: User 3, 3")
        (welcome,) = await pushed(talk, STRANGER)
        assert welcome.text == "The owner of this bot has let you in.\nWhat it can do: /start"
        assert (await talk.press(welcome, "Begin"))[0].text.startswith("Small caps")
        assert (await talk.ask("/status", STRANGER))[0].text.startswith("Status")
    async with talking(None, tmp_path, **settings) as talk:
        talk.api.world.last_update += 2_000
        assert (await talk.ask("/status", STRANGER))[0].text.startswith("Status")
        assert await talk.ask("/status", OTHER) != []


async def test_rejected_nobody_is_asked_about_again(house: Talk) -> None:
    asked = await wish(house)
    (said,) = await house.press(asked, "Reject")
    assert said.text.startswith("Not let in: User 3, 3\n")
    for typed in ("/start", "please", "/status"):
        assert await house.ask(typed, STRANGER) == []
    assert await pushed(house, OWNER) == await pushed(house, STRANGER) == []


async def test_a_decision_delivered_again_is_made_once(house: Talk) -> None:
    asked = await wish(house)
    house.api.press(asked.message_id, "e/admin approve 3")
    (update,) = house.api.world.updates
    await house.answers()
    await house.ask("/admin reject 3", OWNER)
    await house.deliver(update)
    assert [row["status"] for row in await house.rows("access")] == ["rejected"]
    assert len([row for row in await house.rows("outbox") if row["dedup"].startswith("welcome")]) == 1


async def test_taken_back_the_chat_falls_silent_and_stays_so(house: Talk) -> None:
    await house.press(await wish(house), "Approve")
    await house.ask(f"/alert {RULE}", STRANGER)
    (people,) = await house.ask("/admin people", OWNER)
    assert "Let in by you\n3 User 3 · 2020-12-13" in people.text
    (said,) = await house.press(people, "Take back: User 3")
    assert said.text.startswith("Not let in")
    assert await house.ask("/status", STRANGER) == []
    house.api.block(STRANGER)
    house.api.unblock(STRANGER)
    await house.answers()
    assert [row["status"] for row in await house.rows("chats") if row["chat_id"] == STRANGER] == ["inactive"]
    (people,) = await house.ask("/admin people", OWNER)
    await house.press(people, "Let in: User 3")
    assert f"#1 {RULE}" in (await house.ask("/alerts", STRANGER))[0].text
    assert [row["status"] for row in await house.rows("chats") if row["chat_id"] == STRANGER] == ["active"]


async def test_a_group_is_asked_about_as_a_whole(house: Talk) -> None:
    asked = await wish(house, GROUP, STRANGER)
    assert asked.text == (
        "Somebody asks to use this bot\nUser 3, 3\n"
        f"in the group “Chat {GROUP}”, {GROUP}\nEverybody there would get in."
    )
    await house.press(asked, "Approve")
    (welcome,) = await pushed(house, GROUP)
    assert welcome.text.startswith("The owner of this bot has let you in.")
    for member in (STRANGER, OTHER):
        assert (await house.ask("/status", GROUP, user_id=member))[0].text.startswith("Status")
    assert (await house.ask("/status", STRANGER))[0].text == ASKED
    house.api.migrate(GROUP, GROUP - 7)
    await house.answers()
    assert (await house.ask("/status", GROUP - 7, user_id=OTHER))[0].text.startswith("Status")


async def test_a_strangers_button_is_refused_in_a_note(house: Talk) -> None:
    (page,) = await house.ask("/start", GROUP, user_id=ME)
    assert await house.press(page, "What moved it", STRANGER) == []
    assert house.notes() == [ASKED]
    assert await house.press(page, "What moved it", STRANGER) == []
    assert len(house.notes()) == 1
    assert (await house.press(page, "What moved it", ME))[0].text.startswith("What moved it")


async def test_a_name_cannot_become_markup(house: Talk) -> None:
    house.api.say(STRANGER, "/start")
    (update,) = house.api.world.updates
    update["message"]["from"] |= {"first_name": "<b>&lt;A", "username": "a_b"}
    await house.answers()
    (asked,) = await pushed(house, OWNER)
    assert asked.text.splitlines()[1] == "<b>&lt;A (@a_b), 3"


@pytest.mark.parametrize(("name", "shown"), [("A\u202e3 ,B\nC\x00", "A3 ,BC"), ("\u2066\u200f", "unnamed")])
async def test_a_name_cannot_turn_around_the_words_beside_it(name: str, shown: str, house: Talk) -> None:
    house.api.say(STRANGER, "/start")
    house.api.world.updates[0]["message"]["from"]["first_name"] = name
    await house.answers()
    assert (await pushed(house, OWNER))[0].text.splitlines()[1] == f"{shown}, 3"
    assert [row["title"] for row in await house.rows("access")] == [shown]


async def test_without_an_owner_a_stranger_learns_the_id_that_is_needed(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path, access="allowlist", owner=None) as talk:
        assert (await talk.ask("/start", STRANGER))[0].text == ALONE
        assert await talk.ask("/start", STRANGER) == []
        assert (await talk.ask("/start", GROUP, user_id=STRANGER))[0].text == (
            f"{ALONE}\nor this group with its id: {GROUP}"
        )
        assert await talk.rows("access") == await talk.rows("outbox") == []


async def test_many_strangers_do_not_flood_the_owner(house: Talk) -> None:
    for stranger in range(1000, 1000 + MOST_WAITING):
        assert (await house.ask("/start", stranger))[0].text == ASKED
    assert (await house.ask("/start", STRANGER))[0].text == ALONE
    assert len(await house.rows("access")) == len(await house.rows("outbox")) == MOST_WAITING
    (people,) = await house.ask("/admin people", OWNER)
    assert len(people.buttons) == MOST_WAITING
    await house.ask("/admin reject 1000", OWNER)
    assert (await house.ask("/start", OTHER))[0].text == ASKED


async def test_in_an_open_bot_who_was_rejected_stays_out(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path) as talk:
        assert (await talk.ask("/status", STRANGER))[0].text.startswith("Status")
        await talk.ask("/admin revoke 3", OWNER)
        assert await talk.ask("/status", STRANGER) == []
        assert await talk.ask("/status", GROUP, user_id=STRANGER) == []
        assert (await talk.ask("/status", GROUP, user_id=YOU))[0].text.startswith("Status")


async def test_who_was_rejected_is_silent_in_a_group_that_was_let_in(house: Talk) -> None:
    await house.press(await wish(house, GROUP, OTHER), "Approve")
    await house.ask("/admin reject 3", OWNER)
    assert await house.ask("/status", GROUP, user_id=STRANGER) == []
    assert (await house.ask("/status", GROUP, user_id=OTHER))[0].text.startswith("Status")
    assert await pushed(house, OWNER) == []


async def test_in_a_group_that_was_rejected_only_who_is_configured_is_answered_and_nothing_is_sent(
    house: Talk,
) -> None:
    await house.ask("/admin approve 4", OWNER)
    await house.ask("/start", GROUP, user_id=OTHER)
    await house.ask(f"/admin reject {GROUP}", OWNER)
    assert await house.ask("/start", GROUP, user_id=OTHER) == []
    assert (await house.ask("/start", GROUP, user_id=ME))[0].text.startswith("Small caps")
    assert [row["status"] for row in await house.rows("chats") if row["chat_id"] == GROUP] == ["inactive"]
    assert (await house.ask("/status", OTHER))[0].text.startswith("Status")


@pytest.mark.parametrize("access", ["allowlist", "open"])
async def test_an_id_under_which_many_write_opens_and_closes_nothing(
    access: str, sample: Path, tmp_path: Path
) -> None:
    hidden = frozenset({1087968824})
    async with talking(sample, tmp_path, access=access, users=hidden) as talk:
        (said,) = await talk.ask("/status", GROUP, anonymous=True)
        assert said.text.startswith("Status" if access == "open" else "This bot is private.")
        for verb in ("approve", "reject"):
            (refused,) = await talk.ask(f"/admin {verb} 1087968824", OWNER)
            assert refused.text == (
                "1087968824 is nobody's id: many write under it. Use the group's.\nExample: /admin people"
            )


async def test_a_group_whose_administrator_hides_is_let_in_by_its_own_id_only(
    house: Talk, sample: Path, tmp_path: Path
) -> None:
    house.api.say(GROUP, "/start", anonymous=True)
    await house.answers()
    (asked,) = await pushed(house, OWNER)
    assert "1087968824" not in asked.text
    assert f"{GROUP}" in asked.text
    (tmp_path / "alone").mkdir()
    async with talking(sample, tmp_path / "alone", access="allowlist", owner=None) as talk:
        (said,) = await talk.ask("/start", GROUP, anonymous=True)
        assert said.text == f"This bot is private. Its owner can let this group in with its id: {GROUP}"


async def test_a_question_about_a_group_that_moved_is_asked_anew_under_its_new_id(house: Talk) -> None:
    await wish(house, GROUP, STRANGER)
    house.api.migrate(GROUP, GROUP - 7)
    await house.answers()
    asked = await wish(house, GROUP - 7, STRANGER)
    await house.press(asked, "Approve")
    assert (await house.ask("/status", GROUP - 7, user_id=OTHER))[0].text.startswith("Status")


async def test_the_configuration_is_not_overruled_in_the_chat(house: Talk) -> None:
    (said,) = await house.ask(f"/admin revoke {ME}", OWNER)
    assert said.text.startswith(f"{ME} is let in by the configuration; that is changed there.")
    assert (await house.ask("/status", ME))[0].text.startswith("Status")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/admin aprove 3", "“aprove 3” is not understood. Did you mean approve?\nExample: /admin people"),
        ("/admin approve", "“approve” needs an id after it.\nExample: /admin approve 123456789"),
        ("/admin reject me", "“me” is not an id.\nExample: /admin reject 123456789"),
        ("/admin approve 0", "“0” is not an id.\nExample: /admin approve 123456789"),
        (
            "/admin broadcast",
            "“broadcast” needs a text after it.\nExample: /admin broadcast The bot moves tonight.",
        ),
        ("/admin send 7", "That message was sent already, or another took its place."),
    ],
)
async def test_what_the_owner_mistypes_is_named(typed: str, said: str, house: Talk) -> None:
    assert (await house.ask(typed, OWNER))[0].text == said


async def test_nobody_else_is_the_owner_and_the_owner_is_so_in_private_only(house: Talk) -> None:
    for chat_id, user_id in ((ME, ME), (GROUP, ME), (GROUP, OWNER)):
        (said,) = await house.ask("/admin people", chat_id, user_id=user_id)
        assert said.text == OWNER_ONLY
    assert "/admin" not in (await house.ask("/help", ME))[0].text
    assert "/admin" in (await house.ask("/help", OWNER))[0].text


async def test_a_broadcast_is_shown_first_and_goes_to_every_chat_once(house: Talk) -> None:
    for chat_id in (ME, OWNER):
        await house.ask("/start", chat_id)
    await house.ask("/start", GROUP, user_id=ME)
    house.api.block(GROUP)
    await house.answers()
    (shown,) = await house.ask("/admin broadcast The bot moves <tonight>.\nBye", OWNER)
    text = "From the owner of this bot\nThe bot moves <tonight>.\nBye"
    assert shown.text == f"{text}\n\nThis goes to 2 chats."
    assert await pushed(house, ME) == []
    send = dict(button for row in shown.buttons for button in row)["Send"]
    (said,) = await house.press(shown, "Send")
    assert said.text == "On its way to 2 chats."
    assert [message.text for message in await pushed(house, ME)] == [text]
    shown.markup = {"inline_keyboard": [[{"text": "Send", "callback_data": send}]]}
    assert await house.press(shown, "Send") == []
    assert house.notes() == ["That message was sent already, or another took its place."]
    assert await pushed(house, ME) == []


def test_the_menu_of_all_leaves_out_what_is_the_owners() -> None:
    everybody, owner = ([command.command for command in menu(owner=own)] for own in (False, True))
    assert set(owner) - set(everybody) == {"admin"}


async def test_stats_count_chats_alerts_and_messages(house: Talk) -> None:
    await house.ask(f"/alert {RULE}", ME)
    (stats,) = await house.ask("/admin stats", OWNER)
    assert stats.text.startswith("Stats\nChats: 1 active.\nAlerts: 1 active.\nMessages: none.\nDatabase: ")


async def test_who_is_taken_off_the_list_gets_nothing_more_from_the_next_start_on(
    sample: Path, tmp_path: Path
) -> None:
    async def states(talk: Talk) -> dict[int, str]:
        return {row["chat_id"]: row["status"] for row in await talk.rows("chats")}

    everybody = frozenset({ME, YOU})
    async with talking(sample, tmp_path, access="allowlist", users=everybody) as talk:
        for chat_id in (ME, YOU, OWNER):
            await talk.ask("/start", chat_id)
        await talk.ask("/start", GROUP, user_id=YOU)
        await talk.ask(f"/alert {RULE}", YOU)
        assert await close_doors(talk.bot.services, besides=1) == 0
    async with talking(None, tmp_path, access="allowlist", users=frozenset({ME})) as talk:
        assert await close_doors(talk.bot.services, besides=1) == 1
        assert await states(talk) == {ME: "active", YOU: "inactive", OWNER: "active", GROUP: "active"}
        assert await close_doors(talk.bot.services, besides=1) == 0
        talk.api.world.last_update += 1_000  # those before are noted in the database
        talk.api.unblock(YOU)
        await talk.answers()
        assert (await states(talk))[YOU] == "inactive"
    async with talking(None, tmp_path, access="allowlist", users=everybody) as talk:
        await close_doors(talk.bot.services, besides=1)
        assert set((await states(talk)).values()) == {"active"}
        talk.api.world.last_update += 2_000
        talk.api.block(YOU)
        await talk.answers()
        await close_doors(talk.bot.services, besides=1)
        assert (await states(talk))[YOU] == "inactive"
    async with talking(None, tmp_path, access="allowlist", users=frozenset()) as talk:
        assert await close_doors(talk.bot.services, besides=ME) == 0


async def test_a_backup_is_made_beside_the_nightly_ones_and_verified(house: Talk, tmp_path: Path) -> None:
    await house.ask(f"/alert {RULE}", ME)
    for _ in range(2):
        (said,) = await house.ask("/admin backup", OWNER)
        assert said.text.startswith("The database was copied and the copy verified.\n")
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name == "by-hand.db"
    with open_database(copy, read_only=True) as database:
        assert [row["rule"] for row in database.run_sync(lambda db: list(db["alerts"].rows))] == [RULE]


async def test_a_backup_that_cannot_be_made_is_said(house: Talk, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("in the way")
    (said,) = await house.ask("/admin backup", OWNER)
    assert said.text == f"No copy was made in {tmp_path / 'backups'} (File exists)."


async def test_thirty_commands_a_minute_then_one_line_then_silence(talk: Talk) -> None:
    for _ in range(COMMANDS_A_MINUTE):
        talk.api.say(ME, "/about")
    assert len(await talk.answers()) == COMMANDS_A_MINUTE
    talk.now = NOW + dt.timedelta(seconds=20)
    (line,) = await talk.ask("/about")
    assert line.text == "That was more than 30 commands in a minute; please go on in 40 seconds."
    for typed in ("/about", "hello", "/alert"):
        assert await talk.ask(typed) == []
    assert (await talk.ask("/about", YOU))[0].text.startswith("About")
    talk.now = NOW + dt.timedelta(seconds=60)
    assert (await talk.ask("/about"))[0].text.startswith("About")


async def test_buttons_are_on_the_quota_too_and_said_over_the_chat(talk: Talk) -> None:
    (page,) = await talk.ask("/start")
    for _ in range(COMMANDS_A_MINUTE - 1):
        talk.api.say(ME, "/about")
    await talk.answers()
    assert await talk.press(page, "Help") == await talk.press(page, "Help") == []
    assert talk.notes() == ["That was more than 30 commands in a minute; please go on in 60 seconds."]


async def test_a_groups_talk_is_on_nobodys_quota(talk: Talk) -> None:
    for _ in range(3 * COMMANDS_A_MINUTE):
        talk.api.say(GROUP, "good morning", user_id=ME)
        talk.api.say(GROUP, "/about@other_bot", user_id=ME)
    assert await talk.answers() == []
    assert (await talk.ask("/about", GROUP, user_id=ME))[0].text.startswith("About")


async def test_administrators_who_hide_are_on_their_groups_quota(talk: Talk) -> None:
    for _ in range(COMMANDS_A_MINUTE + 5):
        talk.api.say(GROUP, "/about", anonymous=True)
    assert len(await talk.answers()) == COMMANDS_A_MINUTE + 1
    (elsewhere,) = await talk.ask("/about", GROUP - 1, anonymous=True)
    assert elsewhere.text.startswith("About")


def test_a_quota_survives_a_clock_that_is_put_back() -> None:
    now = NOW
    quota = Quota(lambda: now, count=2)
    assert [quota.admits(1, update) for update in range(4)] == [True, True, True, False]
    assert quota.last_word(2) == 60
    assert quota.last_word(1) is None
    now -= dt.timedelta(hours=1)
    assert [quota.admits(1, update) for update in range(4)] == [True, True, True, False]
    now += dt.timedelta(seconds=60)
    assert quota.admits(1, 9)


def test_who_floods_on_is_told_once_a_minute_though_a_command_is_heard_now_and_then() -> None:
    now = NOW
    quota = Quota(lambda: now)
    heard: list[dt.datetime] = []
    told: list[dt.datetime] = []
    for update in range(
        COMMANDS_A_MINUTE + 10 * 180
    ):  # slowly, so that places get free one by one; then fast
        now += dt.timedelta(seconds=1.5 if update < COMMANDS_A_MINUTE else 0.1)
        if quota.admits(1, update):
            (heard if quota.last_word(update) is None else told).append(now)
    for instants, most in ((heard, COMMANDS_A_MINUTE), (told, 1)):
        minutes = [
            [at for at in instants if begin <= at < begin + dt.timedelta(minutes=1)] for begin in instants
        ]
        assert max(map(len, minutes)) == most
    assert len(told) == 3
