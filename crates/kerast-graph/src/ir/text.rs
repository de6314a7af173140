//! Graphs as text, and back:
//!
//! ```text
//! %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
//! %1 = tanh(%0) : f32[2] @ "dense"
//! return %1
//! ```

use crate::error::{Error, ErrorKind, Result};
use crate::ir::attributes::{Attribute, Attributes};
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Op;
use crate::ir::types::Type;
use crate::tensor::Tensor;
use kerast_kernels::with_element;
use std::fmt;

/// The text form; [`parse`] reads it back.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[ValueId]| ids.iter().map(|v| format!("%{}", v.0)).collect::<Vec<_>>().join(", ");
        for node in self.nodes() {
            let results: Vec<ValueId> = node.results().collect();
            let types: Vec<String> = results.iter().map(|&v| self.ty(v).to_string()).collect();
            write!(f, "{} = {}({})", list(&results), node.op.name(), list(&node.operands))?;
            let attributes = node.op.attributes();
            if !attributes.0.is_empty() {
                let items: Vec<String> = attributes.0.iter().map(|(n, v)| format!("{n} = {v}")).collect();
                write!(f, " {{{}}}", items.join(", "))?;
            }
            write!(f, " : {}", types.join(", "))?;
            match self.scopes[node.scope as usize].as_str() {
                "" => writeln!(f)?,
                scope => writeln!(f, " @ {scope:?}")?,
            }
        }
        writeln!(f, "return {}", list(&self.results))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Int(v) => write!(f, "{v}"),
            Attribute::Ints(v) => write!(f, "{v:?}"),
            Attribute::Word(v) => write!(f, "{v:?}"),
            Attribute::Graph(g) => write!(f, "<\n{g}>"),
            Attribute::Tensor(t) => {
                write!(f, "{} {{", Type::new(t.dtype(), t.shape()))?;
                let n = t.len();
                with_element!(t.dtype(), T => {
                    let values = &t.buffer().as_slice::<T>()[..n];
                    for (i, v) in values.iter().enumerate() {
                        write!(f, "{}{v:?}", if i > 0 { " " } else { "" })?;
                    }
                });
                write!(f, "}}")
            }
        }
    }
}

/// Reads the text form.
pub fn parse(text: &str) -> Result<Graph> {
    let mut p = Parser { rest: text, depth: 0 };
    let graph = p.graph()?;
    p.space();
    match p.rest.is_empty() {
        true => Ok(graph),
        false => Err(p.fail("the end")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn fail(&self, expected: &str) -> Error {
        let near: String = self.rest.chars().take(40).collect();
        Error::new(ErrorKind::Config, "cannot read this graph").expected(expected).received(format!("{near:?}"))
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.fail(&format!("`{token}`"))) }
    }

    fn while_chars(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.space();
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T> {
        let before = self.rest;
        let word = self.while_chars(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        word.parse().map_err(|_| {
            self.rest = before;
            self.fail("a number")
        })
    }

    fn quoted(&mut self) -> Result<String> {
        self.need("\"")?;
        let end = self.rest.find('"').ok_or_else(|| self.fail("a closing quote"))?;
        let word = self.rest[..end].to_string();
        self.rest = &self.rest[end + 1..];
        Ok(word)
    }

    fn ids(&mut self) -> Result<Vec<u32>> {
        let mut out = vec![];
        while self.eat("%") {
            out.push(self.number()?);
            if !self.eat(",") {
                break;
            }
        }
        Ok(out)
    }

    fn ty(&mut self) -> Result<Type> {
        self.space();
        let end = self.rest.find(']').ok_or_else(|| self.fail("a type"))?;
        let ty = Type::parse(self.rest[..=end].trim()).ok_or_else(|| self.fail("a type"))?;
        self.rest = &self.rest[end + 1..];
        Ok(ty)
    }

    fn graph(&mut self) -> Result<Graph> {
        self.depth += 1;
        if self.depth > 16 {
            return Err(self.fail("at most 16 nested graphs"));
        }
        let mut graph = Graph::new();
        while !self.eat("return") {
            self.node(&mut graph)?;
        }
        let results = self.ids()?.into_iter().map(ValueId).collect::<Vec<_>>();
        if results.iter().any(|v| v.index() >= graph.num_values()) {
            return Err(self.fail("results that exist"));
        }
        graph.results = results;
        self.depth -= 1;
        Ok(graph)
    }

    fn node(&mut self, graph: &mut Graph) -> Result<()> {
        let results = self.ids()?;
        self.need("=")?;
        let name = self.while_chars(|c| c.is_ascii_alphanumeric() || c == '_');
        self.need("(")?;
        let operands: Vec<ValueId> = self.ids()?.into_iter().map(ValueId).collect();
        self.need(")")?;
        let attributes = if self.eat("{") { self.attributes()? } else { Attributes::none() };
        self.need(":")?;
        let mut types = vec![self.ty()?];
        while self.eat(",") {
            types.push(self.ty()?);
        }
        let scope = if self.eat("@") { self.quoted()? } else { String::new() };
        let scope = graph.scope(&scope);
        let made = graph.push(Op::parse(name, &attributes)?, &operands, scope)?;
        let same = made.iter().map(|v| v.0).eq(results) && made.iter().map(|&v| graph.ty(v)).eq(&types);
        if same { Ok(()) } else { Err(self.fail("consecutive values of the types that the op gives")) }
    }

    fn attributes(&mut self) -> Result<Attributes> {
        let mut out = Attributes::none();
        while !self.eat("}") {
            let name = self.while_chars(|c| c.is_ascii_alphanumeric() || c == '_').to_string();
            self.need("=")?;
            let value = self.attribute()?;
            out.0.push((name, value));
            self.eat(",");
        }
        Ok(out)
    }

    fn attribute(&mut self) -> Result<Attribute> {
        self.space();
        if self.eat("<") {
            let graph = self.graph()?;
            self.need(">")?;
            return Ok(Attribute::Graph(graph));
        }
        if self.eat("[") {
            let mut items = vec![];
            while !self.eat("]") {
                items.push(self.number()?);
                self.eat(",");
            }
            return Ok(Attribute::Ints(items));
        }
        match self.rest.chars().next() {
            Some('"') => Ok(Attribute::Word(self.quoted()?)),
            Some(c) if c.is_ascii_digit() || c == '-' => Ok(Attribute::Int(self.number()?)),
            _ => Ok(Attribute::Tensor(self.tensor()?)),
        }
    }

    fn tensor(&mut self) -> Result<Tensor> {
        let ty = self.ty()?;
        self.need("{")?;
        let end = self.rest.find('}').ok_or_else(|| self.fail("a closing brace"))?;
        let words: Vec<&str> = self.rest[..end].split_whitespace().collect();
        let bad = || self.fail("the values of a tensor");
        if words.len() != ty.len() {
            return Err(bad());
        }
        let mut t = Tensor::zeros(ty.dtype, &ty.shape)?;
        with_element!(ty.dtype, T => {
            let out = t.as_mut_slice::<T>().ok_or_else(bad)?;
            for (o, w) in out.iter_mut().zip(&words) {
                *o = w.parse::<T>().map_err(|_| bad())?;
            }
        });
        self.rest = &self.rest[end + 1..];
        Ok(t)
    }
}
