//! Reads one pickle as data. Nothing in it is ever called: a class or function is only a name.
//!
//! A pickle is a program for a stack machine. This one knows the instructions of protocols 2 to 5
//! that Python's pickler writes; the few globals that rebuild tensors are understood in
//! [`super::globals`], and everything made by any other becomes [`Node::Opaque`].
//!
//! Each instruction makes at most one value of fixed size, strings stay in the file, and values
//! are handles into one list, so that deep, shared or cyclic structures cost no more than their
//! instructions, of which there may be [`MAX_STEPS`].

use std::collections::{BTreeSet, HashMap};

use super::globals;
use super::reader::Reader;
use super::value::{Node, Value};

/// Instructions of one pickle, each of which is at least one byte of it. A full Stable Diffusion
/// checkpoint with its EMA copy has fewer than a tenth of this.
const MAX_STEPS: usize = 2_000_000;

/// Bytes of a text that can name a tensor, storage, class or function. Longer ones are opaque, so
/// that comparing and copying names stays cheap however often a pickle recalls one.
const MAX_NAME: usize = 1024;

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub nodes: Vec<Node<'a>>,
    pub root: Value<'a>,
    /// Globals that were asked for and not understood, as `module.name`.
    pub unknown: BTreeSet<(&'a str, &'a str)>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    max_steps: usize,
    steps: usize,
}

impl<'a> Machine<'a> {
    /// Reads the pickle at the start of `reader`, and leaves `reader` behind it.
    pub fn run(reader: &mut Reader<'a>) -> Result<Self, String> {
        let mut machine = Self {
            nodes: Vec::new(),
            root: Value::None,
            unknown: BTreeSet::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            max_steps: MAX_STEPS.min(reader.left()),
            steps: 0,
        };
        while !machine.step(reader)? {
            machine.spend(1)?;
        }
        Ok(machine)
    }

    /// Counts `steps` instructions, or as many items copied.
    pub fn spend(&mut self, steps: usize) -> Result<(), String> {
        self.steps += steps;
        match self.steps > self.max_steps {
            true => Err(format!("its pickle takes more than {} steps", self.max_steps)),
            false => Ok(()),
        }
    }

    /// Carries out one instruction; true when it was STOP.
    fn step(&mut self, reader: &mut Reader<'a>) -> Result<bool, String> {
        let at = reader.position();
        match reader.byte()? {
            b'.' => {
                self.root = self.pop()?;
                return Ok(true);
            }
            0x80 => {
                let protocol = reader.byte()?;
                if !(2..=5).contains(&protocol) {
                    return Err(format!("expected pickle protocol 2 to 5, found {protocol}"));
                }
            }
            0x95 => drop(reader.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' => {
                let value = reader.u32()?.cast_signed();
                self.stack.push(Value::Int(value.into()));
            }
            b'K' => {
                let value = reader.byte()?;
                self.stack.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = reader.u16()?;
                self.stack.push(Value::Int(value.into()));
            }
            0x8a => {
                let length = reader.byte()?.into();
                self.push_long(reader, length)?;
            }
            0x8b => {
                let length = reader.u32()?.into();
                self.push_long(reader, length)?;
            }
            b'G' => self.push_other(reader, 8)?,
            0x8c | b'U' => {
                let length = reader.byte()?.into();
                self.push_text(reader, length)?;
            }
            b'X' | b'T' => {
                let length = reader.u32()?.into();
                self.push_text(reader, length)?;
            }
            0x8d => {
                let length = reader.u64()?;
                self.push_text(reader, length)?;
            }
            b'C' => {
                let length = reader.byte()?.into();
                self.push_other(reader, length)?;
            }
            b'B' => {
                let length = reader.u32()?.into();
                self.push_other(reader, length)?;
            }
            0x8e | 0x96 => {
                let length = reader.u64()?;
                self.push_other(reader, length)?;
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            count @ 0x85..=0x87 => {
                let items = self.pop_many(usize::from(count - 0x84))?;
                self.push(Node::Tuple(items));
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items));
            }
            b']' => self.push(Node::List(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items));
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(Vec::new()));
                self.set_items(&items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            0x8f => self.push(Node::Opaque("builtins", "set")),
            0x90 => drop(self.pop_mark()?),
            0x91 => {
                self.pop_mark()?;
                self.push(Node::Opaque("builtins", "frozenset"));
            }
            b'q' => {
                let index = reader.byte()?.into();
                self.remember(index)?;
            }
            b'r' => {
                let index = reader.u32()?.into();
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let index = reader.byte()?.into();
                self.recall(index)?;
            }
            b'j' => {
                let index = reader.u32()?.into();
                self.recall(index)?;
            }
            b'c' => {
                let (module, name) = (reader.line(MAX_NAME)?, reader.line(MAX_NAME)?);
                self.push(Node::Global(module, name));
            }
            0x93 => match self.pop_many(2)?[..] {
                [Value::Str(module), Value::Str(name)] => {
                    self.push(Node::Global(module, name));
                }
                _ => return Err(format!("the global at byte {at} has no name")),
            },
            b'Q' => {
                let id = self.pop()?;
                let storage = globals::storage(self, id)?;
                self.push(Node::Storage(Box::new(storage)));
            }
            // REDUCE and NEWOBJ: here Python would call what lies under the arguments.
            b'R' | 0x81 => {
                let [callee, arguments] = self.pop_many(2)?[..] else { unreachable!() };
                let made = globals::made_by(self, callee, arguments)?;
                self.stack.push(made);
            }
            0x92 => {
                let [class, arguments, _] = self.pop_many(3)?[..] else { unreachable!() };
                let made = globals::made_by(self, class, arguments)?;
                self.stack.push(made);
            }
            // BUILD sets attributes: of a state dict (its `_metadata`) or of something opaque.
            b'b' => drop(self.pop()?),
            other => {
                return Err(format!(
                    "pickle instruction {other:#04x} at byte {at} is none that torch.save writes"
                ));
            }
        }
        Ok(false)
    }

    /// The node behind `value`, if it has one.
    pub fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }

    /// Module and name of a class or function.
    pub fn global(&self, value: Value<'a>) -> Option<(&'a str, &'a str)> {
        match self.node(value)? {
            Node::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// The items of a tuple or list.
    pub fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// Puts `node` into the list and gives back its handle.
    pub fn add(&mut self, node: Node<'a>) -> Value<'a> {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }

    fn push(&mut self, node: Node<'a>) {
        let value = self.add(node);
        self.stack.push(value);
    }

    /// Values below the last mark cannot be popped, as in Python.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        Ok(self.pop_many(1)?[0])
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, String> {
        if self.stack.len() < self.floor() + count {
            return Err("its pickle takes more values than it makes".into());
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.marks.pop().ok_or("its pickle ends a group that it never began")?;
        Ok(self.stack.split_off(mark))
    }

    /// The container on top of the stack, to be added to.
    fn top(&mut self) -> Result<Option<&mut Node<'a>>, String> {
        if self.stack.len() <= self.floor() {
            return Err("its pickle adds to a container that is not there".into());
        }
        Ok(match self.stack[self.stack.len() - 1] {
            Value::Node(index) => self.nodes.get_mut(index),
            _ => None,
        })
    }

    fn append(&mut self, new: Vec<Value<'a>>) -> Result<(), String> {
        match self.top()? {
            Some(Node::List(items)) => items.extend(new),
            Some(Node::Opaque(..)) => {}
            _ => return Err("its pickle appends to something that is not a list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, new: &[Value<'a>]) -> Result<(), String> {
        if !new.len().is_multiple_of(2) {
            return Err("its pickle has a dict key without a value".into());
        }
        match self.top()? {
            Some(Node::Dict(pairs)) => {
                pairs.extend(new.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            Some(Node::Opaque(..)) => {}
            _ => return Err("its pickle sets keys of something that is not a dict".into()),
        }
        Ok(())
    }

    fn remember(&mut self, index: u64) -> Result<(), String> {
        let top = self.pop()?;
        self.stack.push(top);
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), String> {
        let value = self.memo.get(&index).ok_or("its pickle recalls what it never stored")?;
        self.stack.push(*value);
        Ok(())
    }

    /// An integer of any length, two's complement; those beyond 64 bits are no size of anything.
    fn push_long(&mut self, reader: &mut Reader<'a>, length: u64) -> Result<(), String> {
        let bytes = reader.take(length)?;
        self.stack.push(match bytes {
            [] => Value::Int(0),
            [.., top] if bytes.len() <= 8 => {
                let mut wide = [if top & 0x80 == 0 { 0 } else { 0xff }; 8];
                wide[..bytes.len()].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
            _ => Value::Other,
        });
        Ok(())
    }

    /// Text stays in the file. What Python 2 wrote may not be UTF-8, and then names nothing here.
    fn push_text(&mut self, reader: &mut Reader<'a>, length: u64) -> Result<(), String> {
        let bytes = reader.take(length)?;
        let text = (bytes.len() <= MAX_NAME).then(|| std::str::from_utf8(bytes));
        self.stack.push(match text {
            Some(Ok(text)) => Value::Str(text),
            _ => Value::Other,
        });
        Ok(())
    }

    fn push_other(&mut self, reader: &mut Reader<'a>, length: u64) -> Result<(), String> {
        reader.take(length)?;
        self.stack.push(Value::Other);
        Ok(())
    }
}
