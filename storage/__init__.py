"""Reading and writing rows of one SQLite file. This package knows nothing of the bot."""

import sys


def _import_sqlite_utils() -> None:
    """Import sqlite-utils without pandas and numpy, whose types it would know as types of columns.

    No table here is made from Python's types, and pandas takes longer to load than all else at a start.
    """
    absent = {name: None for name in ("pandas", "numpy") if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]  # None makes an import of it fail
    try:
        import sqlite_utils  # noqa: F401, PLC0415 - kept loaded for all
    finally:
        for name in absent:
            del sys.modules[name]


_import_sqlite_utils()
