//! The manager as a process of its own, over TLS, on both kinds of server: what its flags do, what rights it needs, and what
//! happens when it is ended at bad moments.

mod expired;
mod failover;
mod flags;
mod killed;
mod lease;
mod observed;
mod refused;
mod resumed;
mod rights;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::harness::World;

pub(crate) use flags::answers;
pub(crate) use rights::{assert_none_refused, token};

/// The manager, serving the scenario's namespace; ended when dropped.
struct Manager(Child);

impl Manager {
    /// With these flags and no other server than that of health, if a flag asks for it.
    fn start(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let namespace = format!("--namespace={}", world.namespace);
        Self::of_all(kubeconfig, &[&[namespace.as_str()], flags].concat())
    }

    /// The same for every namespace of the server.
    fn of_all(kubeconfig: &Path, flags: &[&str]) -> Self {
        Self::spawn(Self::command(kubeconfig, flags).stderr(Stdio::null()))
    }

    /// The same with its log, which is whole when the manager has ended.
    fn logging(kubeconfig: &Path, flags: &[&str]) -> (Self, JoinHandle<String>) {
        let mut manager = Self::spawn(Self::command(kubeconfig, flags).stderr(Stdio::piped()));
        let log = manager.0.stderr.take().unwrap();
        let log = spawn_blocking(move || std::io::read_to_string(log).unwrap());
        (manager, log)
    }

    fn command(kubeconfig: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"));
        command
            .args([
                "manager",
                "--webhook-port=0",
                "--health-addr=0",
                "--diagnostics-address=0",
            ])
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(flags);
        command
    }

    fn spawn(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::null()).spawn();
        Self(child.unwrap())
    }

    /// Sends a signal by name, such as `TERM`.
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.0.id().to_string())
            .status();
        assert!(sent.unwrap().success(), "kill -{signal}");
    }

    /// Waits for its end by itself; whether it ended well.
    async fn ended(mut self) -> bool {
        spawn_blocking(move || self.0.wait().unwrap().success())
            .await
            .unwrap()
    }

    /// `kill -9`.
    fn kill(mut self) {
        assert!(
            self.0.try_wait().unwrap().is_none(),
            "the manager runs until it is killed"
        );
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
