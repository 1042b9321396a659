//! Slow, idle and greedy clients do not hold the server.

use std::time::Duration;

use http::HeaderMap;
use httpclient::ClientOptions;
use httpserver::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LARGE, LIMITS, Served, get};

const GIVEN_UP: &str = "binnacle_http_connections_given_up_total";

async fn send(served: &Served, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the server ends the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    // A reset is an end, too.
    let _ = read.expect("the server does not end the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn is_served(served: &Served) -> bool {
    let (client, headers) = (ClientOptions::default(), HeaderMap::new());
    let get = get(served.address, "http", &client, &headers);
    matches!(tokio::time::timeout(Duration::from_secs(20), get).await, Ok(Ok((200, _, _))))
}

#[tokio::test]
async fn clients_that_fill_all_places_and_wait_make_room() {
    let mut served = Served::start(Limits { max_connections: 8, ..LIMITS }, None).await;
    for beginning in [
        "",
        "GET /who HTT",
        "GET /who HTTP/1.1\r\nX-Slow: y",
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow",
        // This one had its answer, and keeps the connection.
        "GET /who HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let before = served.metric(GIVEN_UP, "room");
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(send(&served, beginning).await);
        }
        assert!(is_served(&served).await, "{beginning:?}");
        assert!(served.metric(GIVEN_UP, "room") > before, "{beginning:?}");
        assert!(served.metric("binnacle_http_connections", "") <= 8.0);
    }
    let accepted = served.metric("net_conntrack_listener_conn_accepted_total", "http");
    assert!(accepted >= 100.0, "{accepted}");
    served.stop.cancel();
    (&mut served.ended).await.unwrap();
    assert_eq!(
        served.metric("net_conntrack_listener_conn_closed_total", "http"),
        served.metric("net_conntrack_listener_conn_accepted_total", "http")
    );
}

#[tokio::test]
async fn a_request_that_is_worked_on_is_not_thrown_out() {
    let served = Served::start(Limits { max_connections: 2, ..LIMITS }, None).await;
    let get = "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut busy = send(&served, get).await;
    let mut first = [0; 16];
    busy.read_exact(&mut first).await.unwrap();
    for _ in 0..10 {
        assert!(is_served(&served).await);
    }
    assert!(rest(busy).await.len() > LARGE);
}

#[tokio::test]
async fn clients_that_are_slow_or_silent_are_left() {
    let limits = Limits { read_timeout: Duration::from_millis(300), ..LIMITS };
    let served = Served::start(limits, None).await;
    for beginning in ["", "GET /who HTTP/1.1\r\nX-Slow: y"] {
        assert_eq!(rest(send(&served, beginning).await).await, "", "{beginning:?}");
    }
    // An idle connection is kept for a while.
    let answer = rest(send(&served, "GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
    assert!(answer.ends_with("HTTP/1.1 - -"), "{answer}");
    // A head that dribbles in is not waited for longer because there is always some of it.
    let mut slow = send(&served, "GET /who HTTP/1.1\r\n").await;
    let dribble = async {
        for i in 0.. {
            if slow.write_all(format!("X-{i}: y\r\n").as_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), dribble).await.expect("the server reads on for ever");
}

#[tokio::test]
async fn clients_that_take_nothing_of_their_answers_are_left() {
    let limits = Limits { stall_timeout: Duration::from_millis(300), ..LIMITS };
    let served = Served::start(limits, None).await;
    let stalled = send(&served, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    served.wait_for("left", GIVEN_UP, "stalled", |n| n == 1.0).await;
    drop(stalled);
    // One that takes it slowly, but takes it, is not.
    let mut slow = send(&served, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (mut all, mut piece) = (0, vec![0; 4 << 20]);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        match slow.read(&mut piece).await.unwrap() {
            0 => break,
            n => all += n,
        }
    }
    assert!(all > LARGE);
}

#[tokio::test]
async fn heads_are_bounded() {
    let served = Served::start(LIMITS, None).await;
    let long = "y".repeat(60_000);
    for (head, status) in [
        (format!("GET /who?{long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 200),
        (format!("GET /who?{long}{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 414),
        (format!("GET /who HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(200_000)), 431),
        (format!("GET /who HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(5000)), 431),
        ("\0\0\0\r\n\r\n".to_owned(), 400),
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let mut line = [0; 12];
        let _ = stream.read_exact(&mut line).await;
        assert_eq!(String::from_utf8_lossy(&line), format!("HTTP/1.1 {status}"), "{}", &head[..20]);
    }
    assert!(is_served(&served).await);
}

#[tokio::test]
async fn the_end_waits_for_those_who_are_served_and_not_for_others() {
    let served = Served::start(LIMITS, None).await;
    let mut waiting = Vec::new();
    for beginning in
        ["", "GET /who HTTP/1.1\r\nX: y", "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"]
    {
        waiting.push(send(&served, beginning).await);
    }
    let mut busy = send(&served, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut first = [0; 16];
    busy.read_exact(&mut first).await.unwrap();
    served.wait_for("connected", "binnacle_http_connections", "", |n| n == 4.0).await;
    served.stop.cancel();
    for stream in waiting {
        assert_eq!(rest(stream).await, "");
    }
    assert!(!served.ended.is_finished());
    assert!(rest(busy).await.len() > LARGE);
    tokio::time::timeout(Duration::from_secs(20), served.ended).await.expect("it does not end").unwrap();

    // But not for ever.
    let served = Served::start(Limits { shutdown_timeout: Duration::from_millis(200), ..LIMITS }, None).await;
    let mut stalled = send(&served, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stalled.read_exact(&mut first).await.unwrap();
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), served.ended).await.expect("it does not end").unwrap();
}
