//! `promql`: expressions formatted and edited.

use clap::{Args, Subcommand, ValueEnum};
use model::{MatchOp, Matcher};
use promql::ParseOptions;
use promql::ast::{Expr, VectorSelector};

use std::process::ExitCode;

use super::failure::print;
use super::{Failure, features};

/// `binnacle tool promql …`
#[derive(Debug, Subcommand)]
pub(crate) enum PromQlCommand {
    /// Formats an expression; needs --experimental, as in promtool
    Format(FormatArgs),
    /// Edits the label matchers of an expression; needs --experimental, as in promtool
    #[command(name = "label-matchers", subcommand, arg_required_else_help = false)]
    LabelMatchers(LabelMatchersCommand),
}

/// `promql label-matchers …`
#[derive(Debug, Subcommand)]
pub(crate) enum LabelMatchersCommand {
    /// Sets a matcher of every selector
    Set(SetArgs),
    /// Takes a label's matcher off every selector
    Delete(DeleteArgs),
}

/// Flags of `promql format`.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// Expression
    #[arg(value_name = "query")]
    query: String,
}

/// Flags of `promql label-matchers set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Expression
    #[arg(value_name = "query")]
    query: String,
    /// Label
    #[arg(value_name = "name")]
    name: String,
    /// What it is to match
    #[arg(value_name = "value")]
    value: String,
    /// How
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "=", value_enum)]
    op: Operator,
}

/// Flags of `promql label-matchers delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Expression
    #[arg(value_name = "query")]
    query: String,
    /// Label
    #[arg(value_name = "name")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operator {
    #[value(name = "=")]
    Equal,
    #[value(name = "!=")]
    NotEqual,
    #[value(name = "=~")]
    Regex,
    #[value(name = "!~")]
    NotRegex,
}

impl Operator {
    fn of_matcher(self) -> MatchOp {
        match self {
            Operator::Equal => MatchOp::Equal,
            Operator::NotEqual => MatchOp::NotEqual,
            Operator::Regex => MatchOp::Regex,
            Operator::NotRegex => MatchOp::NotRegex,
        }
    }
}

/// What is done to each selector.
type Edit<'a> = Box<dyn Fn(&mut VectorSelector) + 'a>;

const EXPERIMENTAL: &str = "This command is experimental and requires the --experimental flag to be set.";

pub(super) fn run(
    command: &PromQlCommand,
    experimental: bool,
    enabled: &[String],
) -> Result<ExitCode, Failure> {
    let options = features::parse_options(enabled)?;
    if !experimental {
        return Err(Failure::Told(EXPERIMENTAL.to_owned()));
    }
    let (query, edit): (&str, Edit<'_>) = match command {
        PromQlCommand::Format(args) => (&args.query, Box::new(|_| {})),
        PromQlCommand::LabelMatchers(LabelMatchersCommand::Set(args)) => {
            (&args.query, Box::new(|selector| set(selector, &args.name, args.op.of_matcher(), &args.value)))
        }
        PromQlCommand::LabelMatchers(LabelMatchersCommand::Delete(args)) => {
            (&args.query, Box::new(|selector| delete(selector, &args.name)))
        }
    };
    print(&(edited(query, &options, &*edit)? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The expression, formatted, with each of its selectors edited.
fn edited(
    query: &str,
    options: &ParseOptions,
    edit: &dyn Fn(&mut VectorSelector),
) -> Result<String, Failure> {
    let mut expr = promql::parse(query, options)?;
    each_selector(&mut expr, edit);
    Ok(promql::pretty(&expr))
}

fn each_selector(expr: &mut Expr, edit: &dyn Fn(&mut VectorSelector)) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(selector) => edit(selector),
        Expr::Matrix(e) => edit(&mut e.selector),
        Expr::Subquery(e) => each_selector(&mut e.expr, edit),
        Expr::Aggregate(e) => {
            each_selector(&mut e.expr, edit);
            e.param.iter_mut().for_each(|param| each_selector(param, edit));
        }
        Expr::Binary(e) => {
            each_selector(&mut e.left, edit);
            each_selector(&mut e.right, edit);
        }
        Expr::Call(e) => e.args.iter_mut().for_each(|arg| each_selector(arg, edit)),
        Expr::Unary(e) => each_selector(&mut e.expr, edit),
        Expr::Paren(e) => each_selector(&mut e.expr, edit),
    }
}

/// The matcher is printed and never asked: its value need not be a regular expression where it should be one.
fn set(selector: &mut VectorSelector, name: &str, op: MatchOp, value: &str) {
    let mut wanted = Matcher::equal(name, value);
    wanted.op = op;
    let mut found = false;
    for matcher in selector.matchers.iter_mut().filter(|matcher| &*matcher.name == name) {
        *matcher = wanted.clone();
        found = true;
    }
    if !found {
        selector.matchers.push(wanted);
    }
}

/// As in promtool, the matcher behind one that was taken off is passed over.
fn delete(selector: &mut VectorSelector, name: &str) {
    let mut at = 0;
    while at < selector.matchers.len() {
        if selector.matchers.get(at).is_some_and(|matcher| &*matcher.name == name) {
            selector.matchers.remove(at);
        }
        at += 1;
    }
}
