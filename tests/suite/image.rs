//! The container image. `make test` compares its description with the manifests; the tests of its content (claims are served on
//! an empty root, the crates are named) need the built image: `make image-test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metal3_ipam::api::metal3::IPClaim;
use metal3_ipam::standalone::{self, Server};
use serde_json::{Value, json};

use crate::control_plane::{free_port, say};
use crate::harness::{World, is_bound};
use crate::manager::answers;

/// Claims that are bound while the memory is looked at.
const CLAIMS: usize = 1000;

fn tree(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_dockerfile_and_make_image_describe_the_image_that_the_deployment_starts() {
    let toolchain = tree("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|l| l.strip_prefix("channel = "));
    let channel = channel.unwrap().trim_matches('"');
    let dockerfile = tree("Dockerfile");
    let [root, layout] = ["root", "layout"].map(|s| tree(&format!("deploy/image/{s}.sh")));
    let deployment: Value =
        serde_saphyr::from_str(&tree("deploy/manager/deployment.yaml")).unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let who = &pod["securityContext"];
    let user = format!("{}:{}", who["runAsUser"], who["runAsGroup"]);
    let command = pod["containers"][0]["command"][0].as_str().unwrap();
    for (text, part) in [
        (
            &dockerfile,
            format!("FROM docker.io/library/rust:{channel}-"),
        ),
        (&dockerfile, "make image-root OUT=/out".to_owned()),
        (&dockerfile, "FROM scratch\n".to_owned()),
        (&dockerfile, format!("USER {user}\n")),
        (&dockerfile, "ENTRYPOINT [\"/metal3-ipam\"]".to_owned()),
        (&layout, format!("--config.user {user} ")),
        (&layout, "--config.entrypoint /metal3-ipam ".to_owned()),
        (&root, "--locked --profile image ".to_owned()),
        (&root, format!("\"$out/root{command}\"")),
    ] {
        assert!(text.contains(&part), "no {part:?} in {text}");
    }
    assert!(tree("Cargo.toml").contains("[profile.image]\n"));
}

/// An image, unpacked.
struct Image {
    root: tempfile::TempDir,
    config: Value,
}

impl Image {
    /// Of an OCI layout.
    fn of(layout: &Path) -> Self {
        let blob = |descriptor: &Value| -> PathBuf {
            let digest = descriptor["digest"].as_str().unwrap();
            layout.join("blobs").join(digest.replace(':', "/"))
        };
        let read =
            |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let index = read(&layout.join("index.json"));
        let manifest = read(&blob(&index["manifests"][0]));
        let root = tempfile::tempdir().unwrap();
        // The program's user is another than the folder's.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.path(), mode).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1);
        let unpacked = Command::new("tar")
            .arg("-xzf")
            .arg(blob(&layers[0]))
            .arg("-C")
            .arg(root.path())
            .status();
        assert!(unpacked.unwrap().success(), "tar");
        Self {
            root,
            config: read(&blob(&manifest["config"])),
        }
    }

    /// A program of the image with the image as its root, as the image's user where this process may choose one. `None` where
    /// this process may not change its root.
    fn command(&self, program: &str) -> Option<Command> {
        let root = self.root.path().display();
        let user = self.config["config"]["User"].as_str().unwrap();
        let ways = [
            vec![
                "chroot".to_owned(),
                format!("--userspec={user}"),
                root.to_string(),
            ],
            vec![
                "unshare".to_owned(),
                "--map-root-user".to_owned(),
                format!("--root={root}"),
            ],
        ];
        ways.into_iter().find_map(|way| {
            let command = || {
                let mut command = Command::new(&way[0]);
                command.args(&way[1..]).arg(program).env_clear();
                command
            };
            let tried = command().arg("--version").output();
            tried.is_ok_and(|o| o.status.success()).then(command)
        })
    }
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that `make image` has written.
fn made() -> PathBuf {
    let folder = std::env::var_os("METAL3_IPAM_IMAGE");
    folder.expect("METAL3_IPAM_IMAGE names a folder").into()
}

/// Scanners read the list in the program, people the SBOM: both name the crates that are linked, in the versions of Cargo.lock,
/// and no folder of the machine that built them.
#[test]
#[ignore = "needs a built image: make image-test"]
fn the_images_program_and_the_sbom_name_its_crates() {
    let sbom = made().join("sbom.cdx.json");
    let image = Image::of(&made().join("image"));
    let program = image.root.path().join("metal3-ipam");
    let listed = auditable_info::json_from_file(&program, auditable_info::Limits::default());
    let (Ok(listed), true) = (listed, sbom.exists()) else {
        say(
            "SKIPPED: make image had no cargo-auditable or no cargo-cyclonedx; make image-deps installs them",
        );
        return;
    };
    let text = fs::read_to_string(&sbom).unwrap();
    let folders = ["path+file://", "path+file:///src"].map(|folder| text.matches(folder).count());
    assert_eq!(folders[0], folders[1], "a folder other than /src");
    let sbom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    let name = |component: &Value| {
        let part = |field: &str| component[field].as_str().unwrap().to_owned();
        (part("name"), part("version"))
    };
    let components = sbom["components"].as_array().unwrap().iter();
    let mut components: BTreeSet<_> = components.map(name).collect();
    components.insert(name(&sbom["metadata"]["component"]));

    let lock = tree("Cargo.lock");
    let mut linked = 0;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    for package in listed["packages"].as_array().unwrap() {
        let (name, version) = name(package);
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "Cargo.lock has no {entry}");
        // Absent means that it is linked, and not only run by the build.
        if package["kind"].is_null() {
            linked += 1;
            let named = components.contains(&(name.clone(), version.clone()));
            assert!(named, "the SBOM does not name {name} {version}");
        }
    }
    assert!(linked > 100, "{linked} crates");
    say(&format!(
        "The image's program names {linked} linked crates, and the SBOM names them too"
    ));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a built image: make image-test"]
async fn the_image_serves_claims_on_an_empty_root() {
    let image = Image::of(&made().join("image"));
    let mut files: Vec<_> = fs::read_dir(image.root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["manager", "metal3-ipam"],
        "the program and nothing else"
    );
    let config = &image.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/metal3-ipam"]));

    // What a container runtime puts into each container, and the kubelet into each pod. The server is named, so that a name is
    // resolved.
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_owned();
    let server = Server::open(standalone::options(data_dir)).await.unwrap();
    let listening = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let kubeconfig = fs::read(server.write_kubeconfig(listening.addr).unwrap()).unwrap();
    let kubeconfig: Value = serde_json::from_slice(&kubeconfig).unwrap();
    let authority = &kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"];
    let authority = STANDARD.decode(authority.as_str().unwrap()).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    let root = image.root.path();
    let account = root.join("var/run/secrets/kubernetes.io/serviceaccount");
    fs::create_dir_all(&account).unwrap();
    fs::write(account.join("ca.crt"), authority).unwrap();
    fs::write(account.join("token"), token).unwrap();
    fs::write(account.join("namespace"), "default").unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(root.join("etc/resolv.conf"), "").unwrap();
    let world = World::on(server.client());

    let Some(mut command) = image.command("/manager") else {
        say("SKIPPED: this process may not change its root");
        return;
    };
    let health = free_port();
    let process = command
        .args(["--webhook-port=0", "--diagnostics-address=127.0.0.1:0"])
        .arg(format!("--health-addr=127.0.0.1:{health}"))
        .env("KUBERNETES_SERVICE_HOST", "localhost")
        .env("KUBERNETES_SERVICE_PORT", listening.addr.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut process = Running(process.unwrap());
    answers(health, "/readyz", "200").await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.7.250"}]);
    world.pool("p", json!({"pools": range})).await;
    for number in 0..CLAIMS {
        world.claim(&format!("c{number}"), "p").await;
    }
    world
        .until::<IPClaim>("every claim to be bound", |all| {
            all.len() == CLAIMS && all.values().all(is_bound)
        })
        .await;
    let status = fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap();
    let resident = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    say(&format!(
        "The image's manager with {CLAIMS} claims bound: {resident}"
    ));
    let sent = Command::new("kill")
        .args(["-TERM", &process.0.id().to_string()])
        .status();
    assert!(sent.unwrap().success(), "kill -TERM");
    let ended = tokio::task::spawn_blocking(move || process.0.wait().unwrap());
    assert!(ended.await.unwrap().success(), "SIGTERM is a good end");
    listening.stop().await;
    server.close().await;
}
