//! Sections: a struct of settings, declared once. From the one declaration come the struct, its
//! defaults, the doc comments in the generated default file, and access to each field by name,
//! which is how files, environment and flags are applied and how unknown keys are noticed.

use super::setting::Setting;

/// One key of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    /// Lines of documentation.
    pub doc: &'static [&'static str],
    /// The present value as TOML text; `None` when it has no one-line form.
    pub value: Option<String>,
}

/// A table of the file.
pub trait Section {
    /// Lines of documentation.
    fn doc(&self) -> &'static [&'static str];
    /// Every key, in the order of the declaration.
    fn keys(&self) -> Vec<Key>;
    /// The setting of that name.
    fn setting(&mut self, name: &str) -> Option<&mut dyn Setting>;
}

macro_rules! section {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty = $default:expr;)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $crate::config::section::Section for $name {
            fn doc(&self) -> &'static [&'static str] {
                &[$($doc),+]
            }

            fn keys(&self) -> Vec<$crate::config::section::Key> {
                vec![$($crate::config::section::Key {
                    name: stringify!($field),
                    doc: &[$($field_doc),+],
                    value: $crate::config::setting::Setting::show(&self.$field),
                }),+]
            }

            fn setting(
                &mut self,
                name: &str,
            ) -> Option<&mut dyn $crate::config::setting::Setting> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use section;
