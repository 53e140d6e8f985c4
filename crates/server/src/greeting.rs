//! What a server says on stdout: where it is at the start, and each new alert.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use model::alert::Alert;
use pipeline::ingest::now;
use web::route::Caller;

use crate::config::Config;
use crate::core::AdminKey;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::terminal;
use crate::up::Assembly;

/// How much of a title or a name stands in the line of an alert, in characters.
const NAME_CHARS_MAX: usize = 200;

/// Prints each new alert in a line of its own.
pub(crate) fn print_alerts(alerts: &[Alert]) {
    let mut out = std::io::stdout().lock();
    for alert in alerts {
        // A terminal that is gone must not stop detection.
        let _ = writeln!(out, "{}", alert_line(&alert.title, &alert.entity.to_string()));
    }
    let _ = out.flush();
}

fn alert_line(title: &str, entity: &str) -> String {
    let short = |text: &str| terminal::cut(&terminal::line(text), NAME_CHARS_MAX);
    format!("[ALERT] {} detected from {}", short(title), short(entity))
}

/// Where a server is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// The main address.
    pub(crate) address: SocketAddr,
    /// The name in its certificate.
    pub(crate) host: Option<&'a str>,
    /// The URL of the gateway.
    pub(crate) gateway: Option<&'a str>,
}

/// Says where everything is.
///
/// What of it cannot be stored, on a disk that is full, is no reason not to serve.
pub(crate) fn greet(
    config: &Config,
    assembly: &Assembly,
    admin_key: &AdminKey,
    places: Places<'_>,
) -> Result<(), Failure> {
    let Places { address, host, gateway } = places;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let url = url_of(scheme, address, host);
    keep_url(&config.data.join("url"), &url);
    let key_file = config.data.join("admin.key");
    let mut lines = vec![format!("Bartizan {} keeps its data in {}", env!("CARGO_PKG_VERSION"), config.data.display())];
    if let AdminKey::Made(secret) = admin_key {
        lines.push(format!("The key it made, also in {}: {secret}", key_file.display()));
    }
    // An owner always gets one.
    match assembly.auth.make_link(&Caller::Owner, &hyper::HeaderMap::new(), now()) {
        Ok(token) => {
            let token = token.unwrap_or_default();
            lines.push(format!("Open the page, within 10 minutes, once: {url}/login/{token}"));
        }
        Err(error) => {
            tracing::warn!(reason = %format!("{error:#}"), "There is no link to the page: the store cannot be written")
        }
    }
    let key = match admin_key {
        AdminKey::OfEnvironment => format!("${}", crate::core::ADMIN_KEY_VARIABLE),
        _ if !key_file.exists() => "$KEY".to_owned(),
        _ => format!("$(cat '{}')", key_file.display()),
    };
    if key == "$KEY" {
        lines.push(format!(
            "{} is gone, so you hold the key. Another, as $KEY: KEY=$(bartizan key create --data '{}' --name NAME --scope ingest)",
            key_file.display(),
            config.data.display()
        ));
    }
    lines.push(format!(
        "Send a log: curl -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \
         -d '{{\"timestamp\":\"{}\",\"client_ip\":\"203.0.113.7\",\"endpoint\":\"/login\",\"method\":\"POST\",\"status_code\":401}}' {url}/logs",
        now()
    ));
    if let Some(url) = gateway {
        lines.push(format!("The gateway takes requests at {url}"));
    }
    if address.ip().is_unspecified() {
        let whence = if host.is_some() { "the name in the certificate" } else { "this machine alone" };
        lines.push(format!(
            "It listens on every address; the lines above name {whence}, others put theirs in its place"
        ));
    }
    if let Some(address) = assembly.bouncers.address() {
        lines.push(format!("Bouncers pull decisions at {scheme}://{address}"));
    }
    lines.push(format!("listening on {scheme}://{address}"));
    let mut out = std::io::stdout().lock();
    let written = lines.iter().try_for_each(|it| writeln!(out, "{it}")).and_then(|()| out.flush());
    written.map_err(|it| Failure::failed(format!("stdout cannot be written: {it}")))
}

/// Where the page is reached: the address, or where that is every address, `host`, else this machine.
fn url_of(scheme: &str, address: SocketAddr, host: Option<&str>) -> String {
    if !address.ip().is_unspecified() {
        return format!("{scheme}://{address}");
    }
    let port = address.port();
    match (host, address.ip()) {
        (Some(host), _) => format!("{scheme}://{host}:{port}"),
        (None, IpAddr::V4(_)) => format!("{scheme}://127.0.0.1:{port}"),
        (None, IpAddr::V6(_)) => format!("{scheme}://[::1]:{port}"),
    }
}

/// Keeps the URL for commands that print links; without room there is none, and no wrong one.
fn keep_url(path: &Path, url: &str) {
    if let Err(failure) = Folder::write_private(path, &format!("{url}\n")) {
        let _ = fs::remove_file(path);
        tracing::warn!(reason = %failure, "The file `url` cannot be written; `login-link` prints the configured address");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, host: Option<&str>, expected: &str) {
        assert_eq!(url_of("https", address.parse().expect("an address"), host), expected);
    }

    #[test]
    fn a_url_names_a_host_that_can_be_reached() {
        check("192.0.2.1:443", Some("logs.example.com"), "https://192.0.2.1:443");
        check("0.0.0.0:7071", Some("logs.example.com"), "https://logs.example.com:7071");
        check("0.0.0.0:7071", None, "https://127.0.0.1:7071");
        check("[::]:7071", None, "https://[::1]:7071");
    }

    #[test]
    fn the_line_of_an_alert_is_short_whatever_the_names_are() {
        assert_eq!(alert_line("Brute force", "IP: 192.0.2.1"), "[ALERT] Brute force detected from IP: 192.0.2.1");
        let line = alert_line(&"t".repeat(60_000), &"\n".repeat(60_000));
        assert!(line.chars().count() < 2 * NAME_CHARS_MAX + 40 && !line.contains('\n'));
    }
}
