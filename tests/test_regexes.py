"""Every regular expression takes linear time: each runs on long texts made from its own parts.

The expressions are collected from the modules, so a new one is tested too. For each repetition in one, the
texts repeat what it accepts, what leads to it, and both, and end in what the expression refuses.
"""

import ast
import importlib
import pkgutil
import re
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

import bot
import storage
from bot.alerts.lexer import GENERAL, PHRASES, SENTENCE, SPECIFIC
from bot.data.csv_table import DIALECTS
from bot.data.issuers.formats import _OPEN
from bot.delivery.outcome import RULES

METHODS = ("match", "fullmatch", "search", "split", "findall", "finditer", "sub", "subn")
CALLS = {*METHODS, "compile"}
# Calls with an expression that is put together when it is needed, and what it may be.
_VARIABLE: dict[str, list[str]] = {
    "re.compile(pattern.format(**_SPELLINGS['parts']), re.IGNORECASE)": [pattern.pattern for pattern, _ in PHRASES],
    "re.compile(_TABLE['windows']['numbered'], re.IGNORECASE)": [],
    "re.compile(pattern, re.IGNORECASE)": [],
    "re.compile(pattern.replace('MONTH', _TABLE['month']), re.IGNORECASE)": [],
    "re.compile(pattern)": [pattern.pattern for pattern in (*SENTENCE.values(), *SPECIFIC.values())],
    r"re.compile(f'\\b(?:{pattern})\\b')": [pattern.pattern for pattern in GENERAL.values()],
    "re.compile(_OPEN.format(tag))": [_OPEN.format("Row")],
    "re.fullmatch(dialect.dates, date)": [dialect.dates for dialect in DIALECTS],
    "re.search(f\"\\\\b{re.escape(name.replace('_', ' '))}\\\\b\", words)": [r"\bratio\b"],
    "re.sub(f\"^{name.replace('_', ' ')}\\\\b\", name, rule)": [r"^ratio vs sma\b"],
    "re.search(self.pattern, str(error), re.IGNORECASE)": [rule.pattern for rule in RULES],
    "re.compile(f'{stem}-(\\\\d{{4}}-\\\\d\\\\d-\\\\d\\\\d){suffix}{ending}')": [r"bot-(\d{4}-\d\d-\d\d)\.db"],
    "re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)": ["token"],
}
# As this Python writes them: each version quotes f-strings in its own way.
VARIABLE = {ast.unparse(ast.parse(call)): sources for call, sources in _VARIABLE.items()}
UNKNOWN: list[str] = []  # such calls that VARIABLE lacks
Uses = dict[re.Pattern[Any], set[str]]  # by expression, the methods called on it


def compiled(value: object) -> Iterator[re.Pattern[Any]]:
    """The compiled expressions in a global value, which may be a table of them."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, Mapping)):
        for member in value.values() if isinstance(value, Mapping) else value:
            yield from compiled(member)


def syntax(module: ModuleType) -> Iterator[ast.AST]:
    """The parts of a module's source, none where it has no expressions and compiles none."""
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    if "re." in text or any(any(compiled(value)) for value in vars(module).values()):
        yield from ast.walk(ast.parse(text))


def collect(module: ModuleType, uses: Uses) -> None:
    """Add the expressions of a module and how it uses them."""
    space = dict(vars(module))
    for value in vars(module).values():
        for pattern in compiled(value):
            uses.setdefault(pattern, set())
    for node in syntax(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
            for pattern in compiled(space.get(node.value.id)):
                uses[pattern].add(node.attr)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        method = node.func.attr
        if method not in CALLS or ast.unparse(node.func) != f"re.{method}":
            continue
        text = ast.unparse(node)
        flags = sum(getattr(re, name) for name in re.findall(r"\bre\.([A-Z]+)\b", text))
        try:
            source = ast.unparse(node.args[0])
            sources = VARIABLE[text] if text in VARIABLE else [eval(source, space)]  # noqa: S307 - our own code
        except NameError:
            UNKNOWN.append(f"{module.__name__}: {text}")
            continue
        for source in sources:
            uses.setdefault(re.compile(source, flags), set()).update({method} - {"compile"})


def all_uses() -> Uses:
    uses: Uses = {}
    for package in (bot, storage):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                collect(importlib.import_module(module.name), uses)
    return uses


CATEGORIES = {"DIGIT": "0", "SPACE": " ", "WORD": "a", "NOT_DIGIT": "a", "NOT_SPACE": "a", "NOT_WORD": "-"}
COMMON = ' \na0A-.,<"\u00e9'
REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
LONG = 16  # from here on a repetition counts


class Attacks:
    """What may be worst for an expression: of each repetition what leads to it and what it repeats."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
        self.flags = pattern.flags & ~re.UNICODE
        self.groups: dict[int, str] = {}
        self.repeats: list[tuple[str, str]] = []
        self.letters = dict.fromkeys(COMMON)
        tree = _parser.parse(source, self.flags)
        whole = next(self._examples(tree, ""))
        self.repeats += [("", whole)] if self.repeats else []

    def _examples(self, nodes: Any, before: str) -> Iterator[str]:  # noqa: ANN401 - re has no types for it
        """Texts that the nodes accept, the first one the plainest; repetitions are noted on the way."""
        text, others = "", list[str]()
        for operation, argument in nodes:
            first, *more = self._of_node(str(operation), argument, before + text) or [""]
            others += [text + other for other in more]
            text += first
        yield text
        yield from others

    def _of_node(self, operation: str, argument: Any, before: str) -> list[str]:  # noqa: ANN401, C901, PLR0911 - a case for each operation
        if operation in REPEATS:
            least, most, body = argument
            pumps = list(self._examples(body, before))
            if most is _constants.MAXREPEAT or most >= LONG:
                if len(body) == 1 and body.state.groups == 1:
                    accepts = _compiler.compile(body, self.flags)
                    pumps += [letter for letter in self.letters if accepts.fullmatch(letter)]
                self.repeats += [(before, pump) for pump in dict.fromkeys(pumps)]
            return [pumps[0] * least, *pumps]
        if operation in {"LITERAL", "NOT_LITERAL"}:
            self.letters[chr(argument)] = None
            return [chr(argument) if operation == "LITERAL" else "a" if chr(argument) != "a" else "b"]
        if operation == "ANY":
            return ["a"]
        if operation == "IN":
            letters = [letter for kind, value in argument for letter in self._of_node(str(kind), value, "")]
            negated = str(argument[0][0]) == "NEGATE"
            return [letter for letter in COMMON if letter not in letters] if negated else letters
        if operation == "RANGE":
            return [chr(argument[0])]
        if operation == "CATEGORY":
            return [CATEGORIES[str(argument).removeprefix("CATEGORY_")]]
        if operation == "BRANCH":
            return [example for branch in argument[1] for example in self._examples(branch, before)]
        if operation == "SUBPATTERN":
            examples = list(self._examples(argument[3], before))
            self.groups[argument[0]] = examples[0]
            return examples
        if operation == "ATOMIC_GROUP":
            return list(self._examples(argument, before))
        return [self.groups[argument]] if operation == "GROUPREF" else []

    def texts(self, size: int) -> Iterator[str]:
        """Texts of about so many characters."""
        for before, pump in dict.fromkeys(self.repeats):
            for head, unit in ((before, pump), ("", before + pump), ("", before), ("", pump)):
                if unit:
                    yield from (head + unit * (size // len(unit)) + end for end in ("\x00", "<"))


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after so much time of the processor; an expression that runs is interrupted."""

    def expire(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def slow_text(pattern: re.Pattern[Any], methods: set[str]) -> str:
    """A text that an expression takes too long for, "" if there is none.

    Of all texts of 5,000 characters, which may take 0.05 s each, the slowest is tried with 100,000 in 0.25 s:
    less than any quadratic time.
    """
    attacks, empty = Attacks(pattern), pattern.pattern[:0]
    if not attacks.repeats:
        return ""  # it looks at few characters from each place
    for method in methods or {"finditer"}:
        arguments = (empty,) if method in {"sub", "subn"} else ()
        slowest = (0.0, 0)
        for size, seconds in ((5_000, 0.05), (100_000, 0.25)):
            for number, text in enumerate(attacks.texts(size)):
                if size > 5_000 and number != slowest[1]:
                    continue
                subject = text if isinstance(empty, str) else text.encode("latin-1")
                start = time.process_time()
                try:
                    with processor_time(seconds):
                        result = getattr(pattern, method)(*arguments, subject)
                        if method == "finditer":
                            deque(result, maxlen=0)
                except TimeoutError:
                    return f"{method} of {text[:80]!r}..."
                slowest = max(slowest, (time.process_time() - start, number))
    return ""


# Bad ones: nested repetition, neighbours that accept the same, a start that is tried again and again.
PLANTED = (r"(a+)+b", r"(?:<!--.*?-->\s*)*<html", r"x\s*-?\s*y", r"<b>(.*?)</b>", r"[0-9]+\s*:x")


def test_every_expression_takes_linear_time() -> None:
    uses = all_uses()
    assert len(uses) > 100
    assert UNKNOWN == []
    slow = {pattern.pattern: slow_text(pattern, methods) for pattern, methods in uses.items()}
    assert {pattern: text for pattern, text in slow.items() if text} == {}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_bad_expression_in_a_module_is_noticed(planted: str, tmp_path: Path) -> None:
    module = ModuleType("planted")
    module.__file__ = str(tmp_path / "planted.py")
    Path(module.__file__).write_text(f"import re\ndef use(text): return re.search({planted!r}, text)\n")
    uses: Uses = {}
    collect(module, uses)
    assert [slow_text(pattern, methods)[:6] for pattern, methods in uses.items()] == ["search"]
