//! A real Prometheus, and promtool: those on the path, else those that `make deps` put into the cache.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{tally, tree};

/// Labels of a scraped pod, as Prometheus' operator and Cluster API's own job set them: they take the place of labels of the same
/// name in what is scraped.
const LABELS: &str = "namespace: metal3-ipam-system, pod: ipam-0, container: manager, node: node-0, app: metal3-ipam, provider: ipam-metal3";

/// One loud line on standard error, past the capture of a passing test's output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n{line}\n");
}

/// Where the two programs are; `None`, said loudly and counted, where they are not.
pub(crate) fn tools() -> Option<Tools> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .map(|cache| cache.join("metal3-ipam/prometheus"));
    for dir in [None, cache] {
        let at = |name: &str| {
            dir.as_ref()
                .map_or_else(|| PathBuf::from(name), |d| d.join(name))
        };
        let runs = |program: &Path| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|o| o.status.success())
        };
        let (promtool, prometheus) = (at("promtool"), at("prometheus"));
        if runs(&promtool) && runs(&prometheus) {
            return Some(Tools {
                promtool,
                prometheus,
            });
        }
    }
    say(
        "SKIPPED: no prometheus and promtool on the path or in the cache (make deps), so no expression is tried on a real Prometheus.",
    );
    tally::add("proofs SKIPPED: no Prometheus", 1);
    None
}

pub(crate) struct Tools {
    promtool: PathBuf,
    prometheus: PathBuf,
}

impl Tools {
    /// Runs promtool in the tree; it has to be content, without a word of complaint.
    pub(crate) fn promtool(&self, arguments: &[&str], input: &[u8]) {
        let mut child = Command::new(&self.promtool)
            .args(arguments)
            .current_dir(tree("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "promtool {arguments:?}: {told}");
        if arguments == ["check", "metrics"] {
            assert_eq!(told, "", "promtool {arguments:?}");
        }
    }

    /// A Prometheus that scrapes `target` each second; ended when dropped. It has the alerts' rules, with two seconds for the
    /// time that each must hold, and a step of one second in what they look back on.
    pub(crate) fn start(&self, target: &str, dir: &Path) -> Prometheus {
        self.begin(target, dir, false)
    }

    /// The same, where native histograms are taken in. Prometheus 2 has a flag for that, Prometheus 3 a setting that the other
    /// does not know.
    pub(crate) fn start_native(&self, target: &str, dir: &Path) -> Prometheus {
        self.begin(target, dir, true)
    }

    fn begin(&self, target: &str, dir: &Path, native: bool) -> Prometheus {
        let alerts = fs::read_to_string(tree("dashboards/alerts.yaml")).unwrap();
        let hasty = |line: &str| match line.split_once("    for: ") {
            Some(("", _)) => "    for: 2s\n".to_owned(),
            Some(_) | None => format!("{}\n", line.replace("[6h:5m]", "[6h:1s]")),
        };
        let rules = dir.join("alerts.yaml");
        fs::write(&rules, alerts.lines().map(hasty).collect::<String>()).unwrap();
        let config = |more: &str| {
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s{more}}}\n\
             rule_files: [{}]\n\
             scrape_configs:\n\
             - {{job_name: metal3-ipam, static_configs: [{{targets: [\"{target}\"], labels: {{{LABELS}}}}}]}}\n",
                rules.display()
            )
        };
        let file = dir.join("prometheus.yaml");
        fs::write(&file, config(", scrape_native_histograms: true")).unwrap();
        if !native || !self.accepts(&file) {
            fs::write(&file, config("")).unwrap();
        }
        let flags = native.then_some("--enable-feature=native-histograms");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = port.local_addr().unwrap().port();
        let log = fs::File::create(dir.join("prometheus.log")).unwrap();
        let child = Command::new(&self.prometheus)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Prometheus { child, port }
    }

    /// Whether this Prometheus knows every setting of a configuration.
    fn accepts(&self, config: &Path) -> bool {
        let mut check = Command::new(&self.promtool);
        let check = check.args(["check", "config"]).arg(config).output();
        check.unwrap().status.success()
    }
}

pub(crate) struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of one GET, `None` when nobody answers.
pub(crate) async fn get(address: &str, target: &str) -> Option<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        // In HTTP/1.0 the body ends with the connection.
        let request = format!("GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(30), asked)
        .await
        .ok()?
}

impl Prometheus {
    /// What an expression's value is now: `Ok` with the series, or what Prometheus says against it.
    pub(crate) async fn query(&self, expr: &str) -> Result<Vec<Value>, String> {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", expr)
            .finish();
        let address = format!("127.0.0.1:{}", self.port);
        let (status, body) = get(&address, &format!("/api/v1/query?{query}"))
            .await
            .ok_or("Prometheus does not answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|e| format!("{status}: {e}"))?;
        if answer["status"] != "success" {
            return Err(format!("{status}: {}", answer["error"]));
        }
        let result = answer["data"]["result"].as_array();
        Ok(result.cloned().unwrap_or_default())
    }

    /// Alerts that are pending or fire, by name.
    pub(crate) async fn alerts(&self) -> Vec<String> {
        let series = self.query("ALERTS").await.unwrap_or_default();
        let name = |s: &Value| {
            s["metric"]["alertname"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        series.iter().map(name).collect()
    }

    /// Waits until an expression has a value.
    pub(crate) async fn until(&self, expr: &str) {
        let mut last = Ok(Vec::new());
        let mut pause = tokio::time::interval(Duration::from_millis(250));
        for _ in 0..720 {
            pause.tick().await;
            last = self.query(expr).await;
            if last.as_ref().is_ok_and(|series| !series.is_empty()) {
                return;
            }
        }
        panic!("{expr} has no value in three minutes: {last:?}");
    }
}
