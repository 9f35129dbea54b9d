//! The resources that are served: those of the CustomResourceDefinitions that the server is given, and the built-in ones
//! (`builtin`).

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use thiserror::Error;

use crate::builtin;
use crate::schema::{Schema, SchemaError};
use managed_fields::Layout;

/// One resource that is served.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind of one object.
    pub kind: String,
    /// Kind of a list of them.
    pub list_kind: String,
    /// Plural name, as paths have it: `configmaps`.
    pub plural: String,
    /// Name of one object, for people.
    pub singular: String,
    /// Short names for people.
    pub short_names: Vec<String>,
    /// Categories, for `kubectl get <category>`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is a subresource.
    pub status_subresource: bool,
    /// The structural schema of a custom resource. `None` for built-in kinds.
    pub schema: Option<Arc<Schema>>,
    /// Columns after NAME of a table.
    pub columns: Vec<Column>,
    /// Fields that a field selector may name, beside `metadata.name` and `metadata.namespace`. Without a leading dot.
    pub selectable: Vec<String>,
    /// How it behaves where kinds differ.
    pub strategy: Strategy,
    /// Decides which fields of its objects are owned separately (`metadata.managedFields`).
    pub(crate) layout: Layout,
    /// Index in [`Resources::all`].
    pub(crate) index: usize,
}

/// How the objects of a resource behave where resources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// A custom resource: has a schema and a generation; an update needs a resourceVersion.
    Custom,
    /// CustomResourceDefinitions: can only be read.
    Definition,
    /// Namespaces: contain objects, and are deleted in two steps.
    Namespace,
    /// Events: created or replaced by PUT, deleted after an hour.
    Event,
    /// Leases: created or replaced by PUT; an update needs a resourceVersion.
    Lease,
    /// ConfigMaps and Secrets.
    Plain,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// Format of that type; mostly empty.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// Above 0: shown in wide output only.
    pub priority: i32,
    /// JSONPath of the value, as in a CustomResourceDefinition.
    pub json_path: String,
}

/// Every resource that is served.
#[derive(Debug)]
pub struct Resources {
    all: Vec<Arc<Resource>>,
    definitions: Vec<CustomResourceDefinition>,
}

/// Why a CustomResourceDefinition cannot be served.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// No version has `storage: true`.
    #[error("CustomResourceDefinition {name}: no version has storage: true")]
    NoStoredVersion {
        /// The definition.
        name: String,
    },
    /// The schema cannot be written as JSON.
    #[error("CustomResourceDefinition {name}: its schema: {source}")]
    Json {
        /// The definition.
        name: String,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// The schema cannot be compiled.
    #[error("CustomResourceDefinition {name}: its schema: {source}")]
    Schema {
        /// The definition.
        name: String,
        /// What was wrong.
        source: SchemaError,
    },
    /// Another resource has its kind or plural name.
    #[error(
        "CustomResourceDefinition {name}: another definition, or a built-in kind, has its kind or plural name"
    )]
    Twice {
        /// The definition.
        name: String,
    },
}

// === impl Resource ===

impl Resource {
    /// `group/version`, or `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, or `plural` for core: how messages name a resource.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether clients can only read its objects.
    pub fn is_read_only(&self) -> bool {
        self.strategy == Strategy::Definition
    }

    /// The verbs that discovery lists for it.
    pub fn verbs(&self) -> &'static [&'static str] {
        if self.is_read_only() {
            &["get", "list", "watch"]
        } else {
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ]
        }
    }

    /// Prefix of the store's keys of its objects; `<namespace>/<name>` or `<name>` follows.
    pub(crate) fn prefix(&self) -> String {
        format!("/{}/{}/", self.group, self.plural)
    }

    /// Length of [`Self::prefix`] in bytes.
    pub(crate) fn prefix_len(&self) -> usize {
        self.group.len() + self.plural.len() + 3
    }

    /// Key of an object in the store. With an empty name: prefix of the keys of a namespace's objects.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}{namespace}/{name}", self.prefix())
        } else {
            format!("{}{name}", self.prefix())
        }
    }

    /// Namespace (empty for cluster-scoped resources) and name in a key.
    pub(crate) fn split_key<'a>(&self, key: &'a str) -> (&'a str, &'a str) {
        let rest = key.get(self.prefix_len()..).unwrap_or_default();
        if self.namespaced {
            rest.split_once('/').unwrap_or(("", rest))
        } else {
            ("", rest)
        }
    }

    fn of_builtin(kind: &builtin::Kind) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        let column = |&(name, kind, json_path): &(&str, &str, &str)| Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            json_path: json_path.to_owned(),
        };
        Self {
            group: kind.group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.kind.to_owned(),
            list_kind: format!("{}List", kind.kind),
            plural: kind.plural.to_owned(),
            singular: kind.kind.to_lowercase(),
            short_names: owned(kind.short_names),
            categories: owned(kind.categories),
            namespaced: kind.namespaced,
            status_subresource: kind.status_subresource,
            schema: None,
            columns: kind.columns.iter().map(column).collect(),
            selectable: owned(kind.selectable),
            strategy: kind.strategy,
            layout: builtin::layout(kind),
            index: 0,
        }
    }

    fn of_crd(crd: &CustomResourceDefinition) -> Result<Self, DefinitionError> {
        let spec = &crd.spec;
        let name = || format!("{}.{}", spec.names.plural, spec.group);
        let version = spec.versions.iter().find(|version| version.storage);
        let version = version.ok_or_else(|| DefinitionError::NoStoredVersion { name: name() })?;
        let schema = version
            .schema
            .as_ref()
            .and_then(|validation| validation.open_api_v3_schema.as_ref());
        let schema = match schema.map(serde_json::to_value).transpose() {
            Ok(schema) => schema,
            Err(source) => {
                return Err(DefinitionError::Json {
                    name: name(),
                    source,
                });
            }
        };
        let schema = match schema.map(|json| Schema::compile(&json)).transpose() {
            Ok(schema) => schema.map(Arc::new),
            Err(source) => {
                return Err(DefinitionError::Schema {
                    name: name(),
                    source,
                });
            }
        };
        let layout =
            builtin::custom_layout(schema.as_ref().map_or(&Value::Null, |schema| schema.raw()));
        let columns = version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|column| Column {
                name: column.name.clone(),
                kind: column.type_.clone(),
                format: column.format.clone().unwrap_or_default(),
                description: column.description.clone().unwrap_or_else(|| {
                    let path = &column.json_path;
                    format!("Custom resource definition column (in JSONPath format): {path}")
                }),
                priority: column.priority.unwrap_or_default(),
                json_path: column.json_path.clone(),
            })
            .collect();
        let names = &spec.names;
        Ok(Self {
            group: spec.group.clone(),
            version: version.name.clone(),
            kind: names.kind.clone(),
            list_kind: names
                .list_kind
                .clone()
                .unwrap_or_else(|| format!("{}List", names.kind)),
            plural: names.plural.clone(),
            singular: names
                .singular
                .clone()
                .unwrap_or_else(|| names.kind.to_lowercase()),
            short_names: names.short_names.clone().unwrap_or_default(),
            categories: names.categories.clone().unwrap_or_default(),
            namespaced: spec.scope == "Namespaced",
            status_subresource: version
                .subresources
                .as_ref()
                .is_some_and(|subresources| subresources.status.is_some()),
            schema,
            columns,
            selectable: version
                .selectable_fields
                .iter()
                .flatten()
                .map(|field| field.json_path.trim_start_matches('.').to_owned())
                .collect(),
            strategy: Strategy::Custom,
            layout,
            index: 0,
        })
    }
}

// === impl Resources ===

impl Resources {
    /// The resources of these definitions, each in its stored version, and the built-in ones.
    ///
    /// Compiling the schemas costs more than opening a server in memory: a program that opens many servers does this once.
    ///
    /// # Errors
    /// A definition whose schema is not structural, that has no stored version, or whose names another resource has.
    pub fn of(definitions: Vec<CustomResourceDefinition>) -> Result<Arc<Self>, DefinitionError> {
        let mut all: Vec<Resource> = builtin::KINDS
            .into_iter()
            .map(Resource::of_builtin)
            .collect();
        for definition in &definitions {
            let resource = Resource::of_crd(definition)?;
            let is_twin = |other: &Resource| {
                other.group == resource.group
                    && (other.plural == resource.plural || other.kind == resource.kind)
            };
            if all.iter().any(is_twin) {
                return Err(DefinitionError::Twice {
                    name: resource.qualified(),
                });
            }
            all.push(resource);
        }
        let all = all
            .into_iter()
            .enumerate()
            .map(|(index, resource)| Arc::new(Resource { index, ..resource }))
            .collect();
        Ok(Arc::new(Self { all, definitions }))
    }

    /// All of them, in a fixed order.
    pub fn all(&self) -> &[Arc<Resource>] {
        &self.all
    }

    /// The resource at this path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.all
            .iter()
            .find(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The resource of this kind, whatever the version.
    pub fn by_kind(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.all.iter().find(|r| r.group == group && r.kind == kind)
    }

    /// The resource whose object has this key in the store.
    pub(crate) fn of_key(&self, key: &str) -> Option<&Arc<Resource>> {
        self.all.iter().find(|r| key.starts_with(&r.prefix()))
    }

    /// The CustomResourceDefinitions, as they were given.
    pub fn definitions(&self) -> &[CustomResourceDefinition] {
        &self.definitions
    }

    /// The resource with this strategy, for a strategy that exactly one resource has.
    pub(crate) fn of_strategy(&self, strategy: Strategy) -> &Arc<Resource> {
        self.all
            .iter()
            .find(|r| r.strategy == strategy)
            .expect("the table of built-in kinds has one of each strategy")
    }
}

/// The value at a path of names with dots between them, as field selectors have it.
pub(crate) fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(object, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn custom_and_built_in_kinds_are_found_by_path_and_by_kind() {
        let kinds = crate::testing::resources();
        let widget = kinds.find("example.com", "v1alpha1", "widgets").unwrap();
        assert!(widget.namespaced && widget.status_subresource && widget.schema.is_some());
        assert_eq!(widget.qualified(), "widgets.example.com");
        assert!(widget.short_names.iter().any(|s| s == "wd"));
        let gear = kinds.by_kind("example.com", "Gear").unwrap();
        assert!(!gear.status_subresource);
        assert_eq!(gear.selectable, ["spec.address", "spec.widget.name"]);
        for (group, version, plural) in [
            ("", "v1", "namespaces"),
            ("", "v1", "events"),
            ("coordination.k8s.io", "v1", "leases"),
            ("example.org", "v1beta2", "boxes"),
            ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        ] {
            assert!(
                kinds.find(group, version, plural).is_some(),
                "{group}/{version} {plural}"
            );
        }
        assert!(kinds.find("example.com", "v1", "widgets").is_none());
        for (index, resource) in kinds.all().iter().enumerate() {
            assert_eq!(resource.index, index);
        }
    }

    #[test]
    fn every_kind_that_is_written_has_a_layout() {
        // What does not fit any layout that knows the metadata; a layout that knows nothing takes it.
        let misfit = json!({"metadata": {"ownerReferences": "none"}});
        for resource in crate::testing::resources().all() {
            let takes_all = managed_fields::fits(&resource.layout, misfit.as_object().unwrap());
            assert_eq!(takes_all, resource.is_read_only(), "{}", resource.kind);
        }
    }
}
