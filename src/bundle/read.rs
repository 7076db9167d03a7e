//! Typed readers over a [`Document`]: they collect every problem with its JSON pointer and never stop
//! at the first one. `null` counts as absent everywhere, as the managers' encoder means it.

use super::node::{Document, Node, Property, Value};
use crate::{Error, ErrorKind, Phase, Problem};
use std::collections::BTreeMap;

/// A place in the document: a chain on the stack, made into text only when there is a problem.
#[derive(Clone, Copy)]
pub(crate) struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> At<'p> {
    pub(crate) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    pub(crate) fn key(&'p self, key: &'p str) -> At<'p> {
        At { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index(&'p self, index: usize) -> At<'p> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    /// The RFC 6901 pointer of this place.
    pub(crate) fn pointer(&self) -> String {
        let mut text = self.parent.map_or_else(String::new, At::pointer);
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                text.push('/');
                for c in key.chars() {
                    match c {
                        '~' => text.push_str("~0"),
                        '/' => text.push_str("~1"),
                        c => text.push(c),
                    }
                }
            }
            Step::Index(index) => {
                text.push('/');
                text.push_str(&index.to_string());
            }
        }
        text
    }
}

/// Where readers and the validator put what they find.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Findings {
    pub(crate) fn error(&mut self, at: &At<'_>, section: &'static str, message: impl Into<String>) {
        self.errors.push(Problem { pointer: at.pointer(), message: message.into(), section });
    }

    pub(crate) fn warn(&mut self, at: &At<'_>, section: &'static str, message: impl Into<String>) {
        self.warnings.push(Problem { pointer: at.pointer(), message: message.into(), section });
    }

    fn wrong_type(&mut self, at: &At<'_>, section: &'static str, want: &str, value: Value<'_>) {
        self.error(at, section, format!("must be {want}, not {}", value.describe()));
    }
}

/// What can be read from a node.
pub(crate) trait Read: Sized + Default {
    /// Reads `value`, which is not null; on a problem notes it and gives the default.
    fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self;

    /// Whether the value is the one that stands for an absent property.
    fn is_absent(&self) -> bool;
}

/// How a property behaves when it is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Optional,
    /// REQUIRED by the spec: its absence is an error. Always written.
    Required,
    /// REQUIRED by the spec, but generally taken as 0 or false: its absence is a warning. Always written.
    Expected,
}

/// An object's properties.
#[derive(Clone, Copy)]
pub(crate) struct Object<'d> {
    whole: Value<'d>,
    properties: &'d [Property<'d>],
}

/// The properties of an object, or a problem.
pub(crate) fn object<'d>(
    value: Value<'d>,
    at: &At<'_>,
    section: &'static str,
    found: &mut Findings,
) -> Option<Object<'d>> {
    let properties = value.properties();
    if properties.is_none() {
        found.wrong_type(at, section, "an object", value);
    }
    properties.map(|properties| Object { whole: value, properties })
}

/// One property of an object; of repeated ones the last counts.
pub(crate) fn property<T: Read>(
    object: Object<'_>,
    name: &'static str,
    need: Need,
    at: &At<'_>,
    section: &'static str,
    found: &mut Findings,
) -> T {
    let at = at.key(name);
    match object.properties.iter().rev().find(|(key, _)| key == name) {
        Some((_, node)) if *node != Node::Null => T::read(object.whole.other(node), &at, section, found),
        _ => {
            match need {
                Need::Optional => {}
                Need::Required => found.error(&at, section, "is required"),
                Need::Expected => found.warn(&at, section, "is required; taken as 0 or false"),
            }
            T::default()
        }
    }
}

impl Read for bool {
    fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self {
        if let Node::Bool(flag) = value.node {
            return *flag;
        }
        found.wrong_type(at, section, "true or false", value);
        false
    }
    fn is_absent(&self) -> bool {
        !*self
    }
}

impl Read for String {
    fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self {
        match value.node {
            Node::String(text) if text.contains('\0') => {
                found.error(at, section, "must not contain a NUL character");
                Self::new()
            }
            Node::String(text) => text.as_ref().into(),
            _ => {
                found.wrong_type(at, section, "a string", value);
                Self::new()
            }
        }
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! integers {
    ($($ty:ty),*) => { $(
        impl Read for $ty {
            fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self {
                let number = match value.node {
                    Node::Unsigned(n) => <$ty>::try_from(*n).ok(),
                    Node::Negative(n) => <$ty>::try_from(*n).ok(),
                    _ => None,
                };
                number.unwrap_or_else(|| {
                    let want = format!("an integer from {} to {}", <$ty>::MIN, <$ty>::MAX);
                    found.wrong_type(at, section, &want, value);
                    0
                })
            }
            fn is_absent(&self) -> bool {
                *self == 0
            }
        }
    )* };
}
integers!(u16, u32, u64, i32, i64);

/// An optional value. The empty string counts as absent: that is how managers write it.
impl<T: Optional> Read for Option<T> {
    fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self {
        let before = found.errors.len();
        let inner = T::read(value, at, section, found);
        (found.errors.len() == before || !T::SCALAR).then_some(inner).filter(|v| !v.is_blank())
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// What may stand in an `Option` of the model.
pub(crate) trait Optional: Read {
    /// Scalars whose reading failed are absent; objects keep what could be read.
    const SCALAR: bool;

    fn is_blank(&self) -> bool {
        false
    }
}

macro_rules! optional_scalars {
    ($($ty:ty),*) => { $(impl Optional for $ty { const SCALAR: bool = true; })* };
}
optional_scalars!(bool, u16, u32, u64, i32, i64);

impl Optional for String {
    const SCALAR: bool = true;

    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Read> Optional for Vec<T> {
    const SCALAR: bool = false;
}

impl<T: Read> Read for Vec<T> {
    fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self {
        let Some(items) = value.items() else {
            found.wrong_type(at, section, "an array", value);
            return Self::new();
        };
        let items = items.iter().enumerate();
        items.map(|(i, item)| T::read(value.other(item), &at.index(i), section, found)).collect()
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: Value<'_>, at: &At<'_>, section: &'static str, found: &mut Findings) -> Self {
        let Some(object) = object(value, at, section, found) else { return Self::new() };
        // Of repeated keys only the last is read.
        let last: BTreeMap<&str, &Node<'_>> =
            object.properties.iter().map(|(key, node)| (key.as_ref(), node)).collect();
        let read = |(key, node): (&str, &Node<'_>)| {
            let inner = match node {
                Node::Null => T::default(),
                node => T::read(value.other(node), &at.key(key), section, found),
            };
            (key.to_owned(), inner)
        };
        last.into_iter().map(read).collect()
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// Reads a whole text as `T`.
pub(crate) fn document<T: Read>(text: &[u8]) -> crate::Result<T> {
    let (value, found) = collect(text)?;
    if found.errors.is_empty() { Ok(value) } else { Err(Error::invalid(found.errors)) }
}

/// Reads a whole text as `T`, with everything that was found on the way.
pub(crate) fn collect<T: Read>(text: &[u8]) -> crate::Result<(T, Findings)> {
    let document = Document::parse(text).map_err(|e| {
        Error::new(ErrorKind::InvalidConfig, Phase::Config, "invalid JSON").with_detail(e.to_string())
    })?;
    let mut found = Findings::default();
    let value = T::read(document.root(), &At::ROOT, "", &mut found);
    Ok((value, found))
}
