//! The machine of a run and the program that ran: what a reader needs to judge figures, and what two runs must have in common.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

/// The machine, from Linux' `/proc`; fields without a source are empty or zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Machine {
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// Memory in bytes.
    memory: u64,
    /// Operating system, kernel and architecture.
    system: String,
}

impl Machine {
    /// The machine that this process runs on.
    pub(super) fn here() -> Self {
        let release = read("/etc/os-release");
        let kernel = read("/proc/sys/kernel/osrelease");
        let name = field(&release, "PRETTY_NAME=").trim_matches('"');
        let name = Some(name).filter(|name| !name.is_empty());
        let parts = [
            name.unwrap_or(std::env::consts::OS),
            kernel.trim(),
            std::env::consts::ARCH,
        ];
        let kib = field(&read("/proc/meminfo"), "MemTotal:")
            .trim_end_matches("kB")
            .trim()
            .parse()
            .unwrap_or(0);
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory: 1024 * kib,
            system: parts.join(" "),
        }
    }

    /// For programs: memory in bytes, the load of the last minute before and after the run.
    pub(super) fn json(&self, before: f64, after: f64) -> Value {
        json!({
            "cores": self.cores,
            "memoryBytes": self.memory,
            "system": self.system,
            "loadBefore": before,
            "loadAfter": after,
        })
    }
}

/// Programs that ran or wanted to run at the same time, on average of the last minute.
pub(super) fn load() -> f64 {
    let text = read("/proc/loadavg");
    let first = text.split_whitespace().next();
    first.and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Version and commit of this program, and whether it was built with optimizations.
pub(super) fn build() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("METAL3_IPAM_REVISION").unwrap_or("unknown"),
        "profile": profile(),
    })
}

/// Figures of a debug build and of a release build cannot be compared.
pub(super) fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What follows the key in the line that begins with it.
fn field<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_names_its_memory_and_its_load() {
        assert_eq!(field("A=1\nMemTotal:  2048 kB\n", "MemTotal:"), "2048 kB");
        assert_eq!(field("A=1\n", "B="), "");
        let here = Machine::here();
        assert!(here.cores > 0 && here.memory > 1 << 20, "{here:?}");
        assert!(here.system.contains(std::env::consts::ARCH), "{here:?}");
        assert!(load().is_finite());
    }
}
