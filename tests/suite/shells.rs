//! Completion of names from the cluster, the program as a plugin of kubectl, and the plugin's package for krew.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::harness::{DEADLINE, Door, On, World, scenarios};
use crate::kubectl::{kubectl, kubectl_is_here};
use crate::steps::range;

scenarios! {
    names_of_the_cluster_are_completed,
    kubectl_runs_the_plugin_and_completes_its_arguments,
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_metal3-ipam");

/// A pool with a claim of each kind.
async fn peopled(on: On) -> (World, Door) {
    let world = World::start(on).await;
    world.pool("small", range("10.0.0.1", "10.0.0.9")).await;
    world.claim("one", "small").await;
    world.address_of("one").await;
    world.capi_claim("two", "small").await;
    world.capi_address_of("two").await;
    let door = world.door().await;
    (world, door)
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The answer; asked for again while there is none, since names are only waited for as long as a person would.
fn patiently(ask: impl Fn() -> String, is_answer: impl Fn(&str) -> bool) -> String {
    let asked = Instant::now();
    loop {
        let answer = ask();
        if is_answer(&answer) || asked.elapsed() > DEADLINE {
            return answer;
        }
    }
}

async fn names_of_the_cluster_are_completed(on: On) {
    let (world, door) = peopled(on).await;
    // As fish asks: all words, of which the last is to be completed.
    let asks = |kubeconfig: &Path, words: &str| {
        let (subcommand, last) = words.split_once(' ').unwrap();
        let output = Command::new(PROGRAM)
            .env("METAL3_IPAM_COMPLETE", "fish")
            .args(["--", "metal3-ipam", subcommand, "--kubeconfig"])
            .arg(kubeconfig)
            .args(["-n", &world.namespace, last])
            .output();
        told(&output.unwrap())
    };
    let here = |words| patiently(|| asks(&door.kubeconfig, words), |names| !names.is_empty());
    assert_eq!(here("pool sm"), "small\n");
    assert_eq!(here("plan s"), "small\n");
    assert_eq!(here("why ip"), "ipaddressclaim/two\nipclaim/one\n");
    assert_eq!(here("who o"), "one\n");
    assert_eq!(here("who small"), "small-10-0-0-1\nsmall-10-0-0-2\n");
    let nowhere = asks(Path::new("/does/not/exist"), "pool s");
    assert_eq!(nowhere, "");
    world.end().await;
}

async fn kubectl_runs_the_plugin_and_completes_its_arguments(on: On) {
    if !kubectl_is_here("the plugin of kubectl") {
        return;
    }
    let (world, door) = peopled(on).await;
    let dir = tempfile::tempdir().unwrap();
    for name in ["kubectl-metal3_ipam", "kubectl_complete-metal3_ipam"] {
        symlink(PROGRAM, dir.path().join(name)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new(kubectl())
            .env("PATH", format!("{}:{path}", dir.path().display()))
            .env("KUBECONFIG", &door.kubeconfig)
            .args(arguments)
            .output();
        output.unwrap()
    };
    let answer = told(&run(&[
        "metal3-ipam",
        "who",
        "10.0.0.1",
        "-n",
        &world.namespace,
    ]));
    assert!(
        answer.starts_with("10.0.0.1: IPClaim one in IPPool"),
        "{answer}"
    );
    // kubectl's own completion, as a shell calls it.
    let asks = [
        "__complete",
        "metal3-ipam",
        "pool",
        "-n",
        &world.namespace,
        "sm",
    ];
    let asked = || String::from_utf8(run(&asks).stdout).unwrap();
    let names = patiently(asked, |names| names.starts_with("small"));
    assert_eq!(names, "small\n:4\n");
    world.end().await;
}

#[test]
fn krew_finds_the_plugin_in_its_package() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    std::fs::write(&program, "#!/bin/sh\necho metal3-ipam 1.2.3\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let pack = |out: &str| {
        let out = dir.path().join(out);
        let output = Command::new("deploy/krew/pack.sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg(&out)
            .arg(&program)
            .arg("https://example.com/v1.2.3")
            .output()
            .unwrap();
        told(&output);
        let manifest = std::fs::read_to_string(out.join("metal3-ipam.yaml")).unwrap();
        let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
        (out, manifest)
    };
    let (out, manifest) = pack("out");
    assert_eq!(manifest["spec"]["version"], "v1.2.3");
    let platform = &manifest["spec"]["platforms"][0];
    let uri = platform["uri"].as_str().unwrap();
    let archive = out.join(uri.strip_prefix("https://example.com/v1.2.3/").unwrap());
    let sum = Command::new("sha256sum").arg(&archive).output().unwrap();
    assert!(told(&sum).starts_with(platform["sha256"].as_str().unwrap()));
    let unpacked = dir.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let mut tar = Command::new("tar");
    let tar = tar.arg("xzf").arg(&archive).arg("-C").arg(&unpacked);
    told(&tar.output().unwrap());
    let plugin = unpacked.join(platform["bin"].as_str().unwrap());
    assert_eq!(
        std::fs::read(plugin).unwrap(),
        std::fs::read(&program).unwrap()
    );
    assert!(unpacked.join("LICENSE").exists());
    assert_eq!(
        pack("again").1,
        manifest,
        "the same program, the same bytes"
    );
}
