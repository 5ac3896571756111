//! Typed headers: the extension fields of each request and response as a struct, read from and
//! written to [`ExtFields`]. One file per family; texts are borrowed from the command.

pub mod admin;
pub mod auth;
pub mod group;
pub mod namesrv;
pub mod offset;
pub mod pop;
pub mod pull;
pub mod query;
pub mod send;
pub mod transaction;

use crate::error::HeaderError;
use crate::ext::{ExtBuilder, ExtFields};

/// A header that can be written to outgoing extension fields.
pub trait WriteHeader {
    fn write(&self, ext: &mut ExtBuilder);
}

/// A field type: how its text is read and written.
trait Value<'a>: Sized {
    fn read(text: &'a str) -> Option<Self>;
    fn put(&self, name: &'static str, ext: &mut ExtBuilder);

    /// What an absent field means; `None` makes the field required.
    fn absent() -> Option<Self> {
        None
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(text: &'a str) -> Option<Self> {
        Some(text)
    }
    fn put(&self, name: &'static str, ext: &mut ExtBuilder) {
        ext.put(name, self);
    }
}

impl<'a> Value<'a> for i32 {
    fn read(text: &'a str) -> Option<Self> {
        text.parse().ok()
    }
    fn put(&self, name: &'static str, ext: &mut ExtBuilder) {
        ext.put_i32(name, *self);
    }
}

impl<'a> Value<'a> for i64 {
    fn read(text: &'a str) -> Option<Self> {
        text.parse().ok()
    }
    fn put(&self, name: &'static str, ext: &mut ExtBuilder) {
        ext.put_i64(name, *self);
    }
}

impl<'a> Value<'a> for bool {
    fn read(text: &'a str) -> Option<Self> {
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }
    fn put(&self, name: &'static str, ext: &mut ExtBuilder) {
        ext.put_bool(name, *self);
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    fn read(text: &'a str) -> Option<Self> {
        // The binary encoding has no other way to say "absent" than an empty value.
        if text.is_empty() {
            Some(T::read(text))
        } else {
            T::read(text).map(Some)
        }
    }
    fn put(&self, name: &'static str, ext: &mut ExtBuilder) {
        if let Some(value) = self {
            value.put(name, ext);
        }
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

fn read<'a, T: Value<'a>>(ext: &'a ExtFields, name: &'static str) -> Result<T, HeaderError> {
    match ext.get(name) {
        Some(text) => T::read(text).ok_or(HeaderError::Malformed(name)),
        None => T::absent().ok_or(HeaderError::Missing(name)),
    }
}

/// Declares header structs with the wire name of each field. `Option` fields may be absent.
macro_rules! headers {
    ($(
        $(#[$meta:meta])*
        $name:ident $(<$lt:lifetime>)? {
            $($(#[$fmeta:meta])* $field:ident: $ty:ty = $wire:literal,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name $(<$lt>)? {
            $($(#[$fmeta])* pub $field: $ty,)*
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            pub fn parse(
                ext: & $($lt)? $crate::ext::ExtFields,
            ) -> Result<Self, $crate::error::HeaderError> {
                Ok(Self { $($field: $crate::header::read(ext, $wire)?,)* })
            }

            pub fn write(&self, ext: &mut $crate::ext::ExtBuilder) {
                $($crate::header::Value::put(&self.$field, $wire, ext);)*
            }
        }

        impl $(<$lt>)? $crate::header::WriteHeader for $name $(<$lt>)? {
            fn write(&self, ext: &mut $crate::ext::ExtBuilder) {
                $name::write(self, ext);
            }
        }
    )*};
}
use headers;

#[cfg(test)]
mod tests;
