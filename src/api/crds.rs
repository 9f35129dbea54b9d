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
            tidied(schema);
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
/// for absent then. Lines of a description end where its sentences do, and not where the source's do: kubectl breaks them again.
fn tidied(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n");
        let joined: Vec<String> = paragraphs.map(|lines| lines.replace('\n', " ")).collect();
        *description = joined.join("\n\n");
    }
    let fields = schema.properties.iter_mut();
    fields
        .flat_map(|fields| fields.values_mut())
        .for_each(tidied);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidied(items);
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
        schemas(crd).for_each(tidied);
    }
    crds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path and description of every field below a schema.
    fn fields(path: &str, schema: &JSONSchemaProps, out: &mut Vec<(String, JSONSchemaProps)>) {
        for (name, field) in schema.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            out.push((path.clone(), field.clone()));
            fields(&path, field, out);
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &field.items {
                fields(&format!("{path}[]"), items, out);
            }
        }
    }

    /// `kubectl explain` shows what somebody who writes an object wants to know. References and conditions are Kubernetes' own.
    #[test]
    fn every_field_says_whether_it_can_be_changed_its_default_its_unit_and_an_example() {
        const UNITS: [&str; 6] = [
            "Number of",
            "Length of",
            "bits",
            "percent",
            "Seconds",
            "generation",
        ];
        let mut seen = 0;
        for mut crd in metal3_crds() {
            let kind = crd.spec.names.kind.clone();
            let mut all = Vec::new();
            for schema in schemas(&mut crd) {
                fields("", schema, &mut all);
            }
            for (path, field) in all {
                let depth = path.matches('.').count();
                let is_ours = depth == 2 || path.starts_with(".spec.pools[]");
                if !is_ours || path.starts_with(".metadata") {
                    continue;
                }
                let text = field.description.unwrap_or_default();
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let says = |words: &str| text.contains(words);
                assert!(says("Example: "), "{kind}{path}: {text}");
                if path.starts_with(".spec") {
                    let changes = says("Can be changed") || says("Cannot be changed");
                    assert!(changes, "{kind}{path}: {text}");
                }
                if field.type_.as_deref() == Some("integer") {
                    let unit = UNITS.iter().any(|unit| says(unit));
                    assert!(unit, "{kind}{path} has a unit: {text}");
                }
                seen += 1;
            }
        }
        assert!(seen >= 35, "{seen} fields were looked at");
    }
}
