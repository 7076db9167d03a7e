//! A small borrowed document tree: what the tokenizer saw, before anybody asks for a type.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// One JSON value. Strings without escapes borrow from the text; arrays and objects are ranges of
/// the tables of their [`Document`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Always below zero.
    Negative(i64),
    /// With a fraction or an exponent, or outside of 64 bits: never an integer for the spec.
    Other(f64),
    String(Cow<'a, str>),
    Array(Range),
    Object(Range),
}

/// Part of a table of a [`Document`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    first: u32,
    count: u32,
}

impl Range {
    fn of<T>(self, table: &[T]) -> &[T] {
        let first = self.first as usize;
        table.get(first..first + self.count as usize).unwrap_or(&[])
    }
}

/// An object's property: every one is kept in the order of the text, also a repeated one.
pub(crate) type Property<'a> = (Cow<'a, str>, Node<'a>);

/// A whole text. Two tables hold every element and property, so that a text of thousands of values
/// costs a handful of allocations.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    items: Vec<Node<'a>>,
    properties: Vec<Property<'a>>,
    root: Node<'a>,
}

impl<'a> Document<'a> {
    /// Parses a whole text. The error carries line and column.
    pub(crate) fn parse(text: &'a [u8]) -> serde_json::Result<Self> {
        let mut builder = Builder {
            items: Vec::with_capacity(text.len() / 32),
            properties: Vec::with_capacity(text.len() / 32),
            open_items: Vec::new(),
            open_properties: Vec::new(),
        };
        // Checking the encoding once for all is cheaper than once a string; if it is broken, the
        // byte reader knows line and column.
        let root = if let Ok(text) = std::str::from_utf8(text) {
            let mut tokens = serde_json::Deserializer::from_str(text);
            builder.deserialize(&mut tokens).and_then(|root| tokens.end().map(|()| root))
        } else {
            let mut tokens = serde_json::Deserializer::from_slice(text);
            builder.deserialize(&mut tokens).and_then(|root| tokens.end().map(|()| root))
        }?;
        Ok(Self { items: builder.items, properties: builder.properties, root })
    }

    /// The value which the text is.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { document: self, node: &self.root }
    }
}

/// A node with the tables it points into.
#[derive(Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    pub(crate) node: &'d Node<'d>,
}

impl<'d> Value<'d> {
    /// The properties, if it is an object.
    pub(crate) fn properties(self) -> Option<&'d [Property<'d>]> {
        match self.node {
            Node::Object(range) => Some(range.of(&self.document.properties)),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub(crate) fn items(self) -> Option<&'d [Node<'d>]> {
        match self.node {
            Node::Array(range) => Some(range.of(&self.document.items)),
            _ => None,
        }
    }

    /// Another node of the same document.
    pub(crate) fn other(self, node: &'d Node<'d>) -> Self {
        Self { document: self.document, node }
    }

    /// The value in the words of JSON, for messages.
    pub(crate) fn describe(self) -> String {
        match self.node {
            Node::Null => "null".into(),
            Node::Bool(b) => format!("{b}"),
            Node::Unsigned(n) => n.to_string(),
            Node::Negative(n) => n.to_string(),
            Node::Other(n) => format!("{n:?}"),
            Node::String(s) => {
                let short: String = s.chars().take(40).collect();
                if short.len() < s.len() { format!("{short:?}…") } else { format!("{short:?}") }
            }
            Node::Array(_) => "an array".into(),
            Node::Object(_) => "an object".into(),
        }
    }
}

/// Fills the tables. What belongs to a value that is still open waits on a stack.
struct Builder<'a> {
    items: Vec<Node<'a>>,
    properties: Vec<Property<'a>>,
    open_items: Vec<Node<'a>>,
    open_properties: Vec<Property<'a>>,
}

/// Moves what was opened since `start` into its table.
fn close<T, E: serde::de::Error>(open: &mut Vec<T>, start: usize, table: &mut Vec<T>) -> Result<Range, E> {
    let first = u32::try_from(table.len()).map_err(E::custom)?;
    table.extend(open.drain(start..));
    let count = u32::try_from(table.len()).map_err(E::custom)? - first;
    Ok(Range { first, count })
}

impl<'de> DeserializeSeed<'de> for &mut Builder<'de> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Builder<'de> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(Node::Unsigned(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(v).map_or(Node::Negative(v), Node::Unsigned))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(Node::Other(v))
    }
    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(Node::String(Cow::Borrowed(s)))
    }
    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Node::String(Cow::Owned(s.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let start = self.open_items.len();
        while let Some(item) = seq.next_element_seed(&mut *self)? {
            self.open_items.push(item);
        }
        close(&mut self.open_items, start, &mut self.items).map(Node::Array)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let start = self.open_properties.len();
        while let Some(key) = map.next_key_seed(Name)? {
            let node = map.next_value_seed(&mut *self)?;
            self.open_properties.push((key, node));
        }
        close(&mut self.open_properties, start, &mut self.properties).map(Node::Object)
    }
}

/// Reads a property's name, borrowed where the text has no escapes in it.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property name")
    }
    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(s))
    }
    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(s.to_owned()))
    }
}
