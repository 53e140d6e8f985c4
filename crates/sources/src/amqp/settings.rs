//! The settings of one source: what is written in `[inputs.NAME]`, checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use normalize::formats::{self, FORMATS, Format};
use outbound::amqp::broker::{Broker, WANTED};
use outbound::amqp::subscription::{Bound, Wanted};
use outbound::amqp::{ExchangeKind, NAME_BYTES_MAX};
use outbound::dial::Dialer;
use outbound::secret::Secret;

/// The word of `type`.
pub const TYPE: &str = "rabbitmq";
/// How many sources there may be: each has a connection of its own.
pub const SOURCES_MAX: usize = 100;
/// Keys whose values are never shown unless they are references.
pub const SECRET_KEYS: &[&str] = &["url", "password"];

/// Names of inputs that are no brokers.
const TAKEN_NAMES: [&str; 4] = ["anonymous", "console", "gateway", "watch"];
/// How long the name of a source may be.
const NAME_CHARS_MAX: usize = 40;
/// How many keys a queue may be bound with.
const KEYS_MAX: usize = 1000;
/// How many messages are on their way without being acknowledged, where nothing else is said.
const PREFETCH: u16 = 500;
/// The most: a quorum queue takes no more.
const PREFETCH_MAX: u16 = 2000;

/// The settings of all sources: by name, then by key; lists have a line for each of their elements.
pub type Written = BTreeMap<String, BTreeMap<String, String>>;

/// How a message is read.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// As a file would be, its format found out.
    Any,
    /// As a file of a format.
    Format(&'static Format),
    /// As the body of `POST /logs`.
    Logs,
    /// As the body of `POST /ingest`.
    Ingest,
}

impl Reader {
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Any),
            "logs" => Some(Self::Logs),
            "ingest" => Some(Self::Ingest),
            name => formats::by_name(name).map(Self::Format),
        }
    }
}

/// A source, checked.
#[derive(Clone, Debug)]
pub struct AmqpInput {
    /// The name of the input.
    pub name: Arc<str>,
    /// The broker.
    pub broker: Broker,
    /// What is read.
    pub wanted: Wanted,
    /// How a message is read.
    pub reader: Reader,
    /// Whether a message that says where its sender waits is answered.
    pub replies: bool,
}

impl AmqpInput {
    /// The exchange that is read, as a publisher would call it; `None` when a queue is read as it is bound.
    #[must_use]
    pub fn exchange_target(&self) -> Option<String> {
        self.wanted.exchange.as_ref().map(|it| self.broker.target(&it.name))
    }
}

/// What is wrong with a setting; never the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`inputs.{input}.{key}` {message}")]
pub struct SettingError {
    /// The source.
    pub input: String,
    /// The key.
    pub key: String,
    /// What is wrong, and what would do.
    pub message: String,
}

/// Reads the settings of all sources. `variable` is the environment, for secrets that are named by it.
///
/// # Errors
///
/// The first setting that cannot be used.
pub fn read(
    written: &Written,
    variable: &dyn Fn(&str) -> Option<String>,
    dialer: &Dialer,
) -> Result<Vec<AmqpInput>, SettingError> {
    let mut inputs = Vec::new();
    for (name, values) in written {
        let settings = Settings { name, values, variable, read: RefCell::default() };
        if SOURCES_MAX <= inputs.len() {
            return Err(settings.wrong("*", format!("is one source too many: there may be {SOURCES_MAX}")));
        }
        let input = settings.input(dialer)?;
        settings.end()?;
        inputs.push(input);
    }
    Ok(inputs)
}

struct Settings<'a> {
    name: &'a str,
    values: &'a BTreeMap<String, String>,
    variable: &'a dyn Fn(&str) -> Option<String>,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Settings<'a> {
    fn input(&self, dialer: &Dialer) -> Result<AmqpInput, SettingError> {
        let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_');
        if self.name.is_empty() || NAME_CHARS_MAX < self.name.len() || !self.name.chars().all(is_plain) {
            return Err(self.wrong("*", "must be called by 1 to 40 of the characters a-z, 0-9, `-` and `_`"));
        }
        if TAKEN_NAMES.contains(&self.name) {
            return Err(self.wrong("*", "is the name of another input; choose another"));
        }
        self.one_of("type", &[(TYPE, ())])?;
        let url = self.secret("url")?.ok_or_else(|| self.wrong("url", format!("is missing; it must be {WANTED}")))?;
        let password = self.secret("password")?;
        let broker = Broker::parse(url.expose(), password.as_ref().map(Secret::expose), dialer);
        Ok(AmqpInput {
            name: Arc::from(self.name),
            broker: broker.map_err(|it| self.wrong("url", it))?,
            wanted: self.wanted()?,
            reader: self.reader()?,
            replies: self.one_of("replies", FLAG)?,
        })
    }

    fn wanted(&self) -> Result<Wanted, SettingError> {
        let declares = self.one_of("declare", FLAG)?;
        let (queue, exchange) = (self.short("queue")?, self.short("exchange")?);
        let kind = self.one_of("exchange_kind", &ExchangeKind::WORDS)?;
        let keys = self.keys()?;
        let exchange = match exchange {
            Some(name) => {
                // A fanout looks at no key, and must be bound all the same.
                let keys = if keys.is_empty() { vec![String::new()] } else { keys };
                Some(Bound { name: name.to_owned(), declares: declares.then_some(kind), keys })
            }
            None if !keys.is_empty() => return Err(self.wrong("keys", "needs an `exchange` to take them from")),
            None => None,
        };
        // The queue of nobody else is ours to make.
        let is_ours = queue.is_none();
        let queue = match (queue, &exchange) {
            (Some(it), _) => it.to_owned(),
            (None, Some(_)) => format!("bartizan.{}", self.name),
            (None, None) => {
                return Err(self.wrong("queue", "is missing; name a queue, or an `exchange` with its `keys`"));
            }
        };
        Ok(Wanted {
            queue,
            declares_queue: declares || is_ours,
            is_durable: self.one_of("durable", &[("true", true), ("false", false)])?,
            exchange,
            prefetch: self.prefetch()?,
        })
    }

    fn prefetch(&self) -> Result<u16, SettingError> {
        let Some(text) = self.text("prefetch") else { return Ok(PREFETCH) };
        let read = text.parse().ok().filter(|it| (1..=PREFETCH_MAX).contains(it));
        read.ok_or_else(|| {
            self.wrong("prefetch", format!("is `{text}`, and must be a number from 1 to {PREFETCH_MAX}"))
        })
    }

    fn reader(&self) -> Result<Reader, SettingError> {
        let word = self.text("format").unwrap_or("auto");
        Reader::of_word(word).ok_or_else(|| {
            let names: Vec<_> = FORMATS.iter().map(|it| it.name).collect();
            self.wrong("format", format!("is `{word}`, and must be auto, logs, ingest, {}", names.join(", ")))
        })
    }

    /// The keys; `100-599` stands for all numbers from one to the other.
    fn keys(&self) -> Result<Vec<String>, SettingError> {
        let mut keys = Vec::new();
        for line in self.text("keys").unwrap_or_default().lines().filter(|it| !it.is_empty()) {
            match numbers(line) {
                Some((first, last)) if last - first < KEYS_MAX as u32 => {
                    keys.extend((first..=last).map(|it| it.to_string()));
                }
                Some(_) => return Err(self.wrong("keys", format!("has `{line}`, which are over {KEYS_MAX} keys"))),
                None if NAME_BYTES_MAX < line.len() => return Err(self.wrong("keys", "has a key of over 255 bytes")),
                None => keys.push(line.to_owned()),
            }
        }
        if KEYS_MAX < keys.len() {
            return Err(self.wrong("keys", format!("are over {KEYS_MAX} keys")));
        }
        Ok(keys)
    }

    fn short(&self, key: &'static str) -> Result<Option<&'a str>, SettingError> {
        match self.text(key) {
            Some(it) if NAME_BYTES_MAX < it.len() => Err(self.wrong(key, "is over 255 bytes")),
            it => Ok(it),
        }
    }

    fn text(&self, key: &'static str) -> Option<&'a str> {
        self.read.borrow_mut().insert(key);
        self.values.get(key).map(String::as_str).filter(|it| !it.is_empty())
    }

    fn secret(&self, key: &'static str) -> Result<Option<Secret>, SettingError> {
        let found = self.text(key).map(|it| Secret::find(it, self.variable)).transpose();
        found.map_err(|it| self.wrong(key, it))
    }

    /// Reads one of several words; the first is the default.
    fn one_of<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Result<T, SettingError> {
        let Some(text) = self.text(key) else { return Ok(words[0].1) };
        words.iter().find(|it| it.0 == text).map(|it| it.1).ok_or_else(|| {
            let there: Vec<_> = words.iter().map(|it| format!("`{}`", it.0)).collect();
            self.wrong(key, format!("is `{text}`, and must be one of {}", there.join(", ")))
        })
    }

    fn wrong(&self, key: &str, message: impl Into<String>) -> SettingError {
        SettingError { input: self.name.to_owned(), key: key.to_owned(), message: message.into() }
    }

    /// Refuses keys that nobody has read.
    fn end(&self) -> Result<(), SettingError> {
        let read = self.read.borrow();
        let Some(key) = self.values.keys().find(|it| !read.contains(it.as_str())) else { return Ok(()) };
        let there: Vec<_> = read.iter().copied().collect();
        Err(self.wrong(key, format!("is not known here; there are {}", there.join(", "))))
    }
}

/// No unless it is said.
const FLAG: &[(&str, bool)] = &[("false", false), ("true", true)];

/// Reads `100-599`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-')?;
    let read = |it: &str| it.bytes().all(|it| it.is_ascii_digit()).then(|| it.parse::<u32>().ok()).flatten();
    let (first, last) = (read(first)?, read(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use outbound::guard::Guard;
    use outbound::resolve::System;

    use super::*;

    fn input(values: &[(&str, &str)]) -> Result<AmqpInput, String> {
        let values = [&[("url", "amqp://a:hidden@h/")], values].concat();
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let dialer = Dialer::new(Guard::new(Vec::new()), Arc::new(System), None);
        let written = Written::from([("shop".to_owned(), values)]);
        read(&written, &|_| None, &dialer).map(|it| it[0].clone()).map_err(|it| it.to_string())
    }

    #[track_caller]
    fn refused(values: &[(&str, &str)], expected: &str) {
        let error = input(values).unwrap_err();
        assert!(error.starts_with(expected) && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn the_queue_of_others_is_only_looked_for() {
        let wanted = input(&[("queue", "theirs")]).unwrap().wanted;
        assert_eq!((wanted.queue.as_str(), wanted.declares_queue, wanted.prefetch), ("theirs", false, 500));
        assert!(wanted.exchange.is_none() && wanted.is_durable);
        assert!(input(&[("queue", "theirs"), ("declare", "true")]).unwrap().wanted.declares_queue);
    }

    #[test]
    fn an_exchange_is_read_through_a_queue_of_our_own() {
        let wanted = input(&[("exchange", "logs"), ("keys", "7\n200-202")]).unwrap().wanted;
        assert_eq!((wanted.queue.as_str(), wanted.declares_queue), ("bartizan.shop", true));
        let exchange = wanted.exchange.unwrap();
        assert_eq!((exchange.keys.join(" ").as_str(), exchange.declares), ("7 200 201 202", None));
        let wanted = input(&[("exchange", "all"), ("exchange_kind", "fanout"), ("declare", "true")]).unwrap().wanted;
        let exchange = wanted.exchange.unwrap();
        assert_eq!((exchange.keys.as_slice(), exchange.declares), (&[String::new()][..], Some(ExchangeKind::Fanout)));
    }

    #[test]
    fn a_complaint_names_the_key_and_what_would_do() {
        refused(&[], "`inputs.shop.queue` is missing; name a queue, or an `exchange`");
        refused(&[("queue", "q"), ("type", "kafka")], "`inputs.shop.type` is `kafka`, and must be one of `rabbitmq`");
        refused(&[("queue", "q"), ("url", "amqp://h")], "`inputs.shop.url` must be an address as");
        refused(&[("queue", "q"), ("password", "env:AWAY")], "`inputs.shop.password` names the variable `AWAY`");
        refused(&[("queue", "q"), ("prefetch", "0")], "`inputs.shop.prefetch` is `0`, and must be a number from 1");
        refused(&[("queue", "q"), ("prefetch", "2001")], "`inputs.shop.prefetch` is `2001`");
        refused(&[("queue", "q"), ("format", "xml")], "`inputs.shop.format` is `xml`, and must be auto, logs, ingest");
        refused(&[("queue", "q"), ("keys", "a")], "`inputs.shop.keys` needs an `exchange`");
        refused(&[("exchange", "x"), ("keys", "0-1000")], "`inputs.shop.keys` has `0-1000`, which are over 1000");
        refused(&[("queue", "q"), ("replies", "yes")], "`inputs.shop.replies` is `yes`, and must be one of");
        refused(&[("queue", &"q".repeat(256))], "`inputs.shop.queue` is over 255 bytes");
        refused(&[("queue", "q"), ("acks", "1")], "`inputs.shop.acks` is not known here; there are declare,");
        assert!(input(&[("queue", &"q".repeat(255)), ("prefetch", "2000")]).is_ok());
        assert_eq!(input(&[("exchange", "x"), ("keys", "0-999")]).unwrap().wanted.exchange.unwrap().keys.len(), 1000);
    }

    #[test]
    fn a_range_is_two_numbers() {
        for (text, expected) in [
            ("100-599", Some((100, 599))),
            ("7-7", Some((7, 7))),
            ("7-6", None),
            ("-6", None),
            ("a-b", None),
            ("order-7", None),
            ("1-99999999999", None),
        ] {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }
}
