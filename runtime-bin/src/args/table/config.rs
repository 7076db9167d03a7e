//! What is about a configuration: `spec`, `plan`.

use super::{Command, Flag, Name, path, switch};

static SPEC_FLAGS: &[Flag] = &[
    path(
        "bundle",
        Some('b'),
        "DIR",
        "directory to write config.json to (default: the current directory)",
        |a, v| {
            a.bundle = Some(v);
        },
    ),
    switch("rootless", None, "write a configuration that works without root", |a, on| a.spec_rootless = on),
];

static PLAN_FLAGS: &[Flag] = &[path(
    "config",
    Some('f'),
    "FILE",
    "configuration to use (default: config.json in the bundle)",
    |a, v| {
        a.config = Some(v);
    },
)];

pub(super) static SPEC: Command = Command {
    word: "spec",
    name: Name::Spec,
    summary: "write a config.json to start from",
    usage: "",
    text: "The container it describes runs \"sh\" in the directory rootfs, read-only, with a terminal.\n\
        Edit it as needed.\n\n\
        EXAMPLE:\n    mkdir -p box/rootfs && cd box\n    {name} spec\n    {name} run box",
    words: (0, 0),
    flags: &[SPEC_FLAGS],
};

pub(super) static PLAN: Command = Command {
    word: "plan",
    name: Name::Plan,
    summary: "explain what a bundle would do, without doing it",
    usage: "[bundle]",
    text: "Compiles the bundle (default: the current directory) and prints each step which the host side\n\
        and the container's init would take, with the place in config.json that asked for it. Needs no\n\
        root and touches nothing.",
    words: (0, 1),
    flags: &[PLAN_FLAGS],
};
