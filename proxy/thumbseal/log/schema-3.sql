-- Third version: upstreams that begin in the middle, and such as are forgotten.

-- What was settled when the server met an upstream first.
CREATE TABLE roster (
    upstream   TEXT PRIMARY KEY,
    start_seq  INTEGER NOT NULL,   -- events up to this one are not its own
    served     INTEGER NOT NULL    -- whether the settings that the server read last have it
) STRICT, WITHOUT ROWID;
