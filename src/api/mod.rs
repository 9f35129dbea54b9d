//! Wire types of every kind, names, labels, conditions, and the CustomResourceDefinitions generated from the types.
//!
//! No behaviour lives here: what an object means is decided in `pool`, what is allowed in `admission`. May use: kube's
//! derive, k8s-openapi, schemars. Two ways to look at an object:
//!
//! ```text
//!   metal3.rs, capi.rs    typed, for writing objects and for the CRDs      (IPPool, IPClaim, IPAddress, ...)
//!   object.rs             neutral and lenient, for reading what clusters hold (PoolObject, Claim, Address)
//! ```

pub mod capi;
pub mod crds;
mod identity;
pub mod ip;
mod kind;
pub mod meta;
pub mod metal3;
pub mod names;
pub mod object;
pub mod rules;

pub use identity::{ResourceVersion, Uid};
pub use kind::{Kind, Origin};
pub use meta::{AddressKey, ClaimKey, ClaimKind, Meta, PoolKey, owner_references};
pub use object::{
    Address, Claim, ClusterFacts, PoolObject, ReferenceFault, WireObject, names_our_pool,
};
