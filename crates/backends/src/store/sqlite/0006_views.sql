-- The tables of other systems under their names, as views: whoever reads those reads ours. Our own table makes room.
ALTER TABLE alerts RENAME TO stored_alerts;

CREATE VIEW alerts AS SELECT
    lower(hex(id)) AS id,
    source,
    json_extract(body, '$.severity') AS severity,
    json_extract(body, '$.description') AS description,
    json_extract(body, '$.client_ip') AS src_ip,
    json_extract(body, '$.dst_ip') AS dst_ip,
    strftime('%Y-%m-%dT%H:%M:%fZ', json_extract(body, '$.timestamp') / 1000000000.0, 'unixepoch') AS created_at,
    country,
    user,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000000000.0, 'unixepoch') AS ingested_at
FROM stored_alerts;

-- One row for an entity, kind and bucket of time, which is what an alert is.
CREATE VIEW security_events AS SELECT
    rowid AS id,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000000000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1000000000.0, 'unixepoch') AS updated_at,
    kind AS type,
    json_extract(body, '$.client_ip') AS client_ip,
    strftime('%Y-%m-%dT%H:%M:00Z', json_extract(body, '$.timestamp') / 1000000000, 'unixepoch') AS timestamp,
    min(json_extract(body, '$.count') + coalesce(json_extract(body, '$.earlier.count'), 0), 2147483647) AS attacks,
    json_extract(body, '$.details') AS details
FROM stored_alerts;

-- What is abnormal: the alert, with what its first event says of the request.
CREATE VIEW anormal_events AS SELECT
    it.number AS id,
    it.source AS service_name,
    json_extract(it.body, '$.client_ip') AS ip,
    CASE it.kind WHEN 'sql_injection' THEN 1 WHEN 'xss' THEN 2 WHEN 'rate_limiting' THEN 10 WHEN 'hightraffic' THEN 10
        WHEN 'too_many_requests_burst' THEN 11 WHEN 'suspicious_scan' THEN 12 WHEN 'bot_detected' THEN 13
        WHEN 'waf_rule_triggered' THEN 20 WHEN 'firewall_block' THEN 21 ELSE 0 END AS event_type,
    min(it.severity, 3) AS severity,
    json_extract(it.body, '$.title') AS description,
    strftime('%Y-%m-%dT%H:%M:%f', json_extract(it.body, '$.timestamp') / 1000000000.0, 'unixepoch') AS occurred_at,
    json_extract(it.body, '$.evidence[0]') AS request_id,
    it.event ->> '$.method' AS method,
    it.event ->> '$.path' AS path,
    it.event ->> '$.status_code' AS status_code,
    it.event ->> '$.user_agent' AS user_agent,
    it.event AS request
FROM (SELECT rowid AS number, *, CASE WHEN json_valid(json_extract(body, '$.event')) THEN json_extract(body, '$.event')
    ELSE json_object('raw', json_extract(body, '$.event')) END AS event FROM stored_alerts) AS it;

CREATE VIEW service_state AS SELECT
    1 AS id,
    NULL AS last_sync_time,
    NULL AS last_success_time,
    (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', max(last_seen) / 1000000000.0, 'unixepoch') FROM stored_alerts) AS last_event_time,
    NULL AS last_error,
    'idle' AS current_status;

CREATE VIEW system_config AS SELECT 1 AS id, 30 AS sync_interval_minutes;

-- Nothing gives events a score yet.
CREATE VIEW anomalies AS SELECT
    NULL AS id, NULL AS request_id, NULL AS event_id, NULL AS role_id, NULL AS event_type, NULL AS event_timestamp,
    NULL AS affected_assets, NULL AS anomaly_score
WHERE FALSE;
