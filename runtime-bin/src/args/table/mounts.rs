//! `mounts`

use super::{Command, Name};

pub(super) static MOUNTS: Command = Command {
    word: "mounts",
    name: Name::Mounts,
    summary: "add mounts to a running container, or remove some",
    usage: "<add|remove> <container-id> <file>",
    text: "FILE (- for stdin) holds mounts as config.json has them: the array, or an object with \"mounts\".\n\
        \"add\" mounts them in the container in this order, or none of them. \"remove\" unmounts what is at\n\
        their destinations; nothing else of them counts.\n\n\
        EXAMPLE:\n    echo '[{\"destination\": \"/data\", \"source\": \"/srv\", \"options\": [\"rbind\", \"ro\"]}]' |\n\
        \x20       {name} mounts add box -",
    words: (3, 3),
    flags: &[],
};
