//! Clusters and their caches, shared by all who ask for the same.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::access::{Access, Reached};
use crate::cache::Cache;
use crate::decode::Decode;
use crate::error::Error;
use crate::list_watch::{self, Behaviour};
use crate::metrics::RequestMetrics;
use crate::request::Selection;

/// All clusters that somebody uses. Cheap to clone.
#[derive(Clone)]
pub struct Clusters(Arc<Inner>);

struct Inner {
    metrics: RequestMetrics,
    behaviour: Behaviour,
    known: Mutex<Vec<Weak<Cluster>>>,
}

impl Clusters {
    /// None yet.
    #[must_use]
    pub fn new(metrics: RequestMetrics, behaviour: Behaviour) -> Self {
        Clusters(Arc::new(Inner { metrics, behaviour, known: Mutex::default() }))
    }

    /// The cluster that is reached by `access`; the same one for all who ask while somebody uses it.
    #[must_use]
    pub fn get(&self, access: &Access) -> Arc<Cluster> {
        let mut known = self.0.known.lock();
        known.retain(|cluster| cluster.strong_count() > 0);
        let found = known.iter().filter_map(Weak::upgrade).find(|cluster| cluster.access == *access);
        found.unwrap_or_else(|| {
            let cluster = Arc::new(Cluster {
                access: access.clone(),
                metrics: self.0.metrics.clone(),
                behaviour: self.0.behaviour.clone(),
                reached: tokio::sync::Mutex::default(),
                caches: Mutex::default(),
            });
            known.push(Arc::downgrade(&cluster));
            cluster
        })
    }
}

/// One API server, as one of its users sees it.
pub struct Cluster {
    access: Access,
    pub(crate) metrics: RequestMetrics,
    pub(crate) behaviour: Behaviour,
    reached: tokio::sync::Mutex<KnownWay>,
    caches: Mutex<HashMap<(TypeId, Selection), Weak<dyn Any + Send + Sync>>>,
}

impl Cluster {
    /// The cache of `selection`, filled and followed from now on. Whoever asks with a decoder of the same type while it
    /// is used gets the same one. Needs a tokio runtime.
    #[must_use]
    pub fn follow<D: Decode>(self: &Arc<Self>, selection: Selection, decoder: D) -> Arc<Shared<D::Object>> {
        let mut caches = self.caches.lock();
        caches.retain(|_, cache| cache.strong_count() > 0);
        let name = (TypeId::of::<D>(), selection.clone());
        let known = caches.get(&name).and_then(Weak::upgrade);
        if let Some(known) = known.and_then(|cache| cache.downcast::<Shared<D::Object>>().ok()) {
            return known;
        }
        let cache = Arc::new(Cache::default());
        let task = tokio::spawn(list_watch::follow(self.clone(), selection, decoder, Arc::clone(&cache)));
        let shared = Arc::new(Shared { cache, task });
        let erased: Arc<dyn Any + Send + Sync> = shared.clone();
        caches.insert(name, Arc::downgrade(&erased));
        shared
    }

    /// How to ask; found out at the first request, when credentials have expired and after [`forget`](Self::forget).
    pub(crate) async fn reach(&self) -> Result<Reached, Error> {
        let mut reached = self.reached.lock().await;
        let good = |reached: &Reached| reached.until.is_none_or(|until| SystemTime::now() < until);
        if let Some(known) = reached.known.as_ref().filter(|known| good(known)) {
            return Ok(known.clone());
        }
        reached.count += 1;
        let number = reached.count;
        Ok(reached.known.insert(self.access.reach(number).await?).clone())
    }

    /// The server does not know us, or is not where we think: the files that say who we are may have changed. Several may find
    /// that out of the same way to the server.
    pub(crate) async fn forget(&self, number: u64) {
        let mut reached = self.reached.lock().await;
        if reached.known.as_ref().is_some_and(|known| known.number == number) {
            reached.known = None;
        }
    }
}

/// The way to the server, once it is known.
#[derive(Default)]
struct KnownWay {
    known: Option<Reached>,
    /// How many there have been.
    count: u64,
}

/// A cache in use, and what fills it. Dropping the last one ends that.
pub struct Shared<T> {
    cache: Arc<Cache<T>>,
    task: JoinHandle<()>,
}

impl<T> Deref for Shared<T> {
    type Target = Cache<T>;

    fn deref(&self) -> &Cache<T> {
        &self.cache
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
