//! What is kept beside samples: exemplars and metadata.

use model::{Labels, Matcher};
use storage::{Metadata, QueryContext, SelectError, SeriesRef};

use super::Head;
use super::matching::matching;
use super::select::slots;
use crate::exemplars::SeriesExemplars;

impl Head {
    /// Exemplars from `min_time` to `max_time` (both inclusive, in milliseconds) of the series that match all matchers of
    /// any of the sets, in order of the series' labels.
    #[must_use]
    pub fn exemplars(&self, sets: &[Vec<Matcher>], min_time: i64, max_time: i64) -> Vec<SeriesExemplars> {
        self.exemplars.read().select(sets, min_time, max_time)
    }

    /// Changes how many exemplars are kept (`storage.exemplars.max_exemplars`); the newest that have room stay. Without
    /// effect where exemplars are not kept at all.
    pub fn set_max_exemplars(&self, max: usize) {
        if self.options.exemplars {
            self.exemplars.write().resize(max);
        }
    }

    /// What was said of a series, if that is kept.
    #[must_use]
    pub fn metadata_of(&self, series: SeriesRef) -> Option<Metadata> {
        let data = self.shards[self.refs.shard_of(series.0)].data.read();
        let slot = data.slot_of(self.refs.id_of(series.0)?)?;
        data.metadata.get(slot).cloned()
    }

    /// What was said of the series that match, where that is kept; in order of labels.
    ///
    /// # Errors
    /// When the query has to stop.
    pub fn metadata(
        &self,
        ctx: &QueryContext,
        matchers: &[Matcher],
    ) -> Result<Vec<(Labels, Metadata)>, SelectError> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let data = shard.data.read();
            let ids = matching(ctx, &data, matchers)?;
            let known = slots(&data, &ids).filter_map(|slot| {
                data.metadata.get(slot).map(|metadata| (data.labels(slot), metadata.clone()))
            });
            all.extend(known);
        }
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }
}
