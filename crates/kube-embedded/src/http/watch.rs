//! Watches: the registry's events as lines of JSON, in the view that the client asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use serde_json::Value;

use super::accept::{Encoding, Form, View};
use super::query::IncludeObject;
use super::reply::{self, Reply};
use super::service::Asked;
use super::table::{Columns, metadata_only};
use super::{negotiate, options, render};
use crate::error::ApiError;
use crate::registry::{FieldSelector, Registry, Target, WatchEvent, WatchEventKind, WatchOptions};

/// Answers a watch; it ends at its timeout, when the registry ends it, and when the server stops listening.
pub(super) fn serve(asked: &Asked<'_>, target: &Target, form: Form) -> Result<Reply, ApiError> {
    let (query, resource) = (asked.query, &target.resource);
    if form.encoding == Encoding::Yaml {
        // A stream of YAML documents has no marked ends.
        return Err(negotiate::not_acceptable());
    }
    let timeout = query.number("timeoutSeconds")?;
    query.number("limit")?;
    options::no_initial_events(query)?;
    let mut selectors = options::selectors(query, resource)?;
    let mut target = target.clone();
    if let Some(name) = target.name.take() {
        let only = format!("metadata.name={name}");
        if let Some(also) = query.said("fieldSelector")
            && also != only
        {
            return Err(ApiError::bad_request(
                "both a name and a field selector were given; a watch of one object takes no selector",
            ));
        }
        selectors.fields = FieldSelector::parse(&only, resource)?;
    }
    let options = WatchOptions {
        selectors,
        resource_version: query.said("resourceVersion").map(str::to_owned),
        bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
        timeout: timeout
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        budget: asked.bounds.map(|bounds| bounds.lists.clone()),
    };
    let mut lens = match form.view {
        View::Object => Lens::Object,
        View::Metadata => Lens::Metadata,
        View::Table(version) => Lens::Table {
            columns: Arc::clone(render::columns(asked, resource)?),
            include: query.include_object()?,
            version,
            headings: true,
            registry: asked.registry.clone(),
        },
    };
    let events = asked.registry.watch(&target, &options)?;
    let open = asked.metrics.watch_opens(resource);
    let lines = events
        .map(move |event| {
            let _ends_with_the_stream = &open;
            lens.line(&event)
        })
        .take_until(asked.closing.clone().cancelled_owned());
    Ok(reply::lines(lines))
}

/// The view of the objects in events.
enum Lens {
    Object,
    Metadata,
    Table {
        columns: Arc<Columns>,
        include: IncludeObject,
        version: &'static str,
        /// Whether the columns are still to be sent: only the first table of a stream has them.
        headings: bool,
        /// Its clock gives the ages.
        registry: Registry,
    },
}

impl Lens {
    fn line(&mut self, event: &WatchEvent) -> Bytes {
        let shown = match (event.kind, &mut *self) {
            (WatchEventKind::Error, _) | (_, Self::Object) => Ok(event.object.clone()),
            (_, Self::Metadata) => render::parse(&event.object)
                .map(|object: Value| metadata_only(object).to_string().into()),
            (
                _,
                Self::Table {
                    columns,
                    include,
                    version,
                    headings,
                    registry,
                },
            ) => {
                let first = std::mem::take(headings);
                render::table_of_one(
                    columns,
                    version,
                    *include,
                    &event.object,
                    first,
                    registry.clock(),
                )
            }
        };
        match shown {
            Ok(object) => line(event.kind.as_str(), &object),
            Err(error) => line("ERROR", &error.to_json()),
        }
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 40);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}
