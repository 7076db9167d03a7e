//! Commands whose caller may open few files only: each limit, from zero on.

use crate::scene::Scene;
use crate::subjects::{self, After, Subject};
use crate::sweep;
use kit::{Case, Test};

pub(crate) fn cases() -> Vec<Case> {
    let tried = [
        "create",
        "create_with_a_user_namespace",
        "run",
        "run_with_hooks",
        "start",
        "exec",
        "state",
        "list",
        "events",
        "update",
        "mounts_add",
        "kill_all",
        "delete",
        "delete_force",
    ];
    let chosen = subjects::ALL.iter().filter(move |subject| tried.contains(&subject.name));
    chosen
        .map(|subject| Case::new(format!("sweep::descriptors::{}", subject.name), |t| few(t, subject)))
        .collect()
}

/// The error of a command that gets no descriptor.
const REASON: &str = "too many open files";

fn few(t: &Test, subject: &'static Subject) {
    t.only_orlop("others need more descriptors");
    let (mut failed, mut done) = (0, 0);
    // The short form tries a part of the limits, other ones for each command; zero is always among them.
    let chosen = |n: &usize| sweep::is_full() || *n == 3 || (n + subject.name.len()).is_multiple_of(7);
    for number in (3..=40).filter(chosen) {
        let scene = Scene::new(t, subject);
        let output = (subject.command)(&scene).wrap(&format!("softfiles={number}")).output();
        if output.code() == subject.codes.0 {
            done += 1;
        } else {
            failed += 1;
            assert_eq!(output.code(), subject.codes.1, "{number}: {output}");
            let errors = output.stderr.lines().filter(|line| line.contains("level=error")).count();
            assert_eq!(errors, 1, "{number}: {output}");
            assert!(output.stderr.to_lowercase().contains(REASON), "{number}: {output}");
            if subject.after == After::Nothing {
                let left = t.leaks_of(scene.id());
                assert!(left.is_empty(), "{number}: {output}: {left:#?}");
            }
        }
        let left = scene.clear();
        assert!(left.is_empty(), "{number}: {left:#?}");
    }
    println!("  {}, few descriptors: {failed} fail, {done} succeed", subject.name);
    assert!(failed > 0 && done > 0, "{failed} failed, {done} succeeded");
}
