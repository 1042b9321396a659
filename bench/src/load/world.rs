//! A cluster made up of nodes with thirty pods each, and what its exporters say.
//!
//! The proportions give 258 bytes and about ten labels a sample, half of the values constant, a quarter counters and a quarter gauges.

use std::time::Duration;

use super::page::{Course, Page, mix};

/// Pods of one node.
const PODS: usize = 30;
/// Nodes whose objects are on one page of object metrics, and for which there is one API server.
const NODES_A_SHARD: usize = 20;

const NAMESPACES: [&str; 12] = [
    "kafka",
    "redis",
    "vault",
    "shop",
    "billing",
    "search",
    "dev-anna",
    "dev-ben",
    "sandbox-1",
    "kube-system",
    "monitoring",
    "ingress",
];
const WORKLOADS: [&str; 10] =
    ["api", "cache", "proxy", "worker", "web", "broker", "indexer", "scheduler", "gateway", "store"];

/// Everything that can be scraped.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) interval: Duration,
    pub(crate) targets: Vec<Target>,
    /// Steps that a pod lives, if pods are replaced.
    lifetime: Option<u64>,
}

/// One scrape target.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) info: TargetInfo,
    kind: Kind,
    /// The nodes that it speaks of.
    nodes: std::ops::Range<usize>,
}

/// How a target appears in a configuration.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct TargetInfo {
    pub(crate) job: String,
    pub(crate) instance: String,
    pub(crate) path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Node,
    Containers,
    Objects,
    ApiServer,
}

/// A pod as its labels show it.
struct Pod {
    namespace: &'static str,
    name: String,
    uid: String,
    workload: &'static str,
    node: usize,
    seed: u64,
}

impl World {
    /// A world of about `series` series, whose values change every `interval`. `churn` is the share of pods replaced in an hour.
    pub(crate) fn new(series: usize, interval: Duration, churn: f64) -> Self {
        let lifetime = (churn > 0.0).then(|| (3600.0 / churn / interval.as_secs_f64()).max(1.0) as u64);
        World::grown(interval, lifetime, |have, _| have < series)
    }

    /// A world of so many nodes, in which no pod is replaced.
    pub(crate) fn of_nodes(nodes: usize, interval: Duration) -> Self {
        World::grown(interval, None, |_, have| have < nodes)
    }

    /// Adds nodes while `more` of the number of series and that of nodes.
    fn grown(interval: Duration, lifetime: Option<u64>, more: impl Fn(usize, usize) -> bool) -> Self {
        let mut world = World { interval, targets: Vec::new(), lifetime };
        let mut have = 0;
        let mut node = 0;
        while more(have, node) {
            if node % NODES_A_SHARD == 0 {
                have += world.add(Kind::ApiServer, node..node);
            }
            have += world.add(Kind::Node, node..node + 1);
            have += world.add(Kind::Containers, node..node + 1);
            // The page of a shard's objects grows with its nodes; it is counted when it is complete.
            node += 1;
            have += PODS * OBJECT_SERIES_A_POD;
            if node % NODES_A_SHARD == 0 {
                world.add(Kind::Objects, node - NODES_A_SHARD..node);
            }
        }
        if node % NODES_A_SHARD != 0 {
            world.add(Kind::Objects, node - node % NODES_A_SHARD..node);
        }
        world
    }

    fn add(&mut self, kind: Kind, nodes: std::ops::Range<usize>) -> usize {
        let place = self.targets.len();
        let (job, instance) = match kind {
            Kind::Node => ("node-exporter", format!("node-{}:9100", nodes.start)),
            Kind::Containers => ("kubelet", format!("node-{}:10250", nodes.start)),
            Kind::Objects => {
                ("kube-state-metrics", format!("kube-state-metrics-{}:8080", nodes.start / NODES_A_SHARD))
            }
            Kind::ApiServer => ("apiserver", format!("apiserver-{}:6443", nodes.start / NODES_A_SHARD)),
        };
        let info = TargetInfo { job: job.to_owned(), instance, path: format!("/target/{place}/metrics") };
        self.targets.push(Target { info, kind, nodes });
        self.page(place, 0).len()
    }

    /// The page of a target as it is from `step` on, until its [`generation`](Self::generation) changes.
    pub(crate) fn page(&self, target: usize, step: u64) -> Page {
        let mut page = Page::default();
        let Some(target) = self.targets.get(target) else { return page };
        let pods =
            || target.nodes.clone().flat_map(|node| (0..PODS).map(move |place| self.pod(node, place, step)));
        match target.kind {
            Kind::Node => node_page(&mut page, target.nodes.start as u64),
            Kind::Containers => containers_page(&mut page, &pods().collect::<Vec<_>>()),
            Kind::Objects => objects_page(&mut page, &pods().collect::<Vec<_>>()),
            Kind::ApiServer => api_server_page(&mut page, target.nodes.start as u64),
        }
        page
    }

    /// Changes whenever a pod on the target's page was replaced.
    pub(crate) fn generation(&self, target: usize, step: u64) -> u64 {
        let Some(target) = self.targets.get(target) else { return 0 };
        if self.lifetime.is_none() || matches!(target.kind, Kind::Node | Kind::ApiServer) {
            return 0;
        }
        let pods = target.nodes.clone().flat_map(|node| (0..PODS).map(move |place| (node, place)));
        pods.map(|(node, place)| self.pod_generation(node, place, step)).sum()
    }

    /// How many pods came before the one that is at this place now.
    fn pod_generation(&self, node: usize, place: usize, step: u64) -> u64 {
        let phase = mix((node * PODS + place) as u64);
        self.lifetime.map_or(0, |lifetime| (step + phase % lifetime) / lifetime)
    }

    fn pod(&self, node: usize, place: usize, step: u64) -> Pod {
        let generation = self.pod_generation(node, place, step);
        let seed = mix((node * PODS + place) as u64 ^ (generation << 40));
        let workload = WORKLOADS[(seed >> 8) as usize % WORKLOADS.len()];
        let namespace = NAMESPACES[(seed >> 16) as usize % NAMESPACES.len()];
        let (a, b) = (mix(seed), mix(seed ^ 1));
        Pod {
            namespace,
            name: format!("{namespace}-{workload}-{:010x}-{:05x}", a >> 24, b >> 44),
            uid: format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                a >> 32,
                a as u16,
                b >> 52,
                b as u16 >> 4,
                mix(b) >> 16
            ),
            workload,
            node,
            seed,
        }
    }
}

/// One metric of a kind of thing: name, what it does, decimals of its values.
type Metric = (&'static str, Course, u32);

const CPU: Course = Course::Counter { rate: 900_000 };
const EVENTS: Course = Course::Counter { rate: 40 };
const BYTES: Course = Course::Counter { rate: 250_000 };
const PAGES: Course = Course::Gauge { floor: 3_000, spread: 60_000, unit: 4096 };
const FEW: Course = Course::Gauge { floor: 4, spread: 60, unit: 1 };
const NONE: Course = Course::Constant(0);

/// What cAdvisor says of a container, and of the pod's own control group.
const CONTAINER: [Metric; 33] = [
    ("container_cpu_usage_seconds_total", CPU, 6),
    ("container_cpu_user_seconds_total", CPU, 6),
    ("container_cpu_system_seconds_total", CPU, 6),
    ("container_cpu_cfs_periods_total", EVENTS, 0),
    ("container_cpu_cfs_throttled_periods_total", EVENTS, 0),
    ("container_cpu_cfs_throttled_seconds_total", NONE, 0),
    ("container_fs_reads_total", EVENTS, 0),
    ("container_fs_reads_bytes_total", BYTES, 0),
    ("container_fs_writes_total", EVENTS, 0),
    ("container_fs_writes_bytes_total", BYTES, 0),
    ("container_memory_failcnt", NONE, 0),
    ("container_memory_failures_total", EVENTS, 0),
    ("container_memory_working_set_bytes", PAGES, 0),
    ("container_memory_rss", PAGES, 0),
    ("container_memory_usage_bytes", PAGES, 0),
    ("container_memory_cache", PAGES, 0),
    ("container_memory_mapped_file", PAGES, 0),
    ("container_memory_max_usage_bytes", PAGES, 0),
    ("container_memory_swap", PAGES, 0),
    ("container_threads", FEW, 0),
    ("container_file_descriptors", FEW, 0),
    ("container_sockets", FEW, 0),
    ("container_last_seen", Course::Counter { rate: 7 }, 0),
    ("container_processes", Course::Constant(3), 0),
    ("container_threads_max", Course::Constant(18_446), 0),
    ("container_start_time_seconds", Course::Constant(1_795_255_698), 0),
    ("container_spec_cpu_shares", Course::Constant(1024), 0),
    ("container_spec_cpu_quota", Course::Constant(200_000), 0),
    ("container_spec_cpu_period", Course::Constant(100_000), 0),
    ("container_spec_memory_limit_bytes", Course::Constant(1 << 30), 0),
    ("container_spec_memory_swap_limit_bytes", NONE, 0),
    ("container_oom_events_total", NONE, 0),
    ("container_ulimits_soft", Course::Constant(1_048_576), 0),
];

/// What cAdvisor says of a pod's network.
const NETWORK: [Metric; 8] = [
    ("container_network_receive_bytes_total", BYTES, 0),
    ("container_network_transmit_bytes_total", BYTES, 0),
    ("container_network_receive_packets_total", EVENTS, 0),
    ("container_network_transmit_packets_total", EVENTS, 0),
    ("container_network_receive_errors_total", NONE, 0),
    ("container_network_transmit_errors_total", NONE, 0),
    ("container_network_receive_packets_dropped_total", NONE, 0),
    ("container_network_transmit_packets_dropped_total", NONE, 0),
];

fn kind_of(metric: &Metric) -> &'static str {
    if metric.0.ends_with("_total") { "counter" } else { "gauge" }
}

fn containers_page(page: &mut Page, pods: &[Pod]) {
    for (place, metric) in CONTAINER.iter().enumerate() {
        let (name, course, decimals) = *metric;
        page.family(name, kind_of(metric), "A figure of a control group, as the kernel keeps it.");
        for pod in pods {
            let (namespace, pod_name, uid) = (pod.namespace, &pod.name, pod.uid.replace('-', "_"));
            let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice");
            let id = format!(
                "{:016x}{:016x}{:016x}{:016x}",
                pod.seed,
                mix(pod.seed),
                mix(pod.seed ^ 2),
                mix(pod.seed ^ 3)
            );
            let workload = pod.workload;
            let of_container = format!(
                "container=\"{workload}\",id=\"{slice}/cri-containerd-{id}.scope\",image=\"registry.example.org/{namespace}/{workload}:v1.{}\",name=\"{id}\",namespace=\"{namespace}\",pod=\"{pod_name}\"",
                pod.seed % 40,
            );
            let of_pod = format!(
                "container=\"\",id=\"{slice}\",image=\"\",name=\"\",namespace=\"{namespace}\",pod=\"{pod_name}\"",
            );
            for (variant, labels) in [of_container, of_pod].iter().enumerate() {
                let seed = mix(pod.seed ^ ((place * 2 + variant) as u64) << 20);
                page.series(name, labels, seed, course, decimals);
            }
        }
    }
    for (place, metric) in NETWORK.iter().enumerate() {
        let (name, course, decimals) = *metric;
        page.family(name, kind_of(metric), "A figure of a pod's network interface.");
        for pod in pods {
            let slice = format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
                pod.uid.replace('-', "_"),
            );
            let labels = format!(
                "id=\"{slice}\",image=\"registry.k8s.io/pause:3.10\",interface=\"eth0\",name=\"{:016x}{:016x}\",namespace=\"{}\",pod=\"{}\"",
                pod.seed,
                mix(pod.seed),
                pod.namespace,
                pod.name,
            );
            page.series(name, &labels, mix(pod.seed ^ ((100 + place) as u64) << 20), course, decimals);
        }
    }
}

/// What kube-state-metrics says of a pod: name, further labels, value.
const OBJECT: [(&str, &str, u64); 25] = [
    ("kube_pod_created", "", 1_795_255_690),
    ("kube_pod_start_time", "", 1_795_255_698),
    ("kube_pod_owner", "owner_kind=\"ReplicaSet\",owner_is_controller=\"true\"", 1),
    ("kube_pod_labels", "label_app_kubernetes_io_managed_by=\"Helm\",label_tier=\"backend\"", 1),
    ("kube_pod_status_phase", "phase=\"Pending\"", 0),
    ("kube_pod_status_phase", "phase=\"Succeeded\"", 0),
    ("kube_pod_status_phase", "phase=\"Failed\"", 0),
    ("kube_pod_status_phase", "phase=\"Unknown\"", 0),
    ("kube_pod_status_phase", "phase=\"Running\"", 1),
    ("kube_pod_status_ready", "condition=\"true\"", 1),
    ("kube_pod_status_ready", "condition=\"false\"", 0),
    ("kube_pod_status_ready", "condition=\"unknown\"", 0),
    ("kube_pod_status_scheduled", "condition=\"true\"", 1),
    ("kube_pod_status_scheduled", "condition=\"false\"", 0),
    ("kube_pod_status_scheduled", "condition=\"unknown\"", 0),
    ("kube_pod_container_status_running", "container=\"main\"", 1),
    ("kube_pod_container_status_waiting", "container=\"main\"", 0),
    ("kube_pod_container_status_terminated", "container=\"main\"", 0),
    ("kube_pod_container_status_ready", "container=\"main\"", 1),
    ("kube_pod_container_status_restarts_total", "container=\"main\"", 2),
    ("kube_pod_container_resource_requests", "container=\"main\",resource=\"cpu\",unit=\"core\"", 1),
    (
        "kube_pod_container_resource_requests",
        "container=\"main\",resource=\"memory\",unit=\"byte\"",
        536_870_912,
    ),
    ("kube_pod_container_resource_limits", "container=\"main\",resource=\"cpu\",unit=\"core\"", 2),
    (
        "kube_pod_container_resource_limits",
        "container=\"main\",resource=\"memory\",unit=\"byte\"",
        1_073_741_824,
    ),
    ("kube_pod_info", "", 1),
];
const OBJECT_SERIES_A_POD: usize = OBJECT.len();

fn objects_page(page: &mut Page, pods: &[Pod]) {
    let mut families: Vec<&str> = OBJECT.iter().map(|(name, ..)| *name).collect();
    families.dedup();
    for family in families {
        let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
        page.family(family, kind, "[STABLE] What an object's status says.");
        for pod in pods {
            for (_, more, value) in OBJECT.iter().filter(|(name, ..)| *name == family) {
                let mut labels =
                    format!("namespace=\"{}\",pod=\"{}\",uid=\"{}\"", pod.namespace, pod.name, pod.uid);
                if family == "kube_pod_info" {
                    // Besides those of the page: the name, job, instance, cluster and service.
                    labels += &format!(
                        ",host_ip=\"10.0.{}.1\",pod_ip=\"10.{}.{}.{}\",node=\"node-{}\",created_by_kind=\"ReplicaSet\",created_by_name=\"{}\",priority_class=\"\",host_network=\"false\"",
                        pod.node % 256,
                        pod.seed % 256,
                        (pod.seed >> 8) % 256,
                        (pod.seed >> 16) % 256,
                        pod.node,
                        pod.workload,
                    );
                } else if !more.is_empty() {
                    labels.push(',');
                    // Besides those of the page: the name, job, instance, cluster and service.
                    labels += more;
                }
                page.series(family, &labels, 0, Course::Constant(*value), 0);
            }
        }
    }
}

fn node_page(page: &mut Page, node: u64) {
    let mut seed = mix(node ^ 0xd0de);
    let mut add = |page: &mut Page, name: &str, labels: &str, course: Course, decimals: u32| {
        seed = mix(seed);
        page.series(name, labels, seed, course, decimals);
    };
    page.family("node_cpu_seconds_total", "counter", "Seconds the CPUs spent in each mode.");
    for cpu in 0..16 {
        for mode in ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"] {
            let course = if matches!(mode, "irq" | "nice") { NONE } else { Course::Counter { rate: 300 } };
            add(page, "node_cpu_seconds_total", &format!("cpu=\"{cpu}\",mode=\"{mode}\""), course, 2);
        }
    }
    for (name, course, decimals) in [
        ("reads_completed_total", EVENTS, 0),
        ("writes_completed_total", EVENTS, 0),
        ("read_bytes_total", BYTES, 0),
        ("written_bytes_total", BYTES, 0),
        ("io_time_seconds_total", EVENTS, 3),
        ("io_time_weighted_seconds_total", EVENTS, 3),
        ("io_now", FEW, 0),
        ("discards_completed_total", NONE, 0),
    ] {
        let name = format!("node_disk_{name}");
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        page.family(&name, kind, "A figure of a block device.");
        for device in ["nvme0n1", "nvme1n1", "sda", "sdb", "dm-0", "dm-1"] {
            add(page, &name, &format!("device=\"{device}\""), course, decimals);
        }
    }
    for name in ["bytes", "packets", "errs", "drop", "fifo", "compressed"] {
        for direction in ["receive", "transmit"] {
            let name = format!("node_network_{direction}_{name}_total");
            page.family(&name, "counter", "Network device statistic.");
            let course = if name.contains("bytes") || name.contains("packets") { BYTES } else { NONE };
            for device in 0..12 {
                add(page, &name, &format!("device=\"veth{:08x}\"", mix(node ^ device) >> 32), course, 0);
            }
        }
    }
    for field in 0..48 {
        let name = format!("node_memory_Field{field}_bytes");
        page.family(&name, "gauge", "Memory information field.");
        add(page, &name, "", if field % 4 == 0 { NONE } else { PAGES }, 0);
    }
    for field in 0..40 {
        let name = format!("node_netstat_Tcp_Field{field}");
        page.family(&name, "untyped", "Statistic.");
        add(page, &name, "", if field % 2 == 0 { EVENTS } else { FEW }, 0);
    }
    for (name, course) in
        [("size_bytes", Course::Constant(270_553_174_016)), ("avail_bytes", PAGES), ("files_free", FEW)]
    {
        let name = format!("node_filesystem_{name}");
        page.family(&name, "gauge", "A figure of a file system.");
        for mount in 0..8 {
            let labels = format!(
                "device=\"/dev/nvme0n1p{mount}\",fstype=\"ext4\",mountpoint=\"/var/lib/volumes/{mount}\""
            );
            add(page, &name, &labels, course, 0);
        }
    }
    page.family("node_load1", "gauge", "1m load average.");
    add(page, "node_load1", "", Course::Gauge { floor: 20, spread: 800, unit: 1 }, 2);
}

fn api_server_page(page: &mut Page, shard: u64) {
    const NAME: &str = "apiserver_request_duration_seconds";
    const BOUNDS: [&str; 18] = [
        "0.005", "0.025", "0.05", "0.1", "0.2", "0.4", "0.6", "0.8", "1", "1.25", "1.5", "2", "3", "4", "5",
        "6", "8", "+Inf",
    ];
    page.family(NAME, "histogram", "Response latency distribution in seconds.");
    for (v, verb) in ["GET", "LIST", "WATCH", "POST", "PUT", "PATCH"].iter().enumerate() {
        for (r, resource) in
            ["pods", "nodes", "services", "endpoints", "configmaps", "secrets", "leases", "events"]
                .iter()
                .enumerate()
        {
            let labels = format!(
                "component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"{resource}\",scope=\"namespace\",subresource=\"\",verb=\"{verb}\",version=\"v1\"",
            );
            let seed = mix(shard ^ ((v * 100 + r) as u64) << 32);
            let whole = BOUNDS.len() as u64;
            for (b, bound) in BOUNDS.iter().enumerate() {
                let course = Course::Bucket { rate: 300, part: b as u64 + 1, whole };
                page.series(&format!("{NAME}_bucket"), &format!("{labels},le=\"{bound}\""), seed, course, 0);
            }
            page.series(&format!("{NAME}_sum"), &labels, seed, Course::Counter { rate: 90_000 }, 6);
            page.series(
                &format!("{NAME}_count"),
                &labels,
                seed,
                Course::Bucket { rate: 300, part: 1, whole: 1 },
                0,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn render(world: &World, target: usize, step: u64) -> String {
        let mut out = Vec::new();
        world.page(target, step).render(step, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn lines(page: &str) -> Vec<(&str, &str)> {
        page.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit_once(' ').unwrap()).collect()
    }

    #[test]
    fn the_pages_have_the_proportions_that_were_asked_for() {
        let world = World::new(100_000, Duration::from_secs(5), 0.0);
        let (mut bytes, mut series, mut changed, mut labels, mut constant) = (0, 0, 0, 0, 0);
        let mut all = HashSet::new();
        for (place, target) in world.targets.iter().enumerate() {
            let pages: Vec<String> = (0..6).map(|step| render(&world, place, step)).collect();
            let steps: Vec<Vec<(&str, &str)>> = pages.iter().map(|page| lines(page)).collect();
            bytes += pages[0].len();
            series += steps[0].len();
            for i in 0..steps[0].len() {
                let (name, value) = steps[0][i];
                assert!(all.insert((target.info.instance.clone(), name.to_owned())), "twice: {name}");
                // Besides those of the page: the name, job, instance, cluster and service.
                labels += 5 + name.matches("=\"").count() - name.matches("=\"\"").count();
                changed += usize::from(value != steps[1][i].1);
                constant += usize::from(steps.iter().all(|step| step[i].1 == value));
            }
        }
        let share = |n: usize| 100.0 * n as f64 / series as f64;
        let per_series = |n: usize| n as f64 / series as f64;
        let report = format!(
            "{series} series, {:.0} bytes and {:.1} labels a sample, {:.1} % constant, {:.1} % change a step",
            per_series(bytes),
            per_series(labels),
            share(constant),
            share(changed),
        );
        assert!((100_000..108_000).contains(&series), "{report}");
        assert!((245.0..271.0).contains(&per_series(bytes)), "{report}");
        assert!((8.0..11.0).contains(&per_series(labels)), "{report}");
        assert!((47.0..53.0).contains(&share(constant)), "{report}");
        assert!((33.0..39.0).contains(&share(changed)), "{report}");
    }

    #[test]
    fn churn_replaces_its_share_of_pods_and_nothing_else() {
        let world = World::new(5_000, Duration::from_secs(36), 0.5);
        let place = world.targets.iter().position(|t| t.kind == Kind::Containers).unwrap();
        let names = |step| {
            lines(&render(&world, place, step)).into_iter().map(|(n, _)| n.to_owned()).collect::<HashSet<_>>()
        };
        // 100 steps of 36 s are an hour: half of the pods are others.
        let (before, after) = (names(0), names(100));
        let kept = before.intersection(&after).count() as f64 / before.len() as f64;
        assert_eq!(before.len(), after.len());
        assert!((0.3..0.7).contains(&kept), "{kept}");
        assert_ne!(world.generation(place, 0), world.generation(place, 100));
        let node = world.targets.iter().position(|t| t.kind == Kind::Node).unwrap();
        assert_eq!(world.generation(node, 0), world.generation(node, 100));
    }
}
