//! Compressed bodies. Clients of this protocol compress with gzip, clients of the older one with zlib; both wrap the same
//! deflated bytes. They are rewrapped on the way in and out, never compressed anew, so that each sees what it can read.

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Most bytes a body may inflate to while its checksum is computed.
const INFLATED_MAX: u64 = 64 * 1024 * 1024;
const CHUNK: usize = 16 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
/// Magic, method, no flags, no time, nothing about the level, unknown system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, DEFLATE, 0, 0, 0, 0, 0, 0, 0xff];
const ZLIB_HEAD: [u8; 2] = [0x78, 0x9c];
const GZIP_TRAILER: usize = 8;
const ZLIB_TRAILER: usize = 4;
/// Most bytes added to a sum before it has to be reduced.
const ADLER_CHUNK: usize = 5552;
const ADLER_MODULUS: u32 = 65_521;

/// A body that is not what it claims to be, or inflates to too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be decompressed")]
pub(crate) struct Unreadable;

/// A compressed body of this protocol as the store keeps it.
pub(crate) fn to_zlib(body: &Bytes) -> Result<Bytes, Unreadable> {
    if !body.starts_with(&GZIP_MAGIC) {
        // Some clients call zlib gzip.
        let deflated = zlib_content(body).ok_or(Unreadable)?;
        inflate(deflated, |_| {})?;
        return Ok(body.clone());
    }
    let deflated = gzip_content(body).ok_or(Unreadable)?;
    let (mut sum, mut crc) = (Adler::default(), Crc::new());
    let end = inflate(deflated, |plain| {
        sum.add(plain);
        crc.update(plain);
    })?;
    // What followed the trailer would be another member; readers of zlib know no members.
    let (deflated, trailer) = deflated.split_at_checked(end).ok_or(Unreadable)?;
    let trailer: [u8; GZIP_TRAILER] = trailer.try_into().map_err(|_| Unreadable)?;
    let expected = u64::from(crc.amount()) << 32 | u64::from(crc.sum());
    if u64::from_le_bytes(trailer) != expected {
        return Err(Unreadable);
    }
    let mut out = BytesMut::with_capacity(ZLIB_HEAD.len() + end + ZLIB_TRAILER);
    out.put_slice(&ZLIB_HEAD);
    out.put_slice(deflated);
    out.put_u32(sum.value());
    Ok(out.freeze())
}

/// A compressed body of the store as clients of this protocol read it.
pub(crate) fn to_gzip(body: &[u8]) -> Result<Bytes, Unreadable> {
    let deflated = zlib_content(body).ok_or(Unreadable)?;
    let mut crc = Crc::new();
    let end = inflate(deflated, |plain| crc.update(plain))?;
    let deflated = deflated.get(..end).ok_or(Unreadable)?;
    let mut out = BytesMut::with_capacity(GZIP_HEAD.len() + end + GZIP_TRAILER);
    out.put_slice(&GZIP_HEAD);
    out.put_slice(deflated);
    out.put_u32_le(crc.sum());
    out.put_u32_le(crc.amount());
    Ok(out.freeze())
}

/// What follows the head of a zlib stream.
fn zlib_content(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_first_chunk::<2>()?;
    let has_dictionary = head[1] & 0x20 != 0;
    let is_head = head[0] & 15 == DEFLATE && u16::from_be_bytes(*head) % 31 == 0;
    (is_head && !has_dictionary).then_some(rest)
}

/// What follows the head of a gzip member, with its optional fields.
fn gzip_content(body: &[u8]) -> Option<&[u8]> {
    let (head, mut rest) = body.split_first_chunk::<10>()?;
    if head[2] != DEFLATE {
        return None;
    }
    let flags = head[3];
    if flags & 4 != 0 {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    // File name and comment, each ended by a zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

/// Inflates to nowhere, showing what comes out; where the deflated bytes end.
fn inflate(deflated: &[u8], mut show: impl FnMut(&[u8])) -> Result<usize, Unreadable> {
    let mut inflater = Decompress::new(false);
    let mut buffer = [0; CHUNK];
    loop {
        let (read, written) = (inflater.total_in(), inflater.total_out());
        let rest = deflated.get(read as usize..).ok_or(Unreadable)?;
        let status = inflater
            .decompress(rest, &mut buffer, FlushDecompress::None)
            .map_err(|_| Unreadable)?;
        let new = (inflater.total_out() - written) as usize;
        show(buffer.get(..new).ok_or(Unreadable)?);
        if inflater.total_out() > INFLATED_MAX {
            return Err(Unreadable);
        }
        match status {
            Status::StreamEnd => return Ok(inflater.total_in() as usize),
            Status::Ok | Status::BufError if new == 0 && inflater.total_in() == read => {
                return Err(Unreadable);
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// The checksum of zlib.
#[derive(Debug)]
struct Adler {
    low: u32,
    high: u32,
}

impl Default for Adler {
    fn default() -> Self {
        Self { low: 1, high: 0 }
    }
}

impl Adler {
    fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(ADLER_CHUNK) {
            for byte in chunk {
                self.low += u32::from(*byte);
                self.high += self.low;
            }
            self.low %= ADLER_MODULUS;
            self.high %= ADLER_MODULUS;
        }
    }

    fn value(&self) -> u32 {
        self.high << 16 | self.low
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use flate2::Compression;
    use flate2::read::{GzDecoder, ZlibDecoder};
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zlib(plain: &[u8]) -> Bytes {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn plains() -> [Vec<u8>; 3] {
        let long = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        [b"x".to_vec(), b"hello".repeat(5000), long]
    }

    #[test]
    fn both_wrappings_are_read_by_the_other_generations_decoder() {
        for plain in plains() {
            let mut back = Vec::new();
            let kept = to_zlib(&gzip(&plain)).unwrap();
            ZlibDecoder::new(&kept[..]).read_to_end(&mut back).unwrap();
            assert_eq!(back, plain);
            back.clear();
            let sent = to_gzip(&kept).unwrap();
            GzDecoder::new(&sent[..]).read_to_end(&mut back).unwrap();
            assert_eq!(back, plain);
        }
    }

    #[test]
    fn zlib_that_is_called_gzip_is_kept() {
        let body = zlib(b"hello");
        assert_eq!(to_zlib(&body), Ok(body));
    }

    #[test]
    fn the_optional_fields_of_gzip_are_passed_over() {
        let builder = flate2::GzBuilder::new()
            .extra(&b"extra"[..])
            .filename("name")
            .comment("comment");
        let mut encoder = builder.write(Vec::new(), Compression::default());
        encoder.write_all(b"hello").unwrap();
        let body = encoder.finish().unwrap().into();
        assert!(to_zlib(&body).is_ok());
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_unreadable() {
        let whole = gzip(b"hello hello hello");
        for end in 0..whole.len() {
            assert_eq!(
                to_zlib(&whole.slice(..end)),
                Err(Unreadable),
                "cut at {end}"
            );
        }
        let twice = Bytes::from([&whole[..], &whole[..]].concat());
        assert_eq!(to_zlib(&twice), Err(Unreadable));
        let mut other = whole.to_vec();
        other[whole.len() - 5] ^= 1;
        assert_eq!(to_zlib(&Bytes::from(other)), Err(Unreadable));
        assert_eq!(to_zlib(&Bytes::from_static(b"plain text")), Err(Unreadable));
        assert_eq!(to_gzip(b"plain text"), Err(Unreadable));
    }

    #[test]
    fn a_bomb_is_not_inflated_to_its_end() {
        let bomb = gzip(&vec![0; INFLATED_MAX as usize + 1]);
        assert_eq!(to_zlib(&bomb), Err(Unreadable));
    }
}
