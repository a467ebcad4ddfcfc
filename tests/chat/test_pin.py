"""/pin: the live board, edited in silence when what it shows changes."""

import datetime as dt
from pathlib import Path

import pytest

from bot.jobs.boards import GONE, NOT_PINNED
from tests.chat.talk import ME, OCTOBER, Talk, talking
from tests.fakes.botapi_faults import Fault, drop, flood, refusal

STEP = dt.timedelta(seconds=5)


async def board_edits(talk: Talk, days: int = 0) -> int:
    """Let days pass and the scheduler work; how often a board was edited."""
    before = len(talk.api.calls("editMessageText"))
    talk.now += dt.timedelta(days=days) + STEP
    await talk.bot.scheduler.run_jobs()
    await talk.bot.scheduler.edit_messages()
    return len(talk.api.calls("editMessageText")) - before


async def test_the_board_is_posted_pinned_and_edited_when_it_changes_only(october: Talk) -> None:
    board, answer = await october.ask("/pin")
    assert answer.text.startswith("The live board is posted.\nIt is edited after each close")
    assert board.text.startswith("SPY leads this year by ")
    assert "Trend breaks ▓▓▓▓▓▓▓░ " in board.text
    assert (october.api.chat(ME).pinned, board.silent) == ([board.message_id], True)
    (call,) = october.api.calls("pinChatMessage")
    assert call.fields["disable_notification"] == "true"
    assert [await board_edits(october) for _ in range(3)] == [0, 0, 0]
    assert await board_edits(october, days=1) == 1
    assert "Trend breaks fired today, re-arms " in board.text
    assert await board_edits(october) == 0
    await october.ask("/alert 1 pause")
    assert await board_edits(october) == 1
    assert "Trend breaks" not in board.text
    await october.ask("/settings numbers 1.234,5")
    assert await board_edits(october) == 1
    october.bot.services.boards.__init__(october.bot.services, october.bot.delivery)  # a restart
    assert await board_edits(october) == 0
    assert len(october.api.calls("pinChatMessage")) == 1  # unpinned by hand it stays unpinned


async def test_off_ends_it(october: Talk) -> None:
    board, answer = await october.ask("/pin")
    _, off = await october.press(answer, "Off")
    assert off.text == "The live board is off.\nA new one: /pin"
    assert board.text.endswith("\nNot updated any more.")
    assert october.api.chat(ME).pinned == []
    assert (await october.rows("pins"), await board_edits(october, days=1)) == ([], 0)
    (none,) = await october.ask("/pin off")
    assert none.text.startswith("There is no live board here.")


async def test_pin_again_shows_the_same_board_and_a_new_one_if_it_was_deleted(october: Talk) -> None:
    board, _ = await october.ask("/pin")
    october.now += STEP
    assert [message.message_id for message in await october.ask("/pin") if message is board] == []
    assert len(october.api.calls("sendMessage")) == 3
    del october.api.history[board.message_id]
    assert await board_edits(october, days=1) == 1
    assert [row["message_id"] for row in await october.rows("pins")] == [None]
    assert await board_edits(october, days=1) == 0  # it is not posted again by itself
    new, answer = await october.ask("/pin")
    assert (new.text.splitlines()[0][:3], answer.text.splitlines()[1]) == ("SPY", GONE)
    assert october.api.chat(ME).pinned[-1] == new.message_id


async def test_without_the_right_to_pin_it_is_posted_and_says_so_once(october: Talk) -> None:
    october.api.chat(ME).may_pin = False
    _, answer = await october.ask("/pin")
    assert answer.text.splitlines()[1] == NOT_PINNED
    assert await board_edits(october, days=1) == 1
    assert len(october.api.calls("pinChatMessage")) == 1


@pytest.mark.parametrize(
    ("fault", "later"), [(flood(3), 1), (drop(), 1), (refusal(400, "Bad Request: CHAT_WRITE_FORBIDDEN"), 0)]
)
async def test_an_edit_that_may_work_later_is_made_later(october: Talk, fault: Fault, later: int) -> None:
    await october.ask("/pin")
    october.api.fail("editMessageText", fault)
    assert await board_edits(october, days=1) == 1
    await october._leap(5)
    assert await board_edits(october) == later
    assert await board_edits(october) == 0


async def test_it_is_part_of_what_is_exported_and_forgotten_and_survives_a_restart(
    sample: Path, tmp_path: Path
) -> None:
    async with talking(sample, tmp_path) as talk:
        talk.now = OCTOBER
        await talk.ask("/pin")
    async with talking(None, tmp_path) as talk:
        talk.now = OCTOBER
        again = talk.api.add_message(talk.api.chat(ME), text="board")
        await talk.database.run(lambda db: db.execute("UPDATE pins SET message_id = ?", (again.message_id,)))
        assert await board_edits(talk, days=1) == 1
        export, _ = await talk.ask("/export")
        assert "1 other row" in export.text
        await talk.forget()
        assert await talk.rows("pins") == []
