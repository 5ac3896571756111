//! Bodies that are documents. Incoming text may be standard JSON or the dialect of the reference
//! implementation; outgoing text is standard wherever official clients accept that.

pub mod auth;
mod dialect;
pub mod group;
pub mod heartbeat;
pub mod lock;
pub mod pop;
pub mod queue;
pub mod registration;
pub mod route;
pub mod stats;
pub mod subscription;
pub mod table;
pub mod topic;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BodyError;

pub use dialect::to_standard;
pub use queue::MessageQueue;
pub use table::DataVersion;

/// Reads a document. Standard JSON takes the short way; otherwise unquoted keys, objects as keys
/// and null members are rewritten first.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(_) => Ok(serde_json::from_slice(&to_standard(bytes)?)?),
    }
}

/// Writes a document as standard JSON.
pub fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, BodyError> {
    Ok(serde_json::to_vec(value)?)
}

/// Declares an enum that travels by name. As Java peers do, reading ignores case and takes
/// ordinals; the variants are therefore in the order of the Java enum.
macro_rules! java_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name().eq_ignore_ascii_case(name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a name or ordinal of ", stringify!($name)))
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$name, E> {
                        $name::from_name(name)
                            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
                    }
                    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<$name, E> {
                        usize::try_from(n).ok().and_then(|n| $name::ALL.get(n)).copied()
                            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(n), &self))
                    }
                }
                d.deserialize_any(Visitor)
            }
        }
    };
}
use java_enum;

#[cfg(test)]
mod tests;
