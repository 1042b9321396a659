//! HTTP/2: who speaks it, and how connections are shared.

use httpclient::{Client, ClientOptions};

use crate::support::{Speaks, ask, get, self_signed, tls_server, trusting};

#[tokio::test]
async fn it_is_spoken_where_it_is_offered_and_allowed() {
    let identity = self_signed(false);
    let (one, two) =
        (tls_server(&identity, None, Speaks::Http1).await, tls_server(&identity, None, Speaks::Http2).await);
    let allowed = trusting(&identity);
    let forbidden = ClientOptions { http2: false, ..allowed.clone() };
    let url = two.url("/x?y=z");
    let head = get(&allowed, &url).await.unwrap();
    assert!(head.starts_with(&format!("GET {url} HTTP/2.0\r\n")), "{head}");
    assert!(!head.contains("host: "), "{head}");
    assert!(get(&forbidden, &url).await.unwrap().starts_with("GET /x?y=z HTTP/1.1\r\nHost: localhost:"));
    for options in [&allowed, &forbidden] {
        assert!(get(options, &one.url("/x?y=z")).await.unwrap().starts_with("GET /x?y=z HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn connections_to_one_server_are_one_while_anybody_uses_it() {
    let identity = self_signed(false);
    let server = tls_server(&identity, None, Speaks::Http2).await;
    let client = Client::new(&trusting(&identity)).unwrap();
    let mut connections: Vec<_> = (0..10).map(|_| client.connection()).collect();
    for _ in 0..3 {
        for connection in &mut connections {
            ask(connection, &server.url("/")).await.unwrap();
        }
    }
    assert_eq!(server.connections(), 1);
    let together = connections.iter_mut().map(|connection| async {
        ask(connection, &format!("https://localhost:{}/", server.address.port())).await.unwrap()
    });
    assert_eq!(futures_util::future::join_all(together).await.len(), 10);
    assert_eq!(server.connections(), 1);
    connections.truncate(1);
    ask(&mut connections[0], &server.url("/")).await.unwrap();
    assert_eq!(server.connections(), 1);
    drop(connections);
    ask(&mut client.connection(), &server.url("/")).await.unwrap();
    assert_eq!(server.connections(), 2);
}
