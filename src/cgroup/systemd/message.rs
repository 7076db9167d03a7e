//! D-Bus messages: header and body (D-Bus specification, "Message Format").

use super::value::{Reader, Value, Writer};

/// The maximum length of a message; no expected reply is longer.
const MAX_LENGTH: usize = 1 << 20;
/// The length of the fixed part of the header.
pub(super) const FIXED: usize = 16;

/// The type of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MessageType {
    #[default]
    Call = 1,
    Reply = 2,
    Error = 3,
    Signal = 4,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    pub(super) kind: MessageType,
    pub(super) serial: u32,
    pub(super) reply_to: Option<u32>,
    pub(super) destination: Option<String>,
    pub(super) path: Option<String>,
    pub(super) interface: Option<String>,
    /// The name of the method, signal or error.
    pub(super) member: Option<String>,
    pub(super) body: Vec<Value>,
}

impl Message {
    /// Encodes the message.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        self.body.iter().for_each(|value| body.value(value));
        let signature: String = self.body.iter().map(Value::signature).collect();
        let field =
            |code: u8, value: Value| Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))]);
        let text = |value: &Option<String>| value.clone().map(Value::Str);
        let member = if self.kind == MessageType::Error { 4 } else { 3 };
        let fields = [
            (1, self.path.clone().map(Value::Path)),
            (2, text(&self.interface)),
            (member, text(&self.member)),
            (5, self.reply_to.map(Value::U32)),
            (6, text(&self.destination)),
            (8, (!signature.is_empty()).then_some(Value::Signature(signature))),
        ];
        let fields = fields.into_iter().filter_map(|(code, value)| Some(field(code, value?))).collect();
        let mut all = Writer { bytes: vec![b'l', self.kind as u8, 0, 1] };
        all.length(body.bytes.len());
        all.value(&Value::U32(self.serial));
        all.value(&Value::Array("(yv)".into(), fields));
        all.align(8);
        all.bytes.extend_from_slice(&body.bytes);
        all.bytes
    }

    /// The length of the message that begins with these [`FIXED`] bytes; `None` if they are invalid.
    pub(super) fn length(head: &[u8]) -> Option<usize> {
        let big = order(head)?;
        (head.get(3) == Some(&1)).then_some(())?;
        let number = |at: usize| Reader::new(head.get(at..at + 4)?, big).u32().map(|n| n as usize);
        let (body, fields) = (number(4)?, number(12)?);
        let length = FIXED.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
        (length <= MAX_LENGTH).then_some(length)
    }

    /// Decodes a message; `None` if it is invalid or its type is unknown.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let big = order(bytes)?;
        let kind = match bytes.get(1)? {
            1 => MessageType::Call,
            2 => MessageType::Reply,
            3 => MessageType::Error,
            4 => MessageType::Signal,
            _ => return None,
        };
        let mut reader = Reader::new(bytes, big);
        let head = reader.values("yyyyuua(yv)")?;
        let [.., Value::U32(serial), Value::Array(_, fields)] = &head[..] else { return None };
        let mut message = Self { kind, serial: *serial, ..Self::default() };
        let mut signature = String::new();
        for field in fields {
            let Value::Struct(pair) = field else { return None };
            let [Value::Byte(code), Value::Variant(value)] = &pair[..] else { return None };
            let text = || value.text().map(str::to_owned);
            match (code, value.as_ref()) {
                (1, _) => message.path = text(),
                (2, _) => message.interface = text(),
                (3 | 4, _) => message.member = text(),
                (5, Value::U32(to)) => message.reply_to = Some(*to),
                (6, _) => message.destination = text(),
                (8, _) => signature = text()?,
                _ => {}
            }
        }
        let body = bytes.get(reader.position().next_multiple_of(8)..)?;
        message.body = Reader::new(body, big).values(&signature)?;
        Some(message)
    }

    /// The text of a value in the body.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.body.get(index)?.text()
    }
}

/// Whether the message is big-endian.
fn order(bytes: &[u8]) -> Option<bool> {
    match bytes.first()? {
        b'l' => Some(false),
        b'B' => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_messages_can_be_decoded() {
        let call = Message {
            serial: 7,
            destination: Some("org.freedesktop.systemd1".into()),
            path: Some("/org/freedesktop/systemd1".into()),
            interface: Some("org.freedesktop.systemd1.Manager".into()),
            member: Some("StopUnit".into()),
            body: vec![Value::Str("a.scope".into()), Value::Str("replace".into())],
            ..Message::default()
        };
        let error = Message {
            kind: MessageType::Error,
            serial: 9,
            reply_to: Some(7),
            member: Some("org.freedesktop.systemd1.NoSuchUnit".into()),
            ..Message::default()
        };
        for message in [call, error] {
            let bytes = message.encode();
            assert_eq!(Message::length(&bytes[..FIXED]), Some(bytes.len()));
            assert_eq!(Message::decode(&bytes), Some(message));
            for end in 0..bytes.len() {
                assert_eq!(Message::decode(&bytes[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn invalid_messages_have_no_length() {
        let good = Message::default().encode();
        for (at, byte) in [(0, b'x'), (3, 2), (7, 0xff)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Message::length(&bad[..FIXED]), None, "{at}");
        }
    }
}
