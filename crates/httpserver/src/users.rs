//! Basic authentication: names, and passwords of which bcrypt's hashes are known.
//!
//! A check costs a quarter of a second of a core and more. So verdicts are remembered, few are made at once, of those
//! who wait there is a bounded number, and requests that ask the same wait for one check.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exposition::registry::CounterVec;
use http::HeaderValue;
use httpclient::Secret;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

/// Verdicts of each kind that are remembered.
const REMEMBERED: usize = 1000;
/// Checks that wait or run.
const MAX_CHECKS: usize = 64;
/// And how many of them for one address.
const MAX_CHECKS_OF_ONE: usize = 8;

/// What becomes of a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// Too many others are being checked.
    Busy,
}

/// A keyed hash of a name, its bcrypt hash and a password: none of them is kept.
type Key = [u8; 32];

pub(crate) struct Users {
    secret: hmac::Key,
    state: Arc<Mutex<State>>,
    /// Checks that run at once.
    threads: Arc<Semaphore>,
    checks: CounterVec,
}

#[derive(Default)]
struct State {
    /// Kept apart, so that a flood of wrong ones does not drive out the right ones.
    right: Remembered,
    wrong: Remembered,
    running: HashMap<Key, Running>,
    of_address: HashMap<IpAddr, usize>,
}

struct Running {
    verdict: Arc<OnceCell<bool>>,
    waiting: usize,
}

/// Keys, of which the one that was asked for longest ago makes room.
#[derive(Default)]
struct Remembered {
    used: HashMap<Key, u64>,
    clock: u64,
}

impl Remembered {
    fn holds(&mut self, key: &Key) -> bool {
        self.clock += 1;
        let clock = self.clock;
        self.used.get_mut(key).map(|used| *used = clock).is_some()
    }

    fn add(&mut self, key: Key) {
        if self.used.len() >= REMEMBERED
            && let Some(oldest) = self.used.iter().min_by_key(|(_, used)| **used).map(|(key, _)| *key)
        {
            self.used.remove(&oldest);
        }
        self.clock += 1;
        self.used.insert(key, self.clock);
    }
}

impl State {
    fn remembered(&mut self, key: &Key) -> Option<bool> {
        if self.right.holds(key) {
            return Some(true);
        }
        self.wrong.holds(key).then_some(false)
    }
}

/// A request that waits for a check.
struct Waiting {
    state: Arc<Mutex<State>>,
    key: Key,
    verdict: Arc<OnceCell<bool>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if let Some(running) = state.running.get_mut(&self.key) {
            running.waiting -= 1;
            if running.waiting == 0 {
                state.running.remove(&self.key);
            }
        }
    }
}

/// A check that waits or runs, and whom for.
struct Counted {
    state: Arc<Mutex<State>>,
    address: IpAddr,
}

impl Counted {
    fn new(state: &Arc<Mutex<State>>, address: IpAddr) -> Option<Counted> {
        let mut locked = state.lock();
        let all: usize = locked.of_address.values().sum();
        let of_one = locked.of_address.entry(address).or_default();
        if all >= MAX_CHECKS || *of_one >= MAX_CHECKS_OF_ONE {
            if *of_one == 0 {
                locked.of_address.remove(&address);
            }
            return None;
        }
        *of_one += 1;
        drop(locked);
        Some(Counted { state: Arc::clone(state), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if let Some(of_one) = state.of_address.get_mut(&self.address) {
            *of_one -= 1;
            if *of_one == 0 {
                state.of_address.remove(&self.address);
            }
        }
    }
}

impl Users {
    pub(crate) fn new(checks: CounterVec) -> Users {
        let mut random = [0; 32];
        // Without randomness no TLS works either; then a fixed key still keeps passwords out of memory.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Users {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &random),
            state: Arc::default(),
            threads: Arc::new(Semaphore::new(cores.div_ceil(4))),
            checks,
        }
    }

    pub(crate) async fn check(
        &self,
        users: &BTreeMap<String, Secret>,
        user: &str,
        password: &[u8],
        from: IpAddr,
    ) -> Verdict {
        let (hash, known) = match users.get(user) {
            Some(hash) => (hash, true),
            // The same work as for a known name: with the hash of another one, always the same for this name.
            None => match self.stand_in(users, user) {
                Some(hash) => (hash, false),
                None => return Verdict::Wrong,
            },
        };
        let key = self.key(&[&[u8::from(known)], user.as_bytes(), hash.reveal().as_bytes(), password]);
        let waiting = {
            let mut state = self.state.lock();
            if let Some(right) = state.remembered(&key) {
                return if right { Verdict::Right } else { Verdict::Wrong };
            }
            let verdict = Arc::new(OnceCell::new());
            let running = state.running.entry(key).or_insert(Running { verdict, waiting: 0 });
            running.waiting += 1;
            let verdict = Arc::clone(&running.verdict);
            Waiting { state: Arc::clone(&self.state), key, verdict }
        };
        let job = Job { key, known, hash: hash.clone(), password: password.to_vec() };
        let verdict = waiting.verdict.get_or_try_init(|| self.work(job, from)).await;
        match verdict {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Wrong,
            Err(Overloaded) => Verdict::Busy,
        }
    }

    async fn work(&self, job: Job, from: IpAddr) -> Result<bool, Overloaded> {
        let Some(counted) = Counted::new(&self.state, from) else {
            self.checks.with(&["refused"]).inc();
            return Err(Overloaded);
        };
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| Overloaded)?;
        let state = Arc::clone(&self.state);
        // Whoever asked may go away: the work goes on, and counts until it is done.
        let checked = tokio::task::spawn_blocking(move || {
            let _held = (counted, thread);
            let right = bcrypt::verify(&job.password, job.hash.reveal()).unwrap_or(false) && job.known;
            let mut state = state.lock();
            let remembered = if right { &mut state.right } else { &mut state.wrong };
            remembered.add(job.key);
            right
        });
        let right = checked.await.unwrap_or(false);
        self.checks.with(&[if right { "right" } else { "wrong" }]).inc();
        Ok(right)
    }

    fn stand_in<'a>(&self, users: &'a BTreeMap<String, Secret>, user: &str) -> Option<&'a Secret> {
        let [a, b, c, d, ..] = self.key(&[user.as_bytes()]);
        let at = u32::from_be_bytes([a, b, c, d]) as usize % users.len().max(1);
        users.values().nth(at)
    }

    fn key(&self, parts: &[&[u8]]) -> Key {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in parts {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        key
    }
}

struct Job {
    key: Key,
    known: bool,
    hash: Secret,
    password: Vec<u8>,
}

struct Overloaded;

/// Name and password of a header, as Go takes them.
pub(crate) fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let bytes = header.as_bytes();
    let (scheme, encoded) = bytes.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    let (user, password) = decoded.split_at(colon);
    // A name that is no text is nobody's.
    Some((String::from_utf8(user.to_vec()).ok()?, password.get(1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use exposition::registry::Registry;

    use super::*;

    /// Of `test`, with the least cost there is.
    fn hash() -> Secret {
        Secret::new(bcrypt::hash("test", 4).unwrap())
    }

    fn users() -> (Users, CounterVec) {
        let checks = Registry::new().counter_vec("n_total", "Help.", &["outcome"]);
        (Users::new(checks.clone()), checks)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn verdicts_are_right_and_are_remembered() {
        let (users, checks) = users();
        let known = BTreeMap::from([("ann".to_owned(), hash())]);
        let cases = [
            ("ann", "test", Verdict::Right),
            ("ann", "Test", Verdict::Wrong),
            ("bob", "test", Verdict::Wrong),
            ("", "", Verdict::Wrong),
        ];
        for _ in 0..2 {
            for (name, password, want) in cases {
                let verdict = users.check(&known, name, password.as_bytes(), HERE).await;
                assert_eq!(verdict, want, "{name} {password}");
            }
        }
        assert_eq!(checks.with(&["right"]).get(), 1.0);
        assert_eq!(checks.with(&["wrong"]).get(), 3.0);
        // Another password is another hash, and what was remembered does not count.
        let changed = BTreeMap::from([("ann".to_owned(), Secret::new(bcrypt::hash("new", 4).unwrap()))]);
        assert_eq!(users.check(&changed, "ann", b"test", HERE).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_flood_of_wrong_passwords_neither_queues_up_nor_drives_out_the_right_ones() {
        let (users, checks) = users();
        let known = BTreeMap::from([("ann".to_owned(), hash())]);
        assert_eq!(users.check(&known, "ann", b"test", HERE).await, Verdict::Right);
        // Nothing is checked while this is held.
        let permits = users.threads.available_permits();
        let held = users.threads.acquire_many(u32::try_from(permits).unwrap()).await.unwrap();
        let there = |n: u8| IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, n));
        let attempts: Vec<(u8, String)> =
            (0..30).flat_map(|host| (0..10).map(move |n| (host, format!("{host} {n}")))).collect();
        let flood = attempts.iter().map(|(host, password)| {
            let (users, known) = (&users, &known);
            Box::pin(async move { users.check(known, "ann", password.as_bytes(), there(*host)).await })
        });
        let mut waiting: Vec<_> = flood.collect();
        let mut busy = 0;
        let mut left = Vec::new();
        for mut attempt in waiting.drain(..) {
            // A task may do so much at a time only.
            tokio::task::yield_now().await;
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(attempt.as_mut().poll(cx))).await;
            match polled {
                std::task::Poll::Ready(Verdict::Busy) => busy += 1,
                std::task::Poll::Ready(other) => panic!("{other:?} without a check"),
                std::task::Poll::Pending => left.push(attempt),
            }
        }
        assert_eq!((left.len(), busy), (MAX_CHECKS, 300 - MAX_CHECKS));
        // Who was let in stays so meanwhile.
        assert_eq!(users.check(&known, "ann", b"test", HERE).await, Verdict::Right);
        // Those who give up leave nothing behind.
        drop(left);
        assert!(users.state.lock().running.is_empty() && users.state.lock().of_address.is_empty());
        drop(held);
        assert_eq!(users.check(&known, "ann", b"other", HERE).await, Verdict::Wrong);
        assert_eq!(checks.with(&["refused"]).get(), f64::from(busy as u32));
    }

    #[tokio::test]
    async fn requests_that_ask_the_same_wait_for_one_check() {
        let (users, checks) = users();
        let users = Arc::new(users);
        let known = Arc::new(BTreeMap::from([("ann".to_owned(), hash())]));
        let permits = users.threads.available_permits();
        let held = Arc::clone(&users.threads).acquire_many_owned(u32::try_from(permits).unwrap()).await;
        let all: Vec<_> = (0..50)
            .map(|_| {
                let (users, known) = (Arc::clone(&users), Arc::clone(&known));
                tokio::spawn(async move { users.check(&known, "ann", b"test", HERE).await })
            })
            .collect();
        drop(held);
        for one in all {
            assert_eq!(one.await.unwrap(), Verdict::Right);
        }
        assert_eq!(checks.with(&["right"]).get(), 1.0);
    }

    #[test]
    #[allow(clippy::type_complexity)] // a table of cases
    fn credentials_are_read_as_go_reads_them() {
        let cases: &[(&str, Option<(&str, &[u8])>)] = &[
            ("Basic YWRtaW46dGVzdA==", Some(("admin", b"test"))),
            ("bAsIc YTpiOmM=", Some(("a", b"b:c"))),
            ("Basic YTo=", Some(("a", b""))),
            ("Basic !!", None),
            ("Basic YWRtaW4=", None),
            ("Bearer YWRtaW46dGVzdA==", None),
            ("Basic", None),
        ];
        for (header, want) in cases {
            let found = credentials(&HeaderValue::from_str(header).unwrap());
            let want = want.map(|(user, password)| (user.to_owned(), password.to_vec()));
            assert_eq!(found, want, "{header}");
        }
    }
}
