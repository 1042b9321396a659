//! What changes in a service, and what stays when it fails. (What targets look like is compared with Prometheus in the
//! tests of `config`.)
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{self, until};
use discovery::{
    ADDRESS, ConsulOptions, DockerOptions, KumaOptions, Manager, MarathonOptions, Metrics, ProviderOptions,
    TargetSets,
};
use exposition::Registry;
use httpclient::ClientOptions;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

/// What a server has: for the beginning of a request the answer.
#[derive(Clone, Default)]
struct Service {
    routes: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    /// The index of everything; a request that knows it waits for another one.
    index: watch::Sender<u64>,
}

impl Service {
    fn put(&self, request: &str, status: u16, body: &str) {
        self.routes.lock().insert(request.to_owned(), (status, body.to_owned()));
        self.index.send_modify(|index| *index += 1);
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let start = head.len();
                if stream.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
                if let Some(value) = head[start..].to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut content = vec![0; length];
            stream.read_exact(&mut content).await.ok()?;
            let known: Option<u64> =
                head.split_once("index=").and_then(|(_, rest)| rest.split(['&', ' ']).next()?.parse().ok());
            if let Some(known) = known {
                self.index.subscribe().wait_for(|index| *index != known).await.ok()?;
            }
            let routes = self.routes.lock().clone();
            let route = routes.iter().rev().find(|(request, _)| head.starts_with(*request));
            let (status, body) = route.map_or((404, String::new()), |(_, answer)| answer.clone());
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nApi-Version: 1.41\r\nX-Consul-Index: {}\r\n\r\n",
                body.len(),
                *self.index.borrow()
            );
            let body = if head.starts_with("HEAD") { "" } else { &body };
            stream.write_all((answer + body).as_bytes()).await.ok()?;
        }
    }
}

struct World {
    manager: Manager,
    registry: Registry,
    service: Service,
    host: String,
}

impl World {
    async fn new() -> Self {
        let registry = Registry::new();
        let manager = Manager::new("scrape", &Metrics::register(&registry), Duration::from_millis(60));
        let service = Service::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn({
            let service = service.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(service.clone().serve(stream));
                }
            }
        });
        World { manager, registry, service, host }
    }

    fn run(&self, options: ProviderOptions) {
        self.manager.apply([("j".to_owned(), vec![options])]);
    }

    async fn finds(&self, want: &[&str]) {
        until(&self.manager, Duration::from_secs(20), addresses, want).await;
    }

    /// Waits until a counter is above `more`.
    async fn counts(&self, name: &str, more: f64) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.metric(name) <= more {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(waited.await.is_ok(), "{name} is {}", self.metric(name));
    }

    fn metric(&self, name: &str) -> f64 {
        support::metric(&self.registry, name, &[])
    }
}

fn addresses(sets: &TargetSets) -> Vec<String> {
    let groups = sets.get("j").into_iter().flatten();
    let addresses =
        groups.flat_map(|group| group.targets.iter().map(|target| target.value(ADDRESS).to_owned()));
    let mut addresses: Vec<String> = addresses.collect();
    addresses.sort();
    addresses
}

const SHORT: Duration = Duration::from_millis(20);

fn consul(server: &str) -> ConsulOptions {
    ConsulOptions {
        server: server.to_owned(),
        scheme: "http".into(),
        path_prefix: String::new(),
        token: None,
        datacenter: "dc1".into(),
        namespace: String::new(),
        partition: String::new(),
        tag_separator: ",".into(),
        allow_stale: true,
        refresh_interval: SHORT,
        services: Vec::new(),
        tags: Vec::new(),
        node_meta: BTreeMap::new(),
        filter: String::new(),
        health_filter: String::new(),
        client: ClientOptions::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_consul_come_change_and_go() {
    let world = World::new().await;
    let instance = |port: u16| {
        format!(r#"[{{"Node":{{"Address":"10.0.0.1"}},"Service":{{"Port":{port}}},"Checks":[]}}]"#)
    };
    let services = "GET /v1/catalog/services";
    world.service.put("GET /v1/health/service/web", 200, &instance(1));
    world.service.put("GET /v1/health/service/db", 200, &instance(2));
    world.service.put(services, 200, r#"{"web":[]}"#);
    world.run(ProviderOptions::Consul(Box::new(consul(&world.host))));
    world.finds(&["10.0.0.1:1"]).await;
    world.service.put(services, 200, r#"{"web":[],"db":["a"]}"#);
    world.finds(&["10.0.0.1:1", "10.0.0.1:2"]).await;
    world.service.put("GET /v1/health/service/web", 200, &instance(3));
    world.finds(&["10.0.0.1:2", "10.0.0.1:3"]).await;
    world.service.put(services, 200, r#"{"db":["a"]}"#);
    world.finds(&["10.0.0.1:2"]).await;
    // Nothing that fails takes targets away.
    let failures = world.metric("prometheus_sd_consul_rpc_failures_total");
    world.service.put("GET /v1/health/service/db", 500, "rpc error");
    world.service.put(services, 200, "[]");
    world.counts("prometheus_sd_consul_rpc_failures_total", failures + 1.0).await;
    world.finds(&["10.0.0.1:2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_marathon_that_are_gone_lose_their_targets() {
    let world = World::new().await;
    let app = |id: &str| format!(r#"{{"id":"{id}","tasks":[{{"id":"t","host":"{id}","ports":[1]}}]}}"#);
    let apps = |ids: &[&str]| {
        format!(r#"{{"apps":[{}]}}"#, ids.iter().map(|id| app(id)).collect::<Vec<_>>().join(","))
    };
    world.service.put("GET /v2/apps/", 200, &apps(&["a", "b"]));
    world.run(ProviderOptions::Marathon(Box::new(MarathonOptions {
        servers: vec![format!("http://{}", world.host)],
        token: None,
        refresh_interval: SHORT,
        client: ClientOptions::default(),
    })));
    world.finds(&["a:1", "b:1"]).await;
    world.service.put("GET /v2/apps/", 503, "");
    world.counts("prometheus_sd_refresh_failures_total", 1.0).await;
    world.finds(&["a:1", "b:1"]).await;
    world.service.put("GET /v2/apps/", 200, &apps(&["b"]));
    world.finds(&["b:1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_keeps_its_targets_while_nothing_new_is_told() {
    const TYPE: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
    let world = World::new().await;
    let answer = |address: &str, kind: &str| {
        format!(
            r#"{{"version_info":"1","type_url":"{TYPE}","resources":[{{"@type":"{kind}","mesh":"m","targets":[{{"name":"n","address":"{address}"}}]}}]}}"#
        )
    };
    let fetch = "POST /v3/discovery:monitoringassignments?fetch-timeout=";
    world.service.put(fetch, 200, &answer("a:1", TYPE));
    world.run(ProviderOptions::Kuma(Box::new(KumaOptions {
        server: format!("http://{}", world.host),
        client_id: String::new(),
        refresh_interval: SHORT,
        fetch_timeout: Duration::from_secs(60),
        client: ClientOptions::default(),
    })));
    world.finds(&["a:1"]).await;
    world.service.put(fetch, 304, "");
    world.counts("prometheus_sd_kuma_fetch_skipped_updates_total", 1.0).await;
    for (status, body) in [(500, String::new()), (200, "{".to_owned()), (200, answer("x:1", "other"))] {
        let failures = world.metric("prometheus_sd_kuma_fetch_failures_total");
        world.service.put(fetch, status, &body);
        world.counts("prometheus_sd_kuma_fetch_failures_total", failures + 1.0).await;
    }
    world.finds(&["a:1"]).await;
    world.service.put(fetch, 200, &answer("b:2", TYPE));
    world.finds(&["b:2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_and_an_agent_are_asked_over_their_sockets() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let service = world.service.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(service.clone().serve(stream));
        }
    });
    let containers = r#"[{"Id":"c","Names":["/c"],"Ports":[],"HostConfig":{"NetworkMode":"n"},"NetworkSettings":{"Networks":{"n":{"NetworkID":"1","IPAddress":"172.17.0.2"}}}}]"#;
    world.service.put("HEAD /_ping", 200, "OK");
    world.service.put("GET /v1.41/containers/json ", 200, containers);
    world.service.put("GET /v1.41/networks ", 200, "[]");
    let host = format!("unix://{}", path.display());
    world.run(ProviderOptions::Docker(Box::new(DockerOptions {
        host: host.clone(),
        port: 80,
        filters: Vec::new(),
        host_networking_host: "localhost".into(),
        refresh_interval: Duration::from_secs(60),
        match_first_network: true,
        client: ClientOptions::default(),
    })));
    world.finds(&["172.17.0.2:80"]).await;

    let instance = r#"[{"Node":{"Address":"10.0.0.1"},"Service":{"Port":7},"Checks":[]}]"#;
    world.service.put("GET /v1/catalog/services", 200, r#"{"web":[]}"#);
    world.service.put("GET /v1/health/service/web", 200, instance);
    world.run(ProviderOptions::Consul(Box::new(consul(&host))));
    world.finds(&["10.0.0.1:7"]).await;
}
