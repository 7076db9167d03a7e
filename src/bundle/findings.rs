//! Problems of a document, and the JSON pointers of its values.

use crate::Problem;

/// The JSON pointer of a value (RFC 6901): a linked list on the stack, which becomes text only if there is a problem.
#[derive(Clone, Copy)]
pub(crate) struct Pointer<'p> {
    parent: Option<&'p Pointer<'p>>,
    token: Token<'p>,
}

#[derive(Clone, Copy)]
enum Token<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Pointer<'p> {
    pub(crate) const ROOT: Pointer<'static> = Pointer { parent: None, token: Token::Root };

    pub(crate) fn key(&'p self, key: &'p str) -> Pointer<'p> {
        Pointer { parent: Some(self), token: Token::Key(key) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Pointer<'p> {
        Pointer { parent: Some(self), token: Token::Index(index) }
    }

    /// The pointer as text.
    pub(crate) fn pointer(&self) -> String {
        let mut text = self.parent.map_or_else(String::new, Pointer::pointer);
        match self.token {
            Token::Root => {}
            Token::Key(key) => {
                text.push('/');
                for c in key.chars() {
                    match c {
                        '~' => text.push_str("~0"),
                        '/' => text.push_str("~1"),
                        c => text.push(c),
                    }
                }
            }
            Token::Index(index) => {
                text.push('/');
                text.push_str(&index.to_string());
            }
        }
        text
    }
}

/// What the readers and the validator have found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Findings {
    pub(crate) fn error(&mut self, at: &Pointer<'_>, section: &'static str, message: impl Into<String>) {
        self.errors.push(Problem::new(at.pointer(), message, section));
    }

    pub(crate) fn warn(&mut self, at: &Pointer<'_>, section: &'static str, message: impl Into<String>) {
        self.warnings.push(Problem::new(at.pointer(), message, section));
    }
}
