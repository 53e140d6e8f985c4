//! Runs `nft`, without a shell: a script on its stdin is one transaction, all or nothing.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Where it lies when the search path does not name it, as for services.
const PLACES: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];
/// How much of what it complains about is kept, in bytes.
const COMPLAINT_BYTES_MAX: usize = 500;

/// Why the firewall could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The program is missing: install it.
    #[error("`nft` is not installed: it is in the package `nftables`")]
    Missing,
    /// We may not: run as root, or give the capability.
    #[error("the firewall may not be changed: this needs root, or the capability CAP_NET_ADMIN")]
    Forbidden,
    /// The transaction was refused; nothing of it happened.
    #[error("`nft` refused: {0}")]
    Refused(String),
    /// It could not be run.
    #[error("`nft` could not be run")]
    Failed(#[source] io::Error),
}

impl KernelError {
    /// Whether making the table anew may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_))
    }
}

/// Runs a script. Blocks.
///
/// # Errors
///
/// Any [`KernelError`]; then nothing of the script happened.
pub fn run(script: &str) -> Result<(), KernelError> {
    let mut child = None;
    for place in PLACES {
        let mut command = Command::new(place);
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        match command.spawn() {
            Ok(it) => {
                child = Some(it);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(KernelError::Failed(error)),
        }
    }
    let mut child = child.ok_or(KernelError::Missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It reads all of its input before it complains; if it ends before that, its complaint says why.
        let _ = stdin.write_all(script.as_bytes());
    }
    let done = child.wait_with_output().map_err(KernelError::Failed)?;
    if done.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&done.stderr);
    if complaint.contains("Operation not permitted") {
        return Err(KernelError::Forbidden);
    }
    Err(KernelError::Refused(first_of(&complaint)))
}

/// How many packets our table has dropped since it was made; `None` when that cannot be found out. Blocks.
#[must_use]
pub fn dropped() -> Option<u64> {
    let list = |place: &&str| {
        let mut command = Command::new(place);
        command.args(["-j", "list", "counter", "inet", "bartizan", "dropped"]).stdin(Stdio::null());
        command.output().ok()
    };
    packets_of(&PLACES.iter().find_map(list)?.stdout)
}

/// The packets of the first counter of a list in JSON.
///
/// Source: libnftables-json(5), "COUNTER".
fn packets_of(listed: &[u8]) -> Option<u64> {
    let listed: serde_json::Value = serde_json::from_slice(listed).ok()?;
    listed["nftables"].as_array()?.iter().find_map(|it| it["counter"]["packets"].as_u64())
}

/// The first line of a complaint that says something.
fn first_of(complaint: &str) -> String {
    let line = complaint.lines().find(|it| !it.trim().is_empty()).unwrap_or("no reason given");
    line.chars().filter(|it| !it.is_control()).take(COMPLAINT_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_and_nothing_else_is_one() {
        let listed = br#"{"nftables":[{"metainfo":{"version":"1.0.6"}},{"counter":{"family":"inet","name":"dropped","table":"bartizan","handle":6,"packets":12,"bytes":720}}]}"#;
        assert_eq!(packets_of(listed), Some(12));
        for other in [&b""[..], b"{}", b"[]", br#"{"nftables":[{"metainfo":{}}]}"#] {
            assert_eq!(packets_of(other), None);
        }
    }
}
