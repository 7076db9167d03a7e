//! One container at a time.

use crate::{lines, live, load, output_to, runtime};
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
        from_a_spec_in_memory,
        exec_beside_the_first_process,
        exec_of_what_is_not_there,
        kept_console,
        loaded_by_another,
        created_container_dies_with_nobody,
        program_that_is_not_there,
        poststop_warnings,
        wait_tells_the_signal,
        processors,
        nobody_reaps_an_execed_process,
    ]
}

/// Whether a descriptor is readable (a pidfd: the process has ended) within so many milliseconds.
fn readable(fd: impl AsFd, within: u16) -> bool {
    let mut set = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut set, within).unwrap() == 1
}

fn from_a_spec_in_memory(t: &Test) {
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
    assert_eq!(live(&container), Exit::Code(0));
    assert_eq!(lines(&out), [json!(["hello"])]);
    assert_eq!(container.state().unwrap_err().kind(), ErrorKind::NotFound);
}

fn exec_beside_the_first_process(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &nothing()).unwrap();
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
    // The pid namespace takes everybody with it.
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
    let e = container.exec(&process, &options).unwrap_err();
    assert_eq!(e.to_string(), "cannot exec in a stopped container");
    container.delete(false).unwrap();
}

fn exec_of_what_is_not_there(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &nothing()).unwrap();
    container.start().unwrap();
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = vec!["/none".into()];
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    let e = container.exec(&process, &options).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Exec);
    assert!(e.to_string().contains("no such file or directory"), "{e}");
    process.args.clear();
    assert_eq!(container.exec(&process, &options).unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(container.processes().unwrap().len(), 1, "nothing of a failed exec stays");
    container.delete(true).unwrap();
}

fn kept_console(t: &Test) {
    let bundle = load(&t.bundle().set("/process/terminal", true).probe("terminal"));
    let options = CreateOptions { console: Console::Keep, ..CreateOptions::default() };
    let container = runtime(t).create(&t.id(), &bundle, &options).unwrap();
    let master = container.take_console().expect("a terminal's master");
    assert!(container.take_console().is_none(), "there is one");
    container.start().unwrap();
    assert!(readable(&master, 10_000));
    assert_eq!(container.wait().unwrap(), Exit::Code(0));
    container.delete(false).unwrap();
    // Without anybody to take it, it is refused.
    let e = runtime(t).create(&t.id(), &bundle, &CreateOptions::default()).unwrap_err();
    assert_eq!(e.pointer(), Some("/process/terminal"), "{e}");
}

fn loaded_by_another(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 3"));
    let id = t.id();
    runtime(t).create(&id, &bundle, &nothing()).unwrap();
    let container = runtime(t).load(&id).unwrap();
    container.start().unwrap();
    let e = runtime(t).load(&id).unwrap().start().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongState);
    assert_eq!(container.wait().unwrap(), Exit::Code(3));
    container.delete(false).unwrap();
}

fn created_container_dies_with_nobody(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 0"));
    let id = t.id();
    drop(runtime(t).create(&id, &bundle, &nothing()).unwrap());
    let container = runtime(t).load(&id).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.delete(false).unwrap();
}

fn program_that_is_not_there(t: &Test) {
    let bundle = load(&t.bundle().set("/process/args", json!(["/none"])));
    let e = runtime(t).create(&t.id(), &bundle, &nothing()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Exec);
    assert!(e.to_string().contains("/none: no such file or directory"), "{e}");
}

fn poststop_warnings(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 0").host_hook("poststop", "exit 4"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let runtime = runtime(t).with_warnings(move |e| sink.lock().unwrap().push(e.to_string()));
    live(&runtime.create(&t.id(), &bundle, &nothing()).unwrap());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("error running poststop hook #0: exit status 4"), "{seen:?}");
}

fn wait_tells_the_signal(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &nothing()).unwrap();
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

/// A caller that is confined to one processor does not confine a container; `execCPUAffinity` does.
fn processors(t: &Test) {
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

/// The init of a pid namespace does not finish ending while somebody in it is not reaped. It is deleted
/// nevertheless: it runs nothing any more.
fn nobody_reaps_an_execed_process(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).create(&t.id(), &bundle, &nothing()).unwrap();
    container.start().unwrap();
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = ["/probe", "sleep"].map(String::from).to_vec();
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    let child = container.exec(&process, &options).unwrap();
    container.kill(Signal::KILL, false).unwrap();
    t.wait_for("the end", || container.state().unwrap().status == Status::Stopped);
    container.delete(false).unwrap();
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
}

pub(crate) fn nothing() -> CreateOptions {
    CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() }
}
