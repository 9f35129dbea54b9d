//! What a server serves, by whose rules, and under which name.

use std::fmt;
use std::sync::Arc;

use crate::admission::Admission;
use crate::kinds::Resources;
use crate::product::Product;

/// What a server serves. Cheap to clone.
#[derive(Clone)]
pub struct Serves {
    /// The kinds.
    pub resources: Arc<Resources>,
    /// The rules on custom resources beyond their definitions; with none it serves as a real API server without webhooks does.
    pub admission: Option<Arc<dyn Admission>>,
    /// The program that embeds it.
    pub product: Product,
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
