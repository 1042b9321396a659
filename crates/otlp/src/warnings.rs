//! What was odd about a request that was taken all the same.

/// Kinds of warnings: the label `category` of the metric that counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    LabelNameCollision,
    ZeroCountNonZeroSum,
}

impl Category {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Category::LabelNameCollision => "label_name_collision",
            Category::ZeroCountNonZeroSum => "histogram_zero_count_non_zero_sum",
        }
    }
}

/// Further ones of a request are not kept.
const MOST: usize = 100;

/// The warnings of a request, each once.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<(Category, String)>);

impl Warnings {
    pub(crate) fn add(&mut self, category: Category, text: String) {
        if self.0.len() < MOST && !self.0.iter().any(|(_, known)| *known == text) {
            self.0.push((category, text));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Category, &str)> {
        self.0.iter().map(|(category, text)| (*category, text.as_str()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
