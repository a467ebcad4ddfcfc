"""The sample market as a Market, without a database."""

import datetime as dt
from functools import lru_cache

from bot.analytics.market import Market
from bot.analytics.sessions import Sessions
from bot.analytics.sources import SAMPLE
from bot.data.load import build_market
from bot.data.provider import sample_observations
from tests.frames import frames

OBSERVED = "2020-12-13T00:00:00Z"


@lru_cache(maxsize=4)
def sample_market(year: int = 2020, month: int = 12, day: int = 13) -> Market:
    """The sample as of 18:00 UTC of a day."""
    stored = frames(sample_observations(), source=SAMPLE, observed_at=OBSERVED)
    return build_market(stored, Sessions(), dt.datetime(year, month, day, 18, tzinfo=dt.UTC))
