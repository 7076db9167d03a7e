//! The sweep over a command's calls.

use crate::judge::{self, Right};
use crate::named;
use crate::scene::Scene;
use crate::subjects::{After, Before, Subject};
use kit::counted::{Call, Deed};
use kit::{Test, Value, calls};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// One of this many cases is tried, unless `ORLOP_SWEEP` is `all` or another number.
const STRIDE: usize = 97;

/// The cases that are tried.
pub(crate) fn sampled<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let stride = match std::env::var("ORLOP_SWEEP").ok().as_deref() {
        _ if is_full() => 1,
        Some(text) => text.parse().unwrap_or(STRIDE),
        None => STRIDE,
    };
    // Not always the first one, which is every program's poll(2).
    all.iter().skip(stride / 3).step_by(stride)
}

/// Whether every case is tried.
pub(crate) fn is_full() -> bool {
    std::env::var("ORLOP_SWEEP").is_ok_and(|text| text == "all")
}

/// A recorded call, and the errno that it returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt<'c> {
    pub(crate) call: &'c Call,
    pub(crate) errno: Errno,
}

impl Attempt<'_> {
    pub(crate) fn name(&self) -> String {
        format!("{} {:?}", name(self.call), self.errno)
    }
}

/// The name of a call in the list of failed cases.
pub(crate) fn name(call: &Call) -> String {
    let path = call.path.as_deref().map(|path| format!("({path})")).unwrap_or_default();
    match calls::name(call.which.number) {
        "" => format!("call {}{path}#{}", call.which.number, call.which.nth),
        name => format!("{name}{path}#{}", call.which.nth),
    }
}

/// Every call with each errno that it may have.
fn all_attempts(calls: &[Call]) -> Vec<Attempt<'_>> {
    let of = |call: &Call| calls::refusals(call.which.number, call.args);
    calls.iter().flat_map(|call| of(call).into_iter().map(move |errno| Attempt { call, errno })).collect()
}

/// The cases of `subject` that are always tried, see [`named`].
fn always<'c>(subject: &str, calls: &'c [Call]) -> Vec<Attempt<'c>> {
    let (mut all, named) = (all_attempts(calls), named::of(subject));
    let missing: Vec<&str> =
        named.iter().filter(|case| !all.iter().any(|a| case.is(a))).map(|case| case.call).collect();
    assert!(missing.is_empty(), "{subject} makes no such call any more: {missing:?}");
    all.retain(|attempt| named.iter().any(|case| case.is(attempt)));
    all
}

/// The cases of `subject` that are tried: the sampled ones, and those that always are.
pub(crate) fn attempts<'c>(subject: &str, calls: &'c [Call]) -> Vec<Attempt<'c>> {
    let mut chosen: Vec<Attempt<'_>> = sampled(&all_attempts(calls)).copied().collect();
    for attempt in always(subject, calls) {
        if !chosen.contains(&attempt) {
            chosen.push(attempt);
        }
    }
    chosen
}

/// The results of the cases of one test.
pub(crate) struct Tally {
    title: String,
    tried: BTreeMap<String, usize>,
    unclean: Vec<String>,
}

impl Tally {
    pub(crate) fn new(subject: &str, how: &str, calls: &[Call]) -> Self {
        let title = format!("{subject} {how}: {} calls", calls.len());
        Self { title, tried: BTreeMap::new(), unclean: Vec::new() }
    }

    /// Counts one case, with what is wrong after it.
    pub(crate) fn count(&mut self, kind: &str, case: &str, wrong: &[String]) {
        *self.tried.entry(kind.to_owned()).or_default() += 1;
        if !wrong.is_empty() {
            let text = format!("{case}: {}", wrong.join("; ").replace('\n', " | "));
            println!("    not clean: {} {text}", self.title);
            self.unclean.push(text);
        }
    }

    /// Fails the test if a case had something wrong.
    pub(crate) fn conclude(self) {
        let counts: Vec<String> = self.tried.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let unclean = self.unclean.len();
        println!("  {}; {}; not clean: {unclean}", self.title, counts.join(", "));
        let all = self.unclean.join("\n");
        assert!(self.unclean.is_empty(), "{} cases failed:\n{all}", self.unclean.len());
    }
}

/// The calls of the command, and its behaviour without a fault.
fn record(t: &Test, subject: &'static Subject) -> (Vec<Call>, Right) {
    t.only_orlop("its calls differ");
    if subject.wrap == "cgroup2" {
        t.v2(""); // Skips if there is none.
    }
    let mut before = Value::Null;
    if subject.before != Before::Nothing {
        let scene = Scene::new(t, subject);
        before = scene.facts(&t.runtime(["list"]).output());
        assert!(scene.clear().is_empty(), "the scene of {} cannot be removed", subject.name);
    }
    let scene = Scene::new(t, subject);
    let (output, trace) = (subject.command)(&scene).traced(Deed::List);
    assert_eq!(output.code(), subject.codes.0, "{output}");
    let printed = judge::printed(&scene, subject, &output);
    if subject.ends {
        scene.wait_for_exit();
    }
    let after = scene.facts(&output);
    let left = scene.clear();
    assert!(left.is_empty(), "{left:?}");
    assert!(trace.calls.len() > 2, "{output}: {:?}", trace.calls);
    RECORDED.lock().unwrap().insert(subject.name, trace.calls.clone());
    (trace.calls, Right { before, after, printed })
}

/// The calls of the commands that were recorded so far.
static RECORDED: Mutex<BTreeMap<&str, Vec<Call>>> = Mutex::new(BTreeMap::new());

/// Each call fails with each errno that it may have.
pub(crate) fn faults(t: &Test, subject: &'static Subject) {
    let (calls, right) = record(t, subject);
    let mut tally = Tally::new(subject.name, "fails", &calls);
    let mut held = None;
    let attempts = if subject.slow { always(subject.name, &calls) } else { attempts(subject.name, &calls) };
    for attempt in attempts {
        let scene = held.take().unwrap_or_else(|| Scene::new(t, subject));
        let done = (subject.command)(&scene).traced(Deed::Fail(attempt.call.which, attempt.errno));
        if subject.ends {
            scene.wait_for_exit();
        }
        let mut wrong = judge::of_fault(&scene, subject, &right, &done, attempt.errno);
        let same = done.0.code() != subject.codes.0 || right.after == right.before;
        if wrong.is_empty() && subject.after == After::Same && same {
            // Nothing has changed: the next case can use the scene.
            held = Some(scene);
        } else {
            wrong.extend(cleared(scene));
        }
        tally.count(&format!("{:?}", attempt.errno), &attempt.name(), &wrong);
    }
    let wrong = held.map(cleared).unwrap_or_default();
    if !wrong.is_empty() {
        tally.count("end", "after the last one", &wrong);
    }
    tally.conclude();
}

/// The command is killed before each of its calls.
pub(crate) fn kills(t: &Test, subject: &'static Subject) {
    let known = RECORDED.lock().unwrap().get(subject.name).cloned();
    let calls = known.unwrap_or_else(|| record(t, subject).0);
    let mut tally = Tally::new(subject.name, "killed", &calls);
    for call in sampled(&calls) {
        let scene = Scene::new(t, subject);
        let (_, trace) = (subject.command)(&scene).traced(Deed::Kill(call.which));
        let mut wrong = cleared(scene);
        wrong.extend(trace.hung.then(|| "it hangs".to_owned()));
        tally.count("SIGKILL", &name(call), &wrong);
    }
    tally.conclude();
}

fn cleared(scene: Scene<'_>) -> Vec<String> {
    scene.clear().into_iter().map(|thing| format!("delete --force leaves {thing}")).collect()
}
