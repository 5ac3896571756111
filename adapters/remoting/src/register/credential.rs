//! What the hub shows of itself to foreign name servers: requests are signed as clients sign them.

use std::fmt;

use crossdock_proto_remoting::{Command, sign};

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    access_key: String,
    secret: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Both as the name server knows them.
    #[must_use]
    pub fn new(access_key: String, secret: String) -> Self {
        Self { access_key, secret }
    }

    /// The request with access key and signature. Nothing that is signed may change afterwards.
    pub(crate) fn signed(&self, mut command: Command) -> Command {
        let mut ext = command.ext.to_builder();
        ext.put(sign::ACCESS_KEY, &self.access_key);
        command.ext = ext.clone().build();
        let content = sign::content(&command);
        let signature = crossdock_hub::sign(self.secret.as_bytes(), &[&content]);
        ext.put(sign::SIGNATURE, &signature);
        command.ext = ext.build();
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_a_native_client() {
        let command = Command::request(14)
            .with_ext([("topic", "T"), ("queueId", "0")].into_iter().collect())
            .with_body("body");
        let credential = Credential::new("ak".to_owned(), "sk".to_owned());
        let signed = credential.signed(command);
        assert_eq!(signed.ext.get(sign::ACCESS_KEY), Some("ak"));
        let signature = signed.ext.get(sign::SIGNATURE);
        assert_eq!(signature, Some("Hgg5qvd+x4pcTBBxFgXCwTBfD5I="));
        assert!(!format!("{credential:?}").contains("sk"));
    }
}
