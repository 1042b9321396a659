//! Kubernetes discovery against a fake API server: every role on a small cluster, and that whatever happens to versions,
//! connections and pages, what is found in the end is what is there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support;
use discovery::{
    KubernetesAccess, KubernetesAttach, KubernetesBehaviour, KubernetesOptions, KubernetesRole,
    KubernetesSelector, Manager, Metrics, ProviderOptions, ServiceAccount, TargetSets,
};
use exposition::registry::Registry;
use httpclient::{Authorization, ClientOptions, Secret, Source};
use serde_json::{Value as Json, json};
use testkit::api_server::{ApiServer, StreamedLists, synthetic_pod};
use tokio::sync::watch;

const PODS: &str = "/api/v1/pods";
/// How long anything may take; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A fake cluster, and discovery that looks at it.
struct World {
    server: ApiServer,
    manager: Manager,
    found: watch::Receiver<TargetSets>,
    registry: Registry,
}

fn fixture() -> BTreeMap<String, Vec<Json>> {
    serde_json::from_str(include_str!("../../testdata/cluster.json")).unwrap()
}

fn load(server: &ApiServer) {
    for (resource, items) in fixture() {
        server.load(&resource, &json!({"metadata": {"resourceVersion": "100"}, "items": items}).to_string());
    }
}

fn behaviour() -> KubernetesBehaviour {
    KubernetesBehaviour {
        page: 2,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        ..KubernetesBehaviour::default()
    }
}

fn options(access: KubernetesAccess, role: KubernetesRole) -> KubernetesOptions {
    KubernetesOptions {
        access,
        role,
        own_namespace: false,
        namespaces: Vec::new(),
        selectors: Vec::new(),
        attach: KubernetesAttach::default(),
    }
}

impl World {
    fn new() -> Self {
        Self::with(behaviour())
    }

    fn with(behaviour: KubernetesBehaviour) -> Self {
        Self::handing_out_every(Duration::from_millis(60), behaviour)
    }

    fn handing_out_every(interval: Duration, behaviour: KubernetesBehaviour) -> Self {
        let registry = Registry::new();
        let manager = Manager::with_behaviour("scrape", &Metrics::register(&registry), interval, behaviour);
        let server = ApiServer::start().unwrap();
        load(&server);
        World { server, found: manager.subscribe(), manager, registry }
    }

    fn access(&self) -> KubernetesAccess {
        KubernetesAccess::Server { url: self.server.url(), client: Box::default() }
    }

    fn options(&self, role: KubernetesRole) -> KubernetesOptions {
        options(self.access(), role)
    }

    fn run(&self, options: KubernetesOptions) {
        self.run_all([options]);
    }

    /// Jobs `0`, `1`, …
    fn run_all<const N: usize>(&self, options: [KubernetesOptions; N]) {
        let jobs = options.into_iter().enumerate();
        self.manager.apply(
            jobs.map(|(i, options)| (i.to_string(), vec![ProviderOptions::Kubernetes(Box::new(options))])),
        );
    }

    /// The targets of a job as `source name=value …`, sorted; of the labels only those that `names` name, by what
    /// follows `__meta_kubernetes_`.
    fn targets_of(&mut self, job: &str, names: &[&str]) -> Vec<String> {
        let sets = self.found.borrow_and_update().clone();
        let mut lines: Vec<String> = sets
            .get(job)
            .into_iter()
            .flatten()
            .flat_map(|group| {
                (0..group.targets.len()).map(|i| {
                    let labels = group.labels_of(i);
                    let shown = names.iter().map(|name| {
                        let full = match *name {
                            "__address__" | "instance" => (*name).to_owned(),
                            rest => format!("__meta_kubernetes_{rest}"),
                        };
                        labels.value(&full).to_owned()
                    });
                    format!("{} {}", group.source, shown.collect::<Vec<_>>().join(" "))
                })
            })
            .collect();
        lines.sort();
        lines
    }

    /// Waits until job `job` has these targets.
    async fn wait_for(&mut self, job: &str, names: &[&str], wanted: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let have = self.targets_of(job, names);
            if have == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "job {job}: {have:#?} instead of {wanted:#?}");
            let _ = tokio::time::timeout(Duration::from_millis(200), self.found.changed()).await;
        }
    }

    async fn wait_for_pods(&mut self, wanted: &[&str]) {
        self.wait_for("0", &["__address__"], wanted).await;
    }

    async fn wait_for_requests(&self, what: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.requests(what) < count {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.server.requests());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn requests(&self, what: &str) -> usize {
        self.server.requests().iter().filter(|request| request.contains(what)).count()
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        support::metric(&self.registry, name, labels)
    }
}

const WEB_1: [&str; 3] =
    ["pod/odd/job-x fd00::3", "pod/shop/web-1 10.1.0.1:80", "pod/shop/web-1 10.1.0.1:81"];

fn pod(name: &str, ip: &str) -> Json {
    json!({"metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}, "status": {"podIP": ip}})
}

#[tokio::test]
async fn every_role_finds_its_objects() {
    roles_find_their_objects(true).await;
}

#[tokio::test]
async fn a_server_that_speaks_json_alone_is_understood() {
    roles_find_their_objects(false).await;
}

async fn roles_find_their_objects(protobuf: bool) {
    let mut world = World::new();
    world.server.conduct(|conduct| conduct.protobuf = protobuf);
    let all = KubernetesAttach { node: true, namespace: true, deployment: true, job: true, cron_job: true };
    let with = |role, attach| KubernetesOptions { attach, ..world.options(role) };
    let none = KubernetesAttach::default();
    world.run_all([
        with(KubernetesRole::Node, none),
        with(KubernetesRole::Pod, all),
        with(KubernetesRole::Service, all),
        with(KubernetesRole::Endpoints, all),
        with(KubernetesRole::EndpointSlice, none),
        with(KubernetesRole::Ingress, none),
    ]);
    world
        .wait_for(
            "0",
            &[
                "__address__",
                "instance",
                "node_name",
                "node_label_zone",
                "node_provider_id",
                "node_condition_ready",
                "node_address_Hostname",
            ],
            &["node/n1 10.0.0.1:10250 n1 n1 a cloud:///1 true n1"],
        )
        .await;
    world
        .wait_for(
            "1",
            &[
                "__address__",
                "namespace",
                "pod_ready",
                "pod_container_port_name",
                "node_label_zone",
                "namespace_label_team",
                "pod_deployment_name",
                "pod_job_name",
                "pod_cronjob_name",
            ],
            &[
                "pod/odd/job-x fd00::3 odd unknown  a   nightly-1 nightly",
                "pod/shop/web-1 10.1.0.1:80 shop true http a red web  ",
                "pod/shop/web-1 10.1.0.1:81 shop true admin a red web  ",
            ],
        )
        .await;
    world
        .wait_for(
            "2",
            &["__address__", "service_type", "service_cluster_ip", "namespace_label_team"],
            &["svc/shop/web web.shop.svc:80 ClusterIP 10.9.0.1 red"],
        )
        .await;
    world
        .wait_for(
            "3",
            &[
                "__address__",
                "endpoint_port_name",
                "endpoint_ready",
                "pod_name",
                "service_label_app",
                "pod_container_port_name",
                "node_name",
                "pod_deployment_name",
            ],
            &[
                "endpoints/shop/web 10.1.0.1:80 http true web-1 web http n1 web",
                "endpoints/shop/web 10.1.0.1:81   web-1 web admin  web",
            ],
        )
        .await;
    world
        .wait_for(
            "4",
            &[
                "__address__",
                "endpointslice_port",
                "endpointslice_endpoint_conditions_ready",
                "service_name",
                "pod_name",
                "node_name",
            ],
            &[
                "endpointslice/shop/web-abc 10.1.0.1:80 80 true web web-1 ",
                "endpointslice/shop/web-abc 10.1.0.1:81   web web-1 ",
            ],
        )
        .await;
    world
        .wait_for(
            "5",
            &["__address__", "ingress_scheme", "ingress_path"],
            &["ingress/shop/front a.example.com https /x", "ingress/shop/front b.c http /"],
        )
        .await;
    // Two jobs look at pods, three at services, and there is one watch of each.
    assert_eq!(world.requests("/pods"), 1);
    assert_eq!(world.requests("/services"), 1);
    let events = "prometheus_sd_kubernetes_events_total";
    assert_eq!(world.metric(events, &[("role", "pod"), ("event", "add")]), 3.0);
    assert_eq!(world.metric(events, &[("role", "service"), ("event", "add")]), 3.0);
    assert_eq!(world.metric("prometheus_sd_kubernetes_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn what_changes_in_the_cluster_changes_the_targets() {
    let mut world = World::new();
    let attach =
        KubernetesAttach { node: true, namespace: true, deployment: true, ..KubernetesAttach::default() };
    let endpoints = KubernetesOptions { attach, ..world.options(KubernetesRole::Endpoints) };
    let pods = KubernetesOptions { attach, ..world.options(KubernetesRole::Pod) };
    world.run_all([pods, endpoints]);
    world.wait_for_pods(&WEB_1).await;

    world.server.put(PODS, pod("new", "10.1.0.9"));
    let mut with_new = vec!["pod/odd/job-x fd00::3", "pod/shop/new 10.1.0.9:80"];
    with_new.extend(&WEB_1[1..]);
    world.wait_for_pods(&with_new).await;
    world.server.delete(PODS, "shop", "new");
    world.wait_for_pods(&WEB_1).await;

    // What is attached follows its own object, at every target that has it.
    let change = |resource: &str, namespace: &str, name: &str, pointer: &str, value: &str| {
        let mut object = world.server.get(resource, namespace, name).unwrap();
        *object.pointer_mut(pointer).unwrap() = json!(value);
        world.server.put(resource, object);
    };
    change("/api/v1/nodes", "", "n1", "/metadata/labels/zone", "b");
    change("/api/v1/namespaces", "", "shop", "/metadata/labels/team", "blue");
    change("/api/v1/services", "shop", "web", "/metadata/labels/app", "changed");
    change(PODS, "shop", "web-1", "/metadata/labels/app", "other");
    change("/apis/apps/v1/replicasets", "shop", "web-rs", "/metadata/ownerReferences/0/name", "web2");
    let names = [
        "__address__",
        "node_label_zone",
        "namespace_label_team",
        "pod_label_app",
        "pod_deployment_name",
        "service_label_app",
    ];
    world
        .wait_for(
            "0",
            &names,
            &[
                "pod/odd/job-x fd00::3 b    ",
                "pod/shop/web-1 10.1.0.1:80 b blue other web2 ",
                "pod/shop/web-1 10.1.0.1:81 b blue other web2 ",
            ],
        )
        .await;
    world
        .wait_for(
            "1",
            &names,
            &[
                "endpoints/shop/web 10.1.0.1:80 b blue other web2 changed",
                "endpoints/shop/web 10.1.0.1:81  blue other web2 changed",
            ],
        )
        .await;
}

#[tokio::test]
async fn namespaces_and_selectors_are_asked_of_the_server() {
    let mut world = World::new();
    let selector = |role, labels: &str, fields: &str| KubernetesSelector {
        role,
        labels: labels.to_owned(),
        fields: fields.to_owned(),
    };
    let pods = world.options(KubernetesRole::Pod);
    world.run_all([
        KubernetesOptions { namespaces: vec!["odd".into(), "absent".into()], ..pods.clone() },
        KubernetesOptions {
            selectors: vec![selector(KubernetesRole::Pod, "app in (web, db)", "")],
            ..pods.clone()
        },
        KubernetesOptions {
            selectors: vec![selector(KubernetesRole::Pod, "", "metadata.namespace!=shop")],
            ..pods.clone()
        },
    ]);
    world.wait_for("0", &["__address__"], &WEB_1[..1]).await;
    world.wait_for("1", &["__address__"], &WEB_1[1..]).await;
    world.wait_for("2", &["__address__"], &WEB_1[..1]).await;
    assert_eq!(world.requests("/namespaces/odd/pods"), 1);
    // An object that leaves the selection is gone.
    let mut web = world.server.get(PODS, "shop", "web-1").unwrap();
    web["metadata"]["labels"]["app"] = json!("none");
    world.server.put(PODS, web);
    world.wait_for("1", &["__address__"], &[]).await;
}

#[tokio::test]
async fn a_server_that_does_not_stream_lists_is_asked_page_by_page() {
    for refusal in [StreamedLists::RefusedInStream, StreamedLists::RefusedByStatus] {
        let mut world = World::new();
        world.server.conduct(|conduct| conduct.streamed_lists = refusal);
        world.run(world.options(KubernetesRole::Pod));
        world.wait_for_pods(&WEB_1).await;
        assert_eq!(world.requests("limit=2"), 2, "three pods in pages of two");
        world.server.put(PODS, pod("new", "10.1.0.9"));
        world.wait_for_pods(&["pod/odd/job-x fd00::3", "pod/shop/new 10.1.0.9:80", WEB_1[1], WEB_1[2]]).await;
        assert_eq!(world.requests("sendInitialEvents"), 1, "it is not tried again and again");
    }
}

#[tokio::test]
async fn pages_that_expire_are_asked_for_in_one_piece() {
    let mut world = World::new();
    world.server.conduct(|conduct| {
        conduct.streamed_lists = StreamedLists::RefusedByStatus;
        conduct.pages_expire = true;
    });
    world.run(world.options(KubernetesRole::Pod));
    world.wait_for_pods(&WEB_1).await;
}

#[tokio::test]
async fn a_version_that_is_too_old_brings_the_full_state_again() {
    for (by_status, streamed_lists) in [
        (false, StreamedLists::Served),
        (true, StreamedLists::Served),
        (false, StreamedLists::RefusedByStatus),
        (true, StreamedLists::RefusedByStatus),
    ] {
        let mut world = World::new();
        world.server.conduct(|conduct| {
            conduct.expired_by_status = by_status;
            conduct.streamed_lists = streamed_lists;
        });
        world.run(world.options(KubernetesRole::Pod));
        world.wait_for_pods(&WEB_1).await;
        world.wait_for_requests("/pods?allowWatchBookmarks", 1).await;
        // While nobody watches one pod comes and one goes, and then nobody remembers.
        world.server.conduct(|conduct| conduct.refusals = vec![503; 3]);
        world.server.drop_connections();
        world.server.put(PODS, pod("new", "10.1.0.9"));
        world.server.delete(PODS, "odd", "job-x");
        world.server.compact();
        world.wait_for_pods(&["pod/shop/new 10.1.0.9:80", WEB_1[1], WEB_1[2]]).await;
        assert!(world.metric("prometheus_sd_kubernetes_failures_total", &[]) >= 3.0);
    }
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let mut world = World::new();
    world.run(world.options(KubernetesRole::Pod));
    world.wait_for_pods(&WEB_1).await;
    for round in 0..5 {
        let name = format!("new-{round}");
        world.server.put(PODS, pod(&name, &format!("10.1.0.{}", 10 + round)));
        world.server.drop_connections();
        world.server.delete(PODS, "shop", &format!("new-{}", round - 1));
        let new = format!("pod/shop/{name} 10.1.0.{}:80", 10 + round);
        world.wait_for_pods(&[WEB_1[0], &new, WEB_1[1], WEB_1[2]]).await;
    }
    assert_eq!(world.requests("sendInitialEvents"), 1, "nothing is asked for twice");
    // The watch that ends as agreed goes on as well, from the version of a bookmark.
    world.server.put("/api/v1/nodes", json!({"metadata": {"name": "n2"}}));
    world.server.bookmark();
    let mark = world.server.get("/api/v1/nodes", "", "n2").unwrap();
    let mark = mark["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    // The stub tells of bookmarks when it gets to it; another one does no harm.
    let deadline = Instant::now() + PATIENCE;
    while world.requests(&format!("resourceVersion={mark}")) == 0 {
        assert!(Instant::now() < deadline, "{:#?}", world.server.requests());
        world.server.bookmark();
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.server.drop_connections();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_loses_nothing() {
    // From the first byte to beyond the last one of the initial events.
    for (i, cut) in (1..3_000).step_by(105).enumerate() {
        let mut world = World::new();
        world.server.conduct(|conduct| {
            conduct.cut_after = Some(cut);
            conduct.protobuf = i % 2 == 0;
        });
        world.run(world.options(KubernetesRole::Pod));
        world.wait_for_pods(&WEB_1).await;
    }
}

#[tokio::test]
async fn refusals_are_counted_and_tried_again() {
    let mut world = World::new();
    world.server.conduct(|conduct| conduct.refusals = vec![401, 403, 429, 500]);
    world.run(world.options(KubernetesRole::Pod));
    world.wait_for_pods(&WEB_1).await;
    assert_eq!(world.metric("prometheus_sd_kubernetes_failures_total", &[]), 4.0);
    let answers = "prometheus_sd_kubernetes_http_request_total";
    assert_eq!(world.metric(answers, &[("status_code", "403")]), 1.0);
    assert_eq!(world.metric(answers, &[("status_code", "200")]), 1.0);
}

#[tokio::test]
async fn a_server_that_is_not_reached_is_counted() {
    let world = World::new();
    // Nobody listens at port 1.
    let access = KubernetesAccess::Server { url: "http://127.0.0.1:1".to_owned(), client: Box::default() };
    world.run(options(access, KubernetesRole::Pod));
    let deadline = Instant::now() + PATIENCE;
    while world.metric("prometheus_sd_kubernetes_failures_total", &[]) < 2.0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let requests = "prometheus_sd_kubernetes_http_request_total";
    assert!(world.metric(requests, &[("status_code", "<error>")]) >= 2.0);
}

#[tokio::test]
async fn rotated_tokens_are_read_again_and_the_own_namespace_is_that_of_the_pod() {
    let mut world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    world.server.conduct(|conduct| conduct.token = Some("first".into()));
    let client = ClientOptions {
        authorization: Some(Authorization {
            kind: "Bearer".into(),
            credentials: Some(Source::File(token.clone())),
        }),
        ..ClientOptions::default()
    };
    let access = KubernetesAccess::Server { url: world.server.url(), client: Box::new(client) };
    world.run(options(access, KubernetesRole::Pod));
    world.wait_for_pods(&WEB_1).await;
    world.server.conduct(|conduct| conduct.token = Some("second".into()));
    std::fs::write(&token, "second\n").unwrap();
    world.server.drop_connections();
    world.server.delete(PODS, "odd", "job-x");
    world.wait_for_pods(&WEB_1[1..]).await;

    std::fs::write(folder.path().join("namespace"), "shop").unwrap();
    let account =
        ServiceAccount { host: "127.0.0.1".into(), port: "1".into(), folder: folder.path().to_owned() };
    assert_eq!(account.namespace().await.unwrap(), "shop");
}

#[tokio::test]
async fn a_kubeconfig_says_how_the_server_is_reached() {
    let mut world = World::new();
    world.server.conduct(|conduct| conduct.token = Some("t".into()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    world.run(options(KubernetesAccess::KubeConfig(path.clone()), KubernetesRole::Pod));
    // It may come later than we do.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let text = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": world.server.url()}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    world.wait_for_pods(&WEB_1).await;
    assert_eq!(format!("{:?}", Secret::from("t")), "<secret>");
}

#[tokio::test]
async fn a_changed_pod_is_handed_out_within_a_second() {
    let mut world = World::handing_out_every(Duration::from_secs(5), KubernetesBehaviour::default());
    let items: Vec<Json> = (0..2_000).map(synthetic_pod).collect();
    world.server.load(PODS, &json!({"metadata": {"resourceVersion": "200"}, "items": items}).to_string());
    world.run(world.options(KubernetesRole::Pod));
    let count = |found: &mut watch::Receiver<TargetSets>| {
        found
            .borrow_and_update()
            .get("0")
            .map_or(0, |groups| groups.iter().map(|g| g.targets.len()).sum::<usize>())
    };
    let deadline = Instant::now() + PATIENCE;
    while count(&mut world.found) < 6_000 {
        assert!(Instant::now() < deadline);
        let _ = tokio::time::timeout(Duration::from_millis(100), world.found.changed()).await;
    }
    // While others change all the time.
    let churn = Instant::now();
    let mut round = 0;
    while churn.elapsed() < Duration::from_secs(3) {
        let mut pod = synthetic_pod(round % 100);
        pod["status"]["podIP"] = json!(format!("10.201.0.{}", round % 250));
        world.server.put(PODS, pod);
        round += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.server.put(PODS, pod("new", "10.200.0.1"));
    let start = Instant::now();
    while count(&mut world.found) < 6_001 {
        assert!(start.elapsed() < PATIENCE);
        let _ = tokio::time::timeout(Duration::from_millis(10), world.found.changed()).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn recorded_watches_lead_to_the_recorded_end() {
    let Some(folder) = testkit::shared("kube/recordings/api") else { return };
    // The state in the middle of the recording, then event by event what happened to one namespace's pods, with the
    // connection broken or the history forgotten after each.
    for (compacted, streamed, protobuf) in [
        (false, StreamedLists::Served, true),
        (false, StreamedLists::Served, false),
        (true, StreamedLists::Served, true),
        (true, StreamedLists::RefusedInStream, true),
        (true, StreamedLists::RefusedInStream, false),
    ] {
        let mut world = World::new();
        world.server.conduct(|conduct| {
            conduct.streamed_lists = streamed;
            conduct.protobuf = protobuf;
        });
        world.server.load_folder(&folder.join("lists")).unwrap();
        world.run(world.options(KubernetesRole::Pod));
        let names = ["__address__", "namespace", "pod_name", "pod_phase", "pod_ready", "pod_container_id"];
        let deadline = Instant::now() + PATIENCE;
        while world.targets_of("0", &names).len() < 60 {
            assert!(Instant::now() < deadline, "{}", world.targets_of("0", &names).len());
            let _ = tokio::time::timeout(Duration::from_millis(100), world.found.changed()).await;
        }
        let before = world.targets_of("0", &names);
        let events = std::fs::read_to_string(folder.join("watch/pods.jsonl")).unwrap();
        for line in events.lines() {
            world.server.replay(PODS, line);
            if compacted {
                world.server.compact();
            }
            world.server.drop_connections();
        }
        // A fresh look at the same server is the truth.
        let mut fresh = World::new();
        let access = world.access();
        fresh.run(options(access, KubernetesRole::Pod));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (one, other) = (world.targets_of("0", &names), fresh.targets_of("0", &names));
            if one == other && one.len() >= before.len() {
                break;
            }
            assert!(Instant::now() < deadline, "{one:#?} {other:#?}");
            let _ = tokio::time::timeout(Duration::from_millis(50), world.found.changed()).await;
        }
        // Everything that came in that time went again.
        assert_eq!(world.targets_of("0", &names), before);
    }
}

#[tokio::test]
async fn a_service_of_two_families_has_the_targets_of_its_first_one() {
    let mut world = World::new();
    let service = |policy: &str, families: Json| {
        json!({"metadata": {"name": "web", "namespace": "shop"},
            "spec": {"ipFamilyPolicy": policy, "ipFamilies": families, "ports": [{"port": 80, "protocol": "TCP"}]}})
    };
    let slices = "/apis/discovery.k8s.io/v1/endpointslices";
    world.server.put(
        slices,
        json!({"metadata": {"name": "web-six", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"], "conditions": {}}], "ports": [{"port": 80}]}),
    );
    let six = "endpointslice/shop/web-six [fd00::1]:80";
    let four = ["endpointslice/shop/web-abc 10.1.0.1:80", "endpointslice/shop/web-abc 10.1.0.1:81"];
    world.run(world.options(KubernetesRole::EndpointSlice));
    world.wait_for_pods(&[four[0], four[1], six]).await;
    world.server.put("/api/v1/services", service("PreferDualStack", json!(["IPv6", "IPv4"])));
    world.wait_for_pods(&[six]).await;
    world.server.put("/api/v1/services", service("RequireDualStack", json!(["IPv4", "IPv6"])));
    world.wait_for_pods(&four).await;
    world.server.put("/api/v1/services", service("SingleStack", json!(["IPv4"])));
    world.wait_for_pods(&[four[0], four[1], six]).await;
}

#[tokio::test]
async fn a_load_balancers_addresses_are_those_of_its_status() {
    let mut world = World::new();
    let put = |name: &str, spec: Json, ingress: Json| {
        let mut spec = spec;
        spec["type"] = json!("LoadBalancer");
        spec["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
        let status = json!({"loadBalancer": {"ingress": ingress}});
        let metadata = json!({"name": name, "namespace": "lb"});
        world.server.put("/api/v1/services", json!({"metadata": metadata, "spec": spec, "status": status}));
    };
    put(
        "both",
        json!({"loadBalancerIP": "9.9.9.9"}),
        json!([{"ip": "1.1.1.1"}, {"hostname": "h"}, {"ip": "fd00::1"}]),
    );
    put("asked", json!({"loadBalancerIP": "9.9.9.9"}), json!([{"hostname": "h"}]));
    put("none", json!({}), json!(null));
    world.run(KubernetesOptions { namespaces: vec!["lb".into()], ..world.options(KubernetesRole::Service) });
    let wanted = ["svc/lb/asked 9.9.9.9", "svc/lb/both 1.1.1.1,fd00::1", "svc/lb/none "];
    world.wait_for("0", &["service_loadbalancer_ip"], &wanted).await;
}
