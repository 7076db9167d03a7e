//! `NOTIFY_SOCKET`: the messages from a container to the service manager (sd_notify(3)).

use kit::{Bundle, Case, Test};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        run_forwards_valid_messages,
        start_waits_until_the_program_is_ready,
        a_detached_run_waits_until_the_program_is_ready,
        start_does_not_wait_for_a_program_that_exits,
        messages_from_a_user_namespace_are_forwarded,
        a_socket_in_the_configuration_is_not_replaced,
        no_socket_is_created_without_a_manager,
        an_abstract_socket_is_supported,
        a_missing_manager_is_a_warning,
    ]
}

/// A socket that receives messages in place of the service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(t: &Test) -> Self {
        t.only_orlop("others forward READY=1 alone, or nothing");
        let path = t.dir().join("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, path }
    }

    fn address(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("no message: {e}"));
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

fn create(bundle: &Bundle<'_>, t: &Test, manager: &str) -> i32 {
    let pid_file = t.dir().join("pid");
    let flags = ["--pid-file", pid_file.to_str().unwrap()];
    bundle.command("create", &flags).env("NOTIFY_SOCKET", manager).output().success();
    std::fs::read_to_string(pid_file).unwrap().parse().unwrap()
}

fn end(t: &Test, bundle: &Bundle<'_>, pid: i32) {
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, Duration::from_secs(5));
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
}

fn run_forwards_valid_messages(t: &Test) {
    let manager = Manager::new(t);
    let words =
        "notify STATUS=begins , notify READY=1 MAINPID=1 FDSTORE=1 , notify MAINPID=1 , notify STOPPING=1";
    let running = t.bundle().probe(words).command("run", &[]).env("NOTIFY_SOCKET", manager.address()).spawn();
    let main = running.pid();
    let output = running.wait().success();
    assert!(output.lines().iter().all(|said| said["errno"] == ""), "{output}");
    let heard = [manager.hears(), manager.hears(), manager.hears()];
    assert_eq!(
        heard,
        ["STATUS=begins".to_owned(), format!("READY=1\nMAINPID={main}"), "STOPPING=1".to_owned()]
    );
}

fn start_waits_until_the_program_is_ready(t: &Test) {
    let manager = Manager::new(t);
    let bundle = t.bundle().file("/go", "").probe("await /tmp/go , notify READY=1 , sleep");
    let bundle = bundle.directory("/tmp").mount("bind", t.dir().join("tmp"), "/tmp", &["bind"]);
    let pid = create(&bundle, t, manager.address());
    let mut start = t.runtime(["start", bundle.id()]).env("NOTIFY_SOCKET", manager.address()).spawn();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!start.has_ended(), "the program is not ready yet");
    std::fs::write(t.dir().join("tmp/go"), "").unwrap();
    assert_eq!(manager.hears(), format!("READY=1\nMAINPID={pid}"));
    // The manager closes the descriptor of the barrier after it has read the message.
    assert_eq!(manager.hears(), "BARRIER=1");
    start.wait().success();
    std::fs::remove_file(t.dir().join("tmp/go")).unwrap();
    end(t, &bundle, pid);
}

fn a_detached_run_waits_until_the_program_is_ready(t: &Test) {
    let manager = Manager::new(t);
    let bundle = t.bundle().probe("notify READY=1 , sleep");
    let pid_file = t.dir().join("pid");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    let run = bundle.command("run", &flags).env("NOTIFY_SOCKET", manager.address()).spawn();
    let ready = manager.hears();
    assert_eq!(manager.hears(), "BARRIER=1");
    run.wait().success();
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(ready, format!("READY=1\nMAINPID={pid}"));
    end(t, &bundle, pid);
}

fn start_does_not_wait_for_a_program_that_exits(t: &Test) {
    let manager = Manager::new(t);
    let bundle = t.bundle().probe("notify STATUS=bye , exit 0");
    let pid = create(&bundle, t, manager.address());
    t.runtime(["start", bundle.id()]).env("NOTIFY_SOCKET", manager.address()).output().success();
    assert_eq!(manager.hears(), "STATUS=bye");
    end(t, &bundle, pid);
}

fn messages_from_a_user_namespace_are_forwarded(t: &Test) {
    let manager = Manager::new(t);
    let bundle = t.bundle().user_namespace(100_000).probe("notify READY=1");
    bundle.command("run", &[]).env("NOTIFY_SOCKET", manager.address()).output().success();
    assert!(manager.hears().starts_with("READY=1\n"));
}

fn a_socket_in_the_configuration_is_not_replaced(t: &Test) {
    let manager = Manager::new(t);
    let bundle = t.bundle().push("/process/env", "NOTIFY_SOCKET=/mine");
    let output = bundle.command("run", &[]).env("NOTIFY_SOCKET", manager.address()).output().success();
    assert!(output.json()["env"].as_array().unwrap().iter().any(|one| one == "NOTIFY_SOCKET=/mine"));
    assert!(!bundle.path("/run/notify").exists());
}

fn no_socket_is_created_without_a_manager(t: &Test) {
    t.only_orlop("it passes the environment on");
    let bundle = t.bundle();
    for value in [None, Some("")] {
        let run = bundle.command("run", &[]);
        let run = value.into_iter().fold(run, |run, value| run.env("NOTIFY_SOCKET", value));
        let seen = run.output().success().json();
        assert!(!seen["env"].to_string().contains("NOTIFY_SOCKET"), "{}", seen["env"]);
    }
}

fn an_abstract_socket_is_supported(t: &Test) {
    use std::os::linux::net::SocketAddrExt;
    t.only_orlop("others do not support abstract sockets");
    let name = format!("orlop-test-notify-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager { socket: UnixDatagram::bind_addr(&address).unwrap(), path: PathBuf::new() };
    let bundle = t.bundle().probe("notify READY=1");
    bundle.command("run", &[]).env("NOTIFY_SOCKET", &format!("@{name}")).output().success();
    assert!(manager.hears().starts_with("READY=1\n"));
}

fn a_missing_manager_is_a_warning(t: &Test) {
    t.only_orlop("it does not warn");
    let bundle = t.bundle().probe("notify READY=1 , exit 4");
    let nowhere = t.dir().join("nowhere").to_string_lossy().into_owned();
    let output = bundle.command("run", &[]).env("NOTIFY_SOCKET", &nowhere).output().exits(4);
    assert!(output.stderr.contains("notify the service manager"), "{output}");
}
