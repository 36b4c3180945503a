//! Values of applications to bytes and back, in postcard.
//!
//! What stands at a place, the value of a register, may be spelled in any way that reads as
//! it. What *names* a place, an element of a set or a field of a map, is found by its bytes,
//! at every replica, for ever: so it must have one spelling. The obvious code encodes a name
//! as it comes, and then:
//!
//! 1. A adds the element {x, y}, a hash set, which happens to be iterated as x, y.
//! 2. B removes {x, y}, iterated as y, x: other bytes, another element. Nothing is removed.
//! 3. C adds it, iterated either way: the set holds one element twice.
//!
//! A map comes to an encoder as a map, so its entries can be sorted, whatever the order they
//! come in. A hash set comes as a sequence, which nobody can tell from a list; but read
//! back it is another hash set, of another order. So a name is read back before it is used,
//! and refused where that makes other bytes.

use postcard::ser_flavors::{AllocVec, Flavor};
use serde::de::DeserializeOwned;
use serde::ser::{self, Serialize, Serializer};

/// The bytes of a value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, NotEncoded> {
    Ok(postcard::to_allocvec(value)?)
}

/// The value of these bytes, which are all of it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotDecoded> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(NotDecoded::LeftOver(rest.len())),
    }
}

/// The bytes of a name, which has no others. Reads them back: once, or where a sequence of
/// two or more is in it, which may be a hash set that happens to keep its order, eight times.
/// Such a set of any length may still pass, about once in a hundred tries: what is in a
/// name must not be a hash set, and this finds most that are.
pub(crate) fn encode_name<T: Serialize + DeserializeOwned>(
    name: &T,
) -> Result<Vec<u8>, NotEncoded> {
    let (bytes, longest) = spell(name)?;
    let times = if longest >= 2 { 8 } else { 1 };
    for _ in 0..times {
        let again: T = decode(&bytes).map_err(|e| NotEncoded::Unreadable(e.to_string()))?;
        if spell(&again)?.0 != bytes {
            return Err(NotEncoded::ManySpellings);
        }
    }
    Ok(bytes)
}

/// The name of these bytes, which are its one spelling: another would be found under the
/// application's value, and neither removed nor seen by it.
pub(crate) fn decode_name<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, NotDecoded> {
    let name = decode(bytes)?;
    match spell(&name) {
        Ok((spelled, _)) if spelled == bytes => Ok(name),
        _ => Err(NotDecoded::OtherSpelling),
    }
}

/// Why a value has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotEncoded {
    #[error("{0}")]
    Encoder(String),
    #[error("what is written cannot be read back: {0}")]
    Unreadable(String),
    #[error("read back and written again it has other bytes, as a hash set does")]
    ManySpellings,
}

impl From<postcard::Error> for NotEncoded {
    fn from(error: postcard::Error) -> Self {
        Self::Encoder(error.to_string())
    }
}

impl ser::Error for NotEncoded {
    fn custom<M: core::fmt::Display>(message: M) -> Self {
        Self::Encoder(message.to_string())
    }
}

/// Why bytes are no value of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDecoded {
    #[error(transparent)]
    Decoder(#[from] postcard::Error),
    #[error("{0} bytes left over")]
    LeftOver(usize),
    #[error("not the one spelling of what it reads as")]
    OtherSpelling,
}

/// The bytes of a name with the entries of its maps sorted, and the length of the longest
/// sequence in it.
fn spell<T: Serialize + ?Sized>(name: &T) -> Result<(Vec<u8>, usize), NotEncoded> {
    let mut speller = Speller::default();
    name.serialize(&mut speller)?;
    Ok((speller.out.output.finalize()?, speller.longest))
}

/// Postcard, but for the order of a map's entries: by the bytes of their keys.
struct Speller {
    out: postcard::Serializer<AllocVec>,
    longest: usize,
}

impl Default for Speller {
    fn default() -> Self {
        Self { out: postcard::Serializer { output: AllocVec::new() }, longest: 0 }
    }
}

/// The entries of a map that is being spelled.
struct Entries<'a> {
    speller: &'a mut Speller,
    key: Vec<u8>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entries<'_> {
    fn spell(&mut self, part: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, NotEncoded> {
        let (bytes, longest) = spell(part)?;
        self.speller.longest = self.speller.longest.max(longest);
        Ok(bytes)
    }
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = NotEncoded;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotEncoded> {
        self.key = self.spell(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotEncoded> {
        let value = self.spell(value)?;
        self.entries.push((core::mem::take(&mut self.key), value));
        Ok(())
    }

    fn end(mut self) -> Result<(), NotEncoded> {
        self.entries.sort_unstable();
        if self.entries.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b)) {
            return Err(ser::Error::custom("a map that has a key twice"));
        }
        (&mut self.speller.out).serialize_seq(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            self.speller.out.output.try_extend(key)?;
            self.speller.out.output.try_extend(value)?;
        }
        Ok(())
    }
}

macro_rules! as_postcard_does {
    ($($method:ident($of:ty)),*) => {
        $(fn $method(self, value: $of) -> Result<(), NotEncoded> {
            Ok((&mut self.out).$method(value)?)
        })*
    };
}

impl<'a> Serializer for &'a mut Speller {
    type Ok = ();
    type Error = NotEncoded;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    as_postcard_does!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8])
    );

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_none(self) -> Result<(), NotEncoded> {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotEncoded> {
        self.serialize_u8(1)?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NotEncoded> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NotEncoded> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), NotEncoded> {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotEncoded> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotEncoded> {
        self.serialize_u32(index)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, NotEncoded> {
        (&mut self.out).serialize_seq(len)?;
        self.longest = self.longest.max(len.unwrap_or_default());
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, NotEncoded> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, NotEncoded> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotEncoded> {
        self.serialize_u32(index)?;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, NotEncoded> {
        Ok(Entries { speller: self, key: Vec::new(), entries: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotEncoded> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotEncoded> {
        self.serialize_u32(index)?;
        Ok(self)
    }
}

/// Parts that stand one after the other, with nothing between.
macro_rules! parts {
    ($($kind:ident::$method:ident($($name:ident)?)),*) => {
        $(impl ser::$kind for &mut Speller {
            type Ok = ();
            type Error = NotEncoded;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                part: &T,
            ) -> Result<(), NotEncoded> {
                $(let _ = $name;)?
                part.serialize(&mut **self)
            }

            fn end(self) -> Result<(), NotEncoded> {
                Ok(())
            }
        })*
    };
}

parts!(
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(name),
    SerializeStructVariant::serialize_field(name)
);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
    use std::fmt::Debug;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Nothing,
        Round(f64),
        Pair(i8, u128),
        Named { name: String, tags: Option<Vec<u16>> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(i64);

    /// Names without a map are spelled as postcard does, and read back.
    #[track_caller]
    fn as_postcard<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: T) {
        let bytes = postcard::to_allocvec(&name).unwrap();
        assert_eq!(encode_name(&name).unwrap(), bytes);
        assert_eq!(decode_name::<T>(&bytes).unwrap(), name);
    }

    quickcheck::quickcheck! {
        fn a_name_without_maps_is_what_postcard_writes(
            small: (bool, i8, u8, i16, u16, i32, u32, i64),
            large: (u64, i128, u128, char, String, Option<u16>, Vec<u32>),
            tree: BTreeSet<(u8, Option<char>)>
        ) -> bool {
            let (_, _, wide, _, text, tags, _) = large.clone();
            as_postcard(Shape::Named { name: text, tags: tags.map(|tag| vec![tag, 0, tag]) });
            as_postcard(vec![Shape::Nothing, Shape::Round(-0.5), Shape::Pair(small.1, wide)]);
            as_postcard(((Unit, Wrapped(small.7), 1.5_f32), [Some(()), None]));
            as_postcard((small, large));
            as_postcard(tree);
            true
        }

        fn a_map_has_one_spelling_whatever_its_order(map: HashMap<u16, HashMap<u8, char>>) -> bool {
            let inner = |m: &HashMap<u8, char>| m.clone().into_iter().collect::<BTreeMap<_, _>>();
            let sorted: BTreeMap<u16, _> = map.iter().map(|(k, m)| (*k, inner(m))).collect();
            let bytes = encode_name(&map).unwrap();
            let again: HashMap<u16, HashMap<u8, char>> = decode_name(&bytes).unwrap();
            again == map && bytes == encode_name(&sorted).unwrap()
        }
    }

    #[test]
    fn entries_stand_in_the_order_of_the_bytes_of_their_keys() {
        // 300 is spelled ac 02, which comes before ff 01, the spelling of 255.
        let bytes = encode_name(&BTreeMap::from([(255_u32, 'a'), (300, 'b'), (1, 'c')])).unwrap();
        assert_eq!(bytes, b"\x03\x01\x01c\xac\x02\x01b\xff\x01\x01a");
        // Encoded as a value they stand as they come.
        let bytes = encode(&BTreeMap::from([(255_u32, 'a'), (300, 'b')])).unwrap();
        assert_eq!(bytes, b"\x02\xff\x01\x01a\xac\x02\x01b");
    }

    #[test]
    fn hash_sets_are_refused() {
        for len in 2..20_u32 {
            let passed =
                (0..50).filter(|_| encode_name(&HashSet::<u32>::from_iter(0..len)).is_ok());
            assert!(passed.count() <= 5, "{len}"); // 0.2 of 50 are to be expected, at most
        }
        // Of one element, or none, there is one spelling; and a tree has one always.
        assert!(encode_name(&HashSet::from([7_u32])).is_ok());
        assert!(encode_name(&BTreeSet::from_iter(0..9_u32)).is_ok());
        assert_eq!(
            (0..50)
                .map(|_| encode_name(&(1_u8, HashSet::<u32>::from_iter(0..9))))
                .find_map(Result::err),
            Some(NotEncoded::ManySpellings)
        );
    }

    #[derive(Serialize, Deserialize)]
    struct Sparing {
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    struct Twice;

    impl Serialize for Twice {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map([(1_u8, 'a'), (1, 'b')])
        }
    }

    impl<'de> Deserialize<'de> for Twice {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }

    #[test]
    fn what_cannot_be_read_back_is_refused() {
        let left_out = encode_name(&Sparing { note: None });
        assert!(matches!(left_out, Err(NotEncoded::Unreadable(_))), "{left_out:?}");
        assert!(encode_name(&Sparing { note: Some(String::new()) }).is_ok());
        assert!(matches!(encode_name(&Twice), Err(NotEncoded::Encoder(_))));
    }

    #[test]
    fn another_spelling_is_no_name_and_may_be_a_value() {
        assert_eq!(decode::<u32>(b"\x85\x00"), Ok(5)); // a longer varint than need be
        assert_eq!(decode_name::<u32>(b"\x85\x00"), Err(NotDecoded::OtherSpelling));
        assert_eq!(decode_name::<u32>(b"\x05"), Ok(5));
        assert_eq!(decode::<u32>(b"\x05\x00"), Err(NotDecoded::LeftOver(1)));
        assert!(matches!(decode::<u32>(b"\x85"), Err(NotDecoded::Decoder(_))));
        // Entries out of order, and one twice.
        for bytes in [&b"\x02\x02b\x01a"[..], b"\x02\x01a\x01a"] {
            assert!(decode::<BTreeMap<u8, u8>>(bytes).is_ok());
            let name = decode_name::<BTreeMap<u8, u8>>(bytes);
            assert_eq!(name, Err(NotDecoded::OtherSpelling));
        }
    }
}
