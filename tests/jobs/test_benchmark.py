import shutil
from pathlib import Path

from benchmarks.judging import build, evaluated


async def test_the_benchmark_evaluates_what_it_says(tmp_path: Path) -> None:
    databases = [tmp_path / f"{scenario}.db" for scenario in ("steady", "first", "catch-up")]
    await build(databases[0], 100, 0.5)
    for path in databases[1:]:
        shutil.copyfile(databases[0], path)
    rows = [await evaluated(path, path.stem) for path in databases]
    assert [row["fires"] for row in rows[:2]] == [51, 51]
    assert rows[2]["fires"] > 51
    assert all(row["seconds"] > 0 and row["peak"] > 10 for row in rows)
