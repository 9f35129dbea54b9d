//! The end of a run: how long it takes and what it returns, whatever becomes of the lease at that moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::fixture::{Say, server, until};
use super::lease::Keeper;
use crate::controller::clock::Clock;
use crate::controller::{Controller, ControllerError, LeaseError, LeaseSettings, Settings};

/// The kubelet kills a pod of deploy/manager so long after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// What the server does with requests for the lease.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lease {
    Answered,
    /// As long after they were carried out.
    Late(Duration),
    Unanswered,
    Refused(u16, &'static str),
    /// Somebody else has taken it.
    Stolen,
}

/// A controller that leads, on a server that is about to change.
struct Led {
    keeper: Keeper,
    lease: Arc<Mutex<Lease>>,
    stop: CancellationToken,
    run: JoinHandle<Result<(), ControllerError>>,
}

impl Led {
    async fn start() -> Self {
        let (keeper, lease) = (Keeper::default(), Arc::new(Mutex::new(Lease::Answered)));
        let (answers, now) = (keeper.client(), Arc::clone(&lease));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (answers, now) = (answers.clone(), *now.lock().unwrap());
            async move {
                if now == Lease::Unanswered {
                    std::future::pending::<()>().await;
                }
                let answer = answers.send(request).await;
                if let Lease::Late(after) = now {
                    sleep(after).await;
                }
                answer
            }
        });
        let (silent, _) = server(|_, _| Say::Nothing);
        let settings = Settings {
            lease: Some(LeaseSettings {
                identity: "this one".into(),
                ..LeaseSettings::new("n")
            }),
            clock: Some(Clock::start()),
            ..Settings::default()
        };
        let controller = Controller::new(silent, Client::new(service, "default"), settings);
        let (view, stop) = (controller.view(), CancellationToken::new());
        let run = tokio::spawn(controller.run(stop.clone()));
        until("it leads", || view.is_leading()).await;
        Self {
            keeper,
            lease,
            stop,
            run,
        }
    }

    fn becomes(&self, lease: Lease) {
        *self.lease.lock().unwrap() = lease;
        match lease {
            Lease::Refused(code, reason) => {
                *self.keeper.instead.lock().unwrap() = Some((code, reason));
            }
            Lease::Stolen => {
                let mut stored = self.keeper.lease.lock().unwrap();
                let stored = stored.as_mut().unwrap();
                stored["spec"]["holderIdentity"] = json!("thief");
                stored["metadata"]["resourceVersion"] = json!("999999");
            }
            Lease::Answered | Lease::Late(_) | Lease::Unanswered => {}
        }
    }

    /// SIGTERM; how long the end took, and what the run returned.
    async fn stop(self) -> (Duration, Result<(), ControllerError>) {
        let begun = Instant::now();
        self.stop.cancel();
        let ended = self.run.await.unwrap();
        (begun.elapsed(), ended)
    }
}

#[tokio::test(start_paused = true)]
async fn p5_an_end_that_is_asked_for_is_a_good_one_within_the_grace_period_whatever_becomes_of_the_lease()
 {
    let all = [
        Lease::Answered,
        Lease::Late(Duration::from_millis(4900)),
        Lease::Unanswered,
        Lease::Refused(409, "Conflict"),
        Lease::Refused(500, "InternalError"),
        Lease::Refused(403, "Forbidden"),
        Lease::Stolen,
    ];
    for lease in all {
        // Every phase of a renewal, until the first one that cannot succeed any more would be noticed.
        for phase in 0..38 {
            let phase = Duration::from_millis(50 * phase);
            let led = Led::start().await;
            sleep(Duration::from_secs(4)).await;
            led.becomes(lease);
            sleep(phase).await;
            let keeper = led.keeper.clone();
            let (took, ended) = led.stop().await;
            assert!(
                ended.is_ok(),
                "{lease:?}, {phase:?} before SIGTERM: {ended:?}"
            );
            assert!(
                took + Duration::from_secs(1) < GRACE,
                "{lease:?}, {phase:?} before SIGTERM: the end took {took:?}"
            );
            let stored = keeper.lease.lock().unwrap().clone().unwrap();
            let holder = stored["spec"]["holderIdentity"].as_str().unwrap();
            match lease {
                Lease::Answered => assert_eq!(holder, "", "{phase:?}: given up"),
                Lease::Stolen => assert_eq!(holder, "thief", "{phase:?}: left alone"),
                Lease::Late(_) | Lease::Unanswered | Lease::Refused(..) => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p5_a_lease_that_is_lost_before_the_end_is_asked_for_is_what_the_run_returns() {
    // It was renewed at once, and counts as lost 10 s later.
    for (seconds, lost) in [(1, false), (9, false), (11, true), (20, true)] {
        let led = Led::start().await;
        led.becomes(Lease::Unanswered);
        sleep(Duration::from_secs(seconds)).await;
        let (_, ended) = led.stop().await;
        let says = matches!(ended, Err(ControllerError::Lease(LeaseError::Lost { .. })));
        assert_eq!(says, lost, "SIGTERM after {seconds} s: {ended:?}");
    }
}
