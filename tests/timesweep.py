"""Every time zone, every quarter of an hour, two years: python -m tests.timesweep.

For each zone name and each of 96 local times: each local date that exists in the zone has exactly one due
instant, the instants of following dates follow one another, each shows the asked time on the zone's own
clock (the first time in a fold), or is the first instant after a gap. Names of one and the same zone file
are swept once.
"""

import argparse
import datetime as dt
import hashlib
import sys
from collections import defaultdict
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

from bot.jobs.summaries import due_instant

QUARTERS = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 15, 30, 45)]
FIRST, DAYS = dt.date(2025, 1, 1), 730
DAY, SECOND = dt.timedelta(days=1), dt.timedelta(seconds=1)


def same_zones() -> list[list[str]]:
    """Zone names, those of equal files together."""
    zones: dict[str, list[str]] = defaultdict(list)
    for name in sorted(available_timezones()):
        zones[_content(name)].append(name)
    return list(zones.values())


def _content(name: str) -> str:
    for folder in TZPATH:
        file = Path(folder) / name
        if file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    package, _, last = f"tzdata.zoneinfo/{name}".replace("/", ".").rpartition(".")
    return hashlib.sha256(resources.files(package).joinpath(last).read_bytes()).hexdigest()


def dates_of(zone: ZoneInfo) -> dict[dt.date, set[dt.timedelta]]:
    """Offsets, by the local date of which the zone's clock shows them: a date may be left out as a whole."""
    start = dt.datetime.combine(FIRST - 2 * DAY, dt.time(), dt.UTC)
    offsets: dict[dt.date, set[dt.timedelta]] = defaultdict(set)
    for hour in range(24 * (DAYS + 4)):
        local = (start + dt.timedelta(hours=hour)).astimezone(zone)
        offsets[local.date()].add(local.utcoffset() or dt.timedelta())
    return offsets


def problems(name: str) -> list[str]:
    """What is not as it must be in one zone."""
    zone, wrong = ZoneInfo(name), []
    days = [FIRST + DAY * number for number in range(DAYS)]
    offsets = dates_of(zone)
    around = {day: set().union(*(offsets.get(day + DAY * beside, set()) for beside in (-1, 0, 1))) for day in days}
    steady = {day: next(iter(seen)) for day, seen in around.items() if len(seen) == 1 and day in offsets}
    for at in QUARTERS:
        before, clock = dt.datetime.min.replace(tzinfo=dt.UTC), dt.time.fromisoformat(at)
        for day in days:
            instant, wanted = due_instant(day, at, zone), dt.datetime.combine(day, clock)
            if (instant is not None) != (day in offsets):
                wrong.append(f"{name} {day} {at}: {instant}")
            if instant is None:
                continue
            if day in steady:
                right = instant.replace(tzinfo=None) == wanted - steady[day]
            else:
                right = shows_due_time(instant, wanted, zone)
            if not right or instant <= before:
                wrong.append(f"{name} {day} {at}: {instant} is another time, or not after {before}")
            before = instant
    return wrong


def shows_due_time(instant: dt.datetime, wanted: dt.datetime, zone: ZoneInfo) -> bool:
    """Whether an instant shows the wanted local time first, or ends the gap that the time lies in."""
    local = instant.astimezone(zone)
    if local.replace(tzinfo=None) == wanted:
        return local.fold == 0
    before = (instant - SECOND).astimezone(zone).replace(tzinfo=None)
    return before < wanted < local.replace(tzinfo=None)


def main() -> int:
    """Sweep; exit code 1 when anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.timesweep", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="zones whose name holds this")
    options = parser.parse_args()
    zones = [names for names in same_zones() if any(options.only in name for name in names)]
    wrong = 0
    for names in zones:
        for problem in problems(names[0]):
            wrong += 1
            print(problem, flush=True)  # noqa: T201 - the command's voice
    count = sum(map(len, zones))
    print(  # noqa: T201 - as above
        f"{count} zone names ({len(zones)} different zones) x {len(QUARTERS)} quarter-hours x {DAYS} days: "
        f"{count * len(QUARTERS) * DAYS:,} due instants, {wrong} problems"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
