//! Lists, read page by page; what could not be read is remembered with the server's message.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use super::super::causes::causes;
use super::Objects;
use crate::api::{Kind, WireObject};
use crate::controller::{self, Missing, PAGE_BYTES, Pages, Unreadable, version_of};

/// Objects on a page of this program's kinds, about 3 MiB: a list of 100,000 takes 50 requests. The manager asks for fewer, since it
/// works meanwhile.
pub(super) const PAGE: usize = 2000;
/// Objects on a page of other kinds, which are not cut down as they are read.
const VALUES_PAGE: usize = 500;
/// Time after which the version of a kind is asked for anew: an upgrade may take it away while many objects are read.
const KNOWN_FOR: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    items: Vec<Value>,
}

#[derive(Deserialize, Default)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    more: String,
}

/// Reads lists, and remembers which it could not.
pub(in crate::cli) struct Reader<'a> {
    pub(in crate::cli) client: &'a Client,
    /// What could not be read, with the server's message.
    pub(in crate::cli) unread: Vec<String>,
    /// Whether it also looks for who has written in the objects, which takes a second look at each page.
    pub(super) looks_for_writers: bool,
    /// Versions that the server was found to have, for single objects.
    versions: BTreeMap<Kind, (Option<&'static str>, Instant)>,
}

impl<'a> Reader<'a> {
    pub(in crate::cli) fn new(client: &'a Client) -> Self {
        Self {
            client,
            unread: Vec::new(),
            looks_for_writers: false,
            versions: BTreeMap::new(),
        }
    }

    /// One that also looks for who has written in the objects.
    pub(in crate::cli) fn with_writers(client: &'a Client) -> Self {
        Self {
            looks_for_writers: true,
            ..Self::new(client)
        }
    }

    /// All objects at a path, as they are stored. `None`: there is no such kind, or it could not be read, which is remembered.
    pub(in crate::cli) async fn list(&mut self, path: &str, what: &str) -> Option<Vec<Value>> {
        self.select(path, None, what).await
    }

    /// The same, of those that a field selector selects.
    pub(in crate::cli) async fn select(
        &mut self,
        path: &str,
        selector: Option<&str>,
        what: &str,
    ) -> Option<Vec<Value>> {
        let mut objects = Vec::new();
        let mut more = String::new();
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &VALUES_PAGE.to_string());
            if let Some(selector) = selector {
                query.append_pair("fieldSelector", selector);
            }
            if !more.is_empty() {
                query.append_pair("continue", &more);
            }
            let request = Request::get(format!("{path}?{}", query.finish())).body(Vec::new());
            let page: kube::Result<List> = match request {
                Ok(request) => self.client.request(request).await,
                Err(error) => Err(kube::Error::HttpError(error)),
            };
            match page {
                Ok(page) => {
                    objects.extend(page.items);
                    if page.metadata.more.is_empty() {
                        return Some(objects);
                    }
                    more = page.metadata.more;
                }
                Err(kube::Error::Api(status)) if status.code == 404 && more.is_empty() => {
                    return None;
                }
                // The list grew old while it was read: anew, from the first page.
                Err(kube::Error::Api(status)) if status.code == 410 && !more.is_empty() => {
                    objects.clear();
                    more.clear();
                }
                Err(error) => {
                    self.unread.push(format!("{what}: {}", words(error)));
                    return None;
                }
            }
        }
    }

    /// One object; `None`: there is none, or it could not be read, which is remembered.
    pub(in crate::cli) async fn object(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let known = self.versions.get(&kind);
        let version = match known.filter(|(_, at)| at.elapsed() < KNOWN_FOR) {
            Some((version, _)) => *version,
            None => match version(self.client, kind).await {
                Ok(version) => {
                    self.versions.insert(kind, (version, Instant::now()));
                    version
                }
                Err(why) => {
                    self.unread.push(why);
                    return None;
                }
            },
        };
        let path = path(kind, version?, Some(namespace));
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let object = match Request::get(format!("{path}/{name}")).body(Vec::new()) {
            Ok(request) => self.client.request(request).await,
            Err(error) => Err(kube::Error::HttpError(error)),
        };
        match object {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => {
                self.unread.push(format!("{kind}: {}", words(error)));
                None
            }
        }
    }
}

impl Reader<'_> {
    /// Notes a namespace that does not exist, where nothing was found in it: a name that is mistyped would look sound.
    pub(in crate::cli) async fn expect_namespace(&mut self, name: Option<&str>, found: &Objects) {
        let Some(name) = name.filter(|_| found.are_none()) else {
            return;
        };
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let request = Request::get(format!("/api/v1/namespaces/{name}")).body(Vec::new());
        let Ok(request) = request else {
            return;
        };
        // Who may not read it learns from the counts that nothing was found.
        if let Err(kube::Error::Api(status)) = self.client.request::<Value>(request).await
            && status.code == 404
        {
            self.unread
                .push(format!("namespace {name}: it does not exist"));
        }
    }
}

/// Reads the objects of a kind, in the version that the manager would read, page by page; `take` takes in each page, with its text,
/// before the next is asked for. With a selector, of those that it selects, or of all where the server does not know its field. What
/// was taken is dropped and read anew where the list grew too old while it was read.
///
/// `None`: there is no such kind in such a version.
///
/// # Errors
/// Why it could not be read, in the server's words where it answered.
pub(super) async fn each_page<T: Default>(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
    mut selector: Option<String>,
    take: impl Fn(&mut T, Vec<Result<WireObject, Unreadable>>, &[u8]),
) -> Result<Option<T>, String> {
    let Some(version) = version(client, kind).await? else {
        return Ok(None);
    };
    let path = path(kind, version, namespace);
    let mut taken = T::default();
    let mut next = String::new();
    let begun = |selector: Option<String>| {
        let pages = Pages::new(client.clone(), kind, PAGE_BYTES);
        pages.sized(PAGE).selecting(selector)
    };
    let mut pages = begun(selector.clone());
    loop {
        match pages.page_and_text(&path, &next).await {
            Ok((page, text)) => {
                take(&mut taken, page.objects, &text);
                if page.next.is_empty() {
                    return Ok(Some(taken));
                }
                next = page.next;
            }
            Err(Missing::Answer { status: 404, .. }) if next.is_empty() => return Ok(None),
            Err(Missing::Answer { status: 400, .. }) if selector.is_some() => {
                selector = None;
                pages = begun(None);
                taken = T::default();
                next.clear();
            }
            // The list grew old while it was read: anew, from the first page.
            Err(Missing::Answer { status: 410, .. }) if !next.is_empty() => {
                taken = T::default();
                next.clear();
            }
            Err(Missing::Answer { status, body }) => {
                return Err(format!("{kind}: {} ({status})", controller::words(&body)));
            }
            Err(Missing::Failed(why)) => return Err(format!("{kind}: {why}")),
        }
    }
}

/// The version of a kind that the manager would read. `None`: there is none.
async fn version(client: &Client, kind: Kind) -> Result<Option<&'static str>, String> {
    let version = version_of(client, kind).await;
    version.map_err(|why| format!("the version of {kind}: {why}"))
}

/// The path of a kind's objects.
fn path(kind: Kind, version: &str, namespace: Option<&str>) -> String {
    let (group, plural) = (kind.group(), kind.plural());
    match namespace {
        Some(namespace) => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("/apis/{group}/{version}/{plural}"),
    }
}

/// The server's message, or why there was no answer.
pub(in crate::cli) fn words(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => causes(&other.into()),
    }
}
