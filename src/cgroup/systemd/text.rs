//! GVariant's text format, which is used in annotations `org.systemd.property.NAME`:
//! `true`, `'word'`, `15`, `uint64 10000000`, `['a', 'b']`, `@as []`.

use super::value::Value;

/// Parses a value.
///
/// # Errors
/// A short message.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { rest: text, depth: 0 };
    let value = parser.value(None)?;
    parser.space();
    if parser.rest.is_empty() {
        Ok(value)
    } else {
        Err(format!("unexpected {:?} after the value", parser.rest))
    }
}

/// The keywords of types, with their signatures.
const TYPES: [(&str, u8); 9] = [
    ("boolean", b'b'),
    ("byte", b'y'),
    ("int16", b'n'),
    ("uint16", b'q'),
    ("int32", b'i'),
    ("uint32", b'u'),
    ("int64", b'x'),
    ("uint64", b't'),
    ("double", b'd'),
];

/// The maximum depth of nested arrays in D-Bus.
const MAX_DEPTH: u32 = 32;

struct Parser<'a> {
    rest: &'a str,
    /// The number of arrays around the current position.
    depth: u32,
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn accept(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A value, of the given type if one precedes it.
    fn value(&mut self, code: Option<u8>) -> Result<Value, String> {
        self.space();
        match self.rest.chars().next() {
            None => Err("a value is missing".into()),
            Some(quote @ ('\'' | '"')) => {
                self.rest = &self.rest[1..];
                match (code, self.quoted(quote)?) {
                    (None | Some(b's'), text) => Ok(Value::Str(text)),
                    (Some(b'o'), text) => Ok(Value::Path(text)),
                    (Some(b'g'), text) => Ok(Value::Signature(text)),
                    (_, text) => Err(format!("{text:?} is a string, and another type was named")),
                }
            }
            Some('[') if code.is_none() => {
                self.rest = &self.rest[1..];
                self.array(None)
            }
            Some('@') if code.is_none() => {
                self.rest = &self.rest[1..];
                let signature = self.word(|c| c.is_ascii_alphabetic());
                match signature.as_bytes() {
                    [b'a', element] => {
                        if self.accept('[') {
                            self.array(Some(*element))
                        } else {
                            Err("an array is missing".into())
                        }
                    }
                    [one] => self.value(Some(*one)),
                    _ => Err(format!("type {signature:?} is not understood")),
                }
            }
            Some(c) if c.is_ascii_alphabetic() => self.keyword(code),
            Some(_) => {
                let digits = self.word(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                number(digits, code)
            }
        }
    }

    fn keyword(&mut self, code: Option<u8>) -> Result<Value, String> {
        let word = self.word(|c| c.is_ascii_alphanumeric());
        match (word, code) {
            ("true" | "false", None | Some(b'b')) => Ok(Value::Bool(word == "true")),
            ("objectpath", None) => self.value(Some(b'o')),
            ("signature", None) => self.value(Some(b'g')),
            ("string", None) => self.value(Some(b's')),
            _ => match TYPES.iter().find(|(name, _)| *name == word) {
                Some((_, named)) if code.is_none() => self.value(Some(*named)),
                _ => Err(format!("{word:?} is not understood (a string stands in quotes)")),
            },
        }
    }

    fn array(&mut self, element: Option<u8>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} arrays in each other"));
        }
        let array = self.items(element);
        self.depth -= 1;
        array
    }

    fn items(&mut self, element: Option<u8>) -> Result<Value, String> {
        let mut items: Vec<Value> = Vec::new();
        while !self.accept(']') {
            if !items.is_empty() && !self.accept(',') {
                return Err("a comma or ] is missing in the array".into());
            }
            // The type of the first element is that of all.
            let code = element.or_else(|| items.first().and_then(|first| first.signature().bytes().next()));
            items.push(self.value(code.filter(|c| *c != b'a'))?);
        }
        let signature = match (element, items.first()) {
            (Some(code), _) => char::from(code).to_string(),
            (None, Some(first)) => first.signature(),
            (None, None) => return Err("an empty array needs a type: @as []".into()),
        };
        if items.iter().all(|item| item.signature() == signature) {
            Ok(Value::Array(signature, items))
        } else {
            Err("the elements of an array must be of one type".into())
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '\'' | '"'))) => text.push(c),
                    _ => return Err("an escape in a string is not understood".into()),
                },
                c => text.push(c),
            }
        }
        Err("a string has no end".into())
    }
}

fn number(digits: &str, code: Option<u8>) -> Result<Value, String> {
    fn read<T: std::str::FromStr>(digits: &str) -> Result<T, String> {
        digits.parse().map_err(|_| format!("{digits:?} is not a number of its type"))
    }
    let decimal = digits.contains('.');
    Ok(match code {
        Some(b'y') => Value::Byte(read(digits)?),
        Some(b'n') => Value::I16(read(digits)?),
        Some(b'q') => Value::U16(read(digits)?),
        Some(b'u') => Value::U32(read(digits)?),
        Some(b'x') => Value::I64(read(digits)?),
        Some(b't') => Value::U64(read(digits)?),
        Some(b'd') => Value::F64(read(digits)?),
        None if decimal => Value::F64(read(digits)?),
        None | Some(b'i') => Value::I32(read(digits)?),
        Some(_) => return Err(format!("{digits:?} is a number, and another type was named")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings<const N: usize>(items: [&str; N]) -> Value {
        Value::Array("s".into(), items.map(|s| Value::Str(s.to_owned())).into())
    }

    #[test]
    fn values_are_parsed() {
        for (text, value) in [
            ("true", Value::Bool(true)),
            ("15", Value::I32(15)),
            ("-3", Value::I32(-3)),
            ("uint64 10000000", Value::U64(10_000_000)),
            ("@t 5", Value::U64(5)),
            ("int32 7", Value::I32(7)),
            ("'mixed'", Value::Str("mixed".into())),
            (r#""a\"b""#, Value::Str("a\"b".into())),
            ("['a', \"b\"]", strings(["a", "b"])),
            ("[uint32 1, 2]", Value::Array("u".into(), vec![Value::U32(1), Value::U32(2)])),
            ("@as []", strings([])),
            (" 1.5 ", Value::F64(1.5)),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn invalid_values_are_rejected() {
        for text in [
            "",
            "word",
            "'a",
            "[]",
            "[1 2]",
            "['a', 1]",
            "uint64 -1",
            "uint64 'a'",
            "5 5",
            "int32",
            "@",
            "byte 256",
            "'\\q'",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    /// Parsing is recursive, and an annotation may be long.
    #[test]
    fn the_depth_of_arrays_is_limited() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(&nested(32)).map(|value| value.signature()), Ok("a".repeat(32) + "i"));
        assert!(parse(&nested(33)).is_err());
        assert!(parse(&"[".repeat(1 << 20)).is_err());
        let siblings = format!("[{}]", vec!["[1]"; 100].join(","));
        assert!(parse(&siblings).is_ok(), "siblings do not count");
    }
}
