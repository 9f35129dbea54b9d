//! Certificates that the webhook server makes itself (`--webhook-self-signed`), for clusters without cert-manager: an
//! authority and one certificate signed by it, in a Secret that all replicas share.
//!
//! ```text
//!   every replica, each 10 s:  the Secret   missing -> create it        (who comes second takes what is there)
//!                                           spoiled -> put it right     (with what was good last, else anew; where its
//!                                                                        authority is whole it signs a new certificate)
//!                                           foreign -> put it right     (with what was good last; origin.rs)
//!                                           good    -> serve its certificate
//!   the leader, each 10 s:     its authorities -> caBundle of our webhooks, where it differs
//!                              certificate after 2/3 of its life -> a new one, by the same authority
//!                              authority after 9 of 10 years -> a new one, in steps (authority.rs)
//! ```
//! An authority is exchanged in three steps, so that an API server trusts what any replica serves at every moment: first it is
//! trusted beside the old one, then it signs, then the old one goes. The key of the old one is gone with the first step.

mod authority;
mod bundle;
mod keeper;
mod origin;
#[cfg(test)]
mod tests;

pub use authority::self_signed;
pub use keeper::{Keeper, Own, Times};
