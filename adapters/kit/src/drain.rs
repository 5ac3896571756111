//! Task scopes and the order of a shutdown. A [`Scope`] is a node of the tree process → adapter;
//! it owns three signals (stop accepting, drain, kill) and the tracker of its tasks. A signal
//! reaches every scope below. Tasks of a scope are awaited with a deadline, and what is still
//! running then is dropped where it stands: the store is crash-safe, waiting forever is not.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::panics::{self, Panicked};

/// The phases of a shutdown, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Health answers "not ready", so that nobody sends new clients.
    Readiness,
    /// No listener accepts any more.
    Listeners,
    /// Each connection says goodbye in its protocol and finishes what it has begun.
    Goodbyes,
    /// The adapters' remaining tasks end.
    Adapters,
    /// The hub stops its own tasks.
    Hub,
    /// The log is synced and sealed.
    Store,
}

impl Phase {
    /// The word used in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Listeners => "listeners",
            Self::Goodbyes => "goodbyes",
            Self::Adapters => "adapters",
            Self::Hub => "hub",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the wait for a scope ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every task ended by itself.
    Clean,
    /// The deadline passed (or somebody was in a hurry); this many tasks were dropped.
    Killed { tasks: usize },
}

/// How a task of a scope ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<T> {
    Done(T),
    /// Dropped by [`Scope::kill`].
    Killed,
    Panicked(Panicked),
}

struct Inner {
    name: &'static str,
    stop: CancellationToken,
    drain: CancellationToken,
    kill: CancellationToken,
    tasks: TaskTracker,
    panics: AtomicU64,
    parent: Option<Scope>,
}

/// A node of the task tree; cheap to clone.
#[derive(Clone)]
pub struct Scope {
    inner: Arc<Inner>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("name", &self.inner.name)
            .field("tasks", &self.active())
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// The root of a tree.
    #[must_use]
    pub fn root(name: &'static str) -> Self {
        Self::build(name, None)
    }

    /// A scope below this one: it hears this scope's signals, and its tasks count here too.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        Self::build(name, Some(self.clone()))
    }

    fn build(name: &'static str, parent: Option<Self>) -> Self {
        let token = |pick: fn(&Inner) -> &CancellationToken| match &parent {
            Some(parent) => pick(&parent.inner).child_token(),
            None => CancellationToken::new(),
        };
        let (stop, drain, kill) = (token(|i| &i.stop), token(|i| &i.drain), token(|i| &i.kill));
        let tasks = TaskTracker::new();
        tasks.close();
        let panics = AtomicU64::new(0);
        Self {
            inner: Arc::new(Inner {
                name,
                stop,
                drain,
                kill,
                tasks,
                panics,
                parent,
            }),
        }
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// Listeners stop accepting.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }

    /// Connections say goodbye and finish. Implies [`stop`](Self::stop).
    pub fn drain(&self) {
        self.inner.stop.cancel();
        self.inner.drain.cancel();
    }

    /// Drops every task at its next await. Implies [`drain`](Self::drain).
    pub fn kill(&self) {
        self.drain();
        self.inner.kill.cancel();
    }

    /// Cancelled when listeners must stop accepting.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stop
    }

    /// Cancelled when connections must say goodbye.
    #[must_use]
    pub fn draining(&self) -> &CancellationToken {
        &self.inner.drain
    }

    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.stop.is_cancelled()
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.drain.is_cancelled()
    }

    /// Tasks running here and below.
    #[must_use]
    pub fn active(&self) -> usize {
        self.inner.tasks.len()
    }

    /// Panics contained here and below.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Relaxed)
    }

    /// Starts a task. A panic in it is contained, counted and logged; `kind` names the task in
    /// that log line.
    pub fn spawn<F>(&self, kind: &'static str, future: F) -> JoinHandle<Ended<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let scope = self.clone();
        // Held by the task: every scope on the way up counts it.
        let above = self.tokens_above();
        self.inner.tasks.spawn(async move {
            let _above = above;
            let contained = panics::contain(future);
            let ended = tokio::select! {
                biased;
                () = scope.inner.kill.cancelled() => return Ended::Killed,
                ended = contained => ended,
            };
            match ended {
                Ok(value) => Ended::Done(value),
                Err(panicked) => {
                    scope.count_panic();
                    tracing::error!(
                        scope = scope.inner.name,
                        task = kind,
                        panic = panicked.0,
                        "a task panicked and was ended"
                    );
                    Ended::Panicked(panicked)
                }
            }
        })
    }

    fn tokens_above(&self) -> Vec<TaskTrackerToken> {
        let mut tokens = Vec::new();
        let mut scope = self.inner.parent.as_ref();
        while let Some(above) = scope {
            tokens.push(above.inner.tasks.token());
            scope = above.inner.parent.as_ref();
        }
        tokens
    }

    pub(crate) fn count_panic(&self) {
        let mut scope = Some(self);
        while let Some(at) = scope {
            at.inner.panics.fetch_add(1, Ordering::Relaxed);
            scope = at.inner.parent.as_ref();
        }
    }

    /// Waits until no task is left here and below.
    pub async fn ended(&self) {
        self.inner.tasks.wait().await;
    }

    /// Drains, waits until `budget` is used up or `hurry` is cancelled, then kills what is left.
    pub async fn finish(&self, budget: Duration, hurry: &CancellationToken) -> Drained {
        self.drain();
        tokio::select! {
            biased;
            () = self.ended() => return Drained::Clean,
            () = hurry.cancelled() => {}
            () = tokio::time::sleep(budget) => {}
        }
        let tasks = self.active();
        self.kill();
        self.ended().await;
        if tasks == 0 {
            Drained::Clean
        } else {
            Drained::Killed { tasks }
        }
    }
}

/// Runs one phase of the shutdown and logs how long it took.
pub async fn phase<F: Future>(phase: Phase, work: F) -> F::Output {
    let begun = Instant::now();
    let output = work.await;
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(phase = phase.name(), elapsed_ms, "shutdown phase ended");
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn signals_reach_the_scopes_below_but_not_above() {
        let process = Scope::root("process");
        let (left, right) = (process.child("left"), process.child("right"));
        left.drain();
        assert!(left.is_stopping() && left.is_draining());
        assert!(!process.is_stopping() && !right.is_draining());
        process.stop();
        assert!(right.is_stopping() && !right.is_draining());
    }

    #[tokio::test]
    async fn a_parent_waits_for_the_tasks_of_its_children() {
        let process = Scope::root("process");
        let adapter = process.child("adapter");
        let token = adapter.draining().clone();
        let task = adapter.spawn("test", async move { token.cancelled().await });
        assert_eq!((process.active(), adapter.active()), (1, 1));
        assert_eq!(
            process.finish(LONG, &CancellationToken::new()).await,
            Drained::Clean
        );
        assert_eq!(task.await.unwrap(), Ended::Done(()));
    }

    #[tokio::test]
    async fn a_task_that_ignores_the_drain_is_dropped_at_the_deadline() {
        let process = Scope::root("process");
        let task = process.spawn("stubborn", std::future::pending::<()>());
        let drained = process
            .finish(Duration::from_millis(20), &CancellationToken::new())
            .await;
        assert_eq!(drained, Drained::Killed { tasks: 1 });
        assert_eq!(task.await.unwrap(), Ended::Killed);
    }

    #[tokio::test]
    async fn hurry_skips_the_wait() {
        let process = Scope::root("process");
        let _task = process.spawn("stubborn", std::future::pending::<()>());
        let hurry = CancellationToken::new();
        hurry.cancel();
        assert_eq!(
            process.finish(LONG, &hurry).await,
            Drained::Killed { tasks: 1 }
        );
    }

    #[tokio::test]
    async fn a_panic_is_counted_all_the_way_up() {
        let process = Scope::root("process");
        let adapter = process.child("adapter");
        let ended = adapter
            .spawn("test", async { panic!("on purpose") })
            .await
            .unwrap();
        assert_eq!(
            ended,
            Ended::<()>::Panicked(Panicked("on purpose".to_owned()))
        );
        assert_eq!((process.panics(), adapter.panics()), (1, 1));
    }
}
