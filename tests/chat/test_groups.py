"""Groups: whose commands count, topics, administrators; and who may use the bot at all."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlite_utils

from bot.chat.reply import ADMINISTRATORS_ONLY, FORWARDED
from bot.local.botapi import ApiMessage
from storage import chat_store
from tests.chat.talk import GROUP, ME, OWNER, YOU, Talk, prepared, talking
from tests.fakes.botapi_faults import bad_gateway, flood, refusal

ADMIN, MEMBER, STRANGER = 1, 2, 3
RULE = "ratio > 0.9"
CHANGES = (f"/alert {RULE} once", "/alert 1 pause", "/alert 1 off", "/summary on 18:30", "/summary off")
LOOKS = ("/alert 1", "/alert 1 why", "/alerts", "/history", "/summary", "/summary now", "/help", "/status")


@pytest.fixture(scope="module")
def with_alert(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, and alert #1 of the group."""

    async def make(talk: Talk) -> None:
        talk.api.chat(GROUP).members[ADMIN] = "administrator"
        await talk.ask(f"/alert {RULE}", GROUP, user_id=ADMIN)

    return prepared(sample, tmp_path_factory.mktemp("group"), make)


@pytest.fixture
async def group(with_alert: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(with_alert, tmp_path) as talk:
        talk.api.chat(GROUP).members.update({ADMIN: "administrator", MEMBER: "member"})
        yield talk


async def settings(talk: Talk) -> list[object]:
    """What a group's administrators decide on."""
    alerts = [(row["number"], row["life"]) for row in await talk.rows("alerts")]
    return [alerts, [row["summary_at"] for row in await talk.rows("chats") if row["chat_id"] == GROUP]]


ADDRESSED = {
    "/about@small_large_bot": "About",
    "/about@Small_Large_Bot": "About",
    "/about": "About",
    "/help@small_large_bot": "Commands",
    "/abuot@small_large_bot": "“abuot” is not a command. Did you mean /about?",
}


async def test_only_what_is_meant_for_the_bot_is_answered(group: Talk) -> None:
    texts = await group.texts(ADDRESSED, GROUP, user_id=MEMBER)
    assert {line: text.splitlines()[0] for line, text in texts.items()} == ADDRESSED
    for line in ("/about@other_bot", "/abuot", "about", "good morning"):
        assert await group.ask(line, GROUP, user_id=MEMBER) == []


BY_HAND = {"type": "user", "date": 1, "sender_user": {"id": 9, "is_bot": False, "first_name": "Eve"}}
POSTED = {"type": "channel", "date": 1, "message_id": 1, "chat": {"id": -1009, "type": "channel"}}
CARDS = {"id": 99, "is_bot": True, "first_name": "Cards", "username": "cards_bot"}


@pytest.mark.parametrize(
    ("user_id", "marks"),
    [
        (ADMIN, {"forward_origin": BY_HAND}),
        (ADMIN, {"forward_date": 1, "forward_from": BY_HAND["sender_user"]}),
        (777000, {"forward_origin": POSTED, "is_automatic_forward": True, "sender_chat": POSTED["chat"]}),
        (ADMIN, {"via_bot": CARDS}),
    ],
)
async def test_what_somebody_else_wrote_is_no_command_of_who_sends_it_on(
    user_id: int, marks: dict[str, object], group: Talk
) -> None:
    before = await settings(group)
    for typed in ("/alert 1 off", "/about"):
        group.api.say(GROUP, typed, user_id=user_id)
        group.api.updates[-1]["message"] |= marks
    assert await group.answers() == []
    assert await settings(group) == before


@pytest.mark.parametrize("typed", [f"/alert {RULE}", "/forgetme yes", "ratio > 0.9"])
@pytest.mark.parametrize("mark", [{"forward_origin": BY_HAND}, {"forward_date": 1}])
async def test_in_private_forwarded_words_are_no_command_which_is_told(
    typed: str, mark: dict[str, object], talk: Talk
) -> None:
    await talk.ask(f"/alert {RULE}")
    talk.api.say(ME, typed)
    talk.api.updates[-1]["message"] |= mark
    assert [message.text for message in await talk.answers()] == [FORWARDED]
    assert len(await talk.rows("alerts")) == 1


async def test_in_private_a_card_of_a_bot_asks_nothing(talk: Talk) -> None:
    for typed in ("IWM and SPY · close of Fri 11 Dec 2020", f"/alert {RULE}"):
        talk.api.say(ME, typed)
        talk.api.updates[-1]["message"]["via_bot"] = CARDS
    assert await talk.answers() == []
    assert await talk.rows("alerts") == []


async def test_administrators_and_the_creator_change_what_members_only_see(group: Talk) -> None:
    before = await settings(group)
    assert set((await group.texts(CHANGES, GROUP, user_id=MEMBER)).values()) == {ADMINISTRATORS_ONLY}
    assert await settings(group) == before
    assert ADMINISTRATORS_ONLY not in (await group.texts(LOOKS, GROUP, user_id=MEMBER)).values()
    for status, line in (("creator", CHANGES[0]), *(("administrator", line) for line in CHANGES[1:])):
        group.api.chat(GROUP).members[ADMIN] = status
        before = await settings(group)
        await group.ask(line, GROUP, user_id=ADMIN)
        assert await settings(group) != before, line


async def test_an_anonymous_administrator_is_one_of_this_group_only(group: Talk) -> None:
    before = await settings(group)
    group.api.say(GROUP, "/alert 1 off", anonymous=True)
    forged = group.api.updates.pop()
    forged["message"]["sender_chat"] = {"id": GROUP - 1, "type": "supergroup", "title": "Elsewhere"}
    await group.deliver(forged)
    assert group.api.messages(GROUP)[-1].text == ADMINISTRATORS_ONLY
    assert await settings(group) == before
    (off,) = await group.ask("/alert 1 off", GROUP, anonymous=True)
    assert off.text.startswith("Alert #1 is off.")
    assert group.api.calls("getChatMember") == []


@pytest.mark.parametrize("fault", [bad_gateway(), refusal(400, "Bad Request: member not found")])
async def test_without_telegrams_word_nobody_is_an_administrator(fault: object, group: Talk) -> None:
    before = await settings(group)
    group.api.fail("getChatMember", fault)  # type: ignore[arg-type]
    (answer,) = await group.ask("/alert 1 off", GROUP, user_id=ADMIN)
    assert answer.text == ADMINISTRATORS_ONLY
    assert await settings(group) == before


async def test_in_a_group_the_answer_is_a_reply_to_who_asked(group: Talk) -> None:
    await group.ask("/about", GROUP, user_id=MEMBER)
    (call,) = group.api.calls("sendMessage", GROUP)
    asked = next(m for m in group.api.history.values() if m.text == "/about")
    reply = {"message_id": asked.message_id, "allow_sending_without_reply": True}
    assert json.loads(call.fields["reply_parameters"]) == reply
    await group.ask("/about", ME)
    assert "reply_parameters" not in group.api.calls("sendMessage", ME)[-1].fields


async def test_a_topic_is_answered_in_the_topic_text_and_picture(group: Talk) -> None:
    await group.ask("/alert ratio > 0.8", GROUP, user_id=ADMIN, thread_id=5)
    assert [row["thread_id"] for row in await group.rows("alerts")] == [None, 5]
    (picture,) = await group.ask("/chart drawdown", GROUP, user_id=MEMBER, thread_id=5)
    assert picture.photo
    assert picture.thread_id == 5
    assert group.api.calls("sendChatAction", GROUP)[-1].fields["message_thread_id"] == "5"
    (choice,) = await group.ask("/alert", GROUP, user_id=MEMBER, thread_id=5)
    assert choice.thread_id == 5
    (outside,) = await group.ask("/about", GROUP, user_id=MEMBER)
    assert outside.thread_id is None


async def test_a_topic_that_is_gone_or_closed_is_answered_in_the_group(group: Talk) -> None:
    group.api.fail("sendMessage", refusal(400, "Bad Request: TOPIC_CLOSED"))
    (answer,) = await group.ask("/about", GROUP, user_id=MEMBER, thread_id=5)
    assert answer.thread_id is None
    group.api.say(GROUP, "/chart drawdown", user_id=MEMBER, thread_id=5)
    group.api.chat(GROUP).threads.clear()
    (picture,) = await group.answers()
    assert picture.photo
    assert picture.thread_id is None
    assert picture.text.startswith("The drawdown of IWM/SPY")


NO_FILES = "Bad Request: not enough rights to send photos to the chat"


async def test_where_no_pictures_may_be_sent_the_text_stays_and_says_so(group: Talk) -> None:
    group.api.fail("editMessageMedia", refusal(400, NO_FILES), times=9)
    (text,) = await group.ask("/chart drawdown", GROUP, user_id=MEMBER)
    assert text.text.startswith("The drawdown of IWM/SPY")
    assert text.text.splitlines()[-1] == (
        "No current picture: Telegram did not accept it: Not enough rights to send photos to the chat."
    )
    assert text.buttons
    assert len(group.api.calls("editMessageMedia")) == 1
    assert [row["status"] for row in await group.rows("chats")] == ["active"]


async def test_a_picture_that_is_limited_waits_and_comes_once(group: Talk) -> None:
    group.api.fail("editMessageMedia", flood(5))
    (picture,) = await group.ask("/chart drawdown", GROUP, user_id=MEMBER)
    first, second = group.api.calls("editMessageMedia")
    assert picture.photo
    assert [len(call.files) for call in (first, second)] == [1, 1]
    assert first.files == second.files
    assert group._seconds >= 5


@pytest.mark.parametrize("first", ["Status", "This bot is private."])
async def test_owner_listed_people_and_listed_chats_get_in(first: str, sample: Path, tmp_path: Path) -> None:
    allowed = [(ME, ME), (OWNER, OWNER), (GROUP, STRANGER), (GROUP - 1, ME), (YOU, YOU)]
    denied = [(STRANGER, STRANGER), (GROUP - 2, STRANGER), (GROUP - 3, YOU)]
    lists = {"users": frozenset({ME}), "chats": frozenset({GROUP, YOU})}
    async with talking(sample, tmp_path, mode="allowlist", **lists) as talk:
        for chat_id, user_id in allowed if first == "Status" else denied:
            (answer,) = await talk.ask("/status", chat_id, user_id=user_id)
            assert answer.text.startswith(first), (chat_id, user_id)


async def test_blocked_or_kicked_the_chat_sleeps_and_wakes_when_let_in_again(group: Talk) -> None:
    async def status() -> list[tuple[str, str]]:
        return [(row["status"], row["reason"]) for row in await group.rows("chats")]

    group.api.block(GROUP, "bot was kicked from the supergroup chat")
    await group.answers()
    assert await status() == [("inactive", "the bot is kicked")]
    group.api.unblock(GROUP)
    await group.answers()
    assert await status() == [("active", "")]
    assert (await settings(group))[0] == [(1, "active")]


async def test_a_group_of_which_only_some_are_let_in_wakes_too(with_alert: Path, tmp_path: Path) -> None:
    async with talking(with_alert, tmp_path, mode="allowlist", users=frozenset({ADMIN})) as talk:
        for change in (talk.api.block, talk.api.unblock):
            change(GROUP)
            await talk.answers()
        assert [row["status"] for row in await talk.rows("chats")] == ["active"]


async def test_a_group_that_was_rejected_is_not_woken_when_the_bot_is_added_again(group: Talk) -> None:
    def reject(db: sqlite_utils.Database) -> None:
        chat_store.decide_access(db, GROUP, "rejected", group.now, "Group")
        chat_store.deactivate(db, GROUP, "rejected by the owner")

    await group.database.run(reject)
    group.api.unblock(GROUP)
    await group.answers()
    (row,) = await group.rows("chats")
    assert (row["status"], row["reason"]) == ("inactive", "rejected by the owner")


async def test_blocked_unnoticed_a_chat_sleeps_too(group: Talk, caplog: pytest.LogCaptureFixture) -> None:
    group.api.block(GROUP, "bot was kicked from the supergroup chat", notify_bot=False)
    assert await group.ask("/about", GROUP, user_id=MEMBER) == []
    (row,) = await group.rows("chats")
    assert (row["status"], row["reason"]) == ("inactive", "Forbidden: bot was kicked from the supergroup chat")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    group.api.unblock(GROUP, notify_bot=False)
    await group.ask("/start@small_large_bot", GROUP, user_id=MEMBER)
    assert [row["status"] for row in await group.rows("chats")] == ["active"]


async def test_an_old_removal_delivered_again_does_not_put_the_chat_to_sleep(group: Talk) -> None:
    group.api.block(GROUP, "bot was kicked from the supergroup chat")
    (removal,) = group.api.updates
    await group.answers()
    group.api.unblock(GROUP, notify_bot=False)
    await group.ask("/start@small_large_bot", GROUP, user_id=MEMBER)
    await group.deliver(removal)
    assert [row["status"] for row in await group.rows("chats")] == ["active"]


async def test_a_group_that_becomes_a_supergroup_keeps_its_alerts(group: Talk) -> None:
    group.api.migrate(GROUP, GROUP - 7)
    moves = list(group.api.updates)
    await group.answers()
    noted = {row["update_id"] for row in await group.rows("updates")}
    assert moves[0]["update_id"] in noted
    (listing,) = await group.ask("/alerts", GROUP - 7, user_id=ADMIN)
    assert f"#1 {RULE}" in listing.text


async def test_an_answer_to_a_group_that_has_moved_moves_what_is_stored(group: Talk) -> None:
    group.api.migrate(GROUP, GROUP - 7)
    group.api.updates.clear()
    await group.ask("/about", GROUP, user_id=ADMIN)
    assert [row["chat_id"] for row in await group.rows("alerts")] == [GROUP - 7]


@pytest.mark.parametrize(("chat", "who"), [(GROUP, ADMIN), (OWNER, OWNER)])
async def test_a_refused_command_is_answered_again_when_it_is_edited(group: Talk, chat: int, who: int) -> None:
    async def edited(message: ApiMessage, text: str) -> list[ApiMessage]:
        group.api.edit(message, text)
        return await group.answers()

    typed = group.api.say(chat, "/alert excess 3m > 5", user_id=who)
    assert (await group.answers())[0].text.startswith("“5” has no unit")
    (again,) = await edited(typed, "/alert excess 3m > 6")
    assert again.text.startswith("“6” has no unit")
    (created,) = await edited(typed, "/alert excess 3m > 6pp")
    assert " is set: " in created.text
    replies = [json.loads(call.fields["reply_parameters"]) for call in group.api.calls("sendMessage", chat)[-2:]]
    assert [reply["message_id"] for reply in replies] == [typed.message_id] * 2
    assert await edited(typed, "/alert excess 3m > 7pp") == []
    answered = group.api.say(chat, "/about", user_id=who)
    await group.answers()
    assert await edited(answered, "/alerts") == []
