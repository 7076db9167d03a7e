//! A container that waits for `start`.

use kit::{Case, Test};
use std::fs;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        created_container_waits,
        created_container_ends_by_a_signal,
        an_init_that_has_waited_forwards_signals_and_ends_with_its_program,
    ]
}

fn created_container_waits(t: &Test) {
    let container = t.bundle().probe("say alive").create();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(container.stdout(), "");
    let exe = fs::read_link(format!("/proc/{}/exe", container.pid()));
    assert!(exe.is_ok_and(|path| !path.ends_with("probe")), "the program must not run yet");
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(container.stdout(), "[\"alive\"]\n");
}

/// Its first process is PID 1, which the kernel ends by no signal but KILL.
fn created_container_ends_by_a_signal(t: &Test) {
    for (signal, number) in [("TERM", 15), ("INT", 2), ("USR1", 10), ("ABRT", 6), ("37", 37), ("64", 64)] {
        for own in [true, false] {
            let bundle = t.bundle().probe("sleep");
            let bundle = if own { bundle } else { bundle.without_namespace("pid") };
            let container = bundle.create();
            for harmless in ["CONT", "CHLD", "WINCH", "URG"] {
                container.kill(harmless);
            }
            assert_eq!(container.status(), "created");
            container.kill(signal);
            assert_eq!(container.wait(), 128 + number, "{signal}, pid namespace of its own: {own}");
            assert_eq!(container.status(), "stopped");
            container.command("start", &[]).output().fails_with(1, &["cannot start"]);
        }
    }
}

/// While it waits, signals are not blocked. After that they must be.
fn an_init_that_has_waited_forwards_signals_and_ends_with_its_program(t: &Test) {
    t.only_orlop("it does not have this option");
    let container = t.bundle().probe("exit 6").start_by("create", &["--init"]);
    assert_eq!(container.wait(), 6);
    let container = t.bundle().probe("signals").start_by("create", &["--init"]);
    t.wait_for("the program", || container.stdout().contains("ready"));
    container.kill("HUP");
    t.wait_for("the signal", || container.stdout().contains("{\"signal\":1}"));
    container.kill("USR2");
    assert_eq!(container.wait(), 0);
}
