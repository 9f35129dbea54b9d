//! Commands that run a script or a test, and write what it made.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

const ADMISSION: &str = "docs/admission.md";
/// The test that asks a real kube-apiserver for each row of the page.
const ASKS: &str = "layers::section_6_each_bad_input_is_refused_by_the_layer_that_the_page_names";

/// The product's version, of the root's `Cargo.toml`.
pub(crate) fn version(root: &Path) -> anyhow::Result<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("Cargo.toml")?;
    let (_, package) = manifest
        .split_once("[package]\n")
        .context("Cargo.toml has no [package]")?;
    let version = package
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(version.context("Cargo.toml has no version")?.to_owned())
}

/// Runs a program in the root of the tree, with this process's output. Fails where it does.
fn run<A: AsRef<OsStr>>(root: &Path, program: &str, arguments: &[A]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// The image as an OCI layout in `out/image`, and its SBOM.
pub(crate) fn image(root: &Path, out: &Path) -> anyhow::Result<()> {
    image_root(root, out)?;
    let layout = [out.join("root"), out.join("image")];
    let tag = format!("v{}", version(root)?);
    let [from, to] = &layout;
    let arguments = [from.as_os_str(), to.as_os_str(), tag.as_ref()];
    run(root, "deploy/image/layout.sh", &arguments)
}

/// The root file system of the image in `out/root`, and `out/sbom.cdx.json`.
pub(crate) fn image_root(root: &Path, out: &Path) -> anyhow::Result<()> {
    run(root, "deploy/image/root.sh", &[out])
}

/// What `image` needs beside Rust, in the user's cache.
pub(crate) fn image_deps(root: &Path) -> anyhow::Result<()> {
    run(
        root,
        "rustup",
        &["target", "add", "x86_64-unknown-linux-musl"],
    )?;
    run::<&str>(root, "deploy/image/deps.sh", &[])
}

/// Two builds of the image and a comparison of their digests, then the tests of its content.
pub(crate) fn image_test(root: &Path) -> anyhow::Result<()> {
    run::<&str>(root, "make", &["image-test"])
}

/// The files that clusterctl installs from, in `out`. `image` is another name of the image than the manifests'.
pub(crate) fn release(root: &Path, out: &Path, image: Option<&str>) -> anyhow::Result<()> {
    let mut arguments = vec![out.as_os_str()];
    arguments.extend(image.map(OsStr::new));
    run(root, "deploy/clusterctl/release.sh", &arguments)
}

/// The table of `docs/admission.md`: the test asks a real kube-apiserver, and leaves the page that it expects in the target
/// folder where the tree's differs. Returns whether the page changed.
pub(crate) fn admission(root: &Path) -> anyhow::Result<bool> {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let expected = root.join(target).join("tmp").join(ADMISSION);
    if expected.exists() {
        fs::remove_file(&expected).with_context(|| expected.display().to_string())?;
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = "test --locked --workspace --test suite -- --exact --nocapture";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.push(ASKS);
    let ran = run(root, &cargo, &arguments);
    if !expected.exists() {
        return ran.map(|()| false);
    }
    fs::copy(&expected, root.join(ADMISSION)).context(ADMISSION)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_products() {
        assert_eq!(version(crate::root()).unwrap(), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_test_that_writes_the_page_of_admission_exists() {
        let source = crate::root().join("tests/suite/layers/mod.rs");
        let source = fs::read_to_string(source).unwrap();
        let name = ASKS.rsplit("::").next().unwrap();
        assert!(source.contains(&format!("async fn {name}()")), "{name}");
    }

    #[test]
    fn a_program_that_fails_or_is_missing_is_an_error_with_its_name() {
        let root = crate::root();
        run(root, "true", &[""; 0]).unwrap();
        let failed = run(root, "false", &[""; 0]).unwrap_err().to_string();
        assert!(
            failed.contains("false ended with exit status: 1"),
            "{failed}"
        );
        let missing = run(root, "deploy/no-such-program", &[""; 0]).unwrap_err();
        assert!(missing.to_string().contains("no-such-program"), "{missing}");
    }
}
