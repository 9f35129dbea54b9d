//! The embedded Kubernetes-style API server.
