"""The states in which a power cut may leave the files of a folder, from a record of what was done to them.

What was synced is there: a file's bytes with its own sync, names with that of their folder. Of what was done
since, any part may be there and any other not, in whole sectors, whatever came first. A write that is not
there may have left the file longer, with zeros.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
PREFIXES, SUBSETS = 12, 6  # at most, of each kind, at a cut


@dataclass(eq=False)
class File:
    """The bytes of a file that are on the disk."""

    content: bytes = b""


@dataclass(frozen=True, eq=False)
class Change:
    """One thing done: to bytes (W, T) or to a name (C, U, R, L). `file` is None for a folder."""

    kind: str
    file: File | None
    path: str = ""
    source: str = ""
    offset: int = 0
    data: bytes = b""

    @property
    def of_bytes(self) -> bool:
        """Whether it is synced with the file, not with the folder."""
        return self.kind in "WT"


@dataclass(frozen=True)
class Recorded:
    """What happened in a folder: its files before, by path with their inodes, and the record of changes.

    `told` holds messages: chat, text, and the length of the record when Telegram had it.
    """

    name: str
    start: dict[str, tuple[int, bytes]]
    record: bytes
    told: list[tuple[int, str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """The files after a power cut, the messages that Telegram has, and whether all had been done before."""

    cut: int
    files: dict[str, bytes | None]
    told: list[tuple[int, str]]
    over: bool

    def write(self, root: Path, folder: Path) -> None:
        """Make the files in a folder, those of `root` in the record."""
        for path, content in sorted(self.files.items()):
            file = folder / Path(path).relative_to(root)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.mkdir(exist_ok=True) if content is None else file.write_bytes(content)


def events(record: bytes) -> Iterator[tuple[str, int, int, bytes, int]]:
    """Kind, inode, offset, bytes, and the length of the record before it."""
    at = 0
    while at < len(record):
        end = record.index(b"\n", at)
        kind, inode, offset, length = record[at:end].split()
        begin, following = end + 1, end + 1 + int(length)
        yield kind.decode(), int(inode), int(offset), record[begin:following], at
        at = following


def states(recorded: Recorded, seed: int = 1) -> Iterator[State]:
    """Every state at each cut: before each sync, at each message, and at the end."""
    chance = random.Random(seed)
    inodes = {inode: File(content) for inode, content in recorded.start.values()}
    on_disk: dict[str, File | None] = {path: inodes[inode] for path, (inode, _) in recorded.start.items()}
    now, pending = dict(on_disk), list[Change]()
    cuts = sorted(at for _, _, at in recorded.told)

    def cut(at: int) -> Iterator[State]:
        told = [(chat, text) for chat, text, when in recorded.told if when <= at]
        seen = set()
        for kept in _subsets(pending, chance):
            files = _after(on_disk, kept)
            if (key := hash(tuple(sorted(files.items(), key=lambda item: item[0])))) not in seen:
                seen.add(key)
                yield State(at, files, told, at == len(recorded.record))

    for kind, inode, offset, data, at in events(recorded.record):
        while cuts and cuts[0] <= at:
            yield from cut(cuts.pop(0))
        if kind == "S":
            yield from cut(at)
            synced = [change for change in pending if _is_synced(change, inodes.get(inode), data.decode())]
            on_disk, contents = _applied(on_disk, synced)
            for file, content in contents.items():
                file.content = content
            pending = [change for change in pending if change not in synced]
        elif kind in "WT":
            pending.append(Change(kind, inodes[inode], offset=offset, data=data))
        else:
            source, _, path = data.decode().rpartition("\n")
            if kind == "C" and inode:
                inodes[inode] = File()
            named = inodes.get(inode) if kind == "C" else now[source or path]
            pending.append(Change(kind, named, path, source))
            now, _ = _applied(now, pending[-1:])
    yield from cut(len(recorded.record))


def _is_synced(change: Change, file: File | None, path: str) -> bool:
    if change.of_bytes:
        return change.file is file
    return str(Path(change.path).parent) == path


def _subsets(pending: list[Change], chance: random.Random) -> Iterator[list[Change]]:
    """What of the pending changes is on the disk: nothing, each prefix, names or bytes alone, parts."""
    count = len(pending)
    for length in {count * step // PREFIXES for step in range(PREFIXES + 1)}:
        yield pending[:length]
    for of_bytes in (True, False):
        yield [change for change in pending if change.of_bytes is of_bytes]
    for _ in range(SUBSETS if count else 0):
        yield [change for change in pending if chance.random() < 0.5]
        yield [part for change in pending for part in _torn(change, chance)]
        yield [part for change in pending for part in _zeroed(change, chance)]


def _torn(change: Change, chance: random.Random) -> Iterator[Change]:
    """The sectors of a write that are there."""
    if change.kind != "W":
        yield change
        return
    begin, end = change.offset, change.offset + len(change.data)
    while begin < end:
        border = min((begin // SECTOR + 1) * SECTOR, end)
        data = change.data[begin - change.offset : border - change.offset]
        if chance.random() < 0.5:
            yield Change("W", change.file, offset=begin, data=data)
        begin = border


def _zeroed(change: Change, chance: random.Random) -> Iterator[Change]:
    """The write, or only the length that it gave the file."""
    if change.kind == "W" and chance.random() < 0.5:
        yield Change("Z", change.file, offset=change.offset + len(change.data))
    else:
        yield change


def _applied(names: dict[str, File | None], changes: list[Change]) -> tuple[dict[str, File | None], dict[File, bytes]]:
    """Names after the changes, and the bytes of the files that they change."""
    names, contents = dict(names), dict[File, bytearray]()
    for change in changes:
        if change.kind in "WTZ" and change.file is not None:
            content = contents.setdefault(change.file, bytearray(change.file.content))
            end = change.offset + len(change.data)
            content.extend(bytes(max(end - len(content), 0)))
            if change.kind == "T":
                del content[end:]
            content[change.offset : end] = change.data
        elif change.kind == "U":
            names.pop(change.path, None)
        else:
            if change.kind == "R" and names.get(change.source) is change.file:
                del names[change.source]
            names[change.path] = change.file
    return names, {file: bytes(content) for file, content in contents.items()}


def _after(on_disk: dict[str, File | None], kept: list[Change]) -> dict[str, bytes | None]:
    names, contents = _applied(on_disk, kept)
    return {path: None if file is None else contents.get(file, file.content) for path, file in names.items()}
