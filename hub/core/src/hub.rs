//! The handle. Owns nothing but the parts; each part owns its state and says so in its own file.

use std::sync::Arc;

use crossdock_store::store::Store;
use tokio::time::Instant;

use crate::config::HubConfig;
use crate::error::HubError;
use crate::filter::FilterCache;
use crate::group::Groups;
use crate::guard::Guard;
use crate::lease::Leases;
use crate::member::Roster;
use crate::position::Positions;
use crate::producer::Producers;
use crate::reset::Resets;
use crate::settings::Settings;
use crate::switch::Switches;
use crate::tasks::Tasks;
use crate::topic::Topics;
use crate::trace::Tracer;
use crate::transaction::Transactions;

/// The hub: one concrete handle, cheap to clone, shared by every adapter.
#[derive(Clone, Debug)]
pub struct Hub(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) config: HubConfig,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) positions: Positions,
    pub(crate) leases: Leases,
    pub(crate) resets: Resets,
    pub(crate) transactions: Transactions,
    pub(crate) roster: Roster,
    pub(crate) producers: Producers,
    pub(crate) filters: FilterCache,
    pub(crate) guard: Guard,
    pub(crate) settings: Settings,
    pub(crate) switches: Switches,
    pub(crate) tracer: Option<Tracer>,
    pub(crate) tasks: Tasks,
    started: Instant,
}

impl Hub {
    /// Loads the tables, creates what every hub has (its own topics, the configured users) and starts the background
    /// tasks. The store stays open when the hub closes; whoever opened it closes it.
    ///
    /// # Errors
    /// A stored definition is damaged, the configuration is impossible, or the store refuses the first changes.
    pub async fn start(store: Store, config: HubConfig) -> Result<Self, HubError> {
        config.check()?;
        let settings = Settings::load(&store)?;
        let inner = Inner {
            topics: Topics::load(&store, &config)?,
            groups: Groups::load(&store)?,
            positions: Positions::default(),
            leases: Leases::default(),
            resets: Resets::default(),
            transactions: Transactions::default(),
            roster: Roster::default(),
            producers: Producers::default(),
            filters: FilterCache::default(),
            guard: Guard::load(&store)?,
            switches: Switches::load(&config, &settings),
            settings,
            tracer: config.traces_messages.then(Tracer::new),
            tasks: Tasks::default(),
            started: Instant::now(),
            store,
            config,
        };
        let hub = Self(Arc::new(inner));
        hub.create_system_topics().await?;
        hub.seed_users().await?;
        hub.spawn_position_flush();
        hub.spawn_member_scan();
        hub.spawn_transaction_check();
        Ok(hub)
    }

    /// Stops the background tasks after the last positions are written, and awaits them.
    ///
    /// # Errors
    /// The last positions could not be written.
    pub async fn close(&self) -> Result<(), HubError> {
        let flushed = self.close_positions().await;
        self.0.tasks.close().await;
        flushed
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &HubConfig {
        &self.0.config
    }

    /// Wall-clock time by the store's clock, milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.0.store.now_ms()
    }

    /// Milliseconds since the hub started, by a clock that is never set.
    pub(crate) fn uptime_ms(&self) -> u64 {
        self.0.started.elapsed().as_millis() as u64
    }
}
