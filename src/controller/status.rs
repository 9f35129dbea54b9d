//! What a server says in an answer that carries no object: Kubernetes' Status, or what a proxy says in its place.

use serde::Deserialize;

/// Kubernetes' Status object, as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) kind: String,
    pub(super) reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    name: String,
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl Status {
    /// The Status of an answer; an empty one where the body is none.
    pub(super) fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Whether nothing can be created because the namespace is being deleted.
    pub(super) fn is_terminating(&self) -> bool {
        let causes = self.details.iter().flat_map(|d| &d.causes);
        causes
            .into_iter()
            .any(|c| c.reason == "NamespaceTerminating")
    }

    /// The name of the object that it is about; `None` where it is about a path that leads to no kind.
    pub(super) fn object(&self) -> Option<&str> {
        let name = self.details.as_ref().map(|details| &*details.name);
        name.filter(|name| !name.is_empty())
    }
}

/// The server's words: the message of its Status, else the beginning of the body in one line. Never empty.
pub(crate) fn words(body: &[u8]) -> String {
    let message = Status::of(body).message;
    if !message.is_empty() {
        return message;
    }
    let start = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let line = start.split_whitespace().collect::<Vec<_>>().join(" ");
    if ["", "{}"].contains(&&*line) {
        "no message".to_owned()
    } else {
        line
    }
}

/// What an answer other than 200 says to a list or a watch.
pub(crate) fn refused_read(status: u16, body: &[u8]) -> String {
    let words = super::bounded(words(body));
    match status {
        401 => format!("the server does not accept our credentials ({words})"),
        403 => format!("a right to list and watch is missing: {words}"),
        _ => format!("the server answered {status}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_words_whoever_gave_it() {
        let status = br#"{"kind": "Status", "message": "pods is forbidden", "code": 403}"#;
        assert_eq!(words(status), "pods is forbidden");
        let page = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n";
        assert_eq!(
            words(page),
            "<html> <head><title>502 Bad Gateway</title></head>"
        );
        for nothing in [&b""[..], b" \n", b"{}"] {
            assert_eq!(words(nothing), "no message");
        }
        let no_message = br#"{"kind": "Status", "code": 500}"#;
        assert_eq!(words(no_message), r#"{"kind": "Status", "code": 500}"#);
        assert_eq!(
            refused_read(502, page),
            "the server answered 502: <html> <head><title>502 Bad Gateway</title></head>"
        );
        let long = vec![b'x'; 5000];
        assert_eq!(words(&long).len(), 200);
    }
}
