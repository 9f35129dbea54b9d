//! Command lines as people and Deployments write them.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::flags::Listen;
use crate::cli::manager::{Manager, TlsVersion};
use crate::cli::options::{LogFormat, Repair};
use crate::cli::{Arguments, Command, with_subcommand};
use crate::observe::metrics::PoolMetrics;

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = line.split_whitespace().map(OsString::from).collect();
    Ok(Arguments::try_parse_from(with_subcommand(words))?.command)
}

fn manager(flags: &str) -> Manager {
    match parse(&format!("/manager {flags}")).unwrap_or_else(|e| panic!("{flags}: {e}")) {
        Command::Manager(manager) => *manager,
        other => panic!("{flags}: {other:?}"),
    }
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    <Arguments as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn which_subcommand_runs() {
    let cases = [
        ("metal3-ipam manager", "manager"),
        ("metal3-ipam --leader-elect=false", "manager"),
        ("metal3-ipam -v=4", "manager"),
        ("/manager", "manager"),
        ("/manager --namespace x", "manager"),
        ("/manager manager --namespace x", "manager"),
        ("/manager crds", "crds"),
        ("metal3-ipam crds --with-capi", "crds"),
        ("metal3-ipam version", "version"),
        ("metal3-ipam standalone --data-dir d", "standalone"),
        ("metal3-ipam bench --claims 100 --kind both", "bench"),
        ("metal3-ipam preflight -n x -o json", "preflight"),
        ("metal3-ipam top -A --context c", "top"),
        ("metal3-ipam pools -A -o wide", "pools"),
        ("metal3-ipam pools -A -w -o json", "pools"),
        ("metal3-ipam pools --watch", "pools"),
        ("kubectl-metal3_ipam pools", "pools"),
        ("metal3-ipam pool prov -n x", "pool"),
        ("metal3-ipam who 10.0.0.7", "who"),
        ("metal3-ipam why ipclaim/c", "why"),
        ("metal3-ipam tree prod", "tree"),
        ("metal3-ipam completion bash", "completion"),
        ("metal3-ipam man folder", "man"),
        ("metal3-ipam plan prov --add 3 --surge 1", "plan"),
        ("metal3-ipam check -n x -o yaml --older-than 1h", "check"),
        ("metal3-ipam forecast prov -n x -o wide", "forecast"),
        ("metal3-ipam repair --from report.json --dry-run", "repair"),
    ];
    for (line, want) in cases {
        let found = match parse(line).unwrap_or_else(|e| panic!("{line}: {e}")) {
            Command::Manager(_) => "manager",
            Command::Standalone(_) => "standalone",
            Command::Bench(_) => "bench",
            Command::Preflight(_) => "preflight",
            Command::Top(_) => "top",
            Command::Pools(_) => "pools",
            Command::Pool(_) => "pool",
            Command::Who(_) => "who",
            Command::Why(_) => "why",
            Command::Tree(_) => "tree",
            Command::Plan(_) => "plan",
            Command::Forecast(_) => "forecast",
            Command::Check(_) => "check",
            Command::Repair(_) => "repair",
            Command::Crds(_) => "crds",
            Command::Completion(_) => "completion",
            Command::Man(_) => "man",
            Command::Version => "version",
        };
        assert_eq!(found, want, "{line}");
    }
    let refused = [
        ("metal3-ipam --version", ErrorKind::DisplayVersion),
        ("manager --version", ErrorKind::DisplayVersion),
        ("metal3-ipam --help", ErrorKind::DisplayHelp),
        ("manager --help", ErrorKind::DisplayHelp),
        ("metal3-ipam top -n x -A", ErrorKind::ArgumentConflict),
        (
            "metal3-ipam",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
        ("metal3-ipam standalone", ErrorKind::MissingRequiredArgument),
        ("metal3-ipam bench --claims 0", ErrorKind::ValueValidation),
        (
            "metal3-ipam bench --context c",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "metal3-ipam bench --rule",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "metal3-ipam bench --duration 5m",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "metal3-ipam standalone --data-dir d --listen 0",
            ErrorKind::ValueValidation,
        ),
    ];
    for (line, want) in refused {
        assert_eq!(parse(line).unwrap_err().kind(), want, "{line}");
    }
    assert!(
        parse("manager --help")
            .unwrap_err()
            .to_string()
            .contains("--leader-elect")
    );
}

#[test]
fn the_managers_defaults_are_upstreams_but_for_the_lease() {
    let m = manager("");
    assert!(m.leader_elect);
    let lease = "controller-leader-election-ipam-capm3";
    assert_eq!(m.leader_elect_lease_name, lease);
    assert_eq!(m.namespace, None);
    assert_eq!(m.watch_filter, None);
    assert_eq!(m.health_addr, Listen::Everywhere(9440));
    assert_eq!(m.webhook_port, Listen::Everywhere(9443));
    assert_eq!(m.webhook_cert_dir, None);
    assert!(!m.webhook_self_signed);
    assert_eq!(m.own_certificates.webhook_service, "webhook-service");
    assert_eq!(m.own_certificates.webhook_secret, "webhook-own-certificate");
    let [validating, mutating] =
        ["validating", "mutating"].map(|n| format!("{n}-webhook-configuration"));
    assert_eq!(m.own_certificates.webhook_validating, validating);
    assert_eq!(m.own_certificates.webhook_mutating, mutating);
    assert_eq!((&*m.tls_cipher_suites, &*m.tls_curve_preferences), ("", ""));
    assert_eq!(m.diagnostics_address, Listen::Everywhere(8443));
    assert!(!m.insecure_diagnostics);
    assert_eq!(m.tls_min_version, TlsVersion::Tls12);
    assert_eq!(m.serving.pool_metrics, PoolMetrics::All);
    assert_eq!((m.kube_api_qps, m.kube_api_burst), (None, None));
    assert_eq!(m.serving.exhausted_error_after, Duration::from_secs(10));
    assert_eq!(m.serving.leak_repair, Repair::Auto);
    assert_eq!(m.serving.in_flight, 64);
    assert_eq!(m.logging.verbosity, None);
    assert_eq!(m.logging.logging_format, LogFormat::Text);
    assert_eq!(m.accepted.warnings(), [""; 0]);
    assert_eq!(m.logging.accepted.warnings(), [""; 0]);
}

#[test]
fn flags_are_spelt_as_upstream_spells_them() {
    let m = manager(
        "--leader-elect=false --leader-elect-lease-name=blue.example --leader-elect-namespace=capm3 --namespace=n --watch-filter f --health-addr 127.0.0.1:1 --webhook-port=0 \
         --diagnostics-address=0 --kube-api-qps 1.5 --kube-api-burst=7 --kubeconfig k --context c \
         --exhausted-error-after 1m30s --leak-repair=report --in-flight 3 --logging-format=json",
    );
    assert!(!m.leader_elect);
    assert_eq!(m.leader_elect_lease_name, "blue.example");
    assert_eq!(m.leader_elect_namespace.as_deref(), Some("capm3"));
    assert_eq!(m.namespace.as_deref(), Some("n"));
    assert_eq!(m.watch_filter.as_deref(), Some("f"));
    assert_eq!(m.health_addr, Listen::At("127.0.0.1".to_owned(), 1));
    assert_eq!(m.webhook_port, Listen::Off);
    assert_eq!(m.diagnostics_address, Listen::Off);
    assert_eq!((m.kube_api_qps, m.kube_api_burst), (Some(1.5), Some(7)));
    assert_eq!(m.serving.exhausted_error_after, Duration::from_secs(90));
    assert_eq!(m.serving.leak_repair, Repair::Report);
    assert_eq!(m.serving.in_flight, 3);
    assert_eq!(m.logging.logging_format, LogFormat::Json);
    for (flags, want) in [
        ("--leader-elect", true),
        ("--leader-elect=0", false),
        ("--leader-elect=T", true),
        ("--leader-elect=false --leader-elect", true),
    ] {
        assert_eq!(manager(flags).leader_elect, want, "{flags}");
    }
    for (flags, want) in [
        ("-v=4", 4),
        ("-v 4", 4),
        ("-v4", 4),
        ("--v=4", 4),
        ("--v 4", 4),
        ("-v=1 --v=4", 4),
        ("-v", 0),
        ("-v --leader-elect", 0),
    ] {
        assert_eq!(manager(flags).logging.verbosity, Some(want), "{flags}");
    }
    assert_eq!(manager("--kube-api-qps=-1").kube_api_qps, Some(-1.0));
    for burst in ["0", "-3"] {
        let m = manager(&format!("--kube-api-qps=5 --kube-api-burst={burst}"));
        let says = format!("--kube-api-burst={burst}: a burst has one request at least; it is 30");
        assert_eq!(m.warnings(), [says]);
        let rate = m.rate().unwrap();
        assert_eq!((rate.qps, rate.burst), (5.0, 30));
    }
    for (flags, want) in [
        ("--insecure-diagnostics", true),
        ("--insecure-diagnostics=true", true),
        ("--insecure-diagnostics=false", false),
    ] {
        assert_eq!(manager(flags).insecure_diagnostics, want, "{flags}");
    }
    let m = manager(
        "--webhook-cert-dir=/certs/ --tls-cipher-suites=TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384 \
         --tls-curve-preferences=29,23",
    );
    let folder = m.webhook_cert_dir.as_deref();
    assert_eq!(folder, Some(std::path::Path::new("/certs")));
    assert_eq!(m.tls_curve_preferences, "29,23");
    let m = manager("--webhook-port=127.0.0.1:9443");
    assert_eq!(m.webhook_port, Listen::At("127.0.0.1".to_owned(), 9443));
    let tls = manager("--tls-min-version=VersionTLS13").tls_min_version;
    assert_eq!(tls, TlsVersion::Tls13);
    for (flags, want) in [
        ("--pool-metrics=off", PoolMetrics::Off),
        ("--pool-metrics=top=7", PoolMetrics::Top(7)),
        ("--pool-metrics all", PoolMetrics::All),
    ] {
        assert_eq!(manager(flags).serving.pool_metrics, want, "{flags}");
    }
}

#[test]
fn flags_without_effect_are_accepted_and_told_of() {
    let of_manager = ["--sync-period=10m0s", "--ippool-concurrency=10"];
    let of_logging = [
        "--vmodule=pool=4",
        "--log-flush-frequency=5s",
        "--log-json-split-stream",
        "--log-json-info-buffer-size=4Ki",
        "--log-text-split-stream=true",
        "--log-text-info-buffer-size=0",
        "--add_dir_header",
        "--alsologtostderr=true",
        "--legacy_stderr_threshold_behavior=true",
        "--log_backtrace_at=:0",
        "--log_dir=/tmp",
        "--log_file=f",
        "--log_file_max_size=1800",
        "--logtostderr=true",
        "--one_output",
        "--skip_headers",
        "--skip_log_headers",
        "--stderrthreshold=2",
    ];
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    for flag in of_manager {
        let m = manager(flag);
        assert_eq!(m.accepted.warnings().len(), 1, "{flag}");
        assert!(m.accepted.warnings()[0].starts_with(&format!("{} has no effect: ", name(flag))));
    }
    for flag in of_logging {
        let m = manager(flag);
        assert_eq!(m.logging.accepted.warnings().len(), 1, "{flag}");
        assert!(
            m.logging.accepted.warnings()[0]
                .starts_with(&format!("{} has no effect: ", name(flag)))
        );
    }
    assert_eq!(
        manager("--sync-period 1s --sync-period 2s --logtostderr")
            .accepted
            .warnings()
            .len(),
        1
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = [
        "--leader-elect=yes",
        "--leader-elect false",
        "--leader-elect-lease-name=",
        "--leader-elect-lease-name=Blue",
        "--leader-elect-lease-name=fleet/blue",
        "--leader-elect-namespace=",
        "--leader-elect-namespace=a.b",
        "--sync-period=10",
        "--ippool-concurrency=many",
        "--tls-min-version=1.2",
        "--webhook-port=70000",
        "--health-addr=9440",
        "--kube-api-qps=nan",
        "--kube-api-burst=1.5",
        "--in-flight=0",
        "--pool-metrics=top",
        "--pool-metrics=top=-1",
        "--insecure-diagnostics=maybe",
        "--exhausted-error-after=-1s",
        "--leak-repair=no",
        "--logging-format=xml",
        "-v=high",
        "-namespace=x",
        "extra",
    ];
    for flags in refused {
        assert!(parse(&format!("/manager {flags}")).is_err(), "{flags}");
    }
    for (unknown, meant) in [
        ("--leader-elected", "--leader-elect"),
        ("--ippool-concurency=1", "--ippool-concurrency"),
        ("--kube-api-qp=1", "--kube-api-qps"),
    ] {
        let error = parse(&format!("/manager {unknown}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownArgument);
        assert!(error.to_string().contains(&format!("'{meant}'")), "{error}");
    }
    let error = parse("metal3-ipam standalon --data-dir d")
        .unwrap_err()
        .to_string();
    assert!(error.contains("'standalone'"), "{error}");
}
