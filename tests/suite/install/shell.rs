//! Commands of a page of `docs/`, run as its reader would run them in a clone of the project.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kubectl::kubectl;

/// Files that the commands name, which lie in a folder of the test.
const FILES: [&str; 3] = ["upstream.yaml", "backup.json", "deleted.txt"];

/// The commands under one heading of a page, in their order.
pub(super) fn commands(page: &str, heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let mut parts = text.split("\n## ");
    let part = parts.find(|text| text.starts_with(heading));
    let lines = part.unwrap().lines().map(str::trim);
    let commands = lines.filter_map(|line| line.strip_prefix("$ "));
    commands.map(str::to_owned).collect()
}

/// An operator's shell in the project's folder.
pub(super) struct Shell {
    kubeconfig: PathBuf,
    folder: PathBuf,
    path: String,
}

impl Shell {
    /// With this kubeconfig, and this folder for files and, in its folder `bin`, for programs.
    pub(super) fn on(kubeconfig: &Path, folder: &Path) -> Self {
        let (program, kubectl) = (env!("CARGO_BIN_EXE_metal3-ipam"), kubectl());
        let folders = [Path::new(program), Path::new(&kubectl)].map(Path::parent);
        let own_programs = folder.join("bin");
        let folders = folders
            .into_iter()
            .flatten()
            .chain([own_programs.as_path()])
            .map(|f| f.display().to_string());
        let own = std::env::var("PATH").unwrap_or_default();
        let all = folders.chain([own]).filter(|folder| !folder.is_empty());
        Self {
            kubeconfig: kubeconfig.to_owned(),
            folder: folder.to_owned(),
            path: all.collect::<Vec<_>>().join(":"),
        }
    }

    /// What a command prints, and its exit code, which must be 0; `preflight` may end with 1.
    pub(super) fn run(&self, line: &str) -> (String, i32) {
        let in_folder = |line: String, file: &&str| {
            line.replace(*file, &self.folder.join(file).display().to_string())
        };
        let line = FILES.iter().fold(line.to_owned(), in_folder);
        let ended = Command::new("sh")
            .args(["-c", &line])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.folder.join("cache"))
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .unwrap();
        let code = ended.status.code().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        let ok = code == 0 || (code == 1 && line.starts_with("metal3-ipam preflight"));
        assert!(ok, "{line}: {err}");
        (String::from_utf8(ended.stdout).unwrap(), code)
    }
}
