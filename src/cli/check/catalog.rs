//! The checks that can find something: code, name and next step of each. `docs/check.md` explains them; a test compares both.

/// One check. Its level is decided with each finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) code: &'static str,
    pub(super) name: &'static str,
    pub(super) action: &'static str,
}

macro_rules! checks {
    ($($id:ident = $code:literal $name:literal: $action:literal;)*) => {
        $(pub(super) const $id: Check = Check { code: $code, name: $name, action: $action };)*
        /// All of them, in the order of their codes.
        #[cfg(test)]
        pub(super) const ALL: &[Check] = &[$($id),*];
    };
}

checks! {
    DUPLICATE = "E1" "DuplicateAddress":
        "find out which machine uses the address, and delete the claims of all others";
    SEVERAL = "E2" "SeveralAddresses":
        "keep the IPAddress that the claim's status names, and delete the others if no machine uses them";
    LEAK = "E3" "ClaimMissing":
        "the running manager releases it after two looks, 10 minutes apart (R6); with --leak-repair=report use metal3-ipam repair, or delete the IPAddress";
    REPLACED = "E4" "ClaimReplaced":
        "the running manager corrects the owner reference; see its log if it does not";
    POOL_MISSING = "E5" "PoolMissing":
        "create the pool again, or delete the claim of the IPAddress";
    DANGLING = "E6" "StatusDangling":
        "the running manager creates the IPAddress again or corrects the status (R4, U3); see the conditions of the claim";
    NOTHING_BOUND = "E7" "BoundWithoutAddress":
        "the running manager serves the claim anew; see its conditions";
    OUT_OF_RANGE = "E8" "AddressOutOfRange":
        "add the address to the pool's ranges, or delete its claim";
    MISNAMED = "E9" "NameMismatch":
        "find out which of both addresses the machine uses: the manager holds both; then delete the claim, if there is one, and create it again, or else the object";
    NOT_CANONICAL = "E10" "InvalidAddress":
        "correct spec.address, or delete the object; while it is no address, nothing is held for it";
    OWNER = "E11" "OwnerReplaced":
        "the running manager corrects the owner reference; see its log if it does not";
    FINALIZER = "E12" "FinalizerMissing":
        "the running manager adds the finalizer of claims and pools; until then do not delete the object";
    STUCK_DELETION = "E13" "DeletionStuck":
        "see whether the manager runs, and what its log says of the object; remove the finalizer only when no machine uses the address";
    COUNTS = "E14" "CountsDiffer":
        "see whether the manager runs: it writes the counts anew; nothing is allocated by them";
    INDEXES = "E15" "IndexesDiffer":
        "see whether the manager runs: it writes status.indexes anew; nothing is allocated by it";
    NOT_SERVED = "E16" "ClaimNotServed":
        "see whether the manager runs, leads and has its rights: an address is free for the claim, and it was not given";
    PROMISED = "E17" "PreAllocationHeld":
        "delete the claim that holds the address, or promise another one; until then the promised claim waits";
    STATUS_SIZE = "E18" "StatusNearLimit":
        "split the pool: the API server refuses objects beyond its limit";
    OVERLAP = "N1" "OverlappingPools":
        "take the addresses out of one of the pools, unless these are separate networks: pools know nothing of each other";
    COLLISION = "N2" "NameCollision":
        "give the two pools different name prefixes or ranges";
    GATEWAY = "N3" "GatewayHeld":
        "check that the machine and the router do not share the address; once released it is not handed out again";
    MIXED = "N4" "MixedFamilies":
        "nothing if it is meant so: a claim gets an address of the first entry that has a free one, of either family";
    DOUBTFUL = "N5" "DoubtfulSpec":
        "correct the pool's spec: admission refuses or warns of it today";
    PAUSED = "N6" "PausedLong":
        "end the pause: remove the annotation cluster.x-k8s.io/paused, or set the Cluster's spec.paused to false";
    STUCK_CLAIM = "N7" "ClaimWaits":
        "see the claim's conditions (docs/troubleshooting.md); without any, see whether the manager runs and serves the claim";
    FOREIGN = "N9" "WrittenByOthers":
        "nothing if a restore or a person meant it; else find out who has the right to write it (deploy/guard leaves it to the manager)";
    ELSEWHERE = "N10" "PoolElsewhere":
        "end the move, or pause and delete the pool in the cluster that no longer has its machines";
    FULL = "N8" "PoolNearlyFull":
        "add a range to the pool, or delete claims that nobody needs";
}
