//! What is sent: steps as data, the same for both servers. Where a request needs something that each server makes up by itself
//! (a UID, a resourceVersion, a generated name, a continue token), it carries a symbol, which each side resolves from its own
//! answers (`symbols.rs`). So a step can be sent again in another namespace, and a script can be shortened.

use std::fmt;

/// One step of a script.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Symbols are named by the step whose answer they first came in, so it keeps its number when others are left out.
    pub(super) id: u32,
    pub(super) what: What,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// Sends a request, whole answer.
    Request(Request),
    /// Opens a watch, then sends a request that makes its last event, and reads up to that.
    Watch {
        /// The watch.
        open: Request,
        /// Makes the object that the last event is about.
        marker: Request,
        /// Name of that object.
        until: String,
    },
    /// Waits until the garbage collector and the namespace controller have nothing left to do, then looks at everything.
    Settle {
        /// Places in [`super::kinds::KINDS`] of the kinds that have objects.
        kinds: Vec<usize>,
    },
}

/// An HTTP request with symbols in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) accept: Option<&'static str>,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: String,
}

// === impl Request ===

impl Request {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    #[must_use]
    pub(super) fn json(self, body: impl Into<String>) -> Self {
        self.typed("application/json", body)
    }

    #[must_use]
    pub(super) fn typed(mut self, content_type: &'static str, body: impl Into<String>) -> Self {
        self.content_type = Some(content_type);
        self.body = body.into();
        self
    }

    #[must_use]
    pub(super) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = Some(accept);
        self
    }

    pub(super) fn said(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(k, _)| *k == key);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn is_dry_run(&self) -> bool {
        if self.method == "DELETE" && !self.body.is_empty() {
            // With a body, nobody looks at the query.
            return self.body.contains("\"dryRun\"");
        }
        self.query.iter().any(|(key, _)| *key == "dryRun") || self.body.contains("\"dryRun\"")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (n, (key, value)) in self.query.iter().enumerate() {
            write!(f, "{}{key}={value}", if n == 0 { '?' } else { '&' })?;
        }
        if let Some(accept) = self.accept {
            write!(f, "\n      Accept: {accept}")?;
        }
        if let Some(content_type) = self.content_type {
            write!(f, "\n      Content-Type: {content_type}")?;
        }
        if !self.body.is_empty() {
            write!(f, "\n      {}", super::report::shortened(&self.body, 4000))?;
        }
        Ok(())
    }
}

// === impl Step ===

impl Step {
    /// The request whose answer is compared, if there is one.
    pub(super) fn request(&self) -> Option<&Request> {
        match &self.what {
            What::Request(request) | What::Watch { open: request, .. } => Some(request),
            What::Settle { .. } => None,
        }
    }

    /// How many requests each side is sent.
    pub(super) fn requests(&self) -> u64 {
        match &self.what {
            What::Request(_) => 1,
            What::Watch { .. } => 2,
            What::Settle { kinds } => 1 + kinds.len() as u64,
        }
    }

    /// Whether it has to do with something of this name or symbol.
    pub(super) fn touches(&self, word: &str) -> bool {
        let has = |r: &Request| {
            r.path.contains(word)
                || r.body.contains(word)
                || r.query.iter().any(|(_, v)| v.contains(word))
        };
        match &self.what {
            What::Request(request) => has(request),
            What::Watch { open, marker, .. } => has(open) || has(marker),
            What::Settle { .. } => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Request(request) => write!(f, "#{:<4} {request}", self.id),
            What::Watch {
                open,
                marker,
                until,
            } => write!(
                f,
                "#{:<4} {open}\n      then {marker}\n      read up to {until}",
                self.id
            ),
            What::Settle { .. } => write!(f, "#{:<4} wait until nothing is left to do", self.id),
        }
    }
}
