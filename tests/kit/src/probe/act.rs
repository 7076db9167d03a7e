//! The actions of the probe.

use super::report::{report, stat_of};
use crate::{Value, json, sys};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Performs one action; `Some` makes the probe exit with that code.
pub(super) fn act(name: &str, args: &[&str]) -> Option<u8> {
    match silent_action(name, args) {
        Done::Exit(code) => return Some(code),
        Done::Silent => return None,
        Done::Unknown => {}
    }
    if super::attack::act(name, args) {
        return None;
    }
    let said = reporting_action(name, args)
        .or_else(|| super::hostile::act(name, args))
        .unwrap_or_else(|| file_action(name, args));
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{said}");
    let _ = out.flush();
    None
}

fn argument<'a>(args: &[&'a str], n: usize) -> &'a str {
    args.get(n).copied().unwrap_or("")
}

fn number(name: &str, args: &[&str], n: usize) -> i64 {
    argument(args, n).parse().unwrap_or_else(|_| panic!("{name} {args:?}"))
}

/// The result of [`silent_action`].
enum Done {
    Exit(u8),
    Silent,
    /// The name is not one of these actions.
    Unknown,
}

/// Actions without a report.
fn silent_action(name: &str, args: &[&str]) -> Done {
    let number = |n: usize| number(name, args, n);
    match name {
        "exit" => return Done::Exit(number(0) as u8),
        "signals" => return Done::Exit(print_signals()),
        "hook" => return Done::Exit(hook(argument(args, 0), args.get(1).map_or(0, |_| number(1) as u8))),
        "signal" => drop(kill(Pid::this(), Signal::try_from(number(0) as i32).unwrap())),
        "sleep" => std::thread::sleep(Duration::from_secs(argument(args, 0).parse().unwrap_or(3600))),
        "complain" => eprintln!("{}", args.join(" ")),
        "hold" => {
            SigSet::all().thread_block().unwrap();
            std::thread::sleep(Duration::from_secs(3600));
        }
        "burn" => {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(number(0) as u64) {
                std::hint::spin_loop();
            }
        }
        "await" => {
            while fs::symlink_metadata(argument(args, 0)).is_err() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        "pour" => {
            // Prints this many kilobytes.
            let mut out = io::stdout().lock();
            for _ in 0..number(0) {
                let _ = out.write_all(&[b'~'; 1024]);
            }
            let _ = out.write_all(b"\n");
        }
        _ => return Done::Unknown,
    }
    Done::Silent
}

/// Actions that print a line; `None` if the name is not one of them.
fn reporting_action(name: &str, args: &[&str]) -> Option<Value> {
    let number = |n: usize| number(name, args, n);
    Some(match name {
        "report" => report(),
        "say" => json!(args),
        "alloc" => allocate(number(0) as usize),
        "keep" => {
            // As `alloc`, but the memory is kept.
            std::mem::forget(vec![1u8; (number(0) as usize) << 20]);
            json!({"kept": number(0)})
        }
        "fork" => fork(number(0) as usize),
        "spawn" => {
            let child = Command::new(own_path()).args(args).stdin(Stdio::null()).spawn();
            json!({"spawned": child.map_or(0, |child| child.id())})
        }
        "orphan" => {
            // The process in between exits at once, so its own child becomes an orphan.
            let mut child =
                Command::new(own_path()).arg("spawn").args(args).stdout(Stdio::null()).spawn().unwrap();
            json!({"orphaned": child.wait().unwrap().success()})
        }
        "exec" => exec(args),
        "notify" => {
            let to = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
            let sent = UnixDatagram::unbound().and_then(|sock| sock.send_to(args.join("\n").as_bytes(), &to));
            json!({"notify": to, "errno": errno(sent.map(drop))})
        }
        "flood" => flood(number(0)),
        "terminal" => terminal(),
        "stdin" => {
            let mut text = String::new();
            let result = io::stdin().read_to_string(&mut text);
            json!({"stdin": text, "errno": errno(result.map(drop))})
        }
        "line" => {
            let mut text = String::new();
            let result = io::stdin().read_line(&mut text);
            json!({"line": text, "errno": errno(result.map(drop))})
        }
        "syscall" => {
            let mut words = [0; 6];
            (1..args.len().min(7)).for_each(|n| words[n - 1] = number(n));
            let result = sys::syscall(number(0), words);
            json!({"result": result.unwrap_or(-1), "errno": result.err().map_or("", name_of)})
        }
        _ => return None,
    })
}

/// Actions on files; each reports the errno by name, `""` for success.
fn file_action(name: &str, args: &[&str]) -> Value {
    let arg = |n: usize| args.get(n).copied().unwrap_or("");
    let path = arg(0);
    match name {
        "read" => {
            let mut bytes = Vec::new();
            let result = fs::File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut bytes));
            json!({"read": String::from_utf8_lossy(&bytes), "errno": errno(result.map(drop))})
        }
        "write" => {
            let open = OpenOptions::new().write(true).create(true).truncate(true).open(path);
            let result = open.and_then(|mut file| file.write_all(args[1..].join(" ").as_bytes()));
            json!({"write": path, "errno": errno(result)})
        }
        "append" => {
            let open = OpenOptions::new().append(true).create(true).open(path);
            let result = open.and_then(|mut file| writeln!(file, "{}", args[1..].join(" ")));
            json!({"append": path, "errno": errno(result)})
        }
        "open" => {
            let write = arg(1).contains('w');
            let result = OpenOptions::new().read(arg(1) != "w").write(write).open(path);
            json!({"open": path, "errno": errno(result.map(drop))})
        }
        "mknod" => {
            let kind = if arg(1) == "b" { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
            let device = makedev(arg(2).parse().unwrap_or(0), arg(3).parse().unwrap_or(0));
            let result = mknod(path, kind, Mode::from_bits_truncate(0o666), device);
            json!({"mknod": path, "errno": result.err().map_or("", name_of)})
        }
        "mkdir" => json!({"mkdir": path, "errno": errno(fs::create_dir(path))}),
        "unlink" => json!({"unlink": path, "errno": errno(fs::remove_file(path))}),
        "readlink" => {
            let result = fs::read_link(path);
            json!({"readlink": result.as_ref().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default(), "errno": errno(result.map(drop))})
        }
        "stat" => stat_of(path.as_ref()).unwrap_or_else(|error| json!({"errno": errno(Err(error))})),
        "list" => {
            let entries = fs::read_dir(path).map(|dir| {
                let mut names: Vec<String> =
                    dir.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                names.sort();
                names
            });
            json!({"list": entries.as_ref().ok(), "errno": errno(entries.as_ref().map(drop).map_err(|e| io::Error::from_raw_os_error(e.raw_os_error().unwrap_or(0))))})
        }
        "mount" => {
            let (kind, none) = (arg(1), None::<&str>);
            let result = nix::mount::mount(Some(kind), path, Some(kind), nix::mount::MsFlags::empty(), none);
            json!({"mount": path, "errno": result.err().map_or("", name_of)})
        }
        "chown" => {
            let result = std::os::unix::fs::chown(path, arg(1).parse().ok(), arg(2).parse().ok());
            json!({"chown": path, "errno": errno(result)})
        }
        _ => json!({"error": format!("the probe cannot {name}")}),
    }
}

/// Sends messages to the service manager as fast as possible.
fn flood(count: i64) -> Value {
    let to = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
    let sock = UnixDatagram::unbound().unwrap();
    let sent = sock.connect(&to).and_then(|()| {
        (0..count).try_for_each(|n| sock.send(format!("STATUS={n}\nWATCHDOG=1").as_bytes()).map(drop))
    });
    json!({"flood": count, "errno": errno(sent)})
}

fn own_path() -> std::path::PathBuf {
    std::env::current_exe().unwrap_or_else(|_| std::env::args_os().next().unwrap_or_default().into())
}

/// The name of an errno, as in `EPERM`; empty for success.
fn errno(result: io::Result<()>) -> &'static str {
    result.err().map_or("", |error| name_of(Errno::from_raw(error.raw_os_error().unwrap_or(0))))
}

fn name_of(errno: Errno) -> &'static str {
    // The Debug form is the name; it is leaked once for each action of a short-lived process.
    Box::leak(format!("{errno:?}").into_boxed_str())
}

/// Prints every signal that arrives, as its number; exits with 0 after SIGUSR2.
fn print_signals() -> u8 {
    SigSet::all().thread_block().unwrap();
    println!("{}", json!({"ready": true}));
    loop {
        let signal = sys::wait_for_a_signal();
        println!("{}", json!({"signal": signal}));
        if signal == libc::SIGUSR2 {
            return 0;
        }
    }
}

/// A hook: appends its input and where it ran to a file, as one line of JSON.
fn hook(file: &str, code: u8) -> u8 {
    let mut state = String::new();
    let _ = io::stdin().read_to_string(&mut state);
    let mut line = report();
    line["state"] = serde_json::from_str(&state).unwrap_or(Value::String(state));
    line["probe_in_root"] = json!(fs::symlink_metadata("/probe").is_ok());
    let opened = OpenOptions::new().create(true).append(true).open(file);
    if let Ok(mut out) = opened {
        // A single write, so that lines of parallel hooks stay whole.
        let _ = out.write_all(format!("{line}\n").as_bytes());
    }
    code
}

fn allocate(megabytes: usize) -> Value {
    let mut held = Vec::new();
    for _ in 0..megabytes {
        held.push(vec![1u8; 1 << 20]);
    }
    json!({"allocated": held.len()})
}

/// Creates sleeping children until that fails.
fn fork(most: usize) -> Value {
    let mut children = Vec::new();
    let mut refused = String::new();
    for _ in 0..most {
        match Command::new(own_path()).args(["sleep"]).stdin(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                errno(Err(error)).clone_into(&mut refused);
                break;
            }
        }
    }
    let count = children.len();
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
    json!({"forked": count, "errno": refused})
}

fn exec(args: &[&str]) -> Value {
    use std::os::unix::process::CommandExt;
    let error = Command::new(args[0]).args(&args[1..]).exec();
    json!({"exec": args[0], "errno": errno(Err(error))})
}

fn terminal() -> Value {
    let stdin = io::stdin();
    let is = |fd: std::os::fd::BorrowedFd<'_>| nix::unistd::isatty(fd).unwrap_or(false);
    let size = sys::window_size(stdin.as_fd()).unwrap_or((0, 0));
    let name =
        fs::read_link("/proc/self/fd/0").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let leader = nix::unistd::tcgetpgrp(stdin.as_fd()).map_or(-1, Pid::as_raw);
    json!({
        "isatty": [is(stdin.as_fd()), is(io::stdout().as_fd()), is(io::stderr().as_fd())],
        "rows": size.0, "columns": size.1, "name": name, "foreground": leader,
        "controlling": fs::File::open("/dev/tty").is_ok(),
        "console": stat_of("/dev/console".as_ref()).unwrap_or_default(),
        "owner": stat_of("/proc/self/fd/0/".as_ref()).or_else(|_| stat_of(name.as_ref())).unwrap_or_default(),
    })
}
