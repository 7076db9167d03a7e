//! Command lines that managers really use.

use super::samples::{accepted, parsed};
use crate::log::{LogFormat, LogLevel};
use orlop::container::CgroupManager;

/// Calls recorded from containerd's shim, dockerd, BuildKit, conmon, podman and buildah: the command
/// line, and how many operands it has.
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
fn command_lines_of_managers_are_understood() {
    for (line, operands) in RECORDED {
        let (command, args) = accepted(line);
        let has = |flag: &str| line.split([' ', '=']).any(|w| w == flag);
        assert_eq!(args.operands.len(), *operands, "{line}");
        assert!(args.operands.first().is_none_or(|w| w == "c1"), "{line}");
        assert_eq!(args.root, has("--root").then(|| "/r".into()), "{line}");
        assert_eq!(args.log, has("--log").then(|| "/l".into()), "{line}");
        assert_eq!(args.log_format, has("--log").then_some(LogFormat::Json), "{line}");
        assert_eq!(args.log_level, has("--debug").then_some(LogLevel::Debug), "{line}");
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
        assert!(line.contains(command.name));
    }
    for line in ["--version", "run --help"] {
        assert!(parsed(&line.split(' ').collect::<Vec<_>>()).0.is_ok(), "{line}");
    }
}
