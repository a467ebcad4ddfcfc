"""The image: two stages, hashes, a user without rights, one folder to write to, a health check that works."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bot.cli import commands

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = re.compile(
    r"^([\w.-]+)==(\S+?)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their words, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    parts = [line.split(None, 1) for line in lines if line.strip()]
    return [(name, " ".join(words.split())) for name, words in parts]


def stages() -> list[list[tuple[str, str]]]:
    """Instructions of each stage, FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, words in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, words))
    return found


def words_of(name: str, stage: int = -1) -> list[str]:
    return [words for kind, words in stages()[stage] if kind == name]


def test_both_stages_start_from_the_same_slim_python_by_its_digest() -> None:
    assert [stage[0][1] for stage in stages()] == ["${BASE} AS build", "${BASE}"]
    (base,) = [words for name, words in instructions() if name == "ARG"]
    pinned = re.fullmatch(r"BASE=python:(\d+\.\d+)\.\d+-slim@sha256:[0-9a-f]{64}", base)
    assert pinned, base
    assert f">={pinned[1]}" == PROJECT["project"]["requires-python"]


def test_the_first_stage_installs_by_hash_as_wheels_and_the_package_alone() -> None:
    packages, package, tools = (run for run in words_of("RUN", 0) if "pip" in run)
    assert "--require-hashes --only-binary :all: -r requirements.lock" in packages
    assert package.endswith("install --no-deps --no-build-isolation .")
    assert tools.endswith("uninstall --yes setuptools pip")


def test_the_second_stage_takes_the_environment_and_nothing_else() -> None:
    assert words_of("COPY") == ["--from=build /opt/bot /opt/bot"]
    assert words_of("ADD") == []


def test_what_is_copied_exists_and_passes_the_dockerignore() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    for words in words_of("COPY", 0):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source


def test_it_runs_as_a_user_without_rights() -> None:
    (user,) = words_of("USER")
    assert int(user) >= 1000
    (making,) = words_of("RUN")
    assert f"--uid {user}" in making
    assert "--owner bot --mode 700 /data" in making
    kinds = [kind for kind, _ in stages()[-1]]
    assert kinds.index("USER") > kinds.index("RUN")


def test_one_folder_is_written_to() -> None:
    assert words_of("VOLUME") == ["/data"]
    assert words_of("WORKDIR") == ["/data"]
    environment = dict(pair.split("=", 1) for words in words_of("ENV") for pair in words.split())
    assert environment["HOME"] == "/data"
    assert environment["MPLCONFIGDIR"].startswith("/data/")
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_health_check_is_the_doctor_on_the_running_bots_configuration() -> None:
    (check,) = words_of("HEALTHCHECK")
    command = json.loads(check[check.index("CMD ") + 4 :])
    (entry,), (default,) = words_of("ENTRYPOINT"), words_of("CMD")
    assert json.loads(entry) == command[:3] == ["python", "-m", "bot"]
    doctor, run = (
        commands.commands[name].make_context(name, words).params for name, *words in (command[3:], json.loads(default))
    )
    assert doctor["config_file"] == run["config_file"] == Path("/data/config.toml")
    assert (command[3], json.loads(default)[0]) == ("doctor", "run")
    assert doctor["quick"]
    assert {"--interval", "--timeout", "--start-period"} <= set(re.findall(r"--[a-z-]+(?==)", check))


def test_no_secret_and_no_registry_is_in_it() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8") + LOCK
    assert re.findall(r"(?i)token|password|secret|api[_-]?key|https?://|index-url http", text) == []


def locked() -> list[tuple[str, str, Marker | None, int]]:
    """Name, version, marker and number of hashes of everything in the lock."""
    return [
        (canonicalize_name(name), version, Marker(marker) if marker else None, hashes.count("sha256:"))
        for name, version, marker, hashes in LOCKED.findall(LOCK)
    ]


def test_every_locked_version_has_its_hashes() -> None:
    assert len(locked()) == len(re.findall(r"^[\w.-]+==", LOCK, re.MULTILINE)) > 30
    assert min(hashes for *_, hashes in locked()) >= 1


@pytest.mark.parametrize("wanted", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["build"])
def test_the_lock_holds_every_dependency_within_its_range(wanted: str) -> None:
    requirement = Requirement(wanted)
    versions = [v for name, v, _, _ in locked() if name == canonicalize_name(requirement.name)]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


def test_the_lock_has_one_version_for_each_python_and_platform() -> None:
    for python in ("3.11.9", "3.12.7", "3.13.2", "3.14.0"):
        for platform, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")):
            environment = {
                "python_full_version": python,
                "python_version": ".".join(python.split(".")[:2]),
                "sys_platform": platform,
                "platform_machine": machine,
                "implementation_name": "cpython",
            }
            names = [n for n, _, marker, _ in locked() if marker is None or marker.evaluate(environment)]
            assert len(names) == len(set(names))
            assert ("pysqlite3" in names) == (platform == "linux" and machine == "x86_64")


def test_the_lock_says_how_it_was_made() -> None:
    command = LOCK.splitlines()[1].removeprefix("#").strip()
    assert command in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "--generate-hashes" in command
    assert "--universal" in command


def test_compose_starts_the_container_that_the_page_describes() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (run,) = re.findall(r"^docker run (.*)$", page, re.MULTILINE)
    compose = " ".join((ROOT / "compose.yaml").read_text(encoding="utf-8").split())
    for option, setting in {
        "--init": "init: true",
        "--restart unless-stopped": "restart: unless-stopped",
        "--read-only": "read_only: true",
        "--tmpfs /tmp": "tmpfs: - /tmp",
        "--cap-drop ALL": "cap_drop: - ALL",
        "--security-opt no-new-privileges": "security_opt: - no-new-privileges:true",
        '--user "$(id -u):$(id -g)"': 'user: "${UID:-10001}:${GID:-10001}"',
        '-v "$PWD/data:/data"': "volumes: - ./data:/data",
    }.items():
        assert option in " ".join(run.split())
        assert setting in compose
    assert run.split()[-1] in compose
