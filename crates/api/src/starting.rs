//! What is answered while the storage is being opened: the process lives, and is not ready yet. Without it, whoever
//! looks after the process would take a long replay for a hang, and kill it into the next one.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use httpserver::{ResponseBody, Server};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::STOPPING;

/// What a server calls itself.
pub(crate) const SERVER: &str = "Prometheus Server";
/// What an agent calls itself.
pub(crate) const AGENT: &str = "Prometheus Agent";

/// Answers `/-/healthy` below `route_prefix` with 200 and all else with 503 until `opened` is cancelled, then hands
/// the listener on.
pub async fn serve_starting(
    server: Server,
    listener: TcpListener,
    route_prefix: &str,
    agent: bool,
    opened: CancellationToken,
) -> TcpListener {
    let healthy: Arc<str> = format!("{}/-/healthy", route_prefix.trim_end_matches('/')).into();
    let handler = move |request: Request<Incoming>| {
        let is_healthy = *request.uri().path() == *healthy;
        async move { answer(is_healthy, agent) }
    };
    server.serve(&listener, handler, opened).await;
    listener
}

fn answer(is_healthy: bool, agent: bool) -> Response<ResponseBody> {
    let name = if agent { AGENT } else { SERVER };
    let (status, text) = match is_healthy {
        true => (StatusCode::OK, format!("{name} is Healthy.\n")),
        false => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable".to_owned()),
    };
    let mut response = Response::new(ResponseBody::whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !is_healthy {
        headers.insert(STOPPING, HeaderValue::from_static("false"));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // The next request shall meet the real server.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn server() -> Server {
        let limits = httpserver::Limits {
            max_connections: 8,
            read_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(60),
        };
        Server::new(limits, None, &exposition::registry::Registry::new()).unwrap()
    }

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
            async move { serve_starting(server(), listener, "/prom/", false, opened).await }
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
