//! Logs, metrics, health and diagnostics servers.
