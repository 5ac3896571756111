//! Settings: durable text by namespace and key, for adapters that have to remember a little. Owns a copy in memory;
//! changes are serialised, so that copy and log agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossdock_store::change::Change;
use crossdock_store::store::Store;
use crossdock_store::types::Durability;
use parking_lot::RwLock;

use crate::error::HubError;
use crate::hub::Hub;
use crate::table::SETTINGS;

/// Longest namespace and longest key, in bytes.
const NAME_MAX: usize = 1024;
/// Longest value, in bytes.
const VALUE_MAX: usize = 64 * 1024;
/// Most settings.
const SETTINGS_MAX: usize = 100_000;

type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Settings {
    all: RwLock<BTreeMap<Key, Arc<str>>>,
    change: tokio::sync::Mutex<()>,
}

impl Settings {
    pub(crate) fn load(store: &Store) -> Result<Self, HubError> {
        let settings = Self::default();
        for (key, value) in store.rows(SETTINGS, b"") {
            let corrupt = || HubError::Corrupt("setting");
            let key = std::str::from_utf8(&key).map_err(|_| corrupt())?;
            let value = std::str::from_utf8(&value).map_err(|_| corrupt())?;
            let (namespace, key) = key.split_once('\0').ok_or_else(corrupt)?;
            let mut all = settings.all.write();
            all.insert((namespace.into(), key.into()), value.into());
        }
        Ok(settings)
    }

    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<Arc<str>> {
        self.all
            .read()
            .get(&(namespace.into(), key.into()))
            .cloned()
    }
}

fn check(namespace: &str, key: &str, value: &str) -> Result<(), HubError> {
    for (what, text, limit) in [
        ("bytes of a namespace", namespace, NAME_MAX),
        ("bytes of a key", key, NAME_MAX),
        ("bytes of a setting", value, VALUE_MAX),
    ] {
        if text.len() > limit {
            return Err(HubError::TooLarge {
                what,
                size: text.len(),
                limit,
            });
        }
    }
    if namespace.is_empty() || key.is_empty() {
        return Err(HubError::invalid("a setting needs a namespace and a key"));
    }
    if namespace.contains('\0') || key.contains('\0') {
        return Err(HubError::invalid(
            "namespace and key cannot hold a zero byte",
        ));
    }
    Ok(())
}

impl Hub {
    /// The value of a setting.
    #[must_use]
    pub fn setting(&self, namespace: &str, key: &str) -> Option<Arc<str>> {
        self.0.settings.get(namespace, key)
    }

    /// Every key and value of a namespace, in the order of the keys.
    #[must_use]
    pub fn settings(&self, namespace: &str) -> Vec<(Arc<str>, Arc<str>)> {
        let from: Key = (namespace.into(), "".into());
        let all = self.0.settings.all.read();
        all.range(from..)
            .take_while(|((known, _), _)| **known == *namespace)
            .map(|((_, key), value)| (Arc::clone(key), Arc::clone(value)))
            .collect()
    }

    /// Sets a value for good.
    ///
    /// # Errors
    /// A name or the value breaks a rule, there are too many, or the store refuses.
    pub async fn put_setting(
        &self,
        namespace: &str,
        key: &str,
        value: &str,
    ) -> Result<(), HubError> {
        check(namespace, key, value)?;
        self.write_setting(namespace, key, Some(value.into()))
            .await?;
        Ok(())
    }

    /// Removes a setting; `false` if there is none.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn delete_setting(&self, namespace: &str, key: &str) -> Result<bool, HubError> {
        if self.setting(namespace, key).is_none() {
            return Ok(false);
        }
        self.write_setting(namespace, key, None).await
    }

    async fn write_setting(
        &self,
        namespace: &str,
        key: &str,
        value: Option<Arc<str>>,
    ) -> Result<bool, HubError> {
        let hub = self.clone();
        let name: Key = (namespace.into(), key.into());
        let write = async move {
            let settings = &hub.0.settings;
            let _alone = settings.change.lock().await;
            let known = settings.all.read().len();
            let row_key = format!("{}\0{}", name.0, name.1).into();
            let change = match &value {
                Some(value) => {
                    if known >= SETTINGS_MAX && settings.get(&name.0, &name.1).is_none() {
                        return Err(HubError::Limit {
                            what: "settings",
                            limit: SETTINGS_MAX,
                        });
                    }
                    Change::Put {
                        table: SETTINGS,
                        key: row_key,
                        value: value.to_string().into(),
                    }
                }
                None => Change::Delete {
                    table: SETTINGS,
                    key: row_key,
                },
            };
            hub.0.store.change(&[change], Durability::Durable).await?;
            let mut all = settings.all.write();
            let old = match value {
                Some(value) => all.insert(name, value),
                None => all.remove(&name),
            };
            Ok(old.is_some())
        };
        self.0.tasks.finish(write).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_told_apart_when_stored_are_refused() {
        assert!(check("n", "k", "").is_ok());
        for (namespace, key) in [("", "k"), ("n", ""), ("n\0k", "x"), ("n", "\0")] {
            assert!(check(namespace, key, "v").is_err(), "{namespace:?} {key:?}");
        }
        assert!(check("n", &"k".repeat(NAME_MAX + 1), "").is_err());
        assert!(check("n", "k", &"v".repeat(VALUE_MAX + 1)).is_err());
    }
}
