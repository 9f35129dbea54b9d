//! `cargo xtask`: everything lives in the library, so that its tests run with those of the other crates.

fn main() -> std::process::ExitCode {
    xtask::main()
}
