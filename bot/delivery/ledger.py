"""The steps that settle sent rows, kept until they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import sqlite_utils

if TYPE_CHECKING:
    from storage.db import Database

Step: TypeAlias = Callable[[sqlite_utils.Database], str]  # returns the row's new status


class Ledger:
    """What a full disk or a cancelled task kept from being written is written before anything else is sent.

    A step may run twice (its task was cancelled, its transaction was not), so a second run changes nothing.
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
        status = await self._database.run(step)
        self._unwritten.remove(step)
        return status
