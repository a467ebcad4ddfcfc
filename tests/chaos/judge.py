"""The verdict on a run: every message is held against what the script says and what was done to the bot."""

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass

import msgspec

from bot.delivery.rate_limiter import COUNTED
from bot.delivery.send import REPEAT_MARK, compose
from bot.local.botapi import parse_html
from bot.messages.html import strip_html
from bot.text import short_date
from storage.outbox import OutboxMessage
from tests.chaos import script
from tests.chaos.story import SHOT, Chaos
from tests.fakes.botapi import RecordedRequest

FIRST_LINE = "Daily summary"


@dataclass(frozen=True)
class Count:
    """One line of the report; a fault unless `good`."""

    words: str
    number: int
    good: bool = True

    def __str__(self) -> str:
        return f"{'' if self.good else 'FAIL  '}{self.words}: {self.number:,}"


def judged(run: Chaos) -> list[Count]:
    """All counts of a run that has come to its end."""
    return [*_done(run), *verdicts(run)]


def verdicts(run: Chaos) -> list[Count]:
    """The counts of what came of it."""
    return [*_alerts(run), *_copies(run), *_summaries(run), *costs(run), *_commands(run), _whole(run)]


def _must(words: str, number: int, wanted: int = 0) -> Count:
    return Count(words, number, number == wanted)


def _done(run: Chaos) -> list[Count]:
    kills = "; ".join(f"{count} by {kind}" for kind, count in sorted(run.kills.items()))
    return [
        Count(f"kills ({kills})", run.kills.total()),
        Count("lives", run.lives),
        Count("sessions", run.number - script.QUIET + 1),
        Count(f"writing statements of one life, each died at (whole sweeps: {run.swept})", run.statements),
        Count("kills that hit a message being sent", run.hits.total()),
        Count("sends of unknown outcome by the server's fault", _unknown(run).total()),
        Count("updates delivered again", run.redelivered),
    ]


def _alerts(run: Chaos) -> list[Count]:
    """What the script makes fire must be stored once and told at least once."""
    expected = {
        (chat_id, script.fires(number), f"{script.session(number):%Y-%m-%d}")
        for chat_id in script.CHATS
        for number in range(script.QUIET, run.number + 1)
    }
    sql = "SELECT chat_id, number, session, deferred FROM alert_events JOIN alerts USING (alert_id)"
    rows = run.rows(sql)
    held = [row for row in rows if row["chat_id"] in script.HELD]
    stored = Counter((row["chat_id"], row["number"], row["session"]) for row in rows if row not in held)
    texts = {chat_id: [m.text for m in run.api.messages(chat_id)] for chat_id in script.CHATS}
    reported = {key for key in expected if any(_tells(text, key) for text in texts[key[0]])}
    unreported = [row for row in held if row["deferred"] or not _released(run, row)]
    return [
        Count("alerts that should have fired", len(expected)),
        _must("lost: not stored", len(expected - stored.keys())),
        _must("lost: not told", len(expected - reported)),
        _must("lost: held back and not told", len(unreported)),
        _must("stored twice, or without a reason", sum(stored.values()) - len(expected & stored.keys())),
    ]


def _tells(text: str, key: tuple[int, int, str]) -> bool:
    _, number, day = key
    date = short_date(dt.date.fromisoformat(day))
    return f"#{number}" in text and date in text and not text.startswith(FIRST_LINE)


def _released(run: Chaos, row: dict[str, object]) -> bool:
    return any(f"#{row['number']}" in message.text for message in run.api.messages(int(str(row["chat_id"]))))


def _copies(run: Chaos) -> list[Count]:
    """At most one copy more for each kill and unknown outcome, and each after the first marked."""
    unknown, copies = _unknown(run), _received(run)
    extra = more = unmarked = unfinished = lost = 0
    for row in run.rows("SELECT * FROM outbox WHERE kind <> 'summary'"):
        marks = copies[_key(row)]
        unfinished += row["status"] not in ("sent", "dead") or (row["status"] == "dead" and not row["reason"])
        lost += not marks
        extra += max(len(marks) - 1, 0)
        more += len(marks) > 1 + run.hits[row["id"]] + unknown[_key(row)]
        unmarked += sum(not repeat for repeat in marks[1:])
    return [
        Count("copies beyond the first", extra),
        _must("queued messages that never came", lost),
        _must("messages with more copies than kills and unknown outcomes explain", more),
        _must("copies that are not marked", unmarked),
        _must("messages neither sent nor given up with a reason", unfinished),
    ]


def _summaries(run: Chaos) -> list[Count]:
    copies = _received(run)
    rows = run.rows("SELECT * FROM outbox WHERE kind = 'summary'")
    came = [len(copies[_key(row)]) for row in rows]
    return [
        Count("summaries queued", len(rows)),
        Count("summaries not repeated after an unknown outcome, and perhaps lost", came.count(0)),
        _must("summaries repeated", sum(count > 1 for count in came)),
    ]


def costs(run: Chaos) -> list[Count]:
    """What the kills cost is at most what stood between mark and answer, by what the server saw."""
    arrived = unseen = without = 0
    for death in run.deaths:
        counted = [call for call in death.requests if call.method.startswith(COUNTED)]
        calls = [call for call in counted if call.method != "sendChatAction"]
        texts = {_sent(call) for call in calls if call.method == "sendMessage"}
        free = death.slots - Counter(call.chat_id for call in calls if call.chat_id is not None)
        unseen += free.total()  # slots whose requests had not come in
        for row in death.sending:
            if _key(row) in texts:
                arrived += 1
            elif free[row["chat_id"]] > 0:
                free[row["chat_id"]] -= 1
            else:
                without += 1
    left = {_sent(call) for call in run.api.calls("sendMessage")}
    given_up = run.rows("SELECT * FROM outbox WHERE status = 'dead' AND reason LIKE '%cut off while sending'")
    copies, rows = _received(run), run.rows("SELECT * FROM outbox WHERE kind <> 'summary'")
    marked = sum(sum(copies[_key(row)]) for row in rows)
    explained = arrived + unseen + _unknown(run).total()
    return [
        Count("requests at the kills that had come in and were not recorded", arrived),
        Count("requests at the kills that had a slot and had not come in", unseen),
        _must("messages at the kills that were marked without a slot", without),
        Count("summaries given up in a kill", len(given_up)),
        Count("    of which had never left", sum(_key(row) not in left for row in given_up)),
        Count("copies that are marked", marked),
        _must("given up or marked beyond those requests", max(len(given_up) + marked - explained, 0)),
    ]


def _commands(run: Chaos) -> list[Count]:
    """An update that was noted had its effect once: numbers used up, and the last setting stands."""
    alerts = [run.commands[update] for update in run.noted if run.commands[update].startswith("/alert ratio")]
    (chat,) = run.rows("SELECT * FROM chats WHERE chat_id = ?", script.TALKER)
    return [
        Count("commands sent", len(run.commands)),
        Count("commands noted", len(run.noted)),
        _must("alerts made twice by an update delivered again", chat["last_number"] - len(alerts)),
        _must("settings changed back by one", run.changed_back),
    ]


def _whole(run: Chaos) -> Count:
    for problem in run.problems:
        print(f"      {problem}")  # noqa: T201 - the command's voice
    return _must("faults of lives, of the database's integrity and its references", len(run.problems))


def _received(run: Chaos) -> dict[tuple[int, str], list[bool]]:
    """Messages by chat and text without its mark, in order: whether each was marked."""
    marks: dict[tuple[int, str], list[bool]] = defaultdict(list)
    mark = f"{REPEAT_MARK}\n"
    for message in [m for chat_id in run.api.chats for m in run.api.messages(chat_id)]:
        marks[message.chat_id, message.text.removeprefix(mark)].append(message.text.startswith(mark))
    return marks


def _unknown(run: Chaos) -> Counter[tuple[int, str]]:
    """Sends that the server left without a proper answer, by chat and text without its mark."""
    calls = [call for call in run.api.calls("sendMessage") if call.description != SHOT]
    return Counter(_sent(call) for call in calls if call.status == 0 or call.status >= 500)


def _sent(call: RecordedRequest) -> tuple[int, str]:
    """The chat and the text of a sendMessage, without its mark."""
    text, *_ = parse_html(call.fields["text"])
    return call.chat_id or 0, text.strip().removeprefix(f"{REPEAT_MARK}\n")


def _key(row: dict[str, object]) -> tuple[int, str]:
    """The chat and the text by which a row's messages are found."""
    (part,) = compose(msgspec.convert(row, OutboxMessage))
    return int(str(row["chat_id"])), strip_html(part).removeprefix(f"{REPEAT_MARK}\n").strip()
