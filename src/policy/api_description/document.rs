//! An OpenAPI document in memory: the file, the files beside it that it refers to, and schemas in the words of 3.1.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::conversion::convert;
use super::walk;
use super::yaml;
use crate::config::Config;

/// The largest file, in bytes; the files of one document have no more together.
const LARGEST: usize = 16 << 20;
/// The most files of one document.
const MOST_FILES: usize = 500;
/// The member that holds the other files, so that all references are local.
pub(super) const FILES: &str = "x-wicketgate-files";
/// Characters that a fragment of an address does not have as they are (RFC 3986 section 3.5).
const NO_FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'\\')
    .add(b'%');

/// What is wrong with a description, in a sentence, and the remedy.
#[derive(Debug, PartialEq, Eq)]
pub struct DescriptionFault {
    /// The fault, with file and place.
    pub message: String,
    /// The remedy.
    pub help: String,
}

/// An OpenAPI document whose references all lead into itself.
#[derive(Debug)]
pub struct ApiDocument {
    root: Value,
    /// The name of the file, for messages.
    pub(super) name: String,
}

impl ApiDocument {
    /// Reads a document with the files that it refers to.
    ///
    /// # Errors
    /// A file cannot be read, is no OpenAPI 3.0 or 3.1, or refers to something remote or missing.
    pub(super) fn read(config: &Config, path: &Path) -> Result<Self, DescriptionFault> {
        let name = path.display().to_string();
        let mut left = LARGEST;
        let mut root = parsed(config, path, &mut left)?;
        let is_3_0 = version(&root, &name)?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let main = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Value::Object(members) = &mut root {
            members.remove(FILES);
        }
        let mut files: BTreeMap<String, Option<Value>> = BTreeMap::new();
        localize(&mut root, &main, None, is_3_0, &mut files)?;
        while let Some(next) = files.iter().find(|(_, content)| content.is_none()).map(|(name, _)| name.clone()) {
            if files.len() > MOST_FILES {
                let message = format!("{name} refers to more than {MOST_FILES} files");
                return Err(DescriptionFault { message, help: "bundle it into one file".to_owned() });
            }
            let mut content = parsed(config, &directory.join(&next), &mut left)?;
            localize(&mut content, &main, Some(&next), is_3_0, &mut files)?;
            files.insert(next, Some(content));
        }
        if let Value::Object(members) = &mut root
            && !files.is_empty()
        {
            let files: Map<String, Value> =
                files.into_iter().filter_map(|(name, content)| Some((name, content?))).collect();
            members.insert(FILES.to_owned(), files.into());
        }
        let document = Self { root, name };
        document.leads_somewhere()?;
        Ok(document)
    }

    /// The name of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole document.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The value at a local reference.
    pub fn at(&self, reference: &str) -> Option<&Value> {
        let pointer = reference.strip_prefix('#')?;
        self.root.pointer(&percent_decode_str(pointer).decode_utf8().ok()?)
    }

    /// The value itself, or that to which its `$ref` leads.
    pub fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        let mut value = value;
        // References have been checked; a circle of nothing but references means nothing.
        for _ in 0..32 {
            match value["$ref"].as_str().and_then(|reference| self.at(reference)) {
                Some(next) => value = next,
                None => break,
            }
        }
        value
    }

    /// Checks that all references lead to something.
    fn leads_somewhere(&self) -> Result<(), DescriptionFault> {
        let mut copy = self.root.clone();
        let check = |value: &mut Value| {
            walk::visit(
                value,
                &mut String::new(),
                &mut |object, place| match object.get("$ref").and_then(Value::as_str) {
                    Some(reference) if self.at(reference).is_none() => Err(fault(
                        format!("{} at {place}: $ref leads nowhere: {reference}", self.name),
                        "correct it, or add what it names",
                    )),
                    _ => Ok(()),
                },
            )
        };
        let files = copy.as_object_mut().and_then(|members| members.remove(FILES));
        check(&mut copy)?;
        for file in files.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::values) {
            check(&mut file.clone())?;
        }
        Ok(())
    }
}

fn fault(message: String, help: &str) -> DescriptionFault {
    DescriptionFault { message, help: help.to_owned() }
}

/// The content of a file; `left` is how many bytes the document may still have.
fn parsed(config: &Config, path: &Path, left: &mut usize) -> Result<Value, DescriptionFault> {
    let name = path.display();
    let bytes = config.read_file(path).map_err(|(message, help)| DescriptionFault { message, help })?;
    *left = left.checked_sub(bytes.len()).ok_or_else(|| {
        fault(
            format!("{name}: the description has more than {} MiB", LARGEST >> 20),
            "split it: one file for each route",
        )
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| fault(format!("{name} is not UTF-8"), "save it as UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string()),
        false => yaml::value(text),
    };
    value.map_err(|error| fault(format!("{name} is neither JSON nor YAML that can be read: {error}"), "correct it"))
}

/// True for OpenAPI 3.0.
fn version(root: &Value, name: &str) -> Result<bool, DescriptionFault> {
    if root.get("swagger").is_some() {
        let message = format!("{name} is Swagger 2.0, and OpenAPI 3.0 or 3.1 is needed");
        return Err(fault(message, "convert it, for example with `npx swagger2openapi FILE` or at editor.swagger.io"));
    }
    let dialect = root.get("jsonSchemaDialect").and_then(Value::as_str);
    let is_known = |dialect: &str| {
        dialect.starts_with("https://spec.openapis.org/oas/3.1/") || dialect.ends_with("/draft/2020-12/schema")
    };
    match root["openapi"].as_str() {
        Some(version) if version.starts_with("3.0") => Ok(true),
        Some(version) if version.starts_with("3.1") && dialect.is_none_or(is_known) => Ok(false),
        Some(version) if version.starts_with("3.1") => {
            let message = format!("{name}: jsonSchemaDialect is not that of OpenAPI 3.1");
            Err(fault(message, "write the schemas in JSON Schema 2020-12, and remove it"))
        }
        _ => Err(fault(
            format!("{name} is not an OpenAPI document of version 3.0 or 3.1"),
            "it begins with openapi: 3.1.0",
        )),
    }
}

/// Makes the references of one file local, and converts its schemas. `own` is its name, or `None` for the main file.
fn localize(
    content: &mut Value,
    main: &str,
    own: Option<&str>,
    is_3_0: bool,
    files: &mut BTreeMap<String, Option<Value>>,
) -> Result<(), DescriptionFault> {
    let shown = own.unwrap_or(main).to_owned();
    walk::visit(content, &mut String::new(), &mut |object, place| {
        let at = || if place.is_empty() { shown.clone() } else { format!("{shown} at {place}") };
        for keyword in ["$id", "$dynamicRef", "$recursiveRef"] {
            if object.get(keyword).is_some_and(Value::is_string) {
                return Err(fault(format!("{}: `{keyword}` is not supported", at()), "write $ref to a component"));
            }
        }
        let mut local = |reference: &str| {
            let target = target(reference, own, main).map_err(|(why, help)| DescriptionFault {
                message: format!("{}: $ref {why}: {}", at(), short(reference)),
                help: help.to_owned(),
            })?;
            if let Some(file) = &target.0 {
                files.entry(file.clone()).or_insert(None);
            }
            Ok(written(target))
        };
        if let Some(Value::String(reference)) = object.get_mut("$ref") {
            *reference = local(reference)?;
        }
        let mapping = object.get_mut("discriminator").and_then(|discriminator| discriminator.get_mut("mapping"));
        for value in mapping.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            let Value::String(reference) = value else { continue };
            // A name alone is that of a component.
            *reference = if reference.contains(['#', '/', '.']) {
                local(reference)?
            } else {
                format!("#/components/schemas/{reference}")
            };
        }
        if is_3_0 {
            convert(object);
        }
        Ok(())
    })
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}

/// A file, or `None` for the main one, and a pointer into it.
type Target = (Option<String>, String);

/// Where a reference in the file `own` leads.
fn target(reference: &str, own: Option<&str>, main: &str) -> Result<Target, (&'static str, &'static str)> {
    const REMOTE: (&str, &str) =
        ("is remote, and nothing is fetched", "put that file beside this one and write its name, or bundle both");
    let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let before_slash = file.split('/').next().unwrap_or_default();
    if before_slash.contains(':') || file.starts_with("//") {
        return Err(REMOTE);
    }
    let pointer = percent_decode_str(fragment).decode_utf8().map_err(|_| ("is not UTF-8", "correct it"))?.into_owned();
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(("names an anchor", "write a JSON pointer, such as #/components/schemas/Order"));
    }
    if file.is_empty() {
        return Ok((own.map(str::to_owned), pointer));
    }
    let file = percent_decode_str(file).decode_utf8().map_err(|_| ("is not UTF-8", "correct it"))?.into_owned();
    let directory = own.and_then(|own| Path::new(own).parent()).unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in directory.join(&file).components() {
        let is_inside = match part {
            Component::Normal(name) => {
                path.push(name);
                true
            }
            Component::CurDir => true,
            Component::ParentDir => path.pop(),
            Component::RootDir | Component::Prefix(_) => false,
        };
        if !is_inside {
            return Err(("leads out of the directory of the description", "put that file beside it or below it"));
        }
    }
    let path = path.to_string_lossy().into_owned();
    Ok(((path != main).then_some(path), pointer))
}

/// A reference to a pointer into the document.
pub(super) fn reference_to(pointer: &str) -> String {
    format!("#{}", utf8_percent_encode(pointer, NO_FRAGMENT))
}

/// The reference as it is written.
fn written((file, pointer): Target) -> String {
    let mut whole = String::new();
    if let Some(file) = file {
        walk::push(&mut whole, FILES);
        walk::push(&mut whole, &file);
    }
    whole.push_str(&pointer);
    reference_to(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_in_the_directory() {
        let led = |reference: &str, own: Option<&str>| target(reference, own, "api.yaml").map(written);
        assert_eq!(led("#/components/a", None).as_deref(), Ok("#/components/a"));
        assert_eq!(led("b.yaml#/A%7Bx%7D", None).as_deref(), Ok("#/x-wicketgate-files/b.yaml/A%7Bx%7D"));
        assert_eq!(led("../c.yaml", Some("d/e.yaml")).as_deref(), Ok("#/x-wicketgate-files/c.yaml"));
        assert_eq!(led("../api.yaml#/x", Some("d/e.yaml")).as_deref(), Ok("#/x"));
        assert_eq!(led("./f.yaml", Some("d/e.yaml")).as_deref(), Ok("#/x-wicketgate-files/d~1f.yaml"));
        for odd in
            ["../c.yaml", "/etc/passwd", "%2e%2e/c.yaml", "d/../../c.yaml", "http://x/y", "//x/y", "file:c", "#a"]
        {
            assert!(led(odd, None).is_err(), "{odd}");
        }
    }
}
