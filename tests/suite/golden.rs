//! What people see with kubectl and with the program itself: tables, descriptions, explanations, Events and answers, word by
//! word, the same from both servers.
//!
//! `UPDATE_GOLDEN=1 cargo test --test suite golden` writes the files anew; read the difference before it is committed.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::Event;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use metal3_ipam::controller::{Events, Settings};
use serde_json::json;

use crate::harness::{Door, On, World, scenarios};
use crate::kubectl::{kubectl, kubectl_is_here};

scenarios! {
    u1_u4_kubectl_shows_pools_claims_addresses_and_events_in_these_words,
}

/// The commands of each file.
const FILES: [(&str, &[&str]); 5] = [
    (
        "get.txt",
        &[
            "get ippools",
            "get ippools -o wide",
            "get ipclaims",
            "get m3ipa",
            "get ipclaims --field-selector spec.pool.name=full",
            "get ippools -o name",
        ],
    ),
    (
        "describe.txt",
        &[
            "describe ippool full",
            "describe ipclaim waits",
            "describe ipclaim web-0",
        ],
    ),
    (
        "explain.txt",
        &[
            "explain ippool.spec",
            "explain ippool.status",
            "explain ipclaim.spec",
            "explain ipclaim.status",
            "explain m3ipa.spec",
        ],
    ),
    ("events.txt", &["events --for ippool/full"]),
    (
        "answers.txt",
        &[
            "metal3-ipam pools",
            "metal3-ipam pools -o wide",
            "metal3-ipam pools -o name",
            "metal3-ipam pool full",
            "metal3-ipam pool provisioning",
            "metal3-ipam who 192.168.0.50",
            "metal3-ipam who 192.168.0.51",
            "metal3-ipam who web-1",
            "metal3-ipam who 10.9.9.9",
            "metal3-ipam why ipclaim/waits",
            "metal3-ipam why elsewhere",
            "metal3-ipam why web-0",
            "metal3-ipam why nothing",
            "metal3-ipam plan provisioning --add 3",
            "metal3-ipam plan full --add 3 --surge 1",
            "metal3-ipam forecast",
            "metal3-ipam forecast provisioning -o json",
            "metal3-ipam tree nothing",
            "metal3-ipam check --confirm-after 0s",
        ],
    ),
];

/// The text without what differs from run to run: ages, times, UIDs, versions, the namespace, and the width of its columns.
fn stable(text: &str, namespace: &str) -> String {
    let mut out = String::new();
    for line in text.replace(namespace, "NAMESPACE").lines() {
        let indent = line.len() - line.trim_start().len();
        let mut words: Vec<String> = line.split_whitespace().map(word).collect();
        if let [label @ ("UID:" | "Version:"), ..] =
            words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            let is_version = label == "Version:" || line.contains("Resource Version:");
            let value = if label == "UID:" || is_version {
                "..."
            } else {
                ""
            };
            words = vec![label.to_owned(), value.to_owned()];
        }
        if line.trim_start().starts_with("Resource Version:") {
            words = vec!["Resource Version: ...".to_owned()];
        }
        let _ = writeln!(out, "{:indent$}{}", "", words.join(" "));
    }
    out
}

/// A word, or what stands for it.
fn word(word: &str) -> String {
    let is_age = |text: &str| {
        let mut left = text;
        while !left.is_empty() {
            let digits = left.len() - left.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let unit = left[digits..].chars().next();
            if digits == 0 || !unit.is_some_and(|unit| "smhd".contains(unit)) {
                return false;
            }
            left = &left[digits + 1..];
        }
        !text.is_empty()
    };
    let is_time = word.len() == 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    let is_version = word.starts_with("v1.") && word.ends_with(':');
    let is_uid = word.len() == 36 && word.matches('-').count() == 4;
    if is_age(word.trim_end_matches(')')) {
        word.replace(word.trim_end_matches(')'), "AGE")
    } else if is_time {
        "TIME".to_owned()
    } else if is_version {
        "VERSION:".to_owned()
    } else if is_uid {
        "UID".to_owned()
    } else {
        word.to_owned()
    }
}

fn printed(door: &Door, namespace: &str, line: &str) -> String {
    let (program, arguments) = match line.strip_prefix("metal3-ipam ") {
        Some(arguments) => (OsString::from(env!("CARGO_BIN_EXE_metal3-ipam")), arguments),
        None => (kubectl(), line),
    };
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .arg("--kubeconfig")
        .arg(&door.kubeconfig)
        .args(["-n", namespace])
        .output()
        .unwrap();
    let (code, out) = (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
    );
    let shown = stable(&out, namespace);
    if arguments != line {
        return format!("$ {line}\n{shown}exit code {}\n\n", code.unwrap());
    }
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {line}: {err}");
    format!("$ kubectl {line}\n{shown}\n")
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/suite/golden")
        .join(name)
}

async fn u1_u4_kubectl_shows_pools_claims_addresses_and_events_in_these_words(on: On) {
    if !kubectl_is_here("the golden files of kubectl") {
        return;
    }
    let mut world = World::without_controller(on).await;
    world.start_controller_with(Settings {
        events: Events::Usual,
        ..Settings::default()
    });
    let spec = json!({
        "pools": [{"start": "192.168.0.10", "end": "192.168.0.99"}],
        "prefix": 24, "gateway": "192.168.0.1", "preAllocations": {"web-0": "192.168.0.50"},
    });
    world.pool("provisioning", spec).await;
    world
        .pool(
            "full",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}),
        )
        .await;
    world.claim("only", "full").await;
    world.address_of("only").await;
    world.claim("waits", "full").await;
    world.waits_for("waits", "PoolExhausted").await;
    for claim in ["web-0", "web-1"] {
        world.claim(claim, "provisioning").await;
        world.address_of(claim).await;
    }
    world.claim("elsewhere", "nowhere").await;
    world.waits_for("elsewhere", "PoolNotFound").await;
    let claims = world.api::<IPClaim>();
    let uid = claims.get("waits").await.unwrap().metadata.uid;
    let event = json!({
        "metadata": {"name": "waits.1"},
        "involvedObject": {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "namespace": world.namespace,
            "name": "waits", "uid": uid},
        "type": "Warning", "reason": "WaitsForAddress", "message": "Metal3Data web waits\nfor its address", "count": 3,
        "lastTimestamp": "2026-01-01T00:00:00Z", "source": {"component": "metal3data-controller"},
    });
    world.create::<Event>(event).await;
    // What is shown is at rest: counts are written, and the claim that waits has its error text.
    let status = |pool: &IPPool| pool.status.clone().unwrap_or_default();
    world
        .until::<IPPool>("counts to be written", |all| {
            status(&all["provisioning"]).allocated == Some(2)
                && status(&all["full"]).waiting_claims == Some(1)
        })
        .await;
    world
        .until::<IPClaim>("the error text", |all| {
            let status = all["waits"].status.as_ref();
            status.is_some_and(|status| status.error_message.is_some())
        })
        .await;
    world
        .until::<Event>("the Event of both occurrences", |all| {
            all.values().any(|event| {
                event.reason.as_deref() == Some("PoolExhausted") && event.count == Some(2)
            })
        })
        .await;

    let door = world.door().await;
    for (name, commands) in FILES {
        let printed: String = commands
            .iter()
            .map(|command| printed(&door, &world.namespace, command))
            .collect();
        let path = file(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() && on == On::Embedded {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, printed).unwrap();
            continue;
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        let different = golden.lines().zip(printed.lines()).find(|(a, b)| a != b);
        assert!(
            golden == printed,
            "{on:?}, {name}: first difference {different:?} of\n{printed}"
        );
    }
    world.end().await;
}
