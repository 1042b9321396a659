//! One installation of the program: its directory, port and flags; started, watched, signalled and killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::{self, Answer};

/// How long anything may take before a test gives up; far above what it takes, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Labels as shown by a query, the metric name among them.
pub(crate) type Labels = BTreeMap<String, String>;

/// A directory with a configuration and data, and the flags to start with. Outlives the processes started from it.
pub(crate) struct Site {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    role: &'static str,
    flags: Vec<String>,
    starts: AtomicU16,
    /// The program to start instead of ours.
    other: Option<String>,
}

/// The other program, if the tests are to run against that.
fn peer() -> Option<String> {
    std::env::var("BINNACLE_TEST_PROMETHEUS").ok().filter(|p| !p.is_empty())
}

/// Prometheus, if it is installed.
pub(crate) fn prometheus() -> Option<String> {
    let found = testkit::installed("prometheus", "BINNACLE_PEER_PROMETHEUS").next();
    if found.is_none() {
        println!("skipped: no prometheus on PATH or in BINNACLE_PEER_PROMETHEUS");
    }
    found?.to_str().map(str::to_owned)
}

/// Prometheus and promtool of a version that knows all that is in a data directory, if they are installed.
pub(crate) fn prometheus_3() -> Option<(String, String)> {
    let found = |program, variable| testkit::installed_3(program, variable)?.to_str().map(str::to_owned);
    let found =
        (found("prometheus", "BINNACLE_PEER_PROMETHEUS"), found("promtool", "BINNACLE_PEER_PROMTOOL"));
    if let (Some(prometheus), Some(promtool)) = found {
        return Some((prometheus, promtool));
    }
    println!("skipped: no prometheus 3 and promtool 3 on PATH or in BINNACLE_PEER_{{PROMETHEUS,PROMTOOL}}");
    None
}

pub(crate) fn is_peer() -> bool {
    peer().is_some()
}

impl Site {
    /// `binnacle server` with this configuration; `@PORT@` in it stands for the own port.
    pub(crate) fn server(config: &str) -> Site {
        let mut site = Site::new("server");
        site.write("prometheus.yml", &config.replace("@PORT@", &site.port.to_string()));
        site.flags.push(format!("--config.file={}", site.path("prometheus.yml").display()));
        // Targets are handed over every five seconds otherwise.
        site.flag("--scrape.discovery-reload-interval=100ms")
    }

    /// `binnacle server --agent`, with its data in `data-agent`.
    pub(crate) fn agent(config: &str) -> Site {
        let mut site = Site::server(config);
        site.flags.retain(|flag| !flag.starts_with("--storage.tsdb."));
        site.flag("--agent").flag("--storage.agent.path=data-agent")
    }

    /// `binnacle up`.
    pub(crate) fn up() -> Site {
        Site::new("up")
    }

    /// Another program with flags of its own.
    pub(crate) fn of(program: &str, flags: impl FnOnce(&Site) -> Vec<String>) -> Site {
        let mut site = Site::new("");
        site.flags = flags(&site);
        site.switch_to(Some(program));
        site
    }

    fn new(role: &'static str) -> Site {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let mut site = Site { dir, port, role, flags: Vec::new(), starts: AtomicU16::new(0), other: None };
        site.flags.push(format!("--web.listen-address=127.0.0.1:{port}"));
        site.flags.push(format!("--storage.tsdb.path={}", site.path("data").display()));
        site
    }

    /// Adds a flag; one of the same name that was set before gives way.
    pub(crate) fn flag(mut self, flag: &str) -> Site {
        let name = flag.split('=').next().unwrap_or(flag);
        self.flags.retain(|f| f.split('=').next() != Some(name));
        self.flags.push(flag.to_owned());
        self
    }

    /// From now on this program is started here.
    pub(crate) fn switch_to(&mut self, other: Option<&str>) {
        self.other = other.map(str::to_owned);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a file as editors do: whole, by renaming.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let draft = self.path(&format!(".{name}.new"));
        std::fs::write(&draft, content).expect("writing a file");
        std::fs::rename(draft, self.path(name)).expect("renaming a file");
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = match self.other.clone().or_else(peer) {
            Some(other) => Command::new(other),
            None => {
                let mut own = Command::new(env!("CARGO_BIN_EXE_binnacle"));
                own.arg(self.role);
                own
            }
        };
        command.args(&self.flags).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Starts the program and waits until it is ready.
    pub(crate) fn start(&self) -> Program<'_> {
        let program = self.launch();
        program.wait_for("readiness", |p| p.try_get("/-/ready").filter(|a| a.status == 200).map(drop));
        program
    }

    /// As `start`, for a program behind a route prefix.
    pub(crate) fn start_under(&self, prefix: &str) -> Program<'_> {
        let program = self.launch();
        let ready = format!("{prefix}/-/ready");
        program.wait_for("readiness", |p| p.try_get(&ready).filter(|a| a.status == 200).map(drop));
        program
    }

    /// Starts the program and waits for nothing.
    pub(crate) fn launch(&self) -> Program<'_> {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("log.{number}"));
        let out = File::create(&log).expect("a log file");
        let child = self
            .command()
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("starting the program");
        Program { site: self, child, log, ended: false }
    }

    /// Runs the program to its end; for starts that must fail.
    pub(crate) fn run_to_end(&self) -> (ExitStatus, String) {
        let mut program = self.launch();
        let status = program.wait_for_end();
        (status, program.log())
    }
}

/// A port that nobody listens on, outside of the range from which outgoing connections take theirs.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 9_000) as u16;
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed) * 13) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running process of a [`Site`]; killed when dropped, and its log shown if the test fails.
pub(crate) struct Program<'a> {
    pub(crate) site: &'a Site,
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Program<'_> {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalling the program");
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killing the program");
        self.wait_for_end();
    }

    /// Asks it to stop as Ctrl-C does.
    pub(crate) fn interrupt(mut self) -> (ExitStatus, String) {
        self.signal(Signal::INT);
        let status = self.wait_for_end();
        (status, self.log())
    }

    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for the program") {
                self.ended = true;
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(POLL);
        }
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Most memory that was ever resident, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("its peak");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") / 1024
    }

    /// Calls `probe` until it gives something.
    pub(crate) fn wait_for<T>(&self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = probe(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn try_get(&self, target: &str) -> Option<Answer> {
        http::request(self.site.port, "GET", target, &[], b"").ok()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        http::request(self.site.port, method, target, headers, body)
            .unwrap_or_else(|e| panic!("{method} {target}: {e}"))
    }

    /// `data` of a successful answer.
    pub(crate) fn data(&self, target: &str) -> Value {
        let answer = self.get(target);
        let mut json = answer.json();
        assert_eq!((answer.status, &json["status"]), (200, &Value::from("success")), "{target}: {json}");
        json["data"].take()
    }

    fn result(&self, pairs: &[(&str, &str)]) -> Vec<Value> {
        let mut data = self.data(&format!("/api/v1/query?{}", http::form(pairs)));
        match data["result"].take() {
            Value::Array(result) => result,
            other => panic!("{pairs:?}: {other}"),
        }
    }

    /// An instant vector now.
    pub(crate) fn query(&self, expression: &str) -> Vec<(Labels, f64)> {
        let value = |v: &Value| number(&v["value"][1]);
        self.result(&[("query", expression)]).iter().map(|v| (labels(&v["metric"]), value(v))).collect()
    }

    /// The value of an expression that gives one series at most.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let vector = self.query(expression);
        assert!(vector.len() <= 1, "{expression}: {vector:?}");
        vector.first().map(|(_, value)| *value)
    }

    /// Waits until the expression has this value.
    pub(crate) fn wait_for_value(&self, expression: &str, want: f64) {
        let mut last = None;
        let deadline = Instant::now() + PATIENCE;
        while last != Some(want) {
            assert!(Instant::now() < deadline, "waited for {expression} to be {want}; it is {last:?}");
            std::thread::sleep(POLL);
            last = self.value(expression);
        }
    }

    /// A range vector: every sample, its value as the text that was sent.
    pub(crate) fn samples(&self, selector: &str, time: Option<f64>) -> Samples {
        let time = time.map(|t| t.to_string());
        let mut pairs = vec![("query", selector)];
        pairs.extend(time.as_deref().map(|t| ("time", t)));
        let result = self.result(&pairs);
        result
            .iter()
            .map(|series| {
                let samples = series["values"].as_array().expect("a matrix").iter();
                let samples = samples.map(|s| (millis(&s[0]), s[1].as_str().expect("a value").to_owned()));
                (labels(&series["metric"]), samples.collect())
            })
            .collect()
    }

    /// The active target of a job that has one.
    pub(crate) fn target(&self, job: &str) -> Option<Value> {
        let targets = self.data(&format!("/api/v1/targets?state=active&scrapePool={job}"));
        let targets = targets["activeTargets"].as_array().expect("a list").clone();
        assert!(targets.len() <= 1, "{job}: {targets:?}");
        targets.into_iter().next()
    }

    /// Waits until the only target of a job was scraped, and tells its health and last error.
    pub(crate) fn scraped(&self, job: &str) -> (String, String) {
        self.wait_for(&format!("a scrape of {job}"), |p| {
            let target = p.target(job)?;
            let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
            (target["health"] != "unknown").then(|| (text("health"), text("lastError")))
        })
    }
}

/// Samples of series: time in milliseconds to the value as text.
pub(crate) type Samples = BTreeMap<Labels, BTreeMap<i64, String>>;

fn labels(metric: &Value) -> Labels {
    let object = metric.as_object().expect("labels");
    object.iter().map(|(n, v)| (n.clone(), v.as_str().expect("a label value").to_owned())).collect()
}

fn number(text: &Value) -> f64 {
    match text.as_str().expect("a number as text") {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().expect("a number"),
    }
}

fn millis(seconds: &Value) -> i64 {
    (seconds.as_f64().expect("a time") * 1000.0).round() as i64
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let log = self.log();
        if std::thread::panicking() {
            println!("--- log of {}\n{log}---", self.site.dir.path().display());
        } else {
            // Whatever a test is about: no thread of the program may panic.
            assert!(!log.contains("panicked at"), "{log}");
        }
    }
}

/// Where recordings of the original programs are, if they are there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("BINNACLE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let file = root.join(path);
    if !file.exists() {
        println!("skipped: {} is not there", file.display());
        return None;
    }
    Some(file)
}
