//! BIR as text.
//!
//! Guarantees: one line for each instruction; the same module gives the same
//! text; for compact functions the parser gives back the same module. Prints
//! anything, also what the checker rejects: a foreign id prints as the id.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};
use std::net::Ipv4Addr;

use policyc_base::Origin;

use crate::place::Place;
use crate::types::{
    Block, FuncId, Function, Inst, MapDecl, MapRef, Module, Op, Order, Slot, Target, Terminator,
    Type, Value, Width,
};

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for map in self.maps.values() {
            writeln!(f, "{map}")?;
        }
        for (i, func) in self.functions.ids().enumerate() {
            if i > 0 || !self.maps.is_empty() {
                writeln!(f)?;
            }
            f.write_str(&print_function(self, func, &BTreeMap::new()))?;
        }
        Ok(())
    }
}

impl Display for MapDecl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "map @{}: {}[{}]", self.name, self.kind.name(), self.max_entries)?;
        if (self.key_size, self.value_size) != self.kind.default_sizes() {
            write!(f, " key {} value {}", self.key_size, self.value_size)?;
        }
        Ok(())
    }
}

/// One function as text, with notes under the lines they are about.
pub fn print_function(
    module: &Module,
    func: FuncId,
    notes: &BTreeMap<Place, Vec<String>>,
) -> String {
    let Some(func) = module.functions.get(func) else { return String::new() };
    let mut printer = Printer { module, func, notes, out: String::new() };
    printer.function();
    printer.out
}

struct Printer<'a> {
    module: &'a Module,
    func: &'a Function,
    notes: &'a BTreeMap<Place, Vec<String>>,
    out: String,
}

impl Printer<'_> {
    fn function(&mut self) {
        let params = self.params(self.func.params());
        let results = match self.func.results.as_slice() {
            [] => String::new(),
            [one] => format!(" -> {}", self.ty(*one)),
            many => format!(" -> ({})", join(many, |ty| self.ty(*ty))),
        };
        let header = format!("func @{}({params}){results} {{", self.func.name);
        self.line(Place::Header, "", &header);
        for (slot, data) in self.func.slots.iter() {
            let align =
                if data.align == 8 { String::new() } else { format!(" align {}", data.align) };
            let _ = writeln!(self.out, "  slot %{}: {}{align}", self.slot(slot), data.size);
        }
        for block in &self.func.layout {
            self.block(*block);
        }
        self.out.push_str("}\n");
    }

    fn block(&mut self, block: Block) {
        let label = self.block_name(block);
        let Some(data) = self.func.blocks.get(block) else {
            return self.line(Place::Label(block), "", &format!("{label}:"));
        };
        let is_entry = self.func.entry() == Some(block);
        let params = match data.params.as_slice() {
            params if params.is_empty() || is_entry => String::new(),
            params => format!("({})", self.params(params)),
        };
        self.line(Place::Label(block), "", &format!("{label}{params}:"));
        for (i, inst) in data.insts.iter().enumerate() {
            let text = self.inst(inst) + &origin(inst.origin);
            self.line(Place::Inst(block, i), "  ", &text);
        }
        if let Some(end) = &data.end {
            let text = self.terminator(&end.term) + &origin(end.origin);
            self.line(Place::End(block), "  ", &text);
        }
    }

    fn line(&mut self, place: Place, indent: &str, text: &str) {
        let _ = writeln!(self.out, "{indent}{text}");
        for note in self.notes.get(&place).into_iter().flatten() {
            let _ = writeln!(self.out, ";{indent}^ {note}");
        }
    }

    fn inst(&self, inst: &Inst) -> String {
        let results = join(&inst.results, |value| self.value(*value));
        let equals = if results.is_empty() { "" } else { " = " };
        let ty = inst.results.first().map(|value| self.value_type(*value));
        format!("{results}{equals}{}", self.op(&inst.op, ty))
    }

    fn op(&self, op: &Op, ty: Option<Type>) -> String {
        let result = ty.map_or_else(|| "?".to_owned(), |ty| self.ty(ty));
        let value = |v: &Value| self.value(*v);
        match op {
            Op::Const(bits) => {
                format!("const {result} {}", literal(ty.unwrap_or(Type::U64), *bits))
            }
            Op::Bin(op, a, b) => format!("{} {result} {}, {}", op.name(), value(a), value(b)),
            Op::Cast(op, a) => format!("{} {result} {}", op.name(), value(a)),
            Op::PtrAdd(base, bytes) => format!("ptr_add {}, {}", value(base), value(bytes)),
            Op::PktStart(ctx) => format!("pkt_start {}", value(ctx)),
            Op::SlotAddr(slot) => format!("slot_addr %{}", self.slot(*slot)),
            Op::MapAddr(map) => format!("map_addr {}", self.map(*map)),
            Op::FlatAddr(map) => format!("flat_addr {}", self.map(*map)),
            Op::Load { base, offset } => format!("load {result} {}", self.address(*base, *offset)),
            Op::Store { base, offset, value } => self.write("store", *base, *offset, *value),
            Op::AtomicAdd { base, offset, value } => {
                self.write("atomic_add", *base, *offset, *value)
            }
            Op::Helper(helper, args) if args.is_empty() => helper.name().to_owned(),
            Op::Helper(helper, args) => format!("{} {}", helper.name(), join(args, value)),
            Op::Call(func, args) => {
                let name = self.module.functions.get(*func).map(|func| func.name.clone());
                let name = name.unwrap_or_else(|| func.to_string());
                format!("call @{name}({})", join(args, value))
            }
        }
    }

    fn write(&self, word: &str, base: Value, offset: i32, value: Value) -> String {
        let ty = self.ty(self.value_type(value));
        format!("{word} {ty} {}, {}", self.address(base, offset), self.value(value))
    }

    fn address(&self, base: Value, offset: i32) -> String {
        let sign = if offset < 0 { '-' } else { '+' };
        format!("{} {sign} {}", self.value(base), offset.unsigned_abs())
    }

    fn terminator(&self, term: &Terminator) -> String {
        let value = |v: &Value| self.value(*v);
        let to = |target: &Target| self.target(target);
        match term {
            Terminator::Jump(target) => format!("jump {}", to(target)),
            Terminator::Br { op, a, b, then, other } => {
                let name = op.name();
                format!("br {name} {}, {}, {}, {}", value(a), value(b), to(then), to(other))
            }
            Terminator::Switch { value: v, cases, default } => {
                let ty = self.value_type(*v);
                let case = |(bits, target): &(u64, Target)| {
                    format!("{}: {}, ", literal(ty, *bits), to(target))
                };
                let cases: String = cases.iter().map(case).collect();
                format!("switch {}, {cases}default: {}", value(v), to(default))
            }
            Terminator::BrNull { value: v, null, found } => {
                format!("br_null {}, {}, {}", value(v), to(null), to(found))
            }
            Terminator::Guard { ptr, len, ok, short } => {
                format!("guard {}, {len}, {}, {}", value(ptr), to(ok), to(short))
            }
            Terminator::TailCall { ctx, map, index, missed } => {
                format!("tail_call {}, {}, {index}, {}", value(ctx), self.map(*map), to(missed))
            }
            Terminator::Ret(values) if values.is_empty() => "ret".to_owned(),
            Terminator::Ret(values) => format!("ret {}", join(values, value)),
        }
    }

    fn target(&self, target: &Target) -> String {
        let name = self.block_name(target.block);
        if target.args.is_empty() {
            return name;
        }
        format!("{name}({})", join(&target.args, |value| self.value(*value)))
    }

    fn params(&self, params: &[Value]) -> String {
        join(params, |value| {
            format!("{}: {}", self.value(*value), self.ty(self.value_type(*value)))
        })
    }

    fn value_type(&self, value: Value) -> Type {
        self.func.values.get(value).map_or(Type::U64, |data| data.ty)
    }

    fn value(&self, value: Value) -> String {
        let name = self.func.values.get(value).map_or("", |data| &data.name);
        format!("%{}", name_or_id(name, value))
    }

    fn slot(&self, slot: Slot) -> String {
        name_or_id(self.func.slots.get(slot).map_or("", |data| &data.name), slot)
    }

    fn block_name(&self, block: Block) -> String {
        name_or_id(self.func.blocks.get(block).map_or("", |data| &data.name), block)
    }

    fn map(&self, map: MapRef) -> String {
        format!("@{}", name_or_id(self.module.maps.get(map).map_or("", |decl| &decl.name), map))
    }

    fn ty(&self, ty: Type) -> String {
        match ty {
            Type::Int(width, Order::Native) => format!("u{}", width.bits()),
            Type::Int(width, Order::Big) => format!("u{}be", width.bits()),
            Type::Ctx => "ctx".to_owned(),
            Type::CtxPlace => "ctx_place".to_owned(),
            Type::Pkt => "pkt".to_owned(),
            Type::Map(map) => format!("map({})", self.map(map)),
            Type::MapValue(map) => format!("map_value({})", self.map(map)),
            Type::MapValueOrNull(map) => format!("map_value?({})", self.map(map)),
            Type::Stack(slot) => format!("stack(%{})", self.slot(slot)),
        }
    }
}

fn name_or_id(name: &str, id: impl Display) -> String {
    if name.is_empty() { id.to_string() } else { name.to_owned() }
}

fn origin(origin: Option<Origin>) -> String {
    origin.map(|origin| format!(" {origin}")).unwrap_or_default()
}

fn join<T>(items: &[T], print: impl FnMut(&T) -> String) -> String {
    items.iter().map(print).collect::<Vec<_>>().join(", ")
}

/// Register bits as the number they mean: network order is turned round, 32 bits
/// of it print as an address.
fn literal(ty: Type, bits: u64) -> String {
    match ty {
        Type::Int(Width::W16, Order::Big) if bits <= 0xffff => {
            (bits as u16).swap_bytes().to_string()
        }
        Type::Int(Width::W32, Order::Big) if bits <= 0xffff_ffff => {
            Ipv4Addr::from((bits as u32).swap_bytes()).to_string()
        }
        Type::Int(Width::W64, Order::Big) => format!("{:#x}", bits.swap_bytes()),
        _ if bits < 0x1_0000 => bits.to_string(),
        _ => format!("{bits:#x}"),
    }
}
