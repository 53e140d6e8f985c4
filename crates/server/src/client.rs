//! How a command reaches a data folder: through the server that holds it, or by opening it itself. Either way it calls
//! the same routes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use hyper::Method;

use crate::config::Config;
use crate::core::Core;
use crate::failure::Failure;
use crate::folder::{Folder, SOCKET};
use crate::http::listener::owner_path;
use crate::up::{Assembly, assemble};

/// How long a server may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(120);

/// A way to the routes over a data folder.
pub(crate) enum Client {
    /// Through the server that holds the folder.
    Remote(File),
    /// By opening it.
    Local(Box<Local>),
}

pub(crate) struct Local {
    assembly: Assembly,
    runtime: tokio::runtime::Runtime,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; what is none becomes null.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Fails unless it is a success: bad parameters are bad usage, everything else a failure.
    pub(crate) fn expect_success(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let detail = self.json()["detail"].as_str().unwrap_or("the server answered with an error").to_owned();
        Err(match self.status {
            400 => Failure::usage(detail),
            _ => Failure::failed(detail),
        })
    }
}

impl Client {
    /// Finds the way to the folder `data`.
    pub(crate) fn of(data: &Path, config: &Config) -> Result<Self, Failure> {
        if Folder::is_held(data)? {
            let folder = File::open(data)
                .map_err(|it| Failure::unusable(format!("`{}` cannot be opened: {it}", data.display())))?;
            return Ok(Self::Remote(folder));
        }
        let core = Core::open(data, config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
        let assembly = assemble(core, config)?;
        Ok(Self::Local(Box::new(Local { assembly, runtime })))
    }

    /// Calls a route; `path` has its query with it.
    pub(crate) fn call(&self, method: Method, path: &str, body: &str) -> Result<Reply, Failure> {
        match self {
            Self::Remote(folder) => remote(folder, &method, path, body),
            Self::Local(local) => {
                let service = local.assembly.service.clone();
                let answer = local.runtime.block_on(service.call(method, path, body.to_owned()));
                Ok(Reply { status: answer.status.as_u16(), body: answer.body.to_vec() })
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.call(Method::GET, path, "")
    }

    /// Ends it: what was opened is closed in order.
    pub(crate) fn finish(self) {
        if let Self::Local(local) = self {
            let Local { assembly, runtime } = *local;
            drop(runtime);
            assembly.finish();
        }
    }
}

fn remote(folder: &File, method: &Method, path: &str, body: &str) -> Result<Reply, Failure> {
    let failed =
        |it: std::io::Error| Failure::failed(format!("the server that holds the folder does not answer: {it}"));
    let mut stream = UnixStream::connect(owner_path(folder, SOCKET)).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: bartizan\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(failed)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).map_err(failed)?;
    let split = received.windows(4).position(|it| it == b"\r\n\r\n");
    let parsed = split.and_then(|at| {
        let head = std::str::from_utf8(&received[..at]).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Reply { status, body: received[at + 4..].to_vec() })
    });
    parsed.ok_or_else(|| Failure::failed("the server that holds the folder gave no answer"))
}
