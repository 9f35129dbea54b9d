//! Lists, read page by page; what could not be read is remembered with the server's message.

use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::api::Kind;
use crate::controller::version_of;

/// Objects on a page.
const PAGE: usize = 500;

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
}

impl<'a> Reader<'a> {
    pub(in crate::cli) fn new(client: &'a Client) -> Self {
        Self {
            client,
            unread: Vec::new(),
        }
    }

    /// All objects at a path, as they are stored. `None`: there is no such kind, or it could not be read, which is remembered.
    pub(in crate::cli) async fn list(&mut self, path: &str, what: &str) -> Option<Vec<Value>> {
        self.each(path, what, None, |value| value).await
    }

    /// As [`Self::list`], with each object cut down to what is wanted of it before the next page is asked for. A server that does not
    /// know the field of the selector is asked for all objects.
    async fn each<T>(
        &mut self,
        path: &str,
        what: &str,
        mut selector: Option<&str>,
        read: impl Fn(Value) -> T,
    ) -> Option<Vec<T>> {
        let mut objects = Vec::new();
        let mut more = String::new();
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &PAGE.to_string());
            if !more.is_empty() {
                query.append_pair("continue", &more);
            }
            if let Some(selector) = selector {
                query.append_pair("fieldSelector", selector);
            }
            let request = Request::get(format!("{path}?{}", query.finish())).body(Vec::new());
            let page: kube::Result<List> = match request {
                Ok(request) => self.client.request(request).await,
                Err(error) => Err(kube::Error::HttpError(error)),
            };
            match page {
                Ok(page) => {
                    objects.extend(page.items.into_iter().map(&read));
                    if page.metadata.more.is_empty() {
                        return Some(objects);
                    }
                    more = page.metadata.more;
                }
                Err(kube::Error::Api(status)) if status.code == 404 && more.is_empty() => {
                    return None;
                }
                Err(kube::Error::Api(status)) if status.code == 400 && selector.is_some() => {
                    selector = None;
                    objects.clear();
                    more.clear();
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

    /// All objects of a kind, in the version that the manager would read; with a selector those that it selects, or all where the
    /// server does not know its field. `None`: there is no such kind in such a version, or it could not be read, which is
    /// remembered.
    pub(super) async fn kind<T>(
        &mut self,
        kind: Kind,
        namespace: Option<&str>,
        selector: Option<&str>,
        read: impl Fn(Value) -> T,
    ) -> Option<Vec<T>> {
        let path = self.path(kind, namespace).await?;
        self.each(&path, &kind.to_string(), selector, read).await
    }

    /// One object; `None`: there is none, or it could not be read, which is remembered.
    pub(in crate::cli) async fn object(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let path = self.path(kind, Some(namespace)).await?;
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

    /// The path of a kind's objects, in the version that the manager would read.
    async fn path(&mut self, kind: Kind, namespace: Option<&str>) -> Option<String> {
        let version = match version_of(self.client, kind).await {
            Ok(version) => version?,
            Err(why) => {
                self.unread.push(format!("the version of {kind}: {why}"));
                return None;
            }
        };
        let (group, plural) = (kind.group(), kind.plural());
        Some(match namespace {
            Some(namespace) => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("/apis/{group}/{version}/{plural}"),
        })
    }
}

/// The server's message, or why there was no answer.
pub(in crate::cli) fn words(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => format!("{:#}", anyhow::Error::from(other)),
    }
}
