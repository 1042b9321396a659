//! Where the past of recording rules goes: blocks of the database.

use std::error::Error;
use std::sync::Arc;

use exposition::Registry;
use rules::{BackfillOptions, Backfills, FillIn, History};
use storage::{Select, SeriesSamples};
use tsdb::{Backfilling, Db};

use crate::runtime::now_millis;
use crate::wiring::Options;

struct Past(Arc<Db>);

struct Blocks<'a>(Backfilling<'a>);

impl History for Past {
    fn block_range(&self) -> i64 {
        self.0.block_range()
    }

    fn oldest(&self) -> Option<i64> {
        self.0.oldest_time()
    }

    fn stored(&self) -> Arc<dyn Select> {
        Arc::clone(&self.0) as _
    }

    fn fill_in(&self) -> Box<dyn FillIn + '_> {
        Box::new(Blocks(self.0.backfill()))
    }
}

impl FillIn for Blocks<'_> {
    fn write(
        &self,
        series: &[SeriesSamples],
        min_time: i64,
        max_time: i64,
    ) -> Result<u64, Box<dyn Error + Send + Sync>> {
        Ok(self.0.write(series, min_time, max_time, now_millis())?)
    }
}

/// Evaluates rules for times that are past, over what queries see.
pub(crate) fn backfills(
    options: &Options,
    engine: &promql::Engine,
    queried: Arc<dyn Select>,
    db: Arc<Db>,
    registry: &Registry,
) -> Arc<Backfills> {
    let all = engine.options();
    // Nobody waits for it: the other threads are for those who do.
    let few = promql::EngineOptions { threads: all.threads.div_ceil(4), ..all.clone() };
    let options = BackfillOptions {
        engine: Arc::new(promql::Engine::new(few)),
        reader: queried,
        history: Arc::new(Past(db)),
        query_timeout: options.query_timeout,
        memory: options.memory.clone(),
        max_waiting: options.rules.max_waiting_backfills,
    };
    Backfills::new(options, registry)
}
