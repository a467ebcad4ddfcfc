"""A site that refuses an issuer's files: the owner is told once, with what to do."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from bot.data.issuers.fetch import IssuerFiles
from bot.data.provider import AccessRefused, FetchOutcome
from tests.data.issuers import samples
from tests.data.issuers.builders import spreadsheetml
from tests.jobs.test_scheduler import scheduled

if TYPE_CHECKING:
    from tests.jobs.desk import Desk

OWNER = 7
START = dt.datetime(2020, 12, 14, 21, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("owner", [OWNER, None])
async def test_the_owner_is_told_once_of_each_fund_and_again_after_it_worked(desk: Desk, owner: int | None) -> None:
    desk.services.config = desk.services.config.with_keys(access={"owner": owner})
    desk.services.live = True
    refuses = {"IWM", "SPY"}

    def fetched(url: str, _: str) -> bytes | FetchOutcome:
        fund = "SPY" if "ssga" in url else "IWM"
        if fund in refuses:
            return AccessRefused("HTTP 403")
        return spreadsheetml(samples.FUND if fund == "IWM" else samples.NAVHIST)

    async def days(*numbers: int) -> list[str]:
        for number in numbers:
            scheduler = scheduled(desk, providers=[IssuerFiles(fetch=fetched)])  # as after a restart
            for minute in range(4):
                desk.now = START + dt.timedelta(days=number, minutes=minute)
                await scheduler.ask_sources()
        return await desk.messages()

    told = await days(0, 1, 2)
    assert len(told) == (1 if owner else 0)
    if owner:
        title, iwm, spy, again = told[0].splitlines()
        assert title == "A site refuses files"
        assert iwm.startswith("issuer file, IWM fund: No data: refused (HTTP 403 to ")
        assert iwm.endswith("in a browser and run: python -m bot import issuer FILE.")
        assert spy.startswith("issuer file, SPY fund: No data: refused")
        assert again == "It is asked again once a day; you are told once."
    market = await desk.services.markets.current()
    assert set(market.refusals) == {f"{fund} {file}" for fund in refuses for file in ("fund", "holdings")} | {
        "SPY distributions"
    }
    refuses.remove("IWM")
    assert len(await days(4)) == len(told)
    assert "IWM fund" not in (await desk.services.markets.current()).refusals
    refuses.add("IWM")
    assert len(await days(6)) == 2 * len(told)
