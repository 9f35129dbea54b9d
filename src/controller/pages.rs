//! A list, asked for page by page.

use std::time::Duration;

use bytes::Bytes;
use kube::Client;
use tokio::time::sleep;
use tracing::debug;

use super::backoff::Backoff;
use super::reading::{self, Page};
use super::transport::{self, Call, Fault};
use crate::api::Kind;

/// Objects of one page.
const PAGE: usize = 500;
/// Times that a later page is asked for again before the list begins anew.
const PAGE_TRIES: u32 = 6;
/// Time that one page is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks for pages of the objects of a kind. No resourceVersion is sent, so each list holds what was stored when it began.
pub(crate) struct Pages {
    client: Client,
    kind: Kind,
    /// Objects that a page is asked for.
    size: usize,
    /// The most bytes that one may have.
    bytes: usize,
    /// A field selector; `None`: all objects.
    selector: Option<String>,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The server's answer was not 200.
    Answer {
        /// Its code.
        status: u16,
        /// Its body.
        body: Bytes,
    },
    /// No answer that can be read.
    Failed(String),
}

impl Pages {
    pub(crate) fn new(client: Client, kind: Kind, bytes: usize) -> Self {
        Self {
            client,
            kind,
            size: PAGE,
            bytes,
            selector: None,
        }
    }

    /// Pages of so many objects.
    pub(crate) fn sized(self, size: usize) -> Self {
        Self { size, ..self }
    }

    /// Only the objects that a field selector selects.
    pub(crate) fn selecting(self, selector: Option<String>) -> Self {
        Self { selector, ..self }
    }

    /// The page of the collection that begins at `next`; the first one when that is empty.
    pub(crate) async fn page(&mut self, path: &str, next: &str) -> Result<Page, Missing> {
        let (page, _) = self.page_and_text(path, next).await?;
        Ok(page)
    }

    /// The same. A later page that fails is asked for again, as long as the API server knows its token: a long list on a busy
    /// server would never end otherwise.
    pub(super) async fn page_or_again(
        &mut self,
        path: &str,
        next: &str,
        backoff: &mut Backoff,
    ) -> Result<Page, Missing> {
        let mut tries = 0;
        loop {
            let missing = match self.page(path, next).await {
                Ok(page) => {
                    if tries > 0 {
                        backoff.reset();
                    }
                    return Ok(page);
                }
                Err(missing) => missing,
            };
            let is_final = matches!(
                missing,
                Missing::Answer {
                    status: 404 | 410,
                    ..
                }
            );
            if is_final || next.is_empty() || tries == PAGE_TRIES {
                return Err(missing);
            }
            tries += 1;
            debug!(kind = %self.kind, ?missing, "a page of the list failed; it is asked for again");
            sleep(backoff.next()).await;
        }
    }

    /// The same, with the text that it was read from.
    pub(crate) async fn page_and_text(
        &mut self,
        path: &str,
        next: &str,
    ) -> Result<(Page, Bytes), Missing> {
        loop {
            let mut target = format!("{path}?limit={}", self.size);
            if !next.is_empty() {
                target.push_str("&continue=");
                target.extend(transport::escape(next));
            }
            if let Some(selector) = &self.selector {
                target.push_str("&fieldSelector=");
                target.extend(transport::escape(selector));
            }
            let reply =
                transport::send(&self.client, Call::get(target), PATIENCE, self.bytes).await;
            let reply = match reply {
                Ok(reply) => reply,
                Err(Fault::TooLong(why)) if self.size > 1 => {
                    self.size /= 2;
                    debug!(kind = %self.kind, why, page = self.size, "fewer objects are asked for in one page");
                    continue;
                }
                Err(fault) => return Err(Missing::Failed(fault.text())),
            };
            if reply.status != 200 {
                return Err(Missing::Answer {
                    status: reply.status,
                    body: reply.body,
                });
            }
            let page = reading::page(self.kind, &reply.body).map_err(Missing::Failed)?;
            return Ok((page, reply.body));
        }
    }
}
