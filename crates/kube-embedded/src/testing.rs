//! What the tests of this crate serve: the kinds of `testdata/definitions.yaml`, without rules.

use std::sync::{Arc, LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::Resources;
use crate::product::Product;
use crate::serves::Serves;

/// The kinds of `testdata/definitions.yaml`, and the built-in ones.
pub(crate) fn resources() -> Arc<Resources> {
    static RESOURCES: LazyLock<Arc<Resources>> = LazyLock::new(|| {
        let definitions: Vec<CustomResourceDefinition> =
            serde_saphyr::from_multiple(include_str!("../testdata/definitions.yaml")).unwrap();
        assert_eq!(definitions.len(), 4);
        Resources::of(definitions).unwrap()
    });
    Arc::clone(&RESOURCES)
}

/// These kinds, and the name of a product.
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
    group = "example.com",
    version = "v1alpha1",
    kind = "Widget",
    namespaced,
    status = "WidgetStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WidgetSpec {
    pub(crate) model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i32>,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub(crate) struct WidgetStatus {
    pub(crate) capacity: Option<i64>,
}

#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[kube(
    group = "example.com",
    version = "v1alpha1",
    kind = "Gadget",
    namespaced
)]
pub(crate) struct GadgetSpec {
    pub(crate) widget: WidgetRef,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
pub(crate) struct WidgetRef {
    pub(crate) name: String,
}
