//! The report: what was found, what to do, what could not be read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::table;
use super::read::Reading;
use super::{Finding, Form, Level};
use crate::api::ClaimKind;

/// All findings of a check, and how they are printed.
#[derive(Debug)]
pub(super) struct Report<'a> {
    reading: &'a Reading,
    findings: Vec<Finding>,
    time: Timestamp,
}

impl<'a> Report<'a> {
    pub(super) fn new(reading: &'a Reading, findings: Vec<Finding>, time: Timestamp) -> Self {
        Self {
            reading,
            findings,
            time,
        }
    }

    /// 0: sound; 1: there are warnings; 2: there are errors, or not everything could be read.
    pub(super) fn exit_code(&self) -> u8 {
        if !self.reading.unread.is_empty() || self.count(Level::Error) > 0 {
            2
        } else {
            u8::from(self.count(Level::Warning) > 0)
        }
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }

    pub(super) fn text(&self, output: Form) -> anyhow::Result<String> {
        output.text(|| self.table(), || self.value())
    }

    /// Claims by the name of their kind.
    fn claims(&self) -> [(&'static str, usize); 2] {
        ClaimKind::ALL.map(|kind| {
            let claims = self.reading.objects.claims.iter();
            (kind.claim(), claims.filter(|c| c.kind == kind).count())
        })
    }

    fn table(&self) -> String {
        let objects = &self.reading.objects;
        let claims = self.claims().map(|(kind, n)| format!("{n} {kind}s"));
        let mut out = format!(
            "Kubernetes {}: {} IPPools, {}, {} IPAddresses\n",
            self.reading.version,
            objects.pools.len(),
            claims.join(", "),
            objects.addresses.len(),
        );
        if !self.findings.is_empty() {
            let rows: Vec<_> = self.findings.iter().map(row).collect();
            let table = table::render(["LEVEL", "CODE", "CHECK", "OBJECT", "WHAT"], &rows);
            let checks = self.findings.iter().map(|f| &f.check);
            let actions: BTreeMap<_, _> = checks.map(|check| (check.name, check.action)).collect();
            let lines = actions
                .iter()
                .map(|(check, action)| format!("  {check}: {action}\n"));
            out = format!("{out}\n{table}\nWhat to do\n{}", lines.collect::<String>());
        }
        if !self.reading.unread.is_empty() {
            let lines = self.reading.unread.iter().map(|what| format!("  {what}\n"));
            out = format!(
                "{out}\nNot read, so that there may be more errors\n{}",
                lines.collect::<String>()
            );
        }
        let [errors, warnings, notes] =
            [Level::Error, Level::Warning, Level::Note].map(|level| self.count(level));
        format!("{out}\n{errors} errors, {warnings} warnings, {notes} notes\n")
    }

    fn value(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "code": finding.check.code,
                "check": finding.check.name,
                "level": finding.level.name(),
                "object": finding.subject,
                "others": finding.others,
                "message": finding.message,
                "action": finding.check.action,
            })
        });
        json!({
            "cluster": self.reading.cluster,
            "time": self.time.to_string(),
            "namespace": self.reading.namespace,
            "kubernetes": self.reading.version,
            "pools": self.reading.objects.pools.len(),
            "claims": BTreeMap::from(self.claims()),
            "addresses": self.reading.objects.addresses.len(),
            "findings": findings.collect::<Vec<_>>(),
            "notRead": self.reading.unread,
            "exitCode": self.exit_code(),
        })
    }
}

fn row(finding: &Finding) -> [String; 5] {
    [
        finding.level.name().to_owned(),
        finding.check.code.to_owned(),
        finding.check.name.to_owned(),
        finding.subject.to_string(),
        finding.message.clone(),
    ]
}
