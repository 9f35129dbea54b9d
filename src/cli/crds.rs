//! `metal3-ipam crds`: the CustomResourceDefinitions as YAML. The tree's `crds/` holds the same text, one file each, so that
//! people can apply them without the program; a test holds the two together.

use anyhow::Context;
use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::api::crds::{capi_crds, metal3_crds};

/// Prints the CustomResourceDefinitions, for `kubectl apply -f -`.
#[derive(Debug, Args)]
pub(super) struct Crds {
    /// Also our minimal Cluster, IPAddressClaim and IPAddress, for a cluster without Cluster API. Never apply these where
    /// Cluster API is installed: its own definitions have more.
    #[arg(long)]
    with_capi: bool,
}

impl Crds {
    /// All documents, each opening with `---`.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let mut crds = metal3_crds();
        if self.with_capi {
            crds.extend(capi_crds());
        }
        crds.iter().map(document).collect()
    }
}

/// One definition as a YAML document.
fn document(crd: &CustomResourceDefinition) -> anyhow::Result<String> {
    let name = || {
        format!(
            "writing {} as YAML",
            crd.metadata.name.as_deref().unwrap_or("a definition")
        )
    };
    // Through a value: its keys are sorted, so that the text does not depend on the order of fields in a library.
    let value = serde_json::to_value(crd).with_context(name)?;
    let yaml = serde_saphyr::to_string(&value).with_context(name)?;
    Ok(format!("---\n{}\n", yaml.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Every file of `crds/` with the text that it shall have.
    fn files() -> BTreeMap<PathBuf, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let dir_of = [
            (root.clone(), metal3_crds()),
            (root.join("capi"), capi_crds()),
        ];
        let files = dir_of.into_iter().flat_map(|(dir, crds)| {
            crds.into_iter().map(move |crd| {
                let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
                (dir.join(file), document(&crd).unwrap())
            })
        });
        files.collect()
    }

    #[test]
    fn the_trees_files_are_what_the_program_prints() {
        let want = files();
        assert_eq!(want.len(), 6);
        if std::env::var_os("WRITE_CRDS").is_some() {
            for (path, text) in &want {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
        for (path, text) in &want {
            let found = std::fs::read_to_string(path).unwrap_or_default();
            assert!(
                found == *text,
                "{} is not what the types say; regenerate with: make crds",
                path.display()
            );
        }
        let dirs: std::collections::BTreeSet<_> = want.keys().filter_map(|p| p.parent()).collect();
        for dir in dirs {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                assert!(
                    path.is_dir() || path.ends_with("Kustomization") || want.contains_key(&path),
                    "{} is of no type; remove it",
                    path.display()
                );
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_definitions() {
        let text = |with_capi| Crds { with_capi }.text().unwrap();
        let read =
            |with_capi| serde_saphyr::from_multiple::<serde_json::Value>(&text(with_capi)).unwrap();
        let values = |crds: Vec<CustomResourceDefinition>| {
            let all = crds.iter().map(|c| serde_json::to_value(c).unwrap());
            all.collect::<Vec<_>>()
        };
        assert_eq!(read(false), values(metal3_crds()));
        assert_eq!(
            read(true),
            [values(metal3_crds()), values(capi_crds())].concat()
        );
        for (_, document) in files() {
            assert!(text(true).contains(&document));
        }
    }
}
