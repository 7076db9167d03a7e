//! D-Bus values: their signatures, and how they are encoded (D-Bus specification, "Marshaling").

/// A value of a D-Bus message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`
    Str(String),
    /// `o`
    Path(String),
    /// `g`
    Signature(String),
    /// `a`: the elements' signature, and the elements.
    Array(String, Vec<Value>),
    /// `(...)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl Value {
    /// An array of bytes.
    pub(super) fn bytes(items: impl IntoIterator<Item = u8>) -> Self {
        Self::Array("y".into(), items.into_iter().map(Self::Byte).collect())
    }

    /// The signature of its type.
    pub(super) fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".into(),
            Self::Bool(_) => "b".into(),
            Self::I16(_) => "n".into(),
            Self::U16(_) => "q".into(),
            Self::I32(_) => "i".into(),
            Self::U32(_) => "u".into(),
            Self::I64(_) => "x".into(),
            Self::U64(_) => "t".into(),
            Self::F64(_) => "d".into(),
            Self::Str(_) => "s".into(),
            Self::Path(_) => "o".into(),
            Self::Signature(_) => "g".into(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => format!("({})", fields.iter().map(Self::signature).collect::<String>()),
            Self::Variant(_) => "v".into(),
        }
    }

    /// The text of a string, an object path or a signature, also in a variant.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text) | Self::Path(text) | Self::Signature(text) => Some(text),
            Self::Variant(inner) => inner.text(),
            _ => None,
        }
    }
}

/// The alignment of a type.
fn alignment(code: u8) -> usize {
    match code {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

/// Encodes values, little-endian.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, bytes: &[u8]) {
        self.align(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn length(&mut self, length: usize) {
        self.number(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.length(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(n) => self.bytes.push(*n),
            Value::Bool(on) => self.number(&u32::from(*on).to_le_bytes()),
            Value::I16(n) => self.number(&n.to_le_bytes()),
            Value::U16(n) => self.number(&n.to_le_bytes()),
            Value::I32(n) => self.number(&n.to_le_bytes()),
            Value::U32(n) => self.number(&n.to_le_bytes()),
            Value::I64(n) => self.number(&n.to_le_bytes()),
            Value::U64(n) => self.number(&n.to_le_bytes()),
            Value::F64(n) => self.number(&n.to_le_bytes()),
            Value::Str(text) | Value::Path(text) => self.string(text),
            Value::Signature(text) => self.signature(text),
            Value::Array(element, items) => {
                self.length(0);
                let length_at = self.bytes.len() - 4;
                // The length does not include the padding before the first element.
                self.align(alignment(element.bytes().next().unwrap_or(0)));
                let begin = self.bytes.len();
                for item in items {
                    self.value(item);
                }
                let length = u32::try_from(self.bytes.len() - begin).unwrap_or(u32::MAX);
                self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Value::Struct(fields) => {
                self.align(8);
                for field in fields {
                    self.value(field);
                }
            }
            Value::Variant(inner) => {
                self.signature(&inner.signature());
                self.value(inner);
            }
        }
    }
}

/// Decodes values; `None` if the bytes do not match the signature.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
    depth: usize,
}

/// The maximum depth of nested containers in the specification.
const MAX_DEPTH: usize = 64;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], big: bool) -> Self {
        Self { bytes, at: 0, big, depth: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N)?;
        let mut bytes: [u8; N] = self.take(N)?.try_into().ok()?;
        if self.big {
            bytes.reverse();
        }
        Some(bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        (self.take(1)? == [0]).then_some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = *self.take(1)?.first()?;
        self.text(length.into())
    }

    /// The values of a signature.
    pub(super) fn values(&mut self, mut signature: &str) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (one, rest) = split(signature)?;
            values.push(self.value(one)?);
            signature = rest;
        }
        Some(values)
    }

    /// One value of a single complete type.
    pub(super) fn value(&mut self, signature: &str) -> Option<Value> {
        self.depth += 1;
        let value = if self.depth > MAX_DEPTH { None } else { self.inner(signature) };
        self.depth -= 1;
        value
    }

    fn inner(&mut self, signature: &str) -> Option<Value> {
        Some(match *signature.as_bytes().first()? {
            b'y' => Value::Byte(*self.take(1)?.first()?),
            b'b' => Value::Bool(self.u32()? != 0),
            b'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' | b'h' => Value::U32(self.u32()?),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::F64(f64::from_le_bytes(self.number()?)),
            code @ (b's' | b'o') => {
                let length = self.u32()?;
                let text = self.text(length as usize)?;
                if code == b's' { Value::Str(text) } else { Value::Path(text) }
            }
            b'g' => Value::Signature(self.signature()?),
            b'a' => {
                let element = &signature[1..];
                let length = self.u32()? as usize;
                self.align(alignment(*element.as_bytes().first()?))?;
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
                let mut items = Vec::new();
                while self.at < end {
                    items.push(self.value(element)?);
                }
                (self.at == end).then_some(Value::Array(element.to_owned(), items))?
            }
            b'(' | b'{' => {
                self.align(8)?;
                let fields = self.values(signature.get(1..signature.len() - 1)?)?;
                // The specification has no empty structs. An array of them would have no end.
                (!fields.is_empty()).then_some(Value::Struct(fields))?
            }
            b'v' => {
                let inner = self.signature()?;
                let (one, rest) = split(&inner)?;
                rest.is_empty().then_some(())?;
                Value::Variant(Box::new(self.value(one)?))
            }
            _ => return None,
        })
    }
}

/// The first complete type of a signature, and the rest.
fn split(signature: &str) -> Option<(&str, &str)> {
    let bytes = signature.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'a') {
        at += 1;
    }
    let mut open = 0_usize;
    loop {
        match bytes.get(at)? {
            b'(' | b'{' => open += 1,
            b')' | b'}' => open = open.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return signature.split_at_checked(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings<const N: usize>(items: [&str; N]) -> Value {
        Value::Array("s".into(), items.map(|s| Value::Str(s.to_owned())).into())
    }

    fn round_trip(value: &Value) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.value(value);
        let mut reader = Reader::new(&writer.bytes, false);
        assert_eq!(reader.value(&value.signature()).as_ref(), Some(value));
        assert_eq!(reader.position(), writer.bytes.len());
        writer.bytes
    }

    #[test]
    fn encoded_values_can_be_decoded() {
        let pair = |a: &str, b: Value| Value::Struct(vec![Value::Str(a.into()), Value::Variant(Box::new(b))]);
        for value in [
            Value::Byte(7),
            Value::Bool(true),
            Value::I16(-2),
            Value::U16(9),
            Value::I32(-5),
            Value::U64(u64::MAX),
            Value::F64(1.5),
            Value::Str("ä".into()),
            Value::Path("/org".into()),
            Value::Signature("a(sv)".into()),
            strings(["a", "bc"]),
            Value::bytes([1, 2, 3]),
            Value::Array("(sv)".into(), vec![]),
            Value::Array(
                "(sv)".into(),
                vec![pair("A", Value::Bool(true)), pair("B", Value::Array("u".into(), vec![Value::U32(1)]))],
            ),
        ] {
            round_trip(&value);
        }
    }

    #[test]
    fn values_are_encoded_as_in_the_specification() {
        // The example of the specification: an array of one 64-bit integer, at offset 0.
        let bytes = round_trip(&Value::Array("x".into(), vec![Value::I64(5)]));
        assert_eq!(bytes, [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(round_trip(&Value::Str("foo".into())), [3, 0, 0, 0, b'f', b'o', b'o', 0]);
        assert_eq!(round_trip(&Value::Variant(Box::new(Value::U32(1)))), [1, b'u', 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn invalid_bytes_are_not_decoded() {
        let value = strings(["abc", "defg"]);
        let mut writer = Writer::default();
        writer.value(&value);
        for end in 0..writer.bytes.len() {
            assert_eq!(Reader::new(&writer.bytes[..end], false).value("as"), None, "{end}");
        }
        assert_eq!(Reader::new(&[0xff; 16], false).value("as"), None);
        assert_eq!(Reader::new(&[0; 16], false).value("z"), None);
        for bad in ["", "(", ")", "a", "(s"] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
        for empty in ["()", "a()", "a{}", "a(())", "(a())"] {
            let bytes = [8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Reader::new(&bytes, false).value(empty), None, "{empty}");
        }
        let nested = "a".repeat(100) + "y";
        assert_eq!(Reader::new(&[1; 4096], false).value(&nested), None);
    }

    #[test]
    fn big_endian_values_are_decoded() {
        assert_eq!(Reader::new(&[0, 0, 1, 2], true).value("u"), Some(Value::U32(258)));
    }
}
