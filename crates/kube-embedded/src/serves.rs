//! The resources of a server, its rules, and the embedding program's name.

use std::fmt;
use std::sync::Arc;

use crate::admission::Admission;
use crate::kinds::Resources;
use crate::product::Product;

/// What a server serves. Cheap to clone.
#[derive(Clone)]
pub struct Serves {
    /// The resources.
    pub resources: Arc<Resources>,
    /// The rules on custom resources beyond their definitions. `None`: as a real API server without admission webhooks.
    pub admission: Option<Arc<dyn Admission>>,
    /// The embedding program.
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
