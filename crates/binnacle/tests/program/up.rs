//! `binnacle up`: the main job, from the first start to the second.

use std::collections::BTreeMap;

use crate::site::{Program, Site, is_peer};
use crate::web::Secure;

/// Seconds by CPU and mode, as the kernel counts them; only the modes that never go back.
fn cpu_seconds() -> BTreeMap<(String, String), f64> {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks = 100.0;
    let mut all = BTreeMap::new();
    for line in stat.lines() {
        let mut fields = line.split_whitespace();
        let Some(cpu) = fields.next().and_then(|f| f.strip_prefix("cpu")).filter(|c| !c.is_empty()) else {
            continue;
        };
        let values: Vec<f64> = fields.map(|v| v.parse().unwrap()).collect();
        for (mode, at) in [("user", 0), ("nice", 1), ("system", 2), ("softirq", 6)] {
            all.insert((cpu.to_owned(), mode.to_owned()), values[at] / ticks);
        }
    }
    all
}

fn meminfo(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|l| l.starts_with(&format!("{key}:"))).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn shown_cpu_seconds(program: &Program<'_>) -> BTreeMap<(String, String), f64> {
    let shown = program.query("node_cpu_seconds_total{mode=~\"user|nice|system|softirq\"}");
    shown.into_iter().map(|(l, v)| ((l["cpu"].clone(), l["mode"].clone()), v)).collect()
}

#[test]
fn up_watches_itself_and_this_machine_and_remembers_it() {
    if is_peer() {
        return;
    }
    let site = Site::up();
    let before = cpu_seconds();
    let program = site.start();
    program.wait_for_value("sum(up)", 2.0);
    assert_eq!(program.value("count(up)"), Some(2.0));
    let after = cpu_seconds();

    let shown = shown_cpu_seconds(&program);
    assert_eq!(shown.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (key, value) in &shown {
        assert!(
            (before[key]..=after[key]).contains(value),
            "{key:?}: {} {value} {}",
            before[key],
            after[key]
        );
    }
    let total = meminfo("MemTotal");
    assert_eq!(program.value("node_memory_MemTotal_bytes"), Some(total));
    let (available, now) =
        (program.value("node_memory_MemAvailable_bytes").unwrap(), meminfo("MemAvailable"));
    assert!((available - now).abs() < total * 0.25, "{available} {now}");
    // Itself, under the names that dashboards for Prometheus read.
    let own = program.query("prometheus_build_info{job=\"binnacle\"}");
    assert_eq!(own.len(), 1);
    assert!(program.value("prometheus_tsdb_head_series{job=\"binnacle\"}").unwrap() >= 0.0);

    let samples = program.samples("{__name__=~\"up|node_cpu_seconds_total\"}[5m]", None);
    assert!(samples.len() > 2);
    let (status, log) = program.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("level=ERROR"), "{log}");
    assert!(log.contains(&format!("http://127.0.0.1:{}/", site.port)), "where to look is said: {log}");

    let mut shape: Vec<_> = std::fs::read_dir(site.path("data"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    shape.sort();
    assert!(shape.contains(&"wal".to_owned()) && shape.contains(&"chunks_head".to_owned()), "{shape:?}");
    assert!(site.path("data/wal/00000000").is_file());

    let again = site.start();
    let remembered = again.samples("{__name__=~\"up|node_cpu_seconds_total\"}[5m]", None);
    for (labels, points) in &samples {
        let now = remembered.get(labels).unwrap_or_else(|| panic!("{labels:?} is forgotten"));
        assert!(points.iter().all(|(t, v)| now.get(t) == Some(v)), "{labels:?}: {points:?} {now:?}");
    }
    again.interrupt();
}

#[test]
fn the_printed_configuration_runs_as_a_server() {
    if is_peer() {
        return;
    }
    let site = Site::up();
    let printed = site.command().arg("--print-config").output().unwrap();
    assert!(printed.status.success());
    let text = String::from_utf8(printed.stdout).unwrap();
    let own_port = format!("127.0.0.1:{}", site.port);
    assert!(text.contains(&own_port), "{text}");
    // Sooner than every 15 s, to be done sooner.
    let quick =
        text.replace("scrape_interval: 15s", "scrape_interval: 1s").replace("timeout: 10s", "timeout: 1s");
    assert_ne!(quick, text);

    let server = Site::server(&quick.replace(&own_port, "127.0.0.1:@PORT@"));
    let program = server.start();
    program.wait_for_value("sum(up)", 2.0);
    assert_eq!(program.value("count(up)"), Some(2.0));
    assert_eq!(program.scraped("node"), ("up".to_owned(), String::new()));
}

#[test]
fn up_watches_itself_behind_passwords_certificates_and_a_prefix() {
    if is_peer() {
        return;
    }
    let site = Site::up().flag("--web.route-prefix=/p");
    site.write(
        "web.yml",
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n\
         basic_auth_users: {admin: '$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay'}\n",
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    site.write("cert.pem", &params.self_signed(&key).unwrap().pem());
    site.write("key.pem", &key.serialize_pem());
    let flag = format!("--web.config.file={}", site.path("web.yml").display());
    let site = site.flag(&flag);
    let program = site.launch();
    let secure = Secure::of(&site);
    let answer = program.wait_for("scrapes", |_| {
        let (status, text) = secure.get("/p/api/v1/query?query=sum(up)").ok()?;
        (status == 200 && text.contains(",\"2\"]")).then_some(text)
    });
    assert!(answer.contains("success"));
    let (_, up) = secure.get("/p/api/v1/query?query=up").unwrap();
    assert!(up.contains(&format!("127.0.0.1:{}", site.port)), "{up}");
    // Strangers are asked as before, and nothing is left behind.
    let (status, targets) = secure.get("/p/api/v1/targets").unwrap();
    assert_eq!(status, 200);
    let socket =
        targets.split("\"__unix_socket__\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(std::path::Path::new(&socket).exists(), "{socket}");
    program.interrupt();
    assert!(!std::path::Path::new(&socket).parent().unwrap().exists(), "{socket}");
}

#[test]
fn a_data_directory_in_use_is_not_opened_twice() {
    let site = Site::server("global: {}\n");
    let first = site.start();
    let second =
        Site::server("global: {}\n").flag(&format!("--storage.tsdb.path={}", site.path("data").display()));
    let (status, log) = second.run_to_end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("in use") || log.contains("lock DB directory"), "{log}");
    assert_eq!(first.get("/-/healthy").status, 200);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::server("global: {}\n").flag(&format!("--web.listen-address={address}"));
    let (status, log) = site.run_to_end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&address), "{log}");
}
