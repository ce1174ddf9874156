-- The log of a Thumbseal server. `events` is the only truth; every other table is what a reader of
-- it has got to. Times are milliseconds since 1970 unless a name says otherwise.

-- A thread gets its number with its first event, so that unique keys stay local to it and cost the
-- same in a log of ten million events as in an empty one.
CREATE TABLE threads (
    thread_no   INTEGER PRIMARY KEY AUTOINCREMENT,
    site        TEXT NOT NULL,
    thread      TEXT NOT NULL,
    user        TEXT,
    created_at  INTEGER NOT NULL,
    UNIQUE (site, thread)
) STRICT;

-- AUTOINCREMENT: a number is never given twice, not even after the newest thread was erased.
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket       INTEGER NOT NULL,   -- crc32(site, thread) mod 64: how readers share the work
    thread_no    INTEGER NOT NULL,
    message      TEXT,               -- the message recorded or voted on
    event_id     TEXT NOT NULL,      -- the sender's
    kind         TEXT NOT NULL,
    source       TEXT NOT NULL,
    actor        TEXT NOT NULL,
    at           INTEGER NOT NULL,   -- the sender's time by our clock
    received_at  INTEGER NOT NULL,
    body         TEXT NOT NULL       -- JSON, as events.dump writes it
) STRICT;

CREATE UNIQUE INDEX events_by_id ON events (thread_no, source, event_id);
CREATE UNIQUE INDEX events_by_message ON events (thread_no, message) WHERE kind = 'message';

-- How far an upstream has got; `upstream` is "site/name".
CREATE TABLE cursor (
    upstream  TEXT PRIMARY KEY,
    seq       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A thread that waits alone at one upstream: its events since_seq … cursor are not delivered.
-- Without a reason it waits by our own choice, and nothing is wrong.
CREATE TABLE hold (
    upstream   TEXT NOT NULL,
    thread_no  INTEGER NOT NULL,
    since_seq  INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (upstream, thread_no)
) STRICT, WITHOUT ROWID;

CREATE INDEX hold_by_time ON hold (upstream, next_at);

-- An event that an upstream refused for good. With `again` somebody has asked for another try; its
-- thread has a hold then.
CREATE TABLE dead (
    upstream  TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    at        INTEGER NOT NULL,
    again     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;

-- A delivered event that the upstream does not show: a later vote was sent in its place
-- (`superseded`), or the upstream cannot hold all of it (`lossy`).
CREATE TABLE remark (
    upstream  TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    remark    TEXT NOT NULL,
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;

-- An upstream that as a whole takes nothing; one that is well has no row.
CREATE TABLE standing (
    upstream  TEXT PRIMARY KEY,
    state     TEXT NOT NULL,      -- down, refused (somebody must look), gone or asked (it said how long)
    reason    TEXT NOT NULL,
    since     INTEGER NOT NULL,
    next_at   INTEGER NOT NULL    -- 0 asks the server to try at once
) STRICT, WITHOUT ROWID;

-- A vote on a message that nobody has recorded yet; it goes out with that message.
CREATE TABLE waiting (
    upstream   TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    thread_no  INTEGER NOT NULL,
    message    TEXT NOT NULL,
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX waiting_by_message ON waiting (upstream, thread_no, message);

-- Tokens first issued by `at` (seconds) are refused; of a thread, all are.
CREATE TABLE barrier (
    site   TEXT NOT NULL,
    scope  TEXT NOT NULL,   -- thread, actor, user, token or site
    id     TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (site, scope, id)
) STRICT, WITHOUT ROWID;
