//! The list. Texts are taken away as they stand, spaces and all.

/// A guard of the controller or the webhook, and what tells that it is missing.
pub(crate) struct Guard {
    pub(crate) name: &'static str,
    /// What would happen without it.
    pub(crate) why: &'static str,
    pub(crate) edits: &'static [Edit],
    /// The test that fails: `suite::` and its path, or its path in the library.
    pub(crate) test: &'static str,
    /// The scripts that this test runs then, with `FAULT_ALL`: those whose name contains it; empty: all, in turn.
    pub(crate) script: &'static str,
    /// The oracle that finds it; `webhook` where the room's own test does.
    pub(crate) oracle: &'static str,
    /// Part of what that says.
    pub(crate) says: &'static str,
}

/// A text that is taken away, once in its file, and what stands in its place.
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) take: &'static str,
    pub(crate) put: &'static str,
}

/// Every write meets a crash.
const CRASHES: &str =
    "suite::faults::writes::f3_f4_f5_the_process_dies_at_every_write_in_all_three_positions";
const REFUSALS: &str = "suite::faults::writes::f1_every_write_is_refused_once";
const LATE: &str = "suite::faults::failover::f6_every_write_lands_late_under_a_new_leader";
const LEASES: &str =
    "suite::faults::failover::o8_a_leader_that_cannot_renew_begins_no_write_after_its_lease";
const EVENTS: &str = "suite::faults::watches::w2_to_w8_w11_to_w13_every_event_meets_a_fault";
const KEPT: &str = "suite::faults::regressions::every_run_that_found_a_bug_once_passes";

/// All of them.
pub(crate) const GUARDS: &[Guard] = &[
    Guard {
        name: "an address is held before its create is sent",
        why: "two claims that are served at once get the same address",
        edits: &[Edit {
            file: "src/pool/space.rs",
            take: "        self.add(picked.addr, Holder::Attempt(claim.clone()));\n",
            put: "        let _ = claim;\n        self.allocator.release(picked.addr);\n",
        }],
        test: CRASHES,
        script: "claims before their pool",
        oracle: "O1",
        says: "O1 ",
    },
    Guard {
        name: "of several objects the one in the status goes first",
        why: "an object of a former leader that lands late moves a bound claim to another address",
        edits: &[Edit {
            file: "src/pool/bind.rs",
            take: "(!shown, object.created, key.name.clone())",
            put: "(false && shown, object.created, key.name.clone())",
        }],
        test: LATE,
        script: "burst of both kinds",
        oracle: "O2",
        says: "O2 ",
    },
    Guard {
        name: "leaks are released",
        why: "an address object whose claim's end nobody saw stays for ever",
        edits: &[Edit {
            file: "src/pool/release.rs",
            take: "LeakRepair::Auto => true,",
            put: "LeakRepair::Auto => false,",
        }],
        test: CRASHES,
        script: "a leak",
        oracle: "O3",
        says: "O3 ",
    },
    Guard {
        name: "a status that failed is written again",
        why: "the pool's status stays as it was before its last change",
        edits: &[Edit {
            file: "src/pool/answer.rs",
            take: "                self.ippool.status.not_written(about);\n                &mut self.ippool.status.backoff",
            put: "                let _ = about;\n                &mut self.ippool.status.backoff",
        }],
        test: REFUSALS,
        script: "burst of both kinds",
        oracle: "O4",
        says: "O4 ",
    },
    Guard {
        name: "a list is a set difference",
        why: "what ended while the watch was blind stays in memory",
        edits: &[Edit {
            file: "src/controller/router.rs",
            take: "in state.known.end_missing(kind, live, version) {",
            put: "in state.known.end_missing(kind, live, version).into_iter().filter(|_| false) {",
        }],
        test: EVENTS,
        script: "external addresses",
        oracle: "O5",
        says: "O5 ",
    },
    Guard {
        name: "who waits for an address is woken when it is free",
        why: "a claim waits on though it could be served",
        edits: &[
            Edit {
                file: "src/pool/seen.rs",
                take: "            self.holders_changed(addr);\n            self.queue.offer(addr, None);",
                put: "            self.holders_changed(addr);",
            },
            // Claims that wait for an address are also looked at for the message that names its holder.
            Edit {
                file: "src/pool/seen.rs",
                take: "        self.queue.mark_waiting_for(addr);\n",
                put: "",
            },
        ],
        test: CRASHES,
        script: "requested addresses",
        oracle: "O5",
        says: "O5 ",
    },
    Guard {
        name: "an object that cannot be read is left alone",
        why: "one poisoned object keeps the whole kind from being listed",
        edits: &[Edit {
            file: "src/controller/intake/list.rs",
            take: "                        self.left_alone(&odd);\n                        match odd.name {",
            put: "                        if nameless || !nameless {\n                            return Err(End::Failed(\"odd\".to_owned()));\n                        }\n                        match odd.name {",
        }],
        test: "controller::tests::intake::reading::a12_an_object_that_cannot_be_read_delays_no_other_and_counts_as_there",
        script: "",
        oracle: "O6",
        says: "a12_an_object_that_cannot_be_read",
    },
    Guard {
        name: "an older list is not believed",
        why: "what an old list does not know counts as gone, or what it knows as new",
        edits: &[Edit {
            file: "src/controller/intake/list.rs",
            take: "        if listed.is_none_or(|listed| listed >= self.newest) {",
            put: "        if listed.is_none() || listed.is_some() {",
        }],
        test: KEPT,
        script: "pre-allocations",
        oracle: "O7",
        says: "O7 ",
    },
    Guard {
        name: "no write is begun after the lease",
        why: "a leader that is cut off writes beside its successor",
        edits: &[
            Edit {
                file: "src/controller/writer.rs",
                take: "Ok(_) if subject.verb.is_write() && !self.door.tenure.may_start(started) => {",
                put: "Ok(_) if subject.verb.is_write() && !self.door.tenure.may_start(started) && false => {",
            },
            // Who cannot renew ends at the same moment, which alone would do while its clock runs.
            Edit {
                file: "src/controller/settings.rs",
                take: "renew_deadline: Duration::from_secs(10),",
                put: "renew_deadline: Duration::from_secs(40),",
            },
        ],
        test: LEASES,
        script: "",
        oracle: "O8",
        says: "O8 ",
    },
    Guard {
        name: "what the rules refuse is not allowed",
        why: "the webhook lets every bad object be stored",
        edits: &[Edit {
            file: "src/webhook/review.rs",
            take: "    response.allowed = false;\n",
            put: "    response.allowed = true;\n",
        }],
        test: "webhook::tests::verdicts::a_bad_pool_is_refused_with_each_field_and_a_good_one_passes",
        script: "",
        oracle: "webhook",
        says: "assertion `left == right` failed",
    },
    Guard {
        name: "a review waits for the lists",
        why: "a manager that has just started lets a pool lose addresses in use",
        edits: &[Edit {
            file: "src/webhook/review.rs",
            take: "Judged::Later(why) => later(hook, response, &write, &why),",
            put: "Judged::Later(why) => {\n                        let _ = later(hook, response.clone(), &write, &why);\n                        response\n                    }",
        }],
        test: "webhook::tests::verdicts::a_shrink_waits_for_the_lists_and_nothing_else_does",
        script: "",
        oracle: "webhook",
        says: "assertion `left == right` failed",
    },
    Guard {
        name: "the certificate is read for each connection",
        why: "a renewed certificate is not served, and the API server trusts the webhook no more when the old one ends",
        edits: &[Edit {
            file: "src/webhook/certificates.rs",
            take: "        let found = self.find();\n",
            put: "        if let Some((_, config)) = &self.state().good {\n            return Ok(Arc::clone(config));\n        }\n        let found = self.find();\n",
        }],
        test: "webhook::tests::certificates::a_hundred_rotations_under_200_reviews_a_second_and_none_fails",
        script: "",
        oracle: "webhook",
        says: "no review meets certificate 1",
    },
    Guard {
        name: "a caBundle that differs is written",
        why: "after an exchange of the authority the API server trusts no replica",
        edits: &[Edit {
            file: "src/webhook/own/bundle.rs",
            take: "&& stands != Some(&bundle) {",
            put: "&& stands.is_none() {",
        }],
        test: "webhook::own::tests::the_ca_bundle_of_our_webhooks_alone_is_patched_and_only_where_it_differs",
        script: "",
        oracle: "webhook",
        says: "assertion `left == right` failed",
    },
    Guard {
        name: "a foreign certificate is put right",
        why: "whoever writes the Secret chooses which authority the API server trusts",
        edits: &[Edit {
            file: "src/webhook/own/origin.rs",
            take: "        } else if self.is_sure {\n            Origin::Foreign\n",
            put: "        } else if self.is_sure {\n            Origin::Ours\n",
        }],
        test: "webhook::own::tests::what_no_known_authority_has_signed_is_foreign_to_who_is_sure_and_taken_at_the_first_look",
        script: "",
        oracle: "webhook",
        says: "right: Foreign",
    },
    Guard {
        name: "a late event of the object before is dropped",
        why: "it ends the object that our create has made under its name, and the address counts as free",
        edits: &[Edit {
            file: "src/pool/known.rs",
            take: "            Some(known) => seen.is_older_than(known),\n",
            put: "            Some(_) => false,\n",
        }],
        test: "controller::tests::router::a1_a_late_event_of_the_object_before_does_not_end_the_one_that_our_create_made",
        script: "",
        oracle: "router",
        says: "assertion failed: world.told",
    },
    Guard {
        name: "a create is decided on what the kinds are like now",
        why: "a kind comes and is listed between decision and create, and an object of it has the address",
        edits: &[Edit {
            file: "src/controller/kinds.rs",
            take: "if kinds.changes() != decided_on {",
            put: "if false && kinds.changes() != decided_on {",
        }],
        test: "controller::tests::intake::discovery::a3_a_create_that_was_decided_on_before_a_kind_came_is_not_sent_after_its_list",
        script: "",
        oracle: "router",
        says: "it waited for discovery",
    },
    Guard {
        name: "an answer takes the place of older facts in the mailbox",
        why: "the pool takes an older version of an object after a newer one",
        edits: &[Edit {
            file: "src/controller/mailbox.rs",
            take: "                inner.supersede(object);\n",
            put: "                let _ = object;\n",
        }],
        test: "controller::tests::mailbox::an_answer_takes_the_place_of_older_facts_of_its_object",
        script: "",
        oracle: "mailbox",
        says: "assertion `left == right` failed",
    },
];
