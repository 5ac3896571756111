//! The settings as text: the commented default file and the values in force.

use std::fmt::Write;

use super::section::Section;
use super::users::User;
use super::{Config, Loaded};

/// The default file: every key with its documentation, commented out, so that the file changes
/// nothing and later defaults still apply.
#[must_use]
pub fn default_file() -> String {
    let mut text = String::from(
        "# Crossdock. Every key with its default; remove the \"#\" in front of one to change it.\n",
    );
    for (path, section) in Config::default().sections() {
        text.push('\n');
        comment(&mut text, section.doc());
        let _ = writeln!(text, "[{path}]");
        for key in section.keys() {
            comment(&mut text, key.doc);
            match key.value {
                Some(value) => {
                    let _ = writeln!(text, "#{} = {value}", key.name);
                }
                None => user_example(&mut text),
            }
        }
    }
    text
}

fn user_example(text: &mut String) {
    let user = User::default();
    comment(text, user.doc());
    text.push_str("#[[auth.users]]\n");
    for key in user.keys() {
        comment(text, key.doc);
        let _ = writeln!(text, "#{} = {}", key.name, key.value.unwrap_or_default());
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(text, "# {}", line.trim());
    }
}

/// The values in force as TOML, with the layer each came from when asked.
#[must_use]
pub fn show(loaded: &Loaded, with_origin: bool) -> String {
    let mut text = String::new();
    for (path, section) in loaded.config.sections() {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "[{path}]");
        let lines: Vec<_> = section
            .keys()
            .into_iter()
            .filter_map(|key| Some((format!("{} = {}", key.name, key.value?), key.name)))
            .collect();
        let width = lines
            .iter()
            .map(|(line, _)| line.chars().count())
            .max()
            .unwrap_or(0);
        for (line, name) in lines {
            if with_origin {
                let origin = loaded.origin(&format!("{path}.{name}"));
                let _ = writeln!(text, "{line:width$}  # {origin}");
            } else {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    for user in &loaded.config.auth.users.0 {
        text.push_str("\n[[auth.users]]\n");
        for key in user.keys() {
            let _ = writeln!(text, "{} = {}", key.name, key.value.unwrap_or_default());
        }
    }
    text
}
