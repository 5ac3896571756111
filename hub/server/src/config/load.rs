//! The layers, weakest first: defaults, file, environment, flags. Each value remembers which
//! layer it came from. Nothing is judged across keys here; that is `validate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Faults, Origin};
use super::{Config, file};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
const ENVIRONMENT_PREFIX: &str = "CROSSDOCK_";

/// One value given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub key: String,
    pub value: String,
    /// The flag, as the user typed it.
    pub flag: String,
}

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file that must exist; without it the usual places are looked at.
    pub file: Option<PathBuf>,
    /// Usual places, best first.
    pub usual: Vec<PathBuf>,
    pub environment: Vec<(String, String)>,
    pub overrides: Vec<Override>,
}

/// The merged settings and the layer of each that is not a default.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub config: Config,
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Loaded {
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    fn set(&mut self, key: &str, text: &str, origin: Origin, faults: &mut Vec<Fault>) {
        let Some(setting) = self.config.setting(key) else {
            let (prefix, name) = key.rsplit_once('.').unwrap_or(("", key));
            let hint = file::suggestion(prefix, name);
            faults.push(Fault {
                hint,
                ..Fault::new(key, origin, "unknown key")
            });
            return;
        };
        match setting.read_text(text) {
            Ok(()) => {
                self.origins.insert(key.to_owned(), origin);
            }
            Err(problems) => faults.extend(problems.into_iter().map(|problem| Fault {
                hint: problem.hint,
                ..Fault::new(key, origin.clone(), problem.message)
            })),
        }
    }
}

impl Sources {
    /// The usual places and the process's environment.
    #[must_use]
    pub fn of_process() -> Self {
        let mut usual = vec![PathBuf::from("crossdock.toml")];
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        if let Some(folder) = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or(home)
        {
            usual.push(folder.join("crossdock/crossdock.toml"));
        }
        usual.push(PathBuf::from("/etc/crossdock/crossdock.toml"));
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self {
            file: None,
            usual,
            environment,
            overrides: Vec::new(),
        }
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// Every fault of every layer.
    pub fn load(&self) -> Result<Loaded, Faults> {
        let (mut loaded, mut faults) = (Loaded::default(), Vec::new());
        let found = || self.usual.iter().find(|path| path.is_file());
        if let Some(path) = self.file.as_ref().or_else(found) {
            match read(path) {
                Ok(text) => {
                    file::apply(path, &text, &mut loaded, &mut faults);
                    loaded.file = Some(path.clone());
                }
                Err(message) => faults.push(Fault::new("", Origin::Default, message)),
            }
        }
        for (name, value) in &self.environment {
            // A level is marked by two underscores. Names without one are not ours: orchestrators
            // inject such names for a service called crossdock.
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            if rest.contains("__") {
                let key = rest.replace("__", ".").to_ascii_lowercase();
                loaded.set(&key, value, Origin::Environment(name.clone()), &mut faults);
            }
        }
        for Override { key, value, flag } in &self.overrides {
            loaded.set(key, value, Origin::Flag(flag.clone()), &mut faults);
        }
        if faults.is_empty() {
            Ok(loaded)
        } else {
            Err(Faults(faults))
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error| format!("cannot read {}: {error}", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(format!(
            "{} is larger than {FILE_BYTES_MAX} bytes",
            path.display()
        ));
    }
    std::fs::read_to_string(path).map_err(failed)
}
