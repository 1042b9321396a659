//! Bodies of requests: read whole, and bounded together.
//!
//! Memory is set aside as bytes arrive, not as they are announced. When all of it is taken and another body needs some,
//! the one that has been arriving longest makes room, unless it has only begun: slow clients do not keep others out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exposition::registry::Registry;
use http_body_util::BodyExt as _;
use hyper::body::Body as HttpBody;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// What one permit stands for, in bytes.
const UNIT: usize = 4096;
/// Permits that are taken at once, at most.
const STEP: usize = 64;
/// How long a body may have been arriving before it has to make room for others.
const GRACE: Duration = Duration::from_secs(5);
/// How often those who wait look for one that has to.
const LOOK: Duration = Duration::from_millis(500);

/// A body, and the memory that was set aside for it.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("request body exceeds the {0} bytes limit")]
    TooLong(usize),
    #[error("the request's body ended early or is malformed")]
    Broken,
    #[error("the request's body arrives slowly, and others need its memory")]
    MadeRoom,
}

/// Memory for bodies: one that finds none free waits.
pub(crate) struct Bodies {
    memory: Arc<Semaphore>,
    units: usize,
    grace: Duration,
    arriving: Mutex<Arriving>,
}

/// Bodies that are being read, the one that has been for longest first.
#[derive(Default)]
struct Arriving {
    next: u64,
    bodies: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// One of them, until it is read.
struct Arrival<'a> {
    bodies: &'a Bodies,
    id: u64,
    leave: CancellationToken,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.bodies.arriving.lock().bodies.remove(&self.id);
    }
}

impl Bodies {
    /// Memory of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let units = usize::try_from(limit).unwrap_or(usize::MAX) / UNIT;
        let units = units.clamp(1, Semaphore::MAX_PERMITS);
        Bodies { memory: Arc::new(Semaphore::new(units)), units, grace: GRACE, arriving: Mutex::default() }
    }

    /// Tells how much there is and how much of it is taken.
    pub(crate) fn register(&self, registry: &Registry) {
        registry
            .gauge(
                "binnacle_http_request_bodies_limit_bytes",
                "Bytes that bodies of requests may take together (--web.max-request-memory).",
            )
            .set((self.units * UNIT) as f64);
        let (free, units) = (Arc::clone(&self.memory), self.units);
        registry.gauge_fn(
            "binnacle_http_request_bodies_bytes",
            "Bytes set aside for bodies of requests that are read or worked on.",
            move || ((units - free.available_permits().min(units)) * UNIT) as f64,
        );
    }

    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn read<B>(&self, mut body: B, limit: usize) -> Result<Body, BodyError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let announced = body.size_hint().exact().and_then(|len| usize::try_from(len).ok());
        if announced.is_some_and(|len| len > limit) {
            return Err(BodyError::TooLong(limit));
        }
        let arrival = self.arrival();
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(UNIT * STEP));
        let mut memory: Option<OwnedSemaphorePermit> = None;
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = arrival.leave.cancelled() => return Err(BodyError::MadeRoom),
            };
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            if data.len() > limit - bytes.len() {
                return Err(BodyError::TooLong(limit));
            }
            let held = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let needed = (bytes.len() + data.len()).div_ceil(UNIT).min(self.units);
            if needed > held {
                let longest = announced.unwrap_or(limit).div_ceil(UNIT).min(self.units);
                let step = (needed - held).max(STEP.min(longest.saturating_sub(held)));
                let more = self.set_aside(step, &arrival).await?;
                match &mut memory {
                    Some(memory) => memory.merge(more),
                    None => memory = Some(more),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Body { bytes: bytes.into(), _memory: memory })
    }

    fn arrival(&self) -> Arrival<'_> {
        let leave = CancellationToken::new();
        let mut arriving = self.arriving.lock();
        let id = arriving.next;
        arriving.next += 1;
        arriving.bodies.insert(id, (Instant::now(), leave.clone()));
        Arrival { bodies: self, id, leave }
    }

    /// Waits for memory, and meanwhile has those make room that have had their time.
    async fn set_aside(
        &self,
        units: usize,
        arrival: &Arrival<'_>,
    ) -> Result<OwnedSemaphorePermit, BodyError> {
        let wanted = u32::try_from(units).unwrap_or(u32::MAX);
        let acquired = Arc::clone(&self.memory).acquire_many_owned(wanted);
        tokio::pin!(acquired);
        loop {
            tokio::select! {
                biased;
                // It is never closed.
                permit = &mut acquired => return permit.map_err(|_| BodyError::MadeRoom),
                () = arrival.leave.cancelled() => return Err(BodyError::MadeRoom),
                () = tokio::time::sleep(LOOK) => self.make_room(arrival.id),
            }
        }
    }

    /// Ends the body that has been arriving longest, if it has had its time.
    fn make_room(&self, asked_by: u64) {
        let mut arriving = self.arriving.lock();
        let oldest = arriving.bodies.iter().find(|(id, _)| **id != asked_by);
        if let Some((&id, (since, leave))) = oldest
            && since.elapsed() >= self.grace
        {
            leave.cancel();
            arriving.bodies.remove(&id);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::Frame;
    use tokio::sync::mpsc;

    use super::*;

    const MIB: usize = 1 << 20;

    /// A body that goes on until its sender is dropped.
    struct Slow(mpsc::Receiver<Bytes>);

    impl HttpBody for Slow {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn piece(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[tokio::test]
    async fn bodies_that_do_not_arrive_take_no_memory() {
        let bodies = Arc::new(Bodies::new(MIB as u64));
        let mut senders = Vec::new();
        for _ in 0..100 {
            let (sender, receiver) = mpsc::channel(1);
            senders.push(sender);
            let bodies = Arc::clone(&bodies);
            tokio::spawn(async move { bodies.read(Slow(receiver), 32 * MIB).await.map(drop) });
        }
        while bodies.arriving.lock().bodies.len() < 100 {
            tokio::task::yield_now().await;
        }
        let honest = bodies.read(Full::new(piece(MIB)), MIB).await.unwrap();
        assert_eq!((honest.bytes.len(), bodies.memory.available_permits()), (MIB, 0));
        drop(honest);
        assert_eq!(bodies.memory.available_permits(), MIB / UNIT);
    }

    #[tokio::test]
    async fn a_body_that_arrives_slowly_makes_room_and_one_that_is_worked_on_does_not() {
        let bodies = Arc::new(Bodies { grace: Duration::ZERO, ..Bodies::new(MIB as u64) });
        let worked_on = bodies.read(Full::new(piece(MIB / 2)), MIB).await.unwrap();
        let (sender, receiver) = mpsc::channel(1);
        sender.send(piece(MIB / 2)).await.unwrap();
        let slow = tokio::spawn({
            let bodies = Arc::clone(&bodies);
            async move { bodies.read(Slow(receiver), MIB).await.map(drop) }
        });
        while bodies.memory.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let honest = bodies.read(Full::new(piece(MIB / 2)), MIB).await.unwrap();
        assert_eq!(slow.await.unwrap(), Err(BodyError::MadeRoom));
        assert_eq!(worked_on.bytes.len() + honest.bytes.len(), MIB);
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn bodies_without_end_are_refused_whatever_they_announce() {
        let bodies = Bodies::new(64 * MIB as u64);
        let (sender, receiver) = mpsc::channel(8);
        for _ in 0..3 {
            sender.send(piece(MIB)).await.unwrap();
        }
        let refused = bodies.read(Slow(receiver), 2 * MIB).await.map(drop);
        assert_eq!(refused, Err(BodyError::TooLong(2 * MIB)));
        let refused = bodies.read(Full::new(piece(MIB)), MIB - 1).await.map(drop);
        assert_eq!(refused, Err(BodyError::TooLong(MIB - 1)));
        assert_eq!(bodies.memory.available_permits(), 64 * MIB / UNIT);
    }
}
