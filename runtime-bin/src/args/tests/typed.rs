//! The second stage.

use super::super::command_line::read;
use super::super::parse::Request;
use super::super::table::{COMMANDS, Command, Flag, GLOBAL_FLAGS};
use super::super::typed::{EventsMode, Invocation, KillTarget, ListOutput, LogArgs, ProcessSource};
use super::samples::{operands, sample};
use crate::failure::Failure;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

fn invocation(words: impl IntoIterator<Item = OsString>) -> (LogArgs, Result<Invocation, Failure>) {
    let line = read("orlop", words);
    let invocation = line.request.map(|request| match request {
        Request::Run(invocation) => invocation,
        other => panic!("{other:?}"),
    });
    (line.log, invocation)
}

fn typed(words: &[&str]) -> Result<Invocation, Failure> {
    invocation(words.iter().map(OsString::from)).1
}

fn written(flag: &Flag) -> String {
    match sample(flag) {
        "" => format!("--{}", flag.long),
        value => format!("--{}={value}", flag.long),
    }
}

/// The command line with the flag before the command, after it, or without it.
fn line(global: Option<&Flag>, command: &Command, flag: Option<&Flag>) -> Vec<OsString> {
    let mut words: Vec<OsString> = global.map(|flag| written(flag).into()).into_iter().collect();
    words.push(command.name.into());
    words.extend(flag.map(|flag| OsString::from(written(flag))));
    words.extend(operands(command, flag).iter().map(OsString::from));
    words
}

#[test]
fn every_flag_reaches_its_command() {
    for command in COMMANDS {
        let without = invocation(line(None, command, None)).1.expect(command.name);
        for flag in command.flags() {
            let with = invocation(line(None, command, Some(flag))).1;
            let name = format!("{} --{}", command.name, flag.long);
            match (command.name, flag.long) {
                // It only stays in the foreground, as a subreaper, for `run` and `restore`.
                ("create", "no-subreaper") => assert_eq!(with.as_ref(), Ok(&without), "{name}"),
                ("restore", "no-pivot") => assert!(with.is_err(), "{name}"),
                _ => assert_ne!(with.as_ref().expect(&name), &without, "{name} is ignored"),
            }
        }
    }
}

#[test]
fn every_global_flag_reaches_its_commands() {
    const NO_RUNTIME: [&str; 5] = ["completion", "features", "man", "plan", "spec"];
    for flag in GLOBAL_FLAGS {
        for command in COMMANDS {
            let (log, without) = invocation(line(None, command, None));
            let (log_with, with) = invocation(line(Some(flag), command, None));
            let name = command.name;
            let expected = match flag.long {
                "log" | "log-format" | "log-level" | "debug" => {
                    assert_ne!(log_with, log, "--{} {name} is ignored", flag.long);
                    false
                }
                "root" | "allow-annotation" => !NO_RUNTIME.contains(&name),
                "cgroup-manager" | "systemd-cgroup" => ["create", "plan", "restore", "run"].contains(&name),
                "rootless" => ["create", "restore", "run"].contains(&name),
                other => panic!("--{other}: which commands use it?"),
            };
            assert_eq!(with.unwrap() != without.unwrap(), expected, "--{} {name}", flag.long);
        }
    }
}

#[test]
fn mistakes_are_found_before_the_command_runs() {
    for (line, code, message) in [
        (&["exec", "c1"][..], 255, "exec: process args cannot be empty: give a command, or --process FILE"),
        (&["exec", "-p", "f", "c1", "sh"], 255, "exec takes a command or --process, not both"),
        (&["ps", "-f", "json", "c1", "-ef"], 1, "ps: options of ps(1) are for --format table"),
        (&["mounts", "move", "c1", "-"], 1, "mounts: unknown verb \"move\": it is add or remove"),
        (&["completion", "csh"], 1, "no completion for \"csh\": give bash, zsh or fish"),
        (&["man", "foo"], 1, "No help topic for 'foo'"),
        (&["man", "-d", "x", "run"], 1, "man takes a command or --directory, which is all of them"),
        (
            &["restore", "--no-pivot", "c1"],
            1,
            "--no-pivot: criu changes the root of a restored container by pivot_root only",
        ),
        (
            &["kill", "-a", "-r", "c1"],
            1,
            "kill: --regex and --all exclude each other: signal the containers' init processes, \
             or every process of one container",
        ),
    ] {
        assert_eq!(typed(line), Err(Failure::new(message).with_code(code)), "{line:?}");
    }
    let signal = typed(&["kill", "c1", "SIGNONE"]).unwrap_err();
    assert!(signal.message.contains("SIGNONE"), "{signal:?}");
}

#[test]
fn an_id_must_be_utf8() {
    for command in COMMANDS.iter().filter(|command| command.usage.contains("<container-id>")) {
        let mut words = line(None, command, None);
        let id = words.iter_mut().find(|word| *word == "c1").unwrap();
        *id = OsString::from_vec(vec![b'x', 0xff]);
        let failure = invocation(words).1.expect_err(command.name);
        assert_eq!(failure.message, "container id x\u{fffd} is not UTF-8", "{}", command.name);
        assert_eq!(failure.code, if command.name == "exec" { 255 } else { 1 });
    }
}

#[test]
fn values_become_what_the_command_does() {
    let kill = |line: &[&str]| match typed(line).unwrap() {
        Invocation::Kill(args) => (args.target, args.signal.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(kill(&["kill", "c1"]), (KillTarget::Init("c1".into()), "SIGTERM".into()));
    assert_eq!(kill(&["kill", "-a", "c1", "9"]), (KillTarget::AllProcesses("c1".into()), "SIGKILL".into()));
    assert_eq!(kill(&["kill", "-r", "^c", "HUP"]), (KillTarget::Matching("^c".into()), "SIGHUP".into()));
    let list = |line: &[&str]| match typed(line).unwrap() {
        Invocation::List(args) => args.output,
        other => panic!("{other:?}"),
    };
    assert_eq!(list(&["list"]), ListOutput::Table);
    assert_eq!(list(&["list", "-f", "json"]), ListOutput::Json);
    assert_eq!(list(&["list", "-q", "-f", "json"]), ListOutput::Ids);
    let events = |line: &[&str]| match typed(line).unwrap() {
        Invocation::Events(args) => args.mode,
        other => panic!("{other:?}"),
    };
    assert_eq!(events(&["events", "c1"]), EventsMode::Every(Duration::from_secs(5)));
    assert_eq!(events(&["events", "--interval", "1s", "c1"]), EventsMode::Every(Duration::from_secs(1)));
    assert_eq!(events(&["events", "--stats", "--interval", "1s", "c1"]), EventsMode::Once);
    let exec = |line: &[&str]| match typed(line).unwrap() {
        Invocation::Exec(args) => args.process,
        other => panic!("{other:?}"),
    };
    assert_eq!(exec(&["exec", "c1", "ls", "-l"]), ProcessSource::Command(vec!["ls".into(), "-l".into()]));
    assert_eq!(exec(&["exec", "-p", "-", "c1"]), ProcessSource::File("-".into()));
}

/// A mistake is logged where `--log` says, whichever stage finds it.
#[test]
fn the_log_is_known_after_a_mistake() {
    for rest in [&["state", "--bogus"][..], &["kill", "c1", "SIGNONE"], &["sail"]] {
        let words = ["--log", "/l", "--log-format=json"].iter().chain(rest);
        let line = read("orlop", words.map(OsString::from));
        assert!(line.request.is_err());
        assert_eq!(line.log.file, Some("/l".into()));
        assert_eq!(line.log.format, crate::log::LogFormat::Json);
    }
}
