//! What passed the layer, in order. Two runs of one seed must agree in all of it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use bytes::Bytes;
use metal3_ipam::api::Kind;
use serde_json::Value;

/// Lines that are kept to be shown.
const KEPT: usize = 400;
/// Longest text of a line that is shown, in bytes.
const LONGEST: usize = 600;

/// The lines of a run: the last ones to be shown, all of them as a number.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: VecDeque<Line>,
    passed: u64,
    /// A hasher without a random key: the same in every process.
    print: DefaultHasher,
}

#[derive(Debug)]
struct Line {
    at: Duration,
    process: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Text(String),
    Event(Kind, Bytes),
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            passed: 0,
            print: DefaultHasher::new(),
        }
    }
}

impl Trace {
    /// A request, an answer or a fault, with the time since the start and the process that it is of.
    pub(crate) fn line(&mut self, at: Duration, process: u32, text: String) {
        self.print.write(text.as_bytes());
        self.add(at, process, What::Text(text));
    }

    /// An event that was sent to the controller.
    pub(crate) fn event(&mut self, at: Duration, process: u32, kind: Kind, line: Bytes) {
        self.print.write(&line);
        self.add(at, process, What::Event(kind, line));
    }

    /// The body of an answer; only its hash is kept.
    pub(crate) fn body(&mut self, bytes: &[u8]) {
        self.print.write(bytes);
    }

    fn add(&mut self, at: Duration, process: u32, what: What) {
        self.passed += 1;
        self.print.write_u128(at.as_nanos());
        self.print.write_u32(process);
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, process, what });
    }

    /// Lines so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// A number that two equal traces share.
    pub(crate) fn print(&self) -> u64 {
        self.print.finish()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.lines.iter().map(Line::show).collect()
    }
}

impl Line {
    fn show(&self) -> String {
        let (at, process) = (self.at.as_secs_f64(), self.process);
        let mut text = match &self.what {
            What::Text(text) => text.clone(),
            What::Event(kind, line) => {
                let event: Value = serde_json::from_slice(line).unwrap_or_default();
                let meta = &event["object"]["metadata"];
                let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                let (what, name) = (word(&event["type"]), word(&meta["name"]));
                format!("=> {kind} {what} {name} {}", word(&meta["resourceVersion"]))
            }
        };
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|i| text.is_char_boundary(*i));
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
        format!("{at:>10.3}s process {process} {text}\n")
    }
}
