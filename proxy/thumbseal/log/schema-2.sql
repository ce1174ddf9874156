-- Second version: removing threads.

-- Events whose rows were removed, by what had become of them at each upstream until then.
CREATE TABLE removed (
    upstream   TEXT PRIMARY KEY,
    delivered  INTEGER NOT NULL,
    erased     INTEGER NOT NULL,   -- on somebody's wish, before they were delivered
    expired    INTEGER NOT NULL    -- too old, before they were delivered
) STRICT, WITHOUT ROWID;

-- A thread that was erased here and has to be erased at an upstream, too.
CREATE TABLE deletion (
    upstream  TEXT NOT NULL,
    thread    TEXT NOT NULL,
    next_at   INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (upstream, thread)
) STRICT, WITHOUT ROWID;

CREATE INDEX deletion_by_time ON deletion (upstream, next_at);
