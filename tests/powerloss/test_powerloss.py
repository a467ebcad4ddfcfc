"""The states after a power cut, and a short run of `python -m tests.powerloss`."""

import logging
from pathlib import Path

import pytest

from tests.powerloss.__main__ import compiled, judged, recorded
from tests.powerloss.disk import Recorded, states
from tests.powerloss.scenes import Judge


def line(kind: str, inode: int = 0, offset: int = 0, data: bytes = b"") -> bytes:
    return f"{kind} {inode} {offset} {len(data)}\n".encode() + data


def ends(*lines: bytes) -> set[tuple[tuple[str, bytes | None], ...]]:
    """The files, each state once, of a cut at the end; /f/a is there before."""
    scene = Recorded("scene", {"/f/a": (1, b"old")}, b"".join(lines))
    return {tuple(sorted(state.files.items())) for state in states(scene) if state.over}


REPLACED = (line("C", 2, 0, b"/f/b"), line("W", 2, 0, b"new"), line("R", 0, 0, b"/f/b\n/f/a"))


@pytest.mark.parametrize(
    ("lines", "possible"),
    [
        ([line("W", 1, 3, b"er")], {b"old", b"older", b"old\0\0"}),
        ([line("W", 1, 3, b"er"), line("S", 1, 0, b"/f/a")], {b"older"}),
        ([line("T", 1, 1), line("W", 1, 1, b"x")], {b"old", b"o", b"ox", b"oxd", b"o\0"}),
        ([line("U", 0, 0, b"/f/a"), line("S", 9, 0, b"/f")], {None}),
        (REPLACED, {b"old", b"", b"new", b"\0\0\0"}),
        ([*REPLACED[:2], line("S", 2, 0, b"/f/b"), REPLACED[2]], {b"old", b"new"}),
        ([*REPLACED, line("S", 2, 0, b"/f/b"), line("S", 9, 0, b"/f")], {b"new"}),
    ],
)
def test_what_was_synced_is_there_and_of_the_rest_any_part(lines: list[bytes], possible: set[bytes | None]) -> None:
    assert {dict(files).get("/f/a") for files in ends(*lines)} == possible


def test_sectors_of_one_write_are_torn() -> None:
    contents = {dict(files)["/f/a"] or b"" for files in ends(line("W", 1, 0, b"x" * 4096))}
    assert {len(content.replace(b"\0", b"")) % 512 for content in contents} == {0, 3}
    assert any(0 < content.count(b"x") < 4096 for content in contents)


async def test_a_restore_outlives_a_power_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    library = compiled(tmp_path)
    if library is None:
        return  # without a compiler there is nothing to record with; the command says so
    (scene,) = recorded(tmp_path, library, ["restore"])
    count, problems = await judged(tmp_path, scene, Judge())
    assert (count > 50, problems) == (True, [])
