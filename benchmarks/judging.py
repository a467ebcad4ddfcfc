"""CPU time and memory of evaluating up to 100,000 alerts, beside Prometheus evaluating as many rules.

    python -m benchmarks.judging [--quick]

A process for each measurement, on a database in a temporary folder with twenty alerts a chat over twelve
metrics of the sample market, nearly all at a level of their own. States,
events and messages are committed. Prometheus is started where Debian's package is installed, else its figure
of last time is stated.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from benchmarks.results import Result
from bot.alerts.engine import Side, State, default_band, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Rule
from bot.analytics.metrics import METRICS
from bot.analytics.sources import SAMPLE
from bot.config import Config
from bot.data.load import Markets
from bot.data.provider import sample_observations
from bot.data.store import store
from bot.jobs.commit import Evaluation
from bot.services import Services, context_of
from storage import alert_store
from storage.database import open_database

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.view import EvaluationContext
    from storage.database import Database


RUNS = 5
MADE = dt.datetime(2020, 10, 5, 22, tzinfo=dt.UTC)
NEXT_DAY, AFTER_30_SESSIONS = MADE + dt.timedelta(days=1), MADE + dt.timedelta(days=43)
# One rule on each subject, of which only the level and the comparison are replaced.
_SUBJECTS = (
    "ratio > 0.5",
    "ratio_vs_sma 200 > 1%",
    "excess 3m > 1pp",
    "momentum > 1pp",
    "breakout 252 > 1%",
    "slope 60 > 1%",
    "channel since 2010-01-04 > 1",
    "drawdown < -1%",
    "beta 252 > 1",
    "corr 60 > 0.5",
    "flow iwm 5d > $1bn",
    "units iwm 3m > 1%",
)
# Seconds for 10,000 rules by Prometheus 2.42 on two cores, its rule_group_last_duration.
PROMETHEUS_BEFORE = 0.47


# One database


def services_at(database: Database, now: list[dt.datetime]) -> Services:
    """Return what the scheduler needs, at a time that the list holds."""
    return Services(Config(), database, Markets(database, lambda: now[0]), lambda: now[0], live=False)


async def build(path: Path, count: int, firing: float | None) -> None:
    """Store alerts of which that share fires on the next session; None: with levels in the usual range.

    If none fires, they are threshold rules on one metric, as those of Prometheus are here.
    """
    now = [MADE]
    with open_database(path) as database:
        services = services_at(database, now)
        rows = sample_observations()
        await database.run(partial(store, rows=rows, source=SAMPLE, observed_at="2020-01-01T00:00:00Z"))
        contexts = []
        for now[0] in (MADE, NEXT_DAY):
            contexts.append(context_of(await services.markets.current(), services.markets))
        now[0] = MADE
        await database.run(partial(insert, made=list(alerts(count, firing, *contexts))))
        await Evaluation(services).run()


def alerts(
    count: int, firing: float | None, before: EvaluationContext, after: EvaluationContext | None = None
) -> Iterator[tuple[Rule, State]]:
    """Rules with their states: without the session after, with levels in the usual range."""
    chosen = _SUBJECTS[:1] if firing == 0 else _SUBJECTS
    subjects = [_Levels(subject, before, after or before) for subject in chosen]
    for number in range(count):
        levels = subjects[number % len(subjects)]
        fires = number * 7919 % 1000 < 1000 * (firing or 0.0)
        yield levels.usual(number) if firing is None else levels.beside(number, fires)


class _Levels:
    """Rules on one subject."""

    def __init__(self, subject: str, before: EvaluationContext, after: EvaluationContext) -> None:
        (self._condition,) = parse_rule(subject, METRICS).conditions
        rule = self._rule(">", 1.0)
        self._history = before.histories.samples(rule, sessions=before.market.sessions)
        self._last = self._history[-1]
        later = after.histories.samples(rule, self._last.session, after.market.sessions)
        self._next = later[0] if later else self._last
        self._band = default_band(self._history.distances(0))

    def _rule(self, op: str, level: float) -> Rule:
        target = structs.replace(self._condition.target, value=float(f"{level:.9g}"))
        return Rule((structs.replace(self._condition, op=op, target=target),))

    def usual(self, number: int) -> tuple[Rule, State]:
        """A level that the subject had within five years."""
        values = self._history.observed[0][-1260:]
        rule = self._rule("><"[number % 2], float(values[number * 7919 % len(values)]) + number * 1e-9)
        return rule, first_state(rule, self._history[-500:], self._last.session)

    def beside(self, number: int, fires: bool) -> tuple[Rule, State]:
        """A level between the last value and the next, or one beyond both."""
        last, following = self._last.figures[0].value or 0.0, self._next.figures[0].value or 0.0
        rises, share = following > last, (number * 7919 % 9973 + 1) / 9974
        beyond = abs(following) * (0.01 + share / 10)
        level = last + (following - last) * share if fires else max(last, following) + beyond
        rule = self._rule(">" if rises or not fires else "<", level)
        return rule, State(self._last.session, (self._band,), (Side(),), (last,))


def insert(db: sqlite_utils.Database, made: list[tuple[Rule, State]]) -> None:
    """Store alerts in bulk, twenty a chat."""
    chats = [(at // 20 + 1, at % 20 + 1) for at in range(len(made))]
    now = f"{MADE:%Y-%m-%dT%H:%M:%SZ}"
    db.conn.executemany(
        "INSERT INTO chats (chat_id, kind, created_at, last_number) VALUES (?, 'private', ?, 20)",
        [(chat_id, now) for chat_id in dict(chats)],
    )
    db.conn.executemany(
        "INSERT INTO alerts (alert_id, chat_id, number, owner_id, rule, rule_json, created_at) "
        "VALUES (?, ?, ?, 1, ?, ?, ?)",
        (
            (at, *chat, str(rule), rule.to_json(), now)
            for at, (chat, (rule, _)) in enumerate(zip(chats, made, strict=True), start=1)
        ),
    )
    states = ((at, state.session.isoformat(), state.to_json()) for at, (_, state) in enumerate(made, start=1))
    alert_store.save_states(db, states)


# One measurement, in a process of its own


async def evaluated(path: Path, scenario: str) -> dict[str, float]:
    """Seconds of CPU, fires and peak memory of one run."""
    now = [MADE]
    with open_database(path) as database:
        services = services_at(database, now)
        evaluation = Evaluation(services)
        if scenario != "first":
            await evaluation.run()
        now[0] = AFTER_30_SESSIONS if scenario == "catch-up" else NEXT_DAY
        await services.markets.current()  # reading the Market is measured elsewhere
        begun = time.process_time()
        fires = await evaluation.run()
        seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "fires": len(fires), "peak": peak}


def _measured(database: Path, scenario: str) -> dict[str, float]:
    """Medians over RUNS processes, each on a copy of the database."""
    rows = []
    for _ in range(RUNS):
        copy = database.with_suffix(".copy")
        for left in database.parent.glob(f"{copy.name}*"):
            left.unlink()
        shutil.copyfile(database, copy)
        command = [sys.executable, "-m", "benchmarks.judging", "run", str(copy), scenario]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))  # noqa: S603 - our own program
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def run(quick: bool = False) -> list[Result]:
    """Return all figures."""
    share = 0.02 if quick else 1.0
    counts = {"1,000": 1_000, "10,000": 10_000, "100,000": 100_000}
    scaled = {name: max(int(count * share), 100) for name, count in counts.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def database(count: str, firing: float | None = 0.01) -> Path:
            path = folder / f"{count}-{firing}.db"
            if not path.exists():
                command = [sys.executable, "-m", "benchmarks.judging", "build", str(path), str(scaled[count])]
                subprocess.run([*command, json.dumps(firing)], check=True)  # noqa: S603 - our own program
            return path

        steady = _measured(database("100,000"), "steady")
        first = _measured(database("100,000"), "first")
        few = _measured(database("1,000"), "steady")
        many = _measured(database("10,000"), "steady")
        firing = _measured(database("10,000", 0.2), "steady")
        thresholds = _measured(database("10,000", 0.0), "steady")
        caught_up = _measured(database("10,000", None), "catch-up")
    note, prometheus = measure_prometheus(scaled["10,000"])
    further = firing["fires"] - many["fires"]
    per_alert = [row["seconds"] / scaled[name] for row, name in ((few, "1,000"), (steady, "100,000"))]
    return [
        Result(f"100,000 alerts, one session, {steady['fires']:.0f} fire", steady["seconds"], "s CPU", 1.0),
        Result("100,000 alerts, the first run after a start", first["seconds"], "s CPU", 3.0),
        Result("100,000 alerts, peak memory", max(steady["peak"], first["peak"]), "MB", 350.0),
        Result("cost of an alert, 100,000 beside 1,000", per_alert[1] / per_alert[0], "times", 1.0),
        Result("10,000 rules, beside Prometheus", thresholds["seconds"], "s CPU", 0.1, prometheus, note=note),
        Result(
            f"each further fire, of {firing['fires']:.0f}",
            1000 * (firing["seconds"] - many["seconds"]) / max(further, 1),
            "ms CPU",
            0.3,
        ),
        Result(f"30 sessions, 10,000 alerts, {caught_up['fires']:.0f} fires", caught_up["seconds"], "s CPU", 1.0),
    ]


# Prometheus


def measure_prometheus(count: int) -> tuple[str, float]:
    """Median seconds of Prometheus for as many threshold rules, and which one if it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        return "Prometheus of last time", PROMETHEUS_BEFORE
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        config = Path(folder) / "prometheus.yml"
        rules = "".join(
            f"  - {{alert: A{number}, expr: 'go_goroutines > {1000 + number}'}}\n" for number in range(count)
        )
        (Path(folder) / "rules.yml").write_text(f"groups:\n- name: g\n  rules:\n{rules}")
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 2s}\nrule_files: [rules.yml]\n"
            f"scrape_configs: [{{job_name: p, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb"]
        with subprocess.Popen(  # noqa: S603 - the program beside which this is measured
            [*command, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL
        ) as process:
            try:
                return "", statistics.median(_durations(address))
            finally:
                process.terminate()


def _durations(address: str) -> Iterator[float]:
    """What RUNS evaluations took, by the metric of Prometheus itself."""
    for _ in range(RUNS + 1):
        time.sleep(2.5)
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        values = [line for line in lines if line.startswith("prometheus_rule_group_last_duration_seconds{")]
        if values and (seconds := float(values[0].split()[-1])) > 0:
            yield seconds


def main() -> None:
    """Print the figures, or do the work of one process."""
    match sys.argv[1:]:
        case ["build", path, count, firing]:
            asyncio.run(build(Path(path), int(count), json.loads(firing)))
        case ["run", path, scenario]:
            print(json.dumps(asyncio.run(evaluated(Path(path), scenario))))
        case rest:
            for result in run("--quick" in rest):
                print(result)


if __name__ == "__main__":
    main()
