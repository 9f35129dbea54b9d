//! Metrics, in the text format 0.0.4 or as protobuf. Names, units and labels follow the conventions of prometheus.io; what each one means
//! stands in `docs/metrics.md`, which a test holds to what is registered here.
//!
//! ```text
//!   decisions, steps, requests --count--> counted.rs  (atomics, written as things happen)
//!   Sight: snapshots, kinds,   --read---> pools.rs    (per pool: made at scrape time, gone with the pool)
//!          mailboxes                      fleet.rs    (over all pools, fixed in size)
//!   /proc/self                 --read---> process.rs
//!   rounds of the bench        --count--> bench.rs    (metal3-ipam bench alone)
//!   registry --> text, or protobuf.rs with the histograms of native.rs
//! ```
//!
//! No label ever carries an address, a claim or a machine, so the number of series is bounded by that of the pools, and
//! that by [`PoolMetrics`]. Everything is registered in a registry that is handed in; there is no global one.

mod bench;
mod counted;
mod defined;
mod family;
mod fleet;
mod native;
mod pools;
mod process;
mod protobuf;
#[cfg(test)]
mod tests;

pub use bench::BenchMetrics;
pub use counted::{InFlight, Metrics, Reviewed, SecretRepair, Step};
pub use native::Natives;
pub use pools::PoolMetrics;
pub use protobuf::{CONTENT_TYPE as PROTOBUF, encoded as protobuf};

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::pool::{KindState, Snapshot};

/// What a scrape reads of the running controller.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Newest snapshot of every pool that is this manager's. `None` while it does not lead: it knows of no name that is taken and
    /// judges no claim, so its numbers would differ from the leader's.
    pub pools: Option<Vec<Arc<Snapshot>>>,
    /// State of every watched kind, by `plural.group`.
    pub kinds: Vec<(String, KindState)>,
    /// Pools with a worker.
    pub workers: usize,
    /// Those with something to take in or a request on its way.
    pub busy: usize,
    /// Those with something to take in.
    pub queued: usize,
    /// Inputs that the pools have not taken yet.
    pub backlog: usize,
    /// For how long workers have worked on what they have in hand, all together.
    pub unfinished: Duration,
    /// The longest of these.
    pub longest: Duration,
}

/// Returns what a scrape of the metrics shows of the pools and kinds.
pub type Look = Box<dyn Fn() -> Sight + Send + Sync>;

/// The type of the text that [`text`] makes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Registers everything: what `metrics` counts, and what is read when a scrape comes.
///
/// # Errors
/// When the registry holds one of the names already.
pub fn register(
    registry: &Registry,
    metrics: &Metrics,
    look: Look,
    mode: PoolMetrics,
) -> prometheus::Result<()> {
    metrics.register(registry)?;
    registry.register(Box::new(fleet::Fleet::new(look, mode)))?;
    registry.register(Box::new(process::Process::new()))
}

/// What the registry holds now, as text.
///
/// # Errors
/// When a collector made something that is no metric, which a test excludes.
pub fn text(registry: &Registry) -> prometheus::Result<Vec<u8>> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

/// A scrape's text as gzip. Most of it is the same words again, so the fastest level is enough.
///
/// # Errors
/// None: the encoder writes into memory.
pub fn gzipped(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text)?;
    gzip.finish()
}

/// `plural.group` of every kind that is watched, so that series exist from the start. A test of the controller holds it to
/// its own list.
pub const RESOURCES: [&str; 6] = [
    "ippools.ipam.metal3.io",
    "ipclaims.ipam.metal3.io",
    "ipaddresses.ipam.metal3.io",
    "ipaddressclaims.ipam.cluster.x-k8s.io",
    "ipaddresses.ipam.cluster.x-k8s.io",
    "clusters.cluster.x-k8s.io",
];
