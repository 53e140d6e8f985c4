//! How a command reaches a data folder: through the server that holds it, or by opening it itself. Either way it calls
//! the same routes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;

use crate::config::Config;
use crate::core::{Core, WhenAway};
use crate::failure::Failure;
use crate::folder::{Folder, SOCKET};
use crate::http::listener::owner_path;
use crate::terminal;
use crate::up::{Assembly, assemble};

/// How long a server may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a command calls itself.
const AGENT: &str = "bartizan";

/// The longest line of a head, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// How much of a body is in memory at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// A way to the routes over a data folder.
pub(crate) enum Client {
    /// Through the server that holds the folder, and as what it calls itself there.
    Remote(File, &'static str),
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

    /// Fails unless it is a success: bad parameters are bad usage, everything else a failure. The sentence names the fields
    /// that are at fault.
    pub(crate) fn expect_success(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let detail = detail_of(&self.json());
        Err(match self.status {
            400 => Failure::usage(detail),
            _ => Failure::failed(detail),
        })
    }
}

/// What a problem says, with its fields.
fn detail_of(problem: &serde_json::Value) -> String {
    let mut detail = problem["detail"].as_str().unwrap_or("the server answered with an error").to_owned();
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let text = |name: &str| terminal::line(fault[name].as_str().unwrap_or_default());
        let name = if text("field").is_empty() { String::new() } else { format!("`{}` ", text("field")) };
        detail.push_str(&format!("; {name}{}", text("message")));
    }
    detail
}

impl Client {
    /// Finds the way to the folder `data`.
    pub(crate) fn of(data: &Path, config: &Config) -> Result<Self, Failure> {
        if Folder::is_held(data)? {
            let folder = File::open(data)
                .map_err(|it| Failure::unusable(format!("`{}` cannot be opened: {it}", data.display())))?;
            return Ok(Self::Remote(folder, AGENT));
        }
        let core = Core::open(data, config, WhenAway::Fail)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
        // A secret that is not at hand must keep nobody from reading alerts.
        let notifier = config.notify.notifier().or_else(|_| config.notify.nobody())?;
        let assembly = assemble(core, config, None, notifier, Arc::default())?;
        Ok(Self::Local(Box::new(Local { assembly, runtime })))
    }

    /// The way through the server of a folder, which must be there; it calls itself `agent`.
    pub(crate) fn of_server(data: &Path, agent: &'static str) -> Result<Self, Failure> {
        let failed = |it: io::Error| Failure::failed(format!("`{}` cannot be opened: {it}", data.display()));
        Ok(Self::Remote(File::open(data).map_err(failed)?, agent))
    }

    /// Calls a route; `path` has its query with it.
    pub(crate) fn call(&self, method: Method, path: &str, body: &str) -> Result<Reply, Failure> {
        match self {
            Self::Remote(folder, agent) => ask(folder, agent, &method, path, body).map_err(unanswered)?.reply(),
            Self::Local(local) => {
                let service = local.assembly.service.clone();
                let answer = local.runtime.block_on(service.call(method, path, body.to_owned()));
                Ok(Reply { status: answer.status.as_u16(), body: answer.body.to_vec() })
            }
        }
    }

    /// Gets what may be large and hands it to `take`, piece by piece.
    pub(crate) fn stream(&self, path: &str, take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        match self {
            Self::Remote(folder, agent) => {
                let mut received = ask(folder, agent, &Method::GET, path, "").map_err(unanswered)?;
                if received.status != 200 {
                    return received.reply()?.expect_success().map(|_| ());
                }
                received.copy(take)
            }
            Self::Local(local) => {
                let service = local.assembly.service.clone();
                let answer = local.runtime.block_on(service.call(Method::GET, path, String::new()));
                let Some(stream) = answer.stream else {
                    let reply = Reply { status: answer.status.as_u16(), body: answer.body.to_vec() };
                    return reply.expect_success().and_then(|it| take(&it.body));
                };
                let mut taken = Ok(());
                let made = stream.run(&mut |piece| {
                    taken = take(&piece);
                    if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                taken?;
                made.map_err(|it| Failure::failed(it.to_string()))
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

/// What a server answered on the socket of the folder, read up to its body.
struct Received {
    status: u16,
    is_chunked: bool,
    rest: BufReader<UnixStream>,
}

fn unanswered(error: io::Error) -> Failure {
    Failure::failed(format!("the server that holds the folder does not answer: {error}"))
}

fn ask(folder: &File, agent: &str, method: &Method, path: &str, body: &str) -> io::Result<Received> {
    let mut stream = UnixStream::connect(owner_path(folder, SOCKET))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: bartizan\r\nUser-Agent: {agent}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut rest = BufReader::new(stream);
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it speaks no HTTP");
    let status = line_of(&mut rest)?.split(' ').nth(1).and_then(|it| it.parse().ok()).ok_or_else(strange)?;
    let mut is_chunked = false;
    loop {
        let line = line_of(&mut rest)?.to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Received { status, is_chunked, rest });
        }
        is_chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
    }
}

/// Reads a line without its end; it is as short as our own server writes it.
fn line_of(rest: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    rest.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Received {
    /// Reads the whole body.
    fn reply(mut self) -> Result<Reply, Failure> {
        let mut body = Vec::new();
        self.copy(&mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Reply { status: self.status, body })
    }

    /// Hands the body to `take`, piece by piece; a body that is cut off is a failure.
    fn copy(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut piece = vec![0; PIECE_BYTES];
        if !self.is_chunked {
            return self.copy_up_to(u64::MAX, &mut piece, take).map(|_| ());
        }
        loop {
            let line = line_of(&mut self.rest).map_err(unanswered)?;
            let length = u64::from_str_radix(&line, 16).map_err(|_| cut_off())?;
            if length == 0 {
                return Ok(());
            }
            let copied = self.copy_up_to(length, &mut piece, take)?;
            let end = line_of(&mut self.rest).map_err(|_| cut_off())?;
            if copied < length || !end.is_empty() {
                return Err(cut_off());
            }
        }
    }

    /// Copies `length` bytes, or fewer when there are no more; returns how many.
    fn copy_up_to(
        &mut self,
        length: u64,
        piece: &mut [u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let mut copied = 0;
        while copied < length {
            let wanted = usize::try_from(length - copied).unwrap_or(usize::MAX).min(piece.len());
            let read = self.rest.read(&mut piece[..wanted]).map_err(unanswered)?;
            if read == 0 {
                break;
            }
            take(&piece[..read])?;
            copied += read as u64;
        }
        Ok(copied)
    }
}

fn cut_off() -> Failure {
    Failure::failed("the answer of the server was cut off; what was written is not the whole")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_told_with_its_fields() {
        let problem = json!({"detail": "the body will not do", "errors": [
            {"field": "note", "message": "must have at most 2000 characters"}, {"field": "", "message": "must be an object"}]});
        let expected = "the body will not do; `note` must have at most 2000 characters; must be an object";
        assert_eq!(detail_of(&problem), expected);
        assert_eq!(detail_of(&json!({"detail": "no"})), "no");
        assert_eq!(detail_of(&json!(null)), "the server answered with an error");
    }
}
