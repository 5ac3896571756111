//! Panic containment: a future that turns a panic of the future inside it into a value, so that
//! one broken connection ends alone. The panic hook still prints message and place.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a contained panic said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked(pub String);

/// Drives `future` and yields `Err` when it panics. The inner future is boxed, so that callers
/// may build it late and small tasks stay small until then.
#[must_use = "futures do nothing unless awaited"]
pub fn contain<F: Future>(future: F) -> Contained<F> {
    Contained {
        inner: Some(Box::pin(future)),
    }
}

/// See [`contain`].
#[derive(Debug)]
pub struct Contained<F> {
    /// `None` once finished or panicked: what panicked is never polled again.
    inner: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(Err(Panicked("polled after it ended".to_owned())));
        };
        match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                self.inner = None;
                Poll::Ready(Ok(value))
            }
            Err(payload) => {
                // Dropping what is left of the future may panic again; that too stays inside.
                let rest = self.inner.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
                Poll::Ready(Err(Panicked(message(payload.as_ref()))))
            }
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_value_and_a_result_passes_through() {
        assert_eq!(contain(async { 7 }).await, Ok(7));
        let caught = contain(async {
            tokio::task::yield_now().await;
            panic!("number {}", 9)
        });
        assert_eq!(caught.await, Err::<(), _>(Panicked("number 9".to_owned())));
    }
}
