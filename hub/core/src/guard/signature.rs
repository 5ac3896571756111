//! Request signatures: HMAC-SHA1 over the signed parts in order, written as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Longest signature worth decoding: 20 bytes in base64.
const SIGNATURE_MAX: usize = 28;

/// The secret's signature of the parts; what [`crate::Credentials::Signature`] is checked against.
#[must_use]
pub fn sign(secret: &[u8], parts: &[&[u8]]) -> String {
    mac(secret, parts).map_or_else(String::new, |mac| {
        STANDARD.encode(mac.finalize().into_bytes())
    })
}

/// True if `signature` is the secret's signature of the parts. Takes the same time wherever a difference lies.
pub(crate) fn verify(secret: &[u8], parts: &[&[u8]], signature: &str) -> bool {
    if signature.len() > SIGNATURE_MAX {
        return false;
    }
    let Ok(claimed) = STANDARD.decode(signature) else {
        return false;
    };
    mac(secret, parts).is_some_and(|mac| mac.verify_slice(&claimed).is_ok())
}

/// There is one for a secret of any length.
fn mac(secret: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "Hgg5qvd+x4pcTBBxFgXCwTBfD5I=";

    #[test]
    fn a_signature_of_a_native_client_is_accepted() {
        assert!(verify(b"sk", &[b"ak", b"0", b"T", b"body"], SIGNATURE));
        assert!(verify(b"sk", &[b"ak0Tbody"], SIGNATURE));
        assert_eq!(sign(b"sk", &[b"ak0T", b"body"]), SIGNATURE);
    }

    #[test]
    fn anything_else_is_not() {
        assert!(!verify(b"sK", &[b"ak0Tbody"], SIGNATURE));
        assert!(!verify(b"sk", &[b"ak0Tbodz"], SIGNATURE));
        assert!(!verify(
            b"sk",
            &[b"ak0Tbody"],
            "Hgg5qvd+x4pcTBBxFgXCwTBfD5M="
        ));
        assert!(!verify(
            b"sk",
            &[b"ak0Tbody"],
            "Hgg5qvd+x4pcTBBxFgXCwTBfD5I"
        ));
        assert!(!verify(b"sk", &[b"ak0Tbody"], ""));
        assert!(!verify(b"sk", &[b"ak0Tbody"], "not base64 at all!"));
    }
}
