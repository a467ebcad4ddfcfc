"""Payloads that nobody was given: no foreign read, no foreign change, nothing raised."""

import logging
from pathlib import Path
from typing import Any

import pytest

from bot.chat.access import AccessGate
from bot.chat.dispatch import Dispatcher
from bot.chat.reply import FAILED
from bot.services import Caller
from storage import alert_store
from storage.alert_store import StoredAlert
from storage.records import select_as
from tests.chat.people import no_pictures
from tests.fuzz import Payloads, fuzz

SHORT = 400
_log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    no_pictures(monkeypatch)


async def test_made_up_payloads_do_nothing(sample: Path, tmp_path: Path, shown: list[str]) -> None:
    report = await fuzz(sample, tmp_path, shown, SHORT, seed=20201211)
    assert (report.changes, report.leaks, report.errors) == ([], [], [])
    assert report.payloads.total() == SHORT
    assert report.answers > SHORT / 10


async def test_the_search_finds_missing_access_checks(
    sample: Path, tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unguarded(self: Dispatcher, *_: object) -> None:
        del self

    monkeypatch.setattr("bot.services.chats.is_allowed", lambda *_: True)
    monkeypatch.setattr("bot.chat.dispatch.Dispatcher._check_role", unguarded)
    report = await fuzz(sample, tmp_path, shown, SHORT // 2, seed=20201211)
    assert report.changes


async def test_the_search_finds_what_is_shown_by_its_number_alone(
    sample: Path, tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def alert_of_any_chat(db: Any, _: int, number: int) -> StoredAlert | None:  # noqa: ANN401 - sqlite_utils.Database
        alerts_of_number = select_as(db, StoredAlert, "SELECT * FROM alerts WHERE number = ?", (number,))
        return next(iter(alerts_of_number), None)

    monkeypatch.setattr(alert_store, "get_alert", alert_of_any_chat)
    # So many that whether one is found does not hang on the seed.
    monkeypatch.setattr(Payloads, "button", lambda self: f"e{self._foreign()}")
    report = await fuzz(sample, tmp_path, shown, SHORT, seed=20201211)
    assert report.leaks


async def test_the_search_finds_what_raises_and_what_is_only_logged(
    sample: Path, tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: AccessGate, caller: Caller, *_: object) -> None:
        del self
        _log.error("a mishap with %s", caller.chat.id)
        raise LookupError

    monkeypatch.setattr(AccessGate, "reject", broken)
    report = await fuzz(sample, tmp_path, shown, 30, seed=20201211)
    assert any(error.startswith("a mishap with") for error in report.errors)
    assert any("Traceback" in error for error in report.errors)
    assert any(FAILED in error for error in report.errors)
