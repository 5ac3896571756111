//! How a user is stored.

use serde::{Deserialize, Serialize};

use super::user::{Secret, User};

#[derive(Serialize, Deserialize)]
pub(super) struct UserRow {
    admin: bool,
    enabled: bool,
    access_key: Box<str>,
    password: Option<Box<str>>,
    secret: Option<Box<str>>,
}

impl UserRow {
    pub(super) fn of(user: &User) -> Self {
        Self {
            admin: user.is_admin,
            enabled: user.is_enabled,
            access_key: (&*user.access_key).into(),
            password: user.password.as_ref().map(|hash| hash.text().into()),
            secret: user.secret.as_ref().map(|secret| secret.text().into()),
        }
    }

    pub(super) fn into_user(self, name: &str) -> User {
        User {
            name: name.into(),
            is_admin: self.admin,
            is_enabled: self.enabled,
            access_key: self.access_key.into(),
            password: self.password.map(Secret::new),
            secret: self.secret.map(Secret::new),
        }
    }
}
