//! CPU time and memory of this process, from Linux' `/proc`; zero on other systems.

use std::time::Duration;

/// Clock ticks a second in `/proc`: fixed by the kernel's interface to programs, whatever its own timer is.
const TICKS: u64 = 100;

/// CPU time and memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// CPU time of all threads, in user mode and in the kernel.
    pub(super) cpu: Duration,
    /// Resident memory in bytes.
    pub(super) resident: u64,
}

/// CPU time and memory that this process has used until now.
pub(super) fn now() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Usage {
        cpu: cpu(&stat).unwrap_or_default(),
        resident: resident(&status).unwrap_or_default(),
    }
}

impl Usage {
    /// CPU time since then, and the memory now.
    pub(super) fn since(self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            resident: self.resident,
        }
    }
}

/// Fields 14 and 15 of `/proc/self/stat`. The second field is the program's name, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + kernel) * 1000 / TICKS))
}

/// `VmRSS` of `/proc/self/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says() {
        let stat = "17 (a) b) c) S 1 17 17 0 -1 4194304 1 0 0 0 250 125 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu(stat), Some(Duration::from_millis(3750)));
        assert_eq!(cpu("nonsense"), None);
        let status = "Name:\ta\nVmRSS:\t   2048 kB\nThreads:\t9\n";
        assert_eq!(resident(status), Some(2 << 20));
    }

    #[test]
    fn this_process_uses_something() {
        assert!(now().resident > 1 << 20);
    }
}
