//! Flags of upstream's manager and of Kubernetes' logging that have nothing to act on here. A Deployment that carries them
//! starts all the same; each one given is one warning line that says what happens instead.

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::flags;

/// A flag that is read, checked and not used.
struct Accepted {
    /// Without the dashes.
    name: &'static str,
    value: Value,
    /// What happens instead.
    instead: &'static str,
}

/// What a value must look like.
#[derive(Clone, Copy)]
enum Value {
    /// Anything.
    Text,
    /// `true`, `false`, or nothing, which is `true`.
    Boolean,
    Integer,
    Duration,
}

const ONE_STREAM: &str = "the log goes to stderr as one stream, unbuffered";
const KLOG: &str = "klog's own flags mean nothing here; use -v and --logging-format";

/// Of upstream's manager.
const MANAGER: [Accepted; 2] = [
    accept(
        "sync-period",
        Value::Duration,
        "nothing waits for a timer here: every change wakes what it can help",
    ),
    accept(
        "ippool-concurrency",
        Value::Integer,
        "every pool has a worker of its own; --in-flight bounds their writes",
    ),
];

/// Of Kubernetes' logging, then klog's own, which upstream still takes.
const LOGGING: [Accepted; 18] = [
    accept(
        "vmodule",
        Value::Text,
        "levels by file do not exist here; use -v",
    ),
    accept("log-flush-frequency", Value::Duration, ONE_STREAM),
    accept("log-json-split-stream", Value::Boolean, ONE_STREAM),
    accept("log-json-info-buffer-size", Value::Text, ONE_STREAM),
    accept("log-text-split-stream", Value::Boolean, ONE_STREAM),
    accept("log-text-info-buffer-size", Value::Text, ONE_STREAM),
    accept("add_dir_header", Value::Boolean, KLOG),
    accept("alsologtostderr", Value::Boolean, KLOG),
    accept("legacy_stderr_threshold_behavior", Value::Boolean, KLOG),
    accept("log_backtrace_at", Value::Text, KLOG),
    accept("log_dir", Value::Text, KLOG),
    accept("log_file", Value::Text, KLOG),
    accept("log_file_max_size", Value::Integer, KLOG),
    accept("logtostderr", Value::Boolean, KLOG),
    accept("one_output", Value::Boolean, KLOG),
    accept("skip_headers", Value::Boolean, KLOG),
    accept("skip_log_headers", Value::Boolean, KLOG),
    accept("stderrthreshold", Value::Text, KLOG),
];

const fn accept(name: &'static str, value: Value, instead: &'static str) -> Accepted {
    Accepted {
        name,
        value,
        instead,
    }
}

/// The flags of upstream's manager without effect here, as far as they were given.
#[derive(Debug)]
pub(super) struct ManagerFlags(Vec<String>);

/// The logging flags without effect here, as far as they were given.
#[derive(Debug)]
pub(super) struct LoggingFlags(Vec<String>);

impl ManagerFlags {
    /// One line for each flag given.
    pub(super) fn warnings(&self) -> &[String] {
        &self.0
    }
}

impl LoggingFlags {
    /// One line for each flag given.
    pub(super) fn warnings(&self) -> &[String] {
        &self.0
    }
}

impl Accepted {
    fn arg(&'static self) -> Arg {
        let arg = Arg::new(self.name).long(self.name).hide(true);
        let arg = arg.value_parser(self.value.parser());
        match self.value {
            Value::Boolean => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            Value::Text | Value::Integer | Value::Duration => arg,
        }
    }
}

impl Value {
    fn parser(self) -> ValueParser {
        match self {
            Self::Text => ValueParser::string(),
            Self::Boolean => ValueParser::new(flags::boolean),
            Self::Integer => clap::value_parser!(i64).into(),
            Self::Duration => ValueParser::new(flags::duration),
        }
    }
}

fn warnings(table: &[Accepted], matches: &ArgMatches) -> Vec<String> {
    let given = |a: &&Accepted| matches.value_source(a.name) == Some(ValueSource::CommandLine);
    let line = |a: &Accepted| format!("--{} has no effect: {}", a.name, a.instead);
    table.iter().filter(given).map(line).collect()
}

macro_rules! args {
    ($flags:ident, $table:ident) => {
        impl clap::FromArgMatches for $flags {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(warnings(&$table, matches)))
            }
            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = warnings(&$table, matches);
                Ok(())
            }
        }
        impl clap::Args for $flags {
            fn augment_args(command: Command) -> Command {
                command.args($table.iter().map(Accepted::arg))
            }
            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }
    };
}
args!(ManagerFlags, MANAGER);
args!(LoggingFlags, LOGGING);
