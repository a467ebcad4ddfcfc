"""How the suite runs: hypothesis' settings, where files lie, and what the header says about the one skip."""

from __future__ import annotations

import ast
import gc
import os
import signal
import ssl
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.shared_data import EXISTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.place import Place

MARKS = frozenset({"shared", "skipif"})  # tests.shared_data's mark, and what it is made of

# A busy machine is slow and that is no fault; the same examples each time, so that red stays red.
# The suite tries few; `pytest --hypothesis-profile long` tries many.
settings.register_profile("suite", max_examples=25, deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("long", settings.get_profile("suite"), max_examples=1_000)
settings.load_profile("suite")

# A suite that runs in the background of a script ignores Ctrl-C, and so would each process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Every commit waits for the disk; in memory, where there is room and programs may be started, it does not.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes its own folder there
_SYSTEM = os.statvfs(_MEMORY) if _MEMORY.is_dir() else None
if _SYSTEM and _SYSTEM.f_bavail * _SYSTEM.f_frsize > 2 * 2**30 and not _SYSTEM.f_flag & os.ST_NOEXEC:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Each HTTP client would read all certificate authorities again, though on loopback nothing is encrypted.
vars(ssl)["create_default_context"] = cache(ssl.create_default_context)

# Many processes start from this checkout: compiling it again in each would take a tenth of the time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# httpcore imports it at every request; where it lacks, every folder of modules would be searched again.
if find_spec("sniffio") is None:
    vars(sys)["modules"]["sniffio"] = None


def pytest_collection_finish() -> None:
    """Modules and collected tests stay to the end, so the garbage collector need not visit them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # of what the tests make, hardly anything is garbage in cycles
    count = gc.get_freeze_count()
    vars(gc)["get_freeze_count"] = lambda: count  # it goes through all of them, at each new Evaluation


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A folder with a configuration that names the fake Bot API."""
    from tests.fakes.botapi import FakeBotApi  # noqa: PLC0415 - late: few tests need a bot at work
    from tests.place import ME, OWNER, Place  # noqa: PLC0415 - as above

    async with FakeBotApi() as api:
        api.chat(ME)
        api.chat(OWNER)
        made = Place(tmp_path, api)
        made.configure()
        yield made


def pytest_report_header() -> str:
    """Whether the full history is there, and how many tests are skipped without it."""
    count = sum(marked(file) for file in Path(__file__).parent.rglob("test_*.py"))
    where = "beside the checkout" if EXISTS else "not beside the checkout"
    return f"full history: {where}, {count} test functions {'use it' if EXISTS else 'skipped'}"


def marked(file: Path) -> int:
    """Number of test functions in a file that need the full history (parameters counted once)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    whole = any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark" and _needs(node.value)
        for node in tree.body
    )
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    return sum(whole or any(map(_needs, test.decorator_list)) for test in tests)


def _needs(node: ast.expr) -> bool:
    return any(
        (isinstance(part, ast.Name) and part.id in MARKS) or (isinstance(part, ast.Attribute) and part.attr in MARKS)
        for part in ast.walk(node)
    )
