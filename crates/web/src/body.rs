//! The body of a request: read and unpacked within limits, whatever was announced.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// As sent, in bytes.
    pub sent_max: usize,
    /// Unpacked, in bytes.
    pub unpacked_max: usize,
    /// Unpacked may be this many times as sent, beyond [`RATIO_FROM`].
    pub ratio_max: usize,
    /// How long may pass without a byte.
    pub stall: Duration,
}

/// Up to this size nobody asks how tightly a body was packed.
pub const RATIO_FROM: usize = 1 << 20;
/// How much of unpacked bodies may be in memory at once, in KiB: beyond it the answer is 503.
const IN_FLIGHT_KIB: usize = 512 << 10;

impl Default for BodyLimits {
    /// 8 MiB as sent, 64 MiB unpacked, 100 times its packed size, a minute without progress.
    fn default() -> Self {
        Self { sent_max: 8 << 20, unpacked_max: 64 << 20, ratio_max: 100, stall: Duration::from_secs(60) }
    }
}

/// Why a body was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than a limit; which, in a sentence.
    TooLarge(String),
    /// Packed in a way that we do not unpack.
    Unsupported(String),
    /// Packed, and broken.
    Broken(String),
    /// Nothing came for too long.
    Stalled,
    /// The sender went away.
    Gone,
    /// Too many bodies are in memory already.
    Crowded,
}

/// The memory that all bodies share.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// The memory of one body; given back when it is dropped.
#[derive(Debug)]
pub struct Held(Vec<OwnedSemaphorePermit>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT_KIB)))
    }
}

impl Room {
    fn take(&self, held: &mut Held, bytes: usize) -> Result<(), BodyError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let permit = self.0.clone().try_acquire_many_owned(kib).map_err(|_| BodyError::Crowded)?;
        held.0.push(permit);
        Ok(())
    }
}

/// Reads a body and unpacks it.
///
/// # Errors
///
/// [`BodyError`].
pub async fn read(
    body: Incoming,
    encoding: &str,
    limits: &BodyLimits,
    room: &Room,
) -> Result<(Bytes, Held), BodyError> {
    let announced = body.size_hint().upper();
    if announced.is_some_and(|it| (limits.sent_max as u64) < it) {
        return Err(too_large("as sent", limits.sent_max));
    }
    let coding = Coding::of(encoding)?;
    let mut held = Held(Vec::new());
    let sent = receive(body, announced, limits, room, &mut held).await?;
    if coding == Coding::Identity || sent.is_empty() {
        return Ok((sent, held));
    }
    let unpacked = if sent.len() < 16 << 10 {
        unpack(&sent, coding, limits, room, &mut held)?
    } else {
        // A large body is unpacked beside the threads that serve everybody.
        let (limits, room) = (*limits, room.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            let result = unpack(&sent, coding, &limits, &room, &mut held);
            result.map(|it| (it, held))
        });
        return unpacked.await.map_err(|_| BodyError::Broken("the body cannot be unpacked".into()))?;
    };
    Ok((unpacked, held))
}

fn too_large(how: &str, max: usize) -> BodyError {
    BodyError::TooLarge(format!("the body is larger than {max} bytes {how}"))
}

async fn receive(
    mut body: Incoming,
    announced: Option<u64>,
    limits: &BodyLimits,
    room: &Room,
    held: &mut Held,
) -> Result<Bytes, BodyError> {
    if let Some(bytes) = announced
        && 0 < bytes
    {
        room.take(held, bytes as usize)?;
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(limits.stall, body.frame()).await.map_err(|_| BodyError::Stalled)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| BodyError::Gone)?.into_data() else { continue };
        let so_far = first.as_ref().map_or(all.len(), Bytes::len) + data.len();
        if limits.sent_max < so_far {
            return Err(too_large("as sent", limits.sent_max));
        }
        if announced.is_none() {
            room.take(held, data.len())?;
        }
        // Most bodies come in one piece, which is not copied.
        match first.take() {
            None if all.is_empty() => first = Some(data),
            Some(before) => {
                all.reserve(announced.map_or(so_far, |it| it as usize));
                all.extend_from_slice(&before);
                all.extend_from_slice(&data);
            }
            None => all.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    fn of(text: &str) -> Result<Self, BodyError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => {
                let shown: String = other.chars().take(60).collect();
                Err(BodyError::Unsupported(format!(
                    "the Content-Encoding `{shown}` is not known; send gzip, zstd or none"
                )))
            }
        }
    }
}

fn unpack(sent: &Bytes, coding: Coding, limits: &BodyLimits, room: &Room, held: &mut Held) -> Result<Bytes, BodyError> {
    let broken =
        |error: std::io::Error| BodyError::Broken(format!("the body is no whole {} stream: {error}", coding.name()));
    let mut source: Box<dyn Read + '_> = match coding {
        Coding::Identity => return Ok(sent.clone()),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(&sent[..])),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(&sent[..]).map_err(broken)?),
    };
    let (mut out, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = source.read(&mut chunk).map_err(broken)?;
        if read == 0 {
            return Ok(out.into());
        }
        let total = out.len() + read;
        if limits.unpacked_max < total {
            return Err(too_large("unpacked", limits.unpacked_max));
        }
        if RATIO_FROM < total && sent.len().saturating_mul(limits.ratio_max) < total {
            return Err(BodyError::TooLarge(format!(
                "the body is more than {} times its packed size",
                limits.ratio_max
            )));
        }
        room.take(held, read)?;
        out.extend_from_slice(&chunk[..read]);
    }
}

impl Coding {
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(content: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap().into()
    }

    fn unpacked(sent: &Bytes, coding: Coding) -> Result<usize, BodyError> {
        unpack(sent, coding, &BodyLimits::default(), &Room::default(), &mut Held(Vec::new())).map(|it| it.len())
    }

    #[test]
    fn unpacks_gzip_and_zstd() {
        assert_eq!(unpacked(&gzip(b"hello"), Coding::Gzip), Ok(5));
        assert_eq!(unpacked(&zstd::bulk::compress(b"hello", 1).unwrap().into(), Coding::Zstd), Ok(5));
    }

    #[test]
    fn the_ratio_counts_only_beyond_a_mebibyte() {
        assert_eq!(unpacked(&gzip(&vec![0; RATIO_FROM]), Coding::Gzip), Ok(RATIO_FROM));
        assert!(matches!(unpacked(&gzip(&vec![0; 2 * RATIO_FROM]), Coding::Gzip), Err(BodyError::TooLarge(_))));
        let bomb = zstd::bulk::compress(&vec![0; 80 << 20], 19).unwrap();
        assert!(matches!(unpacked(&bomb.into(), Coding::Zstd), Err(BodyError::TooLarge(_))));
    }

    #[test]
    fn a_broken_stream_is_said_to_be_broken() {
        let whole = gzip(b"hello hello hello");
        assert!(matches!(unpacked(&whole.slice(..whole.len() - 4), Coding::Gzip), Err(BodyError::Broken(_))));
        assert!(matches!(unpacked(&Bytes::from_static(b"not gzip"), Coding::Gzip), Err(BodyError::Broken(_))));
    }

    #[test]
    fn unknown_and_nested_codings_are_refused() {
        for text in ["br", "gzip, gzip", "deflate", "nonsense"] {
            assert!(matches!(Coding::of(text), Err(BodyError::Unsupported(_))), "{text}");
        }
    }
}
