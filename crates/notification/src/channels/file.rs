//! A file with a JSON object a line. It is opened anew for each message, so that whoever rotates it needs to tell nobody.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbound::client::Client;

use super::{Built, Channel, Failure, Manner, Sending, Sent};
use crate::message::Message;
use crate::settings::Settings;
use crate::{form, ocsf};

/// How many lines are taken at once. After a crash so many may be there twice, with the same ids.
const BATCH: usize = 200;

struct File {
    path: PathBuf,
    is_ocsf: bool,
}

pub(super) fn build(settings: &Settings<'_>, _: &Arc<Client>) -> Built {
    let path = PathBuf::from(settings.required("path", "the path of a file")?);
    let is_ocsf = settings.one_of("format", &[("json", false), ("ocsf", true)])?;
    Ok(Arc::new(File { path, is_ocsf }))
}

impl Channel for File {
    fn manner(&self) -> Manner {
        Manner { batch: BATCH, unmarked: BATCH, ..Manner::one_by_one(Duration::from_secs(5)) }
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        let value = if self.is_ocsf { ocsf::finding(message) } else { form::message(message) };
        let (line, path) = (format!("{value}\n"), self.path.clone());
        Box::pin(async move {
            let write = move || {
                let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
                file.write_all(line.as_bytes())
            };
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => Ok(Sent("written".to_owned())),
                Ok(Err(error)) => Err(Failure::passing(format!("the file cannot be written: {error}"))),
                Err(_) => Err(Failure::passing("the file cannot be written")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::channels::samples::{HOSTILE, alert, built, hostile_message, message};
    use crate::message::Kind;

    #[tokio::test]
    async fn each_message_is_a_line_and_a_rotated_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.ndjson");
        let channel = built("file", &[("path", path.to_str().unwrap())]).unwrap();
        for hostile in HOSTILE {
            channel.send(&hostile_message(hostile)).await.unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let titles: Vec<_> = lines.iter().map(|it| it["data"]["title"].as_str().unwrap()).collect();
        assert_eq!(titles, HOSTILE);
        std::fs::rename(&path, folder.path().join("alerts.1")).unwrap();
        channel.send(&message(Kind::Closed, alert())).await.unwrap();
        let line: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((&line["type"], &line["data"]["status"]), (&"alert.closed".into(), &"closed".into()));
    }

    #[tokio::test]
    async fn a_finding_of_ocsf_is_a_line_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("findings.ndjson");
        let channel = built("file", &[("path", path.to_str().unwrap()), ("format", "ocsf")]).unwrap();
        channel.send(&message(Kind::Raised, alert())).await.unwrap();
        let line: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(line["class_uid"], 2004);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_may_come() {
        let channel = built("file", &[("path", "/no/such/folder/file")]).unwrap();
        assert!(!channel.send(&message(Kind::Raised, alert())).await.unwrap_err().is_permanent);
        assert!(built("file", &[]).is_err());
    }
}
