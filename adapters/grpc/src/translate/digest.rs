//! Checksums of bodies, always over the bytes that travel.

use crossdock_proto_grpc::v2::{Code, Digest, DigestType};
use md5::Digest as _;

use crate::error::Refusal;

/// The checksum every delivered message carries: the one form of the three that all clients write alike.
pub(crate) fn of(body: &[u8]) -> Digest {
    Digest {
        r#type: DigestType::Md5.into(),
        checksum: hex(&md5::Md5::digest(body)),
    }
}

/// Checks what a client says of its body; most say nothing.
pub(crate) fn check(digest: Option<&Digest>, body: &[u8]) -> Result<(), Refusal> {
    let Some(digest) = digest else {
        return Ok(());
    };
    let said = digest.checksum.as_str();
    let is_right = match DigestType::try_from(digest.r#type) {
        Ok(DigestType::Unspecified) => true,
        Ok(DigestType::Md5) => said.eq_ignore_ascii_case(&hex(&md5::Md5::digest(body))),
        Ok(DigestType::Sha1) => said.eq_ignore_ascii_case(&hex(&sha1::Sha1::digest(body))),
        Ok(DigestType::Crc32) => {
            // Clients write it in three ways: hexadecimal with and without leading zeros, and decimal.
            let crc = crc32fast::hash(body);
            u32::from_str_radix(said, 16).is_ok_and(|said| said == crc)
                || said.parse::<u32>().is_ok_and(|said| said == crc)
        }
        Err(_) => {
            let text = format!("{} is not a type of digest", digest.r#type);
            return Err(Refusal::bad(text));
        }
    };
    if is_right {
        return Ok(());
    }
    let text = "the body is not what its digest says";
    Err(Refusal::new(Code::MessageCorrupted, text))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: DigestType, checksum: &str) -> Result<(), Refusal> {
        let digest = Digest {
            r#type: kind.into(),
            checksum: checksum.into(),
        };
        check(Some(&digest), b"hello")
    }

    #[test]
    fn digests_of_every_kind_and_form_are_checked() {
        said(DigestType::Md5, "5D41402ABC4B2A76B9719D911017C592").unwrap();
        said(DigestType::Sha1, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d").unwrap();
        for form in ["3610A686", "3610a686", "03610A686", "907060870"] {
            said(DigestType::Crc32, form).unwrap();
        }
        assert_eq!(of(b"hello").checksum, "5D41402ABC4B2A76B9719D911017C592");
    }

    #[test]
    fn a_wrong_digest_means_a_corrupted_message() {
        for kind in [DigestType::Md5, DigestType::Sha1, DigestType::Crc32] {
            for wrong in ["", "00", "not a number"] {
                let refused = said(kind, wrong).unwrap_err();
                assert_eq!(refused.code, Code::MessageCorrupted);
            }
        }
        let unknown = Digest {
            r#type: 17,
            checksum: String::new(),
        };
        assert_eq!(
            check(Some(&unknown), b"").unwrap_err().code,
            Code::BadRequest
        );
        assert_eq!(check(None, b""), Ok(()));
    }
}
