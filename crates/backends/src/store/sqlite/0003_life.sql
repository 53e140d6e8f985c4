-- Who gave an alert which status, and when: one row a change, oldest first by `number`.
CREATE TABLE alert_history (
    number INTEGER PRIMARY KEY,
    alert BLOB NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE INDEX alert_history_by_alert ON alert_history (alert, number);

-- A closed alert is kept from its last change on, be it the closing or a late event: what happened long ago and was
-- closed today is not gone tomorrow.
DROP INDEX alerts_closed;
CREATE INDEX alerts_closed ON alerts (updated_at) WHERE status = 'closed';
