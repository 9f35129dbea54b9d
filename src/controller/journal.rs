//! Every decision of a pool as one line in the log.

use tracing::{info, warn};

use crate::api::PoolKey;
use crate::pool::Decision;

/// Logs one decision: at info what is normal, at warn what a person should look at. No field is called `message`: that is the
/// name of the line itself, and a JSON object would have it twice.
pub(super) fn tell(pool: &PoolKey, decision: &Decision) {
    match decision {
        Decision::Allocated { claim, address } => {
            info!(%pool, %claim, %address, "address allocated");
        }
        Decision::Bound {
            claim,
            uid: _,
            address,
            created,
        } => info!(%pool, %claim, %address, %created, "claim bound"),
        Decision::Released { claim, address, .. } => {
            info!(%pool, %claim, %address, "address released");
        }
        Decision::Waiting {
            claim,
            uid: _,
            reason,
            message,
        } => info!(%pool, %claim, reason = reason.text(), says = message, "claim waits"),
        Decision::Pool {
            condition,
            before: _,
            status,
            reason,
            message,
        } => info!(%pool, condition, status, reason, says = message, "pool changed"),
        Decision::NearlyFull { message } => warn!(%pool, says = message, "pool nearly full"),
        Decision::Problem { kind, message } => {
            warn!(%pool, kind = kind.text(), says = message, "problem");
        }
        Decision::Repaired { kind, message } => {
            info!(%pool, kind = kind.text(), says = message, "problem is gone");
        }
        Decision::StatusRefused { message } => warn!(%pool, says = message, "status refused"),
        Decision::Retrying { what, why } => warn!(%pool, what, why, "trying again"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;
    use crate::api::{ClaimKey, ClaimKind};
    use crate::pool::{ProblemKind, Reason};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_a_json_object_with_each_key_once() {
        let log = Log::default();
        let writer = log.clone();
        let json = tracing_subscriber::fmt().json().flatten_event(true);
        let subscriber = json.with_writer(move || writer.clone()).finish();
        let pool = PoolKey {
            namespace: "n".into(),
            name: "p".into(),
        };
        let claim = ClaimKey {
            kind: ClaimKind::Metal3,
            name: "c".into(),
        };
        let text = || "some words".to_owned();
        let decisions = [
            Decision::Waiting {
                claim,
                uid: "u".into(),
                reason: Reason::Exhausted,
                message: text(),
            },
            Decision::Pool {
                condition: "Ready",
                before: None,
                status: true,
                reason: "Ready",
                message: text(),
            },
            Decision::NearlyFull { message: text() },
            Decision::Problem {
                kind: ProblemKind::Leak,
                message: text(),
            },
            Decision::Repaired {
                kind: ProblemKind::Leak,
                message: text(),
            },
            Decision::StatusRefused { message: text() },
            Decision::Retrying {
                what: text(),
                why: text(),
            },
        ];
        tracing::subscriber::with_default(subscriber, || {
            for decision in &decisions {
                tell(&pool, decision);
            }
        });
        let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.lines().count(), decisions.len());
        for line in lines.lines() {
            let read: Value = serde_json::from_str(line).unwrap();
            let keys = read.as_object().unwrap().keys();
            for key in keys {
                let times = line.matches(&format!("\"{key}\":")).count();
                assert_eq!(times, 1, "{key} in {line}");
            }
            assert_ne!(read["message"], "some words", "{line}");
        }
    }

    /// As the runbooks search for them.
    #[test]
    fn the_text_of_a_line_has_reasons_and_kinds_in_quotation_marks() {
        let log = Log::default();
        let writer = log.clone();
        let text = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = text.with_writer(move || writer.clone()).finish();
        let pool = PoolKey {
            namespace: "n".into(),
            name: "p".into(),
        };
        let problem = Decision::Problem {
            kind: ProblemKind::Leak,
            message: String::new(),
        };
        let changed = Decision::Pool {
            condition: "Ready",
            before: None,
            status: true,
            reason: "Ready",
            message: String::new(),
        };
        tracing::subscriber::with_default(subscriber, || {
            tell(&pool, &problem);
            tell(&pool, &changed);
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("kind=\"Leak\""), "{text}");
        assert!(text.contains("reason=\"Ready\""), "{text}");
    }
}
