//! The log: one line an event, to standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a line is written (`--logging-format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Problems only.
    Warn,
    /// Also every decision.
    #[default]
    Info,
    /// Also the steps between them.
    Debug,
    /// Everything, of the libraries too.
    Trace,
}

impl Level {
    /// The level of `-v N`, as Kubernetes' programs count it.
    pub fn of_verbosity(v: u32) -> Self {
        match v {
            0 => Self::Info,
            1..=3 => Self::Debug,
            4.. => Self::Trace,
        }
    }

    /// The libraries say less than we do: what they have to say of a failed request we say ourselves, with its reason.
    fn directives(self) -> &'static str {
        match self {
            Self::Warn => "warn,kube_client=off",
            Self::Info => "warn,kube_client=off,metal3_ipam=info",
            Self::Debug => "info,kube_client=warn,metal3_ipam=debug",
            Self::Trace => "debug,h2=info,hyper=info,hyper_util=info,rustls=info,metal3_ipam=trace",
        }
    }
}

/// The log was set up before.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up already")]
pub struct AlreadySet;

/// Sets up the log of this process. `RUST_LOG`, when it is set and can be read, says what is let through instead of `level`.
///
/// # Errors
/// When it is set up already.
pub fn init(format: Format, level: Level) -> Result<(), AlreadySet> {
    let filter = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty())
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(level.directives()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(level == Level::Trace);
    match format {
        Format::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .finish()
            .try_init(),
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init(),
    }
    .map_err(|_| AlreadySet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_as_kubernetes_counts_it() {
        let levels = [0, 1, 3, 4, 10].map(Level::of_verbosity);
        let want = [
            Level::Info,
            Level::Debug,
            Level::Debug,
            Level::Trace,
            Level::Trace,
        ];
        assert_eq!(levels, want);
    }

    #[test]
    fn every_level_is_a_filter() {
        for level in [Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            EnvFilter::try_new(level.directives()).unwrap();
        }
    }
}
