"""How a bot starts, waits for what it needs, and ends: what is under way is finished or cut off."""

import asyncio
import gc
import logging
import pkgutil
import signal
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

import pytest
import sqlite_utils

from bot import serving
from bot.chat.commands import BY_NAME
from bot.chat.updates import CONFLICT
from storage import chat_store, outbox, sources
from storage.database import DatabaseBroken, DiskFull, connect, open_database
from tests.fakes.botapi_faults import Fault, answer, bad_gateway, drop, hang, refusal
from tests.place import ME, OWNER, PATIENCE, Place, at_work, told_to_stop
from tests.storage.messages import queue_message


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between two tries, which take no time."""
    taken: list[float] = []

    async def rest(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(serving, "_sleep", rest)
    return taken


def queue(db: sqlite_utils.Database) -> None:
    now = datetime.now(UTC)
    chat_store.ensure_chat(db, ME, "private", "Me", now)
    body = outbox.MessageBody("fired")
    queue_message(db, chat_id=ME, kind="alert", dedup="alert:1", body=body, now=now)


async def test_a_pushed_message_that_hangs_is_cut_off_and_its_outcome_is_unknown(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.1)
    place.api.fail("sendMessage", hang(acts=True))
    async with at_work(place) as (bot, task):
        await bot.services.database.run(queue)
        await place.api.until(lambda: place.api.calls("sendMessage"), PATIENCE)
        assert await told_to_stop(task) == ""
        (row,) = await bot.services.database.run(lambda db: list(db["outbox"].rows))
        assert row["status"] == "ambiguous"
    assert not [record for record in caplog.records if record.exc_info]
    assert "stopped with requests under way; the next start goes on with them" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_answer_under_way_is_finished_before_the_end(number: signal.Signals, place: Place) -> None:
    async with at_work(place) as (_, task):
        place.api.say(ME, "/about")
        await place.api.until(lambda: place.api.calls("sendMessage"), PATIENCE)
        assert await told_to_stop(task, number) == ""
    assert [message.text.splitlines()[0] for message in place.api.messages(ME)] == ["About"]
    assert place.api.updates == []


async def test_what_is_cut_off_at_the_end_leaves_no_traceback(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.1)
    monkeypatch.setattr(serving, "CUT_SECONDS", 0.0)
    place.api.fail("sendMessage", hang())
    async with at_work(place) as (_, task):
        place.api.say(ME, "/about")
        await place.api.until(lambda: place.api.calls("sendMessage"), PATIENCE)
        assert await told_to_stop(task) == ""
    gc.collect()
    assert "stopped with requests under way" in caplog.text
    assert "Traceback" not in caplog.text


async def test_queued_commands_and_a_job_that_hangs_leave_no_traceback(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entered: asyncio.Queue[object] = asyncio.Queue()

    async def hang_for_ever(work: object) -> NoReturn:
        entered.put_nowait(work)
        while True:
            await asyncio.Event().wait()

    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.1)
    monkeypatch.setattr("bot.jobs.scheduler.FIRST_SECONDS", 0.01)
    monkeypatch.setattr("bot.jobs.scheduler.Evaluation.run", hang_for_ever)
    monkeypatch.setitem(BY_NAME, "about", replace(BY_NAME["about"], handler=hang_for_ever))
    chats = range(ME, ME + 9)
    for chat_id in (*chats, *chats):
        place.api.chat(chat_id)
        place.api.say(chat_id, "/about")
    async with at_work(place) as (_, task):
        async with asyncio.timeout(PATIENCE):
            for _ in range(len(chats) + 1):
                await entered.get()
        assert await told_to_stop(task) == ""
    gc.collect()
    assert entered.empty()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "stopped with requests under way; the next start goes on with them"
    ]


async def test_with_all_requests_hanging_it_ends_soon(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.DRAIN_SECONDS + serving.CUT_SECONDS < serving.EXIT_SECONDS < 10
    saved = serving.DRAIN_SECONDS - 0.2
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.2)
    async with at_work(place) as (bot, task):
        assert (await place.answer("/about", "About")).text
        for method in ("sendMessage", "sendChatAction", "getMe", "getUpdates"):
            place.api.fail(method, hang(), times=1_000)
        sent = len(place.api.calls("sendMessage"))
        await bot.services.database.run(queue)
        bot.delivery.wake()
        place.api.say(ME, "/status")
        await place.api.until(lambda: len(place.api.calls("sendMessage")) > sent, PATIENCE)
        began = asyncio.get_running_loop().time()
        assert await told_to_stop(task) == ""
        assert asyncio.get_running_loop().time() - began < 10 - saved


IMPATIENT = """
import sys
from bot import serving
from bot.cli import main
serving.EXIT_SECONDS = 0.5
sys.exit(main())
"""


async def test_another_programs_lock_on_the_file_does_not_hold_up_the_end(place: Place) -> None:
    async with place.run("-c", IMPATIENT) as bot:
        assert (await place.answer("/about", "About")).text
        with closing(connect(place.database, read_only=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            place.api.say(ME, "/start abc")
            await place.api.until(lambda: place.api.updates == [], PATIENCE)
            code, output, _ = await bot.stopped()
    assert code == 0
    assert output.endswith("stopped in the middle of the work; the next start goes on with it\n")


BLOCKED = """
import os, signal, sys, threading
from dataclasses import replace
from urllib.request import urlopen
from bot import serving
from bot.chat.commands import BY_NAME
from bot.cli import main
from bot.concurrency import ChildProcess, Limits
async def compute_for_ever(_):
    child = ChildProcess("child", Limits(job_seconds=600))
    child.run(os.getpid)
    threading.Thread(target=child.run, args=(signal.pause,), daemon=True).start()
    urlopen({url!r}).close()
    while True:
        pass
BY_NAME["about"] = replace(BY_NAME["about"], handler=compute_for_ever)
serving.EXIT_SECONDS = 0.5
sys.exit(main())
"""


async def test_work_that_blocks_the_event_loop_or_a_child_does_not_hold_up_the_end(place: Place) -> None:
    url = f"{place.api.base_url}{place.api.token}/getMe"
    async with place.run("-c", BLOCKED.format(url=url)) as bot:
        place.api.say(ME, "/about")
        await place.api.until(lambda: len(place.api.calls("getMe")) == 2, PATIENCE)
        code, output, _ = await bot.stopped()
    assert code == 0
    assert output.endswith("stopped in the middle of the work; the next start goes on with it\n")


async def test_the_owners_menu_has_what_is_theirs_alone(place: Place) -> None:
    async with at_work(place) as (_, task):
        await place.api.until(lambda: len(place.api.calls("setMyCommands")) == 4, PATIENCE)
        await place.api.until(lambda: len(place.api.descriptions) == 3, PATIENCE)
        assert await told_to_stop(task) == ""
    menus = {scope: {entry["command"] for entry in menu} for scope, menu in place.api.commands.items()}
    private, group, admins, owner = (
        menus[f"{scope}/"] for scope in ("default/", "all_group_chats/", "all_chat_administrators/", f"chat/{OWNER}")
    )
    assert private == admins
    assert admins - group == {"export", "forgetme", "pin"}
    assert owner - private == {"admin"}
    texts = dict(place.api.descriptions)
    assert texts.pop("name") == "IWM vs SPY alerts"
    assert set(texts) == {"description", "short_description"}
    assert all("IWM and SPY" in text for text in texts.values())
    async with at_work(place) as (_, task):  # a name that it has already is not set again
        await place.api.until(lambda: len(place.api.calls("setMyShortDescription")) == 2, PATIENCE)
        assert await told_to_stop(task) == ""
    assert len(place.api.calls("getMyName")) == 2
    assert len(place.api.calls("setMyName")) == 1


@pytest.mark.parametrize(("fault", "warnings"), [(bad_gateway(), 1), (hang(), 0)])
async def test_a_menu_that_is_refused_or_hangs_delays_nothing(
    fault: Fault, warnings: int, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.api.fail("setMyCommands", fault)
    async with at_work(place) as (_, task):
        await place.api.until(lambda: place.api.calls("setMyCommands"), PATIENCE)
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert caplog.text.count("a menu of commands was not set: ") == warnings


async def test_telegram_out_of_reach_at_the_start_is_waited_for(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    beats: list[datetime | None] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        with open_database(place.database, read_only=True) as beside:
            beats.append(await beside.run(sources.last_heartbeat))

    monkeypatch.setattr(serving, "_sleep", rest)
    for fault in (drop(), answer(b"[]"), answer(b'{"ok":true,"result":{}}')):
        place.api.fail("getMe", fault)
    async with at_work(place) as (_, task):
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert rests == [1, 2, 4]
    assert all(beats)  # it is alive: a health check must not restart it for that
    assert f"{place.api.root} cannot be reached (" in caplog.text


async def test_told_to_stop_while_telegram_is_out_of_reach_it_ends(place: Place) -> None:
    place.api.fail("getMe", drop(), times=1_000)
    async with at_work(place) as (_, task):
        await place.api.until(lambda: place.api.calls("getMe"), PATIENCE)
        assert await told_to_stop(task) == ""


@pytest.mark.parametrize("step", ["bot.delivery.drain.Delivery.recover", "bot.services.chats.deactivate_denied_chats"])
async def test_a_full_disk_at_the_start_is_waited_for_and_the_owner_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rests: list[float], step: str
) -> None:
    real = pkgutil.resolve_name(step)

    async def full_at_first(*arguments: object, **named: object) -> object:
        if len(rests) < 3:
            raise DiskFull("The disk is full.")
        return await real(*arguments, **named)

    monkeypatch.setattr(step, full_at_first)
    async with at_work(place) as (_, task):
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert rests == [1, 2, 4]
    (notice,) = place.api.messages(OWNER)
    assert notice.text == (
        "The disk is full. Nothing is lost: what is due waits, and the bot tries again twice a minute."
    )
    assert "The disk is full. Next try in 4 s" in caplog.text


async def test_a_fault_at_the_start_is_raised_late(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> int:
        raise DatabaseBroken("The database is damaged.")

    monkeypatch.setattr("bot.delivery.drain.Delivery.recover", fail)
    async with at_work(place) as (bot, task):
        with pytest.raises(DatabaseBroken, match="The database is damaged"):
            await task
        assert not bot.application.running


async def test_updates_are_fetched_while_the_bot_is_loaded_and_confirmed_once_they_can_be_answered(
    place: Place,
) -> None:
    go = threading.Event()
    place.api.say(ME, "/about")
    async with at_work(place, before_load=go.wait) as (bot, task):
        await place.api.until(lambda: place.api.calls("getUpdates"), PATIENCE)
        assert await asyncio.wait({task}, timeout=0.1) == (set(), {task})
        assert place.api.updates
        assert len(place.api.calls("getUpdates")) == 1
        assert not bot.application.running
        go.set()
        await place.api.until(lambda: place.api.messages(ME), PATIENCE)
        assert await told_to_stop(task) == ""
    assert not place.api.updates


async def test_told_to_stop_while_it_is_loaded_it_leaves_the_updates_for_the_next_start(place: Place) -> None:
    go = threading.Event()
    place.api.say(ME, "/about")
    async with at_work(place, before_load=go.wait) as (_, task):
        await place.api.until(lambda: place.api.calls("getUpdates"), PATIENCE)
        asyncio.get_running_loop().call_later(0.1, go.set)
        assert await told_to_stop(task) == ""
    assert place.api.updates
    async with at_work(place) as (_, task):
        await place.api.until(lambda: place.api.messages(ME), PATIENCE)
        assert await told_to_stop(task) == ""


async def test_a_fault_while_the_bot_is_loaded_is_raised_late_and_confirms_nothing(place: Place) -> None:
    def fail() -> NoReturn:
        raise MemoryError

    place.api.say(ME, "/about")
    async with at_work(place, before_load=fail) as (_, task):
        with pytest.raises(MemoryError):
            await task
    assert place.api.updates


async def test_a_newcomer_that_meets_a_conflict_does_nothing_else(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_START", PATIENCE)
    loaded: list[None] = []
    conflict = refusal(409, "Conflict: terminated by other getUpdates request")
    place.api.fail("getUpdates", conflict, times=2)
    async with at_work(place, before_load=lambda: loaded.append(None)) as (_, task):
        assert await task == CONFLICT
    assert {request.method for request in place.api.requests} == {"getMe", "getUpdates"}
    assert not loaded


async def test_told_to_stop_at_its_first_poll_it_polls_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "HEAD_START", PATIENCE)
    place.api.fail("getUpdates", hang())
    async with at_work(place) as (_, task):
        await place.api.until(lambda: place.api.calls("getUpdates"), PATIENCE)
        assert await told_to_stop(task) == ""
        await asyncio.sleep(0.05)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert len(place.api.calls("getUpdates")) == 1


def test_what_polls_loads_nothing_that_computes_or_renders() -> None:
    script = "import sys, bot.cli.run; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert {"telegram", "sqlite_utils"} <= (names := set(loaded.stdout.split()))
    assert not names & {"pandas", "numpy", "matplotlib", "yfinance"}


async def test_what_cannot_be_put_away_is_logged_and_the_end_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: object) -> None:
        raise DiskFull("The disk is full.")

    async with at_work(place) as (_, task):
        monkeypatch.setattr("bot.delivery.outcome.StatusWrites.flush", fail)
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert "DiskFull: The disk is full." in caplog.text
