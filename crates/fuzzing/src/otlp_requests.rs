//! OTLP requests: the first byte says in which format and with which settings.

use std::sync::{Arc, LazyLock};

use exposition::Registry;
use otlp::{Deltas, Naming, Promoted, Receiver, ReceiverOptions, Translation};
use storage::{MemoryBudget, MemoryStore};

/// By format and settings, so that what one request leaves behind is there for the next.
static RECEIVERS: LazyLock<Vec<Receiver>> = LazyLock::new(|| (0..8).map(receiver).collect());

fn receiver(settings: u8) -> Receiver {
    let on = |bit: u8| settings & bit != 0;
    let options = ReceiverOptions {
        deltas: if on(1) { Deltas::Summed } else { Deltas::Stored },
        type_and_unit_labels: on(2),
        start_zeros: on(2),
        start_times: on(4),
        ..ReceiverOptions::default()
    };
    let receiver =
        Receiver::new(Arc::new(MemoryStore::new()), options, &MemoryBudget::new(0), &Registry::new());
    receiver.apply(Translation {
        naming: Naming { suffixes: on(1), utf8: on(2), key_prefix: on(4), keep_underscores: on(4) },
        promoted: Promoted::AllBut(Default::default()),
        custom_buckets: on(4),
        promote_scope: true,
        keep_identifying: on(1),
    });
    receiver
}

pub(crate) fn request(data: &[u8]) {
    let Some((settings, body)) = data.split_first() else { return };
    let content_type = if settings & 8 != 0 { "application/json" } else { "application/x-protobuf" };
    let answer = RECEIVERS[usize::from(settings & 7)].receive("", content_type, body, 1_700_000_000_000);
    assert!([200, 400, 500].contains(&answer.status), "{answer:?}");
}
