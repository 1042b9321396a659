//! Tokens to trees, with the checks and messages of Go's `text/template/parse`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lex::{Keyword, Kind, Token, tokens};
use crate::number::{Number, unquote};
use crate::tree::{Branch, Command, List, Node, Pipe, Source, Term, TermKind, Tree};

/// A text is no template. The message is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {message}")]
pub struct ParseError {
    name: String,
    line: usize,
    message: String,
}

/// How deeply parentheses, branches and definitions may stand in one another, so that reading and executing a
/// template cannot take up the stack.
const MAX_DEPTH: usize = 200;

/// The templates of `text`: the one called `name`, and those that it defines. `trees` has those known before.
///
/// # Errors
/// When the text is no template.
pub(crate) fn parse(
    name: &str,
    text: &str,
    is_function: &dyn Fn(&str) -> bool,
    trees: &mut BTreeMap<String, Tree>,
) -> Result<(), ParseError> {
    let source = Arc::new(Source { name: name.into(), text: text.into() });
    let mut parser = Parser {
        tokens: tokens(text),
        next: 0,
        seen: 0,
        source,
        is_function,
        defined: BTreeMap::new(),
        scope: Scope::new(),
        depth: 0,
    };
    let root = parser.whole_text()?;
    parser.define(name, root)?;
    for (name, tree) in parser.defined {
        let known = trees.get(&name).is_some_and(|known| !is_empty(&known.root));
        if !(known && is_empty(&tree.root)) {
            trees.insert(name, tree);
        }
    }
    Ok(())
}

/// Whether a template has nothing but spaces: such a one does not replace another of its name.
fn is_empty(list: &List) -> bool {
    list.iter().all(|node| matches!(node, Node::Text { text } if text.trim().is_empty()))
}

/// What is known at a place within one template.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
    /// Line in which the action being read began.
    action_line: Option<usize>,
}

impl Scope {
    fn new() -> Self {
        Scope { variables: vec!["$".into()], ranges: 0, action_line: None }
    }
}

/// What ends a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Ending::End { "{{end}}" } else { "{{else}}" })
    }
}

enum Item {
    Node(Node),
    Ending(Ending),
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    /// How many tokens have been looked at: errors name the line of the last one.
    seen: usize,
    source: Arc<Source>,
    is_function: &'a dyn Fn(&str) -> bool,
    defined: BTreeMap<String, Tree>,
    scope: Scope,
    depth: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        let line =
            self.seen.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(1, |token| token.line);
        Err(ParseError { name: self.source.name.clone(), line, message: message.into() })
    }

    fn peek(&mut self) -> Token<'a> {
        self.seen = self.seen.max(self.next + 1).min(self.tokens.len());
        match self.tokens.get(self.next) {
            Some(token) => token.clone(),
            None => self.after_the_last(),
        }
    }

    /// Behind an error, too, the text is at its end.
    fn after_the_last(&self) -> Token<'a> {
        let line = self.tokens.last().map_or(1, |token| token.line);
        Token { kind: Kind::End, at: self.source.text.len(), text: "".into(), line }
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_word(&mut self) -> Token<'a> {
        self.skip_space();
        self.peek()
    }

    fn take_word(&mut self) -> Token<'a> {
        self.skip_space();
        self.take()
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let began = match self.scope.action_line {
            Some(line) if line != token.line => {
                let place = format!("{}:{line}", self.source.name);
                let action = if token.text.ends_with(" action") { "" } else { " in action" };
                format!("{action} started at {place}")
            }
            _ => String::new(),
        };
        self.error(format!("{token}{began}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token<'a>> {
        let token = self.take_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return self.error("max expression depth exceeded");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn whole_text(&mut self) -> Parsed<List> {
        let mut root = List::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::LeftDelimiter {
                let before = self.next;
                self.take();
                if self.take_word().kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.next = before;
            }
            match self.text_or_action()? {
                Item::Node(node) => root.push(node),
                Item::Ending(ending) => return self.error(format!("unexpected {ending}")),
            }
        }
        Ok(root)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.take_word();
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            let outer = self.scope.action_line.take();
            let error = self.unexpected(&token, CONTEXT);
            self.scope.action_line = outer;
            return error;
        }
        let name = self.unquoted(&token)?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        self.named_template(&name, CONTEXT)?;
        self.scope = outer;
        Ok(())
    }

    /// What is between a definition's name and its end.
    fn named_template(&mut self, name: &str, context: &str) -> Parsed<()> {
        let (list, ending) = self.deeper(Self::list)?;
        if ending != Ending::End {
            return self.error(format!("unexpected {ending} in {context}"));
        }
        self.define(name, list)
    }

    fn define(&mut self, name: &str, root: List) -> Parsed<()> {
        let known = self.defined.get(name).is_some_and(|known| !is_empty(&known.root));
        if known && is_empty(&root) {
            return Ok(());
        }
        if known {
            return self
                .error(format!("template: multiple definition of template {}", model::number::quote(name)));
        }
        self.defined.insert(name.into(), Tree { source: self.source.clone(), root });
        Ok(())
    }

    fn unquoted(&self, token: &Token<'_>) -> Parsed<String> {
        match unquote(&token.text) {
            Some(text) => Ok(text),
            None => self.error("invalid syntax"),
        }
    }

    fn list(&mut self) -> Parsed<(List, Ending)> {
        let mut list = List::new();
        while self.peek_word().kind != Kind::End {
            match self.text_or_action()? {
                Item::Node(node) => list.push(node),
                Item::Ending(ending) => return Ok((list, ending)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.take_word();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { text: token.text.into() })),
            Kind::LeftDelimiter => {
                self.scope.action_line = Some(token.line);
                let item = self.action()?;
                self.scope.action_line = None;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.peek_word();
        let Kind::Keyword(keyword) = token.kind else {
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Item::Node(Node::Action { pipe }));
        };
        if keyword == Keyword::Define {
            // A definition stands at the top only.
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Item::Node(Node::Action { pipe }));
        }
        self.take();
        let node = match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break | Keyword::Continue => self.leave_range(keyword, token.at)?,
            Keyword::Else => return self.else_or_its_condition().map(Item::Ending),
            Keyword::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::Ending(Ending::End));
            }
            Keyword::If | Keyword::With | Keyword::Range => self.branch(keyword)?,
            Keyword::Template | Keyword::Define => self.template()?,
        };
        Ok(Item::Node(node))
    }

    fn leave_range(&mut self, keyword: Keyword, at: usize) -> Parsed<Node> {
        let (word, node) = match keyword {
            Keyword::Break => ("{{break}}", Node::Break { at }),
            _ => ("{{continue}}", Node::Continue { at }),
        };
        let token = self.take_word();
        if token.kind != Kind::RightDelimiter {
            return self.unexpected(&token, word);
        }
        if self.scope.ranges == 0 {
            return self.error(format!("{word} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// `{{else}}`, or what stands before the condition in `{{else if …}}` and `{{else with …}}`.
    fn else_or_its_condition(&mut self) -> Parsed<Ending> {
        let token = self.peek_word();
        if !matches!(token.kind, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Ending::Else)
    }

    fn branch(&mut self, keyword: Keyword) -> Parsed<Node> {
        let branch = self.deeper(|parser| parser.branch_parts(keyword))?;
        Ok(match keyword {
            Keyword::If => Node::If(branch),
            Keyword::With => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn branch_parts(&mut self, keyword: Keyword) -> Parsed<Box<Branch>> {
        let context = match keyword {
            Keyword::If => "if",
            Keyword::With => "with",
            _ => "range",
        };
        let variables = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let in_range = usize::from(keyword == Keyword::Range);
        self.scope.ranges += in_range;
        let (then, ending) = self.list()?;
        self.scope.ranges -= in_range;
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else if keyword != Keyword::Range && self.peek().kind == Kind::Keyword(keyword) => {
                self.take();
                Some(vec![self.branch(keyword)?])
            }
            Ending::Else => {
                let (list, ending) = self.list()?;
                if ending != Ending::End {
                    return self.error(format!("expected end; found {ending}"));
                }
                Some(list)
            }
        };
        self.scope.variables.truncate(variables);
        Ok(Box::new(Branch { at: pipe.at, pipe, then, otherwise }))
    }

    fn template_name(&mut self, context: &str) -> Parsed<(usize, String)> {
        let token = self.take_word();
        match token.kind {
            Kind::String | Kind::RawString => Ok((token.at, self.unquoted(&token)?)),
            _ => self.unexpected(&token, context),
        }
    }

    fn template(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let (at, name) = self.template_name(CONTEXT)?;
        let pipe = match self.peek_word().kind {
            Kind::RightDelimiter => {
                self.take();
                None
            }
            _ => Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?),
        };
        Ok(Node::Template { at, name, pipe })
    }

    /// A definition that is executed where it stands.
    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let (at, name) = self.template_name(CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        self.named_template(&name, CONTEXT)?;
        self.scope = outer;
        Ok(Node::Template { at, name, pipe: Some(pipe) })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let mut pipe = Pipe { at: self.peek_word().at, ..Pipe::default() };
        self.declarations(context, &mut pipe)?;
        loop {
            let token = self.take_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Character
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check_pipeline(&pipe, context)?;
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and for ranges `$i, $x :=`.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Parsed<()> {
        loop {
            let variable = self.peek_word();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let before = self.next;
            self.take();
            match self.peek_word().kind {
                kind @ (Kind::Assign | Kind::Declare) => {
                    pipe.assigns = kind == Kind::Assign;
                    self.take_word();
                    self.declare(&variable, pipe);
                    return Ok(());
                }
                Kind::Comma => {
                    self.take_word();
                    self.declare(&variable, pipe);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    if !matches!(
                        self.peek_word().kind,
                        Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis
                    ) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.next = before;
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, variable: &Token<'_>, pipe: &mut Pipe) {
        pipe.variables.push(variable.text.clone().into_owned());
        self.scope.variables.push(variable.text.clone().into_owned());
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.terms.first().map(|term| &term.kind);
            if matches!(
                first,
                Some(
                    TermKind::Bool(_)
                        | TermKind::Dot
                        | TermKind::Nil
                        | TermKind::Number(_)
                        | TermKind::String { .. }
                )
            ) {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { at: self.peek_word().at, terms: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.terms.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParenthesis => {
                    self.next -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if command.terms.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    /// A term and the fields that follow it.
    fn operand(&mut self) -> Parsed<Option<Term>> {
        let Some(mut term) = self.term()? else {
            return Ok(None);
        };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(term));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field_name(&self.take()));
        }
        term = match term.kind {
            TermKind::Field(mut known) => {
                known.extend(fields);
                Term { at: first.at, kind: TermKind::Field(known) }
            }
            TermKind::Variable { name, .. } => {
                Term { at: first.at, kind: TermKind::Variable { name, fields } }
            }
            TermKind::Bool(_)
            | TermKind::String { .. }
            | TermKind::Number(_)
            | TermKind::Nil
            | TermKind::Dot => {
                let term = model::number::quote(&term.to_string());
                return self.error(format!("unexpected . after term {term}"));
            }
            TermKind::Identifier(_) | TermKind::Pipe(_) | TermKind::Chain { .. } => {
                Term { at: first.at, kind: TermKind::Chain { of: Box::new(term), fields } }
            }
        };
        Ok(Some(term))
    }

    fn term(&mut self) -> Parsed<Option<Term>> {
        let token = self.take_word();
        let kind = match token.kind {
            Kind::Identifier if !(self.is_function)(&token.text) => {
                return self.error(format!("function {} not defined", model::number::quote(&token.text)));
            }
            Kind::Identifier => TermKind::Identifier(token.text.into_owned()),
            Kind::Dot => TermKind::Dot,
            Kind::Nil => TermKind::Nil,
            Kind::Variable if !self.scope.variables.iter().any(|known| *known == token.text) => {
                return self.error(format!("undefined variable {}", model::number::quote(&token.text)));
            }
            Kind::Variable => TermKind::Variable { name: token.text.into_owned(), fields: Vec::new() },
            Kind::Field => TermKind::Field(vec![field_name(&token)]),
            Kind::Bool => TermKind::Bool(token.text == "true"),
            Kind::Character => TermKind::Number(self.number(Number::of_character(&token.text))?),
            Kind::Complex | Kind::Number => TermKind::Number(self.number(Number::read(&token.text))?),
            Kind::LeftParenthesis => {
                let pipe =
                    self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParenthesis))?;
                return Ok(Some(Term { at: pipe.at, kind: TermKind::Pipe(Box::new(pipe)) }));
            }
            Kind::String | Kind::RawString => {
                let text = self.unquoted(&token)?.into();
                TermKind::String { quoted: token.text.into_owned(), text }
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Term { at: token.at, kind }))
    }

    fn number(&self, read: Result<Number, String>) -> Parsed<Number> {
        read.or_else(|message| self.error(message))
    }
}

fn field_name(token: &Token<'_>) -> String {
    token.text.strip_prefix('.').unwrap_or(&token.text).to_owned()
}
