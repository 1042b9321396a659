//! Names and passwords, headers, how many requests there may be.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue};
use httpclient::{ClientOptions, Secret};
use httpserver::{RateLimit, WebOptions};

use super::{LIMITS, WebFile, get, plain};

/// Of `test`, with little cost.
fn users(password: &str) -> BTreeMap<String, Secret> {
    BTreeMap::from([("admin".to_owned(), Secret::new(bcrypt::hash(password, 4).unwrap()))])
}

fn basic(credentials: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Basic {credentials}")).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

const ADMIN_TEST: &str = "YWRtaW46dGVzdA==";
const ADMIN_WRONG: &str = "YWRtaW46d3Jvbmc=";
const NOBODY_TEST: &str = "bm9ib2R5OnRlc3Q=";

#[tokio::test]
async fn only_users_come_in_and_headers_are_on_every_answer() {
    let headers = BTreeMap::from([("X-Frame-Options".to_owned(), "deny".to_owned())]);
    let file = WebFile::new(WebOptions { users: users("test"), headers, ..plain() });
    let served = file.serve(LIMITS).await;
    let client = ClientOptions::default();
    for (headers, status, text) in [
        (HeaderMap::new(), 401, "Unauthorized\n"),
        (basic(ADMIN_WRONG), 401, "Unauthorized\n"),
        (basic(NOBODY_TEST), 401, "Unauthorized\n"),
        (basic("!!"), 401, "Unauthorized\n"),
        (basic(ADMIN_TEST), 200, "HTTP/1.1 admin -"),
    ] {
        let (got, answered, body) = get(served.address, "http", &client, &headers).await.unwrap();
        assert_eq!((got, &*body), (status, text), "{headers:?}");
        assert_eq!(answered["x-frame-options"], "deny");
        let asks = answered.get("www-authenticate").map(HeaderValue::as_bytes);
        assert_eq!(asks, (status == 401).then_some(&b"Basic"[..]));
        assert_eq!(answered.contains_key("x-content-type-options"), status == 401);
    }
    // The file counts as it is at each request.
    file.change(Ok(WebOptions { users: users("wrong"), ..plain() }));
    let status = |headers| {
        let client = &client;
        async move { get(served.address, "http", client, &headers).await.unwrap() }
    };
    assert_eq!(status(basic(ADMIN_TEST)).await.0, 401);
    assert_eq!(status(basic(ADMIN_WRONG)).await.0, 200);
    // One that is wrong lets nobody in, until it is right again.
    file.change(Err("wrong".to_owned()));
    let (code, _, text) = status(basic(ADMIN_WRONG)).await;
    assert_eq!((code, &*text), (500, "Internal Server Error\n"));
    file.change(Ok(plain()));
    assert_eq!(status(HeaderMap::new()).await.0, 200);
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(status(HeaderMap::new()).await.0, 500);
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let hour = RateLimit { burst: 2, interval: 3_600_000_000_000 };
    let file = WebFile::new(WebOptions { rate_limit: Some(hour), users: users("test"), ..plain() });
    let served = file.serve(LIMITS).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = get(served.address, "http", &ClientOptions::default(), &basic(ADMIN_TEST)).await;
        statuses.push(answer.map(|(status, _, body)| (status, body)).unwrap());
    }
    let fine = || (200, "HTTP/1.1 admin -".to_owned());
    assert_eq!(statuses, [fine(), fine(), (429, "Too Many Requests\n".to_owned())]);
}
