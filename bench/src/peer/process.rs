//! A child process and what the kernel says that it costs.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// What a process has used since it started, and holds now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Seconds of all threads, in user and kernel mode.
    pub(crate) cpu: f64,
    /// Bytes resident.
    pub(crate) rss: f64,
    /// Of these, memory that is not a file's.
    pub(crate) rss_anon: f64,
    /// The highest that `rss` has been.
    pub(crate) rss_peak: f64,
    /// Bytes sent to disk.
    pub(crate) written: f64,
}

impl Process {
    pub(crate) fn start(program: &Path, args: &[String], log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Process { child })
    }

    /// Makes the highest resident memory that which is resident now.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        Ok(fs::write(Path::new("/proc").join(self.child.id().to_string()).join("clear_refs"), "5")?)
    }

    /// Wraps a child that was started otherwise.
    pub(crate) fn of(child: Child) -> Self {
        Process { child }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) fn end(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("no such process")?, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// # Errors
    /// When the process has ended.
    pub(crate) fn usage(&mut self) -> Result<Usage> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it has ended: {status}");
        }
        let folder = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(folder.join("status"))?;
        let kilobytes = |field| number_after(&status, field).unwrap_or_default() * 1024.0;
        let io = fs::read_to_string(folder.join("io")).unwrap_or_default();
        Ok(Usage {
            cpu: cpu_seconds(&fs::read_to_string(folder.join("stat"))?).context("/proc/PID/stat")?,
            rss: kilobytes("VmRSS:"),
            rss_anon: kilobytes("RssAnon:"),
            rss_peak: kilobytes("VmHWM:"),
            written: number_after(&io, "write_bytes:").unwrap_or_default(),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn number_after(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time: fields 14 and 15, counted after the name, which may hold blanks.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_a_process_is_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_seconds(stat), Some(200.0 / rustix::param::clock_ticks_per_second() as f64));
        assert_eq!(number_after("VmHWM:\t  12 kB\nVmRSS:\t   8 kB\n", "VmRSS:"), Some(8.0));
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut process = Process::of(child);
        assert!(process.usage().unwrap().rss > 0.0);
        process.kill().unwrap();
        assert!(process.usage().is_err());
    }
}
