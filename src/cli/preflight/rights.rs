//! The rights that the manager's ServiceAccount needs, as the roles in `deploy/rbac` grant them.

use std::fmt;

use clap::{Args, Command, FromArgMatches};
use serde::Deserialize;
use serde_json::Value;

use super::super::flags::Listen;
use super::super::manager::Manager;
use super::Level;

/// To a manager of all namespaces, to one of a single namespace, and to each in its own.
const OF_ALL: &str = include_str!("../../../deploy/rbac/cluster/role.yaml");
const OF_ONE: &str = include_str!("../../../deploy/rbac/namespaced/role.yaml");
const OF_LEASE: &str = include_str!("../../../deploy/rbac/common/leader_election_role.yaml");
/// For `--webhook-self-signed`, with the names that the flags have in `deploy/default`.
const OF_SECRET: &str = include_str!("../../../deploy/rbac/webhook-self-signed/secret_role.yaml");
const OF_CONFIGURATIONS: &str =
    include_str!("../../../deploy/rbac/webhook-self-signed/configurations_role.yaml");
/// For diagnostics that the API server authorizes.
const OF_REVIEWS: &str = include_str!("../../../deploy/rbac/diagnostics/review_role.yaml");

/// Where a right is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In every namespace that the manager serves.
    Served,
    /// In the manager's own.
    Own,
    /// The resource is of no namespace.
    Cluster,
}

/// One verb on one resource, or on one object of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) verb: String,
    /// The only object that it is for; empty: every one.
    pub(super) name: String,
    place: Place,
    /// What its lack means.
    pub(super) level: Level,
}

impl Right {
    /// Where the right is needed: `None` means everywhere. `within`: the one namespace that is looked at.
    pub(super) fn namespace<'a>(
        &self,
        of_manager: &'a str,
        within: Option<&'a str>,
    ) -> Option<&'a str> {
        match self.place {
            Place::Served => within,
            Place::Own => Some(of_manager),
            Place::Cluster => None,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        write!(
            f,
            "{} {}{slash}{}",
            self.verb, self.resource, self.subresource
        )?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match self.group.as_str() {
            "" => Ok(()),
            group => write!(f, " of {group}"),
        }
    }
}

#[derive(Deserialize)]
struct Role {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Rule {
    /// The objects that it is for, by name; one empty name for all of them.
    fn names(&self) -> Vec<String> {
        if self.resource_names.is_empty() {
            return vec![String::new()];
        }
        self.resource_names.clone()
    }
}

/// What the roles grant, one by one. `within`: the one namespace that is looked at. `manager`: its flags, where a Deployment runs
/// it.
pub(super) fn rights(
    within: Option<&str>,
    manager: Option<&Manager>,
) -> anyhow::Result<Vec<Right>> {
    let of_objects = if within.is_none() { OF_ALL } else { OF_ONE };
    let mut rights = granted(of_objects, Place::Served, Level::Blocks)?;
    rights.extend(granted(OF_LEASE, Place::Own, Level::Blocks)?);
    let Some(manager) = manager else {
        return Ok(rights);
    };
    if manager.webhook_self_signed {
        let flags = &manager.own_certificates;
        let mut own = granted(OF_SECRET, Place::Own, Level::Blocks)?;
        own.extend(granted(OF_CONFIGURATIONS, Place::Cluster, Level::Blocks)?);
        for right in &mut own {
            let name = match right.resource.as_str() {
                "validatingwebhookconfigurations" => &flags.webhook_validating,
                "mutatingwebhookconfigurations" => &flags.webhook_mutating,
                _ => &flags.webhook_secret,
            };
            if !right.name.is_empty() {
                right.name.clone_from(name);
            }
        }
        rights.extend(own);
    }
    if !matches!(manager.diagnostics_address, Listen::Off) && !manager.insecure_diagnostics {
        rights.extend(granted(OF_REVIEWS, Place::Cluster, Level::Warns)?);
    }
    Ok(rights)
}

fn granted(role: &str, place: Place, level: Level) -> anyhow::Result<Vec<Right>> {
    let role: Role = serde_saphyr::from_str(role)?;
    let mut rights = Vec::new();
    for rule in role.rules {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let names = rule.names();
                let verbs = rule.verbs.iter();
                let each = verbs.flat_map(|verb| names.iter().map(move |name| (verb, name)));
                rights.extend(each.map(|(verb, name)| Right {
                    group: group.clone(),
                    resource: resource.to_owned(),
                    subresource: subresource.to_owned(),
                    verb: verb.clone(),
                    name: name.clone(),
                    place,
                    level,
                }));
            }
        }
    }
    Ok(rights)
}

/// The flags of the manager that one of these Deployments runs as this account; `None` where none does, or none of this program.
pub(super) fn manager(
    deployments: &[Value],
    (namespace, account): (&str, &str),
) -> Option<Manager> {
    let runs_as_it = |deployment: &&Value| {
        deployment["metadata"]["namespace"] == *namespace
            && deployment["spec"]["template"]["spec"]["serviceAccountName"] == *account
    };
    let containers = deployments
        .iter()
        .filter(runs_as_it)
        .filter_map(|deployment| deployment["spec"]["template"]["spec"]["containers"].as_array());
    containers.flatten().find_map(|container| {
        let args = container["args"].as_array()?.iter();
        let args = args.filter_map(Value::as_str);
        let flags = Manager::augment_args(
            Command::new("manager")
                .no_binary_name(true)
                .args_override_self(true),
        );
        let matches = flags.try_get_matches_from(args).ok()?;
        Manager::from_arg_matches(&matches).ok()
    })
}
