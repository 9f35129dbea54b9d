//! One pool as a state machine.
