//! The sources of this crate, parsed: which types each module has, and which other modules it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, ItemMod, ItemUse, Meta, UseTree, Visibility};

/// A module, or what stands in one, by its names from the root of the crate.
pub(super) type Path = Vec<String>;

/// Every module that has a file, by its path. Tests are left out.
pub(super) struct Sources {
    pub(super) modules: BTreeMap<Path, Module>,
}

/// A file, parsed.
#[derive(Default)]
pub(super) struct Module {
    /// Its length.
    pub(super) lines: usize,
    /// Types that other modules can name.
    pub(super) types: Vec<String>,
    /// Paths that it names, from the root of the crate.
    names: BTreeSet<Path>,
    /// Re-exports (`pub use`): the name, and the path behind it.
    exports: HashMap<String, Path>,
}

impl Sources {
    /// Reads all files below `src`.
    pub(super) fn read() -> Self {
        let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut modules = BTreeMap::new();
        for file in files(&root) {
            let inside = file.strip_prefix(&root).expect("below the root").with_extension("");
            let path: Path = inside.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if path.iter().any(|name| matches!(name.as_str(), "main" | "lib" | "layers" | "tests" | "vectors")) {
                continue;
            }
            let text = fs::read_to_string(&file).expect("readable");
            let mut reader = Reader { path: path.clone(), module: Module::default(), children: BTreeSet::new() };
            reader.module.lines = text.lines().count();
            let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            reader.children.extend(tree.items.iter().filter_map(|item| match item {
                Item::Mod(module) => Some(module.ident.to_string()),
                _ => None,
            }));
            reader.visit_file(&tree);
            modules.insert(path, reader.module);
        }
        Self { modules }
    }

    /// The modules directly in this one.
    pub(super) fn children(&self, folder: &[String]) -> impl Iterator<Item = Path> {
        let children = self.modules.keys().filter(move |path| path.len() == folder.len() + 1);
        children.filter(move |path| path.starts_with(folder)).cloned()
    }

    /// Which siblings in this folder name which others, files below them included, and by what.
    pub(super) fn arrows(&self, folder: &[String]) -> Vec<(Path, Path, BTreeSet<String>)> {
        let depth = folder.len() + 1;
        let mut arrows: BTreeMap<(Path, Path), BTreeSet<String>> = BTreeMap::new();
        for (path, module) in self.modules.iter().filter(|(path, _)| path.len() >= depth && path.starts_with(folder)) {
            for name in module.names.iter().map(|name| self.behind(name)) {
                let is_sibling = name.len() >= depth && name.starts_with(folder) && name[..depth] != path[..depth];
                if is_sibling && self.modules.contains_key(&name[..depth]) {
                    let (from, to) = (path[..depth].to_vec(), name[..depth].to_vec());
                    arrows.entry((from, to)).or_default().insert(format!("{}: {}", path.join("::"), name.join("::")));
                }
            }
        }
        arrows.into_iter().map(|((from, to), uses)| (from, to, uses)).collect()
    }

    /// Resolves a path through re-exports.
    fn behind(&self, path: &[String]) -> Path {
        for end in 1..path.len() {
            let export = self.modules.get(&path[..end]).and_then(|module| module.exports.get(&path[end]));
            if let Some(target) = export.filter(|target| !path.starts_with(target)) {
                return self.behind(&[target, &path[end + 1..]].concat());
            }
        }
        path.to_vec()
    }
}

fn files(directory: &FilePath) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the sources are there").map(|entry| entry.expect("an entry").path());
    let nested = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Walks through one file.
struct Reader {
    path: Path,
    module: Module,
    children: BTreeSet<String>,
}

impl Reader {
    /// The same path from the root of the crate; `None` where it leads out of it, or to something of this file.
    fn absolute(&self, names: &[String]) -> Option<Path> {
        let (mut base, mut rest) = (self.path.clone(), names);
        match names.first()?.as_str() {
            "crate" => (base, rest) = (Path::new(), &names[1..]),
            "self" => rest = &names[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child if self.children.contains(child) => {}
            _ => return None,
        }
        Some([&base[..], rest].concat())
    }

    fn note_use(&mut self, tree: &UseTree, before: &[String], is_public: bool) {
        let with = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.note_use(&path.tree, &with(&path.ident), is_public),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_use(tree, before, is_public)),
            UseTree::Name(name) if name.ident == "self" => self.note_name(before, None, is_public),
            UseTree::Name(name) => self.note_name(&with(&name.ident), None, is_public),
            UseTree::Rename(rename) => self.note_name(&with(&rename.ident), Some(&rename.rename), is_public),
            UseTree::Glob(_) => self.note_name(before, None, false),
        }
    }

    fn note_name(&mut self, names: &[String], renamed: Option<&Ident>, is_public: bool) {
        let Some(path) = self.absolute(names) else { return };
        if let Some(last) = path.last().filter(|_| is_public) {
            self.module.exports.insert(renamed.map_or_else(|| last.clone(), Ident::to_string), path.clone());
        }
        self.module.names.insert(path);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let named = match item {
            Item::Struct(item) => Some((&item.vis, &item.ident)),
            Item::Enum(item) => Some((&item.vis, &item.ident)),
            Item::Trait(item) => Some((&item.vis, &item.ident)),
            Item::Type(item) => Some((&item.vis, &item.ident)),
            _ => None,
        };
        if let Some((_, name)) = named.filter(|(visibility, _)| !matches!(visibility, Visibility::Inherited)) {
            self.module.types.push(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !item.attrs.iter().any(is_test_only) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_use(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names: Path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note_name(&names, None, false);
        }
        visit::visit_path(self, path);
    }
}

fn is_test_only(attribute: &Attribute) -> bool {
    matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
}
