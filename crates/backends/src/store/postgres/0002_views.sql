-- The tables of other systems under their names, as views: whoever reads those reads ours.

-- JSON of a text that anybody sent: what is none is kept as text, and what PostgreSQL has no place for is replaced.
CREATE FUNCTION lenient_json(words text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN replace(words, '\u0000', '\ufffd')::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN jsonb_build_object('raw', words);
END
$$;

CREATE FUNCTION time_of(nanos bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT 'epoch'::timestamptz + (nanos / 1000) * interval '1 microsecond' $$;

CREATE VIEW alerts AS SELECT
    encode(it.id, 'hex') AS id,
    it.source,
    facts ->> 'severity' AS severity,
    facts ->> 'description' AS description,
    (facts ->> 'client_ip')::inet AS src_ip,
    (facts ->> 'dst_ip')::inet AS dst_ip,
    time_of((facts ->> 'timestamp')::bigint) AS created_at,
    it.country,
    it.username AS "user",
    time_of(it.created_at) AS ingested_at
FROM stored_alerts AS it CROSS JOIN LATERAL lenient_json(it.body) AS facts;

-- One row for an entity, kind and bucket of time, which is what an alert is.
CREATE VIEW security_events AS SELECT
    it.number AS id,
    time_of(it.created_at) AS created_at,
    time_of(it.updated_at) AS updated_at,
    it.kind AS type,
    facts ->> 'client_ip' AS client_ip,
    date_trunc('minute', time_of((facts ->> 'timestamp')::bigint)) AS timestamp,
    least((facts ->> 'count')::numeric + coalesce((facts -> 'earlier' ->> 'count')::numeric, 0), 2147483647)::integer AS attacks,
    facts ->> 'details' AS details
FROM stored_alerts AS it CROSS JOIN LATERAL lenient_json(it.body) AS facts;

-- What is abnormal: the alert, with what its first event says of the request.
CREATE VIEW anormal_events AS SELECT
    it.number AS id,
    it.source AS service_name,
    (facts ->> 'client_ip')::inet AS ip,
    CASE it.kind WHEN 'sql_injection' THEN 1 WHEN 'xss' THEN 2 WHEN 'rate_limiting' THEN 10 WHEN 'hightraffic' THEN 10
        WHEN 'too_many_requests_burst' THEN 11 WHEN 'suspicious_scan' THEN 12 WHEN 'bot_detected' THEN 13
        WHEN 'waf_rule_triggered' THEN 20 WHEN 'firewall_block' THEN 21 ELSE 0 END AS event_type,
    least(it.severity, 3)::smallint AS severity,
    facts ->> 'title' AS description,
    time_of((facts ->> 'timestamp')::bigint) AT TIME ZONE 'UTC' AS occurred_at,
    facts -> 'evidence' ->> 0 AS request_id,
    event ->> 'method' AS method,
    event ->> 'path' AS path,
    CASE WHEN event ->> 'status_code' ~ '^[0-9]{1,9}$' THEN (event ->> 'status_code')::integer END AS status_code,
    event ->> 'user_agent' AS user_agent,
    event AS request
FROM stored_alerts AS it CROSS JOIN LATERAL lenient_json(it.body) AS facts
    CROSS JOIN LATERAL lenient_json(facts ->> 'event') AS event;

CREATE VIEW service_state AS SELECT
    1 AS id,
    NULL::timestamptz AS last_sync_time,
    NULL::timestamptz AS last_success_time,
    (SELECT time_of(max(last_seen)) FROM stored_alerts) AS last_event_time,
    NULL::text AS last_error,
    'idle'::text AS current_status;

CREATE VIEW system_config AS SELECT 1 AS id, 30 AS sync_interval_minutes;

-- Nothing gives events a score yet.
CREATE VIEW anomalies AS SELECT
    NULL::integer AS id,
    NULL::varchar(255) AS request_id,
    NULL::varchar(255) AS event_id,
    NULL::varchar(255) AS role_id,
    NULL::varchar(255) AS event_type,
    NULL::timestamptz AS event_timestamp,
    NULL::text[] AS affected_assets,
    NULL::double precision AS anomaly_score
WHERE FALSE;
