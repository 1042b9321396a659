//! Random PromQL over the metrics of the recorded data set (`golden/promql`): every function, operator and modifier,
//! in combinations that nobody would write by hand.

/// An endless source of queries; the same seed gives the same ones.
#[derive(Debug)]
pub struct RandomQueries {
    state: u64,
    /// Whether parts of the language are used that are behind feature flags.
    experimental: bool,
}

/// Metrics by what they are good for, so that operands of the same group have labels in common.
const GROUPS: &[&[&str]] = &[
    &[
        "http_requests_total",
        r#"http_requests_total{code="200"}"#,
        r#"http_requests_total{code!~"2..",instance=~"a.*|b.*"}"#,
        "up",
        "target_info",
        "build_info",
    ],
    &["cpu_seconds_total", r#"cpu_seconds_total{mode="idle"}"#, r#"cpu_seconds_total{cpu="0"}"#, "up"],
    &["temperature_celsius", r#"temperature_celsius{floor="1"}"#],
    &["memory_bytes", r#"memory_bytes{type="used"}"#, r#"memory_bytes{type=~"free|used"}"#, "up"],
    &[
        "request_duration_seconds_bucket",
        r#"request_duration_seconds_bucket{path="/"}"#,
        "request_duration_seconds_sum",
        "request_duration_seconds_count",
        "nh_seconds",
    ],
    &["odd_bucket", r#"odd_bucket{kind=~"n.*"}"#],
    &["rpc_seconds", "rpc_seconds_sum", "rpc_seconds_count", "nh_float"],
    &["special", r#"special{kind!="nan"}"#, "ts_value"],
    &["flappy", r#"flappy{marker="yes"}"#, "late", "early", "single", "pair", "irregular_total"],
    &[
        r#"{"http.server.duration"}"#,
        r#"{"température"}"#,
        r#"{"name with space"}"#,
        "with:colon",
        r#"{__name__=~"set_.*|one"}"#,
    ],
    &["set_a", "set_b", "dup_a", "dup_b", r#"{__name__=~"dup_.*"}"#],
    &["one", "many", r#"many{h="1"}"#, "empty_label_test"],
    &["ramp", "down", "saw", "const", "square", "bigsum", "noisy"],
    &["kmetric", "natsort", r#"kmetric{parity="odd"}"#],
    &[
        "nh_seconds",
        "nh_float",
        "nh_gauge",
        "nh_custom",
        "nh_mixed",
        "nh_schema",
        "nh_empty",
        "nh_nansum",
        "nh_and_float",
        r#"{__name__=~"nh_.*"}"#,
    ],
];

const LABELS: &[&str] = &[
    "job",
    "instance",
    "path",
    "le",
    "method",
    "code",
    "cpu",
    "mode",
    "l",
    "side",
    "g",
    "h",
    "color",
    "n",
    "kind",
    "r",
    "i",
    "t",
    "room",
    "floor",
    "type",
    "quantile",
    "parity",
    "name",
    "\"service.name\"",
    "__name__",
    "nosuch",
];

const DURATIONS: &[&str] = &["15s", "20s", "1m", "95s", "5m", "10m", "30m", "1h", "7s500ms"];

/// Over a range vector alone.
const WINDOW: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "sum_over_time",
    "avg_over_time",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "deriv",
];
const WINDOW_EXPERIMENTAL: &[&str] = &[
    "first_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

/// Of a vector alone.
const UNARY: &[&str] = &[
    "abs",
    "absent",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "exp",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "hour",
    "ln",
    "log10",
    "log2",
    "minute",
    "month",
    "rad",
    "round",
    "sgn",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "timestamp",
    "year",
    "sort",
    "sort_desc",
];

const AGGREGATIONS: &[&str] = &["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"];

impl RandomQueries {
    /// Queries of this seed.
    #[must_use]
    pub fn new(seed: u64, experimental: bool) -> Self {
        RandomQueries {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d,
            experimental,
        }
    }

    /// The next number, of all that fit.
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.random() % n.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let at = self.below(list.len() as u64) as usize;
        list.get(at).copied().unwrap_or_default()
    }

    /// The next query: a vector mostly, now and then a scalar.
    pub fn query(&mut self) -> String {
        let depth = self.below(4) as u32;
        let group = self.group();
        if self.one_in(30) { self.scalar(depth, group) } else { self.vector(depth, group) }
    }

    /// A query with a word too many, too few or in another's place.
    pub fn damaged(&mut self) -> String {
        const WORDS: &[&str] = &[
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            ",",
            "=",
            "=~",
            "==",
            "!=",
            "\"",
            "'x'",
            "5m",
            "1",
            "1.5e",
            "0x",
            "by",
            "on",
            "bool",
            "offset",
            "@",
            "group_left",
            "sum",
            "rate",
            "-",
            "+",
            "and",
            "foo",
            ":",
            "/",
            "%",
            "__name__",
            "x",
            "inf",
            "fill",
            "smoothed",
            "anchored",
            "ignoring",
            "without",
            "start()",
            "é",
            "\\",
            "#",
            "step()",
        ];
        let query = self.query();
        let mut words = split(&query);
        for _ in 0..=self.below(2) {
            let at = self.below(words.len() as u64 + 1) as usize;
            match self.below(4) {
                0 if at < words.len() => drop(words.remove(at)),
                1 if at < words.len() => {
                    let word = self.pick(WORDS).to_owned();
                    if let Some(slot) = words.get_mut(at) {
                        *slot = word;
                    }
                }
                2 if words.len() > 1 => {
                    let other = self.below(words.len() as u64) as usize;
                    let last = words.len() - 1;
                    words.swap(at.min(last), other);
                }
                _ => {
                    let word = self.pick(WORDS).to_owned();
                    words.insert(at.min(words.len()), word);
                }
            }
        }
        words.concat()
    }

    fn group(&mut self) -> usize {
        self.below(GROUPS.len() as u64) as usize
    }

    fn metric(&mut self, group: usize) -> &'static str {
        let group = if self.one_in(15) { self.group() } else { group };
        self.pick(GROUPS.get(group).copied().unwrap_or_default())
    }

    fn modifiers(&mut self, range: bool) -> String {
        let mut out = String::new();
        if self.experimental && self.one_in(if range { 8 } else { 25 }) {
            out += if range && self.one_in(2) { " anchored" } else { " smoothed" };
        }
        if self.one_in(8) {
            out += self.pick(&[
                " offset 1m",
                " offset -2m",
                " offset 7s",
                " offset 1h",
                " offset -90s",
                " offset 60",
                " offset -1.5",
            ]);
        }
        if self.one_in(10) {
            out +=
                self.pick(&[" @ 1700002800", " @ start()", " @ end()", " @ 1700000000.5", " @ 1699990000"]);
        }
        if self.experimental && self.one_in(40) {
            out += self.pick(&[
                " offset (1m * 2)",
                " offset step()",
                " offset -(range() / 2)",
                " offset max_of(1m, step())",
                " offset -min_of(1m, step())",
                " offset +step()",
            ]);
        }
        out
    }

    fn duration(&mut self) -> String {
        if self.experimental && self.one_in(15) {
            let (a, b) = (self.pick(DURATIONS), self.pick(DURATIONS));
            let op = self.pick(&["+", "*", "/", "-", "%", "^"]);
            return match self.below(7) {
                0 => format!("{a} {op} 2"),
                1 => format!("max_of({a}, {b})"),
                2 => format!("{a} + step()"),
                3 => format!("(step() + {a}) * 2"),
                4 => format!("range() {op} {b}"),
                5 => "90.5".to_owned(),
                _ => format!("min_of({a}, range() + 1m) {op} 1"),
            };
        }
        self.pick(DURATIONS).to_owned()
    }

    fn matrix(&mut self, depth: u32, group: usize) -> String {
        if depth == 0 || !self.one_in(4) {
            let (metric, duration) = (self.metric(group), self.duration());
            return format!("{metric}[{duration}]{}", self.modifiers(true));
        }
        let inner = self.vector(depth - 1, group);
        let inner = if inner.ends_with(['}', ')']) { inner } else { format!("({inner})") };
        let inner = if inner.starts_with('-') || inner.contains(' ') { format!("({inner})") } else { inner };
        let mut step = self.pick(&["", "", "15s", "20s", "1m", "2m", "30", "7s"]);
        if self.experimental && self.one_in(10) {
            step = self.pick(&["step()", "1m * 2", "max_of(30s, step())", "range() / 4"]);
        }
        let range = self.pick(DURATIONS);
        let modifiers = self.modifiers(false).replace(" smoothed", "");
        format!("{inner}[{range}:{step}]{modifiers}")
    }

    /// A range for a call whose other arguments may change from step to step. Prometheus 3.14 has builds that find nothing
    /// in such a call at the steps of a subquery of a fixed time.
    fn moving_matrix(&mut self, depth: u32, group: usize) -> String {
        let matrix = self.matrix(depth, group);
        let fixed = matrix.rsplit_once(']').is_some_and(|(_, modifiers)| modifiers.contains('@'));
        if fixed { self.matrix(0, group) } else { matrix }
    }

    fn number(&mut self) -> String {
        self.pick(&[
            "0", "1", "2", "-1", "0.5", "3.7", "-2.25", "1e6", "1e-3", "Inf", "-Inf", "NaN", "100", "7",
            "5m", "1e300", "0.9", "0.99", "10",
        ])
        .to_owned()
    }

    fn scalar(&mut self, depth: u32, group: usize) -> String {
        match self.below(if depth == 0 { 5 } else { 10 }) {
            0..=2 => self.number(),
            3 => "time()".to_owned(),
            4 if self.experimental => self
                .pick(&["start()", "end()", "step()", "range()", "min_of(1, 2)", "max_of(time(), 3)"])
                .to_owned(),
            4 => "pi()".to_owned(),
            5 | 6 => format!("scalar({})", self.vector(depth - 1, group)),
            7 => format!("-{}", self.scalar(depth - 1, group)),
            _ => {
                let op = self.pick(&[
                    "+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool", ">= bool", "!= bool",
                ]);
                format!("({} {op} {})", self.scalar(depth - 1, group), self.scalar(depth - 1, group))
            }
        }
    }

    fn grouping(&mut self) -> String {
        let mut labels = Vec::new();
        for _ in 0..self.below(3) {
            labels.push(self.pick(LABELS));
        }
        match self.below(5) {
            0 => String::new(),
            1 => format!(" without ({}) ", labels.join(", ")),
            _ => format!(" by ({}) ", labels.join(", ")),
        }
    }

    fn matching(&mut self) -> String {
        let mut labels = Vec::new();
        for _ in 0..self.below(4) {
            labels.push(self.pick(LABELS));
        }
        let labels = labels.join(", ");
        match self.below(3) {
            0 => String::new(),
            1 => format!(" on ({labels})"),
            _ => format!(" ignoring ({labels})"),
        }
    }

    fn binary(&mut self, depth: u32, group: usize) -> String {
        let left = self.vector(depth - 1, group);
        let right = if self.one_in(3) { left.clone() } else { self.vector(depth - 1, group) };
        if self.one_in(4) {
            let op = self.pick(&["and", "or", "unless"]);
            return format!("({left}) {op}{} ({right})", self.matching());
        }
        let mut op = self
            .pick(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "</", ">/"])
            .to_owned();
        if op.starts_with(['=', '!', '<', '>']) && !op.ends_with('/') && self.one_in(3) {
            op += " bool";
        }
        let mut matching = self.matching();
        if !matching.is_empty() && self.one_in(2) {
            matching += self.pick(&[" group_left", " group_right", " group_left ()"]);
            if self.one_in(3) && !matching.ends_with(')') {
                matching = format!("{matching} ({})", self.pick(LABELS));
            }
        }
        if self.experimental && self.one_in(10) {
            matching += self.pick(&[
                " fill (0)",
                " fill_left (1)",
                " fill_right (-2)",
                " fill_left (3) fill_right (NaN)",
                " fill_right (1m) fill_left (-Inf)",
                " fill (-0)",
            ]);
        }
        format!("({left}) {op}{matching} ({right})")
    }

    fn with_scalar(&mut self, depth: u32, group: usize) -> String {
        let (vector, scalar) = (self.vector(depth - 1, group), self.scalar(depth - 1, group));
        let mut op = self
            .pick(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "</", ">/"])
            .to_owned();
        if op.starts_with(['=', '!', '<', '>']) && !op.ends_with('/') && self.one_in(3) {
            op += " bool";
        }
        if self.one_in(3) && !op.ends_with('/') {
            format!("{scalar} {op} ({vector})")
        } else {
            format!("({vector}) {op} {scalar}")
        }
    }

    fn aggregation(&mut self, depth: u32, group: usize) -> String {
        let grouping = self.grouping();
        let vector = self.vector(depth - 1, group);
        match self.below(if self.experimental { 16 } else { 14 }) {
            0..=8 => format!("{}{grouping}({vector})", self.pick(AGGREGATIONS)),
            9 | 10 => {
                let op = self.pick(&["topk", "bottomk"]);
                let k = if self.one_in(8) {
                    self.scalar(1, group)
                } else {
                    self.pick(&["1", "2", "3", "100", "0", "-1"]).to_owned()
                };
                format!("{op}{grouping}({k}, {vector})")
            }
            11 | 12 => {
                let q = if self.one_in(6) {
                    self.scalar(1, group)
                } else {
                    self.pick(&["0.5", "0.9", "0", "1", "-1", "2", "NaN"]).to_owned()
                };
                format!("quantile{grouping}({q}, {vector})")
            }
            13 => format!(
                "count_values{grouping}(\"{}\", {vector})",
                self.pick(&["v", "job", "instance", "a.b", "__name__", "é"])
            ),
            14 => {
                let k = self.pick(&["1", "2", "5", "0", "1.9", "time() % 3", "step() / 60"]);
                format!("limitk{grouping}({k}, {vector})")
            }
            _ => {
                let ratio = self.pick(&["0.5", "-0.5", "1", "0.1", "2", "-1.5", "1e-9", "time() % 2 - 1"]);
                format!("limit_ratio{grouping}({ratio}, {vector})")
            }
        }
    }

    fn call(&mut self, depth: u32, group: usize) -> String {
        let vector = self.vector(depth - 1, group);
        match self.below(if self.experimental { 16 } else { 11 }) {
            0..=3 => format!("{}({vector})", self.pick(UNARY)),
            4 => format!(
                "{}({vector}, {})",
                self.pick(&["clamp_min", "clamp_max", "round"]),
                self.scalar(depth - 1, group)
            ),
            5 => format!("clamp({vector}, {}, {})", self.scalar(0, group), self.scalar(0, group)),
            6 => format!("histogram_quantile({}, {vector})", self.scalar(0, group)),
            7 => {
                format!("histogram_fraction({}, {}, {vector})", self.scalar(0, group), self.scalar(0, group))
            }
            8 => {
                let (to, from) = (self.pick(LABELS).trim_matches('"'), self.pick(LABELS).trim_matches('"'));
                let replacement = self.pick(&["$1", "x-$1", "", "${1}y", "c"]);
                let regex = self.pick(&["(.*)", "(a).*", "", "([a-z]+).*", ".+"]);
                format!(r#"label_replace({vector}, "{to}", "{replacement}", "{from}", "{regex}")"#)
            }
            9 => {
                let (a, b) = (self.pick(LABELS).trim_matches('"'), self.pick(LABELS).trim_matches('"'));
                let to = self.pick(LABELS).trim_matches('"');
                let between = self.pick(&["", "-", "/"]);
                match self.below(4) {
                    0 => format!(r#"label_join({vector}, "{to}", "{between}")"#),
                    1 => format!(r#"label_join({vector}, "{to}", "{between}", "{a}", "{b}", "{a}")"#),
                    _ => format!(r#"label_join({vector}, "{to}", "{between}", "{a}", "{b}")"#),
                }
            }
            10 => format!("vector({})", self.scalar(depth - 1, group)),
            11 => {
                let function = self.pick(&["sort_by_label", "sort_by_label_desc"]);
                let labels: Vec<_> = (0..=self.below(3))
                    .map(|_| format!("\"{}\"", self.pick(LABELS).trim_matches('"')))
                    .collect();
                format!("{function}({vector}, {})", labels.join(", "))
            }
            12 => match self.below(7) {
                0 => format!("info({vector})"),
                1 => format!(r#"info({vector}, {{version=~".+"}})"#),
                2 => format!(r#"info({vector}, {{env!="prod"}})"#),
                3 => format!(r#"info({vector}, {{__name__="build_info"}})"#),
                4 => format!(r#"info({vector}, {{__name__!="target_info",nosuch=""}})"#),
                5 => format!(r#"info({vector}, {{__name__=~"build_info|target_info",version=~".*"}})"#),
                _ => format!(r#"info({vector}, {{__name__=~".*_info",env="prod"}})"#),
            },
            13 => format!(
                r#"histogram_quantiles({vector}, "q", {}, {})"#,
                self.scalar(0, group),
                self.scalar(0, group)
            ),
            14 => format!("start_timestamp({vector})"),
            _ => format!("{}(-{vector})", self.pick(UNARY)),
        }
    }

    fn window(&mut self, depth: u32, group: usize) -> String {
        let form = self.below(if self.experimental { 16 } else { 12 });
        let matrix = match form {
            10 | 11 | 15 => self.moving_matrix(depth, group),
            _ => self.matrix(depth, group),
        };
        match form {
            0..=9 => format!("{}({matrix})", self.pick(WINDOW)),
            10 => format!("quantile_over_time({}, {matrix})", self.scalar(0, group)),
            11 => format!("predict_linear({matrix}, {})", self.scalar(0, group)),
            12..=14 => format!("{}({matrix})", self.pick(WINDOW_EXPERIMENTAL)),
            _ => format!("double_exponential_smoothing({matrix}, 0.5, {})", self.pick(&["0.1", "0.9"])),
        }
    }

    fn vector(&mut self, depth: u32, group: usize) -> String {
        if depth == 0 {
            return match self.below(4) {
                0 | 1 => self.metric(group).to_owned() + &self.modifiers(false),
                _ => self.window(0, group),
            };
        }
        match self.below(20) {
            0..=3 => self.window(depth, group),
            4..=8 => self.aggregation(depth, group),
            9..=12 => self.binary(depth, group),
            13..=14 => self.with_scalar(depth, group),
            15 => format!("-({})", self.vector(depth - 1, group)),
            16 => format!("({})", self.vector(depth - 1, group)),
            _ => self.call(depth, group),
        }
    }
}

/// The words and the rest of a query, in order.
fn split(query: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in query.chars() {
        let of_word = c.is_alphanumeric() || c == '_' || c == '.';
        match words.last_mut() {
            Some(last) if of_word && in_word => last.push(c),
            _ => words.push(c.to_string()),
        }
        in_word = of_word;
    }
    words
}
