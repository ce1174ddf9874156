-- The index of a log. All of it is made from the log, thread by thread; see `describing`.

CREATE TABLE state (
    cursor   INTEGER NOT NULL,   -- the last event that is in here
    log      INTEGER NOT NULL,   -- the inode of the log's file: another file is another log
    surplus  INTEGER NOT NULL,   -- threads of the log that have no event
    purging  INTEGER NOT NULL    -- whether words of removed threads may still stand in `docs`
) STRICT;

INSERT INTO state VALUES (0, 0, 0, 0);

CREATE TABLE thread (
    thread_no  INTEGER PRIMARY KEY,
    site       TEXT NOT NULL,
    user       TEXT,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    messages   INTEGER NOT NULL,
    ups        INTEGER NOT NULL,
    downs      INTEGER NOT NULL,
    comments   INTEGER NOT NULL,
    badness    INTEGER NOT NULL,   -- downs - ups
    seq        INTEGER NOT NULL,   -- its last event
    summary    TEXT NOT NULL       -- JSON, index.Summary
) STRICT;

CREATE INDEX thread_by_seq ON thread (seq);
CREATE INDEX thread_by_badness ON thread (badness, thread_no);
CREATE INDEX thread_by_user ON thread (user, thread_no);

-- What a thread can be found by: its tags, reasons, roles and sources.
CREATE TABLE label (
    kind       TEXT NOT NULL,
    value      TEXT NOT NULL,
    thread_no  INTEGER NOT NULL,
    PRIMARY KEY (kind, value, thread_no)
) STRICT, WITHOUT ROWID;

CREATE INDEX label_by_thread ON label (thread_no);

-- Every message that somebody has an opinion of.
CREATE TABLE answer (
    thread_no  INTEGER NOT NULL,
    message    TEXT NOT NULL,
    at         INTEGER NOT NULL,   -- the last opinion
    badness    INTEGER NOT NULL,
    score      REAL NOT NULL,      -- the lowest; without one, over every score
    comments   INTEGER NOT NULL,
    answer     TEXT NOT NULL,      -- JSON, index.Answer
    PRIMARY KEY (thread_no, message)
) STRICT, WITHOUT ROWID;

CREATE INDEX answer_by_badness ON answer (badness DESC, score, at DESC);
CREATE INDEX answer_by_comments ON answer (comments DESC, at DESC);

-- Every thumb as it is now.
CREATE TABLE vote (
    thread_no  INTEGER NOT NULL,
    message    TEXT NOT NULL,
    actor      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    up         INTEGER NOT NULL,
    reasons    TEXT,               -- JSON, NULL without any
    PRIMARY KEY (thread_no, message, actor)
) STRICT, WITHOUT ROWID;

-- What is said, message by message, and what is said of it. The rowid is the thread's number times
-- 4,096 and the place in it, so that a hit names its thread and the newest threads come last.
CREATE VIRTUAL TABLE docs USING fts5 (text, tokenize = "unicode61 remove_diacritics 2");
