//! Answers in pieces, at the pace of those who read them. Who works on an answer has a place among those that are worked
//! on at once, and gives it up when the client keeps it waiting: clients that read slowly, or not at all, do not keep
//! others from being answered. How many wait is bounded; beyond, the one that has waited longest is broken off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// Pieces that are made before the client has taken the first.
const AHEAD: usize = 4;
/// How long an answer waits before it gives up its place.
const PATIENCE: Duration = Duration::from_millis(100);

/// Nobody takes the answer any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Answers that wait for their clients, the one that has waited longest first.
pub(crate) struct Waiting {
    /// Each has a thread, and what its answer is made from.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    answers: BTreeMap<u64, CancellationToken>,
}

/// One of them.
struct Turn<'a> {
    waiting: &'a Waiting,
    id: u64,
    leave: CancellationToken,
}

impl Waiting {
    pub(crate) fn at_most(most: usize) -> Arc<Waiting> {
        Arc::new(Waiting { most, state: Mutex::default() })
    }

    /// Breaks off the one that has waited longest.
    pub(crate) fn break_off_longest(&self) {
        if let Some((_, longest)) = self.state.lock().answers.pop_first() {
            longest.cancel();
        }
    }

    fn turn(&self) -> Turn<'_> {
        let leave = CancellationToken::new();
        let mut state = self.state.lock();
        if state.answers.len() >= self.most
            && let Some((_, longest)) = state.answers.pop_first()
        {
            longest.cancel();
        }
        let id = state.next;
        state.next += 1;
        state.answers.insert(id, leave.clone());
        Turn { waiting: self, id, leave }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.waiting.state.lock().answers.remove(&self.id);
    }
}

/// A place among those that are worked on at once.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    waiting: Arc<Waiting>,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, waiting: &Arc<Waiting>) -> Self {
        Place { _permit: permit, waiting: Arc::clone(waiting) }
    }
}

type Piece = std::io::Result<Bytes>;

/// An answer on its way to the connection.
pub(crate) struct Pieces {
    sender: mpsc::Sender<Piece>,
    /// Kept free, so that an answer can be broken off whose client takes nothing.
    last: Option<mpsc::OwnedPermit<Piece>>,
    place: Option<Place>,
    waiting: Arc<Waiting>,
}

impl Pieces {
    pub(crate) fn new(place: Place) -> (Pieces, mpsc::Receiver<Piece>) {
        let (sender, receiver) = mpsc::channel(AHEAD + 1);
        let last = sender.clone().try_reserve_owned().ok();
        let waiting = Arc::clone(&place.waiting);
        (Pieces { sender, last, place: Some(place), waiting }, receiver)
    }

    /// Hands a piece over; blocks until there is room for it.
    pub(crate) fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        let piece = match self.sender.try_send(Ok(piece.into())) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Gone),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        let broken_off = Handle::current().block_on(async {
            let sending = self.sender.send(piece);
            tokio::pin!(sending);
            if let Ok(sent) = tokio::time::timeout(PATIENCE, &mut sending).await {
                return sent.map_err(|_| false);
            }
            self.place = None;
            let turn = self.waiting.turn();
            tokio::select! {
                sent = sending => sent.map_err(|_| false),
                () = turn.leave.cancelled() => Err(true),
            }
        });
        broken_off.map_err(|broken_off| {
            if broken_off {
                self.break_off(std::io::Error::other("others need what this answer holds"));
            }
            Gone
        })
    }

    /// Ends the connection with the answer: what is not complete must not look so.
    pub(crate) fn break_off(&mut self, why: std::io::Error) {
        if let Some(last) = self.last.take() {
            last.send(Err(why));
        }
    }

    /// Whether nobody takes it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// An answer that is one piece longer than what is made ahead.
    fn answer(
        places: &Arc<Semaphore>,
        waiting: &Arc<Waiting>,
    ) -> (mpsc::Receiver<Piece>, tokio::task::JoinHandle<Result<(), Gone>>) {
        let place = Place::new(Arc::clone(places).try_acquire_owned().unwrap(), waiting);
        let (mut pieces, receiver) = Pieces::new(place);
        let sent = tokio::task::spawn_blocking(move || {
            (0..=AHEAD).try_for_each(|_| pieces.send(Bytes::from_static(b"piece")))
        });
        (receiver, sent)
    }

    #[tokio::test]
    async fn an_answer_that_waits_for_its_client_gives_up_its_place_and_goes_on_later() {
        let (places, waiting) = (Arc::new(Semaphore::new(1)), Waiting::at_most(8));
        let (mut receiver, sent) = answer(&places, &waiting);
        let place = places.acquire().await.unwrap();
        assert!(!sent.is_finished());
        for _ in 0..=AHEAD {
            assert!(receiver.recv().await.unwrap().is_ok());
        }
        assert!(receiver.recv().await.is_none());
        assert_eq!(sent.await.unwrap(), Ok(()));
        assert!(waiting.state.lock().answers.is_empty());
        drop(place);
    }

    #[tokio::test]
    async fn of_too_many_that_wait_the_one_that_has_waited_longest_is_broken_off() {
        let (places, waiting) = (Arc::new(Semaphore::new(1)), Waiting::at_most(8));
        let mut answers = Vec::new();
        for n in 1..=9 {
            answers.push(answer(&places, &waiting));
            drop(places.acquire().await.unwrap());
            while waiting.state.lock().next < n as u64 {
                tokio::task::yield_now().await;
            }
        }
        let (mut receiver, first) = answers.remove(0);
        assert_eq!(first.await.unwrap(), Err(Gone));
        for _ in 0..AHEAD {
            assert!(receiver.recv().await.unwrap().is_ok());
        }
        assert!(receiver.recv().await.unwrap().is_err(), "it looks complete");
        assert!(answers.iter().all(|(_, sent)| !sent.is_finished()));
        assert_eq!(waiting.state.lock().answers.len(), 8);
    }
}
