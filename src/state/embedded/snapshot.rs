//! A snapshot of all records, read page by page between the writes.

use std::ops::Bound;

use super::table::TABLE;
use redb::{Database, ReadOnlyTable, ReadableDatabase as _};

/// Bytes of one page, about: a write waits for at most one page.
const PAGE: usize = 256 * 1_024;

/// The records at one moment. While it exists, redb does not reuse the space of later deletions.
pub(super) struct Snapshot {
    /// Number that identifies this snapshot.
    pub(super) id: u64,
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

/// Position of a page: the snapshot, and the key before its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::state) struct PageStart {
    pub(in crate::state) snapshot: u64,
    pub(in crate::state) after: Vec<u8>,
}

/// Some records, and the place of the next page.
#[derive(Debug, Default)]
pub(in crate::state) struct Page {
    pub(in crate::state) records: Vec<(Vec<u8>, Vec<u8>)>,
    pub(in crate::state) next: Option<PageStart>,
}

impl Snapshot {
    pub(super) fn take(database: &Database, id: u64) -> Result<Self, redb::Error> {
        Ok(Self { id, table: database.begin_read()?.open_table(TABLE)? })
    }

    /// The records after this key.
    pub(super) fn page(&self, after: &[u8]) -> Result<Page, redb::Error> {
        let mut page = Page::default();
        let mut bytes = 0;
        for entry in self.table.range::<&[u8]>((Bound::Excluded(after), Bound::Unbounded))? {
            let (key, value) = entry?;
            bytes += key.value().len() + value.value().len();
            page.records.push((key.value().to_vec(), value.value().to_vec()));
            if bytes >= PAGE {
                page.next = Some(PageStart { snapshot: self.id, after: key.value().to_vec() });
                break;
            }
        }
        Ok(page)
    }
}
