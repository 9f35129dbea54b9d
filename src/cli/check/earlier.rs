//! A report of `metal3-ipam check` as it was stored.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

use super::super::documents;
use super::finding::{Finding, Level, Subject};
use crate::api::Uid;

/// Time between two reports that are to agree.
pub(super) const BETWEEN: SignedDuration = SignedDuration::from_mins(10);

/// What an earlier check has found.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    /// UID of the namespace kube-system.
    cluster: Option<String>,
    pub(super) time: Timestamp,
    pub(super) namespace: Option<String>,
    #[serde(deserialize_with = "errors", rename = "findings")]
    errors: HashSet<Identity>,
}

/// What two reports agree on: the code, the object in its version, and the others in whatever version. These, such as a pool whose
/// status is written all the time, may have another: nothing is written to them.
type Identity = (String, Subject, BTreeSet<(String, Uid)>);

#[derive(Debug, Deserialize)]
struct Known {
    code: String,
    level: String,
    object: Subject,
    others: Vec<Subject>,
}

impl Earlier {
    /// A file that `check` has written with `-o json` or `-o yaml`.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the report {}", file.display()))?;
        Self::parse(&text).with_context(|| {
            format!(
                "{} is no report; write one with: metal3-ipam check -o json > {}",
                file.display(),
                file.display()
            )
        })
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        // JSON is tried first: of a report of many findings it is read faster than as YAML.
        serde_json::from_str(text).or_else(|_| documents::one(text))
    }

    /// Whether this report may be compared with what that cluster shows now.
    pub(super) fn suits(&self, cluster: Option<&str>, now: Timestamp) -> anyhow::Result<()> {
        let age = now.duration_since(self.time);
        ensure!(
            age >= BETWEEN,
            "the report is of {}, and two reports have to be {} minutes apart: repeat this in {} s",
            self.time,
            BETWEEN.as_mins(),
            BETWEEN.saturating_sub(age).as_secs() + 1
        );
        match (&self.cluster, cluster) {
            (Some(of_report), Some(of_cluster)) => {
                ensure!(
                    of_report == of_cluster,
                    "the report is of another cluster: its namespace kube-system has the UID {of_report}, this cluster's {of_cluster}"
                );
                Ok(())
            }
            (None, _) => anyhow::bail!(
                "the report does not say which cluster it is of; write it with the right to get the namespace kube-system"
            ),
            (_, None) => anyhow::bail!(
                "which cluster this is cannot be read; repairs need the right to get the namespace kube-system"
            ),
        }
    }

    /// Whether the report has this error, of the same object in the same version and with the same others.
    pub(super) fn has(&self, finding: &Finding) -> bool {
        let code = finding.check.code.to_owned();
        let error = identity(code, finding.subject.clone(), &finding.others);
        self.errors.contains(&error)
    }
}

fn errors<'de, D: Deserializer<'de>>(findings: D) -> Result<HashSet<Identity>, D::Error> {
    let findings = Vec::<Known>::deserialize(findings)?.into_iter();
    let errors = findings.filter(|known| known.level == Level::Error.name());
    Ok(errors
        .map(|known| identity(known.code, known.object, &known.others))
        .collect())
}

fn identity(code: String, object: Subject, others: &[Subject]) -> Identity {
    let others = others.iter();
    let others = others.map(|other| (other.to_string(), other.uid.clone()));
    (code, object, others.collect())
}
