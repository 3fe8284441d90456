//! `log`: a destination that fits its file, fields that are named once.

use std::collections::HashSet;

use super::Check;
use crate::config::raw::{AccessLog, AccessLogTo, Log};

impl Check<'_> {
    pub(super) fn log(&mut self, log: &Log) {
        let AccessLog::Section(section) = &log.access else { return };
        match (log.access.to(), &section.file) {
            (AccessLogTo::File, None) => {
                self.add("log.access.to", "`to` is file, and no file is named", "add `file`: its path");
            }
            (AccessLogTo::Stdout | AccessLogTo::Off, Some(_)) => {
                self.add("log.access.file", "`to` is not file, and a file is named", "set to: file, or remove `file`");
            }
            (AccessLogTo::File, Some(file)) if file.as_os_str().is_empty() => {
                self.add("log.access.file", "the path is empty", "write the path of the file");
            }
            _ => {}
        }
        let mut seen = HashSet::new();
        for (index, field) in section.fields.iter().flatten().enumerate() {
            if !seen.insert(*field) {
                self.add(&format!("log.access.fields[{index}]"), "this field stands here twice", "remove one");
            }
        }
        if let Some(fields) = &section.fields {
            self.not_empty("log.access.fields", fields, "name some, or remove `fields` for all of them");
        }
    }
}
