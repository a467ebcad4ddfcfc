"""Strangers ask, the owner decides, and what was decided outlives the process."""

from pathlib import Path
from typing import Any

import pytest

from bot.chat.reply import OWNER_ONLY
from bot.local.botapi import ApiMessage
from bot.services.chats import MAX_OPEN_REQUESTS, deactivate_denied_chats
from storage import chat_store
from tests.chat.talk import GROUP, ME, OWNER, YOU, Talk, talking

STRANGER, OTHER = 3, 4
RULE = "ratio > 0.9"
ASKED = "This bot is private. Its owner has been asked; if they agree, a message here will say so."
ALONE = "This bot is private. Its owner can let you in with your id: 3"


async def wish(talk: Talk, chat_id: int = STRANGER, user_id: int | None = None) -> ApiMessage:
    """A stranger writes; what the owner is asked."""
    await talk.ask("/start", chat_id, user_id=user_id)
    (question,) = await talk.pushed(OWNER)
    return question


async def test_a_stranger_gets_one_line_and_the_owner_one_question(house: Talk) -> None:
    (line,) = await house.ask(f"/alert {RULE}", STRANGER)
    assert line.text == ASKED
    (question,) = await house.pushed(OWNER)
    assert question.text == "Somebody asks to use this bot\nUser 3, 3"
    assert [[label for label, _ in row] for row in question.buttons] == [["Approve", "Reject"]]
    for typed in ("/start", "/status", "hello", f"/alert {RULE}"):
        assert await house.ask(typed, STRANGER) == []
    assert await house.pushed(OWNER) == []
    assert await house.rows("chats") == await house.rows("alerts") == []


async def test_an_approved_stranger_is_let_in_also_after_a_restart(sample: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"mode": "allowlist", "users": frozenset({ME})}
    async with talking(sample, tmp_path, **settings) as talk:
        question = await wish(talk)
    async with talking(None, tmp_path, **settings) as talk:
        talk.api.chat(STRANGER)
        page = talk.api.add_message(talk.api.chat(OWNER), text=question.text, markup=question.markup)
        (answer,) = await talk.press(page, "Approve")
        assert (answer.message_id, answer.text) == (page.message_id, "Let in: User 3, 3")
        (welcome,) = await talk.pushed(STRANGER)
        assert welcome.text == "The owner of this bot has let you in.\nWhat it can do: /start"
        assert (await talk.press(welcome, "Begin"))[0].text.startswith("Small caps")
        assert (await talk.ask("/status", STRANGER))[0].text.startswith("Status")
    async with talking(None, tmp_path, **settings) as talk:
        assert (await talk.ask("/status", STRANGER))[0].text.startswith("Status")
        assert await talk.ask("/status", OTHER) != []


async def test_rejected_nobody_is_asked_about_again(house: Talk) -> None:
    question = await wish(house)
    (answer,) = await house.press(question, "Reject")
    assert answer.text.startswith("Not let in: User 3, 3\n")
    for typed in ("/start", "please", "/status"):
        assert await house.ask(typed, STRANGER) == []
    assert await house.pushed(OWNER) == await house.pushed(STRANGER) == []


async def test_a_decision_delivered_again_is_made_once(house: Talk) -> None:
    question = await wish(house)
    house.api.press(question.message_id, "e/admin approve 3")
    (update,) = house.api.updates
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
    (answer,) = await house.press(people, "Take back: User 3")
    assert answer.text.startswith("Not let in")
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
    question = await wish(house, GROUP, STRANGER)
    assert question.text == (
        "Somebody asks to use this bot\nUser 3, 3\n"
        f"in the group “Chat {GROUP}”, {GROUP}\n"
        "If you approve, everybody in the group may use the bot."
    )
    await house.press(question, "Approve")
    (welcome,) = await house.pushed(GROUP)
    assert welcome.text.startswith("The owner of this bot has let you in.")
    for member in (STRANGER, OTHER):
        assert (await house.ask("/status", GROUP, user_id=member))[0].text.startswith("Status")
    assert (await house.ask("/status", STRANGER))[0].text == ASKED
    house.api.migrate(GROUP, GROUP - 7)
    await house.answers()
    assert (await house.ask("/status", GROUP - 7, user_id=OTHER))[0].text.startswith("Status")


async def test_a_strangers_button_is_refused_in_a_note(house: Talk) -> None:
    (page,) = await house.ask("/start", GROUP, user_id=ME)
    assert await house.press(page, "Compare", STRANGER) == []
    assert house.notes() == [ASKED]
    assert await house.press(page, "Compare", STRANGER) == []
    assert len(house.notes()) == 1
    assert (await house.press(page, "Compare", ME))[0].text.startswith("IWM leads on every window")


@pytest.mark.parametrize(
    ("name", "shown"), [("<b>&lt;A", "<b>&lt;A"), ("A\u202e3 ,B\nC\x00", "A3 ,BC"), ("\u2066\u200f", "unnamed")]
)
async def test_a_name_is_no_markup_and_turns_no_words_around(name: str, shown: str, house: Talk) -> None:
    house.api.say(STRANGER, "/start")
    house.api.updates[0]["message"]["from"] |= {"first_name": name, "username": "a_b"}
    await house.answers()
    assert (await house.pushed(OWNER))[0].text.splitlines()[1] == f"{shown} (@a_b), 3"
    assert [row["title"] for row in await house.rows("access")] == [f"{shown} (@a_b)"]


async def test_without_an_owner_a_stranger_learns_the_id_that_is_needed(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path, mode="allowlist", owner=None) as talk:
        assert (await talk.ask("/start", STRANGER))[0].text == ALONE
        assert await talk.ask("/start", STRANGER) == []
        assert (await talk.ask("/start", GROUP, user_id=STRANGER))[0].text == (
            f"{ALONE}\nor this group with its id: {GROUP}"
        )
        assert await talk.rows("access") == await talk.rows("outbox") == []


async def test_many_strangers_do_not_flood_the_owner(house: Talk) -> None:
    for stranger in range(1000, 1000 + MAX_OPEN_REQUESTS):
        assert (await house.ask("/start", stranger))[0].text == ASKED
    assert (await house.ask("/start", STRANGER))[0].text == ALONE
    assert len(await house.rows("access")) == len(await house.rows("outbox")) == MAX_OPEN_REQUESTS
    (people,) = await house.ask("/admin people", OWNER)
    assert len(people.buttons) == MAX_OPEN_REQUESTS
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
    assert await house.pushed(OWNER) == []


async def test_in_a_rejected_group_only_who_is_configured_is_answered(house: Talk) -> None:
    await house.ask("/admin approve 4", OWNER)
    await house.ask("/start", GROUP, user_id=OTHER)
    await house.ask(f"/admin reject {GROUP}", OWNER)
    assert await house.ask("/start", GROUP, user_id=OTHER) == []
    assert (await house.ask("/start", GROUP, user_id=ME))[0].text.startswith("Small caps")
    assert [row["status"] for row in await house.rows("chats") if row["chat_id"] == GROUP] == ["inactive"]
    assert (await house.ask("/status", OTHER))[0].text.startswith("Status")


@pytest.mark.parametrize("access", ["allowlist", "open"])
async def test_an_id_of_many_opens_and_closes_nothing(access: str, sample: Path, tmp_path: Path) -> None:
    hidden = frozenset({1087968824})
    async with talking(sample, tmp_path, mode=access, users=hidden) as talk:
        (answer,) = await talk.ask("/status", GROUP, anonymous=True)
        assert answer.text.startswith("Status" if access == "open" else "This bot is private.")
        for verb in ("approve", "reject"):
            (refused,) = await talk.ask(f"/admin {verb} 1087968824", OWNER)
            assert refused.text == (
                "Many people write under the id 1087968824. Use the id of their group.\nExample: /admin people"
            )


async def test_a_hidden_administrators_group_has_its_id(house: Talk, sample: Path, tmp_path: Path) -> None:
    house.api.say(GROUP, "/start", anonymous=True)
    await house.answers()
    (question,) = await house.pushed(OWNER)
    assert "1087968824" not in question.text
    assert f"{GROUP}" in question.text
    (tmp_path / "alone").mkdir()
    async with talking(sample, tmp_path / "alone", mode="allowlist", owner=None) as talk:
        (answer,) = await talk.ask("/start", GROUP, anonymous=True)
        assert answer.text == f"This bot is private. Its owner can let this group in with its id: {GROUP}"


async def test_a_question_about_a_group_that_moved_is_asked_anew_under_its_new_id(house: Talk) -> None:
    await wish(house, GROUP, STRANGER)
    house.api.migrate(GROUP, GROUP - 7)
    await house.answers()
    question = await wish(house, GROUP - 7, STRANGER)
    await house.press(question, "Approve")
    assert (await house.ask("/status", GROUP - 7, user_id=OTHER))[0].text.startswith("Status")


async def test_the_configuration_is_not_overruled_in_the_chat(house: Talk) -> None:
    (answer,) = await house.ask(f"/admin revoke {ME}", OWNER)
    assert answer.text.startswith(f"The configuration lets {ME} in; change it there.")
    assert (await house.ask("/status", ME))[0].text.startswith("Status")


MISTAKES = {
    "/admin aprove 3": "“aprove 3” is not understood. Did you mean approve?\nExample: /admin people",
    "/admin approve": "“approve” needs an id after it.\nExample: /admin approve 123456789",
    "/admin reject me": "“me” is not an id.\nExample: /admin reject 123456789",
    "/admin approve 0": "“0” is not an id.\nExample: /admin approve 123456789",
    "/admin broadcast": ("“broadcast” needs a text after it.\nExample: /admin broadcast The bot moves tonight."),
    "/admin send 7": "That message was sent already, or a newer one has replaced it.",
}


async def test_what_the_owner_mistypes_is_named(house: Talk) -> None:
    assert await house.texts(MISTAKES, OWNER) == MISTAKES


async def test_nobody_else_is_the_owner_and_the_owner_is_so_in_private_only(house: Talk) -> None:
    for chat_id, user_id in ((ME, ME), (GROUP, ME), (GROUP, OWNER)):
        (answer,) = await house.ask("/admin people", chat_id, user_id=user_id)
        assert answer.text == OWNER_ONLY
    assert "/admin" not in (await house.ask("/help", ME))[0].text
    assert "/admin" in (await house.ask("/help", OWNER))[0].text


async def test_who_is_off_the_list_gets_nothing_after_the_next_start(sample: Path, tmp_path: Path) -> None:
    async def states(talk: Talk) -> dict[int, str]:
        return {row["chat_id"]: row["status"] for row in await talk.rows("chats")}

    everybody = frozenset({ME, YOU})
    async with talking(sample, tmp_path, mode="allowlist", users=everybody) as talk:
        for chat_id in (ME, YOU, OWNER):
            await talk.ask("/start", chat_id)
        await talk.ask("/start", GROUP, user_id=YOU)
        await talk.ask(f"/alert {RULE}", YOU)
        assert await deactivate_denied_chats(talk.bot.services, except_chat=1) == 0
        await talk.database.run(lambda db: chat_store.put_to_sleep(db, YOU, "Refused", talk.now, talk.now))
    async with talking(None, tmp_path, mode="allowlist", users=frozenset({ME})) as talk:
        assert await deactivate_denied_chats(talk.bot.services, except_chat=1) == 1
        assert await states(talk) == {ME: "active", YOU: "inactive", OWNER: "active", GROUP: "active"}
        assert await deactivate_denied_chats(talk.bot.services, except_chat=1) == 0
        talk.api.unblock(YOU)
        await talk.answers()
        assert (await states(talk))[YOU] == "inactive"
    async with talking(None, tmp_path, mode="allowlist", users=everybody) as talk:
        await deactivate_denied_chats(talk.bot.services, except_chat=1)
        assert set((await states(talk)).values()) == {"active"}
        talk.api.block(YOU)
        await talk.answers()
        await deactivate_denied_chats(talk.bot.services, except_chat=1)
        assert (await states(talk))[YOU] == "inactive"
    async with talking(None, tmp_path, mode="allowlist", users=frozenset()) as talk:
        assert await deactivate_denied_chats(talk.bot.services, except_chat=ME) == 0
