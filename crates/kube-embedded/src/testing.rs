//! What the tests of this crate serve: the definitions of the product that it was made for, as files, and no rules.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::Resources;
use crate::product::Product;
use crate::serves::Serves;

/// The kinds of the definitions in `crds/`, and the built-in ones.
pub(crate) fn resources() -> Arc<Resources> {
    static RESOURCES: LazyLock<Arc<Resources>> = LazyLock::new(|| {
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        let mut paths: Vec<_> = [crds.clone(), crds.join("capi")]
            .iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
            .collect();
        paths.sort();
        let definitions: Vec<CustomResourceDefinition> = paths
            .iter()
            .map(|path| serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap())
            .collect();
        assert_eq!(definitions.len(), 6);
        Resources::of(definitions).unwrap()
    });
    Arc::clone(&RESOURCES)
}

/// These, under a name.
pub(crate) fn serves() -> Serves {
    Serves {
        resources: resources(),
        admission: None,
        product: product(),
    }
}

pub(crate) fn product() -> Product {
    Product {
        name: "some-operator",
        version: "1.2.3",
    }
}

#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "ipam.metal3.io",
    version = "v1alpha1",
    kind = "IPPool",
    namespaced,
    status = "IPPoolStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IPPoolSpec {
    pub(crate) name_prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<i32>,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub(crate) struct IPPoolStatus {
    pub(crate) capacity: Option<i64>,
}

#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[kube(
    group = "ipam.metal3.io",
    version = "v1alpha1",
    kind = "IPClaim",
    namespaced
)]
pub(crate) struct IPClaimSpec {
    pub(crate) pool: PoolRef,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
pub(crate) struct PoolRef {
    pub(crate) name: String,
}
