//! Pools as they change: `metal3-ipam top` in a real terminal, which is tmux, and `metal3-ipam pools -w`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control_plane::say;
use crate::harness::{Door, On, World};
use crate::tally;

const PROGRAM: &str = env!("CARGO_BIN_EXE_metal3-ipam");
/// Longest time that something may take until it shows.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether tmux can be run here. Where it cannot, that is said, and the test counts as skipped, not as passed.
fn tmux_is_here(test: &str) -> bool {
    let version = Command::new("tmux").arg("-V").output();
    let found = version.is_ok_and(|output| output.status.success());
    if !found {
        say(&format!("SKIPPED: {test}: tmux is not on the path"));
        tally::add("terminal sessions SKIPPED: no tmux", 1);
    }
    found
}

/// A terminal of 100 columns and 30 lines with a program in it; gone when this is dropped.
struct Terminal {
    /// Where tmux has its socket.
    folder: TempDir,
}

impl Terminal {
    /// Runs a script of `sh`; the terminal stays open after its end.
    fn run(script: &str) -> Self {
        let terminal = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let script = format!("{script}\nexec sleep 600");
        terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "30", &script]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-f", "/dev/null", "-L", "top"])
            .args(args)
            .env("TMUX_TMPDIR", self.folder.path())
            .env_remove("TMUX")
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {args:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as `holds` wants it, and returns it.
    async fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let shown = self.shown();
            if holds(&shown) {
                return shown;
            }
            assert!(began.elapsed() < PATIENCE, "no {what}:\n{shown}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_it_has(&self, text: &str) -> String {
        self.until(text, |shown| shown.contains(text)).await
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// The process that the script waits for.
    fn program(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = format!("/proc/{shell}/task/{shell}/children");
        std::fs::read_to_string(children).unwrap().trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", "top", "kill-server"])
            .env("TMUX_TMPDIR", self.folder.path())
            .stderr(Stdio::null())
            .status();
    }
}

fn command(door: &Door, arguments: &str) -> String {
    let kubeconfig = door.kubeconfig.display();
    format!("'{PROGRAM}' {arguments} --kubeconfig '{kubeconfig}' -A")
}

/// `top` between two lines that say how it was found and how it was left.
fn script(door: &Door) -> String {
    let top = command(door, "top");
    format!(
        "echo before\n{top}\necho code=$?\nstty -a | tr ' ' '\\n' | grep -x -e '-*echo' -e '-*icanon'"
    )
}

async fn world_with_a_pool() -> World {
    let world = World::start(On::Embedded).await;
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]});
    world.pool("small", spec).await;
    world
}

/// The cells of the pool's line, when there is one.
fn cells<'a>(shown: &'a str, pool: &str) -> Vec<&'a str> {
    let mut lines = shown.lines().map(|line| line.split_whitespace().collect());
    let is_it = |cells: &Vec<&str>| cells.contains(&pool);
    lines.find(is_it).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_changes_opens_a_pool_and_gives_the_terminal_back() {
    if !tmux_is_here("top_shows_changes_opens_a_pool_and_gives_the_terminal_back") {
        return;
    }
    let world = world_with_a_pool().await;
    let door = world.door().await;
    let terminal = Terminal::run(&script(&door));
    let shown = terminal.until_it_has("0 of 0 claims bound").await;
    assert!(!shown.contains("before"), "it draws on a page of its own");
    assert!(cells(&shown, "small").ends_with(&[
        "2",
        "0",
        "0.0",
        "not",
        "known",
        "sequential",
        "True"
    ]));

    for claim in ["one", "two", "three"] {
        world.claim(claim, "small").await;
    }
    terminal.until_it_has("1 waiting: 1 PoolExhausted").await;
    let shown = terminal.until_it_has("2 of 3 claims bound").await;
    let line = cells(&shown, "small");
    assert!(line.contains(&"100%") && line.contains(&"0"), "{shown}");
    assert_ne!(
        line[line.len() - 3],
        "0.0",
        "two were bound just now:\n{shown}"
    );

    terminal.press(&["Enter"]);
    let shown = terminal.until_it_has("10.0.0.2   IPClaim").await;
    assert!(shown.contains(&format!("IPPool {}/small: Ready", world.namespace)));
    assert!(shown.contains("PoolExhausted"), "{shown}");
    // A change shows in the open pool too.
    world
        .delete::<metal3_ipam::api::metal3::IPClaim>("one")
        .await;
    terminal
        .until("end of waiting", |shown| !shown.contains("PoolExhausted"))
        .await;
    terminal.press(&["Escape"]);
    terminal.until_it_has("Enter open").await;

    terminal.press(&["q"]);
    let shown = terminal.until_it_has("echo").await;
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["before", "code=0", "icanon", "echo"], "{shown}");
    world.end().await;
    tally::add("terminal sessions of top", 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_a_lost_server_and_ends_on_sigterm() {
    if !tmux_is_here("top_shows_a_lost_server_and_ends_on_sigterm") {
        return;
    }
    let world = world_with_a_pool().await;
    let door = world.door().await;
    let terminal = Terminal::run(&script(&door));
    terminal.until_it_has("small").await;
    drop(door);
    world.end().await;
    let shown = terminal
        .until_it_has("check the way to the API server")
        .await;
    assert!(shown.contains("Shown as it was"), "{shown}");
    assert!(shown.contains("small"), "what is known stays:\n{shown}");

    let sent = Command::new("kill")
        .args(["-TERM", &terminal.program()])
        .status();
    assert!(sent.unwrap().success());
    let shown = terminal.until_it_has("echo").await;
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["before", "code=0", "icanon", "echo"], "{shown}");
    tally::add("terminal sessions of top", 1);
}

#[test]
fn top_refuses_what_is_no_terminal() {
    let output = Command::new(PROGRAM).arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("use: metal3-ipam pools -w"), "{err}");
}

/// `pools -w` and the lines that it prints, as they come.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(door: &Door, arguments: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {}", command(door, arguments))])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                // The end of the test is the end of the interest.
                let _ = sender.send(line.unwrap());
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that is as `holds` wants it.
    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if holds(&line) => return line,
                Ok(line) => before.push(line),
                Err(error) => panic!("no {what} ({error}) in {before:#?}"),
            }
        }
    }

    fn end(mut self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_w_prints_a_pool_again_when_it_has_changed() {
    let world = world_with_a_pool().await;
    let door = world.door().await;
    let table = Watching::start(&door, "pools -w");
    let objects = Watching::start(&door, "pools --watch -o json");
    let first = table.until("headings", |_| true);
    assert!(first.starts_with("NAMESPACE"), "{first}");
    let line = table.until("the pool", |_| true);
    let has = |line: &str, cells: &str| {
        line.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(cells)
    };
    assert!(
        has(
            &line,
            "small ░░░░░░░░░░ 0% 2 0 not known sequential IPv4 True"
        ),
        "{line}"
    );
    let value = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let object = value(&objects.until("the pool", |_| true));
    assert_eq!(
        (&object["name"], &object["available"]),
        (&json!("small"), &json!(2))
    );

    for claim in ["one", "two", "three"] {
        world.claim(claim, "small").await;
    }
    table.until("a full pool", |line| has(line, "100% 0 1"));
    objects.until("a full pool", |line| {
        value(line)["waiting"] == json!({"PoolExhausted": 1})
    });
    for claim in ["one", "two", "three"] {
        world
            .delete::<metal3_ipam::api::metal3::IPClaim>(claim)
            .await;
    }
    table.until("an empty pool", |line| has(line, "0% 2 0"));
    world
        .delete::<metal3_ipam::api::metal3::IPPool>("small")
        .await;
    table.until("no pool", |line| has(line, "small - - 0 - - - NotFound"));
    objects.until("no pool", |line| value(line)["exists"] == json!(false));
    table.end("-TERM");
    objects.end("-INT");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_w_ends_when_nobody_reads_it() {
    let world = world_with_a_pool().await;
    let door = world.door().await;
    let watching = format!(
        "{{ {}; echo code=$? >&2; }} | head -n 1",
        command(&door, "pools -w -o name")
    );
    let mut child = Command::new("sh")
        .args(["-c", &watching])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ippool.ipam.metal3.io/small\n");
    // The next line has no reader any more.
    world.claim("one", "small").await;
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let output = output.await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("code=0"));
    world.end().await;
}
