//! Configuration in two steps. [`Sources::load`] merges defaults, file, environment and flags
//! into a [`Config`] and knows where each value came from; [`Loaded::validate`] judges the whole
//! and resolves it into [`Checked`], which is what the rest of the process uses. Both report every
//! fault they find, not the first.

mod fault;
mod file;
mod load;
mod render;
mod section;
mod sections;
mod setting;
mod suggest;
mod users;
mod validate;
mod values;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults, Origin, Place};
pub use load::{Loaded, Override, Sources};
pub use render::{default_file, show};
pub use section::{Key, Section};
pub use sections::{
    Auth, Delivery, Groups, Grpc, Limits, Listen, Log, Nameserver, Node, Register, Remoting,
    Retention, Store, Tls, Topics, Transactions,
};
pub use setting::{Problem, Setting};
pub use users::{User, Users};
pub use validate::{AccessKey, Checked, SeedUser};
pub use values::{
    DelayLevels, Durability, Endpoint, LogFormat, Percent, Secret, Size, Time, TlsMode,
};

macro_rules! config {
    ($($field:ident: $type:ident = $path:literal,)+) => {
        /// Every setting. A field is a section; its path in the file is in [`Config::SECTIONS`].
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Config {
            $(pub $field: $type,)+
        }

        impl Config {
            /// The paths of all sections, in the order of the default file.
            pub const SECTIONS: &'static [&'static str] = &[$($path),+];

            /// The sections with their paths.
            #[must_use]
            pub fn sections(&self) -> Vec<(&'static str, &dyn Section)> {
                vec![$(($path, &self.$field)),+]
            }

            fn section_mut(&mut self, path: &str) -> Option<&mut dyn Section> {
                match path {
                    $($path => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

config! {
    node: Node = "node",
    listen: Listen = "listen",
    nameserver: Nameserver = "listen.nameserver",
    remoting: Remoting = "listen.remoting",
    grpc: Grpc = "listen.grpc",
    tls: Tls = "tls",
    auth: Auth = "auth",
    store: Store = "store",
    retention: Retention = "retention",
    topics: Topics = "topics",
    groups: Groups = "groups",
    delivery: Delivery = "delivery",
    transactions: Transactions = "transactions",
    limits: Limits = "limits",
    register: Register = "register",
    log: Log = "log",
}

impl Config {
    /// The setting at a path such as `store.durability`.
    fn setting(&mut self, path: &str) -> Option<&mut dyn Setting> {
        let (section, name) = path.rsplit_once('.')?;
        self.section_mut(section)?.setting(name)
    }

    /// The path of every key.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let sections = self.sections();
        let keys = |(path, section): &(&str, &dyn Section)| {
            let path = (*path).to_owned();
            section
                .keys()
                .into_iter()
                .map(move |key| format!("{path}.{}", key.name))
        };
        sections.iter().flat_map(keys).collect()
    }
}
