"""The state of the sources, in words that /status and `doctor` share."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.analytics import flows
from bot.analytics.dates import MONTHS, short_date
from bot.analytics.units import MINUS
from bot.data.due import closed_until, next_try
from bot.data.names import source_label
from bot.rendering.common import left_out_notes
from bot.rendering.moments import moment, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from zoneinfo import ZoneInfo

    from bot.analytics.market import Market
    from bot.analytics.sessions import Sessions
    from bot.config import Config
    from storage.observations import Restatement
    from storage.sources import SourceStatus

RESTATED_DAYS = 30
RESTATED_SHOWN = 5
NOW = "now"
MISSING_SHOWN = 3
COUNTS_LOOKED_AT = 20  # a month of share counts


@dataclass(frozen=True)
class Health:
    """One subject of one source: what came last, and when it is tried next."""

    source: str  # as people call it
    subject: str  # "IWM prices"
    answered: dt.datetime | None  # last success
    session: dt.date | None  # up to which it is had
    next_try: dt.datetime | None  # None where nobody asks: a file brought it, or it is off
    rests_until: dt.datetime | None  # its source asked to slow down, or refuses programs
    failures: int
    detail: str
    missing: tuple[dt.date, ...] = ()  # sessions that it dropped

    def sentence(self, zone: ZoneInfo, now: dt.datetime) -> str:
        """All of it in one line."""
        parts = [
            f"last success {moment(self.answered, zone)}" if self.answered else "no success yet",
            f"last session {short_date(self.session)}" if self.session else "no session yet",
            f"next try {self._tried_where(zone, now)}" if self.next_try else "not asked",
        ]
        if self.missing:
            parts.append(f"it lacks {self.lacks()}")
        if self.failures:
            parts.append(f"failed {self.failures}x: {self.detail.rstrip('.')}")
        if self.rests_until:
            parts.append(f"left alone until {moment(self.rests_until, zone)}")
        return "; ".join(parts)

    def _tried_where(self, zone: ZoneInfo, now: dt.datetime) -> str:
        """The same with the time zone's name."""
        when = self.tried(zone, now)
        return when if when == NOW else f"{when} {place_of(zone)}"

    def lacks(self) -> str:
        """The sessions that it dropped, the last ones named."""
        named = ", ".join(short_date(day) for day in self.missing[-MISSING_SHOWN:])
        more = len(self.missing) - MISSING_SHOWN
        return f"{named} and {more} before" if more > 0 else named

    def tried(self, zone: ZoneInfo, now: dt.datetime) -> str:
        """When it is tried next: an instant, or "now"."""
        if self.next_try is None or self.next_try <= now:
            return NOW
        return moment(self.next_try, zone)


def switched_on(config: Config) -> set[str]:
    """Names of the sources that the config has asked."""
    issuer = config.issuer.fetch and any(fund.issuer_file for fund in config.pair)
    on = {"yahoo": config.sources.yahoo, "daily-csv": config.sources.daily_csv, "issuer": issuer}
    return {name for name, value in on.items() if value}


def source_healths(
    statuses: Sequence[SourceStatus],
    sessions: Sessions,
    now: dt.datetime,
    asked: Collection[str] | None = None,
) -> list[Health]:
    """Health of every subject of every source at `now`. `asked` are the sources that are switched on."""
    return [_health(status, statuses, sessions, now, asked) for status in statuses]


def _health(
    status: SourceStatus,
    statuses: Sequence[SourceStatus],
    sessions: Sessions,
    now: dt.datetime,
    asked: Collection[str] | None,
) -> Health:
    closed = closed_until((other for other in statuses if other.source == status.source), now)
    rests = [until for until in (closed, status.rests_until) if until is not None and until > now]
    return Health(
        source=source_label(status.source),
        subject=status.subject,
        answered=status.last_success,
        session=status.last_session,
        next_try=next_try(status, statuses, sessions, now, asked),
        rests_until=max(rests, default=None),
        failures=status.failures,
        detail=status.detail,
        missing=tuple(status.dropped),
    )


def findings(
    market: Market,
    sources: Sequence[Health],
    replaced: Sequence[Restatement],
    zone: ZoneInfo,
    now: dt.datetime,
) -> Iterator[tuple[bool, str, str]]:
    """For `doctor`: whether all is well, the subject and the words, of every source and of what it gave."""
    for source in sources:
        well = not source.failures and source.rests_until is None
        yield well, f"source {source.source}, {source.subject}", source.sentence(zone, now)
    for part, notes in market.notes.items():
        for note in notes:
            yield False, f"sources of {part.removeprefix('facts:')}", note.rstrip(".")
    for line in flag_lines(market):
        if not line.startswith("SOURCE_SWITCH"):  # already a note above
            yield line.endswith(": none."), "share counts", line.rstrip(".")
    lines = restated(replaced)
    for line in lines[1:] or lines:
        yield True, "restatements", line.rstrip(".")


def brief_date(day: dt.date, today: dt.date) -> str:
    """A date in a table, without the current year."""
    return f"{day.day} {MONTHS[day.month - 1]}" if day.year == today.year else short_date(day)


def flag_lines(market: Market) -> list[str]:
    """Per fund the flags on its last share counts, and what is left out of them."""
    sentences = []
    for ticker in market.pair.tickers:
        frame = flows.daily_flows(market, ticker).tail(COUNTS_LOOKED_AT)
        if len(frame):
            sentences.append(
                f"{ticker} flags, last {len(frame)} counts: {_flags(frame[frame['flag'] != '']['flag'])}."
            )
        sentences += left_out_notes(market, ticker)
    return sentences


def _flags(flags: Any) -> str:  # noqa: ANN401 - a Series of sessions
    counted = Counter(flags)
    last = {flag: day for day, flag in flags.items()}
    return (
        "; ".join(
            f"{flag} {short_date(last[flag])}"
            if count == 1
            else f"{flag} {count}x, last {short_date(last[flag])}"
            for flag, count in counted.items()
        )
        or "none"
    )


def restated(restatements: Sequence[Restatement]) -> list[str]:
    """What sources have restated, a line each, newest first; the rest is counted."""
    if not restatements:
        return [f"Restated in {RESTATED_DAYS} days: nothing over 1 bp."]
    more = len(restatements) - RESTATED_SHOWN
    return [
        f"Restated in {RESTATED_DAYS} days:",
        *(_restatement(restatement) for restatement in restatements[:RESTATED_SHOWN]),
        *([f"... and {more} more"] if more > 0 else []),
    ]


def _restatement(restatement: Restatement) -> str:
    """One in words for the chat: "IWM 10 Dec 2020 close 190 → 190.19 (+10.0 bp), Yahoo"."""
    day = next(value for name, value in restatement.key.items() if name in {"session", "ex_date"})
    words = str(restatement).replace(day, short_date(dt.date.fromisoformat(day)), 1)
    words = words.replace(" -> ", " → ").replace("(-", f"({MINUS}")
    return f"{words}, {source_label(restatement.source)}"
