//! Messages to and from systemd: properties in GVariant's text format, and messages of D-Bus.

#[path = "../../../src/cgroup/systemd/message.rs"]
mod message;
#[path = "../../../src/cgroup/systemd/text.rs"]
mod text;
#[path = "../../../src/cgroup/systemd/value.rs"]
mod value;

use message::{FIXED, Message};
use value::{Reader, Value, Writer};

/// A property's value has a type, and decodes to itself after encoding.
pub(super) fn property(said: &str) {
    let Ok(value) = text::parse(said) else { return };
    let mut writer = Writer::default();
    writer.value(&value);
    let mut reader = Reader::new(&writer.bytes, false);
    let again = reader.value(&value.signature());
    assert_eq!(reader.position(), writer.bytes.len(), "{value:?}");
    assert!(
        again.as_ref().is_some_and(|again| is_same(again, &value)),
        "{value:?} has come back as {again:?}"
    );
}

/// NaN equals NaN here.
fn is_same(one: &Value, other: &Value) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// A message's beginning has its length, and it decodes to itself after encoding.
pub(super) fn message(bytes: &[u8]) {
    let length = bytes.get(..FIXED).and_then(Message::length);
    assert!(length.is_none_or(|length| (FIXED..=1 << 20).contains(&length)));
    let Some(message) = Message::decode(bytes) else { return };
    let encoded = message.encode();
    let Some(again) = Message::decode(&encoded) else { panic!("{message:?} cannot be decoded again") };
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert!(Message::length(&encoded).is_none_or(|length| length == encoded.len()));
    assert!((0..4).all(|i| message.text(i).is_none_or(|text| text.len() < bytes.len())));
}
