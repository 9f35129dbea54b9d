//! Every decision of a pool as one line in the log.

use tracing::{info, warn};

use crate::api::PoolKey;
use crate::pool::Decision;

/// Logs one decision: at info what is normal, at warn what a person should look at.
pub(super) fn tell(pool: &PoolKey, decision: &Decision) {
    match decision {
        Decision::Allocated { claim, address } => {
            info!(%pool, %claim, %address, "address allocated");
        }
        Decision::Bound {
            claim,
            uid: _,
            address,
            created,
        } => info!(%pool, %claim, %address, %created, "claim bound"),
        Decision::Released { claim, address, .. } => {
            info!(%pool, %claim, %address, "address released");
        }
        Decision::Waiting {
            claim,
            uid: _,
            reason,
            message,
        } => info!(%pool, %claim, reason, message, "claim waits"),
        Decision::Pool {
            condition,
            before: _,
            status,
            reason,
            message,
        } => info!(%pool, condition, status, reason, message, "pool changed"),
        Decision::NearlyFull { message } => warn!(%pool, message, "pool nearly full"),
        Decision::Problem { kind, message } => warn!(%pool, kind, message, "problem"),
        Decision::Repaired { kind, message } => info!(%pool, kind, message, "problem is gone"),
        Decision::Retrying { what, why } => warn!(%pool, what, why, "trying again"),
    }
}
