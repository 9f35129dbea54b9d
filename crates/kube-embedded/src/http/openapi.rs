//! OpenAPI v3, one document for each group version, for `kubectl explain` and kubectl's validation: paths with their kinds, the
//! parameters of the patch operation, and the schemas. The documents are made at the first request.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::discovery::group_version_path;
use crate::builtin;
use crate::kinds::{Resource, Resources};
use crate::product::Product;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The documents, by the path that the index gives them (`apis/GROUP/VERSION`).
pub(super) struct OpenApi {
    documents: OnceLock<Documents>,
}

struct Documents {
    index: Bytes,
    by_path: BTreeMap<String, Bytes>,
}

impl OpenApi {
    pub(super) fn new() -> Self {
        Self {
            documents: OnceLock::new(),
        }
    }

    pub(super) fn index(&self, resources: &Resources, product: &Product) -> Bytes {
        self.documents(resources, product).index.clone()
    }

    pub(super) fn document(
        &self,
        path: &str,
        resources: &Resources,
        product: &Product,
    ) -> Option<Bytes> {
        self.documents(resources, product)
            .by_path
            .get(path)
            .cloned()
    }

    fn documents(&self, resources: &Resources, product: &Product) -> &Documents {
        self.documents
            .get_or_init(|| Documents::of(resources, product))
    }
}

impl Documents {
    fn of(resources: &Resources, product: &Product) -> Self {
        let mut by_version: BTreeMap<(&str, &str), Vec<&Resource>> = BTreeMap::new();
        for resource in resources.all() {
            let key = (resource.group.as_str(), resource.version.as_str());
            by_version.entry(key).or_default().push(resource);
        }
        let mut index = Map::new();
        let mut by_path = BTreeMap::new();
        for ((group, version), served) in by_version {
            let path = group_version_path(group, version);
            let text = document(&served, resources, product).to_string();
            // Clients keep a document as long as its hash in the index stays.
            let url = format!("/openapi/v3/{path}?hash={:016X}", fnv(text.as_bytes()));
            index.insert(path.clone(), json!({"serverRelativeURL": url}));
            by_path.insert(path, Bytes::from(text));
        }
        Self {
            index: Bytes::from(json!({"paths": index}).to_string()),
            by_path,
        }
    }
}

/// The document before v3, without a schema: kubectl asks for it before it applies a List, and takes for valid what is not in it.
pub(super) fn v2(product: &Product) -> Bytes {
    let title = format!("{} standalone", product.name);
    let info = json!({"title": title, "version": product.version});
    Bytes::from(json!({"swagger": "2.0", "info": info, "paths": {}}).to_string())
}

/// The same as kubectl takes it, in protobuf: `swagger`, the first field of gnostic's Document.
pub(super) const V2_PROTOBUF: &[u8] = b"\x0a\x032.0";

/// Whether this Accept takes [`V2_PROTOBUF`], in either spelling of its type.
pub(super) fn takes_v2_protobuf(accept: &str) -> bool {
    accept.contains("application/com.github.proto-openapi.spec.v2")
}

/// FNV-1a. A document that changes gets another hash; nothing else depends on it.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn document(served: &[&Resource], resources: &Resources, product: &Product) -> Value {
    let mut schemas = meta_schemas();
    let mut paths = Map::new();
    for resource in served {
        let id = schema_id(resource);
        schemas.insert(id.clone(), schema(resource, resources));
        schemas.insert(format!("{id}List"), list_schema(resource, &id));
        add_paths(resource, &id, &mut paths);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": format!("{} standalone", product.name), "version": product.version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"},
            },
        },
    })
}

/// `com.example.v1.Widget`: the group's parts in reverse order, as a real API server names schemas.
fn schema_id(resource: &Resource) -> String {
    let group = if resource.group.is_empty() {
        "core.api.k8s.io"
    } else {
        &resource.group
    };
    let backwards: Vec<&str> = group.rsplit('.').collect();
    format!(
        "{}.{}.{}",
        backwards.join("."),
        resource.version,
        resource.kind
    )
}

fn gvk(resource: &Resource, kind: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": kind})
}

fn reference(id: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{id}")})
}

/// A reference with a description. OpenAPI 3.0 ignores what stands beside `$ref`, so it is wrapped in `allOf`.
fn described(id: &str, description: &str) -> Value {
    json!({"allOf": [reference(id)], "description": description, "default": {}})
}

fn schema(resource: &Resource, resources: &Resources) -> Value {
    let mut schema = resources
        .definitions()
        .iter()
        .find(|crd| crd.spec.group == resource.group && crd.spec.names.kind == resource.kind)
        .and_then(|crd| {
            crd.spec
                .versions
                .iter()
                .find(|v| v.name == resource.version)
        })
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|props| serde_json::to_value(props).ok())
        .unwrap_or_else(|| builtin_schema(resource));
    let own = &mut schema["properties"];
    for field in [builtin::API_VERSION, builtin::KIND] {
        own[field.name] = builtin::of_field(&field);
    }
    let metadata = builtin::METADATA;
    own[metadata.name] = described(&format!("{META}ObjectMeta"), metadata.description);
    schema["x-kubernetes-group-version-kind"] = json!([gvk(resource, &resource.kind)]);
    schema
}

fn builtin_schema(resource: &Resource) -> Value {
    if let Some(of) = builtin::object_of(&resource.group, &resource.kind) {
        return builtin::schema(of);
    }
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"type": "object", "description": resource.kind, "properties": {"spec": open, "status": open}})
}

fn list_schema(resource: &Resource, id: &str) -> Value {
    json!({
        "type": "object",
        "description": format!("A list of {}.", resource.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": described(&format!("{META}ListMeta"), "Revision of the list, and where it goes on."),
            "items": {"type": "array", "items": reference(id)},
        },
        "x-kubernetes-group-version-kind": [gvk(resource, &resource.list_kind)],
    })
}

fn add_paths(resource: &Resource, id: &str, paths: &mut Map<String, Value>) {
    let base = group_version_path(&resource.group, &resource.version);
    let collection = if resource.namespaced {
        format!("/{base}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("/{base}/{}", resource.plural)
    };
    let place: Vec<Value> = if resource.namespaced {
        paths.insert(
            format!("/{base}/{}", resource.plural),
            json!({"get": operation(resource, "list", &format!("{id}List"), &[], None)}),
        );
        vec![in_path("namespace")]
    } else {
        Vec::new()
    };

    let mut many = json!({"get": operation(resource, "list", &format!("{id}List"), &[], None)});
    let mut one = json!({"get": operation(resource, "get", id, &[], None)});
    if !resource.is_read_only() {
        let write = ["dryRun", "fieldManager", "fieldValidation"];
        many["post"] = operation(
            resource,
            "post",
            id,
            &write,
            Some((&["application/json", "application/yaml"], id)),
        );
        one["put"] = operation(
            resource,
            "put",
            id,
            &write,
            Some((&["application/json", "application/yaml"], id)),
        );
        one["patch"] = patch(resource, id);
        one["delete"] = operation(
            resource,
            "delete",
            &format!("{META}Status"),
            &["dryRun", "gracePeriodSeconds", "propagationPolicy"],
            None,
        );
    }
    let mut status =
        json!({"get": operation(resource, "get", id, &[], None), "patch": patch(resource, id)});
    let mut item_place = place.clone();
    item_place.push(in_path("name"));
    many["parameters"] = place.into();
    one["parameters"] = item_place.clone().into();
    status["parameters"] = item_place.into();
    paths.insert(collection.clone(), many);
    paths.insert(format!("{collection}/{{name}}"), one);
    if resource.status_subresource {
        paths.insert(format!("{collection}/{{name}}/status"), status);
    }
}

fn patch(resource: &Resource, id: &str) -> Value {
    let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let types: &[&str] = &[
        "application/json-patch+json",
        "application/merge-patch+json",
    ];
    operation(
        resource,
        "patch",
        id,
        &parameters,
        Some((types, &format!("{META}Patch"))),
    )
}

fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}})
}

/// One operation: the schema of its answer, its query parameters, and the media types and schema of its body, if it has one.
fn operation(
    resource: &Resource,
    action: &str,
    answer: &str,
    parameters: &[&str],
    body: Option<(&[&str], &str)>,
) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    let mut operation = json!({
        "operationId": format!("{action}{}{}", resource.kind, if answer.ends_with("List") { "List" } else { "" }),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference(answer)}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(resource, &resource.kind),
    });
    if let Some((types, schema)) = body {
        let content: Map<String, Value> = types
            .iter()
            .map(|media| ((*media).to_owned(), json!({"schema": reference(schema)})))
            .collect();
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

/// The schemas that all documents refer to.
fn meta_schemas() -> Map<String, Value> {
    let text = |what: &str| json!({"type": "string", "description": what});
    let number = |what: &str| json!({"type": "integer", "format": "int64", "description": what});
    let schemas = [
        ("ObjectMeta", builtin::schema(&builtin::OBJECT_META)),
        (
            "ListMeta",
            json!({"type": "object", "description": "What every list has.", "properties": {
                "continue": text("Where the next page begins."),
                "remainingItemCount": number("Objects behind this page."),
                "resourceVersion": text("Revision that the list shows."),
            }}),
        ),
        (
            "Status",
            json!({"type": "object", "description": "The outcome of a request that gives back no object.",
                "properties": {
                    "apiVersion": text("v1"),
                    "kind": text("Status"),
                    "metadata": reference(&format!("{META}ListMeta")),
                    "status": text("Success or Failure."),
                    "message": text("For people."),
                    "reason": text("For programs."),
                    "code": {"type": "integer", "format": "int32", "description": "HTTP status code."},
                    "details": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
                "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Status"}]}),
        ),
        (
            "Patch",
            json!({"type": "object", "description": "Changes to an object."}),
        ),
    ];
    schemas
        .into_iter()
        .map(|(name, schema)| (format!("{META}{name}"), schema))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.push(target.clone());
                }
                map.values().for_each(|v| references(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_document_of_the_index_stands_for_itself() {
        let (resources, product) = (crate::testing::resources(), crate::testing::product());
        let openapi = OpenApi::new();
        let index: Value = serde_json::from_slice(&openapi.index(&resources, &product)).unwrap();
        for resource in resources.all() {
            let path = group_version_path(&resource.group, &resource.version);
            let url = index["paths"][&path]["serverRelativeURL"].as_str().unwrap();
            assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")));
            let text = openapi.document(&path, &resources, &product).unwrap();
            let document: Value = serde_json::from_slice(&text).unwrap();
            let mut found = Vec::new();
            references(&document, &mut found);
            for target in found {
                let pointer = target.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{path}: {target}");
            }
            let schema = &document["components"]["schemas"][schema_id(resource)];
            assert_eq!(
                schema["x-kubernetes-group-version-kind"][0]["kind"],
                resource.kind.as_str()
            );
            assert_eq!(schema["type"], "object");
        }
        assert_eq!(openapi.document("apis/none/v1", &resources, &product), None);
    }

    #[test]
    fn kubectl_finds_the_parameters_that_it_probes_for() {
        let resources = crate::testing::resources();
        let path = "apis/example.com/v1alpha1";
        let text = OpenApi::new()
            .document(path, &resources, &crate::testing::product())
            .unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        let item = &document["paths"][format!("/{path}/namespaces/{{namespace}}/widgets/{{name}}")];
        let parameters = item["patch"]["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
        let spec =
            &document["components"]["schemas"]["com.example.v1alpha1.Widget"]["properties"]["spec"];
        assert!(spec["properties"]["model"]["description"].is_string());
    }
}
