"""New statuses of messages that were sent, kept in memory until they are written, and their count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import sqlite_utils

from storage.db import Refused, StorageError

if TYPE_CHECKING:
    from storage.db import Database

StatusWrite: TypeAlias = Callable[[sqlite_utils.Database], str]  # returns the message's new status


@dataclass(frozen=True)
class DrainReport:
    """Messages by their new status after a drain; `stopped` says why some that were due were not tried."""

    sent: int = 0
    waiting: int = 0
    ambiguous: int = 0
    dead: int = 0
    stopped: str = ""


class StatusWrites:
    """Status changes not written yet, after a full disk or a cancelled task: they go before anything is sent.

    A change may run twice (its task was cancelled, its transaction was not), so a second run has no effect.
    One that fails by a fault of its own is dropped: it would fail again and hold up all others. Its message
    stays `sending`, an unknown outcome at the next start.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: list[StatusWrite] = []

    def keep(self, change: StatusWrite) -> None:
        """Keep a change for the next flush."""
        self._unwritten.append(change)

    async def write(self, change: StatusWrite) -> str:
        """Run a change in its own transaction. It is kept until that has worked."""
        self.keep(change)
        return await self._run(change)

    async def flush(self) -> None:
        """Write what is kept; raises StorageError while that is impossible."""
        for change in tuple(self._unwritten):
            await self._run(change)

    async def _run(self, change: StatusWrite) -> str:
        try:
            status = await self._database.run(change)
        except Exception as error:
            if isinstance(error, Refused) or not isinstance(error, StorageError):
                self._unwritten.remove(change)
            raise
        self._unwritten.remove(change)
        return status
