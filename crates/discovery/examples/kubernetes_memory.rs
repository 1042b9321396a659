//! What discovery of many pods takes: `kubernetes_memory [json] [PODS]`. A fake API server runs as a process of its own.
//!
//! Prints resident memory before and after, at its most, and how long it takes until a changed pod is handed out.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use discovery::{
    KubernetesAccess, KubernetesAttach, KubernetesOptions, KubernetesRole, Manager, Metrics, ProviderOptions,
    TargetSets,
};
use exposition::registry::Registry;
use serde_json::json;
use testkit::api_server::{ApiServer, synthetic_pod};
use tokio::sync::watch::Receiver;

const PODS: &str = "/api/v1/pods";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [word, encoding, count] if word == "serve" => serve(encoding, count.parse().unwrap()),
        rest => {
            let (encoding, rest) = match rest.split_first() {
                Some((first, rest)) if first == "json" => ("json", rest),
                _ => ("protobuf", rest),
            };
            measure(encoding, rest.first().map_or(30_000, |count| count.parse().unwrap()));
        }
    }
}

fn serve(encoding: &str, count: usize) {
    let server = ApiServer::start().unwrap();
    server.conduct(|conduct| conduct.protobuf = encoding == "protobuf");
    server.load(PODS, r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#);
    (0..count).for_each(|i| server.put(PODS, synthetic_pod(i)));
    println!("{}", server.url());
    for line in std::io::stdin().lock().lines() {
        let i: usize = line.unwrap().parse().unwrap();
        let mut pod = synthetic_pod(i);
        pod["status"]["podIP"] = json!("10.255.0.1");
        server.put(PODS, pod);
    }
}

fn memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn measure(encoding: &str, count: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", encoding, &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let mut control = child.stdin.take().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let before = memory("VmRSS");
    runtime.block_on(async {
        let manager = Manager::new("scrape", &Metrics::register(&Registry::new()), Duration::from_secs(5));
        let mut found = manager.subscribe();
        let options = KubernetesOptions {
            access: KubernetesAccess::Server { url: url.trim().to_owned(), client: Box::default() },
            role: KubernetesRole::Pod,
            own_namespace: false,
            namespaces: Vec::new(),
            selectors: Vec::new(),
            attach: KubernetesAttach::default(),
        };
        let start = Instant::now();
        manager.apply([("pods".to_owned(), vec![ProviderOptions::Kubernetes(Box::new(options))])]);
        wait(&mut found, |sets| sets.get("pods").is_some_and(|groups| groups.len() == count)).await;
        let took = start.elapsed();
        let cpu = cpu_seconds();
        let text: usize = {
            let sets = found.borrow();
            let groups = sets.get("pods").unwrap();
            groups
                .iter()
                .map(|g| (0..g.targets.len()).map(|i| g.labels_of(i).as_bytes().len()).sum::<usize>())
                .sum()
        };
        println!(
            "{count} pods found in {:.2} s with {cpu:.2} s of CPU; their targets have {} MB of labels",
            took.as_secs_f64(),
            text >> 20
        );
        println!(
            "resident before {before:.1} MiB, now {:.1} MiB, most {:.1} MiB",
            memory("VmRSS"),
            memory("VmHWM")
        );
        println!("a pod: {:.0} bytes", (memory("VmRSS") - before) * 1024.0 * 1024.0 / count as f64);
        tokio::time::sleep(Duration::from_secs(6)).await;
        for i in [0, count / 2, count - 1] {
            let start = Instant::now();
            writeln!(control, "{i}").unwrap();
            let name = synthetic_pod(i)["metadata"]["name"].as_str().unwrap().to_owned();
            wait(&mut found, |sets| {
                sets.get("pods").into_iter().flatten().any(|group| {
                    group.source.ends_with(&name)
                        && group.labels_of(0).value("__meta_kubernetes_pod_ip") == "10.255.0.1"
                })
            })
            .await;
            println!("a changed pod was handed out after {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        }
    });
    drop(control);
    let _ = child.wait();
}

async fn wait(found: &mut Receiver<TargetSets>, done: impl Fn(&TargetSets) -> bool) {
    while !done(&found.borrow_and_update().clone()) {
        found.changed().await.unwrap();
    }
}

/// What this process has used so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // In hundredths of a second.
    let ticks: u32 = after_name[11..13].iter().map(|field| field.parse::<u32>().unwrap()).sum();
    f64::from(ticks) / 100.0
}
