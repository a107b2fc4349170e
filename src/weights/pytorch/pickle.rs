//! A pickle machine that builds plain values and runs nothing.
//!
//! A pickle is a program for a stack machine. This one has the instructions that state dicts are made
//! of. `GLOBAL` gives a name and never a thing; `REDUCE` knows what to make of five of these names:
//! `collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`, `_rebuild_tensor` and
//! `_rebuild_parameter`, and `torch.Size`. Every other name and instruction ends the reading with its
//! name in the error. Values live in one list and refer to each other by place, so that a pickle that
//! contains itself is nothing special; each instruction makes at most one of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::element::ElementType;
use crate::error::WeightsError;

/// Most instructions that are run, and most items that are copied from list to dict. A state dict takes
/// some thirty instructions for a tensor.
const MAX_INSTRUCTIONS: usize = 2_000_000;

/// Longest name of a module, a storage or a tensor. Names are copied where they are used: a long one used
/// often would fill the memory.
const MAX_NAME: usize = 512;

/// Deepest nesting of dicts that tensors are looked for in.
const MAX_DEPTH: usize = 8;

/// Most tensors of a state dict.
const MAX_TENSORS: usize = 100_000;

/// Most axes of a tensor.
const MAX_RANK: usize = 16;

/// Why a pickle is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a pickle, or a broken one: where, and what.
    Damaged(usize, String),
    /// Something that a state dict has no need of.
    Refused(String),
}

impl Refusal {
    pub(super) fn into_error(self, path: &Path, what: &str) -> WeightsError {
        match self {
            Self::Damaged(at, why) => WeightsError::damaged(path, format!("byte {at} of {what}"), why),
            Self::Refused(name) => WeightsError::format(
                path,
                format!(
                    "asks for {name}, which is not done: files are read, never run; save the model's state_dict() alone, \
                     or convert it to .safetensors with a program that you trust"
                ),
            ),
        }
    }
}

/// A view into a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: String,
    pub(super) element: ElementType,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A place in the list of values.
type Place = usize;

#[derive(Clone, Debug)]
enum Value {
    /// None, floats, bytes: nothing that names a tensor.
    Plain,
    Int(i64),
    Text(String),
    List(Vec<Place>),
    Dict(Vec<(Place, Place)>),
    Global(String),
    Storage {
        key: String,
        element: ElementType,
    },
    Tensor(Tensor),
}

/// The machine, over the bytes of a pickle.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Place>,
    marks: Vec<usize>,
    memo: HashMap<u32, Place>,
    storages: HashMap<String, ElementType>,
    copied: usize,
}

type Step<T> = Result<T, Refusal>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (values, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, at: 0, values, stack, marks, memo: HashMap::new(), storages: HashMap::new(), copied: 0 }
    }

    /// Bytes up to the end of the pickle that was run.
    pub(super) fn consumed(&self) -> usize {
        self.at
    }

    /// The element types of the storages that were named.
    pub(super) fn storages(&self) -> HashMap<String, ElementType> {
        self.storages.clone()
    }

    fn damaged<T>(&self, what: &str) -> Step<T> {
        Err(Refusal::Damaged(self.at, what.to_owned()))
    }

    /// Runs until STOP; the value that is left.
    pub(super) fn run(&mut self) -> Step<Place> {
        for _ in 0..MAX_INSTRUCTIONS {
            let [instruction] = self.array()?;
            if instruction == b'.' {
                return self.pop();
            }
            self.step(instruction)?;
        }
        self.damaged("more instructions than any state dict has")
    }

    fn step(&mut self, instruction: u8) -> Step<()> {
        match instruction {
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'N' => self.push(Value::Plain),
            0x88 => self.push(Value::Int(1)),
            0x89 => self.push(Value::Int(0)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b | b'I' | b'L' => self.integer(instruction),
            b'F' => self.line().and_then(|_| self.push(Value::Plain)),
            b'G' => self.take(8).and_then(|_| self.push(Value::Plain)),
            b'T' | b'U' | b'S' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e => self.text(instruction),
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b'l' | b't' => self.pop_mark().and_then(|items| self.push(Value::List(items))),
            0x85..=0x87 => {
                let count = usize::from(instruction - 0x84);
                let Some(begin) = self.stack.len().checked_sub(count) else {
                    return self.damaged("the stack is empty");
                };
                let items = self.stack.split_off(begin);
                self.push(Value::List(items))
            }
            b'd' => self.pop_mark().and_then(|items| self.push(Value::Dict(pairs(&items)))),
            b'a' => self.pop().and_then(|item| self.append(&[item])),
            b'e' | 0x90 => self.pop_mark().and_then(|items| self.append(&items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => self.pop_mark().and_then(|items| self.set_items(&items)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}")))
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push(Value::Global(format!("{module}.{name}")))
            }
            b'R' => self.reduce(),
            b'b' => self.build(),
            b'Q' => self.persistent(),
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(instruction),
            0x81 | 0x92 | b'i' | b'o' => Err(Refusal::Refused("an object of a class (NEWOBJ, INST or OBJ)".to_owned())),
            0x82..=0x84 => Err(Refusal::Refused("an extension of pickle (EXT)".to_owned())),
            b'P' => Err(Refusal::Refused("a persistent object by a text (PERSID)".to_owned())),
            other => {
                self.damaged(&format!("there is no instruction {other:#04x} in a state dict; it is no pickle of one"))
            }
        }
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        match self.bytes[self.at..].split_at_checked(count) {
            Some((front, _)) => {
                self.at += count;
                Ok(front)
            }
            None => self.damaged("the pickle is cut off"),
        }
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().or_else(|_| self.damaged("the pickle is cut off"))
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.at += length + 1;
                Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
            }
            None => self.damaged("the pickle is cut off"),
        }
    }

    fn push(&mut self, value: Value) -> Step<()> {
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// Takes the top, which must lie above the last mark.
    fn pop(&mut self) -> Step<Place> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(place) if self.stack.len() >= floor => Ok(place),
            _ => self.damaged("the stack is empty"),
        }
    }

    fn top(&self) -> Step<Place> {
        self.stack.last().copied().map_or_else(|| self.damaged("the stack is empty"), Ok)
    }

    fn pop_mark(&mut self) -> Step<Vec<Place>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.damaged("there is no mark"),
        }
    }

    fn pop_text(&mut self) -> Step<String> {
        let place = self.pop()?;
        match &self.values[place] {
            Value::Text(text) if text.len() <= MAX_NAME => Ok(text.clone()),
            _ => self.damaged("a name is no text or too long"),
        }
    }

    fn integer(&mut self, instruction: u8) -> Step<()> {
        let value = match instruction {
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            b'K' => i64::from(u8::from_le_bytes(self.array()?)),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            0x8a | 0x8b => {
                let length = if instruction == 0x8a {
                    usize::from(u8::from_le_bytes(self.array()?))
                } else {
                    u32::from_le_bytes(self.array()?) as usize
                };
                let bytes = self.take(length)?;
                // Longer numbers are hashes and seeds, and no sizes.
                let Some((first, _)) = bytes.split_at_checked(bytes.len().min(8)) else {
                    return self.push(Value::Plain);
                };
                if bytes.len() > 8 {
                    return self.push(Value::Plain);
                }
                let sign = if first.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                let mut whole = [sign; 8];
                whole[..first.len()].copy_from_slice(first);
                i64::from_le_bytes(whole)
            }
            _ => {
                let line = self.line()?;
                match line.trim().trim_end_matches('L').parse() {
                    Ok(value) => value,
                    Err(_) => return self.damaged("a number is none"),
                }
            }
        };
        self.push(Value::Int(value))
    }

    fn text(&mut self, instruction: u8) -> Step<()> {
        let length = match instruction {
            b'U' | 0x8c | b'C' => usize::from(u8::from_le_bytes(self.array()?)),
            b'T' | b'X' | b'B' => u32::from_le_bytes(self.array()?) as usize,
            0x8d | 0x8e => usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX),
            _ => {
                let line = self.line()?;
                return self.push(Value::Text(line.trim_matches(['\'', '"']).to_owned()));
            }
        };
        let bytes = self.take(length)?;
        match instruction {
            b'B' | b'C' | 0x8e => self.push(Value::Plain),
            _ => self.push(Value::Text(String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    fn append(&mut self, items: &[Place]) -> Step<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => {
                list.extend_from_slice(items);
                Ok(())
            }
            _ => self.damaged("something is appended to what is no list"),
        }
    }

    fn set_items(&mut self, items: &[Place]) -> Step<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(dict) => {
                dict.extend(pairs(items));
                Ok(())
            }
            _ => self.damaged("something is set in what is no dict"),
        }
    }

    /// Calls of the five names that are known.
    fn reduce(&mut self) -> Step<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Value::List(arguments), Value::Global(name)) = (&self.values[arguments], &self.values[callee]) else {
            return Err(Refusal::Refused("a call of what is no known name (REDUCE)".to_owned()));
        };
        match (name.as_str(), arguments.as_slice()) {
            ("collections.OrderedDict", []) => self.push(Value::Dict(Vec::new())),
            ("collections.OrderedDict", [items]) => {
                let Value::List(items) = &self.values[*items] else { return self.damaged("an OrderedDict of no list") };
                self.copied += items.len();
                if self.copied > MAX_INSTRUCTIONS {
                    return self.damaged("more items than any state dict has");
                }
                let pair = |place: &Place| match &self.values[*place] {
                    Value::List(pair) => <[Place; 2]>::try_from(pair.as_slice()).ok().map(|[key, value]| (key, value)),
                    _ => None,
                };
                match items.iter().map(pair).collect::<Option<Vec<_>>>() {
                    Some(items) => self.push(Value::Dict(items)),
                    None => self.damaged("an OrderedDict of no pairs"),
                }
            }
            ("torch.Size", [items]) => {
                self.stack.push(*items);
                Ok(())
            }
            ("torch._utils._rebuild_parameter", [tensor, ..]) => {
                self.stack.push(*tensor);
                Ok(())
            }
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => {
                let tensor = self.tensor([*storage, *offset, *shape, *strides])?;
                self.push(Value::Tensor(tensor))
            }
            _ => Err(Refusal::Refused(format!("a call of {name}"))),
        }
    }

    fn tensor(&self, [storage, offset, shape, strides]: [Place; 4]) -> Step<Tensor> {
        let (Value::Storage { key, element }, Some(offset)) = (&self.values[storage], self.size(offset)) else {
            return self.damaged("a tensor of no storage");
        };
        let (Some(shape), Some(strides)) = (self.sizes(shape), self.sizes(strides)) else {
            return self.damaged("a tensor whose shape is none");
        };
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return self.damaged("a tensor whose strides do not fit its shape");
        }
        Ok(Tensor { storage: key.clone(), element: *element, offset, shape, strides })
    }

    fn size(&self, place: Place) -> Option<usize> {
        match self.values[place] {
            Value::Int(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    fn sizes(&self, place: Place) -> Option<Vec<usize>> {
        let Value::List(items) = &self.values[place] else { return None };
        items.iter().take(MAX_RANK + 1).map(|&item| self.size(item)).collect()
    }

    /// What a state dict carries beside its items (`_metadata`) is dropped; an object's state is refused.
    fn build(&mut self) -> Step<()> {
        self.pop()?;
        let top = self.top()?;
        match &self.values[top] {
            Value::Dict(_) | Value::Tensor(_) => Ok(()),
            Value::Global(name) => Err(Refusal::Refused(format!("the state of {name}"))),
            _ => Err(Refusal::Refused("the state of an object (BUILD)".to_owned())),
        }
    }

    /// A storage: `("storage", type, key, device, count, …)`.
    fn persistent(&mut self) -> Step<()> {
        let place = self.pop()?;
        let Value::List(items) = &self.values[place] else { return self.damaged("a storage is no tuple") };
        let &[tag, kind, key, ..] = items.as_slice() else { return self.damaged("a storage without type and key") };
        let (Value::Text(tag), Value::Global(kind), Value::Text(key)) =
            (&self.values[tag], &self.values[kind], &self.values[key])
        else {
            return self.damaged("a storage without type and key");
        };
        if tag.len().max(key.len()) > MAX_NAME {
            return self.damaged("a storage's key is longer than any");
        }
        let Some(element) = (tag == "storage").then(|| storage_type(kind)).flatten() else {
            return Err(Refusal::Refused(format!("a {tag} of type {kind}")));
        };
        let key = key.clone();
        self.storages.insert(key.clone(), element);
        self.push(Value::Storage { key, element })
    }

    fn remember(&mut self, instruction: u8) -> Step<()> {
        let slot = match instruction {
            b'q' | b'h' => u32::from(u8::from_le_bytes(self.array()?)),
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            0x94 => self.memo.len() as u32,
            _ => {
                let line = self.line()?;
                match line.trim().parse() {
                    Ok(slot) => slot,
                    Err(_) => return self.damaged("a place of the memo is no number"),
                }
            }
        };
        if matches!(instruction, b'g' | b'h' | b'j') {
            return match self.memo.get(&slot) {
                Some(&place) => {
                    self.stack.push(place);
                    Ok(())
                }
                None => self.damaged("a place of the memo is empty"),
            };
        }
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    /// All tensors below a value, by the keys that lead to them. What a training script wraps around the
    /// state dict (`{"state_dict": …, "optimizer": …}`) is taken off.
    pub(super) fn tensors(&self, root: Place) -> Step<BTreeMap<String, Tensor>> {
        let mut found = BTreeMap::new();
        let inner = ["state_dict", "model_state_dict", "model", "net"]
            .into_iter()
            .find_map(|name| self.item(root, name).filter(|&place| matches!(self.values[place], Value::Dict(_))));
        self.collect(inner.unwrap_or(root), "", 0, &mut 0, &mut found)?;
        Ok(found)
    }

    fn item(&self, dict: Place, name: &str) -> Option<Place> {
        let Value::Dict(items) = &self.values[dict] else { return None };
        items
            .iter()
            .find(|(key, _)| matches!(&self.values[*key], Value::Text(text) if text == name))
            .map(|(_, value)| *value)
    }

    fn collect(
        &self,
        place: Place,
        prefix: &str,
        depth: usize,
        visited: &mut usize,
        found: &mut BTreeMap<String, Tensor>,
    ) -> Step<()> {
        if depth > MAX_DEPTH || *visited > 4 * MAX_TENSORS || found.len() > MAX_TENSORS {
            return Err(Refusal::Damaged(
                self.at,
                "it is nested deeper or has more values than any state dict".to_owned(),
            ));
        }
        match &self.values[place] {
            Value::Tensor(tensor) => {
                found.insert(prefix.to_owned(), tensor.clone());
            }
            Value::Dict(items) => {
                for (key, value) in items {
                    *visited += 1;
                    let key = match &self.values[*key] {
                        Value::Text(text) if text.len() + prefix.len() <= MAX_NAME => text.clone(),
                        Value::Int(number) => number.to_string(),
                        // Neither a state dict's nor worth reading.
                        _ => continue,
                    };
                    let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                    self.collect(*value, &name, depth + 1, visited, found)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The texts of a list.
    pub(super) fn texts(&self, root: Place) -> Step<Vec<String>> {
        let Value::List(items) = &self.values[root] else { return self.damaged("the list of storages is none") };
        let text = |place: &Place| match &self.values[*place] {
            Value::Text(text) if text.len() <= MAX_NAME => Ok(text.clone()),
            _ => self.damaged("a storage's key is no text"),
        };
        items.iter().map(text).collect()
    }
}

fn pairs(items: &[Place]) -> Vec<(Place, Place)> {
    items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)).collect()
}

/// The element type of `torch.FloatStorage` and its like.
fn storage_type(name: &str) -> Option<ElementType> {
    Some(match name.strip_prefix("torch.")? {
        "FloatStorage" | "cuda.FloatStorage" => ElementType::Float32,
        "DoubleStorage" | "cuda.DoubleStorage" => ElementType::Float64,
        "HalfStorage" | "cuda.HalfStorage" => ElementType::Float16,
        "BFloat16Storage" | "cuda.BFloat16Storage" => ElementType::BFloat16,
        "LongStorage" | "cuda.LongStorage" => ElementType::Int64,
        "IntStorage" | "cuda.IntStorage" => ElementType::Int32,
        "ShortStorage" | "cuda.ShortStorage" => ElementType::Int16,
        "CharStorage" | "cuda.CharStorage" => ElementType::Int8,
        "ByteStorage" | "cuda.ByteStorage" => ElementType::Uint8,
        "BoolStorage" | "cuda.BoolStorage" => ElementType::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pickle: &[u8]) -> Refusal {
        let mut machine = Machine::new(pickle);
        machine.run().and_then(|root| machine.tensors(root)).expect_err("refused")
    }

    #[test]
    fn code_is_refused_by_its_name() {
        let system = refusal(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.");
        assert_eq!(system, Refusal::Refused("a call of os.system".to_owned()));
        let stacked = refusal(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.");
        assert_eq!(stacked, Refusal::Refused("a call of builtins.eval".to_owned()));
        assert!(matches!(refusal(b"(S'true'\nios\nsystem\n."), Refusal::Refused(_)));
        assert!(matches!(refusal(b"\x80\x02cos\npopen\n)\x81."), Refusal::Refused(_)));
        assert!(matches!(refusal(b"cos\nsystem\n}b."), Refusal::Refused(name) if name.contains("os.system")));
        let loads = refusal(b"ctorch.storage\n_load_from_bytes\nC\x01x\x85R.");
        assert_eq!(loads, Refusal::Refused("a call of torch.storage._load_from_bytes".to_owned()));
    }

    #[test]
    fn broken_pickles_say_where() {
        for pickle in [
            &b""[..],
            b".",
            b"0.",
            b"t.",
            b"\x80",
            b"X\xff\xff\xff\xffa.",
            b"h\x01.",
            b"K\x01a.",
            b"(K\x01d.\xff",
            b"\xff.",
        ] {
            let mut machine = Machine::new(pickle);
            let ended = machine.run().and_then(|root| machine.tensors(root));
            assert!(matches!(ended, Err(Refusal::Damaged(..))) || ended.is_ok_and(|t| t.is_empty()), "{pickle:?}");
        }
    }

    #[test]
    fn a_dict_that_contains_itself_ends() {
        // d = {}; d["a"] = d
        assert!(matches!(refusal(b"}q\x00X\x01\x00\x00\x00ah\x00s."), Refusal::Damaged(..)));
    }
}
