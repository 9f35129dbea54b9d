//! The files of a release as clusterctl reads them: `make release` writes them, a local repository holds them, and a clusterctl
//! that is built from Cluster API's module renders, installs and plans an upgrade. The core provider is a stand-in of one Namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::cluster::{Cluster, SERVER_SIDE};
use super::rendered::{Rendered, has_kubectl};
use super::shell::Shell;
use crate::control_plane::{capi_source, clusterctl};
use crate::tally;

const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
const CORE: &str = "v1.14.2";

/// clusterctl with a local repository of a provider of the name `metal3`, ours or upstream's, and of a core provider.
pub(super) struct Clusterctl {
    program: PathBuf,
    repository: PathBuf,
    kubeconfig: PathBuf,
}

fn release(folder: &Path) {
    let made = Command::new("make")
        .args(["--silent", "release"])
        .arg(format!("OUT={}", folder.display()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "make release: {err}");
}

impl Clusterctl {
    /// With this version as the provider's, whose files are still to be written to [`Self::folder`].
    pub(super) fn new(program: PathBuf, cluster: &Cluster, version: &str) -> Self {
        let repository = cluster.dir.path().join("repository");
        let this = Self {
            program,
            kubeconfig: cluster.server.kubeconfig.clone(),
            repository,
        };
        let core = this.repository.join("cluster-api").join(CORE);
        fs::create_dir_all(&core).unwrap();
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "capi-system"}});
        fs::write(core.join("core-components.yaml"), namespace.to_string()).unwrap();
        fs::copy(
            capi_source().join("metadata.yaml"),
            core.join("metadata.yaml"),
        )
        .unwrap();
        let url = |provider: &str, version: &str, file: &str| {
            this.repository
                .join(provider)
                .join(version)
                .join(file)
                .display()
                .to_string()
        };
        let config = json!({"providers": [
            {"name": "metal3", "type": "IPAMProvider", "url": url("ipam-metal3", version, "ipam-components.yaml")},
            {"name": "cluster-api", "type": "CoreProvider", "url": url("cluster-api", CORE, "core-components.yaml")},
        ]});
        fs::write(this.repository.join("clusterctl.yaml"), config.to_string()).unwrap();
        this
    }

    /// Where a version of the provider lies.
    pub(super) fn folder(&self, version: &str) -> PathBuf {
        self.repository.join("ipam-metal3").join(version)
    }

    /// Installs a version of the provider beside the core provider, and no other.
    pub(super) fn init(&self, version: &str) {
        let others = "--core cluster-api --bootstrap - --control-plane -";
        self.run(&format!("init --ipam metal3:{version} {others}"));
    }

    /// Puts it into a folder under its own name, with its repository, for the commands of a page.
    pub(super) fn put_into(&self, folder: &Path) {
        let (home, program) = (self.repository.display(), self.program.display());
        let script = format!(
            "#!/bin/sh\nexport CLUSTERCTL_DISABLE_VERSIONCHECK=true HOME='{home}' XDG_CONFIG_HOME='{home}'\n\
             exec '{program}' \"$@\" --config='{home}/clusterctl.yaml'\n"
        );
        fs::create_dir_all(folder).unwrap();
        let file = folder.join("clusterctl");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs it; it must succeed.
    pub(super) fn run(&self, line: &str) -> String {
        let ended = Command::new(&self.program)
            .args(line.split(' '))
            .arg(format!(
                "--config={}",
                self.repository.join("clusterctl.yaml").display()
            ))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true")
            .env("HOME", &self.repository)
            .env("XDG_CONFIG_HOME", &self.repository)
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .unwrap();
        let (out, err) = (ended.stdout, String::from_utf8_lossy(&ended.stderr));
        let out = String::from_utf8(out).unwrap();
        assert!(ended.status.success(), "clusterctl {line}: {out}{err}");
        out
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clusterctl_renders_installs_and_plans_an_upgrade_of_a_release() {
    let name = "clusterctl_renders_installs_and_plans_an_upgrade_of_a_release";
    if !has_kubectl(name) {
        return;
    }
    let Some(cluster) = Cluster::start(name).await else {
        return;
    };
    let program = clusterctl().await.expect("the server was built with Go");
    let clusterctl = Clusterctl::new(program, &cluster, VERSION);
    release(&clusterctl.folder(VERSION));

    let generated = clusterctl.run(&format!("generate provider --ipam metal3:{VERSION}"));
    assert!(
        !generated.contains("${"),
        "every variable has a default: {generated}"
    );
    let generated = Rendered::read(&generated);
    let wanted = Rendered::of("default");
    assert_eq!(
        generated.names(),
        wanted.names(),
        "what deploy/default installs"
    );
    let args = |rendered: &Rendered| {
        rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"].clone()
    };
    assert_eq!(args(&generated), args(&wanted), "its defaults too");
    cluster.take(&generated, &SERVER_SIDE);
    cluster.remove(&generated);

    clusterctl.init(VERSION);
    cluster.is_the_only_one().await;
    let shell = Shell::on(&cluster.server.kubeconfig, cluster.dir.path());
    let (said, _) = shell.run("metal3-ipam preflight");
    assert!(!said.contains("ClusterctlOwns"), "it owns ours: {said}");
    cluster.serves("default", None).await;

    // The next release of this series.
    let next = format!(
        "v{}.99",
        env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0
    );
    release(&clusterctl.folder(&next));
    let plan = clusterctl.run("upgrade plan");
    let row = plan.lines().find(|line| line.starts_with("ipam-metal3"));
    let row: Vec<_> = row.expect(&plan).split_whitespace().collect();
    let want = [
        "ipam-metal3",
        "metal3-ipam-system",
        "IPAMProvider",
        VERSION,
        &next,
    ];
    assert_eq!(row, want, "{plan}");

    // As docs/install.md takes it away: the definitions, and with them all objects, stay.
    clusterctl.run("delete --ipam metal3");
    let kinds = "deployments,validatingwebhookconfigurations,mutatingwebhookconfigurations,customresourcedefinitions,namespaces";
    let left = cluster.kubectl(&["get", kinds, "-A", "-o", "name"], "");
    for gone in ["deployment.", "webhookconfiguration."] {
        assert!(!left.contains(gone), "{left}");
    }
    for kept in [
        "/ippools.ipam.metal3.io\n",
        "namespace/metal3-ipam-system\n",
    ] {
        assert!(left.contains(kept), "{left}");
    }
    // It installs over what stayed, as docs/migration.md has it.
    clusterctl.run(&format!("init --ipam metal3:{VERSION}"));
    cluster.is_the_only_one().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
