//! The plan of a query as JSON, with what each node cost.

use promql::PlanNode;

use crate::json;

/// Appends a node and, inside of it, those that it works on.
pub(crate) fn push_plan(out: &mut String, node: &PlanNode) {
    out.push('{');
    json::field(out, "node", node.kind);
    json::field(out, "detail", &node.detail);
    json::raw_field(out, "steps", node.steps);
    json::raw_field(out, "series", node.series);
    json::raw_field(out, "samples", node.samples);
    json::raw_field(out, "bytes", node.bytes);
    json::raw_field(out, "seconds", model::number::format_f(node.took.as_secs_f64()));
    if let Some(read) = &node.read {
        json::key(out, "read");
        out.push('{');
        json::field(out, "detail", &read.detail);
        json::raw_field(out, "series", read.series);
        json::raw_field(out, "samples", read.samples);
        json::raw_field(out, "bytes", read.bytes);
        out.push('}');
    }
    json::key(out, "nodes");
    out.push('[');
    for inner in &node.nodes {
        json::comma(out);
        push_plan(out, inner);
    }
    out.push_str("]}");
}
