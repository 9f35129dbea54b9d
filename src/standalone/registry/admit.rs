//! The rules on our own kinds, asked after everything that Kubernetes itself would refuse.

use super::Registry;
use super::metadata::Object;
use crate::standalone::error::FieldError;
use crate::standalone::kinds::Resource;

impl Registry {
    #[allow(clippy::unused_self, reason = "the rules ask it for live facts")]
    /// What the rules say of `new` in place of `old`.
    pub(super) fn admit(
        &self,
        _resource: &Resource,
        _old: Option<&Object>,
        _new: &Object,
        _warnings: &mut Vec<String>,
    ) -> Vec<FieldError> {
        Vec::new()
    }
}
