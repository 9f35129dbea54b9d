//! What the mailbox may leave out and what it must not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tokio::sync::oneshot::error::TryRecvError;

use crate::api::{AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, Kind, WireObject};
use crate::controller::mailbox::{Closed, ENDED, Mailbox, Taken};
use crate::pool::{
    Fact, Input, KindState, Kinds, Object, Outcome, Question, RequestId, Scope, Take,
};

fn wire(name: &str, uid: &str, version: u64) -> WireObject {
    serde_json::from_value(serde_json::json!({
        "metadata": { "name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string() }
    }))
    .unwrap()
}

fn seen(name: &str, uid: &str, version: u64) -> Input {
    Input::Seen(claim(name, uid, version))
}

fn claim(name: &str, uid: &str, version: u64) -> Object {
    Object::Claim {
        claim: Box::new(Claim::read(ClaimKind::Metal3, wire(name, uid, version))),
        scope: Scope::Ours,
    }
}

fn gone(name: &str, uid: &str) -> Input {
    Input::ClaimGone {
        key: ClaimKey {
            kind: ClaimKind::Metal3,
            name: name.into(),
        },
        uid: uid.into(),
    }
}

fn text(input: &Input) -> String {
    match input {
        Input::Seen(Object::Claim { claim, .. }) => format!(
            "{} seen {} at {}",
            claim.meta.name, claim.meta.uid, claim.meta.resource_version
        ),
        Input::ClaimGone { key, uid } => format!("{} gone {uid}", key.name),
        other => format!("{other:?}"),
    }
}

fn drain(mailbox: &Mailbox) -> Vec<String> {
    std::iter::from_fn(|| mailbox.take_input())
        .map(|i| text(&i))
        .collect()
}

#[test]
fn a_question_is_taken_after_all_that_was_put_in_before_it() {
    let mailbox = Mailbox::default();
    mailbox.put(seen("a", "1", 1)).unwrap();
    let mut answer = mailbox.ask(Question::InUse);
    mailbox.put(seen("b", "9", 2)).unwrap();
    assert!(!mailbox.close_if_idle(), "someone asks");
    assert!(matches!(mailbox.take(), Some(Taken::Input(_))));
    let Some(Taken::Asked(asked)) = mailbox.take() else {
        panic!("the question comes next");
    };
    asked.reply.send(Fact::InUse(Vec::new())).unwrap();
    assert_eq!(answer.try_recv(), Ok(Fact::InUse(Vec::new())));
    assert_eq!(drain(&mailbox), ["b seen 9 at 2"]);
    assert!(mailbox.close_if_idle());
    let mut late = mailbox.ask(Question::InUse);
    assert_eq!(
        late.try_recv(),
        Err(TryRecvError::Closed),
        "the worker has left"
    );
    assert!(mailbox.take().is_none());
}

#[test]
fn the_newest_version_takes_the_old_ones_place() {
    let mailbox = Mailbox::default();
    for input in [seen("a", "1", 1), seen("b", "9", 2), seen("a", "1", 3)] {
        mailbox.put(input).unwrap();
    }
    assert_eq!(drain(&mailbox), ["a seen 1 at 3", "b seen 9 at 2"]);
}

fn facts(paused: bool) -> ClusterFacts {
    ClusterFacts {
        name: "k".into(),
        uid: "1".into(),
        api_version: "v1".into(),
        paused,
        deleting: false,
    }
}

fn cluster(paused: bool) -> Input {
    Input::ClusterSeen(facts(paused).into())
}

/// An answer overtakes what was put in before it, but not the Cluster that its object is the first to name.
#[test]
fn a_cluster_that_is_named_for_the_first_time_comes_before_everything() {
    let mailbox = Arc::new(Mailbox::default());
    mailbox.put(seen("a", "1", 1)).unwrap();
    let reply = mailbox.reserve(RequestId(1));
    mailbox.put_first(facts(false).into());
    reply.answer(Outcome::Stored(claim("b", "9", 2), Take::In));
    assert_eq!(mailbox.depth(), 3);
    assert_eq!(
        mailbox.take_input().map(|i| text(&i)),
        Some(text(&cluster(false)))
    );
    assert!(matches!(mailbox.take_input(), Some(Input::Answer { .. })));
    assert_eq!(drain(&mailbox), ["a seen 1 at 1"]);
    // P3: a pause of it that is not taken yet, or its end, stays before it.
    for untaken in [cluster(true), Input::ClusterGone { name: "k".into() }] {
        let mailbox = Mailbox::default();
        mailbox.put(seen("a", "1", 1)).unwrap();
        mailbox.put(untaken).unwrap();
        mailbox.put_first(facts(false).into());
        let order = drain(&mailbox);
        assert_eq!(order.first().unwrap(), "a seen 1 at 1");
        assert_eq!(*order.last().unwrap(), text(&cluster(false)));
    }
}

/// P3: a pause that the worker has not taken keeps its place, and its end comes after all that was put in before the end.
#[test]
fn the_end_of_a_pause_leaves_the_pause_at_its_place() {
    let gone = || Input::ClusterGone { name: "k".into() };
    for ends in [cluster(false), gone()] {
        let mailbox = Mailbox::default();
        let end = text(&ends);
        for input in [
            cluster(true),
            seen("a", "1", 1),
            ends.clone(),
            seen("b", "9", 2),
            ends,
        ] {
            mailbox.put(input).unwrap();
        }
        let [pause, a, b] = [
            text(&cluster(true)),
            "a seen 1 at 1".into(),
            "b seen 9 at 2".into(),
        ];
        assert_eq!(
            drain(&mailbox),
            [pause.clone(), a.clone(), b.clone(), end.clone()]
        );
        // Paused once more before anything is taken: nothing says that it goes on.
        for input in [
            cluster(true),
            seen("a", "1", 1),
            gone(),
            cluster(true),
            seen("b", "9", 2),
        ] {
            mailbox.put(input).unwrap();
        }
        assert_eq!(drain(&mailbox), [pause, a, b]);
    }
}

#[test]
fn gone_and_seen_again_stay_two_facts() {
    let mailbox = Mailbox::default();
    for input in [
        seen("a", "1", 1),
        gone("a", "1"),
        seen("a", "2", 2),
        seen("a", "2", 3),
    ] {
        mailbox.put(input).unwrap();
    }
    assert_eq!(drain(&mailbox), ["a gone 1", "a seen 2 at 3"]);
}

#[test]
fn a_name_that_comes_and_goes_keeps_few_facts_the_first_and_the_newest() {
    let mailbox = Mailbox::default();
    for uid in 0..100 {
        mailbox.put(seen("a", &uid.to_string(), uid)).unwrap();
        mailbox.put(gone("a", &uid.to_string())).unwrap();
    }
    let told = drain(&mailbox);
    assert_eq!(told.len(), ENDED);
    assert_eq!(told[0], "a gone 0");
    assert_eq!(told[ENDED - 1], "a gone 99");
}

#[test]
fn a_freed_name_is_told_before_who_took_it_next() {
    let key = AddressKey {
        kind: ClaimKind::Metal3,
        name: "p-10-0-0-1".into(),
    };
    let address = crate::api::Address::read(ClaimKind::Metal3, wire("p-10-0-0-1", "2", 5));
    let mailbox = Mailbox::default();
    mailbox.put(Input::NameFreed(key.clone())).unwrap();
    mailbox.put(Input::NameFreed(key)).unwrap();
    let seen = Input::Seen(Object::Address {
        address: Box::new(address),
        scope: Scope::Ours,
    });
    mailbox.put(seen).unwrap();
    assert!(matches!(mailbox.take_input(), Some(Input::NameFreed(_))));
    assert!(matches!(
        mailbox.take_input(),
        Some(Input::Seen(Object::Address { .. }))
    ));
    assert!(mailbox.take_input().is_none());
}

#[test]
fn every_request_gets_one_answer_also_when_its_task_is_gone() {
    let mailbox = Arc::new(Mailbox::default());
    let (queued, mut sent, answered) = (
        mailbox.reserve(RequestId(1)),
        mailbox.reserve(RequestId(2)),
        mailbox.reserve(RequestId(3)),
    );
    assert!(!mailbox.close_if_idle(), "answers are due");
    sent.sent();
    drop(queued);
    drop(sent);
    answered.answer(Outcome::Gone);
    let told: Vec<_> = std::iter::from_fn(|| mailbox.take_input())
        .map(|input| match input {
            Input::Answer { id, outcome } => (id.0, outcome),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(matches!(
        told[0],
        (1, Outcome::NotSent { retry_after: None })
    ));
    assert!(matches!(told[1], (2, Outcome::Unknown { .. })));
    assert!(matches!(told[2], (3, Outcome::Gone)));
    assert_eq!(told.len(), 3);
    assert!(mailbox.close_if_idle());
    assert!(matches!(mailbox.put(gone("a", "1")), Err(Closed(_))));
}

#[test]
fn an_answer_takes_the_place_of_older_facts_of_its_object() {
    let mailbox = Arc::new(Mailbox::default());
    let left = || Input::ClaimLeft {
        key: ClaimKey {
            kind: ClaimKind::Metal3,
            name: "a".into(),
        },
        uid: "2".into(),
    };
    let answer = |take| Outcome::Stored(claim("a", "2", 9), take);
    let shows = |mailbox: &Mailbox| -> Vec<String> {
        let taken = std::iter::from_fn(|| mailbox.take_input());
        let taken = taken.filter(|input| !matches!(input, Input::Answer { .. }));
        taken.map(|input| text(&input)).collect()
    };
    // It left and came back; its predecessor's end is told all the same.
    for input in [gone("a", "1"), left(), seen("a", "2", 7), seen("b", "3", 8)] {
        mailbox.put(input).unwrap();
    }
    mailbox.reserve(RequestId(1)).answer(answer(Take::In));
    assert_eq!(shows(&mailbox), ["a gone 1", "b seen 3 at 8"]);
    assert!(mailbox.close_if_idle());

    // One whose facts are just being taken.
    let mailbox = Arc::new(Mailbox::default());
    for input in [gone("a", "1"), seen("a", "2", 7)] {
        mailbox.put(input).unwrap();
    }
    assert_eq!(text(&mailbox.take_input().unwrap()), "a gone 1");
    mailbox.reserve(RequestId(1)).answer(answer(Take::In));
    assert!(shows(&mailbox).is_empty());

    // The watch is ahead of the answer.
    let mailbox = Arc::new(Mailbox::default());
    mailbox.put(seen("a", "2", 11)).unwrap();
    mailbox.reserve(RequestId(1)).answer(answer(Take::LeaveOut));
    assert_eq!(shows(&mailbox), ["a seen 2 at 11"]);

    // Nothing is left of an object: what comes after it is taken in one go, and a new fact has a place again.
    let mailbox = Arc::new(Mailbox::default());
    for input in [seen("a", "2", 7), seen("b", "3", 8)] {
        mailbox.put(input).unwrap();
    }
    mailbox.reserve(RequestId(1)).answer(answer(Take::In));
    mailbox.put(seen("a", "2", 12)).unwrap();
    assert_eq!(shows(&mailbox), ["a seen 2 at 12", "b seen 3 at 8"]);
    assert!(mailbox.close_if_idle());
}

#[tokio::test]
async fn a_message_wakes_who_waits() {
    let mailbox = Arc::new(Mailbox::default());
    let waiter = tokio::spawn({
        let mailbox = Arc::clone(&mailbox);
        async move {
            mailbox.filled().await;
            mailbox.take_input().is_some()
        }
    });
    tokio::task::yield_now().await;
    mailbox.put(seen("a", "1", 1)).unwrap();
    assert!(waiter.await.unwrap());
}

/// One thing that happens: an object changes, ends, or the kinds' state is told, or the worker takes something.
#[derive(Debug, Clone)]
enum Event {
    Change(u8),
    End(u8),
    Kinds,
    Take,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u8..4).prop_map(Event::Change),
        2 => (0u8..4).prop_map(Event::End),
        1 => Just(Event::Kinds),
        3 => Just(Event::Take),
    ]
}

/// Position in the naive queue of everything that was ever put in, and what it said.
#[derive(Default)]
struct Naive {
    put: Vec<(Option<u8>, String)>,
    told: Vec<usize>,
}

impl Naive {
    /// The worker was told this: finds it in the queue.
    fn told(&mut self, what: &str) {
        let at = self.put.iter().rposition(|(_, said)| said == what);
        self.told
            .push(at.unwrap_or_else(|| panic!("{what} was never put in")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn coalescing_is_a_naive_queue_with_the_worthless_left_out(events in prop::collection::vec(event(), 1..120)) {
        let mailbox = Mailbox::default();
        let mut naive = Naive::default();
        let mut uids = [0u32; 4];
        let mut alive = [false; 4];
        let mut kinds = 0;
        let put = |naive: &mut Naive, object: Option<u8>, input: Input, said: String| {
            mailbox.put(input).unwrap();
            naive.put.push((object, said));
        };
        for (version, event) in events.into_iter().enumerate() {
            match event {
                Event::Change(o) => {
                    let i = usize::from(o);
                    if !alive[i] { uids[i] += 1; alive[i] = true; }
                    let input = seen(&o.to_string(), &uids[i].to_string(), version as u64);
                    let said = text(&input);
                    put(&mut naive, Some(o), input, said);
                }
                Event::End(o) => {
                    let i = usize::from(o);
                    if alive[i] {
                        alive[i] = false;
                        let input = gone(&o.to_string(), &uids[i].to_string());
                        let said = text(&input);
                        put(&mut naive, Some(o), input, said);
                    }
                }
                Event::Kinds => {
                    kinds += 1;
                    // Six kinds of four states: enough to number them.
                    let state = |n: u32| [KindState::Pending, KindState::Listed, KindState::Absent, KindState::Unavailable][(n % 4) as usize];
                    let mut value = Kinds::default();
                    for (place, kind) in (0..).zip(Kind::ALL) { value[kind] = state(kinds >> (2 * place)); }
                    let input = Input::Kinds(value);
                    let said = text(&input);
                    put(&mut naive, None, input, said);
                }
                Event::Take => {
                    if let Some(input) = mailbox.take_input() { naive.told(&text(&input)); }
                }
            }
        }
        while let Some(input) = mailbox.take_input() { naive.told(&text(&input)); }

        let said = |i: usize| naive.put[i].1.as_str();
        let of = |o: Option<u8>| naive.told.iter().copied().filter(|i| naive.put[*i].0 == o).collect::<Vec<_>>();
        for object in [None, Some(0), Some(1), Some(2), Some(3)] {
            let told = of(object);
            prop_assert!(told.windows(2).all(|w| w[0] < w[1]), "told in the order put in");
            let last = naive.put.iter().rposition(|(o, _)| *o == object);
            prop_assert_eq!(told.last().copied(), last, "the last fact is told");
        }
        // An incarnation that the worker was told of is also told gone.
        let all: BTreeSet<&str> = naive.told.iter().map(|i| said(*i)).collect();
        let mut newest: BTreeMap<u8, usize> = BTreeMap::new();
        for i in &naive.told {
            if let (Some(o), Some((_, rest))) = (naive.put[*i].0, said(*i).split_once(" seen ")) {
                let uid = rest.split(' ').next().unwrap();
                let end = format!("{o} gone {uid}");
                let ended = naive.put.iter().any(|(_, s)| *s == end);
                prop_assert!(!ended || all.contains(end.as_str()), "{end} is missing");
                newest.insert(o, *i);
            }
        }
        // The kinds' state comes after everything that was put in before it (or something newer of the same object).
        for (turn, i) in naive.told.iter().enumerate() {
            if naive.put[*i].0.is_some() { continue; }
            for object in 0..4u8 {
                let vouched = naive.put[..*i].iter().rposition(|(o, _)| *o == Some(object));
                let told = naive.told[..turn].iter().copied().filter(|t| naive.put[*t].0 == Some(object)).max();
                prop_assert!(told >= vouched, "kinds overtook object {object}");
            }
        }
    }
}
