//! `crossdock config check | show | default`.

use super::{invalid, print};
use crate::cli::ConfigCommand;
use crate::config::{self, Loaded};
use crate::exit::Failure;

pub(super) fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Default => print(&config::default_file()),
        ConfigCommand::Check { file, settings } => {
            let loaded = settings.sources(file).load();
            let checked = loaded.and_then(Loaded::validate).map_err(invalid)?;
            print(&match &checked.loaded.file {
                Some(path) => format!("ok: {}\n", path.display()),
                None => "ok: no file, defaults are in force\n".to_owned(),
            })
        }
        ConfigCommand::Show { origin, settings } => {
            let loaded = settings.sources(None).load().map_err(invalid)?;
            print(&config::show(&loaded, origin))
        }
    }
}
