//! Whose server it is, as its clients are told.

/// The program that a server is embedded in, as its clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// `my-operator`: stands in certificates, in the server's version and, with `_`, before the names of metrics.
    pub name: &'static str,
    /// `1.2.3`.
    pub version: &'static str,
}

impl Product {
    /// The name of one of its metrics.
    pub(crate) fn metric(&self, name: &str) -> String {
        format!("{}_{name}", self.name.replace('-', "_"))
    }
}
