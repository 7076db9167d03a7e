//! Commands about a configuration: `spec`, `plan`.

use super::command::{Command, CommandId};
use super::flag::{Flag, path, switch};

static SPEC_FLAGS: &[Flag] = &[
    path(
        "bundle",
        Some('b'),
        "DIR",
        "directory to write config.json to (default: the current directory)",
        |args, v| args.bundle = Some(v),
    ),
    switch("rootless", None, "write a configuration that works without root", |args, on| {
        args.spec_rootless = on;
    }),
];

static PLAN_FLAGS: &[Flag] = &[path(
    "config",
    Some('f'),
    "FILE",
    "configuration to use (default: config.json in the bundle)",
    |args, v| args.config = Some(v),
)];

pub(super) static SPEC: Command = Command {
    name: "spec",
    id: CommandId::Spec,
    summary: "write a config.json to start from",
    usage: "",
    description: "The container it describes runs \"sh\" in the directory rootfs, read-only, with a terminal.\n\
        Edit it as needed.\n\n\
        EXAMPLE:\n    mkdir -p box/rootfs && cd box\n    {name} spec\n    {name} run box",
    operands: (0, 0),
    flags: &[SPEC_FLAGS],
};

pub(super) static PLAN: Command = Command {
    name: "plan",
    id: CommandId::Plan,
    summary: "explain what running a bundle would do, without running it",
    usage: "[bundle]",
    description: "Compiles the bundle (default: the current directory) and prints each step that the host side\n\
        and the container's init would take, with the setting in config.json that asked for it. Does not\n\
        need root and changes nothing.",
    operands: (0, 1),
    flags: &[PLAN_FLAGS],
};
