//! O8: no write is started after the lease is lost, told from what passes the layer alone.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::asked::Asked;

/// What a renewal is good for, from the moment that it was asked for: client-go's 15 s less the margin of one.
const GOOD_FOR: Duration = Duration::from_secs(14);
/// What a write may take.
const WRITE: Duration = Duration::from_secs(4);

/// Who held the lease when.
#[derive(Debug, Default)]
pub(crate) struct Tenures {
    /// By process: its identity, and when its last successful renewal was asked for.
    renewed: BTreeMap<u32, (String, Instant)>,
    /// Who holds the lease on the server.
    holder: Option<String>,
    violations: Vec<String>,
}

impl Tenures {
    /// The server has stored this lease.
    pub(crate) fn renewed(&mut self, life: u32, asked_at: Instant, asked: &Asked) {
        let lease = asked.json();
        let holder = lease["spec"]["holderIdentity"].as_str();
        let holder = holder.unwrap_or_default().to_owned();
        if holder.is_empty() {
            self.renewed.remove(&life);
        } else {
            self.renewed.insert(life, (holder.clone(), asked_at));
        }
        self.holder = Some(holder);
    }

    /// A process has started a write.
    pub(crate) fn started(&mut self, life: u32, asked: &Asked) {
        // Without a lease in the run there is nothing to lose.
        let Some(holder) = &self.holder else {
            return;
        };
        let why = match self.renewed.get(&life) {
            None => "it never had the lease, or has given it up".to_owned(),
            Some((identity, _)) if identity != holder => format!("{holder} holds the lease"),
            Some((_, at)) if at.elapsed() + WRITE > GOOD_FOR => {
                format!("its last renewal is {:?} ago", at.elapsed())
            }
            Some(_) => return,
        };
        self.violations.push(format!(
            "life {life} started {} {}, but {why}",
            asked.method(),
            asked.target()
        ));
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }
}
