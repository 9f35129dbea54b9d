//! The program that embeds the server.

/// The program that embeds a server. Clients see its name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// `my-operator`: is in certificates, in the server's version and, with `_`, before the names of metrics.
    pub name: &'static str,
    /// `1.2.3`.
    pub version: &'static str,
}

impl Product {
    /// The name of a metric.
    pub(crate) fn metric(&self, name: &str) -> String {
        format!("{}_{name}", self.name.replace('-', "_"))
    }
}
