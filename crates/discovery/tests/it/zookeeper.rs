//! Members in ZooKeeper: a server on loopback, and the targets that Prometheus 3.14 found with the same nodes.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{self, until};
use discovery::{Manager, MemberFormat, Metrics, ProviderOptions, TargetSets, ZooKeeperOptions};
use exposition::Registry;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// Nodes and their data.
type Nodes = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// What connections are told.
#[derive(Clone)]
enum Told {
    /// A change of this type at this path.
    Change(i32, String),
    Hangup,
}

const DELETED: i32 = 2;
const DATA_CHANGED: i32 = 3;
const CHILDREN_CHANGED: i32 = 4;

struct Server {
    nodes: Nodes,
    tell: broadcast::Sender<Told>,
    address: String,
    pings: watch::Sender<usize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (nodes, tell) = (Nodes::default(), broadcast::Sender::new(64));
        let server =
            Server { nodes: nodes.clone(), tell: tell.clone(), address, pings: watch::Sender::new(0) };
        let pings = server.pings.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, nodes.clone(), tell.subscribe(), pings.clone()));
            }
        });
        server
    }

    fn put(&self, path: &str, data: &str) {
        let mut nodes = self.nodes.lock();
        let parent = path.rsplit_once('/').unwrap().0.to_owned();
        let change = match nodes.insert(path.to_owned(), data.as_bytes().to_vec()) {
            Some(_) => Told::Change(DATA_CHANGED, path.to_owned()),
            None => Told::Change(CHILDREN_CHANGED, parent),
        };
        let _ = self.tell.send(change);
    }

    fn remove(&self, path: &str) {
        self.nodes.lock().remove(path).unwrap();
        let _ = self.tell.send(Told::Change(DELETED, path.to_owned()));
        let _ = self.tell.send(Told::Change(CHILDREN_CHANGED, path.rsplit_once('/').unwrap().0.to_owned()));
    }
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as i32).to_be_bytes(), text].concat()
}

async fn send(stream: &mut TcpStream, parts: &[&[u8]]) -> Option<()> {
    stream.write_all(&text(&parts.concat())).await.ok()
}

async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; stream.read_u32().await.ok()? as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// Number and error of an answer.
fn header(number: i32, error: i32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &7_i64.to_be_bytes(), &error.to_be_bytes()].concat()
}

async fn serve(
    mut stream: TcpStream,
    nodes: Nodes,
    mut told: broadcast::Receiver<Told>,
    pings: watch::Sender<usize>,
) -> Option<()> {
    let connect = receive(&mut stream).await?;
    assert_eq!(connect.len(), 44);
    let timeout = &connect[12..16];
    send(&mut stream, &[&[0; 4], timeout, &42_i64.to_be_bytes(), &text(&[1; 16])]).await?;
    let mut watched = BTreeSet::new();
    loop {
        let frame = tokio::select! {
            // Frames are sent whole, so that none is read in part.
            frame = receive(&mut stream) => frame?,
            change = told.recv() => {
                let Ok(Told::Change(kind, path)) = change else { return None };
                // A watch is told once.
                let watches: &[i32] = match kind { DATA_CHANGED => &[4], CHILDREN_CHANGED => &[8], _ => &[4, 8] };
                if watches.iter().filter(|watch| watched.remove(&(**watch, path.clone()))).count() > 0 {
                    let event = [kind.to_be_bytes(), 3_i32.to_be_bytes()].concat();
                    send(&mut stream, &[&header(-1, 0), &event, &text(path.as_bytes())]).await?;
                }
                continue;
            }
        };
        let int = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        let (number, operation) = (int(0), int(4));
        if operation == 11 {
            pings.send_modify(|pings| *pings += 1);
            send(&mut stream, &[&header(number, 0)]).await?;
            continue;
        }
        let path = String::from_utf8(frame[12..frame.len() - 1].to_vec()).unwrap();
        let answer = {
            let nodes = nodes.lock();
            match (nodes.get(&path), operation) {
                (None, _) => header(number, -101),
                (Some(data), 4) => [header(number, 0), text(data), vec![0; 68]].concat(),
                (Some(_), 8) => {
                    let prefix = format!("{path}/");
                    let children = nodes.keys().filter_map(|node| node.strip_prefix(&prefix));
                    let children: Vec<&str> = children.filter(|child| !child.contains('/')).collect();
                    let names: Vec<u8> = children.iter().flat_map(|child| text(child.as_bytes())).collect();
                    [header(number, 0), (children.len() as i32).to_be_bytes().to_vec(), names].concat()
                }
                (_, other) => panic!("operation {other}"),
            }
        };
        watched.insert((operation, path));
        send(&mut stream, &[&answer]).await?;
    }
}

struct World {
    server: Server,
    manager: Manager,
    registry: Registry,
}

impl World {
    async fn new() -> Self {
        let registry = Registry::new();
        let manager = Manager::new("scrape", &Metrics::register(&registry), Duration::from_millis(60));
        World { server: Server::start().await, manager, registry }
    }

    fn options(&self, paths: &[&str], timeout: Duration, members: MemberFormat) -> Box<ZooKeeperOptions> {
        Box::new(ZooKeeperOptions {
            servers: vec![self.server.address.clone()],
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            timeout,
            members,
        })
    }

    async fn finds(&self, job: &str, want: &[&str]) {
        until(&self.manager, Duration::from_secs(20), |sets| told(sets, job), want).await;
    }

    fn metric(&self, name: &str) -> f64 {
        support::metric(&self.registry, name, &[])
    }
}

fn told(sets: &TargetSets, job: &str) -> Vec<String> {
    support::told(sets, job, &["__meta_serverset_", "__meta_nerve_"])
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn members_are_followed() {
    let world = World::new().await;
    let server = &world.server;
    for (path, data) in [
        ("/svc", ""),
        (
            "/svc/member_1",
            r#"{"serviceEndpoint":{"host":"h1","port":80},"additionalEndpoints":{"thrift.x":{"host":"h1","port":81}},"status":"ALIVE","shard":3}"#,
        ),
        (
            "/svc/member_2",
            r#"{"serviceEndpoint":{"host":"2001:db8::1","port":81},"additionalEndpoints":{},"status":"ALIVE"}"#,
        ),
        ("/svc/bad", "no json"),
        ("/svc/deep", ""),
        ("/svc/deep/m", r#"{"serviceEndpoint":{"host":"d","port":1}}"#),
        ("/nerve/services", ""),
        ("/nerve/services/a", r#"{"host":"n1","port":9,"name":"i-1","weight":1}"#),
        ("/nerve/services/b", "{}"),
    ] {
        server.put(path, data);
    }
    let serversets = world.options(&["/svc", "/absent"], LONG, MemberFormat::Serverset);
    let nerve = world.options(&["/nerve/services"], LONG, MemberFormat::Nerve);
    world.manager.apply([
        ("s".to_owned(), vec![ProviderOptions::Serverset(serversets)]),
        ("n".to_owned(), vec![ProviderOptions::Nerve(nerve)]),
    ]);
    world
        .finds("s", &[
            "[2001:db8::1]:81 endpoint_host=2001:db8::1 endpoint_port=81 path=/svc/member_2 shard=0 status=ALIVE",
            "d:1 endpoint_host=d endpoint_port=1 path=/svc/deep/m shard=0",
            "h1:80 endpoint_host=h1 endpoint_host_thrift_x=h1 endpoint_port=80 endpoint_port_thrift_x=81 path=/svc/member_1 shard=3 status=ALIVE",
        ])
        .await;
    world
        .finds(
            "n",
            &[
                ":0 endpoint_port=0 path=/nerve/services/b",
                "n1:9 endpoint_host=n1 endpoint_name=i-1 endpoint_port=9 path=/nerve/services/a",
            ],
        )
        .await;
    assert_eq!(world.metric("prometheus_treecache_watcher_goroutines"), 9.0);
    assert!(world.metric("prometheus_treecache_zookeeper_failures_total") >= 1.0, "one path does not exist");

    server.put("/svc/member_1", r#"{"serviceEndpoint":{"host":"h1","port":8080},"status":"DEAD"}"#);
    server.put("/svc/new", r#"{"serviceEndpoint":{"host":"new","port":1}}"#);
    server.remove("/svc/member_2");
    server.remove("/svc/deep/m");
    server.put("/nerve/services/a", "nonsense");
    let changed = [
        "h1:8080 endpoint_host=h1 endpoint_port=8080 path=/svc/member_1 shard=0 status=DEAD",
        "new:1 endpoint_host=new endpoint_port=1 path=/svc/new shard=0",
    ];
    world.finds("s", &changed).await;
    world.finds("n", &[":0 endpoint_port=0 path=/nerve/services/b"]).await;

    // What changes while there is no connection is found with the next one.
    let _ = server.tell.send(Told::Hangup);
    server
        .nodes
        .lock()
        .insert("/svc/after".into(), br#"{"serviceEndpoint":{"host":"after","port":2}}"#.to_vec());
    let after = "after:2 endpoint_host=after endpoint_port=2 path=/svc/after shard=0";
    world.finds("s", &[after, changed[0], changed[1]]).await;
    world.manager.apply([]);
    while world.metric("prometheus_treecache_watcher_goroutines") != 0.0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_by_pings() {
    let world = World::new().await;
    world.server.put("/svc", "");
    world.server.put("/svc/a", r#"{"host":"a","port":1}"#);
    let short = Duration::from_millis(300);
    let options = world.options(&["/svc"], short, MemberFormat::Nerve);
    world.manager.apply([("n".to_owned(), vec![ProviderOptions::Nerve(options)])]);
    world.finds("n", &["a:1 endpoint_host=a endpoint_port=1 path=/svc/a"]).await;
    world.server.pings.subscribe().wait_for(|pings| *pings >= 6).await.unwrap();
    assert_eq!(world.metric("prometheus_treecache_zookeeper_failures_total"), 0.0);
    world.server.remove("/svc/a");
    world.finds("n", &[]).await;
}
