//! What a sync costs here: 4 KiB written into preallocated space, then `fdatasync`, over and over.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::report::Report;

const WRITE_BYTES: usize = 4 << 10;
/// The file that is gone through from begin to end, again and again.
const FILE_BYTES: u64 = 16 << 20;

/// Measures for `--seconds` in `--folder`; times are of write and sync together.
///
/// # Errors
///
/// The folder cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let folder: PathBuf = arguments.need("folder")?;
    let path = folder.join("fdatasync.probe");
    let times = measure(&path, arguments.seconds()?);
    // What remains of the file harms nobody, and the measurement counts.
    let _ = std::fs::remove_file(&path);
    let mut times = times.map_err(|it| format!("`{}` cannot be written: {it}", path.display()))?;
    Ok(Report::new().number("syncs", times.len() as f64).latencies(&mut times).end())
}

fn measure(path: &PathBuf, length: Duration) -> io::Result<Vec<Duration>> {
    let file = preallocated(path)?;
    let (page, began) = ([0xA5; WRITE_BYTES], Instant::now());
    let (mut times, mut at) = (Vec::new(), 0);
    while began.elapsed() < length {
        let started = Instant::now();
        file.write_all_at(&page, at)?;
        file.sync_data()?;
        times.push(started.elapsed());
        at = (at + WRITE_BYTES as u64) % FILE_BYTES;
    }
    Ok(times)
}

/// Returns a file whose blocks are written, so that a sync has only data to bring home.
fn preallocated(path: &PathBuf) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    for at in (0..FILE_BYTES).step_by(1 << 20) {
        file.write_all_at(&vec![0; 1 << 20], at)?;
    }
    file.sync_all()?;
    Ok(file)
}
