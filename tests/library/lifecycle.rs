//! One container at a time.

use crate::{lines, load, output_to, run_to_exit, runtime};
use kit::{Case, Test, json};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use orlop::ErrorKind;
use orlop::bundle::Spec;
use orlop::container::{Console, CreateOptions, ExecOptions, Exit, Signal, Status, Stdio};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_container_from_a_spec_in_memory_runs,
        exec_runs_beside_the_first_process,
        exec_of_a_missing_program_fails,
        the_console_can_be_kept,
        a_container_can_be_loaded_and_started,
        a_created_container_outlives_its_handle,
        a_missing_program_fails_creation,
        a_failing_poststop_hook_is_a_warning,
        wait_returns_the_signal,
        the_callers_affinity_is_not_inherited,
        a_container_with_an_unreaped_exec_is_deleted,
    ]
}

/// Whether a descriptor is readable (a pidfd: the process has exited) within that many milliseconds.
fn readable(fd: impl AsFd, within: u16) -> bool {
    let mut set = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut set, within).unwrap() == 1
}

fn a_container_from_a_spec_in_memory_runs(t: &Test) {
    let bundle = t.bundle().probe("say hello");
    let mut spec = Spec::from_json(bundle.spec().to_string().as_bytes()).unwrap();
    spec.root.as_mut().unwrap().path = bundle.path("/").display().to_string();
    let bundle = orlop::bundle::Bundle::from_spec(None, spec).unwrap();
    let (id, out) = (t.id(), t.dir().join("out"));
    let container = runtime(t).create(&id, &bundle, &output_to(&out)).unwrap();
    let state = container.state().unwrap();
    assert_eq!((state.id.as_str(), state.status), (id.as_str(), Status::Created));
    assert_eq!(state.bundle, bundle.path);
    assert_eq!(container.processes().unwrap(), [state.pid]);
    assert_eq!(run_to_exit(&container), Exit::Code(0));
    assert_eq!(lines(&out), [json!(["hello"])]);
    assert_eq!(container.state().unwrap_err().kind(), ErrorKind::NotFound);
}

fn exec_runs_beside_the_first_process(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &without_stdio()).unwrap();
    container.start().unwrap();
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = ["/probe", "exit", "9"].map(String::from).to_vec();
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    for _ in 0..3 {
        let child = container.exec(&process, &options).unwrap();
        assert!(child.pid() > 0);
        assert_eq!(child.wait().unwrap(), Exit::Code(9));
    }
    process.args = ["/probe", "sleep"].map(String::from).to_vec();
    let child = container.exec(&process, &options).unwrap();
    assert_eq!((child.try_wait().unwrap(), container.try_wait().unwrap()), (None, None));
    assert_eq!(container.processes().unwrap().len(), 2);
    container.pause().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Paused);
    let e = container.exec(&process, &options).unwrap_err();
    assert_eq!(e.to_string(), "cannot exec in a paused container");
    container.resume().unwrap();
    container.kill(Signal::KILL, false).unwrap();
    // The pid namespace kills all its processes.
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
    let e = container.exec(&process, &options).unwrap_err();
    assert_eq!(e.to_string(), "cannot exec in a stopped container");
    container.delete(false).unwrap();
}

fn exec_of_a_missing_program_fails(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &without_stdio()).unwrap();
    container.start().unwrap();
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = vec!["/none".into()];
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    let e = container.exec(&process, &options).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Exec);
    assert!(e.to_string().contains("no such file or directory"), "{e}");
    process.args.clear();
    assert_eq!(container.exec(&process, &options).unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(container.processes().unwrap().len(), 1, "a failed exec leaves no process");
    container.delete(true).unwrap();
}

fn the_console_can_be_kept(t: &Test) {
    let bundle = load(&t.bundle().set("/process/terminal", true).probe("terminal"));
    let options = CreateOptions { console: Console::Keep, ..CreateOptions::default() };
    let container = runtime(t).create(&t.id(), &bundle, &options).unwrap();
    let master = container.take_console().expect("a terminal's master");
    assert!(container.take_console().is_none(), "there is only one");
    container.start().unwrap();
    assert!(readable(&master, 10_000));
    assert_eq!(container.wait().unwrap(), Exit::Code(0));
    container.delete(false).unwrap();
    // Without a receiver for the console the configuration is refused.
    let e = runtime(t).create(&t.id(), &bundle, &CreateOptions::default()).unwrap_err();
    assert_eq!(e.pointer(), Some("/process/terminal"), "{e}");
}

fn a_container_can_be_loaded_and_started(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 3"));
    let id = t.id();
    runtime(t).create(&id, &bundle, &without_stdio()).unwrap();
    let container = runtime(t).load(&id).unwrap();
    container.start().unwrap();
    let e = runtime(t).load(&id).unwrap().start().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongState);
    assert_eq!(container.wait().unwrap(), Exit::Code(3));
    container.delete(false).unwrap();
}

fn a_created_container_outlives_its_handle(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 0"));
    let id = t.id();
    drop(runtime(t).create(&id, &bundle, &without_stdio()).unwrap());
    let container = runtime(t).load(&id).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.delete(false).unwrap();
}

fn a_missing_program_fails_creation(t: &Test) {
    let bundle = load(&t.bundle().set("/process/args", json!(["/none"])));
    let e = runtime(t).create(&t.id(), &bundle, &without_stdio()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Exec);
    assert!(e.to_string().contains("/none: no such file or directory"), "{e}");
}

fn a_failing_poststop_hook_is_a_warning(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 0").host_hook("poststop", "exit 4"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let runtime = runtime(t).with_warnings(move |e| sink.lock().unwrap().push(e.to_string()));
    run_to_exit(&runtime.create(&t.id(), &bundle, &without_stdio()).unwrap());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("error running poststop hook #0: exit status 4"), "{seen:?}");
}

fn wait_returns_the_signal(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &without_stdio()).unwrap();
    container.start().unwrap();
    let pidfd = container.pidfd().unwrap();
    assert!(!readable(&pidfd, 0));
    container.kill(Signal::KILL, true).unwrap();
    assert!(readable(&pidfd, 10_000));
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    assert_eq!(container.try_wait().unwrap(), Some(Exit::Signal(libc::SIGKILL)));
    assert_eq!(container.try_wait().unwrap_err().errno(), Some(Errno::ECHILD), "it has been reaped");
    container.delete(false).unwrap();
}

/// The affinity of the caller is not that of a container; `execCPUAffinity` is.
fn the_callers_affinity_is_not_inherited(t: &Test) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let numbers: Vec<usize> = (0..CpuSet::count()).filter(|n| all.is_set(*n).unwrap()).collect();
    let [first, .., last] = numbers[..] else { kit::skip("needs two processors") };
    let mut one = CpuSet::new();
    one.set(first).unwrap();
    let bundle = load(&t.bundle().probe("report , sleep"));
    let (out, list) =
        (t.dir().join("out"), |line: &kit::Value| line["affinity"].as_str().unwrap().to_owned());
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let container = runtime(t).create(&t.id(), &bundle, &output_to(&out)).unwrap();
    container.start().unwrap();
    t.wait_for("the report", || !lines(&out).is_empty());
    assert_ne!(list(&lines(&out)[0]), first.to_string());
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = ["/probe", "report"].map(String::from).to_vec();
    for (asked, expected) in [(None, list(&lines(&out)[0])), (Some(last), last.to_string())] {
        process.exec_cpu_affinity = asked.map(|n| orlop::bundle::spec::ExecCpuAffinity {
            initial: Some(first.to_string()),
            r#final: Some(n.to_string()),
        });
        let file = t.dir().join(format!("exec-{expected}"));
        let options = ExecOptions { stdio: output_to(&file).stdio, ..ExecOptions::default() };
        assert_eq!(container.exec(&process, &options).unwrap().wait().unwrap(), Exit::Code(0));
        assert_eq!(list(&lines(&file)[0]), expected);
    }
    sched_setaffinity(Pid::from_raw(0), &all).unwrap();
    container.delete(true).unwrap();
}

/// The init of a pid namespace does not finish exiting while a process in it is not reaped. The container is
/// deleted nevertheless: it runs nothing any more.
fn a_container_with_an_unreaped_exec_is_deleted(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &without_stdio()).unwrap();
    container.start().unwrap();
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = ["/probe", "sleep"].map(String::from).to_vec();
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    let child = container.exec(&process, &options).unwrap();
    container.kill(Signal::KILL, false).unwrap();
    t.wait_for("the exit", || container.state().unwrap().status == Status::Stopped);
    container.delete(false).unwrap();
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
}

pub(crate) fn without_stdio() -> CreateOptions {
    CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() }
}
