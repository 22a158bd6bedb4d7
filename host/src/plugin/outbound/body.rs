//! The body of a response, on its way to the guest: bounded in size and time, and no further ahead than a buffer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use wasmtime_wasi_http::Error;

use super::slot::Slot;
use super::{Fate, of_hyper};
use crate::config::Limit;

/// A body of which some may be yet to come. What is wrong with it is said once; then it is at its end.
pub(super) struct Received {
    body: Incoming,
    bytes: usize,
    bytes_max: usize,
    deadline: Pin<Box<Sleep>>,
    /// The guest's own, from one frame to the next.
    between: Option<(Duration, Pin<Box<Sleep>>)>,
    fate: Fate,
    /// Given back with the end of the body.
    slot: Arc<Slot>,
    is_at_end: bool,
}

impl Received {
    /// A body that may have so many bytes, and be read until then.
    ///
    /// # Errors
    /// When it announces more.
    pub(super) fn new(
        body: Incoming,
        bytes_max: usize,
        deadline: Instant,
        between: Option<Duration>,
        fate: Fate,
        slot: Arc<Slot>,
    ) -> Result<Self, Error> {
        let received = Self {
            bytes: 0,
            bytes_max,
            deadline: Box::pin(sleep_until(deadline)),
            between: between.map(|between| (between, Box::pin(sleep(between)))),
            fate,
            slot,
            is_at_end: false,
            body,
        };
        let announced = received.body.size_hint().lower();
        if announced > bytes_max as u64 {
            return Err(received.too_large());
        }
        Ok(received)
    }

    fn too_large(&self) -> Error {
        self.fate.reached(Limit::HttpResponseBytesMax);
        Error::HttpResponseBodySize(Some(self.bytes_max as u64))
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let more = frame.data_ref().map_or(0, Bytes::len);
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > self.bytes_max {
            return Err(self.too_large());
        }
        Ok(frame)
    }

    fn poll_times(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        if self.deadline.as_mut().poll(context).is_ready() {
            self.fate.reached(Limit::HttpTimeout);
            return Poll::Ready(Error::HttpResponseTimeout);
        }
        match &mut self.between {
            Some((_, timer)) => timer
                .as_mut()
                .poll(context)
                .map(|()| Error::ConnectionReadTimeout),
            None => Poll::Pending,
        }
    }

    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some((between, timer)) = &mut self.between {
                    timer.as_mut().reset(Instant::now() + *between);
                }
                Poll::Ready(Some(self.count(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(of_hyper(&error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_times(context).map(|error| Some(Err(error))),
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_at_end {
            return Poll::Ready(None);
        }
        let polled = self.poll_body(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.is_at_end = true;
            self.slot.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_at_end || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Received")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
