//! The log: one line an event, to standard error, as text or JSON.

use std::io::IsTerminal;
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload;
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

/// The least severity that is logged.
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
            Self::Info => "warn,kube_client=off,metal3_ipam=info,kube_embedded=info,listen=info",
            Self::Debug => "info,kube_client=warn,metal3_ipam=debug",
            Self::Trace => "debug,h2=info,hyper=info,hyper_util=info,rustls=info,metal3_ipam=trace",
        }
    }
}

/// The log was set up before.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up already")]
pub struct AlreadySet;

/// Changes what the log tells while the program runs.
#[derive(Clone)]
pub struct Dial(Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Dial {
    /// From now on the log has this level, whatever it was set up with.
    ///
    /// # Errors
    /// When the log is gone, which happens while the process ends.
    pub fn set(&self, level: Level) -> Result<(), reload::Error> {
        (self.0)(EnvFilter::new(level.directives()))
    }

    /// A handle that changes no level, for a log that was set up elsewhere.
    #[cfg(test)]
    pub(super) fn deaf() -> Self {
        Self(Arc::new(|_| Ok(())))
    }

    fn of<S: Subscriber + 'static>(handle: reload::Handle<EnvFilter, S>) -> Self {
        Self(Arc::new(move |filter| handle.reload(filter)))
    }
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dial")
    }
}

/// Sets up the log of this process. `RUST_LOG`, when it is set and can be read, replaces `level`.
///
/// # Errors
/// When it is set up already.
pub fn init(format: Format, level: Level) -> Result<Dial, AlreadySet> {
    let asked = std::env::var("RUST_LOG").ok();
    let asked = asked.filter(|text| !text.trim().is_empty());
    let read = asked.as_ref().map(EnvFilter::try_new).transpose();
    let (filter, unread) = match read {
        Ok(filter) => (filter, None),
        Err(error) => (None, Some(error)),
    };
    let filter = filter.unwrap_or_else(|| EnvFilter::new(level.directives()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Else a line that cannot be written is reported by another one, which panics.
        .log_internal_errors(false)
        .with_target(level == Level::Trace);
    let (dial, set) = match format {
        Format::Text => {
            let builder = builder
                .with_ansi(std::io::stderr().is_terminal())
                .with_filter_reloading();
            let dial = Dial::of(builder.reload_handle());
            (dial, builder.finish().try_init())
        }
        Format::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter_reloading();
            let dial = Dial::of(builder.reload_handle());
            (dial, builder.finish().try_init())
        }
    };
    set.map_err(|_| AlreadySet)?;
    if let Some(error) = unread {
        tracing::warn!(%error, "RUST_LOG cannot be read and is left out; the log's level is the one that the flags say");
    }
    Ok(dial)
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
    fn the_dial_changes_what_is_told() {
        let (filter, handle) = reload::Layer::new(EnvFilter::new(Level::Warn.directives()));
        let subscriber = tracing_subscriber::registry::Registry::default();
        let subscriber = tracing_subscriber::layer::SubscriberExt::with(subscriber, filter);
        let dial = Dial(Arc::new(move |filter| handle.reload(filter)));
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::DEBUG));
            dial.set(Level::Debug).unwrap();
            assert!(tracing::enabled!(tracing::Level::DEBUG));
            dial.set(Level::Info).unwrap();
            assert!(!tracing::enabled!(tracing::Level::DEBUG));
            assert!(tracing::enabled!(tracing::Level::INFO));
        });
    }

    #[test]
    fn every_level_is_a_filter() {
        for level in [Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            EnvFilter::try_new(level.directives()).unwrap();
        }
    }
}
