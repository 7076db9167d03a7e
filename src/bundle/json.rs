//! A JSON document as a tree of values, before they are read as types of the model.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// One JSON value. Strings without escapes borrow from the text. Arrays and objects are spans of
/// the tables of their [`JsonDocument`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonNode<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Always below zero.
    Negative(i64),
    /// A number with a fraction or an exponent, or that exceeds 64 bits. The spec has no such numbers.
    Other(f64),
    String(Cow<'a, str>),
    Array(Span),
    Object(Span),
}

/// A contiguous part of a table of a [`JsonDocument`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    first: u32,
    count: u32,
}

impl Span {
    fn slice<T>(self, table: &[T]) -> &[T] {
        let first = self.first as usize;
        table.get(first..first + self.count as usize).unwrap_or(&[])
    }
}

/// A property of an object. All of them are kept, in the order of the text, even repeated ones.
pub(crate) type Property<'a> = (Cow<'a, str>, JsonNode<'a>);

/// A whole text. Two tables hold all elements and properties, so that a text of thousands of values takes few
/// allocations.
#[derive(Debug)]
pub(crate) struct JsonDocument<'a> {
    items: Vec<JsonNode<'a>>,
    properties: Vec<Property<'a>>,
    root: JsonNode<'a>,
}

impl<'a> JsonDocument<'a> {
    /// Parses a whole text. An error has the line and the column.
    pub(crate) fn parse(text: &'a [u8]) -> serde_json::Result<Self> {
        let mut builder = DocumentBuilder {
            items: Vec::with_capacity(text.len() / 32),
            properties: Vec::with_capacity(text.len() / 32),
            open_items: Vec::new(),
            open_properties: Vec::new(),
        };
        // Checking the encoding of the whole text is cheaper than checking each string. If it is invalid, reading bytes
        // finds the line and the column.
        let root = if let Ok(text) = std::str::from_utf8(text) {
            let mut tokens = serde_json::Deserializer::from_str(text);
            builder.deserialize(&mut tokens).and_then(|root| tokens.end().map(|()| root))
        } else {
            let mut tokens = serde_json::Deserializer::from_slice(text);
            builder.deserialize(&mut tokens).and_then(|root| tokens.end().map(|()| root))
        }?;
        Ok(Self { items: builder.items, properties: builder.properties, root })
    }

    /// The value of the whole text.
    pub(crate) fn root(&self) -> JsonValue<'_> {
        JsonValue { document: self, node: &self.root }
    }
}

/// A node, and the document that it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct JsonValue<'d> {
    document: &'d JsonDocument<'d>,
    pub(crate) node: &'d JsonNode<'d>,
}

impl<'d> JsonValue<'d> {
    /// The properties, if it is an object.
    pub(crate) fn properties(self) -> Option<&'d [Property<'d>]> {
        match self.node {
            JsonNode::Object(span) => Some(span.slice(&self.document.properties)),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub(crate) fn items(self) -> Option<&'d [JsonNode<'d>]> {
        match self.node {
            JsonNode::Array(span) => Some(span.slice(&self.document.items)),
            _ => None,
        }
    }

    /// Another node of the same document.
    pub(crate) fn other(self, node: &'d JsonNode<'d>) -> Self {
        Self { document: self.document, node }
    }

    /// The value as JSON, shortened, for messages.
    pub(crate) fn describe(self) -> String {
        match self.node {
            JsonNode::Null => "null".into(),
            JsonNode::Bool(b) => format!("{b}"),
            JsonNode::Unsigned(n) => n.to_string(),
            JsonNode::Negative(n) => n.to_string(),
            JsonNode::Other(n) => format!("{n:?}"),
            JsonNode::String(s) => {
                let short: String = s.chars().take(40).collect();
                if short.len() < s.len() { format!("{short:?}…") } else { format!("{short:?}") }
            }
            JsonNode::Array(_) => "an array".into(),
            JsonNode::Object(_) => "an object".into(),
        }
    }
}

/// Fills the tables. The elements and properties of values that are not complete yet are on stacks.
struct DocumentBuilder<'a> {
    items: Vec<JsonNode<'a>>,
    properties: Vec<Property<'a>>,
    open_items: Vec<JsonNode<'a>>,
    open_properties: Vec<Property<'a>>,
}

/// Moves the entries of the stack from `start` on into the table.
fn close<T, E: serde::de::Error>(open: &mut Vec<T>, start: usize, table: &mut Vec<T>) -> Result<Span, E> {
    let first = u32::try_from(table.len()).map_err(E::custom)?;
    table.extend(open.drain(start..));
    let count = u32::try_from(table.len()).map_err(E::custom)? - first;
    Ok(Span { first, count })
}

impl<'de> DeserializeSeed<'de> for &mut DocumentBuilder<'de> {
    type Value = JsonNode<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut DocumentBuilder<'de> {
    type Value = JsonNode<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(JsonNode::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(JsonNode::Bool(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(JsonNode::Unsigned(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(v).map_or(JsonNode::Negative(v), JsonNode::Unsigned))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(JsonNode::Other(v))
    }
    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(JsonNode::String(Cow::Borrowed(s)))
    }
    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(JsonNode::String(Cow::Owned(s.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let start = self.open_items.len();
        while let Some(item) = seq.next_element_seed(&mut *self)? {
            self.open_items.push(item);
        }
        close(&mut self.open_items, start, &mut self.items).map(JsonNode::Array)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let start = self.open_properties.len();
        while let Some(key) = map.next_key_seed(PropertyName)? {
            let node = map.next_value_seed(&mut *self)?;
            self.open_properties.push((key, node));
        }
        close(&mut self.open_properties, start, &mut self.properties).map(JsonNode::Object)
    }
}

/// Reads a property's name, borrowed if it has no escapes.
struct PropertyName;

impl<'de> DeserializeSeed<'de> for PropertyName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for PropertyName {
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
