//! `[[auth.users]]`: a list of tables, each read like a section of its own.

use std::path::PathBuf;

use toml::de::DeValue;

use super::section::{Section, section};
use super::setting::{Problem, Setting};
use super::suggest;
use super::values::Secret;

section! {
    /// A user. It needs a password, or an access key with its secret, or both.
    User {
        /// Name of the user.
        name: String = String::new();
        /// Password; better kept in a file of its own.
        password: Secret = Secret::default();
        /// File that holds the password.
        password_file: PathBuf = PathBuf::new();
        /// Access key that signed requests carry.
        access_key: String = String::new();
        /// Secret that signs requests; better kept in a file of its own.
        secret_key: Secret = Secret::default();
        /// File that holds the secret.
        secret_key_file: PathBuf = PathBuf::new();
        /// Whether the user may do everything.
        admin: bool = false;
    }
}

/// The users a configuration may name.
pub(super) const USERS_MAX: usize = 10_000;

/// The users of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Users(pub Vec<User>);

impl Setting for Users {
    fn read(&mut self, value: &DeValue<'_>) -> Result<(), Vec<Problem>> {
        let Some(list) = value.as_array() else {
            return Err(vec![Problem::new(
                "expected a list of tables, written [[auth.users]]",
            )]);
        };
        if list.len() > USERS_MAX {
            return Err(vec![Problem::new(format!(
                "at most {USERS_MAX} users can be listed"
            ))]);
        }
        let (mut users, mut problems) = (Vec::with_capacity(list.len()), Vec::new());
        for (at, item) in list.iter().enumerate() {
            let mut user = User::default();
            match item.get_ref().as_table() {
                Some(table) => read_user(&mut user, at, table, &mut problems),
                None => problems.push(Problem {
                    span: Some(item.span()),
                    below: format!("[{at}]"),
                    ..Problem::new("expected a table with name and password")
                }),
            }
            users.push(user);
        }
        if problems.is_empty() {
            self.0 = users;
            return Ok(());
        }
        Err(problems)
    }

    fn read_text(&mut self, _text: &str) -> Result<(), Vec<Problem>> {
        Err(vec![Problem::new("users can be listed in a file only")])
    }

    fn show(&self) -> Option<String> {
        None
    }
}

fn read_user(
    user: &mut User,
    at: usize,
    table: &toml::de::DeTable<'_>,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let below = format!("[{at}].{name}");
        let Some(setting) = user.setting(name) else {
            let names = user.keys();
            problems.push(Problem {
                span: Some(key.span()),
                below,
                hint: suggest::closest(name, names.iter().map(|key| key.name)),
                ..Problem::new("unknown key")
            });
            continue;
        };
        for problem in setting.read(value.get_ref()).err().into_iter().flatten() {
            let span = Some(value.span());
            problems.push(Problem {
                span,
                below: below.clone(),
                ..problem
            });
        }
    }
}
