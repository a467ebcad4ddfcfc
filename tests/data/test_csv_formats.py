from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from msgspec.structs import replace

from bot.data.csv_cells import BadCell
from bot.data.csv_formats import FORMATS, check_facts, export
from bot.data.load import read_frames
from bot.data.provider import LABELS, observations_of, rows_by_kind, sample_observations
from bot.data.store import store, store_file
from bot.errors import NoData
from storage import observations
from storage.database import open_database
from storage.observations import recent
from storage.records import KINDS, Bar, Distribution, FundFacts, Multiple, Provisional, SectorWeight, Split
from tests.data.imports import read, refusal
from tests.funds import PAIR

if TYPE_CHECKING:
    from pathlib import Path

    from bot.data.provider import Observations
    from bot.data.store import FileContents
    from storage.database import Database
    from storage.observations import Written
    from storage.records import Observation


AT = "2021-06-01T00:00:00Z"
EXPORTED = ", ".join(name for name in LABELS if name != "sample")


def fill(database: Database, rows: Observations, source: str = "csv", at: str = AT) -> None:
    database.run_sync(lambda db: store(db, rows, source=source, observed_at=at))


def exported(database: Database, what: str, ticker: str) -> str:
    return database.run_sync(lambda db: export(db, what, ticker)).text


def taken(what: str, text: str | Path, ticker: str) -> Observations:
    return read(what, text, ticker).observations


def simulated(after: str) -> Observations:
    return observations_of(
        {
            kind: [row for row in rows if after < row.session <= "2020-12-31"]
            for kind, rows in rows_by_kind(sample_observations()).items()
        }
    )


def test_prices_are_written_in_the_form_that_is_read(database: Database) -> None:
    bar = Bar("IWM", "2020-12-10", 190.91, volume=7)
    fill(
        database,
        {
            "bars": [
                bar,
                replace(bar, session="2020-12-11", close=0.1 + 0.2),
                replace(bar, session="2020-12-14", close=189.0, provisional=1),
                replace(bar, session="2020-12-11", close=366.3, ticker="SPY"),
            ],
            "distributions": [
                Distribution("IWM", "2020-12-08", -0.592, Provisional.AMOUNT),
                Distribution("IWM", "2020-12-09", 0.592),
            ],
            "splits": [Split("IWM", "2020-12-11", 2.0)],
        },
    )
    assert exported(database, "prices", "IWM") == (
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits,Provisional,Dividends Provisional,"
        "source,observed_at\n"
        f"2020-12-08,,,,,,-0.592,,,8,csv,{AT}\n"
        f"2020-12-09,,,,,,0.592,,,0,csv,{AT}\n"
        f"2020-12-10,,,,190.91,7,,,0,,csv,{AT}\n"
        f"2020-12-11,,,,0.30000000000000004,7,,2.0,0,,csv,{AT}\n"
        f"2020-12-14,,,,189.0,7,,,1,,csv,{AT}\n"
    )


def take_in(database: Database, contents: FileContents) -> dict[str, Written]:
    return database.run_sync(lambda db: store_file(db, contents, observed_at=AT))


def copied(database: Database, folder: Path, name: str = "copy.db") -> Database:
    """A new database with all that can be exported of this one, taken in from the files."""
    copy = open_database(folder / name)
    for what in FORMATS:
        for ticker in PAIR:
            with suppress(NoData):
                contents = read(what, exported(database, what, ticker), ticker)
                take_in(copy, contents)
    return copy


def all_rows(database: Database) -> dict[str, list[Observation]]:
    """Every vintage of every kind, in the order in which it was said."""
    return {
        table: sorted(
            (
                row
                for ticker in PAIR
                for row in database.run_sync(lambda db, k=kind, t=ticker: observations.vintages(db, k, t))  # type: ignore[misc]  # bound now
            ),
            key=repr,
        )
        for table, kind in KINDS.items()
    }


def test_what_is_written_reads_back_exactly_under_its_sources(database: Database, tmp_path: Path) -> None:
    part = simulated("2020-10-31")
    fill(database, part)
    with copied(database, tmp_path) as copy:
        assert all_rows(copy) == all_rows(database)
        assert copy.run_sync(observations.stored_sources) == database.run_sync(observations.stored_sources)
        for form in FORMATS:
            for ticker in PAIR:
                text = exported(database, form, ticker)
                assert exported(copy, form, ticker) == text
                for kind, rows in rows_by_kind(taken(form, text, ticker)).items():
                    expected = [
                        replace(row, source="csv", observed_at=AT)
                        for row in rows_by_kind(part).get(kind, [])
                        if row.ticker == ticker
                    ]
                    assert sorted(map(repr, rows)) == sorted(map(repr, expected))


def test_what_was_replaced_and_when_is_in_the_file_too(database: Database, tmp_path: Path) -> None:
    fund, day = "IWM", "2020-12-11"
    bar, fact = Bar(fund, day, 190.0), FundFacts(fund, day, 190.2, 290.0e6)
    pe = Multiple(fund, day, "pe", "morningstar", "unstated", 16.5, price_date="2020-12-10")
    week = SectorWeight(fund, day, "industry group", "Banks, regional", 8.0)
    answers: list[tuple[str, str, Observations]] = [
        ("yahoo", "2020-12-11T21:20:00Z", {"bars": [replace(bar, provisional=1)]}),
        ("yahoo", "2020-12-11T22:20:00Z", {"bars": [bar], "distributions": [Distribution(fund, day, 0.6)]}),
        ("csv", "2020-12-12T10:00:00Z", {"bars": [replace(bar, close=190.01)], "sector_weights": [week]}),
        ("issuer", "2020-12-12T11:00:00Z", {"fund_facts": [fact], "distributions": [Distribution(fund, day, 0.5)]}),
        ("yahoo", "2020-12-14T22:00:00Z", {"distributions": [Distribution(fund, day, None)]}),
        ("yahoo", "2020-12-14T22:00:00Z", {"multiples": [pe]}),
        ("issuer", "2020-12-15T11:00:00Z", {"fund_facts": [replace(fact, shares=290.3e6)]}),
        ("yahoo", "2020-12-16T22:00:00Z", {"bars": [replace(bar, close=190.3)]}),
        ("yahoo", "2020-12-17T22:00:00Z", {"multiples": [replace(pe, value=None, price_date=None)]}),
        ("yahoo", "2020-12-18T22:00:00Z", {"splits": [Split(fund, "2020-12-18", 2.0)]}),
        (
            "yahoo",
            "2020-12-21T22:00:00Z",
            {
                "bars": [Bar(fund, "2020-12-21", 1.9, 190.0, 188.0, 190.5, provisional=Provisional.RANGE)],
                "distributions": [
                    Distribution(fund, "2020-12-21", None, Provisional.AMOUNT),
                    Distribution(fund, "2020-12-18", -0.6, Provisional.AMOUNT),
                ],
            },
        ),
    ]
    for source, at, rows in answers:
        fill(database, rows, source, at)
    with copied(database, tmp_path) as copy:
        assert all_rows(copy) == all_rows(database)
        since = "2020-12-01T00:00:00Z"
        assert copy.run_sync(lambda db: recent(db, since=since)) == database.run_sync(
            lambda db: recent(db, since=since)
        )
        for day in pd.date_range("2020-12-11", "2020-12-18"):
            frames = database.run_sync(lambda db, day=day: read_frames(db, day.date()))  # type: ignore[misc]  # bound now
            copied_frames = copy.run_sync(lambda db, day=day: read_frames(db, day.date()))  # type: ignore[misc]  # bound now
            assert all(frame.equals(copied_frames[kind]) for kind, frame in frames.items())
        # Taken in again, all of it is known.
        before = all_rows(copy)
        written = take_in(copy, read("prices", exported(database, "prices", "IWM")))
        assert {(counts.inserted, counts.revised) for counts in written.values()} == {(0, 0)}
        assert all_rows(copy) == before


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        (f"sample,{AT}", f"source “sample” is none of {EXPORTED}"),
        (f",{AT}", f"source “” is none of {EXPORTED}"),
        ("csv,", "observed_at “” is not a past instant"),
        ("csv,2020-12-11", "observed_at “2020-12-11” is not a past instant"),
        ("csv,2020-13-11T21:20:00Z", "observed_at “2020-13-11T21:20:00Z” is not a past instant"),
        ("csv,2022-02-01T00:00:00Z", "observed_at “2022-02-01T00:00:00Z” is not a past instant"),
    ],
)
def test_source_and_instant_of_an_exported_row_must_be_sound(origin: str, reason: str) -> None:
    example = " like 2020-12-11T21:20:00Z" if "instant" in reason else ""
    assert refusal("prices", f"Date,Close,source,observed_at\n2020-12-11,190.3,{origin}\n") == (
        f"the text was not imported, 1 row is wrong:\nline 2: {reason}{example}"
    )


def test_a_source_without_its_instant_is_a_column_like_any_other(database: Database) -> None:
    text = "Date,Close,source\n2020-12-11,190.3,Somebody\n"
    contents = read("prices", text)
    assert not contents.exported
    assert "Columns not read: source." in contents.preview.sentences()
    take_in(database, contents)
    assert [row.source for row in all_rows(database)["bars"]] == ["csv"]


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        (Distribution("IWM", "2020-12-11", 0.6), [",,,,,,0.6,,,0,", ",,,,,,0,,,0,"]),
        (Split("IWM", "2020-12-11", 2.0), [",,,,,,,2.0,,,", ",,,,,,,0,,,"]),
    ],
)
def test_what_is_withdrawn_is_a_zero_and_reads_back_as_withdrawn(
    database: Database, tmp_path: Path, row: Distribution | Split, lines: list[str]
) -> None:
    instants = (AT, "2021-06-02T00:00:00Z")
    for event, instant in zip((row, replace(row, **dict.fromkeys(row.figures))), instants, strict=True):
        fill(database, {row.table: [event]}, at=instant)  # type: ignore[misc]  # the table's name is the key
    assert exported(database, "prices", "IWM").splitlines()[1:] == [
        f"2020-12-11{cells}csv,{instant}" for cells, instant in zip(lines, instants, strict=True)
    ]
    with copied(database, tmp_path) as copy:
        assert all_rows(copy) == all_rows(database)
        assert len(all_rows(copy)[row.table]) == 2


def test_every_source_is_written(database: Database) -> None:
    fact = FundFacts("IWM", "2020-12-11", shares=None, assets=None)
    fill(database, {"fund_facts": [replace(fact, nav=1.0)]}, source="yahoo")
    fill(database, {"fund_facts": [replace(fact, nav=2.0)]})
    fill(database, simulated("2020-12-01"), "sample")
    header = "date,nav,shares,assets,flow,source,observed_at\n"
    csv, yahoo = f"2020-12-11,2.0,,,,csv,{AT}\n", f"2020-12-11,1.0,,,,yahoo,{AT}\n"
    assert exported(database, "fund-facts", "IWM") == header + csv + yahoo
    exported_file = database.run_sync(lambda db: export(db, "fund-facts", "IWM"))
    assert (exported_file.rows, exported_file.sources) == (2, ("Yahoo", "CSV import"))


def test_sample_data_never_leaves_as_a_file(database: Database) -> None:
    fill(database, simulated("2020-12-01"), "sample")
    with pytest.raises(NoData, match=r"^There are no daily prices of IWM to export\.$"):
        exported(database, "prices", "IWM")
    with pytest.raises(NoData, match=r"^There are no multiples of SPY to export\.$"):
        exported(database, "multiples", "SPY")


def test_what_a_fund_may_have_passes_and_so_does_what_is_missing() -> None:
    check_facts(FundFacts("SPY", "2026-02-03", 689.56, 1_032_782_016.0, 712_072_560_640.0))
    check_facts(FundFacts("IWM", "2007-06-25", None, 150_000.0))
    check_facts(FundFacts("IWM", "2007-06-25"))


def test_figures_that_cannot_belong_together_are_refused() -> None:
    wrong = "^nav 190.2 times shares 90,000,000,000 is above 10,000,000,000,000 dollars, more than any fund has$"
    with pytest.raises(BadCell, match=wrong):
        check_facts(FundFacts("IWM", "2020-12-11", 190.2, 9e10))
