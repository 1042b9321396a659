//! What is collected and from where; the defaults are those of node_exporter's flags.

use std::path::PathBuf;
use std::time::Duration;

/// Options of [`crate::NodeStats`]. Each field is named after node_exporter's flag.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--path.procfs`
    pub procfs: PathBuf,
    /// `--path.sysfs`
    pub sysfs: PathBuf,
    /// `--path.rootfs`: prepended to mount points before they are asked, and taken off those found.
    pub rootfs: PathBuf,
    /// `--path.udev.data`
    pub udev_data: PathBuf,
    /// `--no-collector.X`: names of collectors that do not run.
    pub disabled: Vec<String>,
    /// `--collector.cpu.guest`: whether `node_cpu_guest_seconds_total` is there.
    pub cpu_guest: bool,
    /// `--collector.diskstats.device-exclude` and `-include`
    pub disk_devices: Selection,
    /// `--collector.filesystem.mount-points-exclude` and `-include`
    pub mount_points: Selection,
    /// `--collector.filesystem.fs-types-exclude` and `-include`
    pub fs_types: Selection,
    /// `--collector.filesystem.mount-timeout`: after this long a mount that does not answer is reported as failed.
    pub mount_timeout: Duration,
    /// How long a collection waits for mounts before it answers with what they said last.
    pub mount_patience: Duration,
    /// `--collector.filesystem.stat-workers`: how many mounts are asked at a time, those that hang not counted.
    pub mount_workers: usize,
    /// `--collector.netdev.device-exclude` and `-include`
    pub net_devices: Selection,
    /// `--collector.netdev.netlink`: whether devices are listed by netlink or read from `net/dev`, which knows less.
    pub netdev_netlink: bool,
    /// `--collector.netstat.fields`
    pub netstat_fields: String,
    /// `--collector.stat.softirq`: whether `node_softirqs_total` is there.
    pub stat_softirq: bool,
    /// `--collector.vmstat.fields`
    pub vmstat_fields: String,
    /// What `node_exporter_build_info` says.
    pub build: BuildInfo,
}

/// Which names are wanted: those that match `include`, if it is not empty, and do not match `exclude`, if it is not empty.
/// Both are RE2 expressions that may match anywhere in the name. node_exporter refuses to have both; here they may be combined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names to leave out.
    pub exclude: String,
    /// Names to keep.
    pub include: String,
}

/// Labels of `node_exporter_build_info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// The program's version.
    pub version: String,
    /// The commit that it was built from, if known.
    pub revision: String,
}

/// Options that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An expression does not compile.
    #[error("--collector.{flag}: {source}")]
    Pattern {
        /// The flag's name after `--collector.`.
        flag: &'static str,
        /// Why.
        source: model::RegexError,
    },
    /// [`Options::disabled`] names a collector that does not exist.
    #[error("missing collector: {0}")]
    UnknownCollector(String),
}

const DISKS_EXCLUDED: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
const MOUNT_POINTS_EXCLUDED: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const FS_TYPES_EXCLUDED: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";
const NETSTAT_FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
const VMSTAT_FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";

impl Selection {
    fn without(pattern: &str) -> Self {
        Selection { exclude: pattern.to_owned(), include: String::new() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev_data: "/run/udev/data".into(),
            disabled: Vec::new(),
            cpu_guest: true,
            disk_devices: Selection::without(DISKS_EXCLUDED),
            mount_points: Selection::without(MOUNT_POINTS_EXCLUDED),
            fs_types: Selection::without(FS_TYPES_EXCLUDED),
            mount_timeout: Duration::from_secs(5),
            mount_patience: Duration::from_millis(500),
            mount_workers: 4,
            net_devices: Selection::default(),
            netdev_netlink: true,
            netstat_fields: NETSTAT_FIELDS.to_owned(),
            stat_softirq: false,
            vmstat_fields: VMSTAT_FIELDS.to_owned(),
            build: BuildInfo { version: env!("CARGO_PKG_VERSION").to_owned(), revision: String::new() },
        }
    }
}
