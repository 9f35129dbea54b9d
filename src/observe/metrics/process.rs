//! `process_*`, under the names that every Prometheus client has them: read from `/proc/self`, nothing where there is none.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Kind, Shape};

/// Ticks a second in `/proc`: the kernel's interface has this number on every architecture that Rust builds for.
const TICKS: f64 = 100.0;

const CPU: Shape = Shape {
    name: "process_cpu_seconds_total",
    labels: &[],
    help: "Time that the process spent on a CPU, in seconds.",
    kind: Kind::Counter,
};
const RESIDENT: Shape = Shape::gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory of the process that is in RAM, in bytes.",
);
const VIRTUAL: Shape = Shape::gauge(
    "process_virtual_memory_bytes",
    &[],
    "Address space of the process, in bytes.",
);
const OPEN: Shape = Shape::gauge(
    "process_open_fds",
    &[],
    "File descriptors that the process has open.",
);
const MOST: Shape = Shape::gauge(
    "process_max_fds",
    &[],
    "File descriptors that the process may have open.",
);
const STARTED: Shape = Shape::gauge(
    "process_start_time_seconds",
    &[],
    "Start of the process, in seconds since the Unix epoch.",
);
const SHAPES: [Shape; 6] = [CPU, RESIDENT, VIRTUAL, OPEN, MOST, STARTED];

/// The collector of this process's own figures.
pub(super) struct Process(Vec<Desc>);

impl Process {
    pub(super) fn new() -> Self {
        Self(SHAPES.iter().map(Shape::desc).collect())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        let (stat, status) = (read("self/stat"), read("self/status"));
        let (limits, system) = (read("self/limits"), read("stat"));
        let values = [
            (CPU, cpu(&stat)),
            (RESIDENT, kibibytes(&status, "VmRSS:")),
            (VIRTUAL, kibibytes(&status, "VmSize:")),
            (OPEN, open()),
            (MOST, word(&limits, "Max open files", 0)),
            (STARTED, started(&stat, &system)),
        ];
        let known = values.into_iter().filter_map(|(shape, value)| {
            let series = vec![shape.series(&[], value?)];
            Some(shape.family(series))
        });
        known.collect()
    }
}

/// Field `n` of `/proc/self/stat`, counted as proc(5) does. The second one is the program's name and may hold anything.
fn field(stat: &str, n: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(n.checked_sub(3)?)?.parse().ok()
}

fn cpu(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn started(stat: &str, system: &str) -> Option<f64> {
    Some(word(system, "btime", 0)? + field(stat, 22)? / TICKS)
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    Some(word(status, name, 0)? * 1024.0)
}

/// The `n`-th word after `name` on the line that begins with it.
fn word(text: &str, name: &str, n: usize) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(n)?.parse().ok()
}

fn open() -> Option<f64> {
    // One of them is the folder that is being read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 3 0 1000 1 2";
        assert_eq!(cpu(stat), Some(2.0));
        assert_eq!(started(stat, "cpu 1\nbtime 100\n"), Some(110.0));
        assert_eq!(cpu(""), None);
        assert_eq!(kibibytes("VmRSS:\t    2 kB\n", "VmRSS:"), Some(2048.0));
        let unlimited = "Max open files            unlimited            unlimited            files";
        assert_eq!(word(unlimited, "Max open files", 0), None);
    }
}
