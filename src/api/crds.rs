//! The CustomResourceDefinitions, generated from the wire types. `crds/*.yaml` is their printed form; a test holds the two
//! together.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use super::{capi, metal3, names, rules};

/// IPPool, IPClaim and IPAddress of `ipam.metal3.io`, labelled as clusterctl wants a provider's CRDs.
pub fn metal3_crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        metal3::IPPool::crd(),
        metal3::IPClaim::crd(),
        metal3::IPAddress::crd(),
    ];
    for crd in &mut crds {
        for schema in schemas(crd) {
            nothing_is_null(schema);
        }
        rules::guard(crd);
        let labels = crd.metadata.labels.get_or_insert_default();
        // clusterctl finds what to move by its own label. The contracts' labels name the version of the kind that fulfils each.
        for (key, value) in [
            (names::PROVIDER_LABEL, names::PROVIDER_NAME),
            ("clusterctl.cluster.x-k8s.io", ""),
            ("cluster.x-k8s.io/v1beta1", names::METAL3_VERSION),
            ("cluster.x-k8s.io/v1beta2", names::METAL3_VERSION),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    crds
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let versions = crd.spec.versions.iter_mut();
    versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

/// A field that is absent is not written as `null`, as in upstream's definitions and Cluster API's: a server takes `null`
/// for absent then.
fn nothing_is_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    let fields = schema.properties.iter_mut();
    fields
        .flat_map(|fields| fields.values_mut())
        .for_each(nothing_is_null);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        nothing_is_null(items);
    }
}

/// Our minimal Cluster, IPAddressClaim and IPAddress, for servers without Cluster API.
pub fn capi_crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        capi::Cluster::crd(),
        capi::IPAddressClaim::crd(),
        capi::CapiIPAddress::crd(),
    ];
    for crd in &mut crds {
        let labels = crd.metadata.labels.get_or_insert_default();
        labels.insert("clusterctl.cluster.x-k8s.io".to_owned(), String::new());
        schemas(crd).for_each(nothing_is_null);
    }
    crds
}
