//! `filesystem`: size and state of the mounted file systems.

use std::path::{Path, PathBuf};

use exposition::{Family, MetricKind};
use model::Labels;

use crate::collector::{CollectError, Collector};
use crate::filter::NameFilter;
use crate::mount_stats::{Answer, MountAsker, statfs};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, integer, lines};

/// What node_exporter says of a mount that does not answer.
const HANGS: &str = "mountpoint timeout";

struct Filesystem {
    /// The mounts that the machine's first process sees; where that is hidden, those that this one sees.
    init_mounts: ProcFile,
    own_mounts: ProcFile,
    rootfs: PathBuf,
    mount_points: NameFilter,
    fs_types: NameFilter,
    asker: MountAsker,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Filesystem {
        init_mounts: ProcFile::new(options.procfs.join("1/mountinfo")),
        own_mounts: ProcFile::new(options.procfs.join("self/mountinfo")),
        rootfs: options.rootfs.clone(),
        mount_points: NameFilter::new(
            &options.mount_points,
            "filesystem.mount-points-exclude",
            "filesystem.mount-points-include",
        )?,
        fs_types: NameFilter::new(
            &options.fs_types,
            "filesystem.fs-types-exclude",
            "filesystem.fs-types-include",
        )?,
        asker: MountAsker::new(
            options.mount_workers,
            options.mount_patience,
            options.mount_timeout,
            Box::new(statfs),
        ),
    }))
}

/// A line of mountinfo, as far as it is shown.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    fs_type: String,
    major: String,
    minor: String,
    read_only: bool,
}

impl Collector for Filesystem {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        let mounts = self.wanted_mounts()?;
        let paths: Vec<PathBuf> = mounts.iter().map(|mount| below(&self.rootfs, &mount.point)).collect();
        let answers = self.asker.ask(&paths);
        let mut families = Families::new();
        for (mount, answer) in mounts.iter().zip(&answers) {
            families.push(mount, answer);
        }
        out.extend(families.in_order());
        Ok(())
    }
}

impl Filesystem {
    /// The mounts to show, each once: what is mounted over several times at one place looks the same every time.
    fn wanted_mounts(&mut self) -> Result<Vec<Mount>, CollectError> {
        let file = match self.init_mounts.read() {
            Ok(()) => &self.init_mounts,
            Err(error) if error.is_missing_file() => {
                self.own_mounts.read()?;
                &self.own_mounts
            }
            Err(error) => return Err(error),
        };
        let mut mounts: Vec<Mount> = Vec::new();
        for line in lines(file.text()) {
            let mount = parse_mount(line, &self.rootfs).ok_or_else(|| file.malformed("not a mount"))?;
            let is_wanted = self.mount_points.wants(&mount.point) && self.fs_types.wants(&mount.fs_type);
            let is_same = |other: &Mount| {
                (&other.device, &other.point, &other.fs_type, &other.major, &other.minor)
                    == (&mount.device, &mount.point, &mount.fs_type, &mount.major, &mount.minor)
            };
            if is_wanted && !mounts.iter().any(is_same) {
                mounts.push(mount);
            }
        }
        Ok(mounts)
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue` (proc_pid_mountinfo(5)).
fn parse_mount(line: &[u8], rootfs: &Path) -> Option<Mount> {
    let line = String::from_utf8_lossy(line);
    let (of_mount, of_fs) = line.split_once(" - ")?;
    let mut of_mount = of_mount.split(' ').skip(2);
    let (number, _root, point, options) =
        (of_mount.next()?, of_mount.next()?, of_mount.next()?, of_mount.next()?);
    let mut of_fs = of_fs.split(' ');
    let (fs_type, device, super_options) = (of_fs.next()?, of_fs.next()?, of_fs.next()?);
    let (major, minor) = number.split_once(':')?;
    let has = |options: &str, wanted: &str| options.split(',').any(|option| option == wanted);
    let point = point.replace("\\040", " ").replace("\\011", "\t");
    Some(Mount {
        device: device.to_owned(),
        point: without_rootfs(&point, rootfs),
        fs_type: fs_type.to_owned(),
        major: integer(major.as_bytes())?.to_string(),
        minor: integer(minor.as_bytes())?.to_string(),
        read_only: has(options, "ro") || has(super_options, "ro") || has(super_options, "emergency_ro"),
    })
}

/// The mount point as seen inside `rootfs`.
fn without_rootfs(point: &str, rootfs: &Path) -> String {
    if rootfs == Path::new("/") {
        return point.to_owned();
    }
    let prefix = rootfs.to_string_lossy();
    match point.strip_prefix(&*prefix).unwrap_or(point) {
        "" => "/".to_owned(),
        stripped => stripped.to_owned(),
    }
}

/// The mount point as this process reaches it.
fn below(rootfs: &Path, point: &str) -> PathBuf {
    rootfs.join(point.trim_start_matches('/'))
}

/// The families that the mounts are pushed to.
struct Families {
    error: Family,
    read_only: Family,
    size: Family,
    free: Family,
    available: Family,
    files: Family,
    files_free: Family,
    purgeable: Family,
    info: Family,
}

impl Families {
    fn new() -> Self {
        let family =
            |name: &str, help| Family::new(format!("node_filesystem_{name}"), help, MetricKind::Gauge);
        Families {
            error: family(
                "device_error",
                "Whether an error occurred while getting statistics for the given device.",
            ),
            read_only: family("readonly", "Filesystem read-only status."),
            size: family("size_bytes", "Filesystem size in bytes."),
            free: family("free_bytes", "Filesystem free space in bytes."),
            available: family("avail_bytes", "Filesystem space available to non-root users in bytes."),
            files: family("files", "Filesystem total file nodes."),
            files_free: family("files_free", "Filesystem total free file nodes."),
            purgeable: family(
                "purgeable_bytes",
                "Filesystem space available including purgeable space (MacOS specific).",
            ),
            info: family("mount_info", "Filesystem mount information."),
        }
    }

    fn push(&mut self, mount: &Mount, answer: &Answer) {
        let (error, stats) = match answer {
            Answer::Stats(stats) => ("", Some(stats)),
            Answer::Refused(error) => (error.as_str(), None),
            Answer::Hangs => (HANGS, None),
        };
        let labels = Labels::from_sorted([
            ("device", mount.device.as_str()),
            ("device_error", error),
            ("fstype", &mount.fs_type),
            ("mountpoint", &mount.point),
        ]);
        let flag = |is_set: bool| f64::from(u8::from(is_set));
        // Of a mount that hangs node_exporter does not look at the options.
        let read_only = mount.read_only && *answer != Answer::Hangs;
        self.error.push(labels.clone(), flag(stats.is_none()));
        self.read_only.push(labels.clone(), flag(read_only));
        let Some(stats) = stats else { return };
        self.size.push(labels.clone(), stats.size);
        self.free.push(labels.clone(), stats.free);
        self.available.push(labels.clone(), stats.available);
        self.files.push(labels.clone(), stats.files);
        self.files_free.push(labels.clone(), stats.files_free);
        self.purgeable.push(labels, 0.0);
        let info = [
            ("device", mount.device.as_str()),
            ("major", &mount.major),
            ("minor", &mount.minor),
            ("mountpoint", &mount.point),
        ];
        self.info.push(Labels::from_sorted(info), 1.0);
    }

    fn in_order(self) -> [Family; 9] {
        [
            self.error,
            self.read_only,
            self.size,
            self.free,
            self.available,
            self.files,
            self.files_free,
            self.purgeable,
            self.info,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str, rootfs: &str) -> Option<(String, String, String, String, bool)> {
        let mount = parse_mount(line.as_bytes(), Path::new(rootfs))?;
        let number = format!("{}:{}", mount.major, mount.minor);
        Some((mount.device, mount.point, mount.fs_type, number, mount.read_only))
    }

    #[test]
    fn mounts_are_read_as_the_kernel_documents_them() {
        let cases = [
            (
                "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard",
                "/",
                ("/dev/vda", "/", "ext4", "254:0", false),
            ),
            (
                "36 35 98:0 /m /a\\040b\\011c rw master:1 shared:2 - xfs /dev/x ro",
                "/",
                ("/dev/x", "/a b\tc", "xfs", "98:0", true),
            ),
            ("1 2 0:5 / /host/var ro - tmpfs none rw", "/host", ("none", "/var", "tmpfs", "0:5", true)),
            ("1 2 0:5 / /host rw - tmpfs none rw,emergency_ro", "/host", ("none", "/", "tmpfs", "0:5", true)),
            ("1 2 0:5 / /x rw,root - tmpfs none rw,errors=ro2", "/", ("none", "/x", "tmpfs", "0:5", false)),
        ];
        for (line, rootfs, (device, point, fs_type, number, read_only)) in cases {
            let expected = (device.into(), point.into(), fs_type.into(), number.into(), read_only);
            assert_eq!(mount(line, rootfs), Some(expected), "{line}");
        }
        for line in [
            "",
            "1 2 0:5 / /x rw",
            "1 2 05 / /x rw - tmpfs none rw",
            "1 2 a:b / /x rw - tmpfs none rw",
            "- a b c",
        ] {
            assert_eq!(mount(line, "/"), None, "{line}");
        }
    }
}
