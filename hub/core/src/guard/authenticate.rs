//! Telling who somebody is. All failures look alike from outside.

use std::fmt;
use std::sync::Arc;

use super::user::Secret;
use super::{State, signature};
use crate::error::HubError;
use crate::hub::Hub;

/// What somebody shows of themselves.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// Nothing.
    Anonymous {
        /// Whether the connection comes from this machine.
        is_loopback: bool,
    },
    /// A signed request.
    Signature {
        /// The user's access key.
        access_key: &'a str,
        /// What was signed, in order.
        content: &'a [&'a [u8]],
        /// HMAC-SHA1 of the content with the user's secret, in base64.
        signature: &'a str,
    },
    /// A user name and a password.
    Password {
        /// The user.
        user: &'a str,
        /// Its password.
        password: &'a str,
    },
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous { is_loopback } => f
                .debug_struct("Anonymous")
                .field("is_loopback", is_loopback)
                .finish(),
            Self::Signature { access_key, .. } => f
                .debug_struct("Signature")
                .field("access_key", access_key)
                .finish_non_exhaustive(),
            Self::Password { user, .. } => f
                .debug_struct("Password")
                .field("user", user)
                .finish_non_exhaustive(),
        }
    }
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Option<Arc<str>>);

impl Identity {
    /// Name of the user; `None` for somebody from this machine while there are no users.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    #[cfg(test)]
    pub(super) fn of(name: Option<&str>) -> Self {
        Self(name.map(Arc::from))
    }
}

fn failed() -> HubError {
    HubError::Denied("authentication failed".into())
}

impl State {
    fn anonymous(&self, may_enter: bool) -> Result<Identity, HubError> {
        if may_enter && self.accounts.is_empty() {
            return Ok(Identity(None));
        }
        Err(HubError::Denied("authentication is required".into()))
    }

    pub(super) fn signed(
        &self,
        access_key: &str,
        content: &[&[u8]],
        signature: &str,
    ) -> Result<Identity, HubError> {
        let account = self
            .keys
            .get(access_key)
            .and_then(|name| self.account(name))
            .filter(|account| account.user.is_enabled)
            .ok_or_else(failed)?;
        let secret = account.user.secret.as_ref().ok_or_else(failed)?;
        if !signature::verify(secret.as_bytes(), content, signature) {
            return Err(failed());
        }
        Ok(Identity(Some(Arc::clone(&account.user.name))))
    }
}

impl Hub {
    /// Tells who somebody is. Only passwords make it wait.
    ///
    /// # Errors
    /// `Denied` for everything that is not right; `Busy` if too many passwords wait to be verified.
    pub async fn authenticate(&self, shown: Credentials<'_>) -> Result<Identity, HubError> {
        let guard = &self.0.guard;
        match shown {
            Credentials::Anonymous { is_loopback } => {
                let may_enter = is_loopback || self.0.config.allow_insecure;
                guard.state.load().anonymous(may_enter)
            }
            Credentials::Signature {
                access_key,
                content,
                signature,
            } => guard.state.load().signed(access_key, content, signature),
            Credentials::Password { user, password } => {
                let account = guard.state.load().account(user).cloned();
                let account = account.filter(|account| account.user.is_enabled);
                let hash = account
                    .as_ref()
                    .and_then(|account| account.user.password.as_ref());
                let hash = hash.map(Secret::text);
                let name: Arc<str> = match &account {
                    Some(account) => Arc::clone(&account.user.name),
                    None => Arc::from(""),
                };
                let is_right = guard.passwords.verify(&name, password, hash).await;
                match is_right {
                    Ok(true) => Ok(Identity(Some(name))),
                    Ok(false) | Err(HubError::Invalid(_) | HubError::TooLarge { .. }) => {
                        Err(failed())
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }
}
