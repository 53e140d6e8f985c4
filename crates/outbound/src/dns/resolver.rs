//! The client of one resolver: UDP with a port and an id of chance, TCP where an answer did not fit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{Answer, Question, ReadError};

/// How long one try may take.
pub const TRY_TIME: Duration = Duration::from_secs(2);
/// How often a question is sent over UDP.
pub const TRIES: u32 = 2;
/// The largest answer over UDP that is looked at, in bytes: we announce nothing, so 512 is what comes.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing came in time.
    #[error("the resolver did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It cannot be reached.
    #[error("the resolver cannot be reached: {0}")]
    Io(#[from] io::Error),
    /// What it sent cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no chance to be had: the system gives no random numbers.
    #[error("there are no random numbers: {0}")]
    Random(String),
}

/// Asks one resolver.
#[derive(Clone, Copy, Debug)]
pub struct Resolver {
    address: SocketAddr,
    try_time: Duration,
}

impl Resolver {
    /// Asks the resolver at `address`. The operator names it, so no guard is asked.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, try_time: TRY_TIME }
    }

    /// Gives each try another time than [`TRY_TIME`].
    #[must_use]
    pub const fn with_try_time(mut self, time: Duration) -> Self {
        self.try_time = time;
        self
    }

    /// Asks a question; an answer that did not fit is asked for again over TCP.
    ///
    /// # Errors
    ///
    /// [`AskError`], after [`TRIES`] tries.
    pub async fn ask(&self, question: &Question) -> Result<Answer, AskError> {
        let mut failed = AskError::Timeout(self.try_time);
        for _ in 0..TRIES {
            match self.within(self.ask_udp(question)).await {
                Ok(Answer::Truncated) => return self.within(self.ask_tcp(question)).await,
                Ok(answer) => return Ok(answer),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn within(&self, asking: impl Future<Output = Result<Answer, AskError>>) -> Result<Answer, AskError> {
        timeout(self.try_time, asking).await.unwrap_or(Err(AskError::Timeout(self.try_time)))
    }

    async fn ask_udp(&self, question: &Question) -> Result<Answer, AskError> {
        let any: SocketAddr = match self.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // A port of chance for each question; what comes from elsewhere than the resolver is not delivered.
        let socket = UdpSocket::bind(any).await?;
        socket.connect(self.address).await?;
        let id = random_id()?;
        socket.send(&question.query(id)).await?;
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let length = socket.recv(&mut buffer).await?;
            match question.read(id, &buffer[..length]) {
                // Somebody guesses, or an earlier answer was late: ours may still come.
                Err(ReadError::Other | ReadError::Malformed) => {}
                Ok(answer) => return Ok(answer),
            }
        }
    }

    async fn ask_tcp(&self, question: &Question) -> Result<Answer, AskError> {
        let mut stream = TcpStream::connect(self.address).await?;
        let id = random_id()?;
        let query = question.query(id);
        let mut message = (query.len() as u16).to_be_bytes().to_vec();
        message.extend_from_slice(&query);
        stream.write_all(&message).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        match question.read(id, &answer)? {
            // There is no further way to ask.
            Answer::Truncated => Err(ReadError::Malformed.into()),
            answer => Ok(answer),
        }
    }
}

fn random_id() -> Result<u16, AskError> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|it| AskError::Random(it.to_string()))?;
    Ok(u16::from_ne_bytes(bytes))
}
