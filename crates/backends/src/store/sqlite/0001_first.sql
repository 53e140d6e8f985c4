-- Times are nanoseconds since 1970, ids 16 bytes with the highest first, addresses their 4 or 16 bytes.
-- Unsigned numbers of 64 bits lie in the signed ones of SQLite bit by bit.

-- `body` holds the whole alert; the columns before it are what is asked for.
CREATE TABLE alerts (
    id BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    severity INTEGER NOT NULL,
    country TEXT,
    user TEXT,
    client_ip BLOB,
    source TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    status TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- One index for each filter, in the order of the list; `first_seen` and `created_at` are there so that a span of time
-- is decided without a look at the row.
CREATE INDEX alerts_by_last_seen ON alerts (last_seen, id, first_seen, created_at);
CREATE INDEX alerts_by_kind ON alerts (kind, last_seen, id, first_seen, created_at);
CREATE INDEX alerts_by_severity ON alerts (severity, last_seen, id, first_seen, created_at);
CREATE INDEX alerts_by_country ON alerts (country, last_seen, id, first_seen, created_at) WHERE country IS NOT NULL;
CREATE INDEX alerts_by_user ON alerts (user, last_seen, id, first_seen, created_at) WHERE user IS NOT NULL;
CREATE INDEX alerts_by_client_ip ON alerts (client_ip, last_seen, id, first_seen, created_at)
    WHERE client_ip IS NOT NULL;
CREATE INDEX alerts_by_source ON alerts (source, last_seen, id, first_seen, created_at);
CREATE INDEX alerts_by_rule ON alerts (rule_id, last_seen, id, first_seen, created_at);
CREATE INDEX alerts_closed ON alerts (last_seen) WHERE status = 'closed';

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY,
    alert BLOB NOT NULL REFERENCES alerts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- When it may be tried; how often it was; until when and by whom it is held.
    next_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    lease_owner TEXT,
    UNIQUE (alert, destination, kind)
) STRICT;

CREATE INDEX outbox_by_next_at ON outbox (next_at, number);

CREATE TABLE partitions (
    partition INTEGER NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    name TEXT NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL,
    digest BLOB NOT NULL,
    rate_per_second REAL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    purpose TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (purpose, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_expiry ON tokens (expires_at);
