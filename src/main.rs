//! The binary: everything lives in the library, so that tests and benches reach it.

/// Short-lived allocations of requests dominate here; measured choices stand in `docs/design.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    metal3_ipam::cli::main()
}
