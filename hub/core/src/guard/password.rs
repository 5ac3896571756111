//! Passwords: hashed and verified with Argon2 on the blocking pool, few at a time because each takes memory and tens of
//! milliseconds by design. What was verified is remembered under a key that dies with the process, so that a client that
//! authenticates with every connection does not pay every time.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::error::HubError;

/// Longest password, in bytes.
pub(crate) const PASSWORD_MAX: usize = 1024;
/// Verifications that run at once; each takes 19 MiB.
const AT_ONCE: usize = 2;
/// Verifications that may wait for their turn.
const WAITING_MAX: usize = 256;
/// Users whose password is remembered.
const REMEMBERED_MAX: usize = 4096;

type Mark = [u8; 20];

#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    places: Semaphore,
    key: [u8; 32],
    remembered: Mutex<HashMap<Arc<str>, Mark, foldhash::fast::RandomState>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Semaphore::new(WAITING_MAX),
            key: rand::random(),
            remembered: Mutex::default(),
        }
    }
}

impl Passwords {
    /// Hash of a new password in PHC form, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, HubError> {
        check(password)?;
        let password = password.to_owned();
        self.run(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|_| HubError::Internal("a password cannot be hashed"))
        })
        .await?
    }

    /// True if the password is the one that was hashed. Without a hash the answer is no and takes as long.
    pub(crate) async fn verify(
        &self,
        user: &Arc<str>,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, HubError> {
        check(password)?;
        let mark = hash.map(|hash| self.mark(user, password, hash));
        if let Some(mark) = &mark
            && let Some(known) = self.remembered.lock().get(user)
            && known.ct_eq(mark).into()
        {
            return Ok(true);
        }
        let hash = hash.map(str::to_owned);
        let password = password.to_owned();
        let is_right = self
            .run(move || match hash {
                None => {
                    let _ = Argon2::default().hash_password(password.as_bytes());
                    false
                }
                Some(hash) => PasswordHash::new(&hash).is_ok_and(|hash| {
                    Argon2::default()
                        .verify_password(password.as_bytes(), &hash)
                        .is_ok()
                }),
            })
            .await?;
        if let Some(mark) = mark
            && is_right
        {
            let mut remembered = self.remembered.lock();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(Arc::clone(user), mark);
        }
        Ok(is_right)
    }

    pub(crate) fn forget(&self, user: &str) {
        self.remembered.lock().remove(user);
    }

    /// Names one combination of user, password and hash without revealing the password.
    fn mark(&self, user: &str, password: &str, hash: &str) -> Mark {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.key) else {
            // Keys of any length are taken; should that ever change, nothing is ever remembered as equal.
            return rand::random();
        };
        for part in [user, password, hash] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HubError> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(HubError::Busy("passwords to be verified"));
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| HubError::Closed)?;
        // The turn goes along: a caller that gives up does not make room for more work than there may be.
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        });
        done.await
            .map_err(|_| HubError::Internal("hashing a password failed"))
    }
}

fn check(password: &str) -> Result<(), HubError> {
    if password.is_empty() {
        return Err(HubError::invalid("a password cannot be empty"));
    }
    if password.len() > PASSWORD_MAX {
        return Err(HubError::TooLarge {
            what: "bytes of a password",
            size: password.len(),
            limit: PASSWORD_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_has_a_salt_of_its_own_and_knows_its_password() {
        let passwords = Passwords::default();
        let user: Arc<str> = "u".into();
        let one = passwords.hash("secret").await.unwrap();
        let two = passwords.hash("secret").await.unwrap();
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(passwords.verify(&user, "secret", Some(&one)).await.unwrap());
        assert!(!passwords.verify(&user, "Secret", Some(&one)).await.unwrap());
        assert!(!passwords.verify(&user, "secret", None).await.unwrap());
        assert!(
            !passwords
                .verify(&user, "secret", Some("nonsense"))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn what_is_remembered_is_the_password_and_this_hash_of_it() {
        let passwords = Passwords::default();
        let user: Arc<str> = "u".into();
        let hash = passwords.hash("secret").await.unwrap();
        passwords
            .verify(&user, "secret", Some(&hash))
            .await
            .unwrap();
        // With every turn taken only what is remembered can be answered.
        passwords.turns.forget_permits(AT_ONCE);
        assert!(
            passwords
                .verify(&user, "secret", Some(&hash))
                .await
                .unwrap()
        );
        let other = passwords.verify(&user, "secret", Some("$other"));
        tokio::select! {
            biased;
            _ = other => panic!("another hash was taken for the remembered one"),
            () = std::future::ready(()) => {}
        }
        passwords.forget("u");
        assert!(passwords.remembered.lock().is_empty());
    }

    #[tokio::test]
    async fn verifications_that_wait_are_bounded() {
        let passwords = Passwords::default();
        passwords.places.forget_permits(WAITING_MAX);
        let refused = passwords.hash("secret").await;
        assert_eq!(refused, Err(HubError::Busy("passwords to be verified")));
    }

    #[tokio::test]
    async fn absurd_passwords_are_refused_before_any_work() {
        let passwords = Passwords::default();
        passwords.turns.forget_permits(AT_ONCE);
        assert!(passwords.hash("").await.is_err());
        assert!(passwords.hash(&"x".repeat(PASSWORD_MAX + 1)).await.is_err());
    }
}
