//! Places for connections. When all are taken, the connection that has waited longest for its client makes room: a
//! server that idle and slow clients fill is not full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

pub(crate) struct Crowd {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Those that wait for their clients, the one that waits longest first.
    waiting: BTreeMap<u64, CancellationToken>,
    /// Newcomers who found nobody waiting: the next one that waits goes.
    newcomers: usize,
}

impl Crowd {
    pub(crate) fn new(places: usize) -> Arc<Crowd> {
        let slots = Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Crowd { slots, state: Mutex::default() })
    }

    /// A place, as soon as there is one.
    pub(crate) async fn place(self: &Arc<Self>) -> Place {
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Some(slot),
            Err(_) => {
                let _newcomer = Newcomer::at(self);
                // It is never closed.
                Arc::clone(&self.slots).acquire_owned().await.ok()
            }
        };
        Place::new(self, slot)
    }
}

/// Somebody who waits for a place.
struct Newcomer<'a>(&'a Crowd);

impl<'a> Newcomer<'a> {
    fn at(crowd: &'a Crowd) -> Self {
        let mut state = crowd.state.lock();
        match state.waiting.pop_first() {
            Some((_, leave)) => leave.cancel(),
            None => state.newcomers += 1,
        }
        Newcomer(crowd)
    }
}

impl Drop for Newcomer<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.newcomers = state.newcomers.saturating_sub(1);
    }
}

/// What a connection holds.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    /// Set when the connection has to make room.
    pub(crate) leave: CancellationToken,
    state: Mutex<Doing>,
    _slot: Option<OwnedSemaphorePermit>,
}

struct Doing {
    /// Where it stands among those that wait.
    turn: Option<u64>,
    /// Requests that have come and are not answered.
    working: usize,
    /// Those of them whose body is still to come.
    reading: usize,
    /// Since when there is none.
    idle_since: Instant,
    /// Answers of which a piece waits for the client, and since when.
    sending: BTreeMap<u64, Instant>,
    next_answer: u64,
}

impl Place {
    fn new(crowd: &Arc<Crowd>, slot: Option<OwnedSemaphorePermit>) -> Place {
        let doing = Doing {
            turn: None,
            working: 0,
            reading: 0,
            idle_since: Instant::now(),
            sending: BTreeMap::new(),
            next_answer: 0,
        };
        let place = Place {
            crowd: Arc::clone(crowd),
            leave: CancellationToken::new(),
            state: Mutex::new(doing),
            _slot: slot,
        };
        place.change(|_| {});
        place
    }

    /// Whether only the client can bring it on.
    pub(crate) fn is_waiting(&self) -> bool {
        let doing = self.state.lock();
        doing.working == doing.reading
    }

    /// For how long there has been no request.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let doing = self.state.lock();
        (doing.working == 0).then(|| doing.idle_since.elapsed())
    }

    /// For how long a piece of an answer has not been taken.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        self.state.lock().sending.values().map(Instant::elapsed).max()
    }

    fn change(&self, change: impl FnOnce(&mut Doing)) {
        let mut doing = self.state.lock();
        change(&mut doing);
        let waits = doing.working == doing.reading;
        match doing.turn {
            Some(turn) if !waits => {
                self.crowd.state.lock().waiting.remove(&turn);
                doing.turn = None;
            }
            None if waits => {
                let mut crowd = self.crowd.state.lock();
                if crowd.newcomers > 0 {
                    crowd.newcomers -= 1;
                    self.leave.cancel();
                } else {
                    let turn = crowd.next;
                    crowd.next += 1;
                    crowd.waiting.insert(turn, self.leave.clone());
                    doing.turn = Some(turn);
                }
            }
            _ => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(turn) = self.state.get_mut().turn {
            self.crowd.state.lock().waiting.remove(&turn);
        }
    }
}

/// A request that is worked on, until its answer is sent.
pub(crate) struct Working {
    place: Arc<Place>,
    answer: u64,
}

impl Working {
    pub(crate) fn on(place: &Arc<Place>) -> Working {
        let mut answer = 0;
        place.change(|doing| {
            doing.working += 1;
            answer = doing.next_answer;
            doing.next_answer += 1;
        });
        Working { place: Arc::clone(place), answer }
    }

    /// A piece of the answer was handed over, and waits for the client.
    pub(crate) fn hands_over(&self) {
        self.place.state.lock().sending.insert(self.answer, Instant::now());
    }

    /// The client has taken all there is.
    pub(crate) fn is_asked_for_more(&self) {
        self.place.state.lock().sending.remove(&self.answer);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.place.change(|doing| {
            doing.sending.remove(&self.answer);
            doing.working -= 1;
            doing.idle_since = Instant::now();
        });
    }
}

/// A request whose body is being read: meanwhile its connection counts as one that waits for its client.
pub struct Reading(Arc<Place>);

impl Reading {
    pub(crate) fn on(place: &Arc<Place>) -> Reading {
        place.change(|doing| doing.reading += 1);
        Reading(Arc::clone(place))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.change(|doing| doing.reading -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_longest_makes_room_and_who_works_stays() {
        let crowd = Crowd::new(3);
        let (a, b, c) =
            (Arc::new(crowd.place().await), Arc::new(crowd.place().await), Arc::new(crowd.place().await));
        let working = Working::on(&a);
        let ask = || {
            let crowd = Arc::clone(&crowd);
            tokio::spawn(async move { crowd.place().await })
        };
        let first = ask();
        b.leave.cancelled().await;
        assert!(!a.leave.is_cancelled() && !c.leave.is_cancelled());
        drop(b);
        let first = Arc::new(first.await.unwrap());
        // One that reads a body waits for its client, too, but it has begun to later.
        let reading = Reading::on(&a);
        let second = ask();
        c.leave.cancelled().await;
        assert!(!a.leave.is_cancelled());
        drop(c);
        let second = Arc::new(second.await.unwrap());
        drop(reading);
        let _others = (Working::on(&first), Working::on(&second));
        // All work: the first that is done goes.
        let third = ask();
        while crowd.state.lock().newcomers == 0 {
            tokio::task::yield_now().await;
        }
        drop(working);
        assert!(a.leave.is_cancelled());
        drop(a);
        let third = third.await.unwrap();
        assert!(!third.leave.is_cancelled());
        assert_eq!(crowd.state.lock().newcomers, 0);
    }
}
