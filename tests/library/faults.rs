//! Every step of the init stub is made to fail in turn: a clean error, and nothing left.

use crate::lifecycle::without_stdio;
use crate::{load, run_to_exit, runtime};
use kit::{Case, Test};
use orlop::container::{CreateOptions, Exit};
use orlop::plan::{Host, Options, StepSide, compile};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        every_failing_step_of_the_template_is_undone,
        every_failing_step_with_a_user_namespace_is_undone,
        failures_after_the_last_step_are_undone
    ]
}

fn every_failing_step_of_the_template_is_undone(t: &Test) {
    let bundle = t
        .bundle()
        .probe("exit 0")
        .namespace("cgroup")
        .host_hook("createRuntime", "exit 0")
        .host_hook("createContainer", "exit 0")
        .host_hook("poststop", "exit 0");
    fail_each(t, &load(&bundle));
}

fn every_failing_step_with_a_user_namespace_is_undone(t: &Test) {
    fail_each(t, &load(&t.bundle().probe("exit 0").user_namespace(100_000)));
}

fn fail_each(t: &Test, bundle: &orlop::bundle::Bundle) {
    let id = t.id();
    let options = Options { id: id.clone(), wait_for_start: true, ..Options::default() };
    let plan = compile(bundle, &Host::detect().unwrap(), &options).unwrap();
    let mut failed_at_start = 0;
    for (number, line) in
        plan.lines().iter().enumerate().filter(|(_, line)| line.step.side() == StepSide::Stub)
    {
        let faulty = runtime(t).with_fault(number as u16);
        let error = match faulty.create(&id, bundle, &without_stdio()) {
            Err(e) => e,
            // A step of `start`, or one with nothing to do here.
            Ok(container) => {
                let started = container.start();
                let error = started.as_ref().err().map(ToString::to_string);
                container.delete(true).unwrap();
                failed_at_start += usize::from(error.is_some());
                assert!(error.is_some(), "step {number} ({}) cannot fail", line.step);
                continue;
            }
        };
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        let left = t.leaks();
        assert!(left.is_empty(), "step {number} ({}) left {left:#?}", line.step);
    }
    assert!(failed_at_start > 0, "no step of start has failed");
    assert_eq!(run_to_exit(&runtime(t).create(&id, bundle, &without_stdio()).unwrap()), Exit::Code(0));
}

/// What happens after the last step of the stub is undone as well.
fn failures_after_the_last_step_are_undone(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 0"));
    let missing = t.dir().join("none/there");
    for options in [
        CreateOptions { pid_file: Some(missing.clone()), ..without_stdio() },
        CreateOptions { pidfd_socket: Some(missing.clone()), ..without_stdio() },
        CreateOptions { console: orlop::container::Console::Socket(missing.clone()), ..without_stdio() },
    ] {
        let id = t.id();
        let e = runtime(t).create(&id, &bundle, &options).unwrap_err();
        assert!(!e.to_string().is_empty());
        let left = t.leaks();
        assert!(left.is_empty(), "{e} left {left:#?}");
    }
}
