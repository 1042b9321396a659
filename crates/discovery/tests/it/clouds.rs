//! How clouds are asked. (What targets look like is compared with Prometheus in the tests of `config`.)

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use cloudauth::{AccountOptions, Environment};
use discovery::{AwsOptions, Manager, Metrics, MskOptions, ProviderOptions};
use exposition::Registry;
use httpclient::ClientOptions;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

const AT_ONCE: usize = 3;
const CLUSTERS: usize = 6;

/// Answers requests when so many are under way as there may be.
struct Service {
    all_there: Barrier,
    under_way: AtomicUsize,
    most: AtomicUsize,
    answered: AtomicUsize,
}

impl Service {
    async fn serve(self: Arc<Self>, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
            }
            let under_way = self.under_way.fetch_add(1, SeqCst) + 1;
            self.most.fetch_max(under_way, SeqCst);
            self.all_there.wait().await;
            self.under_way.fetch_sub(1, SeqCst);
            self.answered.fetch_add(1, SeqCst);
            let body = r#"{"clusterInfo":{"clusterArn":"c"},"nodeInfoList":[]}"#;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_are_under_way_as_may_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = Arc::new(Service {
        all_there: Barrier::new(AT_ONCE),
        under_way: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
    });
    tokio::spawn({
        let service = service.clone();
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(service.clone().serve(stream));
            }
        }
    });
    let manager = Manager::new("scrape", &Metrics::register(&Registry::new()), Duration::from_millis(200));
    let account = AccountOptions {
        region: "r".to_owned(),
        access_key: "a".to_owned(),
        secret_key: "s".into(),
        ..AccountOptions::default()
    };
    let aws = AwsOptions {
        account,
        endpoint,
        port: 80,
        at_once: AT_ONCE,
        refresh_interval: Duration::from_secs(3600),
        client: ClientOptions::default(),
        environment: Environment::default(),
    };
    let clusters = (0..CLUSTERS).map(|i| format!("c{i}")).collect();
    let options = ProviderOptions::Msk(Box::new(MskOptions { aws, clusters }));
    manager.apply([("j".to_owned(), vec![options])]);
    // Each cluster is described, and then its nodes are listed.
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        while service.answered.load(SeqCst) < 2 * CLUSTERS {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(asked.await.is_ok(), "{} answered", service.answered.load(SeqCst));
    assert_eq!(service.most.load(SeqCst), AT_ONCE);
}
