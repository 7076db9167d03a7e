//! A macro that declares structures of the model together with their readers and writers.

/// Declares structures of the model. The section of the runtime-spec in brackets is named by problems of the structure;
/// `= "name"` is the JSON name of a field; `required` and `expected` are those of [`Requirement`].
///
/// [`Requirement`]: super::read::Requirement
macro_rules! model {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident [$section:literal] { $(
            $(#[$field_meta:meta])*
            pub $field:ident : $ty:ty = $json:literal $($need:ident)?,
        )* }
    )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $ty, )* }

        impl $name {
            /// Reads this structure from JSON text.
            ///
            /// # Errors
            /// A syntax error with line and column, or every problem, each with its JSON pointer
            /// in this text. The result is not validated: see [`validate`](crate::bundle::validate()).
            pub fn from_json(text: &[u8]) -> $crate::Result<Self> {
                $crate::bundle::read::document(text)
            }
        }

        impl $crate::bundle::read::ReadJson for $name {
            fn read(
                value: $crate::bundle::json::JsonValue<'_>,
                at: &$crate::bundle::findings::Pointer<'_>,
                _: &'static str,
                found: &mut $crate::bundle::findings::Findings,
            ) -> Self {
                use $crate::bundle::read::{object, property};
                let Some(object) = object(value, at, $section, found) else {
                    return Self::default();
                };
                Self { $(
                    $field: property(object, $json, model!(@need $($need)?), at, $section, found),
                )* }
            }
            fn is_absent(&self) -> bool {
                false
            }
        }

        impl $crate::bundle::read::OptionalField for $name {
            const SCALAR: bool = false;
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                use $crate::bundle::read::{Requirement, ReadJson};
                let mut map = serializer.serialize_map(None)?;
                $(
                    if model!(@need $($need)?) != Requirement::Optional || !ReadJson::is_absent(&self.$field) {
                        map.serialize_entry($json, &self.$field)?;
                    }
                )*
                map.end()
            }
        }
    )* };
    (@need) => { $crate::bundle::read::Requirement::Optional };
    (@need required) => { $crate::bundle::read::Requirement::Required };
    (@need expected) => { $crate::bundle::read::Requirement::Expected };
}

pub(crate) use model;
