//! Configuration as tools exchange it: lines of `name=value`.

use std::fmt::Write;

use crate::error::Refusal;

/// Most lines of one request.
const LINES_MAX: usize = 1024;

/// Text of the entries.
pub(crate) fn write<'a>(entries: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut text = String::new();
    for (key, value) in entries {
        let value = value.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

/// Reads entries; the characters that may be escaped in such texts are.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Refusal::invalid("the configuration is not text"))?;
    let lines = text.lines().map(str::trim);
    let mut entries = Vec::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
        if entries.len() >= LINES_MAX {
            return Err(Refusal::invalid("the configuration has too many lines"));
        }
        let (key, value) = line
            .split_once(['=', ':'])
            .ok_or_else(|| Refusal::invalid("a line of the configuration is not name=value"))?;
        entries.push((key.trim().to_owned(), unescaped(value.trim())));
    }
    Ok(entries)
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let text = write([("a", "1 2".to_owned()), ("path", "c:\\x\ny".to_owned())]);
        let read = read(text.as_bytes()).unwrap();
        let expected = [("a", "1 2"), ("path", "c:\\x\ny")];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn comments_and_blank_lines_are_passed_over_and_the_rest_has_to_be_entries() {
        let entries = read(b"#x\n\n a = b\nc\\=: d").unwrap();
        assert_eq!(entries[0], ("a".to_owned(), "b".to_owned()));
        assert!(read(b"just words").is_err());
        assert!(read(&[0xff]).is_err());
        assert!(read("a=b\n".repeat(LINES_MAX + 1).as_bytes()).is_err());
    }
}
