//! Whether a Secret that is whole is this installation's: one that was restored from elsewhere, copied, or forged is whole too.
//!
//! A renewal goes in steps, and what is served after each step is trusted by what was trusted before it. So a certificate that
//! no authority known before has signed comes from no renewal. What was known before is what this replica saw last and what
//! the configurations tell the API server to trust.

use jiff::Timestamp;

use super::authority::Content;

/// Who made the content of the Secret: this installation, or somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From this installation.
    Ours,
    /// From elsewhere: it is put right.
    Foreign,
    /// This replica cannot know: others may.
    Unknown,
}

/// What this replica knows for and against the content of the Secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    /// The authorities that this replica saw last; none before its first look.
    pub(super) known: &'a [String],
    /// Whether it has looked so regularly that it cannot have missed a step.
    pub(super) is_sure: bool,
    /// The authorities in the configurations.
    pub(super) in_force: &'a [String],
}

impl Evidence<'_> {
    /// Judges content that is whole.
    pub(super) fn judge(self, content: &Content, names: &[String], now: Timestamp) -> Origin {
        let is_trusted_by = |authorities: &[String]| content.is_trusted_by(authorities, names, now);
        if is_trusted_by(self.known) || is_trusted_by(self.in_force) {
            Origin::Ours
        } else if self.is_sure {
            Origin::Foreign
        } else if self.known.is_empty() && self.in_force.is_empty() {
            // The first look of a new installation: another replica was faster.
            Origin::Ours
        } else {
            Origin::Unknown
        }
    }
}
