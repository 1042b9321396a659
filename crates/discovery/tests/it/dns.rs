//! Names in DNS: a server on loopback, and the targets that Prometheus 3.14 found with the same records behind a
//! `resolv.conf` of the same content.
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{self, until};
use discovery::{DnsOptions, DnsRecordType, Manager, Metrics, ProviderOptions, TargetSets};
use exposition::Registry;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What the server knows of a name and type.
#[derive(Clone, Default)]
struct Known {
    code: u16,
    /// Answers over UDP say that there is more.
    only_tcp: bool,
    records: Vec<(u16, Vec<u8>)>,
}

type Zone = Arc<Mutex<Vec<(&'static str, u16, Known)>>>;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    out.push(0);
    out
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn found(records: Vec<(u16, Vec<u8>)>) -> Known {
    Known { records, ..Known::default() }
}

fn zone() -> Vec<(&'static str, u16, Known)> {
    let srv = |port: u16, target: &str| (SRV, [numbers(&[0, 5, port]), name(target)].concat());
    let mx = |target: &str| (MX, [numbers(&[10]), name(target)].concat());
    let v4 = |last: u8| (A, vec![10, 0, 0, last]);
    let mut mapped = vec![0; 10];
    mapped.extend([255, 255, 1, 2, 3, 4]);
    let mut v6 = vec![0x20, 1, 0xd, 0xb8];
    v6.extend([0; 11]);
    v6.push(1);
    vec![
        (
            "_http._tcp.example.test",
            SRV,
            found(vec![
                srv(8080, "a.example.test"),
                srv(8081, "b.example.test"),
                (CNAME, name("x.test")),
                (TXT, b"\x05hello".to_vec()),
            ]),
        ),
        ("web.ns.svc.local", A, Known { code: 3, ..Known::default() }),
        ("web.svc.local", A, found(vec![(CNAME, name("real.test")), v4(1), v4(2)])),
        ("six.test", AAAA, found(vec![(AAAA, v6), (AAAA, mapped)])),
        ("mail.test", MX, found(vec![mx("mx1.mail.test"), mx("mx2.mail.test")])),
        ("zone.test", NS, found(vec![(NS, name("ns1.zone.test")), (NS, name("."))])),
        ("big.test", A, Known { only_tcp: true, ..found(vec![v4(3), v4(4)]) }),
        ("fails.test", A, Known { code: 2, ..Known::default() }),
        ("ent.test", A, Known::default()),
    ]
}

fn answer(zone: &Zone, question: &[u8], tcp: bool) -> Vec<u8> {
    let mut at = 12;
    let mut labels = Vec::new();
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8(question[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let wanted = labels.join(".");
    let zone = zone.lock();
    let known =
        zone.iter().find(|(name, of, _)| *name == wanted && *of == kind).map(|(_, _, known)| known.clone());
    let known = known.unwrap_or(Known { code: 3, ..Known::default() });
    let truncated = known.only_tcp && !tcp;
    let records = if truncated { &[] } else { known.records.as_slice() };
    let flags = 0x8180 | known.code | u16::from(truncated) << 9;
    let header = numbers(&[flags, 1, records.len() as u16, 0, 0]);
    let mut out = [&question[..2], &header, &question[12..at + 5]].concat();
    for (kind, data) in records {
        out.extend(numbers(&[0xc00c, *kind, 1, 0, 30, data.len() as u16]));
        out.extend(data);
    }
    out
}

/// A server over UDP and TCP; its port.
async fn server(zone: Zone) -> u16 {
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (tcp, udp);
        }
    };
    let port = udp.local_addr().unwrap().port();
    tokio::spawn({
        let zone = zone.clone();
        async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                // Somebody else's answer comes first.
                let real = answer(&zone, &buffer[..length], false);
                let _ = udp.send_to(&[&[!real[0]], &real[1..]].concat(), from).await;
                let _ = udp.send_to(&real, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            let answer = answer(&zone, &question, true);
            stream.write_all(&[&numbers(&[answer.len() as u16]), &answer[..]].concat()).await.unwrap();
        }
    });
    port
}

struct World {
    manager: Manager,
    registry: Registry,
    zone: Zone,
    port: u16,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let resolv_conf = "nameserver 127.0.0.1\nsearch ns.svc.local svc.local\noptions ndots:1\n";
        std::fs::write(directory.path().join("resolv.conf"), resolv_conf).unwrap();
        let registry = Registry::new();
        let manager = Manager::new("scrape", &Metrics::register(&registry), Duration::from_millis(60));
        let zone: Zone = Arc::new(Mutex::new(zone()));
        let port = server(zone.clone()).await;
        World { manager, registry, zone, port, directory }
    }

    fn options(&self, names: &[&str], records: DnsRecordType) -> ProviderOptions {
        ProviderOptions::Dns(Box::new(DnsOptions {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            records,
            port: 80,
            refresh_interval: Duration::from_millis(50),
            resolv_conf: self.directory.path().join("resolv.conf"),
            server_port: self.port,
        }))
    }

    async fn finds(&self, job: &str, want: &[&str]) {
        until(&self.manager, Duration::from_secs(10), |sets| told(sets, job), want).await;
    }

    fn metric(&self, name: &str) -> f64 {
        support::metric(&self.registry, name, &[])
    }
}

fn told(sets: &TargetSets, job: &str) -> Vec<String> {
    support::told(sets, job, &["__meta_dns_"])
}

#[tokio::test(flavor = "multi_thread")]
async fn records_become_targets_as_in_prometheus() {
    let world = World::new().await;
    let cases: [(&[&str], DnsRecordType, &[&str]); 5] = [
        (
            &["_http._tcp.example.test"],
            DnsRecordType::Srv,
            &[
                "a.example.test:8080 name=_http._tcp.example.test srv_record_port=8080 srv_record_target=a.example.test.",
                "b.example.test:8081 name=_http._tcp.example.test srv_record_port=8081 srv_record_target=b.example.test.",
            ],
        ),
        (
            &["web", "big.test", "ent.test", "fails.test", "absent"],
            DnsRecordType::A,
            &[
                "10.0.0.1:80 name=web",
                "10.0.0.2:80 name=web",
                "10.0.0.3:80 name=big.test",
                "10.0.0.4:80 name=big.test",
            ],
        ),
        (&["six.test"], DnsRecordType::Aaaa, &["1.2.3.4:80 name=six.test", "[2001:db8::1]:80 name=six.test"]),
        (
            &["mail.test."],
            DnsRecordType::Mx,
            &[
                "mx1.mail.test:80 mx_record_target=mx1.mail.test. name=mail.test.",
                "mx2.mail.test:80 mx_record_target=mx2.mail.test. name=mail.test.",
            ],
        ),
        (
            &["zone.test"],
            DnsRecordType::Ns,
            &[
                ":80 name=zone.test ns_record_target=.",
                "ns1.zone.test:80 name=zone.test ns_record_target=ns1.zone.test.",
            ],
        ),
    ];
    let jobs = cases.iter().enumerate();
    world
        .manager
        .apply(jobs.map(|(i, (names, records, _))| (i.to_string(), vec![world.options(names, *records)])));
    for (i, (_, _, want)) in cases.iter().enumerate() {
        world.finds(&i.to_string(), want).await;
    }
    assert!(world.metric("prometheus_sd_dns_lookups_total") >= 9.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_looked_up_keeps_its_targets_and_one_that_is_gone_loses_them() {
    let world = World::new().await;
    let options = world.options(&["web.svc.local.", "big.test."], DnsRecordType::A);
    world.manager.apply([("j".to_owned(), vec![options])]);
    let web = ["10.0.0.1:80 name=web.svc.local.", "10.0.0.2:80 name=web.svc.local."];
    world.finds("j", &[web[0], web[1], "10.0.0.3:80 name=big.test.", "10.0.0.4:80 name=big.test."]).await;
    for (name, _, known) in world.zone.lock().iter_mut() {
        match *name {
            "web.svc.local" => known.code = 2,
            "big.test" => *known = Known { code: 3, ..Known::default() },
            _ => {}
        }
    }
    world.finds("j", &web).await;
    assert!(world.metric("prometheus_sd_dns_lookup_failures_total") >= 1.0);
    world.zone.lock().retain(|(name, _, _)| *name != "web.svc.local");
    world.finds("j", &[]).await;
}
