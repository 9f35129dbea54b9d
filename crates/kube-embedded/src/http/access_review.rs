//! Reviews of the caller: `kubectl auth whoami`, `kubectl auth can-i` and its `--list`. There is one user, who may do everything.

use serde_json::{Value, json};

use crate::builtin::{ACCESS_REVIEW, RULES_REVIEW, SELF_REVIEW, Struct};

/// A kind that can only be created, and is not stored.
pub(super) struct Review {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    /// The type of its objects, as far as they are read.
    pub(super) question: &'static Struct,
    /// The `status` of the answer.
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
        question: &SELF_REVIEW,
        status: || json!({"userInfo": {"username": "standalone-admin", "groups": ["system:masters", "system:authenticated"]}}),
    },
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        question: &ACCESS_REVIEW,
        status: || json!({"allowed": true, "reason": "the holder of the server's token may do everything"}),
    },
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        question: &RULES_REVIEW,
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

    /// The answer to a review.
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
