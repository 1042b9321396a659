//! A store that is only written to.

use model::Matcher;

use crate::{QueryContext, Request, Select, SelectError, SeriesPart};

/// What an agent has to be read: nothing, and it says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unreadable;

impl Select for Unreadable {
    fn select(
        &self,
        _: &QueryContext,
        _: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        Err(SelectError::Unsupported)
    }

    fn label_names(
        &self,
        _: &QueryContext,
        _: i64,
        _: i64,
        _: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        Err(SelectError::Unsupported)
    }

    fn label_values(
        &self,
        _: &QueryContext,
        _: &str,
        _: i64,
        _: i64,
        _: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        Err(SelectError::Unsupported)
    }
}
