//! The guard: who somebody is, and what they may do. Owns users and their rules, durable in tables and held as one
//! immutable state that every request reads without a lock. Until the first user exists, whoever comes from this machine
//! may do everything and nobody else anything.

mod authenticate;
mod password;
mod row;
mod rule;
mod signature;
mod user;

use std::sync::Arc;

use arc_swap::ArcSwap;
use crossdock_store::store::Store;
use hashbrown::HashMap;

pub use authenticate::{Credentials, Identity};
pub use signature::sign;

pub use rule::{Action, Actions, Decision, Pattern, Resource, ResourceKind, Rule};
pub use user::{User, UserChange};

use crate::error::HubError;
use crate::hub::Hub;
use crate::table;
use password::Passwords;

#[derive(Debug)]
pub(crate) struct Guard {
    state: ArcSwap<State>,
    /// Serialises changes of the state.
    change: tokio::sync::Mutex<()>,
    passwords: Passwords,
}

#[derive(Clone, Debug, Default)]
struct State {
    accounts: HashMap<Arc<str>, Arc<Account>, foldhash::fast::RandomState>,
    /// User names by access key.
    keys: HashMap<Arc<str>, Arc<str>, foldhash::fast::RandomState>,
}

/// A user with its rules.
#[derive(Clone, Debug)]
struct Account {
    user: User,
    rules: Arc<[Rule]>,
}

impl State {
    fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    fn enter(&mut self, account: Account) {
        let name = Arc::clone(&account.user.name);
        self.leave(&name);
        self.keys
            .insert(Arc::clone(&account.user.access_key), Arc::clone(&name));
        self.accounts.insert(name, Arc::new(account));
    }

    fn leave(&mut self, name: &str) {
        if let Some(account) = self.accounts.remove(name) {
            self.keys.remove(&account.user.access_key);
        }
    }

    /// Whether somebody is left who may change users.
    fn has_admin(&self) -> bool {
        self.accounts
            .values()
            .any(|account| account.user.is_admin && account.user.is_enabled)
    }
}

impl Guard {
    pub(crate) fn load(store: &Store) -> Result<Self, HubError> {
        let mut state = State::default();
        for (key, value) in store.rows(table::USERS, b"") {
            let name = table::name(&key, "user")?;
            let row: row::UserRow = table::read(&value, "user")?;
            let rules: Vec<Rule> = match store.row(table::RULES, &key) {
                Some(rules) => table::read(&rules, "rule")?,
                None => Vec::new(),
            };
            state.enter(Account {
                user: row.into_user(name),
                rules: rules.into(),
            });
        }
        Ok(Self {
            state: ArcSwap::from_pointee(state),
            change: tokio::sync::Mutex::default(),
            passwords: Passwords::default(),
        })
    }
}

impl Hub {
    /// Checks that somebody may do something with every one of these resources. Of the actions named for a resource one
    /// suffices.
    ///
    /// # Errors
    /// `Denied`, naming the first resource that is refused.
    pub fn authorize(
        &self,
        who: &Identity,
        needs: &[(Actions, Resource<'_>)],
    ) -> Result<(), HubError> {
        let state = self.0.guard.state.load();
        state.authorize(who, needs)
    }
}

impl State {
    fn authorize(&self, who: &Identity, needs: &[(Actions, Resource<'_>)]) -> Result<(), HubError> {
        let Some(name) = who.name() else {
            if self.accounts.is_empty() {
                return Ok(());
            }
            return Err(HubError::Denied("authentication is required".into()));
        };
        // The user may have been changed or removed since it was authenticated.
        let account = self
            .account(name)
            .filter(|account| account.user.is_enabled)
            .ok_or_else(|| HubError::Denied(format!("user {name} is not known")))?;
        if account.user.is_admin {
            return Ok(());
        }
        for (actions, resource) in needs {
            if rule::decide(&account.rules, *resource, *actions) != Some(Decision::Allow) {
                return Err(HubError::Denied(format!(
                    "user {name} may not {actions} {resource}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "guard/tests.rs"]
mod tests;
