//! `prometheus.yml` as typed and as validated options of the components. Only this crate knows YAML.
//!
//! [`load`] reads a text into a tree that remembers every place, fills the sections by the rules by which Go fills
//! structs, and checks what Prometheus checks; a refusal has Prometheus' one line and, for people, the place, the
//! reason and the remedy. [`Config::unsupported`] names what is valid and not implemented yet. The conversions make
//! plain options of the sections.

mod convert;
mod convert_alerting;
mod convert_client;
mod convert_otlp;
mod convert_remote;
mod convert_rules;
mod decode;
mod error;
mod glob;
mod go_json;
mod http_client_file;
mod kinds;
mod load;
mod masking;
mod references;
mod rule_file;
mod sections;
mod selector;
mod target_file;
mod unit_test_file;
mod unsupported;
mod web_config;
mod web_tenancy;
mod yaml;

pub use convert::Job;
pub use convert_alerting::AlertingOptions;
pub use error::{ConfigError, Problem};
pub use http_client_file::read_http_client;
pub use kinds::{
    Anything, Bytes, FilePath, LabelNames, LabelSet, Millis, NameScheme, Secret, Url, check_url,
};
pub use load::{Config, FeatureDefaults, LoadOptions, load};
pub use references::Depth;
pub use rule_file::{LoadedRules, Rule, RuleFile, RuleFileOptions, RuleGroup, load_rules};
pub use sections::*;
pub use unit_test_file::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, StartTimestamp, TestGroup, UnitTestFile,
    load_unit_tests,
};
pub use unsupported::Unsupported;
pub use web_config::{check_web_config, read_web_options};
pub use yaml::{Place, Span};
