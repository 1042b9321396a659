//! What is answered while the storage is being opened: the process lives, and is not ready yet. Without it, whoever
//! looks after the process would take a long replay for a hang, and kill it into the next one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections answered at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// How long a request's head may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers `/-/healthy` below `route_prefix` with 200 and all else with 503 until `opened` is cancelled, then hands
/// the listener on.
pub async fn serve_starting(
    listener: TcpListener,
    route_prefix: &str,
    opened: CancellationToken,
) -> TcpListener {
    let healthy: Arc<str> = format!("{}/-/healthy", route_prefix.trim_end_matches('/')).into();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (slot, accepted) = tokio::select! {
            () = opened.cancelled() => return listener,
            next = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) } => next,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let healthy = Arc::clone(&healthy);
        tokio::spawn(async move {
            connection(stream, &healthy).await;
            drop(slot);
        });
    }
}

/// One answer a connection: the next request shall meet the real server.
async fn connection(stream: TcpStream, healthy: &str) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (status, text) = match request.uri().path() == healthy {
            true => (StatusCode::OK, "Prometheus Server is Healthy.\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
        Ok::<_, Infallible>(response)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_starting_server_is_alive_and_not_ready_and_hands_its_listener_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let opened = CancellationToken::new();
        let serving = tokio::spawn({
            let opened = opened.clone();
            async move { serve_starting(listener, "/prom/", opened).await }
        });
        assert!(get(address, "/prom/-/healthy").await.starts_with("HTTP/1.1 200 OK"));
        for path in ["/prom/-/ready", "/prom/api/v1/query?query=up", "/-/healthy"] {
            let answer = get(address, path).await;
            assert!(
                answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("Service Unavailable"),
                "{answer}"
            );
        }
        opened.cancel();
        assert_eq!(serving.await.unwrap().local_addr().unwrap(), address);
    }
}
