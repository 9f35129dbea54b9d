//! `metal3-ipam plan`: whether more claims fit into a pool, and what is missing.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::super::names;
use super::super::table::on_one_line;
use super::answer::Answer;
use super::outlook::{Outlook, span};
use super::pool::{keys, range_text, unclear};
use super::target::{Output, Target};
use super::{Asked, Sight, entry_number};
use crate::api::PoolKey;

/// Addresses that are named one by one at most.
const NAMED: usize = 10;

/// Shows whether more claims would get addresses of a pool: from which entries, what is left, and what is missing.
///
/// The pool's own state machine is asked, with what it holds now; nothing is written. Exit code 0: they fit; 1: they do not, or there
/// is no such pool; 2: not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Plan {
    /// The pool's name.
    #[arg(value_name = "POOL", add = names::pools())]
    name: String,
    /// How many claims are to come.
    #[arg(long, value_name = "N")]
    add: u64,
    /// How many more exist for a while, such as while machines are replaced.
    #[arg(long, value_name = "M", default_value_t = 0)]
    surge: u64,
    #[command(flatten)]
    target: Target,
    /// How the answer is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Plan {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Asked::of(&self.target).await?;
        let keys = keys(&asked.sight, asked.namespace.as_deref(), &self.name);
        let answer = match &*keys {
            [key] => look(&asked.sight, key, self.add, self.surge),
            keys => unclear(&self.name, asked.namespace.as_deref(), keys),
        };
        asked.finish(&answer, self.output)
    }
}

/// What would become of so many more claims.
pub(super) fn look(sight: &Sight, key: &PoolKey, add: u64, surge: u64) -> Answer {
    let found = sight.pool(key).zip(sight.pool_object(key));
    let Some((fed, object)) = found else {
        return unclear(&key.name, Some(&key.namespace), &[]);
    };
    let snapshot = fed.pool.snapshot();
    let paused = fed.pool.is_paused().then_some("Paused");
    let unready = paused.or(snapshot.ready.err());
    let is_going = unready == Some("Deleting");
    // Those that wait for any address stand before the new ones, and so do those that wait for the pool.
    let waits_for = |reason: &str| snapshot.waiting.get(reason).copied().unwrap_or(0);
    let waiting: u64 = ["PoolExhausted", "PoolNotReady", "Paused"]
        .map(waits_for)
        .iter()
        .sum();
    let wanted = u128::from(add) + u128::from(surge) + u128::from(waiting);
    let free = snapshot.available;
    let missing = wanted.saturating_sub(free);
    let fits = missing == 0 && unready.is_none();
    let from = if is_going {
        Vec::new()
    } else {
        fed.pool.next_entries(wanted)
    };
    let named = usize::try_from(wanted)
        .ok()
        .filter(|wanted| *wanted <= NAMED && !is_going);
    let next = named.and_then(|wanted| fed.pool.next_addresses(wanted));
    let mut text = match (unready, missing) {
        (Some(reason), _) => {
            let why = match reason {
                "Paused" => {
                    Some("end the pause; after clusterctl move it ends by itself".to_owned())
                }
                _ => fed.pool.why_unready(),
            };
            let why = why.map_or_else(String::new, |why| format!(": {}", on_one_line(&why)));
            format!("It does not fit: IPPool {key} gives nothing out now, {reason}{why}\n")
        }
        (None, 0) => {
            format!("It fits: IPPool {key} has {free} free addresses for {wanted} claims.\n")
        }
        (None, missing) => format!(
            "It does not fit: IPPool {key} has {free} free addresses for {wanted} claims; {missing} are missing.\n"
        ),
    };
    if surge > 0 || waiting > 0 {
        let _ = writeln!(
            text,
            "{add} claims to come, {surge} for a while, {waiting} that wait already"
        );
    }
    for (entry, count) in &from {
        let range = object
            .spec
            .as_ref()
            .ok()
            .and_then(|spec| spec.pools.get(*entry));
        let range = range.map(range_text).unwrap_or_default();
        let _ = writeln!(text, "  entry {}  {range}: {count}", entry_number(*entry));
    }
    if let Some(next) = next.as_ref().filter(|next| !next.is_empty()) {
        let next: Vec<String> = next.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "next addresses: {}", next.join(", "));
    }
    // Those of the surge are gone by then.
    let settled = free.saturating_sub(wanted) + u128::from(surge);
    let outlook = Outlook::new(&fed.births, settled, sight.now);
    if is_going {
        text.push_str("create the claims in another pool, or this one anew once it is gone\n");
    } else if missing == 0 {
        let after = free - wanted;
        let _ = writeln!(
            text,
            "{after} free while all of them exist, {settled} after that"
        );
        let _ = writeln!(text, "runs out: {}", runs_out(&outlook));
    } else {
        let _ = writeln!(
            text,
            "add {missing} addresses at least to spec.pools, such as an entry with start and end that far apart"
        );
    }
    let value = json!({
        "namespace": &*key.namespace,
        "pool": &*key.name,
        "fits": fits,
        "add": add,
        "surge": surge,
        "waiting": waiting,
        "free": free.to_string(),
        "missing": missing.to_string(),
        "ready": unready.unwrap_or("True"),
        "from": from.iter().map(|(entry, count)| json!({"entry": entry_number(*entry), "claims": count.to_string()})).collect::<Vec<_>>(),
        "outlook": (missing == 0 && !is_going).then(|| outlook.value()),
        "next": next.map(|next| next.iter().map(ToString::to_string).collect::<Vec<_>>()),
    });
    let names = vec![format!("ippool.ipam.metal3.io/{}", key.name)];
    Answer {
        is_found: fits,
        ..Answer::new(text, value, names)
    }
}

/// When a pool then runs out, in words.
fn runs_out(outlook: &Outlook) -> String {
    match (outlook, outlook.earliest()) {
        (Outlook::Left { days, .. }, _) => format!("in {} ({})", span(*days), outlook.because()),
        (Outlook::Unknown { .. }, Some(days)) => format!(
            "not known, not before {} ({})",
            span(days),
            outlook.because()
        ),
        _ => format!("{} ({})", outlook.short(), outlook.because()),
    }
}
