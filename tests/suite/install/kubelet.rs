//! A stand-in for the kubelet: starts the program as the Deployment on the server says, each replica as a process, with the
//! container's command, args and environment and a token of the pod's ServiceAccount. What differs from a pod: ports are free
//! ones of this machine, a mounted folder of certificates is a temporary one, and the way to the API server is a kubeconfig.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::control_plane::{free_port, say};
use crate::manager::answers;

/// Port names of the container, the flag that says where the port is served, and what it says in front of the number.
const PORTS: [(&str, &str, &str); 3] = [
    ("healthz", "--health-addr", ":"),
    ("metrics", "--diagnostics-address", ":"),
    ("ipam-webhook", "--webhook-port", ""),
];

/// What the kubelet would start.
pub(super) struct Container {
    command: Vec<String>,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    ports: BTreeMap<String, u64>,
    probes: Vec<(String, String)>,
    /// Name of the ServiceAccount.
    pub(super) account: String,
    pub(super) replicas: u64,
    /// The Secret whose certificate is mounted where the manager looks for one.
    pub(super) certificate: Option<String>,
}

/// A replica; ended when dropped.
pub(super) struct Pod {
    process: Child,
    log: NamedTempFile,
    /// By the port's name.
    pub(super) ports: BTreeMap<String, u16>,
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.map(|t| t.as_str().unwrap().to_owned()).collect()
}

impl Container {
    /// Of a Deployment as the server returns it.
    pub(super) fn of(deployment: &Value) -> Self {
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let field = |path: &str| match path {
            "metadata.namespace" => deployment["metadata"]["namespace"].as_str().unwrap(),
            other => panic!("the stand-in for the kubelet does not know the field {other}"),
        };
        let env = container["env"].as_array().into_iter().flatten();
        let env: BTreeMap<_, _> = env
            .map(|variable| {
                let value = variable["value"].as_str().unwrap_or_else(|| {
                    field(
                        variable["valueFrom"]["fieldRef"]["fieldPath"]
                            .as_str()
                            .unwrap(),
                    )
                });
                (
                    variable["name"].as_str().unwrap().to_owned(),
                    value.to_owned(),
                )
            })
            .collect();
        // As the kubelet expands variables in args.
        let mut args = texts(&container["args"]);
        for (name, value) in &env {
            for arg in &mut args {
                *arg = arg.replace(&format!("$({name})"), value);
            }
        }
        let ports = container["ports"].as_array().unwrap().iter();
        let ports = ports.map(|port| {
            let name = port["name"].as_str().unwrap().to_owned();
            (name, port["containerPort"].as_u64().unwrap())
        });
        let probe = |name: &str| {
            let get = &container[name]["httpGet"];
            let part = |part: &str| get[part].as_str().unwrap().to_owned();
            (part("port"), part("path"))
        };
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let certificate = mounts
            .filter(|m| m["mountPath"] == "/tmp/k8s-webhook-server/serving-certs")
            .map(|mount| {
                let mut volumes = pod["volumes"].as_array().unwrap().iter();
                let volume = volumes.find(|v| v["name"] == mount["name"]).unwrap();
                volume["secret"]["secretName"].as_str().unwrap().to_owned()
            })
            .next();
        Self {
            command: texts(&container["command"]),
            args,
            env,
            ports: ports.collect(),
            probes: ["startupProbe", "livenessProbe", "readinessProbe"]
                .map(probe)
                .into(),
            account: pod["serviceAccountName"].as_str().unwrap().to_owned(),
            replicas: deployment["spec"]["replicas"].as_u64().unwrap(),
            certificate,
        }
    }

    /// Starts one replica.
    pub(super) fn start(&self, kubeconfig: &Path, certificates: &Path) -> Pod {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"));
        command
            .arg0(&self.command[0])
            .args(&self.command[1..])
            .args(&self.args);
        let mut ports = BTreeMap::new();
        for (name, flag, before) in PORTS {
            let Some(number) = self.ports.get(name) else {
                let off = format!("{flag}=0");
                assert!(
                    self.args.contains(&off),
                    "no port {name} in the container and no {off} in its args"
                );
                continue;
            };
            let served = format!("{flag}={before}{number}");
            assert!(
                self.args.contains(&served),
                "the container's port {name} is {number}, and its args have no {served}"
            );
            // A flag given again replaces the first.
            let port = free_port();
            command.arg(format!("{flag}=127.0.0.1:{port}"));
            ports.insert(name.to_owned(), port);
        }
        if self.certificate.is_some() {
            command.arg(format!("--webhook-cert-dir={}", certificates.display()));
        }
        let log = NamedTempFile::new().unwrap();
        let process = command
            .env_clear()
            .envs(&self.env)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn();
        Pod {
            process: process.unwrap(),
            log,
            ports,
        }
    }

    /// Waits until every probe of the container is answered as the kubelet wants it.
    pub(super) async fn is_ready(&self, pod: &Pod) {
        for (port, path) in &self.probes {
            answers(pod.ports[port], path, "200").await;
        }
    }
}

impl Pod {
    /// SIGTERM, as the kubelet sends it; the end must be a good one.
    ///
    /// A manager whose machine was too busy to renew the lease has ended by itself before, with an exit code for which the kubelet
    /// starts it again. Here nothing does, since the other replica serves meanwhile; it is said, and any other end is a failure.
    pub(super) async fn end(mut self) {
        if let Some(ended) = self.process.try_wait().unwrap() {
            let log = std::fs::read_to_string(self.log.path()).unwrap();
            let lost = ended.code() == Some(1) && log.contains(" was lost: ");
            assert!(lost, "the replica ended before SIGTERM with {ended}: {log}");
            say("a replica could not renew its lease on this machine and had ended before SIGTERM");
            return;
        }
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success(), "kill -TERM");
        let waits = move || {
            let ended = self.process.wait().unwrap();
            let log = std::fs::read_to_string(self.log.path()).unwrap();
            (ended, log)
        };
        let (ended, log) = tokio::task::spawn_blocking(waits).await.unwrap();
        assert!(ended.success(), "SIGTERM is a good end, not {ended}: {log}");
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
