//! What a server serves, by whose rules, and under which name.

use std::fmt;
use std::sync::Arc;

use crate::admission::Admission;
use crate::kinds::Resources;

/// What a server serves. Cheap to clone.
#[derive(Clone)]
pub struct Serves {
    /// The kinds.
    pub resources: Arc<Resources>,
    /// The rules on custom resources beyond their definitions; with none it serves as a real API server without webhooks does.
    pub admission: Option<Arc<dyn Admission>>,
    /// Whose server it is.
    pub product: Product,
}

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

impl fmt::Debug for Serves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serves")
            .field("resources", &self.resources.all().len())
            .field("admission", &self.admission.is_some())
            .field("product", &self.product)
            .finish()
    }
}
