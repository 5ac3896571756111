//! Threads that do reads which may block on the disk.
//!
//! A fixed number of threads serves a bounded queue. Async callers wait for room without holding a thread.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Reads that wait for a thread.
const JOBS_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The pool.
pub(crate) struct ColdPool {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for ColdPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColdPool").finish_non_exhaustive()
    }
}

impl ColdPool {
    /// Starts the threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>(JOBS_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..threads.max(1))
            .map(|number| {
                let waiting = waiting.clone();
                std::thread::Builder::new()
                    .name(format!("store-cold-{number}"))
                    .spawn(move || {
                        loop {
                            let job = waiting.lock().blocking_recv();
                            match job {
                                Some(job) => job(),
                                None => return,
                            }
                        }
                    })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            threads: Mutex::new(threads),
        })
    }

    /// Runs `work` on one of the threads. `None` if the pool has ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            // A caller that gave up needs no answer.
            let _ = sender.send(work());
        });
        let jobs = self.jobs.lock().clone()?;
        jobs.send(job).await.ok()?;
        drop(jobs);
        answer.await.ok()
    }

    /// Takes no more work, finishes what waits and joins the threads.
    pub(crate) fn close(&self) {
        self.jobs.lock().take();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reading thread panicked");
            }
        }
    }
}
