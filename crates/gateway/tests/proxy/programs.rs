//! Programs of others beside the gateway. Where one is not installed the test says so and passes: `BARTIZAN_PROXIES=1` makes
//! that a failure.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::support::SOON;

/// Whether a program is here for `test`; says so when it is not.
pub(crate) fn program(test: &str, names: &[&str]) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/bin"];
    let mut paths = names.iter().flat_map(|name| folders.iter().map(move |it| Path::new(it).join(name)));
    let found = paths.find(|it| it.exists());
    if found.is_none() {
        assert!(std::env::var_os("BARTIZAN_PROXIES").is_none(), "{test} must run, and `{}` is not installed", names[0]);
        println!("{test} is left out: `{}` is not installed", names[0]);
    }
    found
}

/// Runs a program to its end; returns what it wrote.
pub(crate) async fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{} {arguments:?}: {out}{errors}", program.display());
    out.into_owned()
}

/// nginx, until it is dropped.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it with these lines in its only server, whose files have these names and contents.
    pub(crate) async fn start(program: &Path, lines: &str, files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        fs::create_dir(home.join("files")).unwrap();
        for (name, content) in files {
            fs::write(home.join("files").join(name), content).unwrap();
        }
        // Taken and given back: nobody else gets it that soon.
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let user = if is_root() { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|it| format!("{it}_temp_path {}/{it};\n", home.display()))
            .collect();
        let text = format!(
            "daemon off; master_process off; {user}\npid {home}/pid;\nerror_log {home}/errors;\n\
             events {{}}\nhttp {{ access_log off;\n{temporary}server {{ listen {address}; root {home}/files;\n{lines}\n}} }}\n",
            home = home.display(),
        );
        fs::write(home.join("conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(home).arg("-e").arg(home.join("errors")).arg("-c").arg(home.join("conf"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { address, process, _folder: folder };
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, listens).await.expect("nginx must listen");
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}
