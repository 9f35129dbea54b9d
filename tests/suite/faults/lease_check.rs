//! O8: no write is started after the lease is lost, checked on the requests that pass the layer.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::api_request::ApiRequest;

/// How long a renewal is valid from the moment that it was sent: client-go's 15 s less the margin of one.
const VALID_FOR: Duration = Duration::from_secs(14);
/// How long a write may take.
const WRITE: Duration = Duration::from_secs(4);

/// Who held the lease when.
#[derive(Debug, Default)]
pub(crate) struct LeaseCheck {
    /// By process: its identity, and when its last successful renewal was sent.
    renewed: BTreeMap<u32, (String, Instant)>,
    /// Who holds the lease on the server.
    holder: Option<String>,
    violations: Vec<String>,
}

impl LeaseCheck {
    /// The server has stored this lease.
    pub(crate) fn renewed(&mut self, process: u32, sent_at: Instant, request: &ApiRequest) {
        let lease = request.json();
        let holder = lease["spec"]["holderIdentity"].as_str();
        let holder = holder.unwrap_or_default().to_owned();
        if holder.is_empty() {
            self.renewed.remove(&process);
        } else {
            self.renewed.insert(process, (holder.clone(), sent_at));
        }
        self.holder = Some(holder);
    }

    /// A process has started a write.
    pub(crate) fn started(&mut self, process: u32, request: &ApiRequest) {
        // Without a lease in the run there is nothing to lose.
        let Some(holder) = &self.holder else {
            return;
        };
        let why = match self.renewed.get(&process) {
            None => "it never had the lease, or has given it up".to_owned(),
            Some((identity, _)) if identity != holder => format!("{holder} holds the lease"),
            Some((_, at)) if at.elapsed() + WRITE > VALID_FOR => {
                format!("its last renewal is {:?} ago", at.elapsed())
            }
            Some(_) => return,
        };
        self.violations.push(format!(
            "process {process} started {} {}, but {why}",
            request.method(),
            request.target()
        ));
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }
}
