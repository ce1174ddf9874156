-- Fourth version: what Lunary's SDKs call things.

-- Another name of a thread, or of a message or a run in it (`item`), as an SDK sends it: raw, or
-- hashed with the SDK's key as Python's does. `seq` is the log's last event when the name was noted.
CREATE TABLE alias (
    site    TEXT NOT NULL,
    name    TEXT NOT NULL,
    thread  TEXT NOT NULL,
    item    TEXT,                -- null for the thread itself
    run     INTEGER NOT NULL,    -- whether the item is a run and no message
    page    INTEGER NOT NULL,    -- whether a page chose the name, so that it never stands for a thread
    hashed  INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (site, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_by_thread ON alias (site, thread);
CREATE INDEX alias_by_seq ON alias (site, seq) WHERE NOT hashed;

-- How far the names have been hashed with each key: a backend token, told by its claims and never
-- written down itself. The empty id tells how far the log's own ids have been noted.
CREATE TABLE alias_key (
    site     TEXT NOT NULL,
    id       TEXT NOT NULL,
    issued   INTEGER NOT NULL,   -- seconds, like the next
    expires  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (site, id)
) STRICT, WITHOUT ROWID;
