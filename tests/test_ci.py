"""What CI runs beside the tests: the audit of the dependencies, and the security rules of product code."""

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUFF = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
KNOWN = {
    "id": "OSV-2026-1",
    "aliases": [],
    "summary": "Says too much.",
    "affected": [{"package": {"name": "httpx", "ecosystem": "PyPI"}, "ranges": [], "versions": []}],
}


@contextmanager
def advisories(answer: bytes | None, vulnerable: str = "") -> Iterator[tuple[str, list[str]]]:
    """An advisory service that knows of one package, and the packages it was asked about.

    `answer` is what it says instead, if anything.
    """
    asked: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(b"{}")

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(question["package"]["name"])
            found = {"vulns": [KNOWN]} if asked[-1] == vulnerable else {}
            self._say(json.dumps(found).encode() if answer is None else answer)

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def audit(service: str, before: Path = Path(sys.executable).parent) -> tuple[int, list[str]]:
    """Exit code and lines of the audit, with the programs of a folder before all others."""
    path = f"{before}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ADVISORIES": service, "no_proxy": "127.0.0.1"}
    done = subprocess.run(  # noqa: S603 - our own script
        ["/usr/bin/env", "bash", str(ROOT / ".ci" / "audit")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_known_vulnerability_fails_the_audit_of_every_locked_package() -> None:
    with advisories(None, "httpx") as (service, asked):
        code, lines = audit(service)
    assert code == 1
    assert lines[0].startswith("httpx ")
    assert lines[0].endswith(": OSV-2026-1, fixed in no version yet")
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name.lower() for name in asked} <= {name.lower() for name in locked}
    assert len(asked) > 30


def test_an_answer_that_is_cut_off_is_no_verdict() -> None:
    with advisories(b'{"vulns": [') as (service, _):
        code, (line,) = audit(service)
    assert code == 0
    assert line.startswith("pip-audit skipped: no whole answer (")


def test_out_of_reach_the_audit_says_so_and_passes() -> None:
    with advisories(None) as (service, _):
        pass
    assert audit(service) == (0, [f"pip-audit skipped: {service} cannot be reached"])


def test_a_tool_that_is_not_there_fails_the_audit_also_out_of_reach(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$2" = pip_audit ] && echo "No module named $2" && exit 1\n{sys.executable} "$@"\n'
    )
    python.chmod(0o700)
    with advisories(None) as (service, _):
        pass
    assert audit(service, tmp_path) == (1, ["No module named pip_audit"])


def test_the_audit_is_part_of_the_check() -> None:
    assert "bash .ci/audit" in (ROOT / ".ci" / "check").read_text(encoding="utf-8")


THIS = "echo 12"  # the minor version of this Python
# What pytest does there; the environment that it makes is a folder with two programs.
NEWER = """[ "$1" = -m ] || exit 0
mkdir -p "$4/bin"; cd "$4/bin"
printf '#!/bin/sh\\n%s\\n' 'exit 0' >pip
printf '#!/bin/sh\\n[ $1 = -VV ] && echo Python 3.13.1 || {{ echo "$*"; %s; }}\\n' '{}' >python
chmod +x pip python"""


def versions(folder: Path, programs: dict[str, str], mode: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `.ci/versions` does where the Pythons on the PATH, of pyenv and of uv are in a folder."""
    for name, code in programs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o700)
    places = {"PYENV_ROOT": f"{folder}", "UV_PYTHON_INSTALL_DIR": f"{folder}"}
    done = subprocess.run(  # noqa: S603 - our own script
        ["/usr/bin/env", "bash", str(ROOT / ".ci" / "versions"), mode],
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}:/usr/bin:/bin", **places, **environment},
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done


def test_newer_pythons_that_work_are_found(tmp_path: Path) -> None:
    at_hand = {
        "python3": THIS,
        "python3.14": "exit 127",  # pyenv's way to say that another version is set
        "versions/3.14.2/bin/python3.14": "exit 0",
        "cpython-3.13.1-linux/bin/python3.13": "exit 0",
        "python3.12": "exit 0",
    }
    assert versions(tmp_path, at_hand, "list").stdout.splitlines() == [
        f"{tmp_path}/versions/3.14.2/bin/python3.14",
        f"{tmp_path}/cpython-3.13.1-linux/bin/python3.13",
    ]


@pytest.mark.parametrize(
    ("pytest_there", "code", "outcome"),
    [
        (None, 0, "no newer Python is at hand"),
        ("exit 0", 0, "the suite passes on Python 3.13.1"),
        ("exit 1", 1, ""),
        ("exec sleep 60", 0, "NOT WHOLE: the suite on Python 3.13.1 was cut short after 1 s, before any failure"),
    ],
)
def test_the_suite_on_the_newest_python_passes_fails_or_says_that_it_was_cut_short(
    pytest_there: str | None, code: int, outcome: str, tmp_path: Path
) -> None:
    at_hand = {"python3": THIS, **({"python3.13": NEWER.format(pytest_there)} if pytest_there else {})}
    done = versions(tmp_path, at_hand, "newest", SUITE_SECONDS="1" if "cut short" in outcome else "60")
    *_, last = done.stdout.splitlines()
    assert (done.returncode, re.sub(r"\d+ s, ", "1 s, ", last.partition(";")[0])) == (code, outcome or last)
    left_out = re.findall(r" --(?:ignore|deselect)=([\w/.]+)", done.stdout)
    assert len(left_out) == (6 if pytest_there else 0)
    assert all((ROOT / path).exists() for path in left_out)


def test_the_suite_on_the_newest_python_is_part_of_the_run_within_its_time() -> None:
    *_, last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert last == "SUITE_SECONDS=$((840 - SECONDS)) bash .ci/versions newest"


def test_the_security_rules_hold_in_product_code() -> None:
    assert RUFF["select"] == ["ALL"]
    assert not [code for code in RUFF["ignore"] if code.startswith("S") and not code.startswith("SIM")]
    for files, codes in RUFF["per-file-ignores"].items():
        assert not files.startswith(("bot", "storage", "*")), files
        assert "S" not in codes


@pytest.mark.parametrize("folder", ["bot", "storage"])
def test_an_exception_to_a_security_rule_names_the_rule_and_its_reason(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "ruff: noqa" not in text, file
        for comment in re.findall(r"# noqa(.*)", text):
            assert re.fullmatch(r": [A-Z]+\d+(, [A-Z]+\d+)* - \S.*", comment), f"{file}: {comment}"
