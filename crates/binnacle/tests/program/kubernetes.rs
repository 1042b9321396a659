//! Kubernetes discovery, from the API server's answers to `/api/v1/targets`. The recordings are those of
//! `shared/kube/recordings`: the lists of a cluster, and what Prometheus found there with the same configurations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use crate::site::{Program, Site};

pub(crate) const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: '@SERVER@'}}]
users: [{name: u, user: {token: t0ken}}]
";

/// A site whose configuration's `KUBECONFIG` leads to `server`.
fn site(server: &ApiServer, config: &str) -> Site {
    server.conduct(|conduct| conduct.token = Some("t0ken".into()));
    let site = Site::server(&config.replace("KUBECONFIG", "kubeconfig"));
    site.write("kubeconfig", &KUBECONFIG.replace("@SERVER@", &server.url()));
    site
}

/// Where two names of one pod become the same label, which of the two values is shown is chance.
fn without_chance(labels: &Value) -> Value {
    let mut labels = labels.clone();
    let names = ["label_a_b", "annotation_example_com_owner_team"];
    if labels["__meta_kubernetes_pod_name"] == "multi-port" {
        for name in names {
            let name = format!("__meta_kubernetes_pod_{name}");
            if !labels[&name].is_null() {
                labels[&name] = json!("either");
            }
        }
    }
    labels
}

fn sorted(mut values: Vec<Value>) -> Vec<String> {
    let mut texts: Vec<String> = values.drain(..).map(|value| value.to_string()).collect();
    texts.sort();
    texts
}

/// For each job: active targets by final labels and URL, dropped ones by discovered labels.
type Shown = BTreeMap<String, (Vec<String>, Vec<String>)>;

fn active(target: &Value) -> Value {
    let labels = without_chance(&target["labels"]);
    let mut labels = labels;
    if labels["pod"] == "multi-port" && !labels["a_b"].is_null() {
        labels["a_b"] = json!("either");
    }
    json!({"labels": labels, "url": target["scrapeUrl"]})
}

fn shown(program: &Program<'_>) -> Shown {
    let answer = program.get("/api/v1/targets").json();
    let mut jobs: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for target in answer["data"]["activeTargets"].as_array().unwrap() {
        let pool = target["scrapePool"].as_str().unwrap().to_owned();
        jobs.entry(pool).or_default().0.push(active(target));
    }
    for target in answer["data"]["droppedTargets"].as_array().unwrap() {
        let pool = target["scrapePool"].as_str().unwrap().to_owned();
        jobs.entry(pool).or_default().1.push(without_chance(&target["discoveredLabels"]));
    }
    jobs.into_iter().map(|(job, (active, dropped))| (job, (sorted(active), sorted(dropped)))).collect()
}

/// What Prometheus showed with the same configuration.
fn recorded(folder: &std::path::Path, name: &str) -> Shown {
    let mut jobs = Shown::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(job) = file.strip_prefix(&format!("{name}.")).and_then(|rest| rest.strip_suffix(".json"))
        else {
            continue;
        };
        let found: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let list = |key: &str| found[key].as_array().unwrap().clone();
        let active = list("active").iter().map(active).collect();
        let dropped = list("dropped").iter().map(|t| without_chance(&t["discoveredLabels"])).collect();
        jobs.insert(job.to_owned(), (sorted(active), sorted(dropped)));
    }
    jobs
}

/// The first differences, for a message that can be read.
fn differences(shown: &Shown, wanted: &Shown) -> Vec<String> {
    let mut told = Vec::new();
    let empty = (Vec::new(), Vec::new());
    for (job, wanted) in wanted {
        let shown = shown.get(job).unwrap_or(&empty);
        for (kind, shown, wanted) in [("active", &shown.0, &wanted.0), ("dropped", &shown.1, &wanted.1)] {
            if shown != wanted {
                let extra = shown.iter().find(|target| !wanted.contains(target));
                let missing = wanted.iter().find(|target| !shown.contains(target));
                let counts = format!("{} for {}", shown.len(), wanted.len());
                let (extra, missing) = apart(extra, missing);
                told.push(format!("{job} {kind}: {counts}\n extra {extra}\n missing {missing}"));
            }
        }
    }
    told
}

/// Of two targets only what one has and the other has not.
fn apart(one: Option<&String>, other: Option<&String>) -> (String, String) {
    let read = |text: Option<&String>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let (mut one, mut other) = (read(one).unwrap_or_default(), read(other).unwrap_or_default());
    if let (Some(one), Some(other)) = (one.as_object_mut(), other.as_object_mut()) {
        let same: Vec<String> = one
            .iter()
            .filter(|(key, value)| other.get(*key) == Some(value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in same.iter().filter(|key| !["__address__", "labels"].contains(&key.as_str())) {
            one.remove(key);
            other.remove(key);
        }
    }
    (one.to_string(), other.to_string())
}

fn recordings() -> Option<PathBuf> {
    testkit::shared("kube/recordings")
}

fn compare(name: &str) {
    let Some(folder) = recordings() else { return };
    let server = ApiServer::recorded(&folder.join("api/lists")).unwrap();
    let sd = folder.join("sd");
    let config = std::fs::read_to_string(sd.join(format!("{name}.config.yml"))).unwrap();
    let wanted = recorded(&sd, name);
    assert!(wanted.len() > 5);
    let site = site(&server, &config);
    let program = site.start();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let told = differences(&shown(&program), &wanted);
        if told.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{}", told.join("\n\n"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let requests = server.requests();
    let mut distinct = requests.clone();
    let neutral = |request: &mut String| {
        if let Some((before, after)) = request.clone().split_once("timeoutSeconds=") {
            *request = format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    };
    distinct.iter_mut().for_each(neutral);
    distinct.sort();
    distinct.dedup();
    if !crate::site::is_peer() {
        assert_eq!(requests.len(), distinct.len(), "each selection is asked for once: {requests:#?}");
    }
    println!("{name}: {} jobs equal, {} requests of the API server", wanted.len(), requests.len());
}

#[test]
fn every_role_discovers_what_prometheus_discovers() {
    compare("raw");
}

#[test]
fn every_role_has_the_active_targets_of_prometheus() {
    compare("plain");
}

#[test]
fn the_usual_recipes_make_the_targets_that_prometheus_makes() {
    compare("relabel");
}

/// The fixture of crate `discovery`: runs without the recordings, too.
const CLUSTER: &str = include_str!("../../../discovery/testdata/cluster.json");

#[test]
fn a_job_of_a_cluster_is_followed_and_an_api_server_that_is_away_takes_no_target() {
    let server = ApiServer::start().unwrap();
    let cluster: BTreeMap<String, Vec<Value>> = serde_json::from_str(CLUSTER).unwrap();
    for (resource, items) in cluster {
        server.load(&resource, &json!({"metadata": {"resourceVersion": "9"}, "items": items}).to_string());
    }
    let config = "
global: {scrape_interval: 1h}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod, kubeconfig_file: KUBECONFIG, attach_metadata: {namespace: true}}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_namespace_label_team], action: keep, regex: red}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_pod_name, __meta_kubernetes_pod_container_port_number], regex: '(.+);(.+);(.+)', target_label: __metrics_path__, replacement: '/pods/$1/$2:$3/metrics'}
  - {target_label: __address__, replacement: 'proxy.example:443'}
";
    let site = site(&server, config);
    let program = site.start();
    let urls = || {
        let answer = program.get("/api/v1/targets").json();
        let targets = answer["data"]["activeTargets"].as_array().unwrap().clone();
        let mut urls: Vec<String> =
            targets.iter().map(|t| t["scrapeUrl"].as_str().unwrap().to_owned()).collect();
        urls.sort();
        urls
    };
    let wait = |wanted: &[&str]| {
        program.wait_for(&format!("{wanted:?}"), |_| (urls() == wanted).then_some(()));
    };
    let url = |pod: &str| format!("http://proxy.example:443/pods/shop/{pod}/metrics");
    let web = [url("web-1:80"), url("web-1:81")];
    wait(&[&web[0], &web[1]]);

    // What is known goes on while the API server is away, and what happened meanwhile is caught up with.
    server.conduct(|conduct| conduct.refusals = vec![503; 2]);
    server.drop_connections();
    let mut new = server.get("/api/v1/pods", "shop", "web-1").unwrap();
    new["metadata"]["name"] = json!("new");
    server.put("/api/v1/pods", new);
    server.compact();
    assert_eq!(urls().len(), 2);
    let more = [url("new:80"), url("new:81")];
    wait(&[&more[0], &more[1], &web[0], &web[1]]);
    let page = program.get("/metrics").text();
    assert!(
        page.contains("prometheus_sd_discovered_targets{name=\"scrape\",config=\"pods\"} 5")
            || page.contains("prometheus_sd_discovered_targets{config=\"pods\",name=\"scrape\"} 5")
    );
}
