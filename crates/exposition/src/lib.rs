//! Text and OpenMetrics pages to samples in place, metric families to pages, and the metrics registry.
