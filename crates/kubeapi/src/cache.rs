//! What is known of one selection of objects, and who wants to hear of changes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use exposition::registry::Counter;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::decode::Decoded;

/// `namespace/name`, or the name alone of an object that has no namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of an object; `namespace` is empty if it has none.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        if namespace.is_empty() { Key(name.into()) } else { Key([namespace, "/", name].concat().into()) }
    }

    /// The namespace, or nothing.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Both with the slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts what the server reported, whether or not it changes what is kept.
#[derive(Clone)]
pub struct EventCounters {
    /// Objects that were not there before.
    pub added: Option<Counter>,
    /// Objects that were.
    pub updated: Option<Counter>,
    /// Objects that are gone.
    pub deleted: Option<Counter>,
}

#[derive(Clone, Copy)]
enum Kind {
    Added,
    Updated,
    Deleted,
}

/// The objects of a selection. Changed by its list-watch loop alone.
pub struct Cache<T> {
    state: Mutex<State<T>>,
    synced: watch::Sender<bool>,
}

struct State<T> {
    objects: HashMap<Key, Entry<T>, RandomState>,
    /// Counts full states: what the newest one did not name is gone once it is complete.
    generation: u32,
    followers: Vec<Weak<Follower>>,
}

struct Entry<T> {
    object: Arc<T>,
    generation: u32,
}

struct Follower {
    dirty: Mutex<HashSet<Key, RandomState>>,
    notify: Arc<Notify>,
    counters: Option<EventCounters>,
}

impl Follower {
    fn hear(&self, key: &Key, kind: Kind, changed: bool) {
        let counter = self.counters.as_ref().and_then(|counters| match kind {
            Kind::Added => counters.added.as_ref(),
            Kind::Updated => counters.updated.as_ref(),
            Kind::Deleted => counters.deleted.as_ref(),
        });
        if let Some(counter) = counter {
            counter.inc();
        }
        if changed {
            self.dirty.lock().insert(key.clone());
            self.notify.notify_one();
        }
    }
}

/// The keys of objects that came, changed or went since they were last taken. Each is in it once, so it never holds more
/// than there are objects.
pub struct Changes(Arc<Follower>);

impl Changes {
    /// The keys; none stay behind.
    #[must_use]
    pub fn take(&self) -> Vec<Key> {
        let mut dirty = self.0.dirty.lock();
        let keys = dirty.drain().collect();
        dirty.shrink_to(1024);
        keys
    }
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache {
            state: Mutex::new(State { objects: HashMap::default(), generation: 0, followers: Vec::new() }),
            synced: watch::Sender::new(false),
        }
    }
}

impl<T: PartialEq> Cache<T> {
    /// The object called `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.state.lock().objects.get(key).map(|entry| entry.object.clone())
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().objects.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys of the objects that `keep` accepts, which is called under the cache's lock.
    pub fn select(&self, mut keep: impl FnMut(&Key, &T) -> bool) -> Vec<Key> {
        let state = self.state.lock();
        let kept = state.objects.iter().filter(|(key, entry)| keep(key, &entry.object));
        kept.map(|(key, _)| key.clone()).collect()
    }

    /// Waits until everything is known that was there at some time.
    pub async fn synced(&self) {
        // The sender is ours: it is never gone.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether everything is known that was there at some time.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// What changes from now on, and as a start all that is there. `notify` is woken with each change.
    pub fn changes(&self, notify: Arc<Notify>, counters: Option<EventCounters>) -> Changes {
        let follower = Arc::new(Follower { dirty: Mutex::default(), notify, counters });
        let mut state = self.state.lock();
        state.objects.keys().for_each(|key| follower.hear(key, Kind::Added, true));
        state.followers.retain(|other| other.strong_count() > 0);
        state.followers.push(Arc::downgrade(&follower));
        Changes(follower)
    }

    /// A full state begins.
    pub(crate) fn begin(&self) -> u32 {
        let mut state = self.state.lock();
        state.generation = state.generation.wrapping_add(1);
        state.generation
    }

    /// The full state is complete: what it did not name is gone.
    pub(crate) fn finish(&self, generation: u32) {
        let mut state = self.state.lock();
        let gone: Vec<Key> = state
            .objects
            .iter()
            .filter(|(_, entry)| entry.generation != generation)
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            state.objects.remove(&key);
            state.tell(&key, Kind::Deleted, true);
        }
        drop(state);
        self.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }

    pub(crate) fn put(&self, decoded: Decoded<T>) {
        let mut state = self.state.lock();
        let generation = state.generation;
        let (key, kind, changed) = match state.objects.get_key_value_mut(&decoded.key) {
            Some((key, entry)) => {
                entry.generation = generation;
                let changed = *entry.object != decoded.object;
                if changed {
                    entry.object = Arc::new(decoded.object);
                }
                (key.clone(), Kind::Updated, changed)
            }
            None => {
                let entry = Entry { object: Arc::new(decoded.object), generation };
                state.objects.insert(decoded.key.clone(), entry);
                (decoded.key, Kind::Added, true)
            }
        };
        state.tell(&key, kind, changed);
    }

    pub(crate) fn remove(&self, key: &Key) {
        let mut state = self.state.lock();
        if state.objects.remove(key).is_some() {
            state.tell(key, Kind::Deleted, true);
        }
    }
}

impl<T> State<T> {
    fn tell(&self, key: &Key, kind: Kind, changed: bool) {
        for follower in self.followers.iter().filter_map(Weak::upgrade) {
            follower.hear(key, kind, changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, object: u32) -> Decoded<u32> {
        Decoded { key: Key::new("ns", name), version: String::new(), object }
    }

    fn sorted(changes: &Changes) -> Vec<String> {
        let mut keys: Vec<String> = changes.take().iter().map(ToString::to_string).collect();
        keys.sort();
        keys
    }

    #[test]
    fn followers_hear_once_of_what_changed_and_a_full_state_removes_what_it_does_not_name() {
        let registry = exposition::registry::Registry::new();
        let [added, updated, deleted] = ["a", "u", "d"].map(|name| registry.counter(name, ""));
        let counters = EventCounters {
            added: Some(added.clone()),
            updated: Some(updated.clone()),
            deleted: Some(deleted.clone()),
        };
        let cache = Cache::default();
        let generation = cache.begin();
        cache.put(object("a", 1));
        assert!(!cache.is_synced());
        cache.finish(generation);
        assert!(cache.is_synced());

        let changes = cache.changes(Arc::default(), Some(counters));
        cache.put(object("b", 2));
        cache.put(object("b", 3));
        cache.put(object("a", 1));
        assert_eq!(sorted(&changes), ["ns/a", "ns/b"]);
        cache.put(object("a", 1));
        assert!(changes.take().is_empty(), "nothing about it has changed");

        let generation = cache.begin();
        cache.put(object("b", 3));
        assert_eq!(cache.len(), 2, "until the state is complete");
        cache.finish(generation);
        assert_eq!(sorted(&changes), ["ns/a"]);
        assert_eq!((cache.get("ns/a"), cache.get("ns/b").as_deref()), (None, Some(&3)));
        cache.remove(&Key::new("ns", "b"));
        cache.remove(&Key::new("ns", "b"));
        assert_eq!(sorted(&changes), ["ns/b"]);
        assert_eq!([added.get(), updated.get(), deleted.get()], [2.0, 4.0, 2.0]);
    }

    #[test]
    fn keys_name_namespace_and_object() {
        let key = Key::new("shop", "web-1");
        assert_eq!((key.namespace(), key.name(), key.as_str()), ("shop", "web-1", "shop/web-1"));
        assert_eq!((Key::new("", "node-1").namespace(), Key::new("", "node-1").name()), ("", "node-1"));
    }
}
