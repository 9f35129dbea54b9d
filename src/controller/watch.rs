//! One watch request: opened, read line by line, and given up when it is silent for too long. Every watch loop uses it: that of
//! the kinds (`intake.rs`), that of a standby over its lease, and that of the subcommands that only look.
//!
//! A connection can die without a word (a firewall forgets it, an address moves to another node), and a proxy can keep one
//! open that carries nothing. Neither may blind the controller for minutes: the answer's headers are waited for a few seconds
//! only, and every watch is asked to end within a minute, so that one which outlasts that is known to be dead.

use std::time::Duration;

use http_body_util::{BodyExt, Collected, Limited};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, timeout, timeout_at};

use super::lines::Lines;
use super::transport::{self, Call};

/// Time that the headers of the answer are waited for.
const HEADERS: Duration = Duration::from_secs(10);
/// Longest body of a refusal that is read, in bytes.
const REFUSAL: usize = 1 << 20;

/// An open watch.
pub(crate) struct Watch {
    body: Body,
    lines: Lines,
}

/// Why there is no watch, or none any more.
#[derive(Debug, PartialEq)]
pub(crate) enum WatchEnd {
    /// The server answered something else than 200.
    Refused {
        status: u16,
        /// As far as it could be read.
        body: Vec<u8>,
    },
    /// No connection, no headers in time, a connection that broke off, or one that outlasted its time.
    Failed(String),
    /// A line longer than any object can be.
    TooLong,
}

impl Watch {
    /// Sends the request. `target`: path and query, `timeoutSeconds` among them; `deadline` is a little after that time.
    pub(crate) async fn open(
        client: &Client,
        target: String,
        deadline: Instant,
    ) -> Result<Self, WatchEnd> {
        let patience = HEADERS.min(deadline.saturating_duration_since(Instant::now()));
        let answer = timeout(patience, transport::open(client, Call::get(target)));
        let response = answer
            .await
            .map_err(|_| WatchEnd::Failed(format!("no answer within {} s", patience.as_secs())))?
            .map_err(|fault| WatchEnd::Failed(fault.text()))?;
        let status = response.status().as_u16();
        let body = response.into_body();
        if status == 200 {
            let lines = Lines::default();
            return Ok(Self { body, lines });
        }
        let words = timeout_at(deadline, Limited::new(body, REFUSAL).collect()).await;
        let words = words.ok().and_then(Result::ok).map(Collected::to_bytes);
        Err(WatchEnd::Refused {
            status,
            body: words.unwrap_or_default().to_vec(),
        })
    }

    /// The next whole line that has arrived.
    pub(crate) fn line(&mut self) -> Option<&[u8]> {
        self.lines.next()
    }

    /// Waits for more to arrive; `false` when the server ended the watch in an orderly way.
    pub(crate) async fn fill(&mut self, deadline: Instant) -> Result<bool, WatchEnd> {
        if self.lines.is_too_long() {
            return Err(WatchEnd::TooLong);
        }
        let silent = |_| {
            let why = "it lasted longer than the server was asked for; the connection may be dead";
            WatchEnd::Failed(why.to_owned())
        };
        let Some(frame) = timeout_at(deadline, self.body.frame())
            .await
            .map_err(silent)?
        else {
            return Ok(false);
        };
        let broke_off = |e| WatchEnd::Failed(format!("the watch broke off: {e}"));
        if let Ok(bytes) = frame.map_err(broke_off)?.into_data() {
            self.lines.push(&bytes);
        }
        Ok(true)
    }
}
