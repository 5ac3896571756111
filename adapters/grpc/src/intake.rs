//! What is received before a handler sees it. A send request may be large, and many of them half-received at one time would
//! be much memory that no limit of the hub knows of: what exceeds a small size takes from a budget that all connections
//! share, and is refused when that is used up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::stats::Stats;

/// Bytes of a request that take nothing from the budget.
const FREE: usize = 64 * 1024;
/// What is taken from the budget at a time.
const STEP: usize = 64 * 1024;

/// The budget, in steps.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    steps: Arc<Semaphore>,
    stats: Arc<Stats>,
}

impl Budget {
    /// One request of the largest size always fits.
    pub(crate) fn new(bytes: usize, largest: usize, stats: &Arc<Stats>) -> Self {
        let steps = bytes.max(largest) / STEP + 1;
        Self {
            steps: Arc::new(Semaphore::new(steps.min(Semaphore::MAX_PERMITS))),
            stats: Arc::clone(stats),
        }
    }
}

/// The body of a request that pays for what it holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Metered<B> {
    inner: B,
    budget: Budget,
    paid: Option<OwnedSemaphorePermit>,
    paid_bytes: usize,
    received: usize,
}

impl<B> Metered<B> {
    pub(crate) fn new(inner: B, budget: Budget) -> Self {
        Self {
            inner,
            budget,
            paid: None,
            paid_bytes: FREE,
            received: 0,
        }
    }

    fn pay(&mut self, bytes: usize) -> Result<(), tonic::Status> {
        self.received = self.received.saturating_add(bytes);
        let missing = self.received.saturating_sub(self.paid_bytes);
        if missing == 0 {
            return Ok(());
        }
        let steps = missing.div_ceil(STEP);
        let permits = u32::try_from(steps).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.budget.steps).try_acquire_many_owned(permits) else {
            Stats::count(&self.budget.stats.large_requests_refused);
            let text = "too many large requests are being received";
            return Err(tonic::Status::resource_exhausted(text));
        };
        self.paid_bytes += steps * STEP;
        match &mut self.paid {
            Some(paid) => paid.merge(permit),
            None => self.paid = Some(permit),
        }
        Ok(())
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(tonic::Status::from_error(error.into()))),
            };
            let bytes = frame.data_ref().map_or(0, Buf::remaining);
            Some(self.pay(bytes).map(|()| frame))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use super::*;

    /// A body of so many frames, each as large as a step.
    struct Frames(usize);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0 == 0 {
                return Poll::Ready(None);
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; STEP])))))
        }
    }

    async fn receive(body: &mut Metered<Frames>) -> Result<usize, tonic::Status> {
        let mut bytes = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget_until_they_are_dropped() {
        let stats = Arc::new(Stats::default());
        let budget = Budget::new(9 * STEP, STEP, &stats);
        let body = |frames| Metered::new(Frames(frames), budget.clone());
        let mut first = body(8);
        assert_eq!(receive(&mut first).await.unwrap(), 8 * STEP);
        let mut second = body(8);
        let refused = receive(&mut second).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert_eq!(stats.snapshot().large_requests_refused, 1);
        // What is small is free.
        assert_eq!(receive(&mut body(1)).await.unwrap(), STEP);
        drop((first, second));
        assert_eq!(receive(&mut body(8)).await.unwrap(), 8 * STEP);
    }

    #[tokio::test]
    async fn the_largest_request_fits_whatever_the_budget_says() {
        let budget = Budget::new(0, 8 * STEP, &Arc::new(Stats::default()));
        let mut largest = Metered::new(Frames(8), budget);
        assert_eq!(receive(&mut largest).await.unwrap(), 8 * STEP);
    }
}
