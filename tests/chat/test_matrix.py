"""The matrix {every command line and every button} x {everybody}, cell by cell, in the real Application."""

from pathlib import Path
from typing import Any

import pytest

from bot.chat import dispatch
from bot.chat.access import Role
from bot.chat.alert_commands import CHANGES, LOOKS
from bot.chat.commands import BY_NAME, COMMANDS
from bot.chat.reply import ADMINISTRATORS_ONLY, OWNER_ONLY
from bot.chat.settings import SETTINGS
from bot.messages.common import Answer
from bot.messages.html import lines
from tests.chat.people import PEOPLE, Person, command_lines, pressed, rows, typed, village
from tests.chat.talk import ME, STEP, Talk

RAN, SILENCE = "ran", ""
_INSIDER = {Role.MEMBER: RAN, Role.ADMIN: RAN, Role.OWNER: OWNER_ONLY}
_BYSTANDER = {Role.MEMBER: RAN, Role.ADMIN: ADMINISTRATORS_ONLY, Role.OWNER: OWNER_ONLY}
_NOBODY = dict.fromkeys(Role, SILENCE)
# What everybody gets, by the role that the command table asks for.
EXPECTED: dict[str, dict[Role, str]] = {
    "owner": dict.fromkeys(Role, RAN),
    "owner in the group": _BYSTANDER,
    "member": _BYSTANDER,
    "other chat's member": _INSIDER,  # of their own chat
    "group admin": _INSIDER,
    "anonymous admin": _INSIDER,
    "stranger": _NOBODY,
    "stranger in the group's name": _NOBODY,
    "blocked": _NOBODY,
    "blocked in the group": _NOBODY,
}
# The roles of commands that not everybody may use in full, written down once more by hand: one that is new
# or has changed hands is noticed.
ROLES = {
    Role.MEMBER: (
        "/start", "/alert", "/alert 1", "/alert new", "/alert 1 why", "/alert 1 chart",
        "/alert 1 history", "/alert 1 edit", "/alert 1 more", "/alert 1 less",
        "/alert 1 snooze", "/snooze", "/summary", "/summary now", "/summary weekly now", "/settings",
        "/settings zone", "/settings quiet",
        "/settings returns", "/settings theme", "/settings numbers",
    ),
    Role.ADMIN: (
        "/snooze 1d", "/snooze off", "/start where", "/start add all", "/start zone UTC", "/start summary off",
        "/alert ratio > 0.7", "/alert 1 edit > 0.8", "/alert 1 snooze 1d", "/alert 1 snooze off",
        "/alert 1 pause", "/alert 1 resume", "/alert 1 renew", "/alert 1 off", "/alert 1 back",
        "/alert 1 rescale", "/alert 1 ok",
        "/summary off", "/summary on 18:30", "/summary weekdays", "/summary daily", "/summary weekly",
        "/settings zone Europe/Berlin", "/settings quiet 22-7", "/settings returns total",
        "/settings theme dark",
        "/settings numbers 1.234,5", "/pin", "/pin off", "/export", "/forgetme", "/forgetme yes",
    ),
    Role.OWNER: ("/admin", "/admin approve 23", "/admin stats", "/admin broadcast Hello", "/admin nonsense"),
}  # fmt: skip


def role(line: str) -> Role:
    """Who may use a command line, by the table."""
    name, _, words = line.removeprefix("/").partition(" ")
    command = BY_NAME[name]
    return command.role.required(changes=command.changes is not None and command.changes(words.strip()))


@pytest.mark.parametrize(("wanted", "line"), [(r, line) for r, role_lines in ROLES.items() for line in role_lines])
def test_the_table_says_who_may_use_what(wanted: Role, line: str) -> None:
    assert role(line) is wanted


def test_every_command_with_limits_and_every_deed_of_an_alert_was_thought_of() -> None:
    lines = {line for listed in ROLES.values() for line in listed}
    limited = {f"/{command.name}" for command in COMMANDS if command.role is not Role.MEMBER or command.changes}
    assert {line.split()[0] for line in lines} == limited
    assert {f"/alert 1 {deed}" for deed in (*LOOKS, *CHANGES)} <= lines
    assert {f"/settings {name}" for name in SETTINGS} <= lines


class Recorder:
    """Handlers that only say that they ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran = 0
        table = {name: command.__class__(**{**vars(command), "handler": self}) for name, command in BY_NAME.items()}
        monkeypatch.setattr(dispatch, "BY_NAME", table)

    async def __call__(self, _: Any) -> Answer:  # noqa: ANN401 - an Ask
        self.ran += 1
        return Answer(lines(RAN, f"for the {self.ran}. time"))


async def cell(talk: Talk, who: Person, update: dict[str, Any], recorder: Recorder) -> str:
    """What came of one update: RAN, what was said, or SILENCE."""
    talk.now += STEP
    before, notes = recorder.ran, len(talk.notes())
    sent = {key: message.edits for key, message in talk.api.history.items()}
    await talk.deliver(update)
    fresh = [
        message.text
        for key, message in talk.api.history.items()
        if sent.get(key) != message.edits and message.sender["is_bot"] and message.chat_id == who.chat_id
    ]
    if recorder.ran > before:
        return RAN if recorder.ran == before + 1 else "ran twice"
    texts = [*talk.notes()[notes:], *[text for text in fresh if not text.startswith("/")]]
    return " | ".join(texts) or SILENCE


@pytest.mark.parametrize("who", PEOPLE, ids=lambda who: who.name)
async def test_every_cell(
    who: Person, shown: list[str], sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with village(sample, tmp_path) as talk:
        await talk.deliver(typed(talk, who, "/about"))  # a stranger's one polite line
        page = talk.api.add_message(talk.api.chat(who.chat_id), text="a page")
        recorder = Recorder(monkeypatch)
        before = await talk.database.run(rows)
        expected, wrong = EXPECTED[who.name], []
        for line in command_lines():
            got = await cell(talk, who, typed(talk, who, line), recorder)
            if got != expected[role(line)]:
                wrong.append((line, got))
        for data in shown:
            got = await cell(talk, who, pressed(talk, who, page, data), recorder)
            if got != expected[role(data[1:])]:
                wrong.append((data, got))
        assert wrong == []
        assert await talk.database.run(rows) == before
    assert len(shown) > 100


def test_buttons_that_come_up_at_a_press_are_in_the_matrix(shown: list[str]) -> None:
    assert {"e/admin approve 23", "e/alert 1 edit urgent", "e/alert 1 resume", "e/alert 1 snooze off"} <= {*shown}


async def test_a_button_pressed_in_the_name_of_a_group_is_its_pressers(sample: Path, tmp_path: Path) -> None:
    """The id of anonymous administrators opens nothing by itself."""
    anonymous = PEOPLE[5].__class__("forged", PEOPLE[5].chat_id, 1087968824)
    async with village(sample, tmp_path) as talk:
        page = talk.api.add_message(talk.api.chat(anonymous.chat_id), text="a page")
        before = await talk.database.run(rows)
        update = pressed(talk, anonymous, page, "e/alert 1 off")
        update["callback_query"]["message"]["sender_chat"] = page.chat.json()
        await talk.deliver(update)
        assert talk.notes() == [ADMINISTRATORS_ONLY]
        assert await talk.database.run(rows) == before


async def test_a_message_without_a_chat_ends_the_waiting_alone(sample: Path, tmp_path: Path) -> None:
    async with village(sample, tmp_path) as talk:
        page = talk.api.add_message(talk.api.chat(ME), text="a page")
        update = pressed(talk, PEOPLE[0], page, "e/about")
        update["callback_query"].pop("message")
        update["callback_query"]["inline_message_id"] = "7"
        await talk.deliver(update)
        assert [call.status for call in talk.api.calls("answerCallbackQuery")] == [200]
        assert page.edits == 0
