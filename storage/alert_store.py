"""Alerts: the rules of chats, the engine's states, what they were evaluated on, and their events.

Rules and states are JSON text that the alert engine makes and reads. A state is stored when the alert turns,
and holds until the next one. The last evaluated session and its figures are stored once for all alerts that
read the same subject; an alert that was not evaluated with the others has a session of its own.

Events are fires, withdrawals and restatements; each is stored once per session and revision. A deferred event
is not sent yet, because its alert is snoozed or its chat has quiet hours or sleeps. Splits change the levels
of alerts that were set before them.
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import sqlite_utils

from storage import outbox, records
from storage.chat_store import next_alert_number
from storage.database import Refused

SWITCHED_OFF = "switched off"


class StoredAlert(msgspec.Struct, frozen=True):
    """A row of the alerts table.

    number            its number in its chat
    life              "active", "paused", "expired" or "done"
    reason            why it is paused or has ended, if the bot did it
    created_session   last session known when it was created
    expires_on        its last day, in the chat's time zone; None: it never ends
    announced_expiry  the expires_on that was announced
    thread_id         the forum topic it was created in
    level_session     its price levels are in the shares of this session
    last_split_id     the newest row of `splits` that its levels allow for
    evaluated         its last evaluated session; None: that of its subject
    acknowledged      session of the last fire of which no reminders are wanted any more
    """

    alert_id: int
    chat_id: int
    number: int
    owner_id: int
    rule: str
    rule_json: str
    life: str
    reason: str
    created_at: dt.datetime
    created_session: dt.date | None
    expires_on: dt.date | None
    announced_expiry: dt.date | None
    snoozed_until: dt.datetime | None
    thread_id: int | None
    level_session: dt.date | None
    last_split_id: int
    evaluated: dt.date | None
    acknowledged: dt.date | None


class ExpiringAlert(StoredAlert, frozen=True):
    """An alert with the time zone of its chat."""

    timezone: str | None


class StoredState(msgspec.Struct, frozen=True):
    """An evaluated session and the engine's state after it, as JSON."""

    session: dt.date
    state: str


def add_alert(  # noqa: PLR0913 - an alert's columns, by name
    db: sqlite_utils.Database,
    *,
    chat_id: int,
    owner_id: int,
    rule: str,
    rule_json: str,
    now: records.Moment,
    session: str | None = None,
    expires_on: str | None = None,
    thread_id: int | None = None,
) -> StoredAlert:
    """Store an alert under the chat's next number, which is never used again, and return it.

    `session` is the last one known at creation, `expires_on` the local date on which the alert ends
    (None: never), `thread_id` the topic of its messages. Raises Refused when the chat is unknown.
    """
    number = next_alert_number(db, chat_id)
    if number is None:
        raise Refused(f"Chat {chat_id} is not known; an alert needs one.")
    row = {
        "chat_id": chat_id,
        "number": number,
        "owner_id": owner_id,
        "rule": rule,
        "rule_json": rule_json,
        "created_at": records.instant(now),
        "created_session": session,
        "level_session": session,
        "expires_on": expires_on,
        "thread_id": thread_id,
        "last_split_id": newest_split_id(db),
    }
    return alerts_by_id(db, [records.insert(db, "alerts", row) or 0])[0]


def get_alert(db: sqlite_utils.Database, chat_id: int, number: int) -> StoredAlert | None:
    """Returns a chat's alert by the number people see, or None."""
    sql = "SELECT * FROM alerts WHERE chat_id = ? AND number = ?"
    return records.select_first(db, StoredAlert, sql, (chat_id, number))


def is_unchanged(db: sqlite_utils.Database, alert: StoredAlert) -> bool:
    """Returns whether an alert still has the rule and the life with which it was read."""
    sql = "SELECT 1 FROM alerts WHERE alert_id = ? AND rule_json = ? AND life = ?"
    return bool(records.select(db, sql, (alert.alert_id, alert.rule_json, alert.life)))


def alerts_by_id(db: sqlite_utils.Database, alert_ids: Iterable[int]) -> list[StoredAlert]:
    """Returns the alerts with these ids, as far as they exist, in the order of their ids."""
    sql = "SELECT * FROM alerts WHERE alert_id IN (SELECT value FROM json_each(?)) ORDER BY alert_id"
    return records.select_as(db, StoredAlert, sql, (json.dumps(list(alert_ids)),))


def alerts_of(db: sqlite_utils.Database, chat_id: int) -> list[StoredAlert]:
    """Returns a chat's active and paused alerts in the order of their numbers."""
    sql = "SELECT * FROM alerts WHERE chat_id = ? AND life IN ('active', 'paused') ORDER BY number"
    return records.select_as(db, StoredAlert, sql, (chat_id,))


def active_alerts(db: sqlite_utils.Database) -> list[StoredAlert]:
    """Returns all alerts to evaluate: the active ones, not of inactive chats, in the order of their ids."""
    sql = """
        SELECT alerts.* FROM alerts JOIN chats USING (chat_id)
        WHERE life = 'active' AND status <> 'inactive' ORDER BY alert_id
    """
    return records.select_as(db, StoredAlert, sql)


def recently_ended(db: sqlite_utils.Database, session: str) -> list[StoredAlert]:
    """Returns alerts that are not evaluated any more and have an event since `session`.

    Those that were switched off by hand, and of inactive chats, are left out. Ordered by id.
    """
    sql = """
        SELECT alerts.* FROM alerts JOIN chats USING (chat_id)
        WHERE life <> 'active' AND alerts.reason <> ? AND status <> 'inactive'
        AND alert_id IN (SELECT alert_id FROM alert_events WHERE session >= ?)
        ORDER BY alert_id
    """
    return records.select_as(db, StoredAlert, sql, (SWITCHED_OFF, session))


def expiring_alerts(db: sqlite_utils.Database, by: str) -> list[ExpiringAlert]:
    """Returns active and paused alerts that end by a date, not of inactive chats, soonest first."""
    sql = """
        SELECT alerts.*, timezone FROM alerts JOIN chats USING (chat_id)
        WHERE life IN ('active', 'paused') AND expires_on <= ? AND status <> 'inactive'
        ORDER BY expires_on, alert_id
    """
    return records.select_as(db, ExpiringAlert, sql, (by,))


def update_alert(db: sqlite_utils.Database, alert_id: int, **columns: object) -> bool:
    """Set columns of an alert; its end, if that is set, is announced again. False if there is no such alert.

    Another rule needs other states. A rule typed now has its levels in the shares of the last known session
    (`level_session`), and allows for every known split (`last_split_id`).
    """
    if "expires_on" in columns:
        columns.setdefault("announced_expiry", None)
    values = {column: records.stored_value(value) for column, value in columns.items()}
    settings = ", ".join(f"{column} = :{column}" for column in columns)
    sql = f"UPDATE alerts SET {settings} WHERE alert_id = :alert"  # noqa: S608 - names of the schema
    return records.change(db, sql, {**values, "alert": alert_id}) == 1


def mark_expiry_announced(db: sqlite_utils.Database, alert_id: int) -> bool:
    """Record that the end of an alert was announced. Returns False also when it was recorded before."""
    sql = """
        UPDATE alerts SET announced_expiry = expires_on
        WHERE alert_id = ? AND announced_expiry IS NOT expires_on
    """
    return records.change(db, sql, (alert_id,)) == 1


def switch_off(db: sqlite_utils.Database, alert_id: int) -> bool:
    """End an alert at its owner's wish and drop its deferred events."""
    db.execute("UPDATE alert_events SET deferred = NULL WHERE alert_id = ?", (alert_id,))
    return update_alert(db, alert_id, life="done", reason=SWITCHED_OFF)


def drop_deferred_reminders(db: sqlite_utils.Database, alert_id: int) -> None:
    """Send none of an alert's deferred reminders."""
    sql = "UPDATE alert_events SET deferred = NULL WHERE alert_id = ? AND transition = 'reminder'"
    db.execute(sql, (alert_id,))


def save_states(db: sqlite_utils.Database, rows: Iterable[tuple[int, str, str]]) -> None:
    """Store states, each as alert_id, session and state, in place of earlier ones of that session."""
    sql = "INSERT OR REPLACE INTO alert_states (alert_id, session, state) VALUES (?, ?, ?)"
    db.conn.executemany(sql, rows)


def drop_states(db: sqlite_utils.Database, alert_id: int, since: str) -> None:
    """Delete the states of an alert from a session on, which revised figures replace."""
    db.execute("DELETE FROM alert_states WHERE alert_id = ? AND session >= ?", (alert_id, since))


def prune_states(db: sqlite_utils.Database, rows: Iterable[tuple[int, str]]) -> None:
    """Delete states of alerts before a session, each as alert_id and session."""
    db.conn.executemany("DELETE FROM alert_states WHERE alert_id = ? AND session < ?", rows)


def current_state(db: sqlite_utils.Database, alert_id: int) -> StoredState | None:
    """Returns the newest stored state and its session, or None without any."""
    sql = "SELECT session, state FROM alert_states WHERE alert_id = ? ORDER BY session DESC LIMIT 1"
    return records.select_first(db, StoredState, sql, (alert_id,))


def stored_states(db: sqlite_utils.Database, alert_ids: Iterable[int]) -> dict[int, list[str]]:
    """Returns the stored states of alerts by their ids, oldest first."""
    sql = """
        SELECT alert_id, state FROM alert_states WHERE alert_id IN (SELECT value FROM json_each(?))
        ORDER BY alert_id, session
    """
    states: dict[int, list[str]] = defaultdict(list)
    for alert_id, state in db.execute(sql, (json.dumps(list(alert_ids)),)):
        states[alert_id].append(state)
    return states


def start_state(db: sqlite_utils.Database, alert_id: int, session: str, state: str) -> None:
    """Store the state of an alert that is created, edited or resumed, in place of all others."""
    db.execute("DELETE FROM alert_states WHERE alert_id = ?", (alert_id,))
    save_states(db, [(alert_id, session, state)])
    set_evaluated(db, [(session, alert_id)])


class EvaluatedAlert(NamedTuple):
    """What evaluation keeps of an alert in memory is made of this.

    active     whether it is evaluated: it and its chat are active
    evaluated  its last evaluated session, None: that of its subject
    state      its current state, None without any
    """

    alert_id: int
    active: bool
    rule_json: str
    evaluated: str | None
    state: str | None


_EVALUATED = """
    SELECT alert_id, life = 'active' AND status <> 'inactive', rule_json, evaluated,
        (SELECT state FROM alert_states WHERE alert_states.alert_id = alerts.alert_id
         ORDER BY session DESC LIMIT 1)
    FROM alerts JOIN chats USING (chat_id)
"""


def all_evaluated(db: sqlite_utils.Database, after: int, limit: int) -> list[EvaluatedAlert]:
    """Returns a number of active alerts with ids above `after`, also those of inactive chats."""
    sql = f"{_EVALUATED} WHERE life = 'active' AND alert_id > ? ORDER BY alert_id LIMIT ?"
    return list(map(EvaluatedAlert._make, db.execute(sql, (after, limit)).fetchall()))


def take_changed(db: sqlite_utils.Database, limit: int) -> tuple[list[int], list[EvaluatedAlert]]:
    """Returns the ids of some alerts that were changed since they were read, and those that still exist."""
    sql = "SELECT changed_id FROM alert_changes ORDER BY changed_id LIMIT ?"
    alert_ids = [row[0] for row in db.execute(sql, (limit,)).fetchall()]
    chosen = (json.dumps(alert_ids),)
    db.execute("DELETE FROM alert_changes WHERE changed_id IN (SELECT value FROM json_each(?))", chosen)
    rows = db.execute(f"{_EVALUATED} WHERE alert_id IN (SELECT value FROM json_each(?))", chosen).fetchall()  # noqa: S608 - fixed text
    return alert_ids, list(map(EvaluatedAlert._make, rows))


def forget_changes(db: sqlite_utils.Database, alert_ids: Iterable[int]) -> None:
    """Note that alerts need not be read again."""
    sql = "DELETE FROM alert_changes WHERE changed_id = ?"
    db.conn.executemany(sql, [(alert_id,) for alert_id in alert_ids])


def changed_ids(db: sqlite_utils.Database) -> set[int]:
    """Returns the ids of the alerts that were changed since they were read for evaluation."""
    return {row[0] for row in db.execute("SELECT changed_id FROM alert_changes")}


def set_evaluated(db: sqlite_utils.Database, rows: Iterable[tuple[str | None, int]]) -> None:
    """Set the last evaluated sessions of alerts, each as session and alert_id."""
    db.conn.executemany("UPDATE alerts SET evaluated = ? WHERE alert_id = ?", rows)


class StoredSubject(msgspec.Struct, frozen=True):
    """What alerts read, its last evaluated session, and the JSON of its figures as evaluated."""

    subject: str
    session: dt.date
    figures: str


def subjects(db: sqlite_utils.Database) -> list[StoredSubject]:
    """Returns all subjects."""
    return records.select_as(db, StoredSubject, "SELECT * FROM subjects")


def get_subject(db: sqlite_utils.Database, subject: str) -> StoredSubject | None:
    """Returns a subject, None before its first evaluation."""
    return records.select_first(db, StoredSubject, "SELECT * FROM subjects WHERE subject = ?", (subject,))


def save_subjects(db: sqlite_utils.Database, rows: Iterable[tuple[str, str, str]]) -> None:
    """Store subjects, each as subject, session and figures."""
    db.conn.executemany("INSERT OR REPLACE INTO subjects (subject, session, figures) VALUES (?, ?, ?)", rows)


def drop_subjects(db: sqlite_utils.Database, subjects: Iterable[str]) -> None:
    """Delete subjects."""
    db.conn.executemany("DELETE FROM subjects WHERE subject = ?", [(subject,) for subject in subjects])


class EventDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What explains an event: JSON of the alert engine, and where its figures are from.

    rule      the rule as it was; empty: that of the alert
    before    the state before the event, where it is kept
    revision  why a stored event is withdrawn
    """

    event: str = ""
    rule: str = ""
    source: str = ""
    observed_at: str = ""
    before: str | None = None
    revision: str | None = None


class StoredEvent(msgspec.Struct, frozen=True):
    """A row of the alert_events table.

    deferred  why it is not sent yet: "snooze", "quiet" or "asleep"
    message   the outbox message that reports it
    """

    event_id: int
    alert_id: int
    session: dt.date
    transition: str
    revision: int
    value: float | None
    threshold: float | None
    detail: EventDetail
    created_at: dt.datetime
    deferred: str | None
    message: int | None


class ChatEvent(StoredEvent, frozen=True):
    """An event with its alert's number, rule and chat."""

    number: int
    rule: str
    chat_id: int


class DeferredEvent(ChatEvent, frozen=True):
    """A deferred event with its alert's topic and snooze."""

    thread_id: int | None
    snoozed_until: dt.datetime | None


E = TypeVar("E", bound=StoredEvent)


class NewEvent(NamedTuple):
    """An event to be stored: columns of the alert_events table."""

    event_id: int
    alert_id: int
    session: str
    transition: str
    detail: EventDetail = EventDetail()
    value: float | None = None
    threshold: float | None = None
    revision: int = 0
    deferred: str | None = None
    message: int | None = None


def next_event_id(db: sqlite_utils.Database) -> int:
    """Returns an id above those of all events."""
    return (records.select_value(db, int, "SELECT max(event_id) FROM alert_events") or 0) + 1


def add_events(db: sqlite_utils.Database, events: Sequence[NewEvent], now: records.Moment) -> set[int]:
    """Store events under ids from `next_event_id` on. Returns the ids of those that were stored before."""
    created = {"created_at": records.instant(now)}
    details = (msgspec.json.encode(event.detail).decode() for event in events)
    rows = [{**event._asdict(), "detail": detail, **created} for event, detail in zip(events, details, strict=True)]
    key = ("alert_id", "session", "transition", "revision")
    if records.insert_all(db, "alert_events", rows, unique=key) == len(rows):
        return set()
    event_ids = {event.event_id for event in events}
    sql = "SELECT event_id FROM alert_events WHERE event_id >= ?"
    return event_ids - {row[0] for row in db.execute(sql, (min(event_ids),))}


def list_events(
    db: sqlite_utils.Database,
    *,
    alert_id: int | None = None,
    chat_id: int | None = None,
    limit: int = 20,
    skip: int = 0,
) -> list[ChatEvent]:
    """Returns events of an alert or a chat, newest first, without the newest `skip`."""
    conditions = {"alert_id = :alert": alert_id, "chat_id = :chat": chat_id}
    where = " AND ".join(words for words, value in conditions.items() if value is not None) or "true"
    # Alerts first, and a + so that SQLite does not walk all events in the order of their sessions.
    sql = f"""
        SELECT alert_events.*, number, rule, chat_id FROM alerts CROSS JOIN alert_events USING (alert_id)
        WHERE {where} ORDER BY +session DESC, event_id DESC LIMIT :limit OFFSET :skip
    """  # noqa: S608 - fixed text
    parameters = {"alert": alert_id, "chat": chat_id, "limit": limit, "skip": skip}
    return _select_events(db, ChatEvent, sql, parameters)


def events_since(db: sqlite_utils.Database, alert_ids: Iterable[int], session: str) -> list[StoredEvent]:
    """Returns the events of alerts since a session, in the order in which they were stored."""
    sql = """
        SELECT * FROM alert_events WHERE alert_id IN (SELECT value FROM json_each(?)) AND session >= ?
        ORDER BY +event_id
    """
    return _select_events(db, StoredEvent, sql, (json.dumps(list(alert_ids)), session))


def deferred_events(db: sqlite_utils.Database) -> list[DeferredEvent]:
    """Returns all deferred events, not of inactive chats, oldest first."""
    sql = """
        SELECT alert_events.*, number, rule, chat_id, thread_id, snoozed_until
        FROM alert_events INDEXED BY alert_events_deferred
        JOIN alerts USING (alert_id) JOIN chats USING (chat_id)
        WHERE alert_events.deferred IS NOT NULL AND chats.status <> 'inactive'
        ORDER BY +session, event_id
    """
    return _select_events(db, DeferredEvent, sql)


def _select_events(
    db: sqlite_utils.Database, row_type: type[E], sql: str, parameters: records.Parameters = ()
) -> list[E]:
    rows = [{**row, "detail": msgspec.json.decode(row["detail"])} for row in records.select(db, sql, parameters)]
    return msgspec.convert(rows, list[row_type])  # type: ignore[valid-type]


def prune_events(db: sqlite_utils.Database, before: str, limit: int) -> int:
    """Delete up to `limit` events of sessions before one, but no deferred ones. Returns how many."""
    sql = """
        DELETE FROM alert_events WHERE event_id IN (
            SELECT event_id FROM alert_events INDEXED BY alert_events_session
            WHERE session < ? AND deferred IS NULL LIMIT ?)
    """
    return records.change(db, sql, (before, limit))


def next_revision(db: sqlite_utils.Database, alert_id: int) -> int:
    """Returns the number of the alert's next revision: one above that of all its events."""
    sql = "SELECT max(revision) FROM alert_events WHERE alert_id = ?"
    return (records.select_value(db, int, sql, (alert_id,)) or 0) + 1


def fire_sessions(db: sqlite_utils.Database, alert_ids: Iterable[int], since: str) -> dict[int, list[dt.date]]:
    """Returns, by alert, the sessions from `since` on on which it fired, without withdrawn fires."""
    # The + keeps SQLite from walking all events in the order of their ids.
    sql = """
        SELECT alert_id, session, transition FROM alert_events
        WHERE alert_id IN (SELECT value FROM json_each(?)) AND session >= ?
        AND transition IN ('fired', 'withdrawn') ORDER BY +event_id
    """
    rows = db.execute(sql, (json.dumps(list(alert_ids)), since))
    last = {(alert_id, session): transition for alert_id, session, transition in rows}
    sessions: dict[int, list[dt.date]] = defaultdict(list)
    for (alert_id, session), transition in last.items():
        if transition == "fired":
            sessions[alert_id].append(dt.date.fromisoformat(session))
    return sessions


def fires_since(db: sqlite_utils.Database, alert_id: int, session: str, *, until: str | None = None) -> int:
    """Returns on how many sessions from `session` to `until` the alert fired, without withdrawn fires."""
    fires = fire_sessions(db, [alert_id], session)[alert_id]
    return sum(until is None or day.isoformat() <= until for day in fires)


def set_deferral(db: sqlite_utils.Database, event_id: int, reason: str | None) -> None:
    """Defer an event for 'snooze', 'quiet' or 'asleep'; None ends that."""
    db.execute("UPDATE alert_events SET deferred = ? WHERE event_id = ?", (reason, event_id))


def deferral_and_message(db: sqlite_utils.Database, event_id: int) -> tuple[str | None, int | None]:
    """Returns why an event is deferred, and the outbox message that reports it; None twice if deleted."""
    sql = "SELECT deferred, message FROM alert_events WHERE event_id = ?"
    rows = records.select(db, sql, (event_id,))
    return (rows[0]["deferred"], rows[0]["message"]) if rows else (None, None)


def assign_message(db: sqlite_utils.Database, event_ids: Iterable[int], message: int | None) -> int:
    """Record the outbox message that reports these events (None: none will). Returns how many there are."""
    sql = "UPDATE alert_events SET deferred = NULL, message = ? WHERE event_id = ?"
    return sum(records.change(db, sql, (message, event_id)) for event_id in event_ids)


def defer_queued(db: sqlite_utils.Database, chat_id: int) -> int:
    """Defer the events of a sleeping chat whose messages are queued, in place of these. Returns how many.

    Notices are held. A message of which something may have been sent stays, so that its repeat is marked.
    """
    sql = """
        UPDATE alert_events SET deferred = 'asleep', message = NULL
        WHERE message = ? AND alert_id IN (SELECT alert_id FROM alerts WHERE chat_id = ?)
    """
    outbox.hold_notices(db, chat_id)
    deferred = 0
    for message in outbox.unsent_alerts(db, chat_id):
        if count := records.change(db, sql, (message, chat_id)):
            outbox.withdraw(db, message)
            deferred += count
    return deferred


def untold_fire(db: sqlite_utils.Database, alert_id: int) -> dt.date | None:
    """Returns the session of the last fire that is not sent because the chat refuses messages, if any."""
    sql = """
        SELECT max(session) FROM alert_events JOIN alerts USING (alert_id) JOIN chats USING (chat_id)
        LEFT JOIN outbox ON outbox.id = alert_events.message
        WHERE alert_id = ? AND transition IN ('fired', 'restated') AND refused_at IS NOT NULL
        AND (deferred = 'asleep' OR outbox.status IN ('queued', 'waiting'))
    """
    session = records.select_value(db, str, sql, (alert_id,))
    return dt.date.fromisoformat(session) if session else None


class SplitChange(msgspec.Struct, frozen=True):
    """A split that an alert's levels do not allow for, or, if `withdrawn`, one that they wrongly allow for.

    session  the first in the new shares
    ratio    new shares for an old one; of a corrected split the new ratio by the old one
    """

    ticker: str
    session: dt.date
    ratio: float
    withdrawn: bool = False

    @property
    def factor(self) -> float:
        """What a count of shares is multiplied by."""
        return 1 / self.ratio if self.withdrawn else self.ratio


def newest_split_id(db: sqlite_utils.Database) -> int:
    """Returns the id of the newest row of splits, 0 without any."""
    return records.select_value(db, int, "SELECT max(id) FROM splits") or 0


def new_split_changes(db: sqlite_utils.Database) -> dict[int, list[SplitChange]]:
    """Returns, by alert id, the changes of splits since its levels were set, in order of sessions.

    Where sources differ, the one that reported first counts.
    """
    sql = """
        SELECT alert_id, last_split_id, coalesce(level_session, substr(created_at, 1, 10)) AS since
        FROM alerts WHERE last_split_id < ? ORDER BY +alert_id
    """
    alerts = records.select(db, sql, (newest_split_id(db),))
    if not alerts:
        return {}
    sql = "SELECT id, ticker, session, source, ratio FROM splits WHERE source <> 'sample' ORDER BY id"
    rows = records.select(db, sql)
    current = _ratios_in_force(rows)
    changes: dict[int, list[SplitChange]] = {}
    for alert in alerts:
        known = _ratios_in_force(row for row in rows if row["id"] <= alert["last_split_id"])
        since = dt.date.fromisoformat(alert["since"])
        later = [split for split in _split_changes(known, current) if split.session > since]
        if later:
            changes[alert["alert_id"]] = later
    return changes


def _ratios_in_force(rows: Iterable[records.Row]) -> dict[tuple[str, str], float]:
    """Returns the ratio by (session, ticker) after rows in the order in which they came."""
    by_source: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in rows:
        by_source.setdefault((row["session"], row["ticker"]), {})[row["source"]] = row["ratio"]
    ratios = {key: [ratio for ratio in sources.values() if ratio] for key, sources in by_source.items()}
    return {key: in_order[0] for key, in_order in ratios.items() if in_order}


def _split_changes(
    known: Mapping[tuple[str, str], float], current: Mapping[tuple[str, str], float]
) -> Iterator[SplitChange]:
    for session, ticker in sorted({*known, *current}):
        before, after = known.get((session, ticker)), current.get((session, ticker))
        if before == after:
            continue
        ratio = (before or 1.0) if after is None else after / (before or 1.0)
        yield SplitChange(ticker, dt.date.fromisoformat(session), ratio, withdrawn=after is None)


def mark_all_splits_seen(db: sqlite_utils.Database, *, except_for: Iterable[int] = ()) -> None:
    """Record that the levels of all alerts, except those with the ids `except_for`, allow for all splits."""
    newest = newest_split_id(db)
    sql = """
        UPDATE alerts SET last_split_id = ?
        WHERE last_split_id < ? AND alert_id NOT IN (SELECT value FROM json_each(?))
    """
    db.execute(sql, (newest, newest, json.dumps(list(except_for))))
