//! Events of an object: what its controllers have said of it. The API server keeps them for an hour by default.

use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::super::objects::Reader;
use crate::api::Meta;

/// The latest that are shown.
const MOST: usize = 5;

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occurred {
    /// When it was seen last.
    pub(super) at: Option<Timestamp>,
    /// Normal or Warning.
    pub(super) severity: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// How often it was seen.
    pub(super) times: u64,
    /// The controller that said it; empty where it did not say who it is.
    pub(super) by: String,
}

/// The latest Events of an object, in order.
///
/// # Errors
/// Why they could not be read, in the server's words.
pub(super) async fn of(client: &Client, meta: &Meta) -> Result<Vec<Occurred>, String> {
    let mut reader = Reader::new(client);
    let path = format!("/api/v1/namespaces/{}/events", meta.namespace);
    let selector = format!("involvedObject.uid={}", meta.uid);
    let events = reader.select(&path, Some(&selector), "Events").await;
    match reader.unread.pop() {
        Some(why) => Err(why),
        None => Ok(latest(&events.unwrap_or_default())),
    }
}

/// The latest of them, in order.
fn latest(events: &[Value]) -> Vec<Occurred> {
    let mut all: Vec<Occurred> = events.iter().map(read).collect();
    all.sort_by_key(|event| event.at);
    all.split_off(all.len().saturating_sub(MOST))
}

/// An Event in the form of `v1`. Controllers that write `events.k8s.io` fill other fields of it.
fn read(event: &Value) -> Occurred {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let series = &event["series"];
    let times = [
        &series["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["firstTimestamp"],
        &event["metadata"]["creationTimestamp"],
    ];
    let time = |value: &&Value| value.as_str()?.parse().ok();
    let component = [&event["reportingComponent"], &event["source"]["component"]];
    let counts = [&series["count"], &event["count"]];
    Occurred {
        at: times.iter().find_map(time),
        severity: text(&event["type"]),
        reason: text(&event["reason"]),
        message: text(&event["message"]),
        times: counts.iter().find_map(|n| n.as_u64()).unwrap_or(1).max(1),
        by: component
            .iter()
            .map(|by| text(by))
            .find(|by| !by.is_empty())
            .unwrap_or_default(),
    }
}

impl Occurred {
    /// In one line, for people.
    pub(super) fn line(&self) -> String {
        let at = self.at.map(|at| format!("{at:.0} ")).unwrap_or_default();
        let times = match self.times {
            1 => String::new(),
            n => format!(" ({n} times)"),
        };
        let by = match &*self.by {
            "" => String::new(),
            by => format!(" by {by}"),
        };
        let Self {
            severity,
            reason,
            message,
            ..
        } = self;
        format!("{at}{severity} {reason}{times}{by}: {message}")
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "at": self.at.map(|at| at.to_string()),
            "type": self.severity,
            "reason": self.reason,
            "message": self.message,
            "times": self.times,
            "by": self.by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_either_form_are_read_and_the_latest_are_kept() {
        let old = json!({"type": "Normal", "reason": "Made", "message": "it is there", "count": 3,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-02T00:00:00Z", "eventTime": null,
            "source": {"component": "capm3"}, "reportingComponent": ""});
        let new = json!({"type": "Warning", "reason": "PoolExhausted", "message": "pool full", "lastTimestamp": null,
            "eventTime": "2026-01-01T12:00:00.123456Z", "reportingComponent": "metal3-ipam",
            "series": {"count": 7, "lastObservedTime": "2026-01-03T00:00:00.654321Z"}});
        let blank = json!({});
        let events = latest(&[new.clone(), blank, old]);
        let lines: Vec<String> = events.iter().map(Occurred::line).collect();
        assert_eq!(
            lines[1..],
            [
                "2026-01-02T00:00:00Z Normal Made (3 times) by capm3: it is there",
                "2026-01-03T00:00:00Z Warning PoolExhausted (7 times) by metal3-ipam: pool full",
            ]
        );
        let anonymous = json!({"type": "Normal", "reason": "Made", "message": "it is there"});
        assert_eq!(read(&anonymous).line(), "Normal Made: it is there");
        let many: Vec<Value> = (0..9).map(|_| new.clone()).collect();
        assert_eq!(latest(&many).len(), MOST);
    }
}
