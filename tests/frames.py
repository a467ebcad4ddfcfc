"""Observations as the frames that a Market is built from."""

from msgspec.structs import replace

from bot.data.load import frame_of
from bot.data.provider import Observations, rows_by_kind
from bot.data.source_selection import Frames
from storage.records import KINDS, columns


def frames(observations: Observations, *, source: str = "", observed_at: str = "") -> Frames:
    """A frame of each kind; of one source and instant where they are given."""
    rows = rows_by_kind(observations)
    origin = {"source": source, "observed_at": observed_at} if source else {}
    groups = {table: [replace(row, **origin) for row in rows.get(table, ())] for table in KINDS}
    return {
        table: frame_of({name: [getattr(row, name) for row in groups[table]] for name in columns(kind)})
        for table, kind in KINDS.items()
    }
