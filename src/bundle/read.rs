//! Typed readers over a [`JsonDocument`]. They do not stop at a problem, and collect all of them with their JSON pointers.
//! `null` means absent everywhere, because the JSON encoders of managers write it for absent values.

use super::findings::{Findings, Pointer};
use super::json::{JsonDocument, JsonNode, JsonValue, Property};
use crate::{Error, ErrorKind, Phase};
use std::collections::BTreeMap;

fn wrong_type(
    at: &Pointer<'_>,
    section: &'static str,
    want: &str,
    value: JsonValue<'_>,
    found: &mut Findings,
) {
    found.error(at, section, format!("must be {want}, not {}", value.describe()));
}

/// A type that can be read from a JSON value.
pub(crate) trait ReadJson: Sized + Default {
    /// Reads `value`, which is not null. If there is a problem, it is added to `found`, and the result is the default.
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self;

    /// Whether the value is that of an absent property.
    fn is_absent(&self) -> bool;
}

/// What the absence of a property means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requirement {
    Optional,
    /// REQUIRED by the spec: its absence is an error. It is always written.
    Required,
    /// REQUIRED by the spec, but usually read as 0 or false: its absence is a warning. It is always written.
    Expected,
}

/// An object's properties.
#[derive(Clone, Copy)]
pub(crate) struct Object<'d> {
    whole: JsonValue<'d>,
    properties: &'d [Property<'d>],
}

/// The properties of an object; `None`, and a problem, if it is not an object.
pub(crate) fn object<'d>(
    value: JsonValue<'d>,
    at: &Pointer<'_>,
    section: &'static str,
    found: &mut Findings,
) -> Option<Object<'d>> {
    let properties = value.properties();
    if properties.is_none() {
        wrong_type(at, section, "an object", value, found);
    }
    properties.map(|properties| Object { whole: value, properties })
}

/// One property of an object; the last one of that name, if it is repeated.
pub(crate) fn property<T: ReadJson>(
    object: Object<'_>,
    name: &'static str,
    requirement: Requirement,
    at: &Pointer<'_>,
    section: &'static str,
    found: &mut Findings,
) -> T {
    let at = at.key(name);
    match object.properties.iter().rev().find(|(key, _)| key == name) {
        Some((_, node)) if *node != JsonNode::Null => T::read(object.whole.other(node), &at, section, found),
        _ => {
            match requirement {
                Requirement::Optional => {}
                Requirement::Required => found.error(&at, section, "is required"),
                Requirement::Expected => found.warn(&at, section, "is required; taken as 0 or false"),
            }
            T::default()
        }
    }
}

impl ReadJson for bool {
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
        if let JsonNode::Bool(flag) = value.node {
            return *flag;
        }
        wrong_type(at, section, "true or false", value, found);
        false
    }
    fn is_absent(&self) -> bool {
        !*self
    }
}

impl ReadJson for String {
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
        match value.node {
            JsonNode::String(text) if text.contains('\0') => {
                found.error(at, section, "must not contain a NUL character");
                Self::new()
            }
            JsonNode::String(text) => text.as_ref().into(),
            _ => {
                wrong_type(at, section, "a string", value, found);
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
        impl ReadJson for $ty {
            fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
                let number = match value.node {
                    JsonNode::Unsigned(n) => <$ty>::try_from(*n).ok(),
                    JsonNode::Negative(n) => <$ty>::try_from(*n).ok(),
                    _ => None,
                };
                number.unwrap_or_else(|| {
                    let want = format!("an integer from {} to {}", <$ty>::MIN, <$ty>::MAX);
                    wrong_type(at, section, &want, value, found);
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

/// An optional value. An empty string means absent, because managers write it for absent values.
impl<T: OptionalField> ReadJson for Option<T> {
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
        let before = found.errors.len();
        let inner = T::read(value, at, section, found);
        (found.errors.len() == before || !T::SCALAR).then_some(inner).filter(|v| !v.is_blank())
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// A type that the model has in an `Option`.
pub(crate) trait OptionalField: ReadJson {
    /// A scalar that could not be read is absent; an object keeps what could be read.
    const SCALAR: bool;

    fn is_blank(&self) -> bool {
        false
    }
}

macro_rules! optional_scalars {
    ($($ty:ty),*) => { $(impl OptionalField for $ty { const SCALAR: bool = true; })* };
}
optional_scalars!(bool, u16, u32, u64, i32, i64);

impl OptionalField for String {
    const SCALAR: bool = true;

    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<T: ReadJson> OptionalField for Vec<T> {
    const SCALAR: bool = false;
}

impl<T: ReadJson> ReadJson for Vec<T> {
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
        let Some(items) = value.items() else {
            wrong_type(at, section, "an array", value, found);
            return Self::new();
        };
        let items = items.iter().enumerate();
        items.map(|(i, item)| T::read(value.other(item), &at.index(i), section, found)).collect()
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: ReadJson> ReadJson for BTreeMap<String, T> {
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
        let Some(object) = object(value, at, section, found) else { return Self::new() };
        // If a key is repeated, only the last value is read.
        let last: BTreeMap<&str, &JsonNode<'_>> =
            object.properties.iter().map(|(key, node)| (key.as_ref(), node)).collect();
        let read = |(key, node): (&str, &JsonNode<'_>)| {
            let inner = match node {
                JsonNode::Null => T::default(),
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

/// Reads a whole text as `T`, or fails with every error.
pub(crate) fn document<T: ReadJson>(text: &[u8]) -> crate::Result<T> {
    let (value, found) = collect(text)?;
    if found.errors.is_empty() { Ok(value) } else { Err(Error::invalid(found.errors)) }
}

/// Reads a whole text as `T`, with its errors and warnings.
pub(crate) fn collect<T: ReadJson>(text: &[u8]) -> crate::Result<(T, Findings)> {
    let document = JsonDocument::parse(text).map_err(|e| {
        Error::new(ErrorKind::InvalidConfig, Phase::Config, "invalid JSON").with_detail(e.to_string())
    })?;
    let mut found = Findings::default();
    let value = T::read(document.root(), &Pointer::ROOT, "", &mut found);
    Ok((value, found))
}
