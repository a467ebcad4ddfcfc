-- The tables of the first release; storage/migrations.py runs this once. Statements end at the ends of lines.
-- Instants are text 'YYYY-MM-DDTHH:MM:SSZ', sessions and dates 'YYYY-MM-DD'.

-- Observations: append-only vintages of what the sources gave, explained in storage/observations.py. Of each
-- kind NAME the index NAME_vintages, which has all columns, serves observations.add (the newest vintage of one
-- key) and observations.newest (all keys in order), NAME_revisions the list of restatements, the newest first,
-- NAME_provisional the few figures that are not used. An amount or a ratio of NULL: the source withdrew the
-- distribution or the split. The level of a sector weight: sector, industry group, or revenue (the share from
-- the home market).

CREATE TABLE bars (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, session TEXT NOT NULL,
    open REAL, high REAL, low REAL, close REAL NOT NULL, volume INTEGER, provisional INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX bars_vintages
    ON bars (ticker, session, source, provisional > 0, observed_at DESC, id DESC, open, high, low, close, volume, provisional, vintage);
CREATE INDEX bars_revisions ON bars (observed_at DESC, id DESC) WHERE vintage = 2;
CREATE INDEX bars_provisional ON bars (ticker) WHERE provisional > 1;

CREATE TABLE distributions (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, ex_date TEXT NOT NULL,
    amount REAL, provisional INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX distributions_vintages
    ON distributions (ticker, ex_date, source, provisional > 0, observed_at DESC, id DESC, amount, provisional, vintage);
CREATE INDEX distributions_revisions ON distributions (observed_at DESC, id DESC) WHERE vintage = 2;
CREATE INDEX distributions_provisional ON distributions (ticker) WHERE provisional > 1;

CREATE TABLE splits (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, session TEXT NOT NULL,
    ratio REAL,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX splits_vintages
    ON splits (ticker, session, source, observed_at DESC, id DESC, ratio, vintage);
CREATE INDEX splits_revisions ON splits (observed_at DESC, id DESC) WHERE vintage = 2;

CREATE TABLE fund_facts (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, session TEXT NOT NULL,
    nav REAL, shares REAL, assets REAL, flow REAL,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX fund_facts_vintages
    ON fund_facts (ticker, session, source, observed_at DESC, id DESC, nav, shares, assets, flow, vintage);
CREATE INDEX fund_facts_revisions ON fund_facts (observed_at DESC, id DESC) WHERE vintage = 2;

CREATE TABLE multiples (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, session TEXT NOT NULL, metric TEXT NOT NULL, convention TEXT NOT NULL, basis TEXT NOT NULL,
    value REAL, holdings_date TEXT, price_date TEXT, coverage REAL,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX multiples_vintages
    ON multiples (ticker, session, metric, convention, basis, source, observed_at DESC, id DESC, value, holdings_date, price_date, coverage, vintage);
CREATE INDEX multiples_revisions ON multiples (observed_at DESC, id DESC) WHERE vintage = 2;

CREATE TABLE sector_weights (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, session TEXT NOT NULL, level TEXT NOT NULL, sector TEXT NOT NULL,
    weight REAL,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX sector_weights_vintages
    ON sector_weights (ticker, session, level, sector, source, observed_at DESC, id DESC, weight, vintage);
CREATE INDEX sector_weights_revisions ON sector_weights (observed_at DESC, id DESC) WHERE vintage = 2;

CREATE TABLE company_sums (
    id INTEGER PRIMARY KEY,
    ticker TEXT NOT NULL, session TEXT NOT NULL,
    contents TEXT NOT NULL, coverage REAL,
    source TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
) STRICT;
CREATE INDEX company_sums_vintages
    ON company_sums (ticker, session, source, observed_at DESC, id DESC, contents, coverage, vintage);
CREATE INDEX company_sums_revisions ON company_sums (observed_at DESC, id DESC) WHERE vintage = 2;

CREATE TABLE readings (  -- rows first_id to last_id of a kind were given at observed_at
kind TEXT NOT NULL,
source TEXT NOT NULL,
observed_at TEXT NOT NULL,
first_id INTEGER NOT NULL,
last_id INTEGER NOT NULL,
PRIMARY KEY (kind, source, observed_at, first_id, last_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
    source TEXT NOT NULL,
    subject TEXT NOT NULL,
    last_attempt TEXT NOT NULL,
    last_success TEXT,
    last_session TEXT,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    breaker_until TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    missing TEXT NOT NULL DEFAULT '',  -- dropped sessions, separated by spaces
    rests_until TEXT,    -- the source is not asked for this subject before then
    payload TEXT,        -- hash of the last raw answer
    payload_since TEXT,  -- the session after which that answer first came
    address TEXT NOT NULL DEFAULT '',  -- hash of where and how it was last asked
    PRIMARY KEY (source, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE holdings (
    ticker TEXT PRIMARY KEY,
    as_of TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    contents TEXT NOT NULL  -- the newest list of what the fund holds (bot.data.holdings)
) STRICT, WITHOUT ROWID;

CREATE TABLE company_rows (  -- what the newest run of a kind has read (bot.data.companies)
    kind TEXT NOT NULL,
    symbol TEXT NOT NULL,
    grouped TEXT NOT NULL,  -- the industry group or sector; '': of no group
    contents TEXT NOT NULL,
    PRIMARY KEY (kind, symbol, grouped)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE chats (
    chat_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'asleep', 'inactive')),
    reason TEXT NOT NULL DEFAULT '',
    refused_at TEXT,  -- the last refusal that may pass; NULL: nothing was refused since the last delivery
    next_try TEXT CHECK ((next_try IS NULL) = (refused_at IS NULL)),  -- nothing is sent before
    last_number INTEGER NOT NULL DEFAULT 0,  -- of its alerts: a number is never used twice
    created_at TEXT NOT NULL,
    summary_at TEXT,  -- 'HH:MM' local; NULL: no summary
    summary_days TEXT NOT NULL DEFAULT 'daily' CHECK (summary_days IN ('daily', 'weekdays', 'weekly')),
    quiet_from TEXT,  -- 'HH:MM' local
    quiet_to TEXT CHECK ((quiet_from IS NULL) = (quiet_to IS NULL)),
    -- NULL, in each of these: the configuration's value or the program's
    timezone TEXT,
    returns TEXT CHECK (returns IN ('price', 'total')),
    theme TEXT,
    numbers TEXT
) STRICT;
-- chat_store.summary_times and plan_summaries: every tick
CREATE INDEX chats_summary ON chats (summary_at, timezone, summary_days)
    WHERE status <> 'inactive' AND summary_at IS NOT NULL;
-- chat_store.refusing_chats and skip_asleep: every tick, over the few that do
CREATE INDEX chats_refusing ON chats (chat_id) WHERE refused_at IS NOT NULL;

CREATE TABLE access (
    chat_id INTEGER PRIMARY KEY,  -- a person's private chat, so the person's id; or a group's
    title TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL CHECK (status IN ('asked', 'approved', 'rejected')),
    asked_at TEXT NOT NULL,
    decided_at TEXT
) STRICT;
-- list_access_requests: those of one status, the longest waiting first
CREATE INDEX access_status ON access (status, asked_at);

CREATE TABLE summaries (
    id INTEGER PRIMARY KEY,
    chat_id INTEGER NOT NULL REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
    kind TEXT NOT NULL,
    local_date TEXT NOT NULL,
    due_at TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'due' CHECK (status IN ('due', 'claimed', 'sent', 'skipped')),
    UNIQUE (chat_id, kind, local_date)
) STRICT;
-- chat_store.due_summaries: every tick, over the few rows not yet claimed
CREATE INDEX summaries_due ON summaries (due_at) WHERE status = 'due';

CREATE TABLE pins (  -- live boards
    chat_id INTEGER PRIMARY KEY REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
    message_id INTEGER,  -- NULL: it was deleted in the chat
    shown TEXT NOT NULL
) STRICT;

CREATE TABLE updates (
    update_id INTEGER PRIMARY KEY,
    seen_at TEXT NOT NULL
) STRICT;
-- chat_store.record_update: forgetting the old ones
CREATE INDEX updates_age ON updates (seen_at);

CREATE TABLE outages (
    part TEXT NOT NULL,     -- of the Market: prices, facts:IWM, ...
    session TEXT NOT NULL,  -- the first that was missing
    began TEXT NOT NULL,
    back_at TEXT,
    PRIMARY KEY (part, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE outage_chats (  -- the chats that were notified of an outage
    part TEXT NOT NULL,
    session TEXT NOT NULL,
    chat_id INTEGER NOT NULL REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY (part, session, chat_id),
    FOREIGN KEY (part, session) REFERENCES outages ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
-- chat_store.migrate_chat: one chat's rows
CREATE INDEX outage_chats_chat ON outage_chats (chat_id);

CREATE TABLE alerts (
    alert_id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_id INTEGER NOT NULL REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
    number INTEGER NOT NULL,
    owner_id INTEGER NOT NULL,
    thread_id INTEGER,        -- the forum topic it was created in
    rule TEXT NOT NULL,       -- canonical text
    rule_json TEXT NOT NULL,
    life TEXT NOT NULL DEFAULT 'active' CHECK (life IN ('active', 'paused', 'expired', 'done')),
    reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    created_session TEXT,
    expires_on TEXT,          -- local date on which it ends; NULL: never
    announced_expiry TEXT,         -- the expires_on that was announced
    snoozed_until TEXT,       -- its messages are deferred until this instant
    level_session TEXT,      -- its levels are in the shares of this session
    last_split_id INTEGER NOT NULL DEFAULT 0,  -- the last row of `splits` that its levels allow for
    evaluated TEXT,           -- its last evaluated session; NULL: that of its subject
    acknowledged TEXT,        -- session of the last fire of which no reminders are wanted any more
    UNIQUE (chat_id, number)
) STRICT;
-- alert_store.active_alerts: all of them, after a start
CREATE INDEX alerts_active ON alerts (alert_id) WHERE life = 'active';
-- alert_store.new_split_changes: every new market
CREATE INDEX alerts_splits ON alerts (last_split_id);
-- alert_store.expiring_alerts: every tick
CREATE INDEX alerts_expiring ON alerts (expires_on) WHERE life IN ('active', 'paused');

-- What alerts read: metrics with their arguments and moving targets (bot.alerts.batch).
CREATE TABLE subjects (
    subject TEXT PRIMARY KEY,
    session TEXT NOT NULL,  -- the last evaluated one
    figures TEXT NOT NULL   -- of the last sessions, as they were evaluated
) STRICT, WITHOUT ROWID;

-- The states at which an alert turned. The primary key serves current_state: newest session of one alert.
CREATE TABLE alert_states (
    alert_id INTEGER NOT NULL REFERENCES alerts ON DELETE CASCADE,
    session TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (alert_id, session)
) STRICT, WITHOUT ROWID;

-- The UNIQUE index serves list_events and fires_since: one alert's, by session.
CREATE TABLE alert_events (
    event_id INTEGER PRIMARY KEY,
    alert_id INTEGER NOT NULL REFERENCES alerts ON DELETE CASCADE,
    session TEXT NOT NULL,
    transition TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    value REAL,
    threshold REAL,
    detail TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    deferred TEXT CHECK (deferred IN ('snooze', 'quiet', 'asleep')),
    message INTEGER,  -- the outbox row that reports it
    UNIQUE (alert_id, session, transition, revision)
) STRICT;
-- alert_store.deferred_events: every tick, over the few events that are not sent yet
CREATE INDEX alert_events_deferred ON alert_events (alert_id) WHERE deferred IS NOT NULL;
-- alert_store.recently_ended: events of the sessions that can be revised
CREATE INDEX alert_events_session ON alert_events (session);

CREATE TABLE alert_changes (
    changed_id INTEGER PRIMARY KEY  -- an alert that the evaluation reads again, also one that is gone
) STRICT;
CREATE TRIGGER alert_added AFTER INSERT ON alerts
    BEGIN INSERT INTO alert_changes VALUES (new.alert_id) ON CONFLICT DO NOTHING; END;
CREATE TRIGGER alert_deleted AFTER DELETE ON alerts
    BEGIN INSERT INTO alert_changes VALUES (old.alert_id) ON CONFLICT DO NOTHING; END;
CREATE TRIGGER alert_changed
    AFTER UPDATE OF chat_id, rule_json, life, snoozed_until, acknowledged ON alerts
    BEGIN INSERT INTO alert_changes VALUES (new.alert_id) ON CONFLICT DO NOTHING; END;
CREATE TRIGGER alert_chat_changed AFTER UPDATE OF status ON chats
    WHEN (old.status = 'inactive') <> (new.status = 'inactive')
    BEGIN
        INSERT INTO alert_changes SELECT alert_id FROM alerts WHERE chat_id = new.chat_id
        ON CONFLICT DO NOTHING; END;
CREATE TRIGGER alert_state_added AFTER INSERT ON alert_states
    BEGIN INSERT INTO alert_changes VALUES (new.alert_id) ON CONFLICT DO NOTHING; END;
CREATE TRIGGER alert_state_changed AFTER UPDATE ON alert_states
    BEGIN INSERT INTO alert_changes VALUES (new.alert_id) ON CONFLICT DO NOTHING; END;
CREATE TRIGGER alert_state_deleted AFTER DELETE ON alert_states
    BEGIN INSERT INTO alert_changes VALUES (old.alert_id) ON CONFLICT DO NOTHING; END;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_id INTEGER NOT NULL,
    thread_id INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('reply', 'alert', 'notice', 'summary')),
    dedup TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'held', 'sending', 'sent', 'waiting', 'ambiguous', 'dead')),
    not_before TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    unknown INTEGER NOT NULL DEFAULT 0,
    message_id INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
-- outbox.find_ready: walks what waits to be sent in the order of sending, stops at its limit
CREATE INDEX outbox_ready
    ON outbox (CASE kind WHEN 'reply' THEN 0 WHEN 'alert' THEN 1 WHEN 'notice' THEN 2 ELSE 3 END, id)
    WHERE status IN ('queued', 'waiting');
-- mark_interrupted, requeue_ambiguous, count_by_status: rows of one status
CREATE INDEX outbox_status ON outbox (status);
-- outbox.prune: the oldest finished rows
CREATE INDEX outbox_finished ON outbox (updated_at) WHERE status IN ('sent', 'dead');
-- chat_store.migrate_chat: one chat's rows
CREATE INDEX outbox_chat ON outbox (chat_id);

CREATE TABLE halts (
    chat_id INTEGER PRIMARY KEY,  -- 0: all chats
    until TEXT NOT NULL
) STRICT;
