//! `cargo xtask`: the files of this tree that are generated, and the commands that pack it. Not part of the product.
//!
//! ```text
//!   tasks.rs       the commands that people type
//!   generator.rs   a generator: its name, its files, and how they differ from those in the tree
//!   crds           crds/                                     from the Rust types
//!   docs           docs/cli.md, docs/api.md                  pages/        from clap's flags and the definitions
//!   dashboards     dashboards/*.json, docs/metrics.md, ...   dashboards/, metrics.rs
//!   chart          the Helm chart's copies and table         chart/        from the other folders and values.yaml
//!   guards         the table of docs/testing.md              guards.rs     from tests/guards/table.rs
//!   packed.rs      commands that run a script or a test: admission, image, release
//! ```
//!
//! A generator returns the text of its files and writes nothing. A test compares each text with the tree and names the command
//! that writes it.

mod chart;
mod dashboards;
mod generator;
mod guards;
mod marks;
mod metrics;
mod packed;
mod pages;
mod tasks;

use std::collections::BTreeMap;
use std::path::Path;

pub use tasks::main;

/// Texts of files, by their path in the tree.
type Files = BTreeMap<String, String>;

/// The root of the tree.
fn root() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).unwrap_or(Path::new("."))
}
