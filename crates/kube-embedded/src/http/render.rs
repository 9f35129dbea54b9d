//! Renders objects and lists in the form that the client asked for: whole, metadata only, or a table.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::accept::{Form, View};
use super::options;
use super::query::IncludeObject;
use super::reply::{self, ListHead, Reply};
use super::service::Asked;
use super::table::{Columns, metadata_only};
use crate::error::ApiError;
use crate::kinds::{Resource, Strategy};
use crate::registry::{Listed, Target};

/// One object.
pub(super) fn one(
    asked: &Asked<'_>,
    resource: &Resource,
    form: Form,
    status: StatusCode,
    object: Bytes,
) -> Result<Reply, ApiError> {
    let text = match form.view {
        View::Object => object,
        View::Metadata => metadata_only(parse(&object)?).to_string().into(),
        View::Table(version) => {
            let columns = columns(asked, resource)?;
            table_of_one(
                columns,
                version,
                asked.query.include_object()?,
                &object,
                true,
                asked.registry.clock(),
            )?
        }
    };
    reply::encoded(status, form, text)
}

/// Answers a list.
pub(super) async fn list(
    asked: &Asked<'_>,
    target: &Target,
    form: Form,
) -> Result<Reply, ApiError> {
    let mut options = options::list(asked.query, &target.resource)?;
    options.budget = asked.bounds.map(|bounds| bounds.lists.clone());
    let page = asked.registry.list_beside(target, &options).await?;
    items(asked, &target.resource, form, page).await
}

/// A page of objects.
pub(super) async fn items(
    asked: &Asked<'_>,
    resource: &Resource,
    form: Form,
    page: Listed,
) -> Result<Reply, ApiError> {
    let api_version = resource.api_version();
    let head = |kind, api_version| ListHead {
        kind,
        api_version,
        revision: page.revision,
        continue_token: page.continue_token.as_deref(),
        remaining: page.remaining,
    };
    let is_empty = page.items.is_empty();
    // The body keeps what the items have taken of the budget until it is sent or dropped.
    let (items, held) = (page.items, page.held);
    let items = items.into_iter().inspect(move |_| _ = &held);
    let stream = match form.view {
        View::Object => {
            let head = head(&resource.list_kind, &api_version);
            if resource.strategy == Strategy::Custom {
                head.stream(form.encoding, None, "items", items)
            } else {
                // Items of a built-in kind have no apiVersion and kind in a list.
                let items = values(items).map(|item| untyped(item).to_string().into());
                head.stream(form.encoding, None, "items", items)
            }
        }
        View::Metadata => {
            let head = head("PartialObjectMetadataList", "meta.k8s.io/v1");
            if is_empty {
                // `null` instead of an empty list, as on a real API server.
                let list = json!({
                    "kind": head.kind, "apiVersion": head.api_version, "metadata": head.metadata(), "items": null,
                });
                return reply::encoded(StatusCode::OK, form, list.to_string().into());
            }
            let items = values(items).map(|item| metadata_only(item).to_string().into());
            head.stream(form.encoding, None, "items", items)
        }
        View::Table(version) => {
            let columns = Arc::clone(columns(asked, resource)?);
            let include = asked.query.include_object()?;
            let version = format!("meta.k8s.io/{version}");
            let definitions = columns.definitions().clone();
            let definitions = Some(("columnDefinitions", &definitions));
            let now = asked.registry.clock();
            let head = head("Table", &version);
            let rows =
                values(items).map(move |item| columns.row(item, include, now).to_string().into());
            head.stream(form.encoding, definitions, "rows", rows)
        }
    };
    Ok(reply::pieces(form.encoding, stream).await)
}

/// An object that cannot be parsed is left out; this program stores JSON only.
fn values(items: impl Iterator<Item = Bytes>) -> impl Iterator<Item = Value> {
    items.filter_map(|item| parse(&item).ok())
}

fn untyped(mut item: Value) -> Value {
    if let Some(item) = item.as_object_mut() {
        item.remove("apiVersion");
        item.remove("kind");
    }
    item
}

/// A table with one row: the answer to a get, or an event of a watch, of which only the first has the columns.
pub(super) fn table_of_one(
    columns: &Columns,
    version: &str,
    include: IncludeObject,
    object: &Bytes,
    headings: bool,
    now: Timestamp,
) -> Result<Bytes, ApiError> {
    let object = parse(object)?;
    let revision = object["metadata"]["resourceVersion"].clone();
    let row = columns.row(object, include, now);
    let table = json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": if headings { columns.definitions().clone() } else { Value::Null },
        "rows": [row],
    });
    Ok(table.to_string().into())
}

pub(super) fn columns<'a>(
    asked: &Asked<'a>,
    resource: &Resource,
) -> Result<&'a Arc<Columns>, ApiError> {
    asked
        .columns
        .get(resource.index)
        .ok_or_else(|| ApiError::internal("a kind without columns"))
}

pub(super) fn parse(object: &Bytes) -> Result<Value, ApiError> {
    serde_json::from_slice(object).map_err(ApiError::internal)
}
