//! A single-pass walker over the kernel's type information.
//!
//! The format is BTF, `Documentation/bpf/btf.rst`. A general parser builds every type as a value;
//! this one notes where each type begins, indexes the few names it was asked for, and reads members
//! on demand: some 10 ms for 130 000 types.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use thiserror::Error;

/// Where the kernel shows its own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why a kernel's types could not be read.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The contents are not BTF as this walker knows it.
    #[error("the kernel's type information is malformed: {0}")]
    Malformed(&'static str),
}

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
const KIND_PTR: u32 = 2;

/// The name of a tracepoint's type begins with it.
const TRACED: &str = "btf_trace_";

/// Members that are looked at for one name: far more than any structure of a kernel has, with those
/// of the anonymous ones inside. Types that contain themselves end here.
const MAX_MEMBERS: u32 = 65_536;
/// Anonymous structures and unions inside one another that are looked into: kernels have four.
const MAX_NESTED: u32 = 16;

/// The types of one kernel, with an index of the names it was built for.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Byte position of each type, by id; id 0 is `void` and has none.
    types: Vec<u32>,
    structs: HashMap<String, u32>,
    functions: HashMap<String, u32>,
    typedefs: HashMap<String, u32>,
    enumerators: HashMap<String, u32>,
}

/// Names to index.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Structures whose members will be asked for.
    pub structs: HashSet<&'a str>,
    /// Functions whose existence, arity or number will be asked for.
    pub functions: HashSet<&'a str>,
    /// Tracepoints whose arity or number will be asked for.
    pub tracepoints: HashSet<&'a str>,
    /// Enumerators whose value will be asked for.
    pub enumerators: HashSet<&'a str>,
}

#[derive(Clone, Copy)]
struct Header {
    name: u32,
    kind: u32,
    vlen: usize,
    bitfields: bool,
    size_or_type: u32,
}

/// A search for a member, and its bounds.
struct Search<'a> {
    wanted: &'a str,
    /// Members that may still be looked at.
    left: u32,
    /// Anonymous types around the member that is looked at.
    nested: u32,
}

impl Btf {
    /// Reads and indexes the types of the running kernel.
    ///
    /// # Errors
    /// The file is missing (no `CONFIG_DEBUG_INFO_BTF`), unreadable or malformed.
    pub fn of_running_kernel(wanted: &Wanted<'_>) -> Result<Self, BtfError> {
        Self::from_file(Path::new(VMLINUX), wanted)
    }

    /// Reads and indexes the types in a file.
    ///
    /// # Errors
    /// As for [`Btf::of_running_kernel`].
    pub fn from_file(path: &Path, wanted: &Wanted<'_>) -> Result<Self, BtfError> {
        let data = std::fs::read(path)
            .map_err(|source| BtfError::Read { path: path.display().to_string(), source })?;
        Self::parse(data, wanted)
    }

    /// Indexes types from memory.
    ///
    /// # Errors
    /// The data are malformed.
    pub fn parse(data: Vec<u8>, wanted: &Wanted<'_>) -> Result<Self, BtfError> {
        let word =
            |at: usize| u32_at(&data, at).ok_or(BtfError::Malformed("the header is cut off"));
        if word(0)? & 0xffff != 0xeb9f {
            return Err(BtfError::Malformed("the magic number is wrong"));
        }
        let header = word(4)? as usize;
        let (start, length) = (header + word(8)? as usize, word(12)? as usize);
        let strings = header + word(16)? as usize;
        let end = start + length;
        if end > data.len() || strings > data.len() {
            return Err(BtfError::Malformed("a section ends beyond the end of the file"));
        }
        let mut btf = Self {
            data,
            strings,
            types: vec![0],
            structs: HashMap::new(),
            functions: HashMap::new(),
            typedefs: HashMap::new(),
            enumerators: HashMap::new(),
        };
        btf.index(start, end, wanted)?;
        Ok(btf)
    }

    fn index(&mut self, start: usize, end: usize, wanted: &Wanted<'_>) -> Result<(), BtfError> {
        let mut at = start;
        while at < end {
            let header = self.header_at(at).ok_or(BtfError::Malformed("a type is cut off"))?;
            let id = self.types.len() as u32;
            self.types.push(at as u32);
            match header.kind {
                KIND_STRUCT => self.note(header, id, &wanted.structs, |btf| &mut btf.structs),
                KIND_FUNC => self.note(header, id, &wanted.functions, |btf| &mut btf.functions),
                KIND_TYPEDEF => self.note_tracepoint(header, id, &wanted.tracepoints),
                KIND_ENUM if !wanted.enumerators.is_empty() => {
                    self.note_enumerators(at, header, &wanted.enumerators)
                }
                _ => {}
            }
            at += 12 + extra(header).ok_or(BtfError::Malformed("a type is of an unknown kind"))?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        header: Header,
        id: u32,
        wanted: &HashSet<&str>,
        map: impl FnOnce(&mut Self) -> &mut HashMap<String, u32>,
    ) {
        if let Some(name) = self.wanted_name(header.name, wanted) {
            map(self).entry(name).or_insert(id);
        }
    }

    /// Notes the type of a tracepoint: its arguments are those of the function type
    /// `btf_trace_NAME`.
    fn note_tracepoint(&mut self, header: Header, id: u32, wanted: &HashSet<&str>) {
        let Some(name) = self.name(header.name) else { return };
        let Some(tracepoint) = name.strip_prefix(TRACED) else { return };
        if wanted.contains(tracepoint) {
            let tracepoint = tracepoint.to_owned();
            self.typedefs.entry(tracepoint).or_insert(id);
        }
    }

    fn note_enumerators(&mut self, at: usize, header: Header, wanted: &HashSet<&str>) {
        for i in 0..header.vlen {
            let entry = at + 12 + 8 * i;
            let (Some(name), Some(value)) =
                (u32_at(&self.data, entry), u32_at(&self.data, entry + 4))
            else {
                return;
            };
            if let Some(name) = self.wanted_name(name, wanted) {
                self.enumerators.entry(name).or_insert(value);
            }
        }
    }

    fn header_at(&self, at: usize) -> Option<Header> {
        let info = u32_at(&self.data, at + 4)?;
        Some(Header {
            name: u32_at(&self.data, at)?,
            kind: info >> 24 & 0x1f,
            vlen: (info & 0xffff) as usize,
            bitfields: info >> 31 == 1,
            size_or_type: u32_at(&self.data, at + 8)?,
        })
    }

    fn header(&self, id: u32) -> Option<(usize, Header)> {
        if id == 0 {
            return None;
        }
        let at = *self.types.get(id as usize)? as usize;
        Some((at, self.header_at(at)?))
    }

    fn name(&self, offset: u32) -> Option<&str> {
        let bytes = self.data.get(self.strings + offset as usize..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }

    /// Returns the name at an offset, if it is to be indexed.
    fn wanted_name(&self, offset: u32, wanted: &HashSet<&str>) -> Option<String> {
        let name = self.name(offset)?;
        if wanted.contains(name) { Some(name.to_owned()) } else { None }
    }

    /// Follows typedefs and qualifiers to the type behind them.
    fn peel(&self, mut id: u32) -> Option<u32> {
        for _ in 0..32 {
            let (_, header) = self.header(id)?;
            match header.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = header.size_or_type
                }
                _ => return Some(id),
            }
        }
        None
    }

    /// Byte offset of a member, given as a path such as `icsk_accept_queue.qlen` or `regs[1]`.
    /// Members of anonymous structures and unions count as the outer type's own, and an `atomic_t`
    /// at the end of the path as its only member. A bit field has the offset of its first whole
    /// byte.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        Some(self.bit_offset(structure, path)? / 8)
    }

    /// The bit of a bit field of one bit, within the byte at its [`offset`](Self::offset).
    pub fn bit(&self, structure: &str, path: &str) -> Option<u8> {
        Some(1 << (self.bit_offset(structure, path)? % 8))
    }

    fn bit_offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut id = *self.structs.get(structure)?;
        let mut offset = 0;
        for part in path.split('.') {
            let (name, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
                Some((name, index)) => (name, Some(index.parse().ok()?)),
                None => (part, None),
            };
            let mut search = Search { wanted: name, left: MAX_MEMBERS, nested: 0 };
            let (at, member) = self.member(id, &mut search)?;
            offset = at.checked_add(offset)?;
            id = member;
            if let Some(index) = index {
                let (at, element) = self.element(id, index)?;
                offset = at.checked_add(offset)?;
                id = element;
            }
        }
        Some(offset)
    }

    /// Finds an element of an array; returns its offset in bits, and its type. Elements are
    /// integers or structures.
    fn element(&self, array: u32, index: u32) -> Option<(u32, u32)> {
        let (at, header) = self.header(array)?;
        let length = u32_at(&self.data, at + 20)?;
        if header.kind != KIND_ARRAY || index >= length {
            return None;
        }
        let element = self.peel(u32_at(&self.data, at + 12)?)?;
        let (_, header) = self.header(element)?;
        if !matches!(header.kind, KIND_INT | KIND_STRUCT | KIND_UNION) {
            return None;
        }
        Some((header.size_or_type.checked_mul(8)?.checked_mul(index)?, element))
    }

    /// Size of a structure, bytes.
    pub fn size(&self, structure: &str) -> Option<u32> {
        let (_, header) = self.header(*self.structs.get(structure)?)?;
        Some(header.size_or_type)
    }

    /// Finds a member by its name; returns its offset in bits, and its type.
    fn member(&self, id: u32, search: &mut Search<'_>) -> Option<(u32, u32)> {
        let (at, header) = self.header(id)?;
        if !matches!(header.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        (0..header.vlen).find_map(|i| self.member_at(at + 12 + 12 * i, header.bitfields, search))
    }

    /// Reads one member's entry; `None` unless it is the wanted one, or is anonymous and has it.
    fn member_at(
        &self,
        entry: usize,
        bitfields: bool,
        search: &mut Search<'_>,
    ) -> Option<(u32, u32)> {
        search.left = search.left.checked_sub(1)?;
        let raw = u32_at(&self.data, entry + 8)?;
        let offset = if bitfields { raw & 0x00ff_ffff } else { raw };
        let name = self.name(u32_at(&self.data, entry)?)?;
        let member = self.peel(u32_at(&self.data, entry + 4)?).unwrap_or(0);
        if name == search.wanted {
            return Some((offset, member));
        }
        if !name.is_empty() || search.nested >= MAX_NESTED {
            return None;
        }
        search.nested += 1;
        let found = self.member(member, search);
        search.nested -= 1;
        let (inner, id) = found?;
        Some((offset.checked_add(inner)?, id))
    }

    /// Number of arguments of a function; `None` if the kernel has no such function.
    pub fn arity(&self, function: &str) -> Option<usize> {
        let (_, function) = self.header(*self.functions.get(function)?)?;
        self.prototype_arity(function.size_or_type)
    }

    /// Number of arguments that a tracepoint hands to a program; `None` if the kernel has no such
    /// tracepoint.
    pub fn tracepoint_arity(&self, tracepoint: &str) -> Option<usize> {
        let (_, pointer) = self.header(self.peel(*self.typedefs.get(tracepoint)?)?)?;
        if pointer.kind != KIND_PTR {
            return None;
        }
        // The first one is the probe's private data, which programs do not see.
        Some(self.prototype_arity(pointer.size_or_type)?.saturating_sub(1))
    }

    fn prototype_arity(&self, id: u32) -> Option<usize> {
        let (_, prototype) = self.header(id)?;
        if prototype.kind == KIND_FUNC_PROTO { Some(prototype.vlen) } else { None }
    }

    /// Whether the kernel has this function.
    pub fn has_function(&self, function: &str) -> bool {
        self.functions.contains_key(function)
    }

    /// Returns BTF in which the indexed functions and tracepoints have the same numbers as here. All
    /// other types are empty: whoever parses it only to look up numbers has little to read.
    pub fn numbers(&self) -> Vec<u8> {
        let mut types = vec![[0, KIND_FWD << 24, 0]; self.types.len() - 1];
        let mut names = vec![0];
        let functions = self.functions.iter().map(|(name, id)| (id, KIND_FUNC, "", name));
        let tracepoints = self.typedefs.iter().map(|(name, id)| (id, KIND_TYPEDEF, TRACED, name));
        for (id, kind, prefix, name) in functions.chain(tracepoints) {
            types[*id as usize - 1] = [names.len() as u32, kind << 24, 0];
            names.extend(format!("{prefix}{name}\0").bytes());
        }
        let length = types.len() as u32 * 12;
        let header = [0x0001_eb9f, 24, 0, length, length, names.len() as u32];
        let mut data = Vec::with_capacity(24 + length as usize + names.len());
        for word in header.into_iter().chain(types.into_iter().flatten()) {
            data.extend(word.to_ne_bytes());
        }
        data.extend(names);
        data
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.enumerators.get(name).copied()
    }
}

/// Bytes of a type beyond its header.
fn extra(header: Header) -> Option<usize> {
    Some(match header.kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * header.vlen,
        KIND_ENUM | KIND_FUNC_PROTO => 8 * header.vlen,
        KIND_PTR | KIND_TYPEDEF..=KIND_FUNC | KIND_TYPE_TAG | KIND_FWD | 16 => 0,
        _ => return None,
    })
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
