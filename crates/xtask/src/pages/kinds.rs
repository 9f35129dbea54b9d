//! `docs/api.md`, from the CustomResourceDefinitions.

use std::fmt::Write;

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use metal3_ipam::api::crds::metal3_crds;

use super::{cell, sentence};

/// Patterns longer than this are left out: the CEL rules beside them say the same in words.
const LONGEST_PATTERN: usize = 40;

/// One row of a kind's table, before the rules that name its field from above are known.
struct Field {
    path: String,
    type_: String,
    default: String,
    bounds: String,
    meaning: String,
    rules: Vec<String>,
}

fn type_of(schema: &JSONSchemaProps) -> String {
    let of = |items: &JSONSchemaProps| type_of(items);
    let name = schema.type_.clone().unwrap_or_default();
    match (&*name, &schema.items, &schema.additional_properties) {
        ("array", Some(JSONSchemaPropsOrArray::Schema(items)), _) => {
            format!("list of {}", of(items))
        }
        ("object", _, Some(JSONSchemaPropsOrBool::Schema(value))) => {
            format!("map of {}", of(value))
        }
        _ => match &schema.format {
            Some(format) => format!("{name} ({format})"),
            None => name,
        },
    }
}

fn bounds_of(schema: &JSONSchemaProps) -> String {
    let mut bounds = Vec::new();
    let span = |least: Option<String>, most: Option<String>| match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    };
    let text = |n: Option<i64>| n.map(|n| n.to_string());
    bounds.extend(span(
        schema.minimum.map(|n| n.to_string()),
        schema.maximum.map(|n| n.to_string()),
    ));
    let lengths = span(text(schema.min_length), text(schema.max_length));
    bounds.extend(lengths.map(|span| format!("{span} characters")));
    let items = span(text(schema.min_items), text(schema.max_items));
    bounds.extend(items.map(|span| format!("{span} items")));
    let keys = span(text(schema.min_properties), text(schema.max_properties));
    bounds.extend(keys.map(|span| format!("{span} keys")));
    if let Some(values) = &schema.enum_ {
        let values: Vec<String> = values.iter().map(|v| format!("`{}`", v.0)).collect();
        bounds.push(values.join(" or "));
    }
    if let Some(pattern) = schema
        .pattern
        .as_ref()
        .filter(|p| p.len() <= LONGEST_PATTERN)
    {
        bounds.push(format!("`{}`", cell(pattern)));
    }
    match (&schema.items, &schema.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(one)), _)
        | (_, Some(JSONSchemaPropsOrBool::Schema(one)))
            if one.properties.is_none() =>
        {
            let of_one = bounds_of(one);
            if !of_one.is_empty() {
                bounds.push(format!("each {of_one}"));
            }
        }
        _ => {}
    }
    bounds.join("; ")
}

/// The rows of a field and of those in it. Rules that name a field in it are put there.
fn rows(path: &str, required: bool, schema: &JSONSchemaProps, out: &mut Vec<Field>) {
    let at = out.len();
    let default = match &schema.default {
        Some(value) => format!("`{}`", value.0),
        None if required => "required".to_owned(),
        None => String::new(),
    };
    out.push(Field {
        path: path.to_owned(),
        type_: type_of(schema),
        default,
        bounds: bounds_of(schema),
        meaning: sentence(schema.description.as_deref().unwrap_or_default()),
        rules: Vec::new(),
    });
    let (inner, below) = match (&schema.items, &schema.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(items)), _) => (&**items, format!("{path}[]")),
        (_, Some(JSONSchemaPropsOrBool::Schema(value))) => (&**value, format!("{path}[KEY]")),
        _ => (schema, path.to_owned()),
    };
    // Conditions are those of every kind of Kubernetes.
    if !path.ends_with(".conditions") {
        for (name, field) in inner.properties.iter().flatten() {
            let required = inner.required.iter().flatten().any(|r| r == name);
            rows(&format!("{below}.{name}"), required, field, out);
        }
    }
    let mut levels = vec![(path.to_owned(), schema)];
    if !std::ptr::eq(inner, schema) {
        levels.push((below, inner));
    }
    for (place, schema) in levels {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            let message = rule.message.as_deref().unwrap_or(&rule.rule);
            let named = rule
                .field_path
                .as_ref()
                .map(|field| format!("{place}{field}"));
            let row = named.and_then(|named| out[at..].iter().position(|row| row.path == named));
            let message = cell(message);
            let rules = &mut out[at + row.unwrap_or(0)].rules;
            if !rules.contains(&message) {
                rules.push(message);
            }
        }
    }
}

fn kind(
    page: &mut String,
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> anyhow::Result<()> {
    let (spec, names) = (&crd.spec, &crd.spec.names);
    let schema = version
        .schema
        .as_ref()
        .and_then(|s| s.open_api_v3_schema.as_ref())
        .with_context(|| format!("{} {} has no schema", names.kind, version.name))?;
    let list = |names: &Option<Vec<String>>| {
        let names = names.iter().flatten().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(" ")
    };
    write!(
        page,
        "\n## {}\n`{}/{}`, `{}`, {}. {}\n\nShort names: {}. Categories: {}.",
        names.kind,
        spec.group,
        version.name,
        names.plural,
        spec.scope.to_lowercase(),
        sentence(schema.description.as_deref().unwrap_or_default()),
        list(&names.short_names),
        list(&names.categories),
    )?;
    let subresources = version.subresources.as_ref();
    if subresources.is_some_and(|s| s.status.is_some()) {
        page.push_str(" Subresource: `status`.");
    }
    let selectable: Vec<String> = version
        .selectable_fields
        .iter()
        .flatten()
        .map(|field| format!("`{}`", field.json_path.trim_start_matches('.')))
        .collect();
    if !selectable.is_empty() {
        write!(page, " Field selectors: {}.", selectable.join(" "))?;
    }
    let columns: Vec<String> = version
        .additional_printer_columns
        .iter()
        .flatten()
        .map(|column| column.name.clone())
        .collect();
    write!(
        page,
        " Columns: {}.\n\n| field | type | default | bounds | meaning | refused with |\n| --- | --- | --- | --- | --- | --- |\n",
        columns.join(", ")
    )?;
    let mut fields = Vec::new();
    for part in ["spec", "status"] {
        if let Some(schema) = schema.properties.as_ref().and_then(|p| p.get(part)) {
            let required = schema.required.is_some() && part == "spec";
            rows(part, required, schema, &mut fields);
        }
    }
    for Field {
        path,
        type_,
        default,
        bounds,
        meaning,
        rules,
    } in fields
    {
        let rules = rules.join("; ");
        writeln!(
            page,
            "| `{path}` | {type_} | {default} | {bounds} | {meaning} | {rules} |"
        )?;
    }
    Ok(())
}

/// `docs/api.md`.
pub(super) fn page() -> anyhow::Result<String> {
    let mut page = "# The kinds

Generated by `cargo xtask docs` from the CustomResourceDefinitions (`crds/`); a test compares the two. `kubectl explain` shows the same. What the fields do stands in [spec.md](spec.md), what else is refused in [admission.md](admission.md).

A rule is not applied to what an update leaves unchanged. Texts of addresses and subnets also have a strict pattern. IPAddressClaim and the IPAddress of `ipam.cluster.x-k8s.io` are Cluster API's kinds; what of them is used stands in [section 8](spec.md#8-cluster-apis-ipam-contract-as-far-as-it-binds-us). Conditions are Kubernetes' own (`metav1.Condition`), merged by type; [troubleshooting.md](troubleshooting.md) has their reasons.

The annotation `ipAddress` on either kind of claim asks for one address.
"
    .to_owned();
    for crd in metal3_crds() {
        for version in &crd.spec.versions {
            kind(&mut page, &crd, version)?;
        }
    }
    Ok(page)
}
