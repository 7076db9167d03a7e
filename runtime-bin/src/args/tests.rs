//! The parser against the table, and against the argument vectors which managers really use.

use super::parse::Usage;
use super::table::{COMMANDS, Command, Flag, GLOBAL, Kind, Name};
use super::*;

fn read(line: &[&str]) -> (Result<Request, Usage>, Args) {
    let mut args = Args::default();
    let request = parse("orlop", line.iter().map(OsString::from), &mut args);
    (request, args)
}

fn ok(line: &str) -> (&'static Command, Args) {
    match read(&line.split(' ').collect::<Vec<_>>()) {
        (Ok(Request::Command(command)), args) => (command, args),
        (other, _) => panic!("{line}: {other:?}"),
    }
}

fn refused(line: &str) -> Usage {
    read(&line.split_whitespace().collect::<Vec<_>>()).0.expect_err(line)
}

/// A value which differs from the default, for every flag that has one.
fn sample(flag: &Flag) -> &'static str {
    match (flag.long, &flag.kind) {
        (_, Kind::Switch(_)) => "",
        (_, Kind::Path(_)) => "/some/path",
        (_, Kind::Number(_)) => "7",
        ("log-format" | "format", _) => "json",
        ("allow-annotation", _) => "org.criu.config",
        ("log-level", _) => "debug",
        ("cgroup-manager", _) => "systemd",
        ("rootless", _) => "true",
        ("env", _) => "A=b",
        ("manage-cgroups-mode", _) => "soft",
        ("network-lock", _) => "skip",
        ("empty-ns", _) => "network",
        ("page-server", _) => "127.0.0.1:80",
        ("lsm-profile", _) => "selinux:label",
        ("user", _) => "1:2",
        ("memory" | "memory-reservation" | "memory-swap" | "kernel-memory" | "kernel-memory-tcp", _) => "50M",
        ("cpu-idle", _) => "1",
        ("interval", _) => "100ms",
        ("cpuset-cpus" | "cpuset-mems" | "l3-cache-schema" | "mem-bw-schema", _) => "0-1",
        (name, _) if name.starts_with("cpu-") || name == "blkio-weight" || name == "pids-limit" => "100",
        _ => "text",
    }
}

/// All spellings of one flag with its sample.
fn spellings(flag: &Flag) -> Vec<Vec<String>> {
    let (long, value) = (flag.long, sample(flag));
    let mut out = if value.is_empty() {
        vec![vec![format!("--{long}")], vec![format!("-{long}")], vec![format!("--{long}=true")]]
    } else {
        vec![
            vec![format!("--{long}"), value.into()],
            vec![format!("-{long}"), value.into()],
            vec![format!("--{long}={value}")],
            vec![format!("-{long}={value}")],
        ]
    };
    if let Some(short) = flag.short {
        let letter = format!("-{short}");
        out.push(if value.is_empty() { vec![letter] } else { vec![letter, value.into()] });
    }
    out
}

fn words_for(command: &Command) -> Vec<String> {
    (0..command.words.0).map(|i| format!("word{i}")).collect()
}

/// No flag of the table is ignored: each spelling of each flag, before or behind the id, sets
/// something that is not the default, and all spellings set the same.
#[test]
fn every_flag_sets_something() {
    for command in COMMANDS {
        for flag in command.flags() {
            let mut seen: Option<Args> = None;
            for spelling in spellings(flag) {
                for behind in [false, true] {
                    // What follows the words of its own is another program's.
                    if behind && command.own_words() == Some(command.words.0) {
                        continue;
                    }
                    let mut line = vec![command.word.to_owned()];
                    line.extend(if behind { words_for(command) } else { spelling.clone() });
                    line.extend(if behind { spelling.clone() } else { words_for(command) });
                    let (request, mut args) = read(&line.iter().map(String::as_str).collect::<Vec<_>>());
                    assert!(matches!(request, Ok(Request::Command(_))), "{line:?}: {request:?}");
                    assert_eq!(args.words.len(), command.words.0, "{line:?}");
                    args.words.clear();
                    assert_ne!(args, Args::default(), "{line:?} sets nothing");
                    assert_eq!(*seen.get_or_insert_with(|| read_once(&line)), args, "{line:?}");
                }
            }
        }
    }
}

fn read_once(line: &[String]) -> Args {
    let mut args = read(&line.iter().map(String::as_str).collect::<Vec<_>>()).1;
    args.words.clear();
    args
}

#[test]
fn every_global_flag_sets_something() {
    for flag in GLOBAL {
        for spelling in spellings(flag) {
            let mut line: Vec<&str> = spelling.iter().map(String::as_str).collect();
            line.push("features");
            let (request, args) = read(&line);
            assert!(matches!(request, Ok(Request::Command(_))), "{line:?}: {request:?}");
            assert_ne!(args, Args::default(), "{line:?} sets nothing");
        }
    }
}

/// Given twice, a list grows and everything else keeps the last.
#[test]
fn repeated_flags() {
    for command in COMMANDS {
        for flag in command.flags().filter(|f| !sample(f).is_empty()) {
            let (name, value) = (format!("--{}", flag.long), sample(flag));
            let mut line = vec![command.word, &name, value, &name, value];
            let words = words_for(command);
            line.extend(words.iter().map(String::as_str));
            let twice = read(&line).1;
            line.drain(1..3);
            assert_eq!(twice != read(&line).1, flag.repeats, "{line:?}");
        }
    }
    assert_eq!(ok("create --bundle a --bundle b x").1.bundle, Some("b".into()));
    assert!(!ok("run --detach --detach=false x").1.detach);
}

#[test]
fn a_missing_value_is_named() {
    for (scope, flag) in COMMANDS
        .iter()
        .flat_map(|c| c.flags().map(move |f| (Some(c.word), f)))
        .chain(GLOBAL.iter().map(|f| (None, f)))
    {
        if !sample(flag).is_empty() {
            let line = format!("{} --{}", scope.unwrap_or_default(), flag.long);
            assert_eq!(refused(&line).0, format!("flag needs an argument: --{}", flag.long));
        }
    }
}

/// Every misuse of every flag is refused in a sentence that names the flag.
#[test]
fn a_wrong_value_is_named_with_its_flag() {
    use super::table::Takes;
    use std::os::unix::ffi::OsStringExt;
    let commands = COMMANDS.iter().flat_map(|c| c.flags().map(move |f| (c.word, f)));
    for (command, flag) in GLOBAL.iter().map(|f| ("", f)).chain(commands) {
        let refusal = |value: OsString| {
            let mut word = OsString::from(format!("--{}=", flag.long));
            word.push(value);
            let line = [command.into(), word].into_iter().filter(|word| !word.is_empty());
            parse("orlop", line, &mut Args::default()).expect_err(flag.long).0
        };
        let name = flag.long;
        let wrong = |value: &str, why: &str| format!("invalid value \"{value}\" for flag --{name}: {why}");
        match &flag.kind {
            Kind::Switch(_) => assert_eq!(refusal("maybe".into()), wrong("maybe", "must be true or false")),
            Kind::Path(_) => assert_eq!(refusal("".into()), wrong("", "must be a path")),
            Kind::Number(_) => {
                for value in ["x", "", "-1", "+1", "1.5", " 1", "99999999999"] {
                    assert_eq!(refusal(value.into()), wrong(value, "must be a number"));
                }
            }
            Kind::Text(_) => {
                let odd = refusal(OsString::from_vec(vec![b'x', 0xff]));
                assert!(odd.ends_with(&format!("for flag --{name}: must be UTF-8")), "{odd}");
                if let Takes::OneOf(_) = flag.takes() {
                    assert!(refusal("nonsense".into()).starts_with(&wrong("nonsense", "")));
                }
            }
        }
    }
    for place in COMMANDS.iter().map(|c| c.word).chain([""]) {
        for word in ["--no-such-flag", "-no-such-flag", "--no-such-flag=x", "-no-such-flag=x"] {
            let message = refused(&format!("{place} {word}")).0;
            assert_eq!(message, "flag provided but not defined: -no-such-flag", "{place} {word}");
        }
    }
}

#[test]
fn the_table_is_sound() {
    let words: Vec<&str> = COMMANDS.iter().map(|c| c.word).collect();
    assert!(words.is_sorted(), "help lists the commands in this order: {words:?}");
    for command in COMMANDS {
        let mut names: Vec<&str> = command.flags().map(|f| f.long).collect();
        let mut letters: Vec<char> = command.flags().filter_map(|f| f.short).collect();
        let count = (names.len(), letters.len());
        names.sort_unstable();
        names.dedup();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!((names.len(), letters.len()), count, "{}: a name twice", command.word);
        assert!(!letters.contains(&'h'), "{}: -h is help", command.word);
        for flag in command.flags() {
            assert_eq!(flag.value.is_empty(), matches!(flag.kind, Kind::Switch(_)), "--{}", flag.long);
            assert!(flag.long.len() > 1, "one letter is a short flag");
        }
    }
}

#[test]
fn help_names_everything() {
    let all = help::program("runc", "1.2.3\n");
    assert!(all.starts_with("NAME:\n   runc - Open Container Initiative runtime\n"));
    for flag in GLOBAL {
        assert!(all.contains(&format!("   --{}", flag.long)) && all.contains(flag.doc));
    }
    for command in COMMANDS {
        assert!(all.contains(&format!("\n   {} ", command.word)), "{}", command.word);
        let own = help::command("runc", command);
        assert!(own.starts_with(&format!("NAME:\n   runc {} - ", command.word)));
        assert!(!own.contains("{name}") && !own.contains("orlop "), "{own}");
        for flag in command.flags() {
            assert!(own.contains(&format!("   --{}", flag.long)) && own.contains(flag.doc));
        }
        let mut lines =
            vec![vec![command.word, "--help"], vec!["help", command.word], vec![command.word, "x", "-h"]];
        // Behind the id stand options of ps(1).
        lines.truncate(if command.name == Name::Ps { 2 } else { 3 });
        for line in lines {
            match read(&line).0 {
                Ok(Request::Help(Some(c))) => assert_eq!(c.word, command.word),
                other => panic!("{line:?}: {other:?}"),
            }
        }
    }
    for line in [&[][..], &["--help"], &["-h"], &["help"], &["h"], &["--debug", "-help"]] {
        assert!(matches!(read(line).0, Ok(Request::Help(None))), "{line:?}");
    }
    for line in [["--version"], ["-v"], ["-version"]] {
        assert!(matches!(read(&line).0, Ok(Request::Version)));
    }
}

#[test]
fn mistakes() {
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
        assert_eq!(refused(line).0, message, "{line}");
    }
    // What comes before the mistake counts: it says where the mistake is logged.
    let (request, args) = read(&["--log", "/l", "--log-format=json", "state", "--bogus"]);
    assert!(request.is_err());
    assert_eq!((args.log, args.log_format), (Some("/l".into()), Some(Format::Json)));
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
        let (command, args) = ok(line);
        assert_eq!(command.name, Name::Exec);
        assert_eq!(args.words.join(" ".as_ref()), *words, "{line}");
        assert_eq!(args.tty, tty, "{line}");
    }
    let (_, args) = ok("exec -dtu 1:2 -e A=1 -e B= -g 5 -g 6 -c CAP_KILL --cgroup cpu:/a --cgroup b x sh");
    assert!(args.detach && args.tty);
    assert_eq!(args.user, Some((1, Some(2))));
    assert_eq!(args.env, ["A=1", "B="]);
    assert_eq!(args.additional_gids, [5, 6]);
    assert_eq!(args.cgroups, ["cpu:/a", "b"]);
    assert_eq!(ok("exec -p - x").1.process, Some("-".into()));
    assert_eq!(ok("exec --process=- x").1.process, Some("-".into()));
}

#[test]
fn words_which_are_not_utf8_are_kept() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![b'/', 0xff]);
    let mut args = Args::default();
    let line = ["create".into(), "--bundle".into(), odd.clone(), odd.clone()];
    parse("orlop", line, &mut args).unwrap();
    assert_eq!((args.bundle, args.words), (Some(odd.clone().into()), vec![odd.clone()]));
    let mut line = OsString::from("--cwd=");
    line.push(&odd);
    let error = parse("orlop", ["exec".into(), line, "x".into()], &mut Args::default()).unwrap_err();
    assert!(error.0.ends_with("for flag --cwd: must be UTF-8"), "{error:?}");
}

/// Calls recorded from containerd's shim, dockerd, BuildKit, conmon, podman and buildah: the words,
/// and the count of words which are no flags.
const RECORDED: &[(&str, usize)] = &[
    ("state c1", 1),
    ("start c1", 1),
    ("delete c1", 1),
    ("create --bundle /b --pid-file /p c1", 1),
    ("create --bundle /b --pid-file /p --no-new-keyring c1", 1),
    ("kill c1 SIGKILL", 2),
    ("create --bundle /b --pid-file /p --console-socket /s c1", 1),
    ("--log-format=json --log /l create --bundle /b --pid-file /p c1", 1),
    ("--log-format=json --log /l exec --pid-file /p --process /j --detach c1", 1),
    ("--log-format=json --log /l exec --pid-file /p --process /j --detach --preserve-fds 1 c1", 1),
    ("--log-format=json --log /l create --bundle /b --pid-file /p --console-socket /s c1", 1),
    ("--log-format=json --log /l exec --pid-file /p --process /j --detach --console-socket /s c1", 1),
    ("--log-format=json --log /l exec --pid-file /p --process /j --detach --tty --console-socket /s c1", 1),
    ("--systemd-cgroup --log-format=json --log /l create --bundle /b --pid-file /p c1", 1),
    ("--debug --root=/r --log-format=json --log /l create --bundle /b --pid-file /p c1", 1),
    ("--root /r --log /l --log-format json create --bundle /b --pid-file /p c1", 1),
    ("--root /r --log /l --log-format json delete c1", 1),
    ("--root /r --log /l --log-format json start c1", 1),
    ("--root /r --log /l --log-format json delete --force c1", 1),
    ("--root /r --log /l --log-format json kill --all c1 9", 2),
    ("--root /r --log /l --log-format json kill c1 15", 2),
    ("--root /r --log /l --log-format json exec --process /j --detach --pid-file /p c1", 1),
    ("--root /r --log /l --log-format json create --bundle /b --pid-file /p --console-socket /s c1", 1),
    (
        "--root /r --log /l --log-format json exec --process /j --console-socket /s --detach --pid-file /p c1",
        1,
    ),
    ("features", 0),
    ("--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p c1", 1),
    ("--root /r --log /l --log-format json create --bundle /b --pid-file /p --no-pivot c1", 1),
    ("--log /l --log-format json run --bundle /b --keep c1", 1),
    ("--log /l --log-format json delete c1", 1),
    ("--log /l --log-format json run --bundle /b c1", 1),
    ("delete --force c1", 1),
    ("kill c1 9", 2),
    ("kill --all c1 9", 2),
    ("kill c1", 1),
    ("--debug --root=/r start c1", 1),
    ("--debug --root=/r delete --force c1", 1),
];

#[test]
fn recorded_calls() {
    for (line, words) in RECORDED {
        let (command, args) = ok(line);
        let has = |flag: &str| line.split([' ', '=']).any(|w| w == flag);
        assert_eq!(args.words.len(), *words, "{line}");
        assert!(args.words.first().is_none_or(|w| w == "c1"), "{line}");
        assert_eq!(args.root, has("--root").then(|| "/r".into()), "{line}");
        assert_eq!(args.log, has("--log").then(|| "/l".into()), "{line}");
        assert_eq!(args.log_format, has("--log").then_some(Format::Json), "{line}");
        assert_eq!(args.log_level, has("--debug").then_some(Level::Debug), "{line}");
        assert_eq!(args.bundle, has("--bundle").then(|| "/b".into()), "{line}");
        assert_eq!(args.pid_file, has("--pid-file").then(|| "/p".into()), "{line}");
        assert_eq!(args.console_socket, has("--console-socket").then(|| "/s".into()), "{line}");
        assert_eq!(args.process, has("--process").then(|| "/j".into()), "{line}");
        assert_eq!(args.cgroup_manager, has("--systemd-cgroup").then_some(CgroupManager::Systemd), "{line}");
        assert_eq!(args.no_pivot, has("--no-pivot"), "{line}");
        assert_eq!(args.no_new_keyring, has("--no-new-keyring"), "{line}");
        assert_eq!(args.detach, has("--detach"), "{line}");
        assert_eq!(args.tty, has("--tty"), "{line}");
        assert_eq!(args.keep, has("--keep"), "{line}");
        assert_eq!(args.all, has("--all"), "{line}");
        assert_eq!(args.force, has("--force"), "{line}");
        assert_eq!(args.preserve_fds, u32::from(has("--preserve-fds")), "{line}");
        assert!(line.contains(command.word));
    }
    for line in ["--version", "run --help"] {
        assert!(read(&line.split(' ').collect::<Vec<_>>()).0.is_ok(), "{line}");
    }
}
