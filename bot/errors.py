"""Errors whose message is shown to the person who caused them.

BotError
├── ConfigError        the configuration cannot be used
├── BadInput           what a person typed cannot be understood
│   └── Ambiguous      it can be understood in several ways
├── NoData             the stored data cannot answer the question
├── ChartFailed        a chart cannot be drawn now
└── ImportRejected     a file was not imported
"""

OUT_OF_MEMORY = "There is too little memory; free some, or give the bot more, e.g. 512 MB."


# How threads, shared libraries, native code and OpenSSL say it.
_OUT_OF_MEMORY = (
    "can't start new thread",
    "failed to map segment",
    "allocate memory",
    "without setting an exception",
    "without exception set",
    "library has no ciphers",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, or the error came of an error that says so."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


class BotError(Exception):
    """Base of all errors shown to a person. `sentence` is the reason, `example` an input that works."""

    def __init__(self, sentence: str, example: str = "") -> None:
        self.sentence = sentence
        self.example = example
        super().__init__(f"{sentence} Example: {example}" if example else sentence)


class ConfigError(BotError):
    """The configuration cannot be used. `problems` has one sentence for each key."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class BadInput(BotError):
    """What was typed cannot be understood."""


class Ambiguous(BadInput):
    """The word `typed` can be read in several ways: `readings` are their labels with what to type for each."""

    def __init__(self, sentence: str, typed: str, readings: list[tuple[str, str]]) -> None:
        self.typed, self.readings = typed, readings
        super().__init__(sentence)


class NoData(BotError):
    """The stored data cannot answer the question. `step`: what the bot's owner can do about it."""

    def __init__(self, reason: str, example: str = "", *, step: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason} {step}".strip(), example)


class ChartFailed(BotError):
    """A chart cannot be drawn now. The text that it belongs to is sent without it."""


class ImportRejected(BotError):
    """A file was not imported. Nothing of it was stored."""
