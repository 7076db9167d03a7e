//! Terminals: in the foreground, by console socket, in exec.

use kit::{Case, Console, Pty, Test, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        the_console_socket_gets_the_master,
        console_size_is_set,
        terminal_device_belongs_to_the_user,
        terminal_below_a_read_only_dev,
        terminal_without_a_mount_namespace,
        run_on_a_terminal_relays_it,
        foreground_follows_the_window_size,
        foreground_input,
        foreground_output_has_no_extra_returns,
        foreground_restores_the_callers_terminal,
        without_a_terminal_there_is_none,
        exec_with_a_terminal,
    ]
}

fn the_console_socket_gets_the_master(t: &Test) {
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true).probe("terminal , line , sleep");
    let container = bundle.create_with(&["--console-socket", console.path().to_str().unwrap()]);
    let (text, mut master) = console.receive();
    assert!(!text.is_empty(), "the message has at least one byte");
    container.start();
    let said = master.read_until("isatty");
    let seen: kit::Value = said.trim().parse().unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(seen["isatty"], json!([true, true, true]));
    assert_eq!(seen["controlling"], true);
    assert_eq!(seen["foreground"], 1);
    assert!(seen["name"].as_str().unwrap().starts_with("/dev/pts/"), "{seen}");
    assert_eq!(seen["console"]["kind"], "c", "/dev/console");
    master.type_in("ahoy\n");
    assert!(master.read_until("line").contains("ahoy"));
}

fn console_size_is_set(t: &Test) {
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true).probe("terminal , sleep");
    let bundle = bundle.set("/process/consoleSize", json!({"height": 33, "width": 111}));
    let container = bundle.create_with(&["--console-socket", console.path().to_str().unwrap()]);
    let (_, mut master) = console.receive();
    assert_eq!(master.size(), (33, 111));
    container.start();
    assert!(master.read_until("isatty").contains("\"rows\":33"));
}

fn terminal_device_belongs_to_the_user(t: &Test) {
    let console = Console::new(t);
    let bundle =
        t.bundle().set("/process/terminal", true).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let bundle = bundle.probe("terminal , sleep");
    let container = bundle.create_with(&["--console-socket", console.path().to_str().unwrap()]);
    let (_, mut master) = console.receive();
    container.start();
    let said = master.read_until("isatty");
    let seen: kit::Value = said.trim().parse().unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(seen["controlling"], true);
    assert_eq!(seen["console"]["uid"], 1000, "{seen}");
}

/// Hooks may still add files to `/dev`, as under the peers.
fn terminal_below_a_read_only_dev(t: &Test) {
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true).push("/mounts/1/options", "ro");
    let hooked = bundle.path("/dev/hooked");
    let bundle = bundle.host_hook("createContainer", &format!("append {} once", hooked.display()));
    let bundle = bundle.probe("terminal , write /dev/mine no , stat /dev/hooked , say done , sleep");
    let container = bundle.create_with(&["--console-socket", console.path().to_str().unwrap()]);
    let (_, mut master) = console.receive();
    container.start();
    let said = master.read_until("done");
    assert!(said.contains("\"isatty\":[true,true,true]"), "{said}");
    assert!(said.contains("\"errno\":\"EROFS\"") && !said.contains("ENOENT"), "{said}");
    assert!(!hooked.exists(), "the hook has written to the image");
}

/// It is one of the host's, which the container cannot open by name.
fn terminal_without_a_mount_namespace(t: &Test) {
    t.only_orlop("it mounts a devpts on the host");
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true).without_namespace("mount");
    let bundle = bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let bundle = bundle.probe("terminal , line , list / , sleep");
    let socket = console.path().to_str().unwrap().to_owned();
    let container = bundle.create_with(&["--console-socket", &socket]);
    let (_, mut master) = console.receive();
    container.start();
    let said = master.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]") && said.contains("\"foreground\":1"), "{said}");
    master.type_in("ahoy\n");
    assert!(master.read_until("list").contains("ahoy"));
    let pid_file = t.dir().join("exec.pid");
    let words = ["exec", "-t", "-d", "--console-socket", &socket, "--pid-file", pid_file.to_str().unwrap()];
    t.runtime(words).args([container.id(), "/probe", "terminal", ",", "list", "/"]).output().success();
    let (_, mut master) = console.receive();
    let said = master.read_until("list");
    assert!(said.contains("[true,true,true]") && said.contains("[\"probe\"]"), "{said}");
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(kit::sys::reap(pid, std::time::Duration::from_secs(5)), Some(0));
}

/// `run` on a terminal of its own; the test reads what the caller sees from the master.
fn on_terminal<'t>(t: &'t Test, words: &str) -> (kit::Running<'t>, Pty) {
    let (master, slave) = Pty::open();
    master.resize(30, 90);
    let bundle = t.bundle().set("/process/terminal", true).probe(words);
    let copy = || slave.try_clone().unwrap();
    let running = bundle.command("run", &[]).wrap("terminal").stdio(copy(), copy(), copy()).spawn();
    (running, master)
}

fn run_on_a_terminal_relays_it(t: &Test) {
    let (running, mut master) = on_terminal(t, "terminal , exit 9");
    let said = master.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]"), "{said}");
    assert!(!t.is_orlop() || said.contains("\"rows\":30") && said.contains("\"columns\":90"), "{said}");
    running.wait().exits(9);
}

fn foreground_follows_the_window_size(t: &Test) {
    let (running, mut master) = on_terminal(t, "say ready , line , terminal");
    master.read_until("ready");
    master.resize(44, 132);
    // The kernel signals the foreground group of the caller's terminal, which is the runtime.
    std::thread::sleep(std::time::Duration::from_millis(150));
    master.type_in("go\n");
    let said = master.read_until("isatty");
    assert!(said.contains("\"rows\":44") && said.contains("\"columns\":132"), "{said}");
    running.wait().exits(0);
}

fn foreground_input(t: &Test) {
    let (running, mut master) = on_terminal(t, "say ready , line");
    master.read_until("ready");
    master.type_in("heave ho\n");
    assert!(master.read_until("\"line\"").contains("heave ho\\n"));
    running.wait().exits(0);
}

fn foreground_output_has_no_extra_returns(t: &Test) {
    // The container's terminal adds no carriage returns; the caller's terminal is raw while the container runs.
    let (running, mut master) = on_terminal(t, "say one , say two");
    let said = master.read_until("two");
    assert!(!said.contains("\r\r"), "{said:?}");
    running.wait().exits(0);
}

fn foreground_restores_the_callers_terminal(t: &Test) {
    let (master, slave) = Pty::open();
    let before = nix::sys::termios::tcgetattr(&slave).unwrap();
    let bundle = t.bundle().set("/process/terminal", true).probe("exit 0");
    let copy = || slave.try_clone().unwrap();
    bundle.command("run", &[]).wrap("terminal").stdio(copy(), copy(), copy()).spawn().wait().exits(0);
    let after = nix::sys::termios::tcgetattr(&slave).unwrap();
    assert_eq!(before.local_flags, after.local_flags);
    assert_eq!(before.output_flags, after.output_flags);
    drop(master);
}

fn without_a_terminal_there_is_none(t: &Test) {
    let seen = t.bundle().probe("terminal").run().json();
    assert_eq!(seen["isatty"], json!([false, false, false]));
    assert_eq!(seen["controlling"], false);
}

fn exec_with_a_terminal(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let console = Console::new(t);
    let words = ["exec", "-t", "-d", "--console-socket", console.path().to_str().unwrap()];
    let pid_file = t.dir().join("exec.pid");
    let call = t.runtime(words).args(["--pid-file", pid_file.to_str().unwrap()]);
    call.args([container.id(), "/probe", "terminal", ",", "exit", "2"]).output().success();
    let (_, mut master) = console.receive();
    let said = master.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]"), "{said}");
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(kit::sys::reap(pid, std::time::Duration::from_secs(5)), Some(2));
}
