-- Nothing was posted before this version, so the table is made anew: by the id of the message, of more than alerts,
-- and with its payload when the alert is gone.
DROP TABLE outbox;

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    subject_kind TEXT NOT NULL,
    subject BLOB NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- When it may be taken: a lease moves it to its own end. For a dead letter when it died.
    next_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Who holds it; still there after a crash.
    owner TEXT,
    -- Whether somebody held it and never said what became of it: a repetition is known as one.
    is_uncertain INTEGER NOT NULL DEFAULT 0,
    -- When it has arrived and is kept for reminders.
    delivered_at INTEGER,
    is_dead INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX outbox_due ON outbox (destination, next_at, number) WHERE is_dead = 0;
CREATE INDEX outbox_by_subject ON outbox (destination, subject, number) WHERE is_dead = 0;
-- What is counted and what is beyond a limit is found without a look at the payloads.
CREATE INDEX outbox_by_state ON outbox (destination, is_dead, delivered_at, created_at, number, next_at, owner);

-- When a message of a group was last posted to a destination.
CREATE TABLE outbox_repeats (
    destination TEXT NOT NULL,
    name BLOB NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (destination, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_repeats_by_until ON outbox_repeats (until);
