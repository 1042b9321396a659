//! A stand-in for the API server of a Kubernetes cluster: lists, pages, selectors, watches, streamed lists, expired
//! versions and refusals, over plain HTTP on loopback, from objects that a test puts there.

mod objects;
mod protobuf;
mod selector;
mod serve;
mod synthetic;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::Value as Json;

use objects::Store;
pub use synthetic::synthetic_pod;

/// How lists as streams are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamedLists {
    /// They are served.
    #[default]
    Served,
    /// By an ERROR event, as with an old store behind the server.
    RefusedInStream,
    /// By a status, as by a server of which they are not known or where they are switched off.
    RefusedByStatus,
}

/// What a test can make the server do.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// Whether lists come as streams.
    pub streamed_lists: StreamedLists,
    /// Whether a version that is too old is told by a status instead of an ERROR event.
    pub expired_by_status: bool,
    /// Whether answers are protobuf for those who want it.
    pub protobuf: bool,
    /// The token that requests must carry, if any.
    pub token: Option<String>,
    /// No watch lasts longer.
    pub longest_watch: Duration,
    /// Statuses that the next requests are answered with.
    pub refusals: Vec<u16>,
    /// Continue tokens of lists are too old.
    pub pages_expire: bool,
    /// The next watch is cut off after so many bytes of events.
    pub cut_after: Option<usize>,
}

impl Default for Conduct {
    fn default() -> Self {
        Conduct {
            streamed_lists: StreamedLists::Served,
            expired_by_status: false,
            protobuf: true,
            token: None,
            longest_watch: Duration::from_secs(600),
            refusals: Vec::new(),
            pages_expire: false,
            cut_after: None,
        }
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    store: Store,
    conduct: Conduct,
    requests: Vec<String>,
    connections: Vec<TcpStream>,
    /// Counts how often watches were broken off.
    broken: u64,
    /// Counts how often bookmarks were asked for.
    bookmarks: u64,
    stopped: bool,
}

/// The server; it ends when dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: String,
}

impl ApiServer {
    /// A server without objects, on a port that is free.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub fn start() -> std::io::Result<Self> {
        Self::listen("127.0.0.1:0")
    }

    /// A server without objects at `address`.
    ///
    /// # Errors
    /// When it cannot be listened at.
    pub fn listen(address: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let mut state = serving.state.lock();
                if state.stopped {
                    return;
                }
                if let Ok(copy) = stream.try_clone() {
                    state.connections.retain(|known| known.peer_addr().is_ok());
                    state.connections.push(copy);
                }
                drop(state);
                let serving = serving.clone();
                std::thread::spawn(move || serve::connection(&serving, stream));
            }
        });
        Ok(ApiServer { shared, address })
    }

    /// A server with the recorded state of a cluster: each `lists/RESOURCE.json` of `folder`.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub fn recorded(folder: &Path) -> std::io::Result<Self> {
        let server = Self::start()?;
        server.load_folder(folder)?;
        Ok(server)
    }

    /// Puts the lists of `folder` (`RESOURCE.json`) in the place of what was there.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub fn load_folder(&self, folder: &Path) -> std::io::Result<()> {
        for (base, resource) in [
            ("/api/v1", "endpoints"),
            ("/api/v1", "namespaces"),
            ("/api/v1", "nodes"),
            ("/api/v1", "pods"),
            ("/api/v1", "services"),
            ("/apis/apps/v1", "replicasets"),
            ("/apis/batch/v1", "jobs"),
            ("/apis/discovery.k8s.io/v1", "endpointslices"),
            ("/apis/networking.k8s.io/v1", "ingresses"),
        ] {
            let path = folder.join(format!("{resource}.json"));
            if path.exists() {
                self.load(&format!("{base}/{resource}"), &std::fs::read_to_string(path)?);
            }
        }
        Ok(())
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts the objects of a list in the place of those of `resource` (`/api/v1/pods`). Watches do not hear of it.
    pub fn load(&self, resource: &str, list: &str) {
        self.shared.state.lock().store.load(resource, list);
    }

    /// Adds or replaces an object, with the next version.
    pub fn put(&self, resource: &str, object: Json) {
        self.shared.state.lock().store.put(resource, object);
        self.shared.changed.notify_all();
    }

    /// Removes an object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.shared.state.lock().store.delete(resource, namespace, name);
        self.shared.changed.notify_all();
    }

    /// Does what a line of a recorded watch says, with the version that is recorded.
    pub fn replay(&self, resource: &str, line: &str) {
        self.shared.state.lock().store.replay(resource, line);
        self.shared.changed.notify_all();
    }

    /// An object as it is.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Json> {
        self.shared.state.lock().store.get(resource, namespace, name)
    }

    /// All that happened until now is forgotten: older versions are too old.
    pub fn compact(&self) {
        self.shared.state.lock().store.compact();
    }

    /// Sends a bookmark to all watches that want them.
    pub fn bookmark(&self) {
        self.shared.state.lock().bookmarks += 1;
        self.shared.changed.notify_all();
    }

    /// Breaks all connections.
    pub fn drop_connections(&self) {
        let mut state = self.shared.state.lock();
        state.broken += 1;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Changes how the server behaves.
    pub fn conduct(&self, change: impl FnOnce(&mut Conduct)) {
        change(&mut self.shared.state.lock().conduct);
    }

    /// The paths and queries asked for so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.state.lock().requests.clone()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.drop_connections();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}
