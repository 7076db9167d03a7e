//! The parser.

use super::super::low::LowArgs;
use super::super::parse::{Request, parse};
use super::super::table::{COMMANDS, CommandId, FlagSetter, GLOBAL_FLAGS, ValueHint};
use super::samples::{accepted, parsed, rejected, sample, spellings, words};
use crate::log::LogFormat;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Each spelling of each flag, before or after the id, sets a field, and all spellings set the same.
#[test]
fn every_flag_sets_something() {
    for command in COMMANDS {
        for flag in command.flags() {
            let mut seen: Option<LowArgs> = None;
            for spelling in spellings(flag) {
                for after in [false, true] {
                    // The rest is the command line of another program.
                    if after && command.own_operands() == Some(command.operands.0) {
                        continue;
                    }
                    let mut line = vec![command.name.to_owned()];
                    line.extend(if after { words(command) } else { spelling.clone() });
                    line.extend(if after { spelling.clone() } else { words(command) });
                    let (request, mut args) = parsed(&line.iter().map(String::as_str).collect::<Vec<_>>());
                    assert!(matches!(request, Ok(Request::Run(_))), "{line:?}: {request:?}");
                    assert_eq!(args.operands.len(), command.operands.0, "{line:?}");
                    args.operands.clear();
                    assert_ne!(args, LowArgs::default(), "{line:?} sets nothing");
                    assert_eq!(*seen.get_or_insert_with(|| first_stage(&line)), args, "{line:?}");
                }
            }
        }
    }
}

fn first_stage(line: &[String]) -> LowArgs {
    let mut args = parsed(&line.iter().map(String::as_str).collect::<Vec<_>>()).1;
    args.operands.clear();
    args
}

#[test]
fn every_global_flag_sets_something() {
    for flag in GLOBAL_FLAGS {
        for spelling in spellings(flag) {
            let mut line: Vec<&str> = spelling.iter().map(String::as_str).collect();
            line.push("features");
            let (request, args) = parsed(&line);
            assert!(matches!(request, Ok(Request::Run(_))), "{line:?}: {request:?}");
            assert_ne!(args, LowArgs::default(), "{line:?} sets nothing");
        }
    }
}

#[test]
fn a_repeated_flag_adds_a_value_or_the_last_one_wins() {
    for command in COMMANDS {
        for flag in command.flags().filter(|f| !sample(f).is_empty()) {
            let (name, value) = (format!("--{}", flag.long), sample(flag));
            let mut line = vec![command.name, &name, value, &name, value];
            let operands = words(command);
            line.extend(operands.iter().map(String::as_str));
            let twice = parsed(&line).1;
            line.drain(1..3);
            assert_eq!(twice != parsed(&line).1, flag.repeats, "{line:?}");
        }
    }
    assert_eq!(accepted("create --bundle a --bundle b x").1.bundle, Some("b".into()));
    assert!(!accepted("run --detach --detach=false x").1.detach);
}

#[test]
fn a_missing_value_is_named() {
    for (scope, flag) in COMMANDS
        .iter()
        .flat_map(|c| c.flags().map(move |f| (Some(c.name), f)))
        .chain(GLOBAL_FLAGS.iter().map(|f| (None, f)))
    {
        if !sample(flag).is_empty() {
            let line = format!("{} --{}", scope.unwrap_or_default(), flag.long);
            assert_eq!(rejected(&line), format!("flag needs an argument: --{}", flag.long));
        }
    }
}

#[test]
fn an_invalid_value_is_rejected_with_the_name_of_its_flag() {
    let commands = COMMANDS.iter().flat_map(|c| c.flags().map(move |f| (c.name, f)));
    for (command, flag) in GLOBAL_FLAGS.iter().map(|f| ("", f)).chain(commands) {
        let rejection = |value: OsString| {
            let mut word = OsString::from(format!("--{}=", flag.long));
            word.push(value);
            let line = [command.into(), word].into_iter().filter(|word| !word.is_empty());
            parse("orlop", line, &mut LowArgs::default()).expect_err(flag.long).message
        };
        let name = flag.long;
        let invalid = |value: &str, why: &str| format!("invalid value \"{value}\" for flag --{name}: {why}");
        match &flag.setter {
            FlagSetter::Switch(_) => {
                assert_eq!(rejection("maybe".into()), invalid("maybe", "must be true or false"));
            }
            FlagSetter::Path(_) => assert_eq!(rejection("".into()), invalid("", "must be a path")),
            FlagSetter::Number(_) => {
                for value in ["x", "", "-1", "+1", "1.5", " 1", "99999999999"] {
                    assert_eq!(rejection(value.into()), invalid(value, "must be a number"));
                }
            }
            FlagSetter::Text(_) => {
                let odd = rejection(OsString::from_vec(vec![b'x', 0xff]));
                assert!(odd.ends_with(&format!("for flag --{name}: must be UTF-8")), "{odd}");
                if let ValueHint::OneOf(_) = ValueHint::of_flag(flag) {
                    assert!(rejection("nonsense".into()).starts_with(&invalid("nonsense", "")));
                }
            }
        }
    }
    for scope in COMMANDS.iter().map(|c| c.name).chain([""]) {
        for word in ["--no-such-flag", "-no-such-flag", "--no-such-flag=x", "-no-such-flag=x"] {
            let message = rejected(&format!("{scope} {word}"));
            assert_eq!(message, "flag provided but not defined: -no-such-flag", "{scope} {word}");
        }
    }
}

#[test]
fn a_mistake_is_explained() {
    for (line, message) in [
        ("foo", "No help topic for 'foo'"),
        ("foo -h", "No help topic for 'foo'"),
        ("help foo", "No help topic for 'foo'"),
        ("--bogus", "flag provided but not defined: -bogus"),
        ("state --bogus=1 x", "flag provided but not defined: -bogus"),
        ("state -bogus x", "flag provided but not defined: -bogus"),
        ("create -bundles x y", "flag provided but not defined: -bundles"),
        ("kill x -9", "flag provided but not defined: -9"),
        (
            "state x --root /y",
            "flag provided but not defined: -root; it is a global flag, which goes before the command",
        ),
        ("start", "orlop: \"start\" requires exactly 1 argument(s); see \"orlop start --help\""),
        ("start a b", "orlop: \"start\" requires exactly 1 argument(s); see \"orlop start --help\""),
        ("kill", "orlop: \"kill\" requires a minimum of 1 argument(s); see \"orlop kill --help\""),
        ("kill a b c", "orlop: \"kill\" requires a maximum of 2 argument(s); see \"orlop kill --help\""),
        ("list x", "orlop: \"list\" requires exactly 0 argument(s); see \"orlop list --help\""),
        ("create --preserve-fds x y", "invalid value \"x\" for flag --preserve-fds: must be a number"),
        ("create --preserve-fds -1 y", "invalid value \"-1\" for flag --preserve-fds: must be a number"),
        ("create --bundle= y", "invalid value \"\" for flag --bundle: must be a path"),
        ("run --detach=maybe y", "invalid value \"maybe\" for flag --detach: must be true or false"),
        ("exec -u root y", "invalid value \"root\" for flag --user: must be UID or UID:GID, as numbers"),
        ("exec -u +5 y", "invalid value \"+5\" for flag --user: must be UID or UID:GID, as numbers"),
        ("exec -u 5: y", "invalid value \"5:\" for flag --user: must be UID or UID:GID, as numbers"),
        ("exec -g +5 y", "invalid value \"+5\" for flag --additional-gids: must be a number"),
        ("exec -e HOME y", "invalid value \"HOME\" for flag --env: must be NAME=VALUE"),
        ("--log-format xml list", "invalid value \"xml\" for flag --log-format: must be text or json"),
        (
            "--cgroup-manager none create x",
            "invalid value \"none\" for flag --cgroup-manager: must be cgroupfs, systemd or disabled",
        ),
    ] {
        assert_eq!(rejected(line), message, "{line}");
    }
    // Flags before the mistake are kept: they say where it is logged.
    let (request, args) = parsed(&["--log", "/l", "--log-format=json", "state", "--bogus"]);
    assert!(request.is_err());
    assert_eq!((args.log, args.log_format), (Some("/l".into()), Some(LogFormat::Json)));
}

#[test]
fn exec_stops_at_the_command() {
    for (line, words, tty) in [
        ("exec -t x sh -c -t", "x sh -c -t", true),
        ("exec x -t sh --help", "x sh --help", true),
        ("exec x -- -t -h", "x -t -h", false),
        ("exec -t -- x ls -- -l", "x ls -- -l", true),
        ("exec x sh -- -c", "x sh -- -c", false),
        ("exec -td x top", "x top", true),
        ("exec x", "x", false),
    ] {
        let (command, args) = accepted(line);
        assert_eq!(command.id, CommandId::Exec);
        assert_eq!(args.operands.join(" ".as_ref()), *words, "{line}");
        assert_eq!(args.tty, tty, "{line}");
    }
    let (_, args) =
        accepted("exec -dtu 1:2 -e A=1 -e B= -g 5 -g 6 -c CAP_KILL --cgroup cpu:/a --cgroup b x sh");
    assert!(args.detach && args.tty);
    assert_eq!(args.user, Some((1, Some(2))));
    assert_eq!(args.env, ["A=1", "B="]);
    assert_eq!(args.additional_gids, [5, 6]);
    assert_eq!(args.cgroups, ["cpu:/a", "b"]);
    assert_eq!(accepted("exec -p - x").1.process, Some("-".into()));
    assert_eq!(accepted("exec --process=- x").1.process, Some("-".into()));
}

#[test]
fn words_that_are_not_utf8_are_kept() {
    let odd = OsString::from_vec(vec![b'/', 0xff]);
    let mut args = LowArgs::default();
    let line = ["create".into(), "--bundle".into(), odd.clone(), odd.clone()];
    parse("orlop", line, &mut args).unwrap();
    assert_eq!((args.bundle, args.operands), (Some(odd.clone().into()), vec![odd.clone()]));
    let mut line = OsString::from("--cwd=");
    line.push(&odd);
    let error = parse("orlop", ["exec".into(), line, "x".into()], &mut LowArgs::default()).unwrap_err();
    assert!(error.message.ends_with("for flag --cwd: must be UTF-8"), "{error:?}");
}
