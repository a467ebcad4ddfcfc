"""Which figures of an answer are not believed yet: pure checks of closes and distributions.

A source may be wrong in any figure. One that fails a check is stored as provisional with its reason
(storage.records.Provisional): it is shown nowhere as the market and no alert is evaluated on it. It becomes
final when another source has it too, when the same source gives it again after the next session (not where
the answer contradicts itself), or when the owner accepts it.

All closes of one call are split-adjusted, in the units of the newest share.
"""

import datetime as dt
import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import msgspec

from bot.data.split_units import days_between
from storage.records import Bar, Distribution, Provisional

Levels: TypeAlias = Mapping[str, float]  # dollars a share by session, a text in ISO form

# Single precision of a source: a true close lies this much outside its row's low and high at most.
_DUST = 1e-3
QUOTE_APART = 0.03  # of a close from the quote in the same answer
MOVE = 0.15  # a move of one session larger than this must be shared by the other fund
_SHARED = 3  # the other fund moved at least a third as far in the same direction
REWRITTEN = 0.05  # relative difference of two readings of one close that no correction makes
_STANDS = 5  # sessions after which a new level is taken for the right one and what lies before it is held
_NAV_APART = 0.03  # of a net asset value from the close that it confirms
_SOURCE_APART = 0.01  # of another source's close from the one that it confirms
_GAP = 10  # days without a close, after which a move is not one of a session
_LISTED_LATE = 30  # days after its session a split may be listed
_SPLIT_APART = 0.1  # (log) of a move from the ratio of a split
_LARGEST_YIELD = 0.05  # of a distribution, relative to the close: the largest of both funds was 0.9%
_IMPLIED_APART = 0.2  # of a distribution from what the adjusted closes imply, relative
_LISTED_APART = 0.01  # of a distribution from another source's, relative: some round
_ADJUSTED_AFTER = 5  # sessions after which a source has adjusted its closes for a distribution
# Reasons that a repetition by the same source does not overcome: the answer contradicts itself.
CONTRADICTIONS = frozenset(
    {
        Provisional.OPEN,
        Provisional.RANGE,
        Provisional.QUOTE,
        Provisional.SPIKE,
        Provisional.UNADJUSTED,
        Provisional.ADJUSTED,
    }
)


@dataclass(frozen=True)
class Evidence:
    """What the closes of one fund from one source are checked against, by session in order.

    stored: final closes of the same source. other: closes of the other fund, provisional ones included, so that a fall
    of both is seen to be shared. splits: ratios of the splits that are listed, in this answer or stored. navs, sources:
    net asset values, and closes of other sources, which confirm a close. repeated: sessions whose provisional close the
    same source gives again after a later session.
    """

    stored: Levels = field(default_factory=dict)
    other: Levels = field(default_factory=dict)
    splits: Levels = field(default_factory=dict)
    navs: Levels = field(default_factory=dict)
    sources: tuple[Levels, ...] = ()
    repeated: Collection[str] = ()

    @cached_property
    def neighbours(self) -> dict[str, tuple[str | None, str | None]]:
        """The sessions of `stored`, each with the one before and the one after it."""
        days = [None, *self.stored, None]
        return {day: (days[place], days[place + 2]) for place, day in enumerate(self.stored)}


def check_bars(bars: Sequence[Bar], evidence: Evidence) -> list[Bar]:
    """The bars of one answer, ordered by session, with `provisional` set where a close is not believed.

    Bars that came as provisional keep their reason unless another source confirms them.
    """
    reasons = [bar.provisional or _reason_of_its_own(bar, evidence) for bar in bars]
    _mark_moves(bars, reasons, evidence)
    confirming = ((evidence.navs, _NAV_APART), *((levels, _SOURCE_APART) for levels in evidence.sources))
    checked = []
    for bar, reason in zip(bars, reasons, strict=True):
        confirmed = reason > Provisional.OPEN and any(
            bar.session in levels and abs(_move(bar.close, levels[bar.session])) <= apart
            for levels, apart in confirming
        )
        final = int(Provisional.FINAL if confirmed else reason)
        checked.append(bar if bar.provisional == final else msgspec.structs.replace(bar, provisional=final))
    return checked


def _reason_of_its_own(bar: Bar, evidence: Evidence) -> int:
    """Whether a close is outside its row's range, or differs from the stored one by more than a correction.

    A close in the units of before a listed split is no such difference: sources list a split, and rewrite
    their history for it, some days late.
    """
    if (bar.low and bar.close < bar.low * (1 - _DUST)) or (bar.high and bar.close > bar.high * (1 + _DUST)):
        return Provisional.RANGE
    stored = evidence.stored.get(bar.session)
    if stored is None or abs(_move(bar.close, stored)) <= REWRITTEN or bar.session in evidence.repeated:
        return Provisional.FINAL
    explained = _corrects(bar, evidence) or any(
        bar.session < _later(session, _LISTED_LATE) and abs(_move(bar.close / stored, units)) <= REWRITTEN
        for session, ratio in evidence.splits.items()
        for units in (ratio, 1 / ratio)
    )
    return Provisional.FINAL if explained else Provisional.HISTORY


def _corrects(bar: Bar, evidence: Evidence) -> bool:
    """Whether the stored close is the implausible one, apart from both its neighbours, and the new is not."""
    before, after = evidence.neighbours[bar.session]
    closes = evidence.stored
    if before is None or abs(_move(bar.close, closes[before])) > MOVE:
        return False
    move = _move(closes[bar.session], closes[before])
    if abs(move) <= MOVE or _is_shared(move, before, bar.session, evidence.other):
        return False
    if after is None:
        return True
    return abs(_move(closes[bar.session], closes[after])) > MOVE >= abs(_move(bar.close, closes[after]))


def _mark_moves(bars: Sequence[Bar], reasons: list[int], evidence: Evidence) -> None:
    """Mark closes that are more than MOVE from the last believed one, for a reason that nothing explains.

    Of a new level that lasts only its beginning is in doubt: what lies before it is held instead.
    """
    final = [place for place, reason in enumerate(reasons) if reason == Provisional.FINAL]
    days, closes = [bar.session for bar in bars], [bar.close for bar in bars]
    first = max((day for day in evidence.stored if day < days[0]), default=None) if days else None
    if first is not None:  # its place is -1, at the end of the lists
        days, closes, final = [*days, first], [*closes, evidence.stored[first]], [-1, *final]
    if all(abs(_move(closes[now], closes[before])) <= MOVE for before, now in pairwise(final)):
        return
    stored = evidence.stored
    believed = {
        place
        for place in final
        if days[place] in stored and abs(_move(closes[place], stored[days[place]])) <= REWRITTEN
    }
    repeated = {place for place in final if days[place] in evidence.repeated}
    base, since = final[0], 0
    for place, now in enumerate(final[1:], start=1):
        move = _move(closes[now], closes[base])
        most = MOVE * math.sqrt(place - since)  # closes in between may be in doubt
        if (
            abs(move) <= most
            or days_between(days[final[place - 1]], days[now]) > _GAP
            or _is_shared(move, days[base], days[now], evidence.other)
            or _is_split(move, evidence.splits, days[base], days[now])
        ):
            base, since = now, place
            continue
        later = final[place + 1 : place + 1 + _STANDS]
        wider = MOVE * math.sqrt(place + 1 - since)
        if later and now not in believed and abs(_move(closes[later[0]], closes[base])) <= wider:
            reasons[now] = Provisional.SPIKE
            continue
        if _is_split(move, evidence.splits, _later(days[now], -_LISTED_LATE)):
            reason, kept = Provisional.UNADJUSTED, believed
        elif now in believed or now in repeated:
            base, since = now, place
            continue
        elif len(later) == _STANDS and all(abs(_move(closes[at], closes[now])) <= MOVE for at in later):
            reason, kept = Provisional.HISTORY, believed | repeated
        else:
            reasons[now] = Provisional.MOVE
            continue
        for at in set(final[:place]) - kept - {-1}:
            reasons[at] = reason
        base, since = now, place


def _move(new: float, old: float) -> float:
    """Relative change, infinite from zero."""
    return new / old - 1 if old else math.inf


def _later(session: str, days: int) -> str:
    return (dt.date.fromisoformat(session) + dt.timedelta(days=days)).isoformat()


def _is_shared(move: float, before: str, now: str, other: Levels) -> bool:
    """Whether the other fund moved too between two sessions."""
    if not move or before not in other or now not in other:
        return False
    return _move(other[now], other[before]) * _SHARED / move >= 1


def _is_split(move: float, splits: Levels, after: str, until: str = "9999") -> bool:
    """Whether a move has the size of a listed split in the sessions after `after` until `until`."""
    sizes = ((1 + move) * ratio for session, ratio in splits.items() if after < session <= until)
    return any(math.exp(-_SPLIT_APART) <= size <= math.exp(_SPLIT_APART) for size in sizes)


def check_distributions(rows: Sequence[Distribution], closes: Levels, listed: Levels) -> list[Distribution]:
    """The distributions of one answer, with `provisional` set where an amount is not believed.

    closes: dollars by session in order; listed: amounts by ex-date that another source has, which confirm an
    amount. Rows that came as provisional keep their reason unless confirmed.
    """
    amounts = {row.session: row.amount for row in rows if not row.provisional}
    days, checked = list(closes), []
    for row in rows:
        reason = Provisional(row.provisional)
        if reason == Provisional.FINAL and row.amount is not None:
            place = bisect_left(days, row.session)
            most = _LARGEST_YIELD * closes[days[min(place, len(days) - 1)]] if days else math.inf
            if row.amount < 0 or row.amount > most:
                reason = Provisional.AMOUNT
            elif row.amount and place and row.amount == amounts.get(days[place - 1]):
                reason = Provisional.NEIGHBOUR
        other = listed.get(row.session)
        if other is not None and row.amount is not None and abs(row.amount - other) <= _LISTED_APART * other:
            reason = Provisional.FINAL
        checked.append(msgspec.structs.replace(row, provisional=int(reason)))
    return checked


def contradicts_adjusted(amount: float, day: int, closes: Sequence[float], adjusted: Sequence[float]) -> bool:
    """Whether the adjusted closes of an answer imply another distribution than the one that it lists.

    day: place of the ex-date in `closes` and `adjusted`, both in order. The adjustment of the session before
    is 1 - distribution / close. A source may adjust some days late: no adjustment at all contradicts only
    after _ADJUSTED_AFTER sessions.
    """
    if not 0 < day < len(closes):
        return False
    needed = [(closes[place], adjusted[place]) for place in (day - 1, day, -1)]
    if not all(0 < value < math.inf for pair in needed for value in pair):
        return False
    before, on, last = (value / close for close, value in needed)
    implied = closes[day - 1] * (1 - before / on)
    is_adjusted = abs(before / last - 1) > _DUST / 10  # for this distribution or a later one
    if not is_adjusted and len(closes) - day <= _ADJUSTED_AFTER:
        return False
    return abs(implied - amount) > _IMPLIED_APART * abs(amount) + _DUST * closes[day - 1] / 10
