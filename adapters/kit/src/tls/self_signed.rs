//! Makes the self-signed pair. The key is readable by the owner only, from its first byte on, and
//! each file appears whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use crate::error::TlsError;

const CERT_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

pub(super) fn write(
    folder: &Path,
    cert: &Path,
    key: &Path,
    names: &[String],
) -> Result<(), TlsError> {
    let generate = |error: rcgen::Error| TlsError::Generate(error.to_string());
    let pair = KeyPair::generate().map_err(generate)?;
    let mut params = CertificateParams::new(names).map_err(generate)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "crossdock self-signed");
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2124, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = params.self_signed(&pair).map_err(generate)?;

    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TlsError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    place(key, pair.serialize_pem().as_bytes(), KEY_MODE).map_err(failed(key))?;
    place(cert, signed.pem().as_bytes(), CERT_MODE).map_err(failed(cert))
}

fn place(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
