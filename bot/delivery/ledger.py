"""The steps that settle sent rows, kept until they are written, and the count of what became of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import sqlite_utils

from storage.db import Refused, StorageError

if TYPE_CHECKING:
    from storage.db import Database

Step: TypeAlias = Callable[[sqlite_utils.Database], str]  # returns the row's new status


@dataclass(frozen=True)
class DrainReport:
    """Rows by what became of them in one drain; `stopped` says why not all that was due was tried, or ""."""

    sent: int = 0
    waiting: int = 0
    ambiguous: int = 0
    dead: int = 0
    stopped: str = ""


class Ledger:
    """What a full disk or a cancelled task kept from being written is written before anything else is sent.

    A step may run twice (its task was cancelled, its transaction was not), so a second run changes nothing.
    One that fails by a fault of its own is not kept: it would fail again, and hold up everything else. Its
    row stays `sending`, an unknown outcome at the next start.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: list[Step] = []

    def keep(self, step: Step) -> None:
        """Note a step for the next flush."""
        self._unwritten.append(step)

    async def write(self, step: Step) -> str:
        """Run a step in a transaction of its own; it stays noted until that is known to have worked."""
        self.keep(step)
        return await self._run(step)

    async def flush(self) -> None:
        """Write what is noted; raises StorageError while that is impossible."""
        for step in tuple(self._unwritten):
            await self._run(step)

    async def _run(self, step: Step) -> str:
        try:
            status = await self._database.run(step)
        except Exception as error:
            if isinstance(error, Refused) or not isinstance(error, StorageError):
                self._unwritten.remove(step)
            raise
        self._unwritten.remove(step)
        return status
