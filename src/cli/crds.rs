//! `metal3-ipam crds`: the CustomResourceDefinitions as YAML. The tree's `crds/` holds the same text, one file each, so that
//! people can apply them without the program; `cargo xtask crds` writes it.

use std::collections::BTreeMap;

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

/// The files of `crds/`, by their path in the tree: the Metal3 kinds, and in `crds/capi` our minimal definitions of Cluster API's.
///
/// # Errors
///
/// A definition that YAML cannot hold.
pub fn files() -> anyhow::Result<BTreeMap<String, String>> {
    let folders = [("crds", metal3_crds()), ("crds/capi", capi_crds())];
    let all = folders
        .into_iter()
        .flat_map(|(folder, crds)| crds.into_iter().map(move |crd| (folder, crd)));
    all.map(|(folder, crd)| {
        let path = format!("{folder}/{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        Ok((path, document(&crd)?))
    })
    .collect()
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
    use super::*;

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
        let files = files().unwrap();
        assert_eq!(files.len(), 6);
        for document in files.values() {
            assert!(text(true).contains(document));
        }
    }
}
