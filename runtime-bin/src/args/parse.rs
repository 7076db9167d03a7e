//! From words to [`Args`], by the table.
//!
//! Callers of OCI runtimes write flags in all of Go's manners: `--flag value`, `--flag=value`,
//! `-flag`, `-f`, behind the id as well as before it. All are understood here, and several letters
//! behind one dash besides.

use super::Args;
use super::table::{COMMANDS, Command, Flag, GLOBAL, Kind, digits};
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Request {
    /// Print the program's help, or a command's.
    Help(Option<&'static Command>),
    /// Print the version.
    Version,
    /// Do the command.
    Command(&'static Command),
}

/// A mistake on the command line: the sentence about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Usage(pub(crate) String);

impl Usage {
    fn new(message: String) -> Self {
        Self(message)
    }

    fn no_topic(word: &OsStr) -> Self {
        Self::new(format!("No help topic for '{}'", word.display()))
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word)
    }
}

/// What one word of the command line turned out to be.
enum Token {
    Flag(&'static Flag, Option<OsString>),
    Help,
    Version,
    Word(OsString),
    End,
}

/// The flags which are valid at this place of the command line.
#[derive(Clone, Copy)]
struct Scope(Option<&'static Command>);

impl Scope {
    fn find(self, matches: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
        match self.0 {
            None => GLOBAL.iter().find(|f| matches(f)),
            Some(command) => command.flags().find(|f| matches(f)),
        }
    }

    fn long(self, name: &[u8]) -> Option<Token> {
        match name {
            b"help" => Some(Token::Help),
            b"version" if self.0.is_none() => Some(Token::Version),
            _ => self.find(|f| f.long.as_bytes() == name).map(|f| Token::Flag(f, None)),
        }
    }

    fn short(self, letter: char) -> Option<Token> {
        match letter {
            'h' => Some(Token::Help),
            'v' if self.0.is_none() => Some(Token::Version),
            _ => self.find(|f| f.short == Some(letter)).map(|f| Token::Flag(f, None)),
        }
    }

    /// Whether all letters behind one dash are flags, and none but the last takes a value.
    fn cluster(self, letters: &[u8]) -> bool {
        letters.iter().enumerate().all(|(i, letter)| match self.short(char::from(*letter)) {
            Some(Token::Flag(flag, _)) => i + 1 == letters.len() || matches!(flag.kind, Kind::Switch(_)),
            other => other.is_some(),
        })
    }

    fn unknown(self, name: &[u8]) -> Usage {
        let name = String::from_utf8_lossy(name);
        let mut message = format!("flag provided but not defined: -{name}");
        if self.0.is_some() && GLOBAL.iter().any(|f| f.long == name) {
            message += "; it is a global flag, which goes before the command";
        }
        Usage::new(message)
    }
}

/// The words of the command line, with the state that reading them has.
struct Words {
    parser: Parser,
    /// Whether `--` has gone by.
    ended: bool,
}

impl Words {
    fn next(&mut self, scope: Scope) -> Result<Token, Usage> {
        if !self.ended
            && let Some(token) = self.single_dash(scope)?
        {
            return Ok(token);
        }
        let token = match self.parser.next().map_err(|e| Usage::new(e.to_string()))? {
            None => return Ok(Token::End),
            Some(Arg::Value(word)) => return Ok(Token::Word(word)),
            Some(Arg::Short(letter)) => {
                return scope.short(letter).ok_or_else(|| scope.unknown(letter.to_string().as_bytes()));
            }
            Some(Arg::Long(name)) => {
                scope.long(name.as_bytes()).ok_or_else(|| scope.unknown(name.as_bytes()))?
            }
        };
        match token {
            Token::Flag(flag, None) => Ok(Token::Flag(flag, self.parser.optional_value())),
            token => Ok(token),
        }
    }

    /// `-flag`, `-flag=value` and `-f=value`, which the tokenizer would take for letters; and a
    /// refusal of what is neither a name nor letters.
    fn single_dash(&mut self, scope: Scope) -> Result<Option<Token>, Usage> {
        let Some(mut raw) = self.parser.try_raw_args() else { return Ok(None) };
        let Some(word) = raw.peek().map(OsStr::as_bytes) else { return Ok(None) };
        self.ended = word == b"--";
        let Some(rest) = word.strip_prefix(b"-") else { return Ok(None) };
        if rest.len() < 2 || rest[0] == b'-' {
            return Ok(None);
        }
        let (name, value) = match rest.iter().position(|b| *b == b'=') {
            Some(at) => (&rest[..at], Some(OsString::from_vec(rest[at + 1..].to_vec()))),
            None => (rest, None),
        };
        let found = match name {
            [letter] => scope.short(char::from(*letter)),
            name => scope.long(name),
        };
        let token = match found {
            Some(Token::Flag(flag, _)) => Token::Flag(flag, value),
            Some(token) => token,
            None if value.is_none() && scope.cluster(name) => return Ok(None),
            None => return Err(scope.unknown(name)),
        };
        raw.next();
        Ok(Some(token))
    }

    /// The rest as it is, without looking for flags.
    fn rest(&mut self) -> Vec<OsString> {
        self.parser.try_raw_args().map(Iterator::collect).unwrap_or_default()
    }

    fn apply(&mut self, flag: &Flag, value: Option<OsString>, args: &mut Args) -> Result<(), Usage> {
        let wrong = |value: &OsStr, why: &str| {
            Usage::new(format!("invalid value \"{}\" for flag --{}: {why}", value.display(), flag.long))
        };
        if let Kind::Switch(set) = flag.kind {
            let on = match value.as_deref() {
                None => true,
                Some(v) => match v.as_bytes() {
                    b"true" | b"1" => true,
                    b"false" | b"0" => false,
                    _ => return Err(wrong(v, "must be true or false")),
                },
            };
            set(args, on);
            return Ok(());
        }
        let value = match value {
            Some(value) => value,
            None => self
                .parser
                .value()
                .map_err(|_| Usage::new(format!("flag needs an argument: --{}", flag.long)))?,
        };
        match flag.kind {
            Kind::Switch(_) => {}
            Kind::Path(_) if value.is_empty() => return Err(wrong(&value, "must be a path")),
            Kind::Path(set) => set(args, value.into()),
            Kind::Number(set) => match value.to_str().and_then(digits) {
                Some(number) => set(args, number),
                None => return Err(wrong(&value, "must be a number")),
            },
            Kind::Text(set) => match value.into_string() {
                Ok(text) => set(args, text.clone()).map_err(|why| wrong(OsStr::new(&text), &why))?,
                Err(value) => return Err(wrong(&value, "must be UTF-8")),
            },
        }
        Ok(())
    }
}

/// Reads the words behind the program's name. `args` is filled as far as reading came, so that a
/// mistake behind `--log` is logged where it should be.
pub(crate) fn parse(
    program: &str,
    words: impl IntoIterator<Item = OsString>,
    args: &mut Args,
) -> Result<Request, Usage> {
    let mut words = Words { parser: Parser::from_args(words), ended: false };
    let word = loop {
        match words.next(Scope(None))? {
            Token::Flag(flag, value) => words.apply(flag, value, args)?,
            Token::Help | Token::End => return Ok(Request::Help(None)),
            Token::Version => return Ok(Request::Version),
            Token::Word(word) => break word,
        }
    };
    if word == "help" || word == "h" {
        return match words.next(Scope(None))? {
            Token::Word(word) => find(&word).map(|c| Request::Help(Some(c))),
            _ => Ok(Request::Help(None)),
        };
    }
    let command = find(&word)?;
    words.ended = false;
    loop {
        match words.next(Scope(Some(command)))? {
            Token::Flag(flag, value) => words.apply(flag, value, args)?,
            Token::Help | Token::Version => return Ok(Request::Help(Some(command))),
            Token::End => break,
            Token::Word(word) => {
                args.words.push(word);
                if command.own_words() == Some(args.words.len()) {
                    args.words.extend(words.rest());
                }
            }
        }
    }
    check_count(program, command, args.words.len())?;
    Ok(Request::Command(command))
}

/// The command of that name.
pub(crate) fn find(word: &OsStr) -> Result<&'static Command, Usage> {
    COMMANDS.iter().copied().find(|c| word == c.word).ok_or_else(|| Usage::no_topic(word))
}

fn check_count(program: &str, command: &Command, count: usize) -> Result<(), Usage> {
    let (least, most) = command.words;
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let number = match (least, most) {
        (least, most) if least == most => format!("exactly {least}"),
        (least, _) if count < least => format!("a minimum of {least}"),
        (_, most) => format!("a maximum of {most}"),
    };
    let word = command.word;
    Err(Usage::new(format!(
        "{program}: \"{word}\" requires {number} argument(s); see \"{program} {word} --help\""
    )))
}
