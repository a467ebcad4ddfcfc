"""The owner is told once an outage that the database cannot be used, past the outbox, which is in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from bot.delivery.drain import OVER_AFTER, OutageNotifier
from storage.db import DatabaseBroken, DatabaseBusy, DatabaseMissing, DiskFault, DiskFull, Refused
from tests.delivery.office import ME, OWNER
from tests.fakes.botapi_faults import bad_gateway

if TYPE_CHECKING:
    from tests.delivery.office import Office


FULL = "The disk is full."
WAITS = "Nothing is lost: what is due waits, and the bot tries again twice a minute."
STAYS = "This does not pass by itself: stop the bot, put the newest backup back with “restore”, start it."


def outage(office: Office, owner: int | None = OWNER) -> OutageNotifier:
    return OutageNotifier(office.bot, owner, lambda: office.now)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        *((kind, WAITS) for kind in (DiskFull, DiskFault)),
        *((kind, STAYS) for kind in (DatabaseBroken, DatabaseMissing)),
        *((kind, None) for kind in (DatabaseBusy, Refused, ZeroDivisionError)),  # left to the log
    ],
)
async def test_the_owner_is_told_at_once_what_is_wrong_and_what_to_do(
    office: Office, kind: type[Exception], advice: str | None
) -> None:
    await outage(office).notify(kind(FULL))
    assert office.texts(OWNER) == ([f"{FULL} {advice}"] if advice else [])
    assert office.texts(ME) == []


async def test_an_outage_lasts_until_ten_minutes_passed_without_a_fault(office: Office) -> None:
    faults = outage(office)
    for _ in range(60):  # two ticks a minute
        await faults.notify(DiskFull(FULL))
        office.later(seconds=30)
    assert len(office.texts(OWNER)) == 1
    office.later(seconds=OVER_AFTER.total_seconds() - 31)
    await faults.notify(DiskFull(FULL))
    assert len(office.texts(OWNER)) == 1
    office.later(seconds=OVER_AFTER.total_seconds())
    await faults.notify(DiskFull(FULL))
    assert len(office.texts(OWNER)) == 2


async def test_a_clock_put_back_begins_another_outage(office: Office) -> None:
    faults = outage(office)
    await faults.notify(DiskFull(FULL))
    office.now -= OVER_AFTER
    await faults.notify(DiskFull(FULL))
    assert len(office.texts(OWNER)) == 2


async def test_while_telegram_does_not_take_it_the_next_fault_tries_again(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    faults = outage(office)
    office.api.fail("sendMessage", bad_gateway())
    with caplog.at_level(logging.WARNING, "bot.delivery"):
        await faults.notify(DiskFull(FULL))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("bot.")] == [
        "the owner was not told that the database cannot be used: NetworkError"
    ]
    assert office.texts(OWNER) == []
    for _ in range(2):
        await faults.notify(DiskFull(FULL))
    assert office.texts(OWNER) == [f"{FULL} {WAITS}"]


async def test_without_an_owner_nobody_is_told(office: Office) -> None:
    await outage(office, owner=None).notify(DiskFull(FULL))
    assert office.api.calls("sendMessage") == []
