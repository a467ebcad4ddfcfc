from __future__ import annotations

from pathlib import Path

import pytest

from bot.local.folder import Folder
from bot.local.rules import Refused

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


@pytest.mark.parametrize(
    ("name", "caption", "kept"),
    [
        ("compare.png", "", "01-compare.png"),
        ("../../Flow $ & units.PNG", "", "01-flow-units.png"),
        ("application.octet-stream", "IWM leads SPY\nby 15 pp", "01-iwm-leads-spy.png"),
        ("application.octet-stream", "", "01-picture.png"),
        ("日本.png", "", "01-picture.png"),
    ],
)
def test_picture_is_named_after_its_upload_or_caption(
    tmp_path: Path, name: str, caption: str, kept: str
) -> None:
    folder = Folder(tmp_path)
    assert folder.get(folder.add_picture(PNG, name, caption))[1] == str(tmp_path / kept)
    assert [path.name for path in tmp_path.iterdir()] == [kept]


def test_same_bytes_are_kept_once_and_others_get_the_next_number(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.add_picture(PNG, "a.png", "") == folder.add_picture(PNG, "b.png", "")
    folder.add_picture(PNG + b"2", "a.png", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01-a.png", "02-a.png"]


def test_later_run_overwrites_nothing_and_finds_what_is_already_there(tmp_path: Path) -> None:
    Folder(tmp_path).add_picture(PNG, "a.png", "")
    same, other = Folder(tmp_path), Folder(tmp_path)
    assert same.get(same.add_picture(PNG, "a.png", ""))[1] == str(tmp_path / "01-a.png")
    assert other.get(other.add_picture(PNG + b"2", "a.png", ""))[1] == str(tmp_path / "02-a.png")
    assert (tmp_path / "01-a.png").read_bytes() == PNG


def test_folder_that_cannot_be_made_is_said_and_nothing_fails(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    folder = Folder(blocked / "charts")
    place = folder.get(folder.add_picture(PNG, "a.png", ""))[1]
    assert place == f"{blocked / 'charts' / '01-a.png'} (not saved: Not a directory)"


def test_without_a_folder_the_picture_is_named_and_not_saved() -> None:
    folder = Folder(None)
    facts, place = folder.get(folder.add_picture(PNG, "a.png", ""))
    assert place == "01-a.png (not saved: there is no folder for pictures)"
    assert facts["file_size"] == len(PNG)


def test_unknown_file_is_refused() -> None:
    with pytest.raises(Refused, match=r"^wrong file identifier/HTTP URL specified$"):
        Folder(None).get("elsewhere")
