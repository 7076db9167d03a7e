//! Properties of a unit.

use super::value::Value;

/// A property and its value.
pub(super) type Property = (String, Value);

/// The properties as an argument of a D-Bus method: `a(sv)`.
pub(super) fn encode(properties: impl IntoIterator<Item = Property>) -> Value {
    let pair =
        |(name, value): Property| Value::Struct(vec![Value::Str(name), Value::Variant(Box::new(value))]);
    Value::Array("(sv)".into(), properties.into_iter().map(pair).collect())
}
