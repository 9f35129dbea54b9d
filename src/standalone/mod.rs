//! The embedded API server (the crate `kube_embedded`) as this program runs it: with the definitions of `api`, and the rules of
//! `admission` on their objects.

mod blocks;
mod rules;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use kube_embedded::{Product, Resources, Serves};

pub use kube_embedded::{
    Clock, InMemory, InMemoryOptions, Limits, Listening, Options, Server, ServerError,
};

use crate::api::crds;
use rules::Rules;

/// How a server on this data folder is opened.
pub fn options(data_dir: impl Into<PathBuf>) -> Options {
    Options {
        data_dir: data_dir.into(),
        serves: serves(),
    }
}

/// As [`options`], without the rules of `admission`: what a real API server does where the webhook is not installed, to be compared
/// with one.
pub fn options_without_rules(data_dir: impl Into<PathBuf>) -> Options {
    Options {
        data_dir: data_dir.into(),
        serves: Serves {
            admission: None,
            ..serves()
        },
    }
}

/// How a server in memory is opened.
pub fn in_memory() -> InMemoryOptions {
    InMemoryOptions::new(serves())
}

fn serves() -> Serves {
    static RESOURCES: LazyLock<Arc<Resources>> = LazyLock::new(|| {
        let mut definitions = crds::metal3_crds();
        definitions.extend(crds::capi_crds());
        Resources::of(definitions).expect("the definitions are generated, and a test compiles them")
    });
    Serves {
        resources: Arc::clone(&RESOURCES),
        admission: Some(Arc::new(Rules)),
        product: Product {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        },
    }
}
