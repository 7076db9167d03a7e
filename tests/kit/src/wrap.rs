//! A peculiar caller: this program changes what the words say of itself, then becomes the runtime.
//!
//! `fd=PATH` opens a descriptor without close-on-exec; `uid=N` drops to that user and group;
//! `nofile=N` lowers a limit; `terminal` makes standard input the controlling terminal;
//! `umask=OCTAL`; `ignore=N` ignores a signal; `block=N` blocks one.

use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The first argument that makes a test program a wrapper.
pub const NAME: &str = "--as-caller";

/// Applies the words before `--` and executes what follows it.
pub fn main(words: &[String]) -> ExitCode {
    let split = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for word in &words[..split] {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        apply(name, value);
    }
    let command = &words[split + 1..];
    let error = Command::new(&command[0]).args(&command[1..]).exec();
    eprintln!("{}: {error}", command[0]);
    ExitCode::from(127)
}

fn apply(name: &str, value: &str) {
    let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{name}={value}"));
    match name {
        "fd" => std::mem::forget(open(value, OFlag::O_RDONLY, Mode::empty()).unwrap()),
        "uid" => {
            nix::unistd::setgroups(&[]).unwrap();
            nix::unistd::setgid(number().into()).unwrap();
            nix::unistd::setuid(number().into()).unwrap();
        }
        "nofile" => setrlimit(Resource::RLIMIT_NOFILE, number().into(), number().into()).unwrap(),
        "terminal" => crate::sys::take_terminal(),
        "umask" => drop(umask(Mode::from_bits_truncate(u32::from_str_radix(value, 8).unwrap()))),
        "ignore" => crate::sys::set_handler(Signal::try_from(number() as i32).unwrap(), SigHandler::SigIgn),
        "block" => {
            let mut set = SigSet::empty();
            set.add(Signal::try_from(number() as i32).unwrap());
            set.thread_block().unwrap();
        }
        _ => panic!("no such property of a caller: {name}"),
    }
}
