//! The contract is frozen: what was released stays as it was, in its version, and this host runs guests of all of them.
//!
//! Texts are not compared but what they mean: packages, functions and types, with their shapes written out. A guest has
//! the functions of its own version only, so a new one breaks it as a missing one breaks those who call it: both need
//! another version.

use std::collections::BTreeMap;
use std::fs;

use libtest_mimic::{Failed, Trial};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;
use wit_parser::{FunctionKind, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldItem};

use crate::builds::repository;
use crate::support::Outcome;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("contract::today_is_compatible_with_every_released_version", today),
        Trial::test("contract::what_would_break_someone_is_found", breakage),
        Trial::test("contract::the_bindings_of_guests_are_those_of_today", bindings),
    ]
}

/// The versions in `wit/released`: none before the first release.
pub fn released() -> Result<Vec<String>, Failed> {
    let folder = repository("wit/released");
    let mut versions = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            versions.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    versions.sort();
    Ok(versions)
}

fn today() -> Outcome {
    let now = Contract::read(&fs::read_to_string(repository("wit/input.wit"))?)?;
    for version in released()? {
        let folder = repository("wit/released").join(&version);
        let old = Contract::read(&fs::read_to_string(folder.join("input.wit"))?)?;
        assert_eq!(old.version, version, "the folder's name is the version");
        assert_eq!(old.broken_by(&now), Vec::<String>::new(), "of {version}");
    }
    Ok(())
}

/// What wit-bindgen makes of the contract is kept with the crate that guests are written with. `TIPLINE_UPDATE_CASES=1`
/// writes it anew.
fn bindings() -> Outcome {
    let mut contract = wit_bindgen_core::wit_parser::Resolve::default();
    let text = fs::read_to_string(repository("wit/input.wit"))?;
    let package = contract.push_str("input.wit", &text).map_err(|e| format!("{e:#}"))?;
    let world = contract.select_world(&[package], Some("input")).map_err(|e| format!("{e:#}"))?;
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("export_bindings".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut contract, world, &mut files).map_err(|e| format!("{e:#}"))?;
    let made = files.iter().map(|(_, bytes)| bytes).next().ok_or("wit-bindgen made nothing")?;
    let kept = repository("guest/sdk/src/bindings.rs");
    if std::env::var_os("TIPLINE_UPDATE_CASES").is_some() {
        fs::write(&kept, made)?;
    }
    assert!(
        fs::read(&kept)? == made,
        "guest/sdk/src/bindings.rs is not what wit-bindgen makes of wit/input.wit; TIPLINE_UPDATE_CASES=1 writes it"
    );
    Ok(())
}

/// What a WIT file says, without its words.
struct Contract {
    package: String,
    version: String,
    /// Functions by interface and name, with their shapes.
    functions: BTreeMap<String, String>,
    /// The same of types.
    types: BTreeMap<String, String>,
    /// What a world exports and imports.
    worlds: BTreeMap<String, String>,
}

impl Contract {
    fn read(text: &str) -> Result<Self, Failed> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("input.wit", text).map_err(|e| format!("{e:#}"))?;
        let shapes = Shapes { resolve: &resolve };
        let package = &resolve.packages[package];
        let (mut functions, mut types, mut worlds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, id) in &package.interfaces {
            let interface = &resolve.interfaces[*id];
            for (function, shape) in &interface.functions {
                assert!(matches!(shape.kind, FunctionKind::Freestanding), "{function} is no plain function");
                let params: Vec<_> = shape.params.iter().map(|p| format!("{}: {}", p.name, shapes.of(&p.ty))).collect();
                let result = shape.result.as_ref().map_or_else(|| "nothing".to_owned(), |ty| shapes.of(ty));
                functions.insert(format!("{name}.{function}"), format!("({}) -> {result}", params.join(", ")));
            }
            for (ty, id) in &interface.types {
                types.insert(format!("{name}.{ty}"), shapes.of_type(*id));
            }
        }
        for (name, id) in &package.worlds {
            let world = &resolve.worlds[*id];
            let items = |items: Vec<&WorldItem>| -> Vec<String> { items.into_iter().map(|i| shapes.item(i)).collect() };
            let (imports, exports) = (items(world.imports.values().collect()), items(world.exports.values().collect()));
            worlds.insert(name.clone(), format!("imports {imports:?}, exports {exports:?}"));
        }
        let name = &package.name;
        let version = name.version.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Self { package: format!("{}:{}", name.namespace, name.name), version, functions, types, worlds })
    }

    /// What those who rely on this contract would miss in a newer one; nothing where that has another version.
    fn broken_by(&self, newer: &Self) -> Vec<String> {
        if self.package != newer.package {
            return vec![format!("the package is {} and was {}", newer.package, self.package)];
        }
        if self.version != newer.version {
            return Vec::new();
        }
        let mut broken = Vec::new();
        for (old, new) in
            [(&self.functions, &newer.functions), (&self.types, &newer.types), (&self.worlds, &newer.worlds)]
        {
            for (name, shape) in old {
                match new.get(name) {
                    Some(now) if now == shape => {}
                    Some(now) => broken.push(format!("{name} is {now} and was {shape}")),
                    None => broken.push(format!("{name} is gone")),
                }
            }
        }
        let added = newer.functions.keys().filter(|name| !self.functions.contains_key(*name));
        broken.extend(added.map(|name| format!("{name} is new, and no guest of {} has it", self.version)));
        broken
    }
}

struct Shapes<'r> {
    resolve: &'r Resolve,
}

impl Shapes<'_> {
    fn of(&self, ty: &Type) -> String {
        match ty {
            Type::Id(id) => self.of_type(*id),
            plain => format!("{plain:?}").to_lowercase(),
        }
    }

    /// A type, written out; where it is defined does not matter.
    fn of_type(&self, id: TypeId) -> String {
        let optional = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| self.of(ty));
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(ty) => self.of(ty),
            TypeDefKind::Record(record) => {
                let fields: Vec<_> = record.fields.iter().map(|f| format!("{}: {}", f.name, self.of(&f.ty))).collect();
                format!("record {{{}}}", fields.join(", "))
            }
            TypeDefKind::Variant(variant) => {
                let cases: Vec<_> = variant.cases.iter().map(|c| format!("{}({})", c.name, optional(&c.ty))).collect();
                format!("variant {{{}}}", cases.join(", "))
            }
            TypeDefKind::Tuple(tuple) => {
                format!("tuple<{}>", tuple.types.iter().map(|ty| self.of(ty)).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::List(ty) => format!("list<{}>", self.of(ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.of(ty)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", optional(&result.ok), optional(&result.err)),
            TypeDefKind::Enum(cases) => {
                format!("enum {:?}", cases.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>())
            }
            other => panic!("the contract has a type that is not compared yet: {other:?}"),
        }
    }

    fn item(&self, item: &WorldItem) -> String {
        let name = |id: InterfaceId| self.resolve.interfaces[id].name.clone().unwrap_or_default();
        match item {
            WorldItem::Interface { id, .. } => name(*id),
            WorldItem::Function(function) => format!("func {}", function.name),
            WorldItem::Type { id, .. } => format!("type {}", self.of_type(*id)),
        }
    }
}

fn breakage() -> Outcome {
    let text = fs::read_to_string(repository("wit/input.wit"))?;
    let old = Contract::read(&text)?;
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases = [
        (text.clone(), ""),
        (change("read: u32,", "read: u64,"), "mapper.batch is record"),
        (change("        skipped: u32,\n", ""), "mapper.batch is record"),
        (change("read: u32,\n        mapped: u32,", "mapped: u32,\n        read: u32,"), "mapper.batch is record"),
        (change("expires: option<u64>,", "expires: u64,"), "mapper.head is record"),
        (change("body: option<list<u8>>,", "body: option<string>,"), "pager.request is record"),
        (change("        wake,\n", ""), "pager.event is variant"),
        (change("        wake,\n", "        wake,\n        slept,\n"), "pager.event is variant"),
        (change("recalled(tuple<list<row>, response>)", "recalled(list<row>)"), "pager.event is variant"),
        (
            change("map-records: func(config: string, observed", "map-records: func(config: string, seen"),
            "mapper.map-records is",
        ),
        (change("observed: u64, records: list<u8>", "observed: s64, records: list<u8>"), "mapper.map-records is"),
        (change("records: list<u8>", "records: string"), "mapper.map-records is"),
        (change("map-records:", "map-all:"), "mapper.map-records is gone"),
        (change("    describe: func", "    explain: func() -> string;\n    describe: func"), "mapper.explain is new"),
        (change("-> string", "-> option<string>"), "mapper.describe is"),
        (change("    export pager;\n", ""), "input is imports"),
        (change("tipline:input", "tipline:other"), "the package is tipline:other"),
        (change("/// The only contract", "/// Another word for it"), ""),
        (change("    /// What this component is", "    record further { a: u32 }\n    /// What this component is"), ""),
        (change("@0.2.0", "@0.3.0").replace("read: u32,", "read: u64,"), ""),
    ];
    for (newer, expected) in cases {
        let broken = old.broken_by(&Contract::read(&newer)?);
        if expected.is_empty() {
            assert_eq!(broken, Vec::<String>::new());
        } else {
            assert!(broken.iter().any(|finding| finding.starts_with(expected)), "{expected}: {broken:?}");
        }
    }
    Ok(())
}
