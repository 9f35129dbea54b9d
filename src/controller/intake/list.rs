//! A complete list of a kind, page by page. What is known and not in it is gone, so that a missed DELETED event leaks nothing. A
//! list whose resourceVersion is older than the last watch event is ignored.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::{By, Name};

use super::{End, Intake};

/// Time for which a list is asked for again while the server answers with one that is older than an event before it.
/// Kubernetes promises that this does not happen; a server that goes on doing so had its database restored from a backup. Then
/// what is known here is of another history, and the process ends, so that a new one begins from what the server has.
const OLD_LISTS_FOR: Duration = Duration::from_secs(30);

impl Intake {
    /// Gives the router the whole list, page by page, and then what is no longer in it. Returns the list's revision.
    pub(super) async fn list(&mut self, version: &'static str) -> Result<String, End> {
        let path = self.kind.collection(version, self.namespace.as_deref());
        let mut live: HashSet<Name> = HashSet::new();
        let mut nameless = false;
        let mut next = String::new();
        loop {
            let page = self.pages.page_or_again(&path, &next, &mut self.backoff);
            let page = page.await?;
            if next.is_empty() {
                self.refuse_older_list(&page.revision).await?;
            }
            let listed = page.revision.as_str().into();
            let objects = page
                .objects
                .iter()
                .filter_map(|object| object.as_ref().ok());
            if let Some(name) = self.router.of_another_history(self.kind, objects, &listed) {
                let Name { namespace, name } = name;
                self.end_process(format!(
                    "it lists {namespace}/{name} in a version older than it has shown before"
                ))
                .await;
            }
            for object in page.objects {
                match object {
                    Ok(object) => {
                        live.insert(Name::of(&object.metadata));
                        self.ever_seen = true;
                        self.router.seen(self.kind, version, By::List, object);
                    }
                    Err(odd) => {
                        self.left_alone(&odd);
                        match odd.name {
                            Some(name) => _ = live.insert(name),
                            None => nameless = true,
                        }
                    }
                }
            }
            if page.next.is_empty() {
                if !nameless {
                    // Something without a name may be anything that is known: then nothing counts as gone.
                    let version = page.revision.as_str().into();
                    self.router.reset(self.kind, &live, &version);
                }
                self.newest = page.revision.parse().unwrap_or(0);
                return Ok(page.revision);
            }
            next = page.next;
        }
    }

    /// Fails for a list of a revision older than one that was shown before: what is not in it may have been made since, and would
    /// count as gone. Ends the process when such lists go on for [`OLD_LISTS_FOR`].
    async fn refuse_older_list(&mut self, revision: &str) -> Result<(), End> {
        let listed: Option<u64> = revision.parse().ok();
        if listed.is_none_or(|listed| listed >= self.newest) {
            self.old_lists_since = None;
            return Ok(());
        }
        let since = *self.old_lists_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= OLD_LISTS_FOR {
            let newest = self.newest;
            self.end_process(format!(
                "it lists revision {revision} and has shown {newest} before"
            ))
            .await;
        }
        Err(End::Failed(format!(
            "the list is of revision {revision}, and {} was told before; asked again",
            self.newest
        )))
    }

    /// Ends the process, since what is known here is of another history, and never returns.
    async fn end_process(&mut self, how: String) -> ! {
        self.failures.report(
            format!("watch of {}", self.kind).into(),
            format!("found that the API server's database was put back: {how}"),
        );
        match std::future::pending::<Infallible>().await {}
    }
}
