//! Settings that may be changed while the hub runs. What was changed is kept as a setting and stands over the
//! configuration at the next start; until then the configuration decides.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::HubConfig;
use crate::error::HubError;
use crate::hub::Hub;
use crate::settings::Settings;

/// Namespace of the settings.
const NAMESPACE: &str = "hub/switch";

/// Something that can be turned on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Topics come into being when first published to.
    CreateTopics,
    /// Groups come into being with their first heartbeat.
    CreateGroups,
}

impl Switch {
    fn key(self) -> &'static str {
        match self {
            Self::CreateTopics => "auto_create_topics",
            Self::CreateGroups => "auto_create_groups",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Switches {
    create_topics: AtomicBool,
    create_groups: AtomicBool,
}

impl Switches {
    pub(crate) fn load(config: &HubConfig, settings: &Settings) -> Self {
        let of = |switch: Switch, configured: bool| {
            let kept = settings.get(NAMESPACE, switch.key());
            let is_on = match kept.as_deref() {
                Some("true") => true,
                Some("false") => false,
                _ => configured,
            };
            if is_on != configured {
                tracing::info!(
                    setting = switch.key(),
                    is_on,
                    "changed while the hub ran, unlike the configuration"
                );
            }
            is_on.into()
        };
        Self {
            create_topics: of(Switch::CreateTopics, config.auto_create_topics),
            create_groups: of(Switch::CreateGroups, config.auto_create_groups),
        }
    }

    fn of(&self, switch: Switch) -> &AtomicBool {
        match switch {
            Switch::CreateTopics => &self.create_topics,
            Switch::CreateGroups => &self.create_groups,
        }
    }
}

impl Hub {
    /// Whether something is turned on.
    #[must_use]
    pub fn is_on(&self, switch: Switch) -> bool {
        self.0.switches.of(switch).load(Ordering::Acquire)
    }

    /// Turns something on or off, from now on and after a restart.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn turn(&self, switch: Switch, is_on: bool) -> Result<(), HubError> {
        self.put_setting(NAMESPACE, switch.key(), &is_on.to_string())
            .await?;
        self.0.switches.of(switch).store(is_on, Ordering::Release);
        match switch {
            // The template says to clients whether they may create.
            Switch::CreateTopics => self.create_system_topics().await,
            Switch::CreateGroups => Ok(()),
        }
    }
}
