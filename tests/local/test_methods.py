"""What the Bot API refuses, in this process and over HTTP, to the real client."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from telegram import (
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQueryResultArticle,
    InputTextMessageContent,
    ReplyParameters,
)
from telegram.error import BadRequest, NetworkError, TelegramError
from telegram.ext import ExtBot

from bot.local.botapi import BotApi, Upload
from bot.local.methods import Call, answer
from bot.local.terminal import LocalRequest
from tests.fakes.botapi import FakeBotApi
from tests.fakes.pictures import png

ME, GROUP, OLD_GROUP, SILENT = 42, -100200, -5, 43
TEXT, PHOTO, DOCUMENT, THEIRS, OTHERS = 1, 2, 3, 4, 5  # ids of the messages that there are
NOT_MODIFIED = (
    "Message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)
TOO_OLD = "Query is too old and response timeout expired or query id is invalid"


# The client asks to call what it knows by its own methods, which check what they are given.
pytestmark = pytest.mark.filterwarnings("ignore:Please use 'Bot:telegram.warnings.PTBUserWarning")


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    """Chats with a text, a photo and a document of the bot, and messages of people."""
    async with FakeBotApi() as served:
        chat = served.chat(ME)
        photo = served.store_file("photo", Upload("a.png", png()))
        served.add_message(chat, text="one", markup=keyboard().to_dict())
        served.add_message(chat, text="caption", file=photo)
        served.add_message(chat, file=served.store_file("document", Upload("a.json", b"{}")))
        served.say(ME, "mine")
        served.add_message(served.chat(GROUP), text="elsewhere")
        served.migrate(OLD_GROUP, GROUP)
        served.block(SILENT)
        yield served


@pytest.fixture(params=["in this process", "over HTTP"])
async def bot(api: FakeBotApi, request: pytest.FixtureRequest) -> AsyncIterator[ExtBot[None]]:
    local = LocalRequest(api)
    in_process = ExtBot[None](api.token, request=local, get_updates_request=local)
    async with api.client() if request.param == "over HTTP" else in_process as client:
        yield client


def keyboard(data: str = "a:1", count: int = 1) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton("Off", callback_data=data)]] * count)


def inline_results(count: int, text: str = "x", first: int = 0) -> list[InlineQueryResultArticle]:
    content = InputTextMessageContent(text, parse_mode="HTML")
    return [InlineQueryResultArticle(f"{max(i, first)}", "title", content) for i in range(count)]


def raw(method: str, **fields: object) -> Callable[[ExtBot[None]], Awaitable[Any]]:
    """A call with fields that the client's own methods would not let pass."""
    return lambda bot: bot.do_api_request(method, api_kwargs=fields)


def scoped(scope: dict[str, object]) -> Callable[[ExtBot[None]], Awaitable[Any]]:
    return raw("setMyCommands", commands=[], scope=scope)


def message(**fields: object) -> Callable[[ExtBot[None]], Awaitable[Any]]:
    return raw("sendMessage", chat_id=ME, text="x", **fields)


def button(**fields: object) -> Callable[[ExtBot[None]], Awaitable[Any]]:
    return message(reply_markup={"inline_keyboard": [[fields]]})


# By the reason: what is refused for it.
REFUSALS: dict[str, list[Callable[[ExtBot[None]], Awaitable[Any]]]] = {
    'Method sendmessage has no argument "colour"': [message(colour=1)],
    "Chat_id is empty": [raw("sendMessage", text="x")],
    "Chat not found": [raw("sendMessage", chat_id="nobody", text="x"), scoped({"type": "chat", "chat_id": 404})],
    "Message_id is empty": [raw("editMessageText", chat_id=ME, text="x")],
    "Message_id is invalid": [raw("editMessageText", chat_id=ME, message_id="1_0", text="x")],
    "User_id is invalid": [raw("getChatMember", chat_id=ME, user_id="me")],
    "Message_thread_id is invalid": [message(message_thread_id="one")],
    "Can't parse reply_markup json object": [message(reply_markup="{")],
    "Object expected as reply markup": [message(reply_markup=[1])],
    "Inline keyboard must be an array of arrays": [message(reply_markup={"inline_keyboard": {"a": 1}})],
    "Inline keyboard row must be an array of objects": [message(reply_markup={"inline_keyboard": ["a"]})],
    "Object expected as reply parameters": [message(reply_parameters=[7])],
    "Can't parse reply parameters: field must be a number": [message(reply_parameters={"message_id": [7]})],
    "Array of objects expected as commands": [raw("setMyCommands", commands={"a": 1})],
    "Array of strings expected as allowed_updates": [raw("getUpdates", allowed_updates=[1])],
    "Offset is invalid": [raw("getUpdates", offset="last")],
    "Message thread not found": [
        lambda bot: bot.send_message(ME, "x", message_thread_id=9),
        lambda bot: bot.send_chat_action(ME, "typing", message_thread_id=9),
    ],
    "Message to be replied not found": [
        lambda bot: bot.send_message(ME, "x", reply_parameters=ReplyParameters(77)),
        lambda bot: bot.send_message(ME, "x", reply_parameters=ReplyParameters(OTHERS)),
    ],
    "Member not found": [lambda bot: bot.get_chat_member(ME, 99)],
    "Wrong parameter action in request": [lambda bot: bot.send_chat_action(ME, "dance")],
    "Message text is empty": [
        lambda bot: bot.send_message(ME, "", parse_mode="HTML"),
        lambda bot: bot.send_message(ME, " \n"),
        lambda bot: bot.send_message(ME, "<b> </b>", parse_mode="HTML"),
    ],
    "Message is too long": [
        lambda bot: bot.send_message(ME, "x" * 4097),
        lambda bot: bot.send_message(ME, "x" * 4096 + " "),
        lambda bot: bot.send_message(ME, "\U0001f600" * 2049),
        lambda bot: bot.edit_message_text("x" * 4097, ME, TEXT),
    ],
    "Message caption is too long": [
        lambda bot: bot.send_photo(ME, png(), caption="x" * 1025),
        lambda bot: bot.send_document(ME, b"{}", caption="x" * 1025),
    ],
    'Can\'t parse entities: unsupported start tag "div" at byte offset 2': [
        lambda bot: bot.send_message(ME, "é<div>x</div>", parse_mode="HTML")
    ],
    'Can\'t parse entities: unescaped "&" at byte offset 1': [
        lambda bot: bot.send_photo(ME, png(), caption="S&P", parse_mode="HTML")
    ],
    'Only parse_mode html is understood here, not "markdownv2"': [
        lambda bot: bot.send_message(ME, "*x*", parse_mode="MarkdownV2")
    ],
    "Button_data_invalid": [
        lambda bot: bot.send_message(ME, "x", reply_markup=keyboard("é" * 33)),
        lambda bot: bot.edit_message_text("x", ME, TEXT, reply_markup=keyboard("x" * 65)),
        button(text="x", callback_data=""),
    ],
    "Reply markup is too long": [lambda bot: bot.send_message(ME, "x", reply_markup=keyboard(count=101))],
    'Can\'t parse inline keyboard button: field "text" must be non-empty': [button(text="", callback_data="a")],
    "Can't parse inline keyboard button: text buttons are unallowed in the inline keyboard": [button(text="x")],
    "Can't parse inline keyboard button: field must be of type string": [button(text="x", callback_data=5)],
    "Image_process_failed": [
        lambda bot: bot.send_photo(ME, b"GIF89a..."),
        lambda bot: bot.send_photo(ME, png()[:20]),
        lambda bot: bot.send_photo(ME, b"\xff\xd8\xff JPEG"),
    ],
    "Photo_invalid_dimensions": [
        lambda bot: bot.send_photo(ME, png(2100, 100)),
        lambda bot: bot.send_photo(ME, png(6000, 4001)),
        lambda bot: bot.send_photo(ME, png(0, 5)),
    ],
    "File must be non-empty": [lambda bot: bot.send_photo(ME, b""), lambda bot: bot.send_document(ME, b"")],
    "Request Entity Too Large": [
        lambda bot: bot.send_photo(ME, png() + bytes(10 * 1024 * 1024)),
        lambda bot: bot.send_document(ME, bytes(50 * 1024 * 1024 + 1)),
    ],
    "Wrong file identifier/http url specified": [
        lambda bot: bot.send_photo(ME, "no-such-id"),
        lambda bot: bot.send_document(ME, "no-such-id"),
    ],
    "There is no photo in the request": [raw("sendPhoto", chat_id=ME)],
    "There is no document in the request": [raw("sendDocument", chat_id=ME)],
    "Message to edit not found": [
        lambda bot: bot.edit_message_text("x", ME, 77),
        lambda bot: bot.edit_message_text("x", ME, OTHERS),
    ],
    "Message can't be edited": [lambda bot: bot.edit_message_text("x", ME, THEIRS)],
    "There is no text in the message to edit": [
        lambda bot: bot.edit_message_text("x", ME, PHOTO),
        lambda bot: bot.edit_message_text("x", ME, DOCUMENT),
    ],
    NOT_MODIFIED: [
        lambda bot: bot.edit_message_text("one", ME, TEXT, reply_markup=keyboard()),
        lambda bot: bot.edit_message_text("<b></b>one", ME, TEXT, parse_mode="HTML", reply_markup=keyboard()),
    ],
    TOO_OLD: [lambda bot: bot.answer_callback_query("12"), lambda bot: bot.answer_inline_query("12", [])],
    "Bot_command_invalid": [lambda bot: bot.set_my_commands([BotCommand("Compare", "x")])],
    "Bot_command_description_invalid": [lambda bot: bot.set_my_commands([BotCommand("compare", "")])],
    "Name is too long": [lambda bot: bot.set_my_name("x" * 65)],
    "Can't parse botcommandscope: unsupported type specified": [scoped({"type": "groups"})],
    "Can't parse botcommandscope: wrong fields": [scoped({"type": "chat"}), scoped({"type": "default", "chat_id": ME})],
    "Bot_commands_too_much": [raw("setMyCommands", commands=[{"command": "a", "description": "b"}] * 101)],
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_what_telegram_refuses_is_refused_and_changes_nothing(
    api: FakeBotApi, bot: ExtBot[None], reason: str
) -> None:
    before = [message.json() for message in api.history.values()]
    for act in REFUSALS[reason]:
        with pytest.raises(TelegramError) as refusal:
            await act(bot)
        assert refusal.value.message == reason
    assert [message.json() for message in api.history.values()] == before
    assert len(api.files) == 2


async def test_an_unknown_method_is_not_found(bot: ExtBot[None]) -> None:
    with pytest.raises(TelegramError, match="Endpoint 'sendLove' not found"):
        await bot.do_api_request("sendLove")


async def test_a_query_is_answered_once_and_shortly(api: FakeBotApi, bot: ExtBot[None]) -> None:
    query_id = api.press(TEXT, "a:1")
    with pytest.raises(BadRequest, match=r"^Message_too_long$"):
        await bot.answer_callback_query(query_id, "x" * 201)
    await bot.answer_callback_query(query_id, "x" * 200)
    with pytest.raises(BadRequest, match=TOO_OLD):
        await bot.answer_callback_query(query_id)
    assert api.callback_queries[query_id].answer == {"callback_query_id": query_id, "text": "x" * 200}


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        (inline_results(51), "Result_id_duplicate"),
        (inline_results(2, first=7), "Result_id_duplicate"),
        (inline_results(1, "<b>x"), "Can't parse entities: can't find end tag corresponding to start tag"),
        (inline_results(1, "x" * 4097), "Message is too long"),
    ],
)
async def test_inline_results_are_checked_like_messages(
    api: FakeBotApi, bot: ExtBot[None], results: list[InlineQueryResultArticle], reason: str
) -> None:
    query_id = api.type_inline(ME, "6m")
    with pytest.raises(BadRequest, match=reason):
        await bot.do_api_request(
            "answerInlineQuery",
            api_kwargs={"inline_query_id": query_id, "results": [result.to_dict() for result in results]},
        )
    await bot.answer_inline_query(query_id, inline_results(1, "<b>good</b>"))
    assert [result["plain"] for result in api.inline_queries[query_id].results or ()] == ["good"]
    with pytest.raises(BadRequest, match=TOO_OLD):
        await bot.answer_inline_query(query_id, [])


async def test_an_inline_result_without_content_is_refused(api: FakeBotApi, bot: ExtBot[None]) -> None:
    query_id = api.type_inline(ME, "6m")
    with pytest.raises(BadRequest, match="Can't parse inline query result"):
        await bot.do_api_request(
            "answerInlineQuery", api_kwargs={"inline_query_id": query_id, "results": [{"id": "1"}]}
        )


async def test_a_file_is_sent_again_by_its_id_as_what_it_was(api: FakeBotApi, bot: ExtBot[None]) -> None:
    photo, document = api.history[PHOTO].photo or "", api.history[DOCUMENT].json()["document"]["file_id"]
    assert (await bot.send_photo(ME, photo)).photo[-1].file_id == photo
    sent = await bot.send_document(ME, document)
    assert sent.document
    assert (sent.document.file_name, sent.document.file_size) == ("a.json", 2)
    with pytest.raises(BadRequest, match=r"^Can't use file of type document as photo$"):
        await bot.send_photo(ME, document)
    with pytest.raises(BadRequest, match=r"^Can't use file of type photo as document$"):
        await bot.send_document(ME, photo)


async def test_an_edit_replaces_text_and_keyboard(api: FakeBotApi, bot: ExtBot[None]) -> None:
    await bot.edit_message_text("<b>one</b>", ME, TEXT, parse_mode="HTML", reply_markup=keyboard())
    await bot.edit_message_text("<b>one</b>", ME, TEXT, parse_mode="HTML")
    message = api.history[TEXT]
    assert (message.text, message.html, message.buttons, message.edits) == ("one", "<b>one</b>", [], 2)


async def test_the_longest_of_everything_passes(bot: ExtBot[None]) -> None:
    await bot.send_message(ME, f"<b>{'x' * 4095}&lt;</b>", parse_mode="HTML", reply_markup=keyboard("x" * 64))
    await bot.send_photo(ME, png(2000, 100), caption="\U0001f600" * 512)
    await bot.send_message(ME, "x", reply_markup=keyboard(count=100))


async def test_members_have_the_status_they_were_given(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.chat(GROUP).members = {7: "creator", 8: "administrator", 9: "member"}
    assert (await bot.get_chat_member(GROUP, 9)).status == "member"
    assert (await bot.get_chat_member(GROUP, bot.id)).user.username == "small_large_bot"


async def test_commands_are_kept_per_scope_and_language(api: FakeBotApi, bot: ExtBot[None]) -> None:
    await bot.set_my_commands([BotCommand("compare", "Compare both")])
    await bot.set_my_commands([BotCommand("vergleich", "Beide")], language_code="de")
    commands = {key: [command["command"] for command in value] for key, value in api.commands.items()}
    assert commands == {"default//": ["compare"], "default//de": ["vergleich"]}


async def test_updates_are_kept_until_an_offset_confirms_them(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.updates.clear()
    for word in ("a", "b", "c"):
        api.say(ME, word)
    first = await bot.get_updates(limit=2)
    assert [update.message and update.message.text for update in first] == ["a", "b"]
    assert [update.update_id for update in await bot.get_updates()][:2] == [x.update_id for x in first]
    rest = await bot.get_updates(offset=first[-1].update_id + 1)
    assert [update.message and update.message.text for update in rest] == ["c"]
    api.say(ME, "d")
    assert [update.message and update.message.text for update in await bot.get_updates(offset=-1)] == ["d"]
    assert len(await bot.get_updates()) == 1
    assert await bot.get_updates(allowed_updates=["poll"]) == ()


async def test_an_unknown_chat_is_out_of_reach_in_this_process(api: FakeBotApi, bot: ExtBot[None]) -> None:
    in_process = isinstance(bot.request, LocalRequest)
    with pytest.raises(NetworkError) as failure:
        await bot.send_message(99, "x")
    assert type(failure.value) is (NetworkError if in_process else BadRequest)
    assert isinstance(failure.value.__cause__, httpx.ConnectError) is in_process
    assert answer(api, Call("sendMessage", {"chat_id": "99", "text": "x"}))[0] == 400


def test_chats_of_many_people_are_apart() -> None:
    api = BotApi(lambda: 0.0)
    api.names[7] = "Ada"
    for chat_id in (7, 8):
        api.say(chat_id, f"/start {chat_id}")
    texts = {update["message"]["from"]["first_name"]: update["message"]["text"] for update in api.updates}
    assert texts == {"Ada": "/start 7", "User 8": "/start 8"}
    shown: list[tuple[int, str, str]] = []
    api.listeners.append(lambda event: shown.append((event.chat_id, event.method, event.text)))
    status, body = answer(api, Call("sendMessage", {"chat_id": "7", "text": "hello Ada"}))
    assert (status, json.loads(body)["result"]["chat"]["id"]) == (200, 7)
    assert answer(api, Call("sendMessage", {"chat_id": "8"}))[0] == 400
    answer(api, Call("sendChatAction", {"chat_id": "8", "action": "typing"}))
    assert shown == [(7, "sendMessage", ""), (8, "sendChatAction", "")]


async def test_the_oldest_messages_files_and_queries_are_forgotten() -> None:
    api = BotApi()
    for number in range(api.message_limit + 10):
        message = api.add_message(api.chat(ME), text=f"message {number}")
        api.send_callback_data(message, "a", ME)
        api.store_file("document", Upload("a.txt", str(number).encode()))
    assert len(api.history) == api.message_limit
    assert (len(api.files), len(api.callback_queries)) == (api.file_limit, api.query_limit)
    edit = {"chat_id": str(ME), "text": "edited"}
    oldest, newest = {"message_id": "1"}, {"message_id": str(message.message_id)}
    assert [answer(api, Call("editMessageText", edit | named))[0] for named in (newest, oldest)] == [200, 400]
