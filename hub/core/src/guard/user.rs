//! Users: creating, changing, removing them and their rules. The first user is an administrator, and one is always left,
//! so that the door that closes with the first user can be opened again.

use std::fmt;
use std::sync::Arc;

use crossdock_store::types::Durability;

use super::row::UserRow;
use super::rule::Rule;
use super::{Account, State};
use crate::error::HubError;
use crate::hub::Hub;
use crate::table;

/// Longest user name, access key and secret, in bytes.
const TEXT_MAX: usize = 255;
/// Most users.
const USERS_MAX: usize = 100_000;
/// Most rules of one user.
const RULES_MAX: usize = 1000;

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it passes every rule.
    pub is_admin: bool,
    /// Whether it may come in.
    pub is_enabled: bool,
    /// What it is called in signed requests.
    pub access_key: Arc<str>,
    /// Hash of its password in PHC form.
    pub(super) password: Option<Secret>,
    /// What it signs with.
    pub(super) secret: Option<Secret>,
}

/// A text that prints as dots.
#[derive(Clone)]
pub(super) struct Secret(Box<str>);

impl Secret {
    pub(super) fn new(text: Box<str>) -> Self {
        Self(text)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

/// What is to become of a user; what is absent stays as it is.
#[derive(Clone, Default)]
pub struct UserChange {
    /// Password for protocols that send one.
    pub password: Option<String>,
    /// Access key for protocols that sign; the name if never given.
    pub access_key: Option<String>,
    /// Secret for protocols that sign.
    pub secret: Option<String>,
    /// Whether it passes every rule.
    pub is_admin: Option<bool>,
    /// Whether it may come in.
    pub is_enabled: Option<bool>,
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserChange")
            .field("access_key", &self.access_key)
            .field("is_admin", &self.is_admin)
            .field("is_enabled", &self.is_enabled)
            .finish_non_exhaustive()
    }
}

fn check_text(what: &'static str, text: &str) -> Result<(), HubError> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(HubError::invalid(format!(
            "the {what} is empty or not printable"
        )));
    }
    if text.len() > TEXT_MAX {
        return Err(HubError::invalid(format!(
            "the {what} is longer than {TEXT_MAX}"
        )));
    }
    Ok(())
}

fn check_rules(rules: &[Rule]) -> Result<(), HubError> {
    if rules.len() > RULES_MAX {
        return Err(HubError::Limit {
            what: "rules of a user",
            limit: RULES_MAX,
        });
    }
    Ok(())
}

impl State {
    /// This state with the user, if the rules for users allow it.
    pub(super) fn with(&self, account: Account) -> Result<Self, HubError> {
        let user = &account.user;
        check_text("user name", &user.name)?;
        check_text("access key", &user.access_key)?;
        if let Some(secret) = &user.secret {
            check_text("secret", secret.text())?;
        }
        if self
            .keys
            .get(&user.access_key)
            .is_some_and(|owner| *owner != user.name)
        {
            return Err(HubError::invalid(format!(
                "access key {} belongs to another user",
                user.access_key
            )));
        }
        if self.accounts.len() >= USERS_MAX && !self.accounts.contains_key(&user.name) {
            return Err(HubError::Limit {
                what: "users",
                limit: USERS_MAX,
            });
        }
        let mut next = self.clone();
        next.enter(account);
        next.check_admin()
    }

    /// This state without the user.
    pub(super) fn without(&self, name: &str) -> Result<Self, HubError> {
        let mut next = self.clone();
        next.leave(name);
        next.check_admin()
    }

    fn check_admin(self) -> Result<Self, HubError> {
        if self.has_admin() {
            return Ok(self);
        }
        Err(HubError::invalid(
            "one enabled user has to be an administrator",
        ))
    }
}

impl Hub {
    /// True once a user exists; from then on everybody has to authenticate.
    #[must_use]
    pub fn has_users(&self) -> bool {
        !self.0.guard.state.load().accounts.is_empty()
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<User> {
        let state = self.0.guard.state.load();
        state.account(name).map(|account| account.user.clone())
    }

    /// Every user, in the order of their names.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let state = self.0.guard.state.load();
        let mut users: Vec<User> = state.accounts.values().map(|a| a.user.clone()).collect();
        users.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        users
    }

    /// Rules of the user.
    #[must_use]
    pub fn rules(&self, name: &str) -> Option<Arc<[Rule]>> {
        let state = self.0.guard.state.load();
        state
            .account(name)
            .map(|account| Arc::clone(&account.rules))
    }

    /// Creates a user.
    ///
    /// # Errors
    /// It exists, a text is not legal, it would be the first without being an administrator, or the store refuses.
    pub async fn create_user(&self, name: &str, change: UserChange) -> Result<(), HubError> {
        let hashed = self.hash(&change).await?;
        let (hub, name): (_, Arc<str>) = (self.clone(), name.into());
        let work = async move {
            let guard = &hub.0.guard;
            let _alone = guard.change.lock().await;
            let state = guard.state.load_full();
            if state.account(&name).is_some() {
                return Err(HubError::UserExists(name.to_string()));
            }
            let user = User {
                access_key: Arc::clone(&name),
                name,
                is_admin: false,
                is_enabled: true,
                password: None,
                secret: None,
            };
            let account = Account {
                user: edited(user, change, hashed),
                rules: Arc::new([]),
            };
            hub.write_account(&state, account).await
        };
        self.0.tasks.finish(work).await
    }

    /// Changes a user.
    ///
    /// # Errors
    /// There is none, a text is not legal, no administrator would be left, or the store refuses.
    pub async fn update_user(&self, name: &str, change: UserChange) -> Result<(), HubError> {
        let hashed = self.hash(&change).await?;
        self.update_account(name, move |account| {
            account.user = edited(account.user.clone(), change, hashed);
            Ok(())
        })
        .await
    }

    /// Replaces the rules of a user.
    ///
    /// # Errors
    /// There is no such user, there are too many rules, or the store refuses.
    pub async fn set_rules(&self, name: &str, rules: Vec<Rule>) -> Result<(), HubError> {
        self.edit_rules(name, move |all| *all = rules).await
    }

    /// Changes the rules of a user.
    ///
    /// # Errors
    /// As [`Hub::set_rules`].
    pub async fn edit_rules(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Vec<Rule>) + Send + 'static,
    ) -> Result<(), HubError> {
        self.update_account(name, move |account| {
            let mut rules = account.rules.to_vec();
            edit(&mut rules);
            check_rules(&rules)?;
            account.rules = rules.into();
            Ok(())
        })
        .await
    }

    /// Removes a user with its rules; `false` if there is none.
    ///
    /// # Errors
    /// No administrator would be left, or the store refuses.
    pub async fn delete_user(&self, name: &str) -> Result<bool, HubError> {
        let (hub, name) = (self.clone(), name.to_owned());
        let work = async move {
            let guard = &hub.0.guard;
            let _alone = guard.change.lock().await;
            let state = guard.state.load_full();
            if state.account(&name).is_none() {
                return Ok(false);
            }
            let next = state.without(&name)?;
            let changes = [
                table::delete(table::USERS, &name),
                table::delete(table::RULES, &name),
            ];
            hub.0.store.change(&changes, Durability::Durable).await?;
            guard.state.store(Arc::new(next));
            guard.passwords.forget(&name);
            Ok(true)
        };
        self.0.tasks.finish(work).await
    }

    async fn update_account(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Account) -> Result<(), HubError> + Send + 'static,
    ) -> Result<(), HubError> {
        let (hub, name) = (self.clone(), name.to_owned());
        let work = async move {
            let guard = &hub.0.guard;
            let _alone = guard.change.lock().await;
            let state = guard.state.load_full();
            let mut account = match state.account(&name) {
                Some(account) => Account::clone(account),
                None => return Err(HubError::NoUser(name)),
            };
            edit(&mut account)?;
            hub.write_account(&state, account).await
        };
        self.0.tasks.finish(work).await
    }

    /// The caller holds the guard's lock.
    async fn write_account(&self, state: &State, account: Account) -> Result<(), HubError> {
        let name = Arc::clone(&account.user.name);
        let row = UserRow::of(&account.user);
        let mut changes = vec![table::put(table::USERS, &name, &row, "user bytes")?];
        changes.push(if account.rules.is_empty() {
            table::delete(table::RULES, &name)
        } else {
            table::put(table::RULES, &name, &*account.rules, "rule bytes")?
        });
        let next = state.with(account)?;
        self.0.store.change(&changes, Durability::Durable).await?;
        self.0.guard.state.store(Arc::new(next));
        self.0.guard.passwords.forget(&name);
        Ok(())
    }

    async fn hash(&self, change: &UserChange) -> Result<Option<String>, HubError> {
        match &change.password {
            None => Ok(None),
            Some(password) => self.0.guard.passwords.hash(password).await.map(Some),
        }
    }

    /// Creates the configured users that do not exist yet, administrators first.
    pub(crate) async fn seed_users(&self) -> Result<(), HubError> {
        let mut seeds = self.0.config.users.clone();
        seeds.sort_by_key(|seed| !seed.is_admin);
        for seed in seeds {
            if self.user(&seed.name).is_some() {
                continue;
            }
            let change = UserChange {
                password: seed.password,
                access_key: seed.access_key,
                secret: seed.secret,
                is_admin: Some(seed.is_admin),
                is_enabled: None,
            };
            self.create_user(&seed.name, change).await?;
            tracing::info!(user = %seed.name, "user created from the configuration");
        }
        Ok(())
    }
}

fn edited(user: User, change: UserChange, hashed: Option<String>) -> User {
    User {
        password: hashed
            .map(|hash| Secret::new(hash.into()))
            .or(user.password),
        access_key: change.access_key.map_or(user.access_key, Arc::from),
        secret: change
            .secret
            .map(|secret| Secret::new(secret.into()))
            .or(user.secret),
        is_admin: change.is_admin.unwrap_or(user.is_admin),
        is_enabled: change.is_enabled.unwrap_or(user.is_enabled),
        name: user.name,
    }
}
