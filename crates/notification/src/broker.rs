//! What the settings say of a broker that is published to; the same for messages of alerts and for events that are passed on.

use outbound::amqp::broker::{Broker, WANTED};
use outbound::amqp::publisher::{Exchange, Publisher};
use outbound::amqp::{ExchangeKind, NAME_BYTES_MAX};
use outbound::dial::Dialer;
use outbound::secret::Secret;

use crate::settings::{SettingError, Settings};

/// Reads `url`, `password`, `exchange`, `exchange_kind`, `declare`, and makes a publisher of them.
pub(crate) fn publisher(
    settings: &Settings<'_>,
    dialer: &Dialer,
    is_mandatory: bool,
) -> Result<Publisher, SettingError> {
    let url = settings.required_secret("url", WANTED)?;
    let password = settings.secret("password")?;
    let broker = Broker::parse(url.expose(), password.as_ref().map(Secret::expose), dialer);
    let broker = broker.map_err(|it| settings.wrong("url", it))?;
    let name = settings.required("exchange", "the name of an exchange")?;
    let kind = settings.one_of("exchange_kind", &ExchangeKind::WORDS)?;
    let declares = settings.flag("declare", false)?.then_some(kind);
    let exchange = Exchange { name: short(settings, "exchange", name)?.to_owned(), declares, is_mandatory };
    Ok(Publisher::new(broker, settings.name().to_owned(), exchange))
}

/// Refuses what the protocol has no room for.
pub(crate) fn short<'a>(settings: &Settings<'_>, key: &str, text: &'a str) -> Result<&'a str, SettingError> {
    if NAME_BYTES_MAX < text.len() { Err(settings.wrong(key, "is over 255 bytes")) } else { Ok(text) }
}
