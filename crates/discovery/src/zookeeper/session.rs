//! A session with a ZooKeeper server: nodes read with watches, and told when one of them has changed.
//!
//! ```text
//! frame     length i32 | content; all numbers big-endian; text and bytes after their length i32 (-1: none)
//! connect   protocol i32 | last seen i64 | timeout ms i32 | session i64 | password bytes
//! accepted  protocol i32 | timeout ms i32 | session i64 (0: refused) | password bytes
//! request   number i32 | operation i32 | path text | watch u8
//! answer    number i32 | transaction i64 | error i32 | what was asked for
//! event     -1 i32 | i64 | i32 | type i32 | state i32 | path text
//! ping      -2 i32 | 11 i32, answered with -2
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const PING: i32 = 11;
const PING_NUMBER: i32 = -2;
const EVENT_NUMBER: i32 = -1;
const NO_NODE: i32 = -101;
/// Events about the session itself.
const ABOUT_SESSION: i32 = -1;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Sessions shorter than this would be nothing but pings.
const SHORTEST: Duration = Duration::from_millis(30);
/// The longest frame that is taken; servers refuse nodes above 1 MiB unless told otherwise.
const MAX_FRAME: usize = 16 << 20;

/// Why there is no session any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the server did not answer in time")]
    Silent,
    #[error("the server refused the session")]
    Refused,
    #[error("malformed answer of the server")]
    Malformed,
}

/// What the server answers to a request.
pub(super) enum Answer<T> {
    Found(T),
    NoNode,
    /// Any other error, by its number.
    Failed(i32),
}

pub(super) struct Session {
    stream: TcpStream,
    /// What was received and not looked at.
    inbox: Vec<u8>,
    number: i32,
    /// Paths that changed.
    events: VecDeque<String>,
    /// How long the server may be silent.
    patience: Duration,
    heard: Instant,
    said: Instant,
}

impl Session {
    pub(super) async fn open(server: &str, session_timeout: Duration) -> Result<Self, Broken> {
        let stream =
            timeout(CONNECT_TIMEOUT, TcpStream::connect(server)).await.map_err(|_| Broken::Silent)??;
        let now = Instant::now();
        let patience = session_timeout.max(SHORTEST) * 2 / 3;
        let mut session = Session {
            stream,
            inbox: Vec::new(),
            number: 0,
            events: VecDeque::new(),
            patience,
            heard: now,
            said: now,
        };
        let millis = i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX);
        let mut connect = Vec::with_capacity(44);
        connect.extend(0_i32.to_be_bytes());
        connect.extend(0_i64.to_be_bytes());
        connect.extend(millis.to_be_bytes());
        connect.extend(0_i64.to_be_bytes());
        connect.extend(16_i32.to_be_bytes());
        connect.extend([0; 16]);
        session.send(&connect).await?;
        let accepted = session.frame_before(now + patience).await?;
        let (granted, id) = accepted_session(&accepted).ok_or(Broken::Malformed)?;
        if id == 0 {
            return Err(Broken::Refused);
        }
        session.patience = granted.max(SHORTEST) * 2 / 3;
        Ok(session)
    }

    /// What a node holds. We are told when that changes.
    pub(super) async fn data(&mut self, path: &str) -> Result<Answer<Vec<u8>>, Broken> {
        self.ask(GET_DATA, path, |reader| Some(reader.bytes()?.unwrap_or_default().to_vec())).await
    }

    /// The names of a node's children. We are told when there are others.
    pub(super) async fn children(&mut self, path: &str) -> Result<Answer<Vec<String>>, Broken> {
        self.ask(GET_CHILDREN, path, |reader| reader.texts()).await
    }

    /// Waits for a change of a node that was read; nothing when there was none `until` then.
    pub(super) async fn changed(&mut self, until: Option<Instant>) -> Result<Option<String>, Broken> {
        loop {
            if let Some(path) = self.events.pop_front() {
                return Ok(Some(path));
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return Ok(None);
            }
            if self.heard + self.patience <= now {
                return Err(Broken::Silent);
            }
            let ping = self.said + self.patience / 2;
            if ping <= now {
                self.send(&[PING_NUMBER.to_be_bytes(), PING.to_be_bytes()].concat()).await?;
                continue;
            }
            let wake = ping.min(self.heard + self.patience);
            let wake = until.map_or(wake, |until| until.min(wake));
            if let Ok(frame) = timeout_at(wake, self.frame()).await {
                self.take_event(&frame?)?;
            }
        }
    }

    async fn ask<T>(
        &mut self,
        operation: i32,
        path: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<Answer<T>, Broken> {
        self.number = self.number.wrapping_add(1) & i32::MAX;
        let mut request = Vec::with_capacity(13 + path.len());
        request.extend(self.number.to_be_bytes());
        request.extend(operation.to_be_bytes());
        request.extend((path.len() as i32).to_be_bytes());
        request.extend(path.bytes());
        request.push(1);
        self.send(&request).await?;
        let deadline = Instant::now() + self.patience;
        loop {
            let frame = self.frame_before(deadline).await?;
            let mut reader = Reader(&frame);
            let header = reader.header().ok_or(Broken::Malformed)?;
            if header.0 != self.number {
                self.take_event(&frame)?;
                continue;
            }
            return match header.1 {
                0 => read(&mut reader).map(Answer::Found).ok_or(Broken::Malformed),
                NO_NODE => Ok(Answer::NoNode),
                other => Ok(Answer::Failed(other)),
            };
        }
    }

    /// Notes the path if the frame is an event; answers to pings only show that the server lives.
    fn take_event(&mut self, frame: &[u8]) -> Result<(), Broken> {
        match event(frame).ok_or(Broken::Malformed)? {
            Event::Changed(path) => self.events.push_back(path),
            Event::Nothing => {}
        }
        Ok(())
    }

    async fn send(&mut self, content: &[u8]) -> Result<(), Broken> {
        let mut frame = (content.len() as i32).to_be_bytes().to_vec();
        frame.extend(content);
        timeout(self.patience, self.stream.write_all(&frame)).await.map_err(|_| Broken::Silent)??;
        self.said = Instant::now();
        Ok(())
    }

    async fn frame_before(&mut self, deadline: Instant) -> Result<Vec<u8>, Broken> {
        timeout_at(deadline, self.frame()).await.map_err(|_| Broken::Silent)?
    }

    /// The next frame. Nothing is lost when the wait is given up.
    async fn frame(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some((length, rest)) = self.inbox.split_first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Broken::Malformed)?;
                if length > MAX_FRAME {
                    return Err(Broken::Malformed);
                }
                if let Some(content) = rest.get(..length) {
                    let content = content.to_vec();
                    self.inbox.drain(..4 + length);
                    self.heard = Instant::now();
                    return Ok(content);
                }
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// What the server tells unasked.
enum Event {
    Changed(String),
    Nothing,
}

fn event(frame: &[u8]) -> Option<Event> {
    let mut reader = Reader(frame);
    if reader.header()?.0 != EVENT_NUMBER {
        return Some(Event::Nothing);
    }
    let (kind, _state) = (reader.i32()?, reader.i32()?);
    let path = reader.text()?;
    Some(if kind == ABOUT_SESSION { Event::Nothing } else { Event::Changed(path) })
}

/// The timeout of the session and its number.
fn accepted_session(frame: &[u8]) -> Option<(Duration, i64)> {
    let mut reader = Reader(frame);
    let _protocol = reader.i32()?;
    let millis = reader.i32()?;
    Some((Duration::from_millis(u64::try_from(millis).unwrap_or(0)), reader.i64()?))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Number and error of an answer.
    fn header(&mut self) -> Option<(i32, i32)> {
        let (number, _transaction, error) = (self.i32()?, self.i64()?, self.i32()?);
        Some((number, error))
    }

    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let Ok(length) = usize::try_from(self.i32()?) else { return Some(None) };
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(taken))
    }

    fn text(&mut self) -> Option<String> {
        let bytes = self.bytes()?.unwrap_or_default();
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        // Each has a length of four bytes at least.
        (count <= self.0.len() / 4).then_some(())?;
        (0..count).map(|_| self.text()).collect()
    }
}

/// Reads a frame as everything that it can be: for fuzzing.
pub(super) fn read_any(frame: &[u8]) -> usize {
    let reads = [
        event(frame).is_some(),
        accepted_session(frame).is_some(),
        Reader(frame).texts().is_some(),
        Reader(frame).bytes().is_some(),
    ];
    reads.into_iter().filter(|read| *read).count()
}
