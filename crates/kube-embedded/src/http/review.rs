//! Questions about the caller: who am I (`kubectl auth whoami`), may I (`kubectl auth can-i`), what may I (its `--list`). There is one user here, and
//! whoever is let in at all may do everything.

use serde_json::{Value, json};

/// A kind that is only ever created, and answered at once.
pub(super) struct Review {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    /// What `status` is.
    status: fn() -> Value,
}

/// All of them.
pub(super) const REVIEWS: &[Review] = &[
    Review {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        status: || json!({"userInfo": {"username": "standalone-admin", "groups": ["system:masters", "system:authenticated"]}}),
    },
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        status: || json!({"allowed": true, "reason": "the holder of the server's token may do everything"}),
    },
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        status: || {
            json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": false,
            })
        },
    },
];

impl Review {
    pub(super) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        REVIEWS
            .iter()
            .find(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The answer to what was asked.
    pub(super) fn answer(&self, mut asked: Value) -> Value {
        json!({
            "kind": self.kind,
            "apiVersion": format!("{}/{}", self.group, self.version),
            "metadata": {},
            "spec": asked["spec"].take(),
            "status": (self.status)(),
        })
    }
}
