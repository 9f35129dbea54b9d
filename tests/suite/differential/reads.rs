//! Reads: get, list in all its forms, pages, watches.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::bodies::{chance, pick};
use super::generate::Generator;
use super::kinds::Kind;
use super::model::kind;
use super::script::{Request, What};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIALS: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// A label selector; the bad ones are rare.
pub(super) fn label_selector(rng: &mut StdRng) -> &'static str {
    if chance(rng, 12) {
        return pick(
            rng,
            &[
                "app in",
                "=",
                "a b",
                "app=a,",
                "app in (a",
                "app=b c",
                "-bad=a",
                "app==a==b",
                "!",
                "app>x",
                "x/y/z=a",
            ],
        );
    }
    pick(
        rng,
        &[
            "app=a",
            "app=a",
            "app=b",
            "app!=a",
            "app",
            "!app",
            "app in (a,b)",
            "app notin (a)",
            "tier=c-1,app",
            "app=",
            "test.io/x=a",
            "app == a",
            "app in (a), tier notin (b)",
        ],
    )
}

/// A field selector; the bad ones are rare.
pub(super) fn field_selector(rng: &mut StdRng, kind: &Kind) -> &'static str {
    if chance(rng, 15) {
        return pick(
            rng,
            &[
                "spec.nothing=a",
                "metadata.name",
                "=a",
                "metadata.labels.app=a",
                "status.phase=Active",
                "metadata.name=a=b",
            ],
        );
    }
    if chance(rng, 40) {
        return match (kind.group, kind.kind) {
            ("ipam.metal3.io", "IPAddress") => pick(
                rng,
                &[
                    "spec.address=10.0.0.7",
                    "spec.pool.name=a",
                    "spec.pool.name!=a",
                ],
            ),
            (_, "Secret") => pick(rng, &["type=Opaque", "type!=Opaque"]),
            (_, "Event") => pick(
                rng,
                &[
                    "involvedObject.name=a",
                    "reason=Made,type=Normal",
                    "type!=Normal",
                    "source=test",
                ],
            ),
            _ => "metadata.name!=a",
        };
    }
    pick(
        rng,
        &[
            "metadata.name=a",
            "metadata.name!=a",
            "metadata.namespace={ns}",
            "metadata.name=a,metadata.namespace={ns}",
            "metadata.name==b",
            "metadata.namespace!={ns}",
        ],
    )
}

fn form(rng: &mut StdRng, request: Request, one: bool) -> Request {
    match rng.random_range(0..100) {
        0..12 => request.accept(TABLE),
        12..20 => request.accept(if one { PARTIAL } else { PARTIALS }),
        20..22 => request
            .accept("application/json;as=Table;v=v1;g=meta.k8s.io")
            .with(
                "includeObject",
                pick(rng, &["Object", "None", "Metadata", "All"]),
            ),
        22..24 => request.accept("*/*"),
        24..25 => request.accept("text/html"),
        _ => request,
    }
}

pub(super) fn get(generator: &mut Generator) -> Request {
    let (at, name, _) = generator.target();
    let rng = &mut generator.rng;
    let mut request = form(rng, Request::new("GET", kind(at).object(&name)), true);
    if chance(rng, 6) {
        request = request.with(
            "resourceVersion",
            pick(rng, &["", "0", "1", "abc", "99999999999"]),
        );
    }
    request
}

pub(super) fn list(generator: &mut Generator) -> Request {
    let at = if chance(&mut generator.rng, 60) {
        generator.target().0
    } else {
        generator.kind()
    };
    let kind = kind(at);
    let rng = &mut generator.rng;
    let mut request = Request::new("GET", kind.collection());
    let is_everywhere = chance(rng, 8);
    if is_everywhere {
        // Over all namespaces, but only of this one.
        request =
            Request::new("GET", kind.everywhere()).with("fieldSelector", "metadata.namespace={ns}");
    } else if chance(rng, 25) {
        request = request.with("fieldSelector", field_selector(rng, kind));
    }
    if chance(rng, 40) {
        request = request.with("labelSelector", label_selector(rng));
    }
    // Pages end where anything follows, and what follows in other namespaces is not the same on both servers.
    if !is_everywhere && chance(rng, 35) {
        request = request.with(
            "limit",
            pick(rng, &["1", "2", "3", "1", "0", "500", "-1", "x"]),
        );
    }
    request = form(rng, request, false);
    if chance(rng, 25) {
        let known: Vec<String> = generator
            .model
            .revisions
            .iter()
            .filter(|(kind, _)| *kind == at)
            .map(|(_, revision)| revision.clone())
            .collect();
        let mut version = match rng.random_range(0..10) {
            0 => String::new(),
            1 => "abc".to_owned(),
            _ => known.last().cloned().unwrap_or_default(),
        };
        if chance(rng, 2) {
            "0".clone_into(&mut version);
        }
        if chance(rng, 55) {
            let how = pick(
                rng,
                &[
                    "Exact",
                    "Exact",
                    "NotOlderThan",
                    "NotOlderThan",
                    "",
                    "Fresh",
                ],
            );
            request = request.with("resourceVersionMatch", how);
        }
        request = request.with("resourceVersion", version);
    }
    request
}

pub(super) fn next_page(generator: &mut Generator) -> Request {
    let rng = &mut generator.rng;
    if generator.model.pages.is_empty() || chance(rng, 10) {
        let at = generator.kind();
        let rng = &mut generator.rng;
        let token = pick(
            rng,
            &["nonsense", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "e30", "AAAA"],
        );
        return Request::new("GET", kind(at).collection())
            .with("limit", "1")
            .with("continue", token);
    }
    let pages = generator.model.pages.clone();
    let (_, mut request, token) = pick(&mut generator.rng, &pages).clone();
    let rng = &mut generator.rng;
    if chance(rng, 85) {
        // A list that was begun at a revision goes on at it by its token alone.
        request
            .query
            .retain(|(key, _)| !key.starts_with("resourceVersion"));
    }
    if chance(rng, 15) {
        request.query.retain(|(key, _)| *key != "limit");
    }
    request.with("continue", token)
}

/// A watch with the events since some earlier version, up to a marker that is made for it.
pub(super) fn watch(generator: &mut Generator) -> What {
    let (at, _, _) = generator.target();
    let kind = kind(at);
    let name = format!("zz-{}", generator.next);
    let mut marker = generator.marker(kind);
    marker["metadata"]["name"] = name.as_str().into();
    let rng = &mut generator.rng;
    let mut open = Request::new("GET", kind.collection()).with("watch", "true");
    if chance(rng, 35) {
        open = open.with(
            "labelSelector",
            pick(rng, &["app=a", "app", "app in (a,b)", "app!=b"]),
        );
    }
    if chance(rng, 10) {
        open = open.with(
            "fieldSelector",
            pick(rng, &["metadata.namespace={ns}", "metadata.name!=a"]),
        );
    }
    let older: Vec<String> = generator
        .model
        .versions
        .iter()
        .rev()
        .take(60)
        .cloned()
        .collect();
    if !older.is_empty() && chance(rng, 75) {
        open = open.with("resourceVersion", pick(rng, &older).clone());
    } else if chance(rng, 50) {
        open = open.with("resourceVersion", "");
    }
    if chance(rng, 20) {
        open = open.with("allowWatchBookmarks", "true");
    }
    if chance(rng, 15) {
        open = open.accept(if chance(rng, 50) { TABLE } else { PARTIAL });
    }
    let delete = Request::new("DELETE", kind.object(&name));
    generator.afterwards(What::Request(delete));
    What::Watch {
        open,
        marker: Request::new("POST", kind.collection()).json(marker.to_string()),
        until: name,
    }
}

/// Watches that are refused.
pub(super) fn bad_watch(generator: &mut Generator) -> Request {
    let at = generator.kind();
    let kind = kind(at);
    let rng = &mut generator.rng;
    let request = Request::new("GET", kind.collection()).with("watch", "1");
    match rng.random_range(0..8) {
        0 => request.with("resourceVersion", "abc"),
        1 => request.with("labelSelector", "app in"),
        2 => request.with("fieldSelector", "spec.nothing=a"),
        3 => request.with("resourceVersionMatch", "Exact"),
        4 => request
            .with("resourceVersion", "1")
            .with("resourceVersionMatch", "NotOlderThan"),
        5 => request.with("timeoutSeconds", "soon"),
        6 => request.with("continue", "x").with("limit", "x"),
        _ => request.accept("text/html"),
    }
}

impl Generator {
    /// A plain object of a kind that every watch here sees.
    fn marker(&mut self, kind: &Kind) -> serde_json::Value {
        let mut object = self.plain(kind);
        object["metadata"] = json!({"labels": {"app": "a"}});
        object
    }

    /// A good object of a kind, without metadata.
    pub(super) fn plain(&mut self, kind: &Kind) -> serde_json::Value {
        for _ in 0..50 {
            let object = super::bodies::object(&mut self.rng, kind);
            let is_plain = object["immutable"].is_null()
                && !object.to_string().contains("no base64")
                && !object.to_string().contains("elsewhere")
                && object["eventTime"].is_null()
                && object["spec"]["leaseDurationSeconds"] != -1
                && (kind.custom || object["data"].is_null() || object["data"]["a"].is_string());
            if is_plain {
                return object;
            }
        }
        json!({"apiVersion": kind.api_version(), "kind": kind.kind})
    }
}
