//! The file layer: walks a TOML document key by key, so that every unknown key and every bad
//! value is reported with its place, and not the first one only.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Origin, Place};
use super::{Config, Loaded, suggest};

/// Applies a document to `loaded` and adds what is wrong to `faults`.
pub(super) fn apply(path: &Path, text: &str, loaded: &mut Loaded, faults: &mut Vec<Fault>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut file = File {
        path,
        text,
        loaded,
        faults,
    };
    for error in errors {
        file.fault(
            error.span().unwrap_or(0..0),
            String::new(),
            error.message().to_owned(),
            None,
        );
    }
    file.table("", document.get_ref());
    // Tables are walked by name; people read from the top.
    file.faults.sort_by_key(|fault| match &fault.origin {
        Origin::File(place) => (place.line, place.column),
        _ => (0, 0),
    });
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    loaded: &'a mut Loaded,
    faults: &'a mut Vec<Fault>,
}

impl File<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = join(prefix, name.get_ref());
            if is_section(&path) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&path, inner),
                    _ => self.fault(value.span(), path, "expected a table".to_owned(), None),
                }
                continue;
            }
            let Some(setting) = self.loaded.config.setting(&path) else {
                let hint = suggestion(prefix, name.get_ref());
                self.fault(name.span(), path, "unknown key".to_owned(), hint);
                continue;
            };
            match setting.read(value.get_ref()) {
                Ok(()) => {
                    let origin = Origin::File(self.place(&name.span()));
                    self.loaded.origins.insert(path, origin);
                }
                Err(problems) => {
                    for problem in problems {
                        let span = problem.span.unwrap_or_else(|| value.span());
                        let key = format!("{path}{}", problem.below);
                        self.fault(span, key, problem.message, problem.hint);
                    }
                }
            }
        }
    }

    fn fault(&mut self, span: Range<usize>, key: String, message: String, hint: Option<String>) {
        let place = self.place(&span);
        let line = self.text.lines().nth(place.line - 1).unwrap_or_default();
        let room = line.chars().count().saturating_sub(place.column - 1);
        let spanned = self.text.get(span).unwrap_or_default();
        let width = spanned.lines().next().unwrap_or_default().chars().count();
        // The line may hold a secret; it is shown only when the fault is not about one.
        let is_secret = ["password", "secret_key"]
            .iter()
            .any(|name| line.contains(name));
        let excerpt = (!is_secret).then(|| (line.to_owned(), width.min(room)));
        self.faults.push(Fault {
            excerpt,
            hint,
            ..Fault::new(key, Origin::File(place), message)
        });
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        Place {
            path: self.path.to_path_buf(),
            line,
            column,
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// Whether `path` is a section or leads to one.
fn is_section(path: &str) -> bool {
    Config::SECTIONS.iter().any(|section| {
        section
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// A near name in the same table, or the same name in another one.
pub(super) fn suggestion(prefix: &str, name: &str) -> Option<String> {
    let keys = Config::default().paths();
    let here = |path: &str| match prefix {
        "" => path.split('.').next().map(str::to_owned),
        _ => {
            let rest = path.strip_prefix(prefix)?.strip_prefix('.')?;
            rest.split('.').next().map(str::to_owned)
        }
    };
    let near: Vec<String> = keys.iter().filter_map(|path| here(path)).collect();
    suggest::closest(name, near.iter().map(String::as_str)).or_else(|| {
        let elsewhere = keys
            .iter()
            .find(|path| path.rsplit('.').next() == Some(name))?;
        Some(format!("did you mean `{elsewhere}`?"))
    })
}
