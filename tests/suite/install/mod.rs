//! What `deploy/` installs: kubectl renders each overlay, a real kube-apiserver takes it under strict validation, and the program
//! runs as the Deployment says.
//!
//! ```text
//!   rendered.rs   kubectl kustomize -> objects; what holds of them without a server
//!   kubelet.rs    the Deployment, read from the server -> processes with its args, environment, account and probes
//!   cluster.rs    a real control plane, kubectl on it, and stand-ins for what it lacks
//!   shell.rs      the commands of a page, run as its reader would
//!   overlays.rs   each overlay, from apply to 200 claims served
//!   release_of_upstream.rs  the objects that a release of metal3-io/ip-address-manager installs
//!   migration.rs  from upstream and back, by the commands of docs/migration.md
//!   uninstall.rs  taken away and installed again, then removed for good, by the commands of docs/install.md
//!   backup.rs     objects saved with kubectl and put into an empty cluster, by the commands of docs/backup.md
//!   moving.rs     clusterctl move between two real API servers
//!   helm/         what Helm makes of the chart, without a server and on one
//!   clusterctl.rs the files of a release, from `make release` to an upgrade's plan
//! ```
//! What the chart generates and copies is compared by `crates/xtask`.

mod backup;
mod cluster;
mod clusterctl;
mod helm;
mod kubelet;
mod migration;
mod moving;
mod overlays;
mod release_of_upstream;
mod rendered;
mod shell;
mod uninstall;

use std::path::{Path, PathBuf};

/// A path in the folder of the Helm chart.
fn chart(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("deploy/helm/metal3-ipam").join(path)
}
