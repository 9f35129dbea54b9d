//! The async shell around the pools.
