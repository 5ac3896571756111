//! The only place of the hub that spawns tasks. Owns the token that ends them and the tracker that awaits them.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::HubError;

/// Pause before a task that panicked is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs a background loop until the token is cancelled; a panic is logged and the loop started again.
    pub(crate) fn supervise<F>(
        &self,
        name: &'static str,
        make: impl Fn(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let inner = self.tracker.clone();
        self.tracker.spawn(async move {
            loop {
                let Err(error) = inner.spawn(make(token.clone())).await else {
                    return;
                };
                tracing::error!(task = name, %error, "a background task failed and is restarted");
                tokio::select! {
                    () = token.cancelled() => return,
                    () = tokio::time::sleep(RESTART_AFTER) => {}
                }
            }
        });
    }

    /// Runs a change of durable state to its end even if the caller goes away in the middle, so that memory and log agree.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, HubError>> + Send + 'static,
    ) -> Result<T, HubError> {
        if self.token.is_cancelled() {
            return Err(HubError::Closed);
        }
        self.tracker
            .spawn(work)
            .await
            .unwrap_or(Err(HubError::Internal("a change of definitions failed")))
    }

    /// Cancels and awaits everything spawned here.
    pub(crate) async fn close(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
