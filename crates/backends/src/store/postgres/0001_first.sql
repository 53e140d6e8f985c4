-- Times are nanoseconds since 1970, ids 16 bytes with the highest first, addresses their 4 or 16 bytes.
-- Unsigned numbers of 64 bits lie in the signed ones bit by bit. Texts compare byte by byte.

-- `body` holds the whole alert; the columns before it are what is asked for. `number` is for the views.
CREATE TABLE stored_alerts (
    id bytea NOT NULL PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    kind text COLLATE "C" NOT NULL,
    severity smallint NOT NULL,
    country text COLLATE "C",
    username text COLLATE "C",
    client_ip bytea,
    source text COLLATE "C" NOT NULL,
    rule_id text COLLATE "C" NOT NULL,
    status text NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    body text NOT NULL
);

-- One index for each filter, in the order of the list. Of a text only the beginning is in it: an entry has a limit of
-- bytes, and what others send has none that is small enough.
CREATE INDEX stored_alerts_by_last_seen ON stored_alerts (last_seen, id);
CREATE INDEX stored_alerts_by_kind ON stored_alerts (left(kind, 64), last_seen, id);
CREATE INDEX stored_alerts_by_severity ON stored_alerts (severity, last_seen, id);
CREATE INDEX stored_alerts_by_country ON stored_alerts (left(country, 64), last_seen, id) WHERE country IS NOT NULL;
CREATE INDEX stored_alerts_by_username ON stored_alerts (left(username, 64), last_seen, id) WHERE username IS NOT NULL;
CREATE INDEX stored_alerts_by_client_ip ON stored_alerts (client_ip, last_seen, id) WHERE client_ip IS NOT NULL;
CREATE INDEX stored_alerts_by_source ON stored_alerts (left(source, 64), last_seen, id);
CREATE INDEX stored_alerts_by_rule ON stored_alerts (left(rule_id, 64), last_seen, id);
CREATE INDEX stored_alerts_closed ON stored_alerts (updated_at) WHERE status = 'closed';

-- Who gave an alert which status, and when: one row a change, oldest first by `number`.
CREATE TABLE alert_history (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert bytea NOT NULL REFERENCES stored_alerts (id) ON DELETE CASCADE,
    at bigint NOT NULL,
    actor text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    note text NOT NULL
);

CREATE INDEX alert_history_by_alert ON alert_history (alert, number);

CREATE TABLE partitions (
    partition bigint NOT NULL PRIMARY KEY,
    epoch bigint NOT NULL,
    position bigint NOT NULL
);

CREATE TABLE keys (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    scope text NOT NULL,
    digest bytea NOT NULL,
    rate_per_second double precision,
    created_at bigint NOT NULL,
    expires_at bigint,
    last_used_at bigint
);

CREATE TABLE tokens (
    purpose text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (purpose, digest)
);

CREATE INDEX tokens_by_expiry ON tokens (expires_at);

CREATE TABLE outbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    subject_kind text NOT NULL,
    subject bytea NOT NULL,
    destination text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    payload text NOT NULL,
    created_at bigint NOT NULL,
    -- When it may be taken: a lease moves it to its own end. For a dead letter when it died.
    next_at bigint NOT NULL,
    attempt bigint NOT NULL DEFAULT 0,
    -- Who holds it; still there after a crash.
    owner text,
    -- Whether somebody held it and never said what became of it: a repetition is known as one.
    is_uncertain boolean NOT NULL DEFAULT false,
    -- When it has arrived and is kept for reminders.
    delivered_at bigint,
    is_dead boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT ''
);

CREATE INDEX outbox_due ON outbox (destination, next_at, number) WHERE NOT is_dead;
CREATE INDEX outbox_by_subject ON outbox (destination, subject, number) WHERE NOT is_dead;
CREATE INDEX outbox_by_state ON outbox (destination, is_dead, created_at, number);

-- When a message of a group was last posted to a destination.
CREATE TABLE outbox_repeats (
    destination text COLLATE "C" NOT NULL,
    name bytea NOT NULL,
    at bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (destination, name)
);

CREATE INDEX outbox_repeats_by_until ON outbox_repeats (until);

-- What is wanted and waits to be judged; stored together with the alert from which it follows, one for each.
CREATE TABLE proposals (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    body text NOT NULL
);

-- `changed` is the number of the last change among all changes of decisions; enforcers follow it. `body` holds what is
-- not asked for. A decision that was ended has `ended_at`; one that a brake holds has `brake`.
CREATE TABLE decisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed bigint NOT NULL UNIQUE,
    scope text NOT NULL,
    value text COLLATE "C" NOT NULL,
    measure text NOT NULL,
    origin text NOT NULL,
    standing text NOT NULL,
    brake text,
    rule_id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at bigint,
    body text NOT NULL
);

CREATE INDEX decisions_by_value ON decisions (left(value, 64), scope);
CREATE INDEX decisions_by_standing ON decisions (standing, id);
CREATE INDEX decisions_by_change ON decisions (standing, changed);
CREATE INDEX decisions_by_rule ON decisions (left(rule_id, 64), id);
CREATE INDEX decisions_by_expiry ON decisions (expires_at);

-- Numbers that rise and never fall, whatever is removed. Whoever takes one holds its row until the end of the
-- transaction: so numbers become visible in their order, without gaps.
CREATE TABLE counters (name text NOT NULL PRIMARY KEY, value bigint NOT NULL);
INSERT INTO counters VALUES ('decision_changes', 0), ('audit', 0);

-- Who is never blocked, in canonical text.
CREATE TABLE spared (
    network text COLLATE "C" NOT NULL PRIMARY KEY,
    reason text NOT NULL,
    actor text NOT NULL,
    created_at bigint NOT NULL
);

-- What people switch while it runs.
CREATE TABLE switches (name text COLLATE "C" NOT NULL PRIMARY KEY, value text NOT NULL);

-- Who changed what and why. `digest` is over the row and the digest before it, so that a change shows.
CREATE TABLE audit (
    number bigint NOT NULL PRIMARY KEY,
    at bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    digest bytea NOT NULL
);

-- Who pulls decisions: one row for each key and address. The cursor is up to where it has been told.
CREATE TABLE pullers (
    name text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    agent text NOT NULL,
    kind text COLLATE "C" NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    changed bigint NOT NULL,
    pulls bigint NOT NULL,
    lag_millis bigint,
    reported text NOT NULL,
    PRIMARY KEY (name, address, kind)
);
