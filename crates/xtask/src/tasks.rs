//! The commands that people type.

use std::path::{PathBuf, absolute};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::generator::{GENERATORS, Generator};
use crate::{packed, root};

/// Writes the files of this tree that are generated, and packs the image and the release.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes crds/, from the Rust types.
    Crds,
    /// Writes docs/cli.md from the flags, and docs/api.md from the definitions.
    Docs,
    /// Writes dashboards/*.json, the operator's rules in deploy/monitoring, and docs/metrics.md from the registry.
    Dashboards,
    /// Writes the table of guards in docs/testing.md, from tests/guards/table.rs.
    Guards,
    /// Writes the Helm chart's copies of other folders, and the table of values in its README.
    Chart,
    /// Runs all of the above.
    Generate,
    /// Writes the table in docs/admission.md, from the answers of a real kube-apiserver (needs Go).
    Admission,
    /// Builds the container image as an OCI layout in OUT/image, with its SBOM.
    Image(Out),
    /// Builds the root file system of the image in OUT/root, and the SBOM.
    ImageRoot(Out),
    /// Puts what `image` needs beside Rust into the user's cache.
    ImageDeps,
    /// Builds the image twice, compares the digests, and tests the content.
    ImageTest,
    /// Writes the files that clusterctl installs from: OUT/ipam-components.yaml and OUT/metadata.yaml.
    Release {
        #[command(flatten)]
        out: Out,
        /// The image in the components, where it is not that of the manifests.
        #[arg(long, value_name = "NAME:TAG")]
        image: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Out {
    /// The folder to write to.
    #[arg(long, value_name = "OUT", default_value = "out")]
    out: PathBuf,
}

impl Out {
    /// The folder, as seen from where the command was started.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        absolute(&self.out).with_context(|| self.out.display().to_string())
    }
}

/// Runs the generators that `is_wanted` chooses, and says which files changed.
fn generate(is_wanted: impl Fn(&Generator) -> bool) -> anyhow::Result<()> {
    for generator in GENERATORS.iter().filter(|generator| is_wanted(generator)) {
        let changed = generator.write(root())?;
        for path in &changed {
            println!("{}: changed {path}", generator.name);
        }
        if changed.is_empty() {
            println!("{}: nothing changed", generator.name);
        }
    }
    Ok(())
}

fn perform(task: Task) -> anyhow::Result<()> {
    let root = root();
    match task {
        Task::Crds => generate(|g| g.name == "crds"),
        Task::Docs => generate(|g| g.name == "docs"),
        Task::Dashboards => generate(|g| g.name == "dashboards"),
        Task::Guards => generate(|g| g.name == "guards"),
        Task::Chart => generate(|g| g.name == "chart"),
        Task::Generate => generate(|_| true),
        Task::Admission => {
            let changed = packed::admission(root)?;
            let what = if changed {
                "changed docs/admission.md"
            } else {
                "nothing changed"
            };
            println!("admission: {what}");
            Ok(())
        }
        Task::Image(out) => packed::image(root, &out.folder()?),
        Task::ImageRoot(out) => packed::image_root(root, &out.folder()?),
        Task::ImageDeps => packed::image_deps(root),
        Task::ImageTest => packed::image_test(root),
        Task::Release { out, image } => packed::release(root, &out.folder()?, image.as_deref()),
    }
}

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
