//! Bodies of requests that are data: read whole, and bounded together.

use std::sync::Arc;

use bytes::Bytes;
use exposition::registry::Registry;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for, in bytes.
const UNIT: usize = 4096;

/// A body, and the memory that was set aside for it.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Memory for bodies: one that finds none free waits.
pub(crate) struct Bodies {
    memory: Arc<Semaphore>,
    units: usize,
}

impl Bodies {
    pub(crate) fn new(limit: u64, registry: &Registry) -> Self {
        let units = usize::try_from(limit).unwrap_or(usize::MAX) / UNIT;
        let units = units.clamp(1, Semaphore::MAX_PERMITS);
        let memory = Arc::new(Semaphore::new(units));
        registry
            .gauge(
                "binnacle_http_request_bodies_limit_bytes",
                "Bytes that bodies of requests may take together (--web.max-request-memory).",
            )
            .set((units * UNIT) as f64);
        let free = Arc::clone(&memory);
        registry.gauge_fn(
            "binnacle_http_request_bodies_bytes",
            "Bytes set aside for bodies of requests that are read or worked on.",
            move || ((units - free.available_permits().min(units)) * UNIT) as f64,
        );
        Bodies { memory, units }
    }

    /// Reads a body of at most `limit` bytes. One that says how long it is gets so much memory, any other the limit.
    pub(crate) async fn read(&self, body: Incoming, limit: usize) -> Result<Body, String> {
        let too_long = || format!("request body exceeds the {limit} bytes limit\n");
        let expected = body.size_hint().exact().and_then(|len| usize::try_from(len).ok()).unwrap_or(limit);
        if expected > limit {
            return Err(too_long());
        }
        let units = expected.div_ceil(UNIT).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // It is closed never.
        let memory = Arc::clone(&self.memory).acquire_many_owned(units).await.ok();
        match Limited::new(body, limit).collect().await {
            Ok(read) => Ok(Body { bytes: read.to_bytes(), _memory: memory }),
            Err(err) if err.is::<http_body_util::LengthLimitError>() => Err(too_long()),
            Err(_) => Err("the request's body ended early\n".to_owned()),
        }
    }
}
