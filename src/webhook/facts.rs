//! What the rules ask about other objects. `admission::Live` is synchronous and the answers are not at hand, so the rules
//! run, note what they would have to know, and run again once it is known: twice or three times for a write that needs facts,
//! once for all others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use serde_json::Value;

use crate::admission::{self, Holder, Live, Review, Verdict};
use crate::alloc::Coverage;
use crate::api::PoolKey;

/// Runs of the rules for one write. Each but the last asks something that the one before did not, and there are four
/// questions; more would be a fault of the rules.
const ROUNDS: usize = 6;

/// A question about the namespace as it is now, one for each method of [`Live`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// [`Live::holders`].
    Holders(PoolKey),
    /// [`Live::holders_of`].
    HoldersOf(PoolKey, IpAddr),
    /// [`Live::overlaps`].
    Overlaps(PoolKey, Arc<Coverage>),
    /// [`Live::claim_pool_ref`].
    ClaimPoolRef {
        /// Namespace of the claim.
        namespace: String,
        /// Its name.
        claim: String,
    },
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To the first two.
    Holders(Vec<Holder>),
    /// To [`Question::Overlaps`].
    Overlaps(Vec<(String, IpAddr)>),
    /// To [`Question::ClaimPoolRef`]; `None` also where it is not known.
    PoolRef(Option<Value>),
    /// It will be known later, for this reason.
    NotYet(String),
    /// This process does not look at these objects, for this reason.
    NotSeen(String),
}

/// Who knows what lives in the cluster.
pub trait Facts: Send + Sync + 'static {
    /// Answers from memory, soon: a write waits for it.
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer>;
}

/// The result of a review: a verdict, or why it cannot be given now.
#[derive(Debug)]
pub(super) enum Judged {
    /// The rules have spoken.
    Verdict(Verdict),
    /// The rules need a fact that is not known yet: why.
    Later(String),
}

/// Judges a write by the rules and the facts that they ask for.
///
/// What is not known refuses nothing, with one exception: a write that takes addresses out of a pool's ranges has to wait
/// until it is known which of them are in use.
pub(super) async fn judge(review: Review<'_>, facts: &dyn Facts) -> Judged {
    let mut known = BTreeMap::new();
    for _ in 0..ROUNDS {
        let (mut verdict, questions) = run(review, &known);
        if questions.is_empty() {
            let missing = known.iter().find_map(|(question, answer)| match answer {
                Answer::NotYet(why) if matches!(question, Question::Holders(_)) => Some(why),
                _ => None,
            });
            if let Some(why) = missing
                && verdict.is_allowed()
            {
                return Judged::Later(why.clone());
            }
            for (question, answer) in &known {
                if let (Question::Holders(_), Answer::NotSeen(why)) = (question, answer) {
                    verdict.warnings.push(format!(
                        "spec.pools: whether the addresses taken out are in use was not checked: {why}"
                    ));
                }
            }
            return Judged::Verdict(verdict);
        }
        let answers = questions.iter().map(|q| facts.ask(q.clone()));
        let answers = join_all(answers).await;
        known.extend(questions.into_iter().zip(answers));
    }
    Judged::Later("the rules ask for more and more; this is a fault of metal3-ipam".to_owned())
}

/// One run of the rules, and what it asked in vain.
fn run(review: Review<'_>, known: &BTreeMap<Question, Answer>) -> (Verdict, Vec<Question>) {
    let live = Noted {
        known,
        asked: RefCell::default(),
    };
    let verdict = admission::review(&review, &live);
    (verdict, live.asked.into_inner())
}

/// Answers from what is known, and notes what is not.
struct Noted<'a> {
    known: &'a BTreeMap<Question, Answer>,
    asked: RefCell<Vec<Question>>,
}

impl Noted<'_> {
    fn find(&self, question: Question) -> Option<&Answer> {
        let answer = self.known.get(&question);
        if answer.is_none() {
            let mut asked = self.asked.borrow_mut();
            if !asked.contains(&question) {
                asked.push(question);
            }
        }
        answer
    }

    fn find_holders(&self, question: Question) -> Vec<Holder> {
        match self.find(question) {
            Some(Answer::Holders(holders)) => holders.clone(),
            Some(
                Answer::Overlaps(_) | Answer::PoolRef(_) | Answer::NotYet(_) | Answer::NotSeen(_),
            )
            | None => Vec::new(),
        }
    }
}

impl Live for Noted<'_> {
    fn holders(&self, pool: &PoolKey) -> Vec<Holder> {
        self.find_holders(Question::Holders(pool.clone()))
    }

    fn holders_of(&self, pool: &PoolKey, address: IpAddr) -> Vec<Holder> {
        self.find_holders(Question::HoldersOf(pool.clone(), address))
    }

    fn overlaps(&self, pool: &PoolKey, added: &Coverage) -> Vec<(String, IpAddr)> {
        match self.find(Question::Overlaps(pool.clone(), Arc::new(added.clone()))) {
            Some(Answer::Overlaps(pools)) => pools.clone(),
            Some(
                Answer::Holders(_) | Answer::PoolRef(_) | Answer::NotYet(_) | Answer::NotSeen(_),
            )
            | None => Vec::new(),
        }
    }

    fn claim_pool_ref(&self, namespace: &str, claim: &str) -> Option<Value> {
        let question = Question::ClaimPoolRef {
            namespace: namespace.to_owned(),
            claim: claim.to_owned(),
        };
        match self.find(question) {
            Some(Answer::PoolRef(reference)) => reference.clone(),
            Some(
                Answer::Holders(_) | Answer::Overlaps(_) | Answer::NotYet(_) | Answer::NotSeen(_),
            )
            | None => None,
        }
    }
}
