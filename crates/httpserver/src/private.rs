//! A server for this process alone: over a socket in a directory that only its user can enter.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::{Access, Caller, ResponseBody};

/// The socket, as long as this lives.
#[derive(Debug)]
pub struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl PrivateSocket {
    /// Listens on `path`, whose directory is made, and must not be there yet. Within a runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(path: &Path) -> std::io::Result<PrivateSocket> {
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().mode(0o700).create(directory)?;
        }
        Ok(PrivateSocket { listener: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// Hands requests to `handler` until `stop` is cancelled. None is asked who it is, and each may see everything.
    pub async fn serve<H, F>(self, handler: H, stop: CancellationToken)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let (handler, stop) = (handler.clone(), stop.clone());
            tokio::spawn(async move {
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(Caller {
                        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                        user: None,
                        certificate: None,
                        access: Access::Everything,
                        place: None,
                    });
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = connection => {}
                }
            });
        }
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        // What is left behind is in nobody's way: the directory's name is never used again.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.path.parent().map(std::fs::remove_dir);
    }
}
