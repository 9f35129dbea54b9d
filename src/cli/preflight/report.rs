//! The report: what would change, what was found, what could not be read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::place::Form;
use super::super::table;
use super::read::Survey;
use super::rehearsal::Rehearsal;
use super::{Finding, Level};
use crate::api::ClaimKind;

/// All findings of a preflight, and how they are printed.
#[derive(Debug)]
pub(super) struct Report {
    version: String,
    pools: usize,
    claims: BTreeMap<&'static str, usize>,
    addresses: usize,
    /// The first requests of all pools, by what they write.
    writes: BTreeMap<&'static str, u64>,
    pub(super) findings: Vec<Finding>,
    unread: Vec<String>,
}

impl Report {
    pub(super) fn new(survey: &Survey, rehearsals: &[Rehearsal], findings: Vec<Finding>) -> Self {
        let mut writes = BTreeMap::new();
        for (what, count) in rehearsals.iter().flat_map(|rehearsal| &rehearsal.writes) {
            *writes.entry(*what).or_default() += count;
        }
        let claims = ClaimKind::ALL.map(|kind| {
            let claims = survey
                .objects
                .claims
                .iter()
                .filter(|claim| claim.kind == kind);
            (kind.claim(), claims.count())
        });
        Self {
            version: survey.version.clone(),
            pools: survey.objects.pools.len(),
            claims: claims.into(),
            addresses: survey.objects.addresses.len(),
            writes,
            findings,
            unread: survey.unread.clone(),
        }
    }

    /// 0: nothing stands in the way; 1: something does; 2: not everything could be read.
    pub(super) fn exit_code(&self) -> u8 {
        if self.unread.is_empty() {
            u8::from(self.count(Level::Blocks) > 0)
        } else {
            2
        }
    }

    fn count(&self, level: Level) -> usize {
        let of_level = self
            .findings
            .iter()
            .filter(|finding| finding.level == level);
        of_level.count()
    }

    pub(super) fn text(&self, output: Form) -> anyhow::Result<String> {
        output.text(|| self.table(), || self.value())
    }

    fn table(&self) -> String {
        let counted = |counts: Vec<String>, none: &str| {
            if counts.is_empty() {
                none.to_owned()
            } else {
                counts.join(", ")
            }
        };
        let claims = self.claims.iter().map(|(kind, n)| format!("{n} {kind}s"));
        let writes = self.writes.iter().map(|(what, n)| format!("{n} {what}"));
        let mut out = format!(
            "Kubernetes {}: {} IPPools, {}, {} IPAddresses\nThe manager would first write: {}.\n",
            self.version,
            self.pools,
            counted(claims.collect(), "no claims"),
            self.addresses,
            counted(writes.collect(), "nothing")
        );
        if !self.findings.is_empty() {
            let rows: Vec<_> = self.findings.iter().map(row).collect();
            let headings = ["LEVEL", "CHECK", "OBJECT", "WHAT"];
            let table = table::render(headings, &rows);
            // One check may ask for several things: each once, the worst first.
            let mut actions = Vec::new();
            for finding in &self.findings {
                let action = (finding.check, &finding.action);
                if !actions.contains(&action) {
                    actions.push(action);
                }
            }
            let lines = actions.iter().map(|(check, action)| {
                format!("  {check}{}: {action}\n", self.about(check, action))
            });
            out = format!("{out}\n{table}\nWhat to do\n{}", lines.collect::<String>());
        }
        if !self.unread.is_empty() {
            let lines = self.unread.iter().map(|what| format!("  {what}\n"));
            out = format!(
                "{out}\nNot read, so that more may stand in the way\n{}",
                lines.collect::<String>()
            );
        }
        let [blocks, warns, notes] =
            [Level::Blocks, Level::Warns, Level::Notes].map(|level| self.count(level));
        format!("{out}\n{blocks} block, {warns} warn, {notes} to note\n")
    }

    /// Where a check asks for several things: for which objects it asks for this one.
    fn about(&self, check: &str, action: &str) -> String {
        let findings = self
            .findings
            .iter()
            .filter(|finding| finding.check == check);
        let (these, others): (Vec<_>, Vec<_>) =
            findings.partition(|finding| finding.action == action);
        match &*these {
            [_, ..] if others.is_empty() => String::new(),
            [] => String::new(),
            [one] => format!(", {}", one.object),
            [first, more @ ..] => format!(", {} and {} more", first.object, more.len()),
        }
    }

    fn value(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "level": finding.level.name(),
                "check": finding.check,
                "object": finding.object,
                "message": finding.message,
                "action": finding.action,
            })
        });
        json!({
            "kubernetes": self.version,
            "pools": self.pools,
            "claims": self.claims,
            "addresses": self.addresses,
            "firstWrites": self.writes,
            "findings": findings.collect::<Vec<_>>(),
            "notRead": self.unread,
            "exitCode": self.exit_code(),
        })
    }
}

fn row(finding: &Finding) -> [String; 4] {
    [
        finding.level.name().to_owned(),
        finding.check.to_owned(),
        finding.object.clone(),
        finding.message.clone(),
    ]
}
