//! A standby's wait: the lease is watched, so that one that is given up is taken at once, and one that is not renewed the
//! moment it runs out, not at the next look.

use k8s_openapi::api::coordination::v1::Lease;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::debug;

use super::super::watch::{Watch, WatchEnd};
use super::{Contender, holder};

/// Seconds after which the server shall end the watch.
const WATCH_SECONDS: u64 = 300;

/// One line of the watch.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    what: String,
    object: serde_json::Value,
}

/// What a line of the watch says of the lease.
#[derive(Debug, PartialEq)]
enum Said {
    /// Someone has it.
    Held,
    /// Given up or gone.
    Free,
    /// Nothing that can be understood: the watch is over.
    Broken,
}

fn words(end: WatchEnd) -> String {
    match end {
        WatchEnd::Refused { status, .. } => format!("the server answered {status}"),
        WatchEnd::Failed(why) => why,
        WatchEnd::TooLong => "the watch ended".to_owned(),
    }
}

impl Contender {
    /// Waits while someone else holds the lease as it was last read. Where it cannot be watched (an older role without the
    /// right to, a server that is away), one look a period does it, as in client-go.
    pub(super) async fn stand_by(&mut self) {
        if let Err(why) = self.watch().await {
            debug!(lease = %self.label(), why, "the lease cannot be watched; looking again in a moment");
            self.pause().await;
        }
    }

    /// `Ok` when it is free or has run out.
    async fn watch(&mut self) -> Result<(), String> {
        let (Some(runs_out), Some((lease, _))) = (self.runs_out(), &self.observed) else {
            return Ok(());
        };
        let revision = lease.metadata.resource_version.as_deref();
        let target = format!(
            "{}?watch=1&fieldSelector=metadata.name%3D{}&resourceVersion={}&timeoutSeconds={WATCH_SECONDS}",
            self.collection(),
            self.settings.name,
            revision.unwrap_or_default(),
        );
        let mut watch = Watch::open(&self.client, target, runs_out)
            .await
            .map_err(words)?;
        loop {
            let Some(runs_out) = self.runs_out() else {
                return Ok(());
            };
            match watch.fill(runs_out).await {
                Ok(true) => {}
                Ok(false) => return Err("the watch ended".to_owned()),
                Err(_) if self.runs_out().is_none_or(|at| at <= Instant::now()) => return Ok(()),
                Err(end) => return Err(words(end)),
            }
            while let Some(line) = watch.line() {
                match self.told(line) {
                    Said::Held => {}
                    Said::Free => return Ok(()),
                    Said::Broken => return Err("the watch ended".to_owned()),
                }
            }
        }
    }

    fn told(&mut self, line: &[u8]) -> Said {
        let Ok(Event { what, object }) = serde_json::from_slice(line) else {
            return Said::Broken;
        };
        match what.as_str() {
            "ADDED" | "MODIFIED" => {}
            // Its holder may not have noticed yet, and then makes it anew.
            "DELETED" if self.held_by_another().is_some() => return Said::Held,
            "DELETED" => return Said::Free,
            _ => return Said::Broken,
        }
        let Ok(lease) = serde_json::from_value::<Lease>(object) else {
            return Said::Broken;
        };
        let said = if holder(&lease).is_empty() {
            Said::Free
        } else {
            Said::Held
        };
        self.observe(lease);
        said
    }
}
