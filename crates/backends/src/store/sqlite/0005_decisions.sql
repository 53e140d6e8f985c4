-- What is wanted and waits to be judged; stored together with the alert from which it follows, one for each.
CREATE TABLE proposals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    alert BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- `changed` is the number of the last change among all changes of decisions; enforcers follow it. `body` holds what is
-- not asked for. A decision that was ended has `ended_at`; one that a brake holds has `brake`.
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    changed INTEGER NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    value TEXT NOT NULL,
    measure TEXT NOT NULL,
    origin TEXT NOT NULL,
    standing TEXT NOT NULL,
    brake TEXT,
    rule_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX decisions_by_value ON decisions (value, scope);
CREATE INDEX decisions_by_standing ON decisions (standing, id);
CREATE INDEX decisions_by_change ON decisions (standing, changed);
CREATE INDEX decisions_by_rule ON decisions (rule_id, id);
CREATE INDEX decisions_by_expiry ON decisions (expires_at);

-- Numbers that rise and never fall, whatever is removed.
CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('decision_changes', 0);

-- Who is never blocked, in canonical text.
CREATE TABLE spared (
    network TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people switch while it runs.
CREATE TABLE switches (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Who changed what and why. `digest` is over the row and the digest before it, so that a change shows.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT;

-- Who pulls decisions: one row for each key and address. The cursor is up to where it has been told.
CREATE TABLE pullers (
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    pulls INTEGER NOT NULL,
    lag_millis INTEGER,
    reported TEXT NOT NULL,
    PRIMARY KEY (name, address, kind)
) STRICT, WITHOUT ROWID;
