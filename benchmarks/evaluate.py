"""Time of evaluating thousands of alerts on the sample market, beside computing their metrics once.

    python -m benchmarks.evaluate [ALERTS]

Two alerts a chat, nearly all with a target of their own, on eight metrics; a real database in a temporary
folder. The ratio is to the time that the histories of those metrics take when each is made once.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bot.alerts.engine import first_state
from bot.alerts.grammar import parse_rule
from bot.analytics.market import SAMPLE
from bot.analytics.metrics import METRICS
from bot.config import Config
from bot.data.load import Markets
from bot.data.sample import sample_observations
from bot.data.store import store
from bot.jobs.commit import Evaluation, Fire
from bot.services import Services, context_of
from storage import alert_store, chat_store
from storage.db import open_database

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.engine import State
    from bot.alerts.rule import Rule
    from bot.analytics.market import Market


ALERTS = 2_000
MADE = dt.datetime(2020, 10, 5, 22, tzinfo=dt.UTC)
# A session after the alerts were made, six weeks of sessions after.
NEXT_DAY, AFTER_A_DOWNTIME = MADE + dt.timedelta(days=1), MADE + dt.timedelta(days=42)
BEHIND = dt.timedelta(days=500)  # of history behind an alert's first state: enough for its band
_RULES = (
    "ratio > 0.{n:05}1",
    "ratio_vs_sma 200 > {x:.3f}%",
    "excess 3m > {x:.3f}pp confirm 2",
    "momentum > {x:.3f}pp cooldown 5",
    "drawdown < -0.{n:05}1%",
    "corr 60 < 0.{n:05}",
    "flow iwm 5d > ${x:.3f}bn",
    "ratio_vs_sma 200 > {x:.3f}% and flow_gap 20d > 2pp",
)


@dataclass(frozen=True)
class Timing:
    """What was done and how long it took; the ratio is to making the metrics once."""

    name: str
    seconds: float
    fires: int = 0
    ratio: float | None = None


def rules(count: int) -> list[Rule]:
    """So many rules; their targets go through the metrics' usual values."""
    texts = (_RULES[i % len(_RULES)].format(x=i % 997 / 100, n=i % 100_000) for i in range(count))
    return [parse_rule(text, METRICS) for text in texts]


async def measure(count: int = ALERTS) -> list[Timing]:
    """The alerts evaluated on the day after, again with nothing new, and after a downtime."""
    now = [MADE]
    with tempfile.TemporaryDirectory() as folder, open_database(Path(folder) / "bot.db") as database:
        services = Services(Config(), database, Markets(database, lambda: now[0]), lambda: now[0], live=False)
        await database.run(
            partial(store, rows=sample_observations(), source=SAMPLE, observed_at="2020-01-01T00:00:00Z")
        )
        made = await asyncio.to_thread(
            _made, rules(count), await services.markets.current(), services.markets
        )
        await database.run(partial(_insert, made=made))
        evaluation = Evaluation(services)
        found = []
        for name, moment in (("one new session", NEXT_DAY), ("a downtime", AFTER_A_DOWNTIME)):
            now[0] = moment
            market = await services.markets.current()  # read beforehand: not what is measured here
            once = await asyncio.to_thread(_metrics_once, [rule for rule, _ in made], market)
            found.append(Timing(f"metrics made once, {name}", once))
            seconds, fires = await _timed(evaluation.run)
            found.append(Timing(f"evaluated, {name}", seconds, fires, seconds / once))
            seconds, fires = await _timed(evaluation.run)
            found.append(Timing("evaluated, nothing new", seconds, fires, seconds / once))
    return found


async def _timed(run: Callable[[], Awaitable[list[Fire]]]) -> tuple[float, int]:
    begun = time.perf_counter()
    fires = await run()
    return time.perf_counter() - begun, len(fires)


def _metrics_once(found: list[Rule], market: Market) -> float:
    """Seconds for the history of each metric and arguments, made once, nothing remembered."""
    market = replace(market)
    watched = {(c.metric, c.arguments) for rule in found for c in rule.conditions}
    begun = time.perf_counter()
    for name, arguments in watched:
        METRICS[name].history(market, dict(arguments))
    return time.perf_counter() - begun


def _made(found: list[Rule], market: Market, markets: Markets) -> list[tuple[Rule, State]]:
    context = context_of(market, markets)
    after = (MADE - BEHIND).date()
    return [
        (rule, first_state(rule, context.histories.samples(rule, after, market.sessions), MADE.date()))
        for rule in found
    ]


def _insert(db: sqlite_utils.Database, made: list[tuple[Rule, State]]) -> None:
    for number, (rule, state) in enumerate(made):
        chat_id = number // 2 + 1
        chat_store.ensure_chat(db, chat_id, "private", "", MADE)
        row = alert_store.add_alert(
            db, chat_id=chat_id, owner_id=chat_id, rule=str(rule), rule_json=rule.to_json(), now=MADE
        )
        alert_store.save_state(db, row.alert_id, state.session.isoformat(), state.to_json())


def main() -> None:
    """Print the timings."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ALERTS
    print(f"{count:,} alerts in {(count + 1) // 2:,} chats")
    for timing in asyncio.run(measure(count)):
        ratio = f"{timing.ratio:8.1f}x" if timing.ratio is not None else ""
        fires = f"{timing.fires:6,} fires" if timing.fires else ""
        print(f"{timing.name:36}{1000 * timing.seconds:10.1f} ms {ratio:10}{fires}".rstrip())


if __name__ == "__main__":
    main()
