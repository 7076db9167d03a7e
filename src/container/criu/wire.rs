//! The wire format of protobuf messages, as far as criu's `rpc.proto` uses it: numbers, strings
//! and nested messages. See <https://protobuf.dev/programming-guides/encoding/>.

/// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A message being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageWriter(Vec<u8>);

impl MessageWriter {
    /// A number: `int32`, `uint32`, or an enumeration. A negative number takes ten bytes, as the format requires.
    pub(super) fn number(&mut self, field: u32, value: impl Into<i64>) {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(value.into() as u64);
    }

    /// A boolean.
    pub(super) fn switch(&mut self, field: u32, value: bool) {
        self.number(field, value);
    }

    /// A string.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A message.
    pub(super) fn message(&mut self, field: u32, value: &Self) {
        self.bytes(field, &value.0);
    }

    /// The bytes to be sent.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValue<'a> {
    /// A number.
    Number(u64),
    /// A string or a message.
    Bytes(&'a [u8]),
}

impl<'a> FieldValue<'a> {
    /// The number; 0 for another type.
    pub(super) fn number(self) -> u64 {
        if let Self::Number(n) = self { n } else { 0 }
    }

    /// The bytes; empty for a number.
    pub(super) fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(b) = self { b } else { &[] }
    }

    /// The string.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The fields of a message, in order. It ends after an `Err`, because the start of the next field is unknown then.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

/// The message is truncated, or has an unknown wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Fields<'a> {
    /// The fields of the message in `bytes`.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn field(&mut self) -> Result<(u32, FieldValue<'a>), Malformed> {
        let key = self.varint()?;
        let field = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        let value = match key & 7 {
            VARINT => FieldValue::Number(self.varint()?),
            BYTES => {
                let length = self.varint()?;
                FieldValue::Bytes(self.take(length)?)
            }
            FIXED64 => FieldValue::Bytes(self.take(8)?),
            FIXED32 => FieldValue::Bytes(self.take(4)?),
            _ => return Err(Malformed),
        };
        Ok((field, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, FieldValue<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_format_are_encoded() {
        let mut writer = MessageWriter::default();
        writer.number(1, 150);
        assert_eq!(writer.finish(), [0x08, 0x96, 0x01]);
        let mut writer = MessageWriter::default();
        writer.text(2, "testing");
        assert_eq!(writer.finish(), *b"\x12\x07testing");
        let mut inner = MessageWriter::default();
        inner.number(1, 150);
        let mut writer = MessageWriter::default();
        writer.message(3, &inner);
        assert_eq!(writer.finish(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut writer = MessageWriter::default();
        writer.number(1, -2);
        assert_eq!(writer.finish(), [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    #[test]
    fn a_written_message_is_parsed() {
        let mut inner = MessageWriter::default();
        inner.number(70, -1);
        let mut writer = MessageWriter::default();
        writer.switch(1, true);
        writer.text(2, "\u{e9}");
        writer.message(300, &inner);
        let bytes = writer.finish();
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        assert_eq!(fields[0], (1, FieldValue::Number(1)));
        assert_eq!((fields[1].0, fields[1].1.text().as_str()), (2, "\u{e9}"));
        let (field, message) = fields[2];
        let inside = Fields::of(message.bytes()).next().unwrap().unwrap();
        assert_eq!((field, inside), (300, (70, FieldValue::Number(u64::MAX))));
    }

    #[test]
    fn truncated_messages_and_unknown_wire_types_are_refused() {
        for bytes in
            [&b"\x08"[..], b"\x12\x07test", b"\x0b", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            let fields: Vec<_> = Fields::of(bytes).collect();
            assert_eq!(fields, [Err(Malformed)], "{bytes:?}");
        }
        // Fields with other wire types are skipped.
        let bytes = b"\x09\x01\x02\x03\x04\x05\x06\x07\x08\x15\x01\x02\x03\x04\x10\x05";
        assert_eq!(Fields::of(bytes).last(), Some(Ok((2, FieldValue::Number(5)))));
    }
}
