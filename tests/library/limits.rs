//! Limits are changed, usage is measured, and events are polled by a program that has other work.

use crate::lifecycle::without_stdio;
use crate::{load, runtime};
use kit::{Case, Test, json};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::ErrorKind;
use orlop::bundle::spec::Resources;
use orlop::container::{Container, Event, Events, ExecOptions, Exit, Signal, Status, Stdio};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        updates_are_remembered,
        a_refused_update_is_not_remembered,
        stopped_containers_are_refused,
        statistics_are_read,
        events_of_several_containers_can_be_polled_together,
        an_oom_kill_is_reported,
        concurrent_updates_are_serialised,
    ]
}

fn resources(json: &kit::Value) -> Resources {
    Resources::from_json(json.to_string().as_bytes()).unwrap()
}

/// A running container with a cgroup that limits tasks.
fn sleeper(t: &Test, limits: kit::Value) -> Container {
    t.needs_limits("pids");
    t.needs_limits("memory");
    let bundle = load(&t.bundle().probe("sleep").set("/linux/resources", limits));
    runtime(t).run(&t.id(), &bundle, &without_stdio()).unwrap()
}

fn end(container: &Container) {
    container.kill(Signal::KILL, false).unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
    container.delete(false).unwrap();
}

fn updates_are_remembered(t: &Test) {
    let devices = json!([{"allow": false, "access": "rwm"}]);
    let container =
        sleeper(t, json!({"devices": devices, "pids": {"limit": 30}, "memory": {"limit": 67_108_864}}));
    let kept = |container: &Container| container.spec().unwrap().linux.unwrap().resources.unwrap();
    let first = kept(&container);
    container.update(&resources(&json!({"pids": {"limit": 31}, "devices": []}))).unwrap();
    container.update(&resources(&json!({"memory": {"limit": 0, "reservation": 33_554_432}}))).unwrap();
    // Another process would see the same.
    let again = runtime(t).load(container.id()).unwrap();
    let expected = json!({
        "devices": devices, "pids": {"limit": 31},
        "memory": {"limit": 67_108_864, "reservation": 33_554_432}
    });
    assert_eq!(kept(&again), resources(&expected));
    assert_ne!(kept(&again), first);
    assert_eq!(again.state().unwrap().status, Status::Running, "the rest of the state has changed");
    assert_eq!(again.stats().unwrap().pids.unwrap().limit, Some(31));
    end(&container);
}

fn a_refused_update_is_not_remembered(t: &Test) {
    let container = sleeper(t, json!({"pids": {"limit": 30}}));
    let before = container.spec().unwrap();
    for (update, kind) in [
        (json!({"pids": {"limit": 5}, "cpu": {"cpus": "9999999"}}), ErrorKind::InvalidConfig),
        (json!({"pids": {"limit": 5}, "cpu": {"cpus": "4000"}}), ErrorKind::System),
        (
            json!({"pids": {"limit": 5}, "hugepageLimits": [{"pageSize": "3KB", "limit": 1}]}),
            ErrorKind::System,
        ),
    ] {
        let error = container.update(&resources(&update)).unwrap_err();
        assert!(error.kind() == kind || error.kind() == ErrorKind::Unsupported, "{error:?}");
        assert!(!error.to_string().contains("config.json"), "{error}");
        assert_eq!(container.spec().unwrap(), before);
        assert_eq!(container.stats().unwrap().pids.unwrap().limit, Some(30));
    }
    end(&container);
}

fn stopped_containers_are_refused(t: &Test) {
    let bundle = load(&t.bundle().probe("exit 0"));
    let container = runtime(t).run(&t.id(), &bundle, &without_stdio()).unwrap();
    container.wait().unwrap();
    let kinds = [
        container.update(&Resources::default()).unwrap_err().kind(),
        container.stats().unwrap_err().kind(),
        container.events().unwrap_err().kind(),
        container.pause().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotRunning; 4]);
    assert_eq!(container.resume().unwrap_err().kind(), ErrorKind::WrongState);
    container.delete(false).unwrap();
}

fn statistics_are_read(t: &Test) {
    let container = sleeper(t, json!({"pids": {"limit": 30}, "memory": {"limit": 67_108_864}}));
    let stats = container.stats().unwrap();
    let (pids, memory) = (stats.pids.unwrap(), stats.memory.unwrap());
    assert_eq!((pids.current, pids.limit), (1, Some(30)));
    assert_eq!(container.processes().unwrap(), [container.pid().unwrap()]);
    assert_eq!(memory.memory.limit, Some(67_108_864));
    assert!(memory.memory.usage > 0 && !memory.stat.is_empty());
    end(&container);
}

/// Whether each has something to read within the time.
fn readable(events: &[Events], timeout: Duration) -> Vec<bool> {
    let mut set: Vec<_> = events.iter().map(|e| PollFd::new(e.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut set, PollTimeout::try_from(timeout).unwrap()).unwrap();
    set.iter().map(|fd| fd.any().unwrap()).collect()
}

fn events_of_several_containers_can_be_polled_together(t: &Test) {
    let containers: Vec<_> = (0..3).map(|_| sleeper(t, json!({}))).collect();
    let mut events: Vec<_> = containers.iter().map(|c| c.events().unwrap()).collect();
    assert_eq!(readable(&events, Duration::ZERO), [false; 3]);
    assert_eq!(events[1].next().unwrap(), None);
    let begun = Instant::now();
    assert_eq!(events[1].wait(Some(Duration::from_millis(20))).unwrap(), None);
    assert!(begun.elapsed() >= Duration::from_millis(20));
    containers[1].kill(Signal::KILL, false).unwrap();
    assert_eq!(readable(&events, Duration::from_secs(10)), [false, true, false]);
    assert_eq!(events[1].wait(None).unwrap(), Some(Event::Ended));
    assert_eq!((events[1].next().unwrap(), events[1].wait(None).unwrap()), (None, None), "nothing follows");
    containers[1].wait().unwrap();
    containers[1].delete(false).unwrap();
    // The removal of a cgroup is not an OOM event.
    std::thread::sleep(Duration::from_millis(50));
    containers[0].delete(true).unwrap();
    assert_eq!(events[0].wait(Some(Duration::from_secs(10))).unwrap(), Some(Event::Ended));
    end(&containers[2]);
}

fn an_oom_kill_is_reported(t: &Test) {
    let container = sleeper(t, json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}}));
    let mut events = container.events().unwrap();
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = ["/probe", "alloc", "200"].map(String::from).to_vec();
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    assert_eq!(container.exec(&process, &options).unwrap().wait().unwrap(), Exit::Signal(9));
    let event = events.wait(Some(Duration::from_secs(10))).unwrap();
    assert!(matches!(event, Some(Event::OutOfMemory(n)) if n > 0), "{event:?}");
    end(&container);
    assert_eq!(events.wait(Some(Duration::from_secs(10))).unwrap(), Some(Event::Ended));
}

fn concurrent_updates_are_serialised(t: &Test) {
    let container = sleeper(t, json!({"pids": {"limit": 30}, "memory": {"limit": 67_108_864}}));
    std::thread::scope(|scope| {
        for limits in [json!({"pids": {"limit": 31}}), json!({"memory": {"limit": 50_331_648}})] {
            let container = &container;
            scope.spawn(move || (0..5).for_each(|_| container.update(&resources(&limits)).unwrap()));
        }
    });
    let kept = container.spec().unwrap().linux.unwrap().resources.unwrap();
    assert_eq!((kept.pids.unwrap().limit, kept.memory.unwrap().limit), (Some(31), Some(50_331_648)));
    end(&container);
}
