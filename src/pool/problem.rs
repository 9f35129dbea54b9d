//! Kinds of what is inconsistent in a pool (A15, R6).

use std::fmt;

/// A kind of problem, the most urgent first: the pool's condition `Consistent` has the first one's name as its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Two or more objects hold one address (A15).
    DuplicateAddress,
    /// An object whose address was edited under its claim.
    AddressChanged,
    /// Two or more objects name one claim.
    SeveralAddresses,
    /// A living claim whose object was moved away.
    AddressMissing,
    /// An object that our claims cannot use has a name that one of ours needs (A12).
    NameTaken,
    /// An object's `spec.address` is no address.
    InvalidAddress,
    /// An object with our finalizer, and no claim (R6).
    Leak,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::DuplicateAddress,
        Self::AddressChanged,
        Self::SeveralAddresses,
        Self::AddressMissing,
        Self::NameTaken,
        Self::InvalidAddress,
        Self::Leak,
    ];

    /// As conditions, metrics, Events and the log name it.
    pub fn text(self) -> &'static str {
        match self {
            Self::DuplicateAddress => "DuplicateAddress",
            Self::AddressChanged => "AddressChanged",
            Self::SeveralAddresses => "SeveralAddresses",
            Self::AddressMissing => "AddressMissing",
            Self::NameTaken => "NameTaken",
            Self::InvalidAddress => "InvalidAddress",
            Self::Leak => "Leak",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
