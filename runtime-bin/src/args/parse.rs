//! From the words of the command line to [`LowArgs`], by the table.
//!
//! Callers of OCI runtimes write flags in all of Go's manners: `--flag value`, `--flag=value`, `-flag`, `-f`, after
//! the id as well as before it. All are accepted here, and several letters after one dash as well.

use super::low::LowArgs;
use super::table::{COMMANDS, Command, Flag, FlagSetter, GLOBAL_FLAGS};
use super::values::decimal;
use crate::failure::Failure;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Request<C> {
    /// Print the program's help, or a command's.
    Help(Option<&'static Command>),
    /// Print the version.
    Version,
    /// Run a command.
    Run(C),
}

/// What one word of the command line means.
enum Token {
    Flag(&'static Flag, Option<OsString>),
    Help,
    Version,
    Operand(OsString),
    End,
}

/// The flags that are valid here: those of the command, or the global ones before it.
#[derive(Clone, Copy)]
struct Scope(Option<&'static Command>);

impl Scope {
    fn find(self, matches: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
        match self.0 {
            None => GLOBAL_FLAGS.iter().find(|f| matches(f)),
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

    /// Whether all letters after one dash are flags, and only the last one may take a value.
    fn are_flags(self, letters: &[u8]) -> bool {
        letters.iter().enumerate().all(|(i, letter)| match self.short(char::from(*letter)) {
            Some(Token::Flag(flag, _)) => {
                i + 1 == letters.len() || matches!(flag.setter, FlagSetter::Switch(_))
            }
            other => other.is_some(),
        })
    }

    fn unknown_flag(self, name: &[u8]) -> Failure {
        let name = String::from_utf8_lossy(name);
        let mut message = format!("flag provided but not defined: -{name}");
        if self.0.is_some() && GLOBAL_FLAGS.iter().any(|f| f.long == name) {
            message += "; it is a global flag, which goes before the command";
        }
        Failure::new(message)
    }
}

/// The words of the command line that are still to be read.
struct Words {
    parser: Parser,
    /// Whether `--` has been read: no flags follow.
    no_more_flags: bool,
}

impl Words {
    fn next(&mut self, scope: Scope) -> Result<Token, Failure> {
        if !self.no_more_flags
            && let Some(token) = self.single_dash(scope)?
        {
            return Ok(token);
        }
        let token = match self.parser.next().map_err(|e| Failure::new(e.to_string()))? {
            None => return Ok(Token::End),
            Some(Arg::Value(word)) => return Ok(Token::Operand(word)),
            Some(Arg::Short(letter)) => {
                return scope.short(letter).ok_or_else(|| scope.unknown_flag(letter.to_string().as_bytes()));
            }
            Some(Arg::Long(name)) => {
                scope.long(name.as_bytes()).ok_or_else(|| scope.unknown_flag(name.as_bytes()))?
            }
        };
        match token {
            Token::Flag(flag, None) => Ok(Token::Flag(flag, self.parser.optional_value())),
            token => Ok(token),
        }
    }

    /// Reads `-flag`, `-flag=value` and `-f=value`, which lexopt would take for letters, and rejects a word that is
    /// neither a name nor letters.
    fn single_dash(&mut self, scope: Scope) -> Result<Option<Token>, Failure> {
        let Some(mut raw) = self.parser.try_raw_args() else { return Ok(None) };
        let Some(word) = raw.peek().map(OsStr::as_bytes) else { return Ok(None) };
        self.no_more_flags = word == b"--";
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
            None if value.is_none() && scope.are_flags(name) => return Ok(None),
            None => return Err(scope.unknown_flag(name)),
        };
        raw.next();
        Ok(Some(token))
    }

    /// The remaining words as they are, without looking for flags.
    fn rest(&mut self) -> Vec<OsString> {
        self.parser.try_raw_args().map(Iterator::collect).unwrap_or_default()
    }

    /// Sets a flag, whose value may be the next word.
    fn set(&mut self, flag: &Flag, value: Option<OsString>, args: &mut LowArgs) -> Result<(), Failure> {
        if let FlagSetter::Switch(set) = flag.setter {
            set(args, switch_value(flag, value.as_deref())?);
            return Ok(());
        }
        let value = match value {
            Some(value) => value,
            None => self
                .parser
                .value()
                .map_err(|_| Failure::new(format!("flag needs an argument: --{}", flag.long)))?,
        };
        match flag.setter {
            FlagSetter::Switch(_) => {}
            FlagSetter::Path(_) if value.is_empty() => return Err(invalid(flag, &value, "must be a path")),
            FlagSetter::Path(set) => set(args, value.into()),
            FlagSetter::Number(set) => match value.to_str().and_then(decimal) {
                Some(number) => set(args, number),
                None => return Err(invalid(flag, &value, "must be a number")),
            },
            FlagSetter::Text(set) => match value.into_string() {
                Ok(text) => {
                    set(args, text.clone()).map_err(|why| invalid(flag, OsStr::new(&text), &why))?;
                }
                Err(value) => return Err(invalid(flag, &value, "must be UTF-8")),
            },
        }
        Ok(())
    }
}

fn switch_value(flag: &Flag, value: Option<&OsStr>) -> Result<bool, Failure> {
    match value.map(|value| (value, value.as_bytes())) {
        None | Some((_, b"true" | b"1")) => Ok(true),
        Some((_, b"false" | b"0")) => Ok(false),
        Some((value, _)) => Err(invalid(flag, value, "must be true or false")),
    }
}

fn invalid(flag: &Flag, value: &OsStr, why: &str) -> Failure {
    Failure::new(format!("invalid value \"{}\" for flag --{}: {why}", value.display(), flag.long))
}

/// Reads the words after the program's name.
///
/// After a mistake, `args` holds the flags before it: `--log` says where the mistake is logged.
pub(super) fn parse(
    program: &str,
    words: impl IntoIterator<Item = OsString>,
    args: &mut LowArgs,
) -> Result<Request<&'static Command>, Failure> {
    let mut words = Words { parser: Parser::from_args(words), no_more_flags: false };
    let name = loop {
        match words.next(Scope(None))? {
            Token::Flag(flag, value) => words.set(flag, value, args)?,
            Token::Help | Token::End => return Ok(Request::Help(None)),
            Token::Version => return Ok(Request::Version),
            Token::Operand(word) => break word,
        }
    };
    if name == "help" || name == "h" {
        return match words.next(Scope(None))? {
            Token::Operand(name) => find_command(&name).map(|c| Request::Help(Some(c))),
            _ => Ok(Request::Help(None)),
        };
    }
    let command = find_command(&name)?;
    words.no_more_flags = false;
    loop {
        match words.next(Scope(Some(command)))? {
            Token::Flag(flag, value) => words.set(flag, value, args)?,
            Token::Help | Token::Version => return Ok(Request::Help(Some(command))),
            Token::End => break,
            Token::Operand(word) => {
                args.operands.push(word);
                if command.own_operands() == Some(args.operands.len()) {
                    args.operands.extend(words.rest());
                }
            }
        }
    }
    check_count(program, command, args.operands.len())?;
    Ok(Request::Run(command))
}

/// The command of that name.
pub(super) fn find_command(name: &OsStr) -> Result<&'static Command, Failure> {
    let found = COMMANDS.iter().copied().find(|c| name == c.name);
    found.ok_or_else(|| Failure::new(format!("No help topic for '{}'", name.display())))
}

fn check_count(program: &str, command: &Command, count: usize) -> Result<(), Failure> {
    let (least, most) = command.operands;
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let number = match (least, most) {
        (least, most) if least == most => format!("exactly {least}"),
        (least, _) if count < least => format!("a minimum of {least}"),
        (_, most) => format!("a maximum of {most}"),
    };
    let name = command.name;
    Err(Failure::new(format!(
        "{program}: \"{name}\" requires {number} argument(s); see \"{program} {name} --help\""
    )))
}
