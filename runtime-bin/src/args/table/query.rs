//! What asks: `state`, `list`, `features`.

use super::{Command, Flag, ListFormat, Name, switch, text};

static LIST_FLAGS: &[Flag] = &[
    text("format", Some('f'), "table|json", "how to print (default: table)", |a, v| {
        a.list_format = Some(match v.as_str() {
            "table" => ListFormat::Table,
            "json" => ListFormat::Json,
            _ => return Err("invalid format option: must be table or json".into()),
        });
        Ok(())
    }),
    switch("quiet", Some('q'), "print the ids only", |a, on| a.quiet = on),
];

pub(super) static STATE: Command = Command {
    word: "state",
    name: Name::State,
    summary: "output the state of a container as JSON",
    usage: "<container-id>",
    text: "The form is runtime.md#state of the runtime-spec, with rootfs, created and owner added.",
    words: (1, 1),
    flags: &[],
};

pub(super) static LIST: Command = Command {
    word: "list",
    name: Name::List,
    summary: "list the containers of the state directory",
    usage: "",
    text: "The directory is the one of the global flag --root.",
    words: (0, 0),
    flags: &[LIST_FLAGS],
};

pub(super) static FEATURES: Command = Command {
    word: "features",
    name: Name::Features,
    summary: "show what this runtime can do, as JSON",
    usage: "",
    text: "The form is features.md of the runtime-spec.",
    words: (0, 0),
    flags: &[],
};
