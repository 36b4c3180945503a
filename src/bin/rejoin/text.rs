//! Bytes as people read and write them.
//!
//! Keys and opaque values are bytes: text where they are text, `hex:…` where not. Elements,
//! fields and the values of registers are what an application's serde made of them. An
//! encoding that is a byte string (as those of `String` are) shows as its bytes do, any
//! other as `raw:…`, the whole encoding; so what is shown can be given back unchanged.

use std::fmt;
use std::str::FromStr;

use rejoin::space::Stored;
use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const HEX: &str = "hex:";
const RAW: &str = "raw:";

/// Whether text would be taken for something else when it is given back.
fn is_marked(text: &str) -> bool {
    text.starts_with(HEX) || text.starts_with(RAW)
}

fn hex(mark: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(mark.len() + 2 * bytes.len());
    text.push_str(mark);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(DIGITS.get(usize::from(nibble)).copied().unwrap_or_default().into());
        }
    }
    text
}

fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Ok(b - b'0'),
        b'a'..=b'f' => Ok(b - b'a' + 10),
        _ => Err(format!("{:?} is no lower-case hexadecimal digit", char::from(b))),
    };
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.as_bytes().chunks(2) {
        match *pair {
            [high, low] => bytes.push(digit(high)? << 4 | digit(low)?),
            _ => return Err("an odd number of hexadecimal digits".to_owned()),
        }
    }
    Ok(bytes)
}

/// Bytes for one line of output.
pub(crate) fn line(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_marked(text) && !text.contains(char::is_control) => text.to_owned(),
        _ => hex(HEX, bytes),
    }
}

/// Bytes for a JSON string, which can hold any text.
pub(crate) fn json(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_marked(text) => text.to_owned(),
        _ => hex(HEX, bytes),
    }
}

/// The bytes of what was given, in place of what `into` held.
pub(crate) fn read_bytes(text: &str, into: &mut Vec<u8>) -> Result<(), String> {
    into.clear();
    if let Some(digits) = text.strip_prefix(HEX) {
        *into = unhex(digits)?;
    } else if text.starts_with(RAW) {
        return Err("raw: is for elements and values of types; give these bytes as hex:".to_owned());
    } else {
        into.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// A key or an opaque value, as given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        read_bytes(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The name of a space, or the start of some, as given: in the form in which names are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        read_bytes(text, &mut bytes)?;
        let name = String::from_utf8(bytes);
        name.map(Self).map_err(|_| "a space's name is text, and these bytes are not".to_owned())
    }
}

/// An element, field or value of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A byte string: what a `String` is encoded as, too.
    Bytes(Vec<u8>),
    /// Any other encoding, whole.
    Raw(Vec<u8>),
}

impl Element {
    /// An element to read into.
    pub(crate) const fn empty() -> Self {
        Self::Bytes(Vec::new())
    }

    /// What this encoding is of.
    pub(crate) fn of_encoding(encoding: &[u8]) -> Self {
        match byte_string(encoding) {
            Some(bytes) => Self::Bytes(bytes.to_vec()),
            None => Self::Raw(encoding.to_vec()),
        }
    }

    /// Becomes what was given.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), String> {
        if let Some(digits) = text.strip_prefix(RAW) {
            *self = Self::of_encoding(&unhex(digits)?);
            return Ok(());
        }
        let (Self::Bytes(bytes) | Self::Raw(bytes)) = &mut *self;
        let mut bytes = std::mem::take(bytes);
        let read = read_bytes(text, &mut bytes);
        *self = Self::Bytes(bytes);
        read
    }

    /// For one line of output.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Bytes(bytes) => line(bytes),
            Self::Raw(encoding) => hex(RAW, encoding),
        }
    }

    /// For a JSON string.
    pub(crate) fn json(&self) -> String {
        match self {
            Self::Bytes(bytes) => json(bytes),
            Self::Raw(encoding) => hex(RAW, encoding),
        }
    }
}

impl From<Stored<Element>> for Element {
    /// Any encoding is an element.
    fn from(stored: Stored<Self>) -> Self {
        stored.decoded().unwrap_or_else(|other| Self::of_encoding(other.bytes()))
    }
}

/// The byte string that an encoding holds, if that is what it is, spelled as it must be.
fn byte_string(encoding: &[u8]) -> Option<&[u8]> {
    let mut length: usize = 0;
    let mut rest = encoding;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let part = usize::from(byte & 0x7f);
        if part.checked_shl(shift)? >> shift != part {
            return None;
        }
        length |= part << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            return (shortest && length == rest.len()).then_some(rest);
        }
    }
    None
}

impl FromStr for Element {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut element = Self::empty();
        element.read(text)?;
        Ok(element)
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            // A tuple of bytes is these bytes and nothing else.
            Self::Raw(encoding) => {
                let mut tuple = serializer.serialize_tuple(encoding.len())?;
                for byte in encoding {
                    tuple.serialize_element(byte)?;
                }
                tuple.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rest;

        impl<'de> Visitor<'de> for Rest {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any encoding")
            }

            /// The library hands over exactly one encoding, so it ends where the bytes do.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
                let mut encoding = Vec::new();
                while let Ok(Some(byte)) = seq.next_element::<u8>() {
                    encoding.push(byte);
                }
                Ok(Element::of_encoding(&encoding))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Element, E> {
                Ok(Element::Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_tuple(usize::MAX, Rest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, Name, json, line};

    fn encoding(element: &Element) -> Vec<u8> {
        postcard::to_allocvec(element).unwrap()
    }

    #[test]
    fn text_is_what_the_library_makes_of_a_string() {
        for text in ["", "apple", "ä ö\u{1f34e}", &"long ".repeat(100)] {
            let element: Element = text.parse().unwrap();
            assert_eq!(encoding(&element), postcard::to_allocvec(text).unwrap());
            assert_eq!(element.line(), text);
            assert_eq!(postcard::from_bytes::<Element>(&encoding(&element)).unwrap(), element);
        }
    }

    #[test]
    fn whatever_is_shown_can_be_given_back() {
        let encodings: [&[u8]; 8] = [
            b"",
            b"\x05",
            b"\x03abc",
            b"\x80\x00",
            b"\xff\xff\xff",
            b"\x02\xff\xfe",
            b"\x04hex:",
            b"\x02a\n",
        ];
        for bytes in encodings {
            let element = Element::of_encoding(bytes);
            assert_eq!(encoding(&element), bytes);
            assert_eq!(element.line().parse::<Element>().unwrap(), element);
            assert_eq!(element.json().parse::<Element>().unwrap(), element);
        }
        assert_eq!(Element::of_encoding(b"\x80\x00").line(), "raw:8000");
        assert_eq!(Element::of_encoding(b"\x04hex:").line(), "hex:6865783a");
    }

    #[test]
    fn a_space_s_name_is_taken_as_it_is_shown() {
        for name in ["main", "2024/march", "ä\u{1f34e}", "two\nlines", "hex:6d", "raw:", "\u{7f}"]
        {
            assert_eq!(line(name.as_bytes()).parse(), Ok(Name(name.to_owned())), "{name:?}");
            assert_eq!(json(name.as_bytes()).parse(), Ok(Name(name.to_owned())), "{name:?}");
        }
        assert!("hex:ff".parse::<Name>().is_err());
    }

    #[test]
    fn odd_and_wrong_digits_are_refused() {
        for wrong in ["hex:0", "hex:0G", "hex:AB", "raw:1", "hex: 1"] {
            assert!(wrong.parse::<Element>().is_err(), "{wrong}");
        }
        assert_eq!(line(b"a\tb"), "hex:610962");
    }
}
