//! The rights that the manager's ServiceAccount needs, as the roles in `deploy/rbac` grant them.

use std::collections::HashMap;
use std::fmt;

use clap::{Args, Command, FromArgMatches};
use serde::Deserialize;
use serde_json::Value;

use super::super::flags::Listen;
use super::super::manager::Manager;
use super::super::objects::object_name;
use super::Level;
use super::environment::is_of_upstream;

/// To a manager of all namespaces, to one of a single namespace, and to each in its own.
const OF_ALL: &str = include_str!("../../../deploy/rbac/cluster/role.yaml");
const OF_ONE: &str = include_str!("../../../deploy/rbac/namespaced/role.yaml");
const OF_LEASE: &str = include_str!("../../../deploy/rbac/common/leader_election_role.yaml");
/// For `--webhook-self-signed`, with the names that the flags have in `deploy/default`.
const OF_SECRET: &str = include_str!("../../../deploy/rbac/webhook-self-signed/secret_role.yaml");
const OF_CONFIGURATIONS: &str =
    include_str!("../../../deploy/rbac/webhook-self-signed/configurations_role.yaml");
/// The container of the manager's Deployment, and what is in the name of its image.
const CONTAINER: &str = "manager";
const PROGRAM: &str = "metal3-ipam";
/// For diagnostics that the API server authorizes.
const OF_REVIEWS: &str = include_str!("../../../deploy/rbac/diagnostics/review_role.yaml");

/// One verb on one resource, or on one object of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) verb: String,
    /// The only object that it is for; empty: every one.
    pub(super) name: String,
    /// Where it is needed; `None`: everywhere, or the resource is of no namespace.
    pub(super) namespace: Option<String>,
    /// What its lack means.
    pub(super) level: Level,
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
        if !self.group.is_empty() {
            write!(f, " of {}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
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

/// What the managers need that run as an account of this namespace; without any what every one needs. `within`: the one namespace
/// that is looked at.
pub(super) fn rights(
    namespace: &str,
    within: Option<&str>,
    managers: &[Manager],
) -> anyhow::Result<Vec<Right>> {
    let mut rights = Vec::new();
    if managers.is_empty() {
        let role = if within.is_none() { OF_ALL } else { OF_ONE };
        rights.extend(granted(role, within, Level::Blocks)?);
        rights.extend(granted(OF_LEASE, Some(namespace), Level::Blocks)?);
    }
    for manager in managers {
        for right in of_manager(manager, namespace, within)? {
            if !rights.contains(&right) {
                rights.push(right);
            }
        }
    }
    Ok(rights)
}

/// What a manager with these flags needs.
fn of_manager(
    manager: &Manager,
    namespace: &str,
    within: Option<&str>,
) -> anyhow::Result<Vec<Right>> {
    let of_one = manager.namespace.as_deref().filter(|name| !name.is_empty());
    let served = of_one.or(within);
    let role = if served.is_none() { OF_ALL } else { OF_ONE };
    let mut rights = granted(role, served, Level::Blocks)?;
    // It looks for a leader elsewhere only where a second one would serve the same objects.
    let looks = manager.leader_elect && manager.serves_everything();
    rights.retain(|right| looks || right.resource != "leases");
    if manager.leader_elect {
        let place = manager.leader_elect_namespace.as_deref();
        let place = place.unwrap_or(namespace);
        rights.extend(granted(OF_LEASE, Some(place), Level::Blocks)?);
    }
    // The Lease is all that these roles name.
    named(&mut rights, |_| &manager.leader_elect_lease_name);
    if manager.webhook_self_signed && manager.webhook_port != Listen::Off {
        let flags = &manager.own_certificates;
        let mut own = granted(OF_SECRET, Some(namespace), Level::Blocks)?;
        own.extend(granted(OF_CONFIGURATIONS, None, Level::Blocks)?);
        named(&mut own, |resource| match resource {
            "validatingwebhookconfigurations" => &flags.webhook_validating,
            "mutatingwebhookconfigurations" => &flags.webhook_mutating,
            _ => &flags.webhook_secret,
        });
        rights.extend(own);
    }
    if manager.diagnostics_address != Listen::Off && !manager.insecure_diagnostics {
        rights.extend(granted(OF_REVIEWS, None, Level::Warns)?);
    }
    Ok(rights)
}

/// Puts the names that the flags give in the place of those that the role has.
fn named<'a>(rights: &mut [Right], name: impl Fn(&str) -> &'a String) {
    for right in rights {
        if !right.name.is_empty() {
            right.name.clone_from(name(&right.resource));
        }
    }
}

/// What a role grants, one by one.
fn granted(role: &str, namespace: Option<&str>, level: Level) -> anyhow::Result<Vec<Right>> {
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
                    namespace: namespace.map(str::to_owned),
                    level,
                }));
            }
        }
    }
    Ok(rights)
}

/// The flags of every manager of this program that one of these Deployments runs as this account; and of each whose flags cannot be
/// told from it, why.
pub(super) fn managers(
    deployments: &[Value],
    (namespace, account): (&str, &str),
) -> (Vec<Manager>, Vec<String>) {
    let (mut managers, mut untold) = (Vec::new(), Vec::new());
    for deployment in deployments {
        let pod = &deployment["spec"]["template"]["spec"];
        let is_its = pod["serviceAccountName"] == *account;
        if deployment["metadata"]["namespace"] != *namespace || !is_its {
            continue;
        }
        let containers = pod["containers"].as_array();
        let mut containers = containers.into_iter().flatten();
        if containers.clone().any(is_of_upstream) {
            continue;
        }
        let Some(container) = containers.find(|container| is_manager(container)) else {
            continue;
        };
        match flags(container, namespace) {
            Ok(manager) => managers.push(manager),
            Err(why) => {
                let name = object_name("Deployment", deployment);
                untold.push(format!("the flags of the {name}: {why}"));
            }
        }
    }
    (managers, untold)
}

/// Whether a container runs this program as the manager, by what `deploy/` and the image call it.
fn is_manager(container: &Value) -> bool {
    let image = container["image"].as_str().unwrap_or_default();
    container["name"] == CONTAINER || image.contains(PROGRAM)
}

fn flags(container: &Value, namespace: &str) -> Result<Manager, String> {
    let texts = |field: &str| {
        let list = container[field].as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
    };
    let variables = variables(container, namespace);
    let line = texts("command").skip(1).chain(texts("args"));
    let mut line = line
        .map(|arg| expanded(arg, &variables))
        .collect::<Result<Vec<_>, _>>()?;
    // Under its own name the program takes a subcommand.
    if line.first().is_some_and(|first| first == "manager") {
        line.remove(0);
    }
    let flags = Manager::augment_args(Command::new("manager"));
    let flags = flags.no_binary_name(true).args_override_self(true);
    let matches = flags.try_get_matches_from(line);
    let manager = matches.and_then(|matches| Manager::from_arg_matches(&matches));
    manager.map_err(|why| {
        let why = why.to_string();
        why.lines().next().unwrap_or_default().to_owned()
    })
}

/// The container's variables, of which the last one of a name counts; `None`: the value is somewhere else.
fn variables<'a>(container: &'a Value, namespace: &'a str) -> HashMap<&'a str, Option<&'a str>> {
    let variables = container["env"].as_array().into_iter().flatten();
    let value = |variable: &'a Value| {
        let from = &variable["valueFrom"];
        if from["fieldRef"]["fieldPath"] == "metadata.namespace" {
            return Some(namespace);
        }
        let value = variable["value"].as_str();
        value.or(from.is_null().then_some(""))
    };
    variables
        .filter_map(|variable| Some((variable["name"].as_str()?, value(variable))))
        .collect()
}

/// An argument as the kubelet passes it: `$(NAME)` is the value of a variable, and stays where there is none; `$$` is a `$`.
fn expanded(arg: &str, variables: &HashMap<&str, Option<&str>>) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), arg);
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = rest.strip_prefix("$(").and_then(|r| r.split_once(')'));
        if let Some(after) = rest.strip_prefix("$$") {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = name {
            match variables.get(name) {
                Some(Some(value)) => text.push_str(value),
                Some(None) => {
                    return Err(format!(
                        "{arg} names the variable {name}, whose value is not in the Deployment"
                    ));
                }
                None => text.push_str(&rest[..rest.len() - after.len()]),
            }
            rest = after;
        } else {
            text.push('$');
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    Ok(text)
}
