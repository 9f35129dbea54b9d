//! `/debug/pprof/profile?seconds=N`: where the process spends CPU time, as gzip'd profile.proto, which `go tool pprof` reads.
//!
//! 99 times in a second of CPU time SIGPROF interrupts a thread, and the handler unwinds this thread's stack. The first time it also
//! reads the program's tables for that, which allocates: a thread that is interrupted while it allocates would wait for itself. So
//! before the first profile a thread that does nothing else sends the signal to itself. A process has one such timer, so it takes one
//! profile at a time. Names come from the symbols in the program's file, which are read at the end.
//! From the first profile on the profiler keeps tables of some 40 MiB (docs/troubleshooting.md).

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

/// How long a profile may take, in seconds.
const SECONDS: RangeInclusive<u64> = 1..=300;
/// How long the longest takes.
pub(super) const LONGEST: Duration = Duration::from_secs(*SECONDS.end());
/// How long it takes when the request does not say, in seconds.
const DEFAULT_SECONDS: u64 = 30;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProfileError {
    /// The query has another value than a number in [`SECONDS`].
    #[error("seconds must be a whole number from {} to {}", SECONDS.start(), SECONDS.end())]
    Seconds,
    /// The timer is in use.
    #[cfg(target_os = "linux")]
    #[error("a CPU profile of this process is being taken; try again when it is done")]
    Busy,
    /// The profiler, or a file that it needs.
    #[cfg(target_os = "linux")]
    #[error("the CPU profile failed: {0}")]
    Failed(String),
    /// Not built for this system.
    #[cfg(not(target_os = "linux"))]
    #[error("CPU profiles are taken on Linux only")]
    OtherSystem,
}

impl ProfileError {
    /// The HTTP status that goes with it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Seconds => StatusCode::BAD_REQUEST,
            #[cfg(target_os = "linux")]
            Self::Busy => StatusCode::CONFLICT,
            #[cfg(target_os = "linux")]
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            #[cfg(not(target_os = "linux"))]
            Self::OtherSystem => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// The profile of the next seconds, as the query of a request asks for it. Dropped before its end, it stops the profiler.
pub(super) async fn taken(query: Option<&str>) -> Result<Vec<u8>, ProfileError> {
    let time = Duration::from_secs(seconds(query)?);
    sampled(time).await
}

fn seconds(query: Option<&str>) -> Result<u64, ProfileError> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let asked = pairs.find(|(name, _)| name == "seconds");
    asked.map_or(Ok(DEFAULT_SECONDS), |(_, value)| {
        let seconds = value.parse().ok().filter(|n| SECONDS.contains(n));
        seconds.ok_or(ProfileError::Seconds)
    })
}

#[cfg(not(target_os = "linux"))]
async fn sampled(_: Duration) -> Result<Vec<u8>, ProfileError> {
    Err(ProfileError::OtherSystem)
}

#[cfg(target_os = "linux")]
use linux::sampled;
#[cfg(all(test, target_os = "linux"))]
pub(super) use linux::{first_sample, rehearse};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Write;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use pprof::protos::Message;
    use pprof::{ProfilerGuard, ProfilerGuardBuilder};
    use signal_hook::low_level::raise;
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::task::spawn_blocking;
    use tokio::time::sleep;
    use tracing::info;

    use super::ProfileError;

    /// Samples in a second of CPU time; no divisor of the periods of timers.
    const FREQUENCY: i32 = 99;
    /// The signal's number on every architecture that Rust has with Linux, but for MIPS and SPARC.
    const SIGPROF: i32 = 27;
    /// Where the innermost function lies in one of these, a sample is left out: unwinding from there could wait for a lock that
    /// the interrupted thread holds. The image's program is static and has none of them.
    const LEFT_OUT: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];
    /// A file system in memory, which container runtimes mount writable also where the root is read only.
    const SHARED_MEMORY: &str = "/dev/shm";

    pub(super) async fn sampled(time: Duration) -> Result<Vec<u8>, ProfileError> {
        // The profiler restores what it found, and the default action of a signal that comes late would end the process.
        let _late = signal(SignalKind::from_raw(SIGPROF)).map_err(failed)?;
        let guard = spawn_blocking(begin).await.map_err(failed)??;
        info!(seconds = time.as_secs(), "a CPU profile begins");
        sleep(time).await;
        spawn_blocking(move || encoded(&guard))
            .await
            .map_err(failed)?
    }

    fn begin() -> Result<ProfilerGuard<'static>, ProfileError> {
        // The profiler opens a file for stacks that its table has no place for. The image has no folder for it.
        if tempfile::tempfile_in(std::env::temp_dir()).is_err() {
            // An error means that another folder is set already.
            let _ = tempfile::env::override_temp_dir(Path::new(SHARED_MEMORY));
        }
        rehearse()?;
        let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY);
        started(builder.blocklist(&LEFT_OUT))
    }

    fn started(builder: ProfilerGuardBuilder) -> Result<ProfilerGuard<'static>, ProfileError> {
        builder.build().map_err(|error| match error {
            pprof::Error::Running => ProfileError::Busy,
            error => failed(error),
        })
    }

    /// Has the handler run for the first time where no thread is interrupted in its work.
    pub(in crate::observe::diagnostics) fn rehearse() -> Result<(), ProfileError> {
        static DONE: OnceLock<()> = OnceLock::new();
        if DONE.get().is_none() {
            first_sample()?;
            let _ = DONE.set(());
        }
        Ok(())
    }

    /// A profile of one sample, of this thread. The timer's own first signal would come after a second of CPU time.
    pub(in crate::observe::diagnostics) fn first_sample()
    -> Result<ProfilerGuard<'static>, ProfileError> {
        let guard = started(ProfilerGuardBuilder::default().frequency(1))?;
        raise(SIGPROF).map_err(failed)?;
        Ok(guard)
    }

    fn encoded(guard: &ProfilerGuard<'_>) -> Result<Vec<u8>, ProfileError> {
        let report = guard.report().build().map_err(failed)?;
        let profile = report.pprof().map_err(failed)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&profile.encode_to_vec()).map_err(failed)?;
        gzip.finish().map_err(failed)
    }

    fn failed(error: impl std::fmt::Display) -> ProfileError {
        ProfileError::Failed(error.to_string())
    }
}
