//! Questions to a [`Btf`].

use super::types::{Btf, BtfKind, BtfType, Member, Parameter, TypeId};
use crate::suggest::did_you_mean;

/// Longest chain of typedefs, qualifiers and array dimensions that is followed; C
/// code has a handful, a cycle has no end.
const MAX_CHAIN: usize = 32;
/// Longest name, with its NUL; the kernel's `KSYM_NAME_LEN`.
const MAX_NAME: usize = 512;
/// Most members that one field lookup looks at, through all anonymous ones.
const MAX_MEMBERS: usize = 1 << 14;

/// Where a field lies in its structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FieldAt {
    /// Offset in bits from the start of the outermost structure.
    pub bit_offset: u32,
    /// Width in bits if it is a bit-field, else 0.
    pub bit_width: u32,
    /// Its type.
    pub ty: TypeId,
}

impl Btf {
    /// Number of types, `void` among them.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Whether there is no type but `void`.
    pub fn is_empty(&self) -> bool {
        self.types.len() <= 1
    }

    /// The type of an id, or `None` if it dangles.
    pub fn get(&self, id: TypeId) -> Option<&BtfType> {
        self.types.get(id.0 as usize)
    }

    /// A string of the string section; empty if it dangles, is not UTF-8 or is
    /// longer than any name of C code.
    pub(super) fn string(&self, offset: u32) -> &str {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        let rest = &rest[..rest.len().min(MAX_NAME)];
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    /// The name of a type; empty if it has none.
    pub fn type_name(&self, id: TypeId) -> &str {
        self.get(id).map_or("", |ty| self.string(ty.name))
    }

    /// The name of a member; empty if it is anonymous.
    pub fn member_name(&self, member: &Member) -> &str {
        self.string(member.name)
    }

    /// The name of a parameter; empty if the prototype names none.
    pub fn parameter_name(&self, parameter: &Parameter) -> &str {
        self.string(parameter.name)
    }

    fn by_name(&self, name: &str, wanted: impl Fn(&BtfKind) -> bool) -> Option<TypeId> {
        let ids = self.named.get(name)?;
        ids.iter().copied().find(|id| self.get(*id).is_some_and(|ty| wanted(&ty.kind)))
    }

    /// The first structure or union of this name.
    pub fn find_struct(&self, name: &str) -> Option<TypeId> {
        self.by_name(name, BtfKind::is_struct)
    }

    /// The first typedef of this name.
    pub fn find_typedef(&self, name: &str) -> Option<TypeId> {
        self.by_name(name, |kind| matches!(kind, BtfKind::Typedef(_)))
    }

    /// The first function of this name.
    pub fn find_function(&self, name: &str) -> Option<TypeId> {
        self.by_name(name, |kind| matches!(kind, BtfKind::Function { .. }))
    }

    /// The known structure that is most like `name`.
    pub fn did_you_mean_struct(&self, name: &str) -> Option<&str> {
        let is_struct = |id: &TypeId| self.get(*id).is_some_and(|ty| ty.kind.is_struct());
        let structs = self.named.iter().filter(|(_, ids)| ids.iter().any(is_struct));
        did_you_mean(name, structs.map(|(name, _)| name.as_str()))
    }

    /// Every typedef whose name begins with `prefix`, as (rest of the name, id), by
    /// name.
    pub fn typedefs_with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, TypeId)> {
        let from = self.named.range(prefix.to_owned()..);
        let names =
            from.map_while(move |(name, _)| name.strip_prefix(prefix).map(|rest| (name, rest)));
        names.filter_map(|(name, rest)| Some((rest, self.find_typedef(name)?)))
    }

    /// The type behind typedefs and qualifiers; `None` if the chain dangles or has
    /// no end.
    pub fn resolve(&self, id: TypeId) -> Option<(TypeId, &BtfType)> {
        let mut id = id;
        for _ in 0..MAX_CHAIN {
            let ty = self.get(id)?;
            match ty.kind {
                BtfKind::Typedef(next) | BtfKind::Qualifier { ty: next, .. } => id = next,
                _ => return Some((id, ty)),
            }
        }
        None
    }

    /// Size of a type in bytes; `None` if it has none (`void`, a function) or does
    /// not end.
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        let mut id = id;
        let mut times = 1u32;
        for _ in 0..MAX_CHAIN {
            let size = match self.resolve(id)?.1.kind {
                BtfKind::Int { size, .. }
                | BtfKind::Struct { size, .. }
                | BtfKind::Enum { size, .. }
                | BtfKind::Float { size } => size,
                BtfKind::Pointer(_) => 8,
                BtfKind::Array { element, count } => {
                    times = times.checked_mul(count)?;
                    id = element;
                    continue;
                }
                _ => return None,
            };
            return times.checked_mul(size);
        }
        None
    }

    /// Where a field lies, looked for in anonymous structures and unions too.
    pub fn field(&self, structure: TypeId, name: &str) -> Option<FieldAt> {
        if name.is_empty() {
            return None;
        }
        let mut budget = MAX_MEMBERS;
        self.field_within(structure, name, 0, MAX_CHAIN, &mut budget)
    }

    fn field_within(
        &self,
        structure: TypeId,
        name: &str,
        base: u32,
        depth: usize,
        budget: &mut usize,
    ) -> Option<FieldAt> {
        let depth = depth.checked_sub(1)?;
        let BtfKind::Struct { members, .. } = &self.resolve(structure)?.1.kind else {
            return None;
        };
        for member in members {
            *budget = budget.checked_sub(1)?;
            let bit_offset = base.checked_add(member.bit_offset)?;
            let found = match self.member_name(member) {
                found if found == name => {
                    Some(FieldAt { bit_offset, bit_width: member.bit_width, ty: member.ty })
                }
                "" => self.field_within(member.ty, name, bit_offset, depth, budget),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The names of a structure's own members, for "did you mean".
    pub fn field_names(&self, structure: TypeId) -> Vec<&str> {
        let kind = self.resolve(structure).map(|(_, ty)| &ty.kind);
        let Some(BtfKind::Struct { members, .. }) = kind else { return Vec::new() };
        let names = members.iter().map(|member| self.member_name(member));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// The parameters behind a function, a prototype, or a pointer or typedef to
    /// one.
    pub fn parameters(&self, id: TypeId) -> Option<&[Parameter]> {
        let mut id = id;
        for _ in 0..MAX_CHAIN {
            match &self.resolve(id)?.1.kind {
                BtfKind::Pointer(next) | BtfKind::Function { prototype: next } => id = *next,
                BtfKind::Prototype { parameters, .. } => return Some(parameters),
                _ => return None,
            }
        }
        None
    }

    /// A type as C writes it, without array dimensions: `const char *`.
    pub fn c_name(&self, id: TypeId) -> String {
        self.c_name_within(id, MAX_CHAIN)
    }

    fn c_name_within(&self, id: TypeId, depth: usize) -> String {
        let (Some(ty), Some(depth)) = (self.get(id), depth.checked_sub(1)) else {
            return "?".to_owned();
        };
        let name = match self.string(ty.name) {
            "" => "{}",
            name => name,
        };
        match &ty.kind {
            BtfKind::Void => "void".to_owned(),
            BtfKind::Pointer(to) => {
                let to = self.c_name_within(*to, depth);
                if to.ends_with('*') { to + "*" } else { to + " *" }
            }
            BtfKind::Qualifier { word: "", ty } => self.c_name_within(*ty, depth),
            BtfKind::Qualifier { word, ty } => {
                let ty = self.c_name_within(*ty, depth);
                if ty.ends_with('*') { format!("{ty}{word}") } else { format!("{word} {ty}") }
            }
            BtfKind::Array { element, .. } => self.c_name_within(*element, depth) + "[]",
            BtfKind::Struct { union: false, .. } | BtfKind::Forward { union: false } => {
                format!("struct {name}")
            }
            BtfKind::Struct { .. } | BtfKind::Forward { .. } => format!("union {name}"),
            BtfKind::Enum { .. } => format!("enum {name}"),
            BtfKind::Prototype { .. } | BtfKind::Function { .. } => "function".to_owned(),
            _ => name.to_owned(),
        }
    }
}
