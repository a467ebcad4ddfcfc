"""Which figures of an answer are not believed yet: pure checks of closes and distributions.

A source may be wrong in any figure. One that fails a check is stored as provisional with its reason
(storage.rows.Provisional): it is shown nowhere as the market and no alert is evaluated on it. It becomes
final when another source has it too, when the same source gives it again after the next session (not where
the answer contradicts itself), or when the owner accepts it.

All closes of one call are split-adjusted, in the units of the newest share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pandas as pd

from storage.rows import Bar, Distribution, Provisional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Reasons = NDArray[np.int64]

# Single precision of a source: a true close lies this much outside its row's low and high at most.
_DUST = 1e-3
QUOTE_APART = 0.03  # of a close from the quote in the same answer
MOVE = 0.15  # a move of one session larger than this must be shared by the other fund
_SHARED = 3  # the other fund moved at least a third as far in the same direction
REWRITTEN = 0.05  # relative difference of two readings of one close that no correction makes
_STANDS = 5  # sessions after which a new level is taken for the right one and what lies before it is held
_NAV_APART = 0.03  # of a net asset value from the close that it confirms
_SOURCE_APART = 0.01  # of another source's close from the one that it confirms
_GAP = pd.Timedelta(days=10)  # without a close, after which a move is not one of a session
_LISTED_LATE = pd.Timedelta(days=30)  # after its session a split may be listed
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


def _empty() -> pd.Series:
    return pd.Series(dtype="float64", index=pd.DatetimeIndex([]))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the closes of one fund from one source are checked against, each a Series by session.

    stored: final closes of the same source.
    other: closes of the other fund, provisional ones included, so that a fall of both is seen to be shared.
    splits: ratios of the splits that are listed, in this answer or stored.
    navs, sources: net asset values, and closes of other sources, which confirm a close.
    repeated: sessions whose provisional close the same source gives again after a later session.
    """

    stored: pd.Series = field(default_factory=_empty)
    other: pd.Series = field(default_factory=_empty)
    splits: pd.Series = field(default_factory=_empty)
    navs: pd.Series = field(default_factory=_empty)
    sources: tuple[pd.Series, ...] = ()
    repeated: pd.DatetimeIndex = field(default_factory=lambda: pd.DatetimeIndex([]))


def check_bars(bars: Sequence[Bar], evidence: Evidence) -> list[Bar]:
    """The bars of one answer, ordered by session, with `provisional` set where a close is not believed.

    Bars that came as provisional keep their reason unless another source confirms them.
    """
    if not bars:
        return []
    days = pd.DatetimeIndex([bar.session for bar in bars]).as_unit("ns")
    closes = np.array([bar.close for bar in bars], dtype="float64")
    reasons = np.array([bar.provisional for bar in bars], dtype="int64")
    low, high = (
        np.array([getattr(bar, name) or np.nan for bar in bars], dtype="float64") for name in ("low", "high")
    )
    outside = (closes < low * (1 - _DUST)) | (closes > high * (1 + _DUST))
    reasons[(reasons == Provisional.FINAL) & outside] = Provisional.RANGE
    _mark_rewritten(days, closes, reasons, evidence)
    _mark_moves(days, closes, reasons, evidence)
    confirmed = np.zeros(len(bars), dtype=bool)
    for levels, apart in ((evidence.navs, _NAV_APART), *((s, _SOURCE_APART) for s in evidence.sources)):
        confirmed |= np.abs(closes / levels.reindex(days).to_numpy(dtype="float64") - 1) <= apart
    reasons[confirmed & (reasons > Provisional.OPEN)] = Provisional.FINAL
    return [
        bar if bar.provisional == reason else msgspec.structs.replace(bar, provisional=int(reason))
        for bar, reason in zip(bars, reasons, strict=True)
    ]


def _mark_rewritten(days: pd.DatetimeIndex, closes: Floats, reasons: Reasons, evidence: Evidence) -> None:
    """Mark closes that differ from the stored ones of the same session by more than a correction.

    A close in the units of before a listed split is none: sources list a split, and rewrite their history for
    it, some days late.
    """
    factors = closes / evidence.stored.reindex(days).to_numpy(dtype="float64")
    explained = ~(np.abs(factors - 1) > REWRITTEN) | days.isin(evidence.repeated)
    for session, ratio in evidence.splits.items():
        for units in (ratio, 1 / ratio):
            explained |= (days < session + _LISTED_LATE) & (np.abs(factors / units - 1) <= REWRITTEN)
    explained |= _corrects(days, closes, evidence)
    reasons[(reasons == Provisional.FINAL) & ~explained] = Provisional.HISTORY


def _corrects(days: pd.DatetimeIndex, closes: Floats, evidence: Evidence) -> NDArray[np.bool_]:
    """Whether the stored close is the implausible one, apart from both its neighbours, and the new is not."""
    stored = evidence.stored
    before, after = stored.shift(1), stored.shift(-1)
    other = evidence.other.reindex(stored.index)
    move = stored / before - 1
    stands_out = (move.abs() > MOVE) & ~((other / other.shift(1) - 1) * _SHARED / move >= 1)
    stands_out &= after.isna() | ((stored / after - 1).abs() > MOVE)
    wrong = days.isin(stored.index[stands_out])
    before, after = (levels.reindex(days).to_numpy(dtype="float64") for levels in (before, after))
    fits = (np.abs(closes / before - 1) <= MOVE) & ~(np.abs(closes / after - 1) > MOVE)
    corrects: NDArray[np.bool_] = wrong & fits
    return corrects


def _mark_moves(days: pd.DatetimeIndex, closes: Floats, reasons: Reasons, evidence: Evidence) -> None:
    """Mark closes that are more than MOVE from the last believed one, for a reason that nothing explains.

    Of a new level that lasts only its beginning is in doubt: what lies before it is held instead.
    """
    before = evidence.stored[evidence.stored.index < days[0]].iloc[-1:]
    first = len(before)
    days = before.index.append(days)
    closes = np.concatenate([before.to_numpy(dtype="float64"), closes])
    marks = np.concatenate([np.zeros(first, dtype="int64"), reasons])
    final = np.flatnonzero(marks == Provisional.FINAL)
    if not (np.abs(np.diff(closes[final]) / closes[final][:-1]) > MOVE).any():
        return
    other = evidence.other.reindex(days).to_numpy(dtype="float64")
    believed = np.abs(closes / evidence.stored.reindex(days).to_numpy(dtype="float64") - 1) <= REWRITTEN
    repeated = days.isin(evidence.repeated)
    base, since = final[0], 0
    for place, now in enumerate(final[1:], start=1):
        move = closes[now] / closes[base] - 1
        most = MOVE * np.sqrt(place - since)  # closes in between may be in doubt
        gap = days[now] - days[final[place - 1]] > _GAP
        shared = move != 0 and (other[now] / other[base] - 1) * _SHARED / move >= 1
        explained = abs(move) <= most or shared or _is_split(move, evidence.splits, days[base], days[now])
        if gap or explained:
            base, since = now, place
            continue
        later = final[place + 1 : place + 1 + _STANDS]
        earlier = final[first:place]
        back = len(later) and abs(closes[later[0]] / closes[base] - 1) <= MOVE * np.sqrt(place + 1 - since)
        if back and not believed[now]:
            marks[now] = Provisional.SPIKE
        elif _is_split(move, evidence.splits, days[now] - _LISTED_LATE):
            marks[earlier[~believed[earlier]]] = Provisional.UNADJUSTED
            base, since = now, place
        elif believed[now] or repeated[now]:
            base, since = now, place
        elif len(later) == _STANDS and (np.abs(closes[later] / closes[now] - 1) <= MOVE).all():
            marks[earlier[~believed[earlier] & ~repeated[earlier]]] = Provisional.HISTORY
            base, since = now, place
        else:
            marks[now] = Provisional.MOVE
    reasons[:] = marks[first:]


def _is_split(
    move: float, splits: pd.Series, after: pd.Timestamp, until: pd.Timestamp = pd.Timestamp.max
) -> bool:
    """Whether a move has the size of a listed split in the sessions after `after` until `until`."""
    splits = splits[(splits.index > after) & (splits.index <= until)]
    sizes = np.log(splits.to_numpy(dtype="float64"))
    return bool((np.abs(np.log1p(move) + sizes) <= _SPLIT_APART).any())


def check_distributions(
    rows: Sequence[Distribution], closes: pd.Series, listed: pd.Series
) -> list[Distribution]:
    """The distributions of one answer, with `provisional` set where an amount is not believed.

    closes: dollars by session; listed: amounts by ex-date that another source has, which confirm an amount.
    Rows that came as provisional keep their reason unless confirmed.
    """
    amounts = {row.session: row.amount for row in rows if not row.provisional}
    checked = []
    for row in rows:
        reason = Provisional(row.provisional)
        day = pd.Timestamp(row.session)
        place = int(closes.index.searchsorted(day))
        if reason == Provisional.FINAL and row.amount is not None:
            before = f"{closes.index[place - 1]:%Y-%m-%d}" if place else ""
            close = closes.iloc[min(place, len(closes) - 1)] if len(closes) else np.nan
            if row.amount < 0 or row.amount > _LARGEST_YIELD * close:
                reason = Provisional.AMOUNT
            elif row.amount and row.amount == amounts.get(before):
                reason = Provisional.NEIGHBOUR
        other = listed.get(day)
        if other is not None and row.amount is not None and abs(row.amount - other) <= _LISTED_APART * other:
            reason = Provisional.FINAL
        checked.append(msgspec.structs.replace(row, provisional=int(reason)))
    return checked


def contradicts_adjusted(amount: float, day: int, closes: Floats, adjusted: Floats) -> bool:
    """Whether the adjusted closes of an answer imply another distribution than the one that it lists.

    day: place of the ex-date in `closes` and `adjusted`, both in order. The adjustment of the session before
    is 1 - distribution / close. A source may adjust some days late: no adjustment at all contradicts only
    after _ADJUSTED_AFTER sessions.
    """
    if not 0 < day < len(closes):
        return False
    needed = np.concatenate([values[[day - 1, day, -1]] for values in (closes, adjusted)])
    if not (np.isfinite(needed) & (needed > 0)).all():
        return False
    factors = adjusted / closes
    implied = closes[day - 1] * (1 - factors[day - 1] / factors[day])
    is_adjusted = abs(factors[day - 1] / factors[-1] - 1) > _DUST / 10  # for this distribution or a later one
    if not is_adjusted and len(closes) - day <= _ADJUSTED_AFTER:
        return False
    return bool(abs(implied - amount) > _IMPLIED_APART * abs(amount) + _DUST * closes[day - 1] / 10)
