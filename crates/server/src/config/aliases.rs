//! Variables of other systems that stand for keys of ours, so that their deployments need not be renamed.
//!
//! They count least: what the file or a variable of ours says goes before them. Most count only with another, which names
//! the host, because their names are those of many programs.

use std::collections::BTreeMap;

use super::{Raw, Told};

/// A variable, and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alias {
    pub(crate) variable: &'static str,
    pub(crate) path: &'static str,
}

const fn alias(variable: &'static str, path: &'static str) -> Alias {
    Alias { variable, path }
}

/// Every variable of others that is read; the documentation has the same table.
pub(crate) const ALIASES: &[Alias] = &[
    alias("SLACK_WEBHOOK_URL", "notify.slack.url"),
    alias("POSTGRES_HOST", "store.url"),
    alias("POSTGRES_PORT", "store.url"),
    alias("POSTGRES_DB", "store.url"),
    alias("POSTGRES_USER", "store.url"),
    alias("POSTGRES_PASSWORD", "store.url"),
    alias("RABBITMQ_HOST", "inputs.rabbitmq.url"),
    alias("RABBITMQ_PORT", "inputs.rabbitmq.url"),
    alias("RABBITMQ_USER", "inputs.rabbitmq.url"),
    alias("RABBITMQ_PASS", "inputs.rabbitmq.password"),
    alias("QUEUE_NAME", "inputs.rabbitmq.queue"),
    alias("EXCHANGE", "inputs.rabbitmq.exchange"),
    alias("ROUTING_KEY", "inputs.rabbitmq.keys"),
    alias("RABBITMQ_QUEUE_NAME", "inputs.rabbitmq.queue"),
    alias("RABBITMQ_RESPONSE_QUEUE_NAME", "inputs.rabbitmq.replies"),
    alias("INTEGRATION_EXCHANGE", "notify.integration.exchange"),
    alias("INTEGRATION_EXCHANGE_TYPE", "notify.integration.exchange_kind"),
    alias("INTEGRATION_ROUTING_KEY", "notify.integration.key"),
];

/// The source that they make.
const SOURCE: &str = "rabbitmq";
/// The destination that they make.
const DESTINATION: &str = "integration";
/// The schema where the database may be that of the other system, whose tables have the names of our views.
const SCHEMA: &str = "bartizan";

/// The variables that were set, by name.
#[derive(Debug, Default)]
pub(super) struct Theirs(BTreeMap<&'static str, String>);

impl Theirs {
    /// Takes a variable if it is one of them; an empty one is none.
    pub(super) fn take(&mut self, name: &str, value: &str) {
        if let Some(alias) = ALIASES.iter().find(|it| it.variable == name && !value.is_empty()) {
            self.0.insert(alias.variable, value.to_owned());
        }
    }

    fn text(&self, variable: &'static str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }

    /// What a variable says, as the setting that it stands for.
    fn setting(&self, variable: &'static str) -> Option<(&'static str, Told)> {
        let key = ALIASES.iter().find(|it| it.variable == variable)?.path.rsplit('.').next()?;
        self.text(variable).map(|it| (key, told(it.to_owned(), variable)))
    }

    fn store_url(&self) -> Option<Told> {
        let host = self.text("POSTGRES_HOST")?;
        let part = |variable, default| encoded(self.text(variable).unwrap_or(default));
        let (user, database) = (part("POSTGRES_USER", "postgres"), part("POSTGRES_DB", "security"));
        let password = self.text("POSTGRES_PASSWORD").map(|it| format!(":{}", encoded(it))).unwrap_or_default();
        let port = self.text("POSTGRES_PORT").unwrap_or("5432");
        let url = format!("postgres://{user}{password}@{host}:{port}/{database}?schema={SCHEMA}");
        Some(told(url, "POSTGRES_HOST"))
    }

    /// The address of the broker and the reference to its password. There is no default user and no default password.
    fn broker(&self) -> Option<Vec<(&'static str, Told)>> {
        let host = self.text("RABBITMQ_HOST")?;
        let user = encoded(self.text("RABBITMQ_USER").unwrap_or_default());
        let port = self.text("RABBITMQ_PORT").unwrap_or("5672");
        let url = told(format!("amqp://{user}@{host}:{port}/%2f"), "RABBITMQ_HOST");
        let password =
            self.text("RABBITMQ_PASS").map(|_| ("password", told("env:RABBITMQ_PASS".to_owned(), "RABBITMQ_PASS")));
        let kind = told(SOURCE.to_owned(), "RABBITMQ_HOST");
        Some([("type", kind), ("url", url)].into_iter().chain(password).collect())
    }

    /// What is read: a queue as it is, one that is bound to an exchange, or one whose senders wait for answers.
    fn queue(&self) -> Vec<(&'static str, Told)> {
        let mut settings = Vec::new();
        if let Some(queue) = self.setting("RABBITMQ_QUEUE_NAME") {
            settings.extend([queue, ("format", told("ingest".to_owned(), "RABBITMQ_QUEUE_NAME"))]);
            let replies = self.setting("RABBITMQ_RESPONSE_QUEUE_NAME");
            // Each message says itself where its answer goes.
            settings.extend(replies.map(|(key, it)| (key, Told { text: "true".to_owned(), ..it })));
            return settings;
        }
        settings.extend(self.setting("QUEUE_NAME"));
        if let Some(exchange) = self.setting("EXCHANGE") {
            settings.push(exchange);
            settings.extend(self.setting("ROUTING_KEY"));
        }
        settings
    }

    fn integration(&self) -> Vec<(&'static str, Told)> {
        let Some(exchange) = self.setting("INTEGRATION_EXCHANGE") else { return Vec::new() };
        let decisions = ("decisions", told("true".to_owned(), "INTEGRATION_EXCHANGE"));
        let others = ["INTEGRATION_EXCHANGE_TYPE", "INTEGRATION_ROUTING_KEY"];
        [exchange, decisions].into_iter().chain(others.into_iter().filter_map(|it| self.setting(it))).collect()
    }
}

impl Raw {
    /// Takes what the variables of other systems say where nothing else was said.
    pub(super) fn take_theirs(&mut self, theirs: &Theirs) {
        if let Some(url) = theirs.store_url() {
            self.values.entry("store.url").or_insert(url);
        }
        let Some(broker) = theirs.broker() else { return };
        let sources = self.named.entry("inputs").or_default();
        let queue = theirs.queue();
        // A section of this name says itself what is read.
        if !queue.is_empty() && !sources.contains_key(SOURCE) {
            sources.insert(SOURCE.to_owned(), settings_of(broker.iter().cloned().chain(queue)));
        }
        let integration = theirs.integration();
        if !integration.is_empty() && !self.destinations.contains_key(DESTINATION) {
            self.destinations.insert(DESTINATION.to_owned(), settings_of(broker.into_iter().chain(integration)));
        }
    }
}

fn settings_of(settings: impl Iterator<Item = (&'static str, Told)>) -> BTreeMap<String, Told> {
    settings.map(|(key, told)| (key.to_owned(), told)).collect()
}

fn told(text: String, variable: &str) -> Told {
    Told { text, origin: format!("variable {variable}") }
}

/// Writes a part of an address: what may mean something there as `%XX`.
fn encoded(text: &str) -> String {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
    text.bytes().map(|it| if is_plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::store::StoreConfig;

    fn raw(file: &str, variables: &[(&str, &str)]) -> Raw {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.toml");
        std::fs::write(&path, file).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Raw::read(Some(&path), variables).unwrap()
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &[&str]) {
        let shown = raw("", variables).show();
        for line in expected {
            assert!(shown.lines().any(|it| it.split_whitespace().collect::<Vec<_>>().join(" ") == *line), "{shown}");
        }
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn a_database_is_named_by_its_parts() {
        let variables = [("POSTGRES_HOST", "db"), ("POSTGRES_USER", "us/er"), ("POSTGRES_PASSWORD", "can@ary")];
        check(
            &[("POSTGRES_HOST", "db"), ("POSTGRES_PASSWORD", "canary")],
            &["store.url = \"...\" # variable POSTGRES_HOST"],
        );
        let Ok(StoreConfig::Postgres(settings)) = raw("", &variables).store() else { panic!("it is right") };
        assert_eq!((settings.hosts[0].0.as_str(), settings.hosts[0].1), ("db", 5432));
        let told = [&settings.user, &settings.database, &settings.schema];
        assert_eq!(told, ["us/er", "security", "bartizan"]);
        assert!(matches!(raw("", &variables[1..]).store(), Ok(StoreConfig::Folder)), "without a host it is nobody's");
        let other = raw("", &[("POSTGRES_HOST", "db"), ("BARTIZAN_STORE__URL", "postgres://u@own/d")]);
        assert_eq!(other.values["store.url"].text, "postgres://u@own/d");
    }

    #[test]
    fn a_broker_is_named_by_its_parts_and_read_where_a_queue_is_named() {
        let broker = [("RABBITMQ_HOST", "mq"), ("RABBITMQ_USER", "u"), ("RABBITMQ_PASS", "canary")];
        assert!(raw("", &broker).named["inputs"].is_empty());
        check(
            &[&broker[..], &[("QUEUE_NAME", "q"), ("EXCHANGE", "x"), ("ROUTING_KEY", "k")]].concat(),
            &[
                "inputs.rabbitmq.queue = \"q\" # variable QUEUE_NAME",
                "inputs.rabbitmq.exchange = \"x\" # variable EXCHANGE",
                "inputs.rabbitmq.keys = \"k\" # variable ROUTING_KEY",
                "inputs.rabbitmq.password = \"env:RABBITMQ_PASS\" # variable RABBITMQ_PASS",
            ],
        );
        check(
            &[&broker[..], &[("RABBITMQ_QUEUE_NAME", "c"), ("RABBITMQ_RESPONSE_QUEUE_NAME", "r")]].concat(),
            &[
                "inputs.rabbitmq.queue = \"c\" # variable RABBITMQ_QUEUE_NAME",
                "inputs.rabbitmq.format = \"ingest\" # variable RABBITMQ_QUEUE_NAME",
                "inputs.rabbitmq.replies = \"true\" # variable RABBITMQ_RESPONSE_QUEUE_NAME",
            ],
        );
        check(
            &[&broker[..], &[("INTEGRATION_EXCHANGE", "security.integration")]].concat(),
            &["notify.integration.exchange = \"security.integration\" # variable INTEGRATION_EXCHANGE"],
        );
        let url = &raw("", &[&broker[..], &[("QUEUE_NAME", "q")]].concat()).named["inputs"]["rabbitmq"]["url"].text;
        assert_eq!(url, "amqp://u@mq:5672/%2f");
        let own = raw("[inputs.rabbitmq]\nqueue = \"mine\"\n", &[&broker[..], &[("QUEUE_NAME", "q")]].concat());
        assert_eq!(own.named["inputs"]["rabbitmq"].len(), 1, "a section of this name goes before them");
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, table) = text.split_once("## Variables of other systems").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let rows: Vec<_> = table
            .lines()
            .filter(|it| it.starts_with("| `"))
            .map(|it| it.split('|').map(|it| it.trim().trim_matches('`')).skip(1).take(2).collect::<Vec<_>>())
            .collect();
        let expected: Vec<_> = ALIASES.iter().map(|it| vec![it.variable, it.path]).collect();
        assert_eq!(rows, expected);
    }
}
