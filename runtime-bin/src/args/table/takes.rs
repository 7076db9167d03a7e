//! What values and words are, for those who complete them.

use super::{Command, Flag, Kind, Name};

/// What a value or a word is: how a shell completes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// There is none.
    Nothing,
    /// A directory of the host.
    Directory,
    /// A file of the host.
    File,
    /// A Unix socket of the host.
    Socket,
    /// One of these words, between `|`.
    OneOf(&'static str),
    /// The id of a container that exists.
    Container,
    /// A signal.
    Signal,
    /// The name of a command.
    Command,
    /// What nobody can guess.
    Anything,
}

impl Takes {
    /// `a|b|c` in small letters is a choice; everything else is the name of something.
    fn choice(text: &'static str) -> Self {
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let words = || text.split('|');
        let choice = words().count() > 1 && words().all(|word| !word.is_empty() && word.chars().all(small));
        if choice { Self::OneOf(text) } else { Self::Anything }
    }
}

impl Flag {
    /// What its value is, by the name which help has for it: a path is a `DIR`, a `FILE` or a `SOCKET`,
    /// a text of few possible values has them all, between `|`.
    pub(crate) fn takes(&self) -> Takes {
        match (&self.kind, self.value) {
            (Kind::Switch(_), _) => Takes::Nothing,
            (Kind::Path(_), "DIR") => Takes::Directory,
            (Kind::Path(_), "SOCKET") => Takes::Socket,
            (Kind::Path(_), _) => Takes::File,
            (_, value) => Takes::choice(value),
        }
    }
}

impl Command {
    /// What its words are, by the names which the usage line has for them.
    pub(crate) fn takes(&self) -> impl Iterator<Item = Takes> {
        let new = matches!(self.word, "create" | "run" | "restore");
        let words = self.usage.split("  ||").next().unwrap_or_default().split_whitespace();
        words.map(move |word| match word.trim_matches(['<', '>', '[', ']']) {
            "container-id" if new => Takes::Anything,
            "container-id" => Takes::Container,
            "signal" => Takes::Signal,
            "bundle" => Takes::Directory,
            "file" => Takes::File,
            "command" if self.name == Name::Man => Takes::Command,
            word => Takes::choice(word),
        })
    }
}
