//! A Rust file as tokens and comments. Enough of the language for the rules of the house; no parser.

use crate::top;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// One token; `::`, `->` and `=>` are single tokens, a string keeps its quotes, other literals are `""`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// One line of a comment, without its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A file of Rust code.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Every token, those of tests too.
    pub(crate) all: Vec<Token>,
    /// The tokens outside of `#[cfg(test)]` and `#[test]` items.
    pub(crate) code: Vec<Token>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) lines: usize,
    /// Files that belong to a `#[cfg(test)] mod name;` of this file.
    pub(crate) test_modules: Vec<PathBuf>,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Self {
        Self::parse(path, &fs::read_to_string(path).unwrap())
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let (all, comments) = tokens(text);
        let (code, modules) = without_tests(&all);
        let directory = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let own = if ["mod", "lib", "main"].contains(&&*stem) {
            directory.to_owned()
        } else {
            directory.join(&*stem)
        };
        let test_modules = modules
            .into_iter()
            .flat_map(|module| [own.join(&module), own.join(format!("{module}.rs")), directory.join(&module)])
            .collect();
        Self { path: path.to_owned(), all, code, comments, lines: text.lines().count(), test_modules }
    }
}

/// Where there are Rust files.
const DIRECTORIES: [&str; 7] = ["src", "runtime-bin", "tests", "benches", "examples", "xtask", "fuzz"];

/// Every Rust file of the repository, read once.
fn all() -> &'static [Source] {
    static ALL: OnceLock<Vec<Source>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut paths = Vec::new();
        for directory in DIRECTORIES {
            collect(&top().join(directory), &mut paths);
        }
        paths.sort();
        paths.iter().map(|path| Source::read(path)).collect()
    })
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every Rust file below one of the directories.
pub(crate) fn files(directories: &[&str]) -> impl Iterator<Item = &'static Source> + use<> {
    let directories: Vec<PathBuf> = directories.iter().map(|directory| top().join(directory)).collect();
    all().iter().filter(move |source| directories.iter().any(|directory| source.path.starts_with(directory)))
}

/// The files below one of the directories that are not tests.
pub(crate) fn sources(directories: &[&str]) -> impl Iterator<Item = &'static Source> + use<> {
    static TESTS: OnceLock<HashSet<&Path>> = OnceLock::new();
    let tests = TESTS
        .get_or_init(|| all().iter().flat_map(|source| &source.test_modules).map(PathBuf::as_path).collect());
    files(directories).filter(|source| !source.path.ancestors().any(|part| tests.contains(part)))
}

/// The index after the bracket that closes the one at `open`.
pub(crate) fn after_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits off the items that are compiled for tests only, and names their modules that are files, or their paths.
fn without_tests(all: &[Token]) -> (Vec<Token>, Vec<String>) {
    let mut code = Vec::new();
    let mut modules = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if !is_test_attribute(all, at) {
            code.push(all[at].clone());
            at += 1;
            continue;
        }
        // Its other attributes, then the item up to its `;` or its braces.
        let mut path = None;
        while at < all.len() && all[at].text == "#" {
            let end = after_group(all, at + 1);
            if all[at + 2].text == "path" {
                path = Some(all[at + 4].text.trim_matches('"').to_owned());
            }
            at = end;
        }
        let item = at;
        while at < all.len() && all[at].text != ";" && all[at].text != "{" {
            at = if all[at].text == "(" { after_group(all, at) } else { at + 1 };
        }
        if at < all.len() && all[at].text == "{" {
            at = after_group(all, at);
        } else {
            let words = &all[item..at];
            if let Some(keyword) = words.iter().position(|token| token.text == "mod") {
                modules.extend(path.or_else(|| words.get(keyword + 1).map(|token| token.text.clone())));
            }
            at += 1;
        }
    }
    (code, modules)
}

fn is_test_attribute(all: &[Token], at: usize) -> bool {
    if all[at].text != "#" || all.get(at + 1).is_none_or(|token| token.text != "[") {
        return false;
    }
    let words: Vec<&str> =
        all[at + 2..after_group(all, at + 1)].iter().map(|token| token.text.as_str()).collect();
    words == ["test", "]"]
        || (words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not"))
}

fn tokens(text: &str) -> (Vec<Token>, Vec<Comment>) {
    let mut lexer =
        Lexer { text: text.chars().collect(), at: 0, line: 1, tokens: Vec::new(), comments: Vec::new() };
    while lexer.at < lexer.text.len() {
        lexer.next();
    }
    (lexer.tokens, lexer.comments)
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.text.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn advance(&mut self) {
        if self.peek(0) == '\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn push(&mut self, text: String, line: usize) {
        self.tokens.push(Token { text, line });
    }

    fn next(&mut self) {
        let line = self.line;
        match self.peek(0) {
            c if c.is_whitespace() => self.advance(),
            '/' if self.peek(1) == '/' => self.line_comment(),
            '/' if self.peek(1) == '*' => self.block_comment(),
            '"' => self.string(),
            '\'' => self.character_or_lifetime(),
            c if c.is_ascii_digit() => {
                while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
                    self.advance();
                }
                self.push("\"\"".into(), line);
            }
            c if c.is_alphabetic() || c == '_' => self.word(),
            c => {
                let pair = [c, self.peek(1)];
                let length = if [[':', ':'], ['-', '>'], ['=', '>']].contains(&pair) { 2 } else { 1 };
                self.push(pair[..length].iter().collect(), line);
                (0..length).for_each(|_| self.advance());
            }
        }
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.at < self.text.len() && self.peek(0) != '\n' {
            text.push(self.peek(0));
            self.advance();
        }
        let text = text.trim_start_matches('/').trim_start_matches('!').trim().to_owned();
        self.comments.push(Comment { text, line });
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        let mut text = String::new();
        let first = self.line;
        loop {
            match [self.peek(0), self.peek(1)] {
                ['/', '*'] => depth += 1,
                ['*', '/'] => depth -= 1,
                ['\0', _] => break,
                _ => {
                    text.push(self.peek(0));
                    self.advance();
                    continue;
                }
            }
            self.advance();
            self.advance();
            if depth == 0 {
                break;
            }
        }
        self.comments.extend(
            text.lines()
                .enumerate()
                .map(|(n, text)| Comment { text: text.trim().to_owned(), line: first + n }),
        );
    }

    fn string(&mut self) {
        let line = self.line;
        let start = self.at;
        self.advance();
        while self.at < self.text.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.advance();
            }
            self.advance();
        }
        self.advance();
        let end = self.at.min(self.text.len());
        self.push(self.text[start..end].iter().collect(), line);
    }

    fn raw_string(&mut self) {
        let line = self.line;
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.advance();
        }
        self.advance();
        while self.at < self.text.len() {
            let closes = self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#');
            self.advance();
            if closes {
                (0..hashes).for_each(|_| self.advance());
                break;
            }
        }
        self.push("\"\"".into(), line);
    }

    fn character_or_lifetime(&mut self) {
        let line = self.line;
        if self.peek(1) != '\\' && self.peek(2) != '\'' {
            self.advance();
            while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
                self.advance();
            }
            self.push("'".into(), line);
            return;
        }
        self.advance();
        while self.at < self.text.len() && self.peek(0) != '\'' {
            if self.peek(0) == '\\' {
                self.advance();
            }
            self.advance();
        }
        self.advance();
        self.push("\"\"".into(), line);
    }

    fn word(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            text.push(self.peek(0));
            self.advance();
        }
        let prefix = ["r", "b", "c", "br", "cr"].contains(&text.as_str());
        if prefix && text.contains('r') && (self.peek(0) == '"' || self.peek(0) == '#') {
            let mut ahead = 0;
            while self.peek(ahead) == '#' {
                ahead += 1;
            }
            if self.peek(ahead) == '"' {
                self.raw_string();
            } else {
                // A raw name: `r#type`.
                self.advance();
            }
        } else if prefix && self.peek(0) == '"' {
            self.string();
        } else if text == "b" && self.peek(0) == '\'' {
            self.character_or_lifetime();
        } else {
            self.push(text, line);
        }
    }
}

#[test]
fn a_file_is_read_as_tokens() {
    let text = "//! A \"quote'\nfn f<'a>(x: &'a str) { /* one /* two */ */ let c = '\\''; r#\"}\"#; b'{'; }\n\
        #[cfg(test)]\n#[path = \"file_tests.rs\"]\nmod tests; #[cfg(test)] mod others;\n#[test]\nfn t() { panic!() }\nstruct S;";
    let source = Source::parse(Path::new("src/room/file.rs"), text);
    let words: Vec<&str> = source.code.iter().map(|token| token.text.as_str()).collect();
    let expected = "fn f < ' > ( x : & ' str ) { let c = \"\" ; \"\" ; \"\" ; } struct S ;";
    assert_eq!(words.join(" "), expected);
    assert_eq!(source.code[3].line, 2);
    assert_eq!(source.comments[0].text, "A \"quote'");
    assert!(source.test_modules.contains(&"src/room/file/others.rs".into()));
    assert!(source.test_modules.contains(&"src/room/file_tests.rs".into()));
}
