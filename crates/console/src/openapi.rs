//! The description of the API (OpenAPI 3.1), made from the table of the routes, and what holds the table to the truth.

use serde_json::{Map, Value, json};
use web::answer::{Answer, PROBLEM};
use web::route::{Anonymous, Permission, QueryParameter, Response, Route};

use crate::schemas::schemas;

/// What the listener itself may answer on a route that needs a key.
const BY_THE_LISTENER: [(u16, &str); 3] = [
    (401, "No key, or one that is not known."),
    (403, "The key may not do this."),
    (429, "Too many requests; `Retry-After` says when."),
];

/// The groups of the document, in order, with the beginnings of the paths that belong to them.
const GROUPS: [(&str, &str, &[&str]); 7] = [
    ("Alerts", "What was found.", &["/alerts", "/v1/alerts", "/anomalies", "/v1/exceptions"]),
    ("Events", "What was sent in, and how to send it.", &["/v1/events", "/logs", "/ingest"]),
    ("Intake", "What became of every record.", &["/v1/ledger", "/v1/quarantine"]),
    (
        "Decisions",
        "Who is kept out, and who enforces it.",
        &["/v1/decisions", "/v1/never-block", "/v1/audit", "/v1/lists", "/v1/bouncers", "/risk"],
    ),
    ("Messages", "Who is told of alerts, and whether it arrived.", &["/v1/notify", "/v1/deliveries"]),
    ("State", "Whether everything works.", &["/health", "/healthz", "/readyz", "/metrics", "/openapi.json"]),
    ("Pages", "What a browser shows.", &[]),
];

/// What the document begins with.
const ABOUT: &str = "Send a key as `Authorization: Bearer KEY`, as `X-Api-Key: KEY`, or as the password of HTTP Basic. \
     Times are RFC 3339 in UTC. Errors below `/v1` are `application/problem+json` (RFC 9457). Every answer carries \
     `X-Request-Id`; who quotes it helps to find the request in the log.";

/// Makes the document of `routes`, all of them, pages and assets too.
#[must_use]
pub fn openapi(routes: &[Route]) -> Value {
    let schemas = schemas();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method.as_str().to_ascii_lowercase()] = operation(route, &schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Bartizan", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "tags": GROUPS.map(|(name, about, _)| json!({"name": name, "description": about})),
        "paths": paths,
        "security": any_key(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The key is the password; the name is not read."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    })
}

/// Returns the schema that belongs to a name in a route, if it is described here.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    schemas().get(name).cloned()
}

/// Returns what is wrong with an answer of a route: a status or media type that it does not declare, a body that
/// is not of the declared schema. Nothing when all is well. For tests.
#[must_use]
pub fn route_faults(route: &Route, answer: &Answer) -> Vec<String> {
    let place = format!("{} {}", route.method, route.path);
    let status = answer.status.as_u16();
    let declared: Vec<&Response> = route.responses.iter().filter(|it| it.status == status).collect();
    let Some(response) = declared.iter().find(|it| it.media_type == answer.media_type) else {
        return vec![format!("{place} answers {status} `{}`, which it does not declare", answer.media_type)];
    };
    if !response.media_type.ends_with("json") {
        return Vec::new();
    }
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return vec![format!("{place} answers {status} with a body that is no JSON")];
    };
    let Some(wanted) = schemas().remove(response.schema) else {
        let is_named = !response.schema.is_empty();
        return if is_named {
            vec![format!("{place} names the schema `{}`, which is nowhere", response.schema)]
        } else {
            Vec::new()
        };
    };
    let mut faults = Vec::new();
    compare(&wanted, &body, "", &mut faults);
    faults.into_iter().map(|it| format!("{place} answers {status}: {it}")).collect()
}

fn operation(route: &Route, schemas: &Map<String, Value>) -> Value {
    let path_parameters = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = path_parameters.map(path_parameter).collect();
    parameters.extend(route.query.iter().map(query_parameter));
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.about,
        "description": access(route),
        "tags": [group(route)],
        "security": security(route),
        "responses": responses(route, schemas),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if !route.body.is_empty() {
        let schema = reference(route.body, schemas);
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
    let mut parts = vec![route.method.as_str().to_ascii_lowercase()];
    parts.extend(words.map(str::to_owned));
    parts.join("_")
}

fn group(route: &Route) -> &'static str {
    let belongs = |prefix: &&str| {
        let rest = route.path.strip_prefix(prefix);
        rest.is_some_and(|it| it.is_empty() || it.starts_with('/'))
    };
    GROUPS.iter().find(|(_, _, prefixes)| prefixes.iter().any(&belongs)).map_or("Pages", |it| it.0)
}

fn access(route: &Route) -> String {
    let scope = match route.permission {
        Permission::Open => return "Open to everybody.".to_owned(),
        Permission::Ingest => "ingest",
        Permission::Read => "read",
        Permission::Metrics => "metrics",
        Permission::Bouncer => "bouncer",
        Permission::Decisions => "bouncer` or `read",
        Permission::Admin => "admin",
    };
    let also = if route.permission == Permission::Admin { "" } else { " or `admin`" };
    let without = match route.anonymous {
        Anonymous::Never => "",
        Anonymous::Ingest => " From loopback without one, when `[access] anonymous_ingest` says so.",
        Anonymous::Read => " From loopback without one, when `[access] anonymous_read` says so.",
    };
    format!("Needs a key of the scope `{scope}`{also}.{without}")
}

fn any_key() -> Value {
    json!([{"bearer": []}, {"apiKey": []}, {"basic": []}])
}

fn security(route: &Route) -> Value {
    if route.permission == Permission::Open {
        return json!([]);
    }
    let mut ways = any_key();
    if route.anonymous != Anonymous::Never
        && let Some(ways) = ways.as_array_mut()
    {
        ways.push(json!({}));
    }
    ways
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn query_parameter(parameter: &QueryParameter) -> Value {
    let schema = match parameter.name {
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 1000}),
        "hours" => json!({"type": "integer", "minimum": 1, "maximum": 8760}),
        "from" | "to" => json!({"type": "string", "format": "date-time"}),
        "severity" | "criticality" => json!({"$ref": "#/components/schemas/Severity"}),
        _ => json!({"type": "string"}),
    };
    json!({"name": parameter.name, "in": "query", "required": false, "description": parameter.about, "schema": schema})
}

fn responses(route: &Route, schemas: &Map<String, Value>) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for response in route.responses {
        let entry = all.entry(response.status.to_string()).or_insert_with(|| json!({"description": response.about}));
        if !response.media_type.is_empty() {
            entry["content"][response.media_type] = json!({"schema": reference(response.schema, schemas)});
        }
    }
    if route.permission != Permission::Open {
        for (status, about) in BY_THE_LISTENER {
            let content = json!({PROBLEM: {"schema": reference("Problem", schemas)}});
            all.entry(status.to_string()).or_insert_with(|| json!({"description": about, "content": content}));
        }
    }
    all.into()
}

/// A name as a reference; a name that is not described here, as other edges may have, as its title only.
fn reference(name: &str, schemas: &Map<String, Value>) -> Value {
    if schemas.contains_key(name) {
        json!({"$ref": format!("#/components/schemas/{name}")})
    } else if name.is_empty() {
        json!({})
    } else {
        json!({"title": name})
    }
}

/// Compares a body with a schema in the few words that ours use: `$ref`, `type`, `enum`, `required`, `properties`,
/// `items`, `additionalProperties`.
fn compare(schema: &Value, body: &Value, place: &str, faults: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        match schemas().get(name) {
            Some(schema) => compare(schema, body, place, faults),
            None => faults.push(format!("`{name}` is not described")),
        }
        return;
    }
    if !is_of_type(&schema["type"], body) {
        faults.push(format!("`{place}` is no {}", schema["type"]));
        return;
    }
    if schema["enum"].as_array().is_some_and(|it| !it.contains(body)) {
        faults.push(format!("`{place}` is none of {}", schema["enum"]));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if body.get(name).is_none() {
            faults.push(format!("`{place}` lacks `{name}`"));
        }
    }
    for (name, value) in body.as_object().into_iter().flatten() {
        let inside = format!("{place}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(property), _) => compare(property, value, &inside, faults),
            (None, Value::Bool(false)) => faults.push(format!("`{inside}` is not described")),
            (None, other) if other.is_object() => compare(other, value, &inside, faults),
            _ => {}
        }
    }
    for (index, item) in body.as_array().into_iter().flatten().enumerate() {
        compare(&schema["items"], item, &format!("{place}[{index}]"), faults);
    }
}

fn is_of_type(wanted: &Value, body: &Value) -> bool {
    let is = |wanted: &Value| match wanted.as_str() {
        Some("null") => body.is_null(),
        Some("boolean") => body.is_boolean(),
        Some("integer") => body.is_i64() || body.is_u64(),
        Some("number") => body.is_number(),
        Some("string") => body.is_string(),
        Some("array") => body.is_array(),
        Some("object") => body.is_object(),
        _ => true,
    };
    match wanted.as_array() {
        Some(several) => several.iter().any(is),
        None => is(wanted),
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use web::answer::JSON;

    use super::*;

    const OK: &[Response] = &[Response { status: 200, about: "", media_type: JSON, schema: "AlertPage" }];

    fn route() -> Route {
        Route::get("/v1/alerts/{id}/notes/{note}", |_| async { Answer::text("") }).answers(OK)
    }

    #[track_caller]
    fn check(answer: &Answer, expected: &[&str]) {
        assert_eq!(route_faults(&route(), answer), expected);
    }

    #[test]
    fn an_answer_that_is_not_declared_is_a_fault() {
        let place = "GET /v1/alerts/{id}/notes/{note} answers";
        let json = |status: u16, body: Value| Answer::json(StatusCode::from_u16(status).unwrap(), &body);
        check(&json(200, json!({"items": [], "next": null})), &[]);
        check(&json(404, json!({})), &[&format!("{place} 404 `application/json`, which it does not declare")]);
        check(&Answer::text("x"), &[&format!("{place} 200 `text/plain; charset=utf-8`, which it does not declare")]);
        check(&Answer::new(StatusCode::OK, JSON, "{"), &[&format!("{place} 200 with a body that is no JSON")]);
        check(
            &json(200, json!({"items": {}})),
            &[&format!("{place} 200: `` lacks `next`"), &format!("{place} 200: `.items` is no \"array\"")],
        );
    }

    #[test]
    fn the_parameters_of_a_path_are_in_the_document() {
        let document = openapi(&[route()]);
        let parameters = &document["paths"]["/v1/alerts/{id}/notes/{note}"]["get"]["parameters"];
        let names: Vec<_> = parameters.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["id", "note"]);
    }

    #[test]
    fn every_reference_within_the_schemas_leads_somewhere() {
        fn follow(value: &Value, schemas: &Map<String, Value>) {
            match value {
                Value::Object(members) => {
                    if let Some(name) = members.get("$ref").and_then(Value::as_str) {
                        assert!(schemas.contains_key(name.trim_start_matches("#/components/schemas/")), "{name}");
                    }
                    members.values().for_each(|it| follow(it, schemas));
                }
                Value::Array(items) => items.iter().for_each(|it| follow(it, schemas)),
                _ => {}
            }
        }
        let schemas = schemas();
        schemas.values().for_each(|it| follow(it, &schemas));
    }

    #[test]
    fn a_route_without_a_key_says_so() {
        let open = Route::get("/healthz", |_| async { Answer::text("") }).for_whom(Permission::Open);
        let document = openapi(&[open, route().for_whom(Permission::Read).without_key_by(Anonymous::Read)]);
        assert_eq!(document["paths"]["/healthz"]["get"]["security"], json!([]));
        let ways = &document["paths"]["/v1/alerts/{id}/notes/{note}"]["get"]["security"];
        assert!(ways.as_array().unwrap().contains(&json!({})), "{ways}");
    }
}
