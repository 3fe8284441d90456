//! The one redb table of the file: read once at the start, committed in groups.

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::state::change::{Change, Fate, Unreadable};

/// All records; the first byte of a key is its kind.
pub(super) const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("wicketgate");
/// Format version, stored under the empty key.
pub(super) const VERSION: &[u8] = b"1";

/// Bytes of records that a commit added and removed.
#[derive(Default)]
pub(super) struct Difference {
    pub(super) more: u64,
    pub(super) less: u64,
}

pub(super) fn commit(database: &Database, changes: &[Change]) -> Result<Difference, redb::Error> {
    let transaction = database.begin_write()?;
    let mut difference = Difference::default();
    {
        let mut table = transaction.open_table(TABLE)?;
        for change in changes {
            let key = change.key();
            let before = match change {
                Change::Put(_, value) => {
                    difference.more += bytes_of(key, value);
                    table.insert(key, &value[..])?
                }
                Change::Delete(_) => table.remove(key)?,
            };
            difference.less += before.map_or(0, |before| bytes_of(key, before.value()));
        }
    }
    transaction.commit()?;
    Ok(difference)
}

/// Size of a record in bytes.
pub(super) fn bytes_of(key: &[u8], value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
}

impl From<redb::Error> for Unreadable {
    fn from(error: redb::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Passes all records to `take`; returns the keys of dead ones, and the bytes of all.
pub(super) fn read_all(
    database: &Database,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<Fate, Unreadable>,
) -> Result<(Vec<Vec<u8>>, u64), Unreadable> {
    let opened = || -> Result<_, redb::Error> { Ok(database.begin_read()?.open_table(TABLE)?) };
    let table = opened()?;
    let (mut dead, mut bytes) = (Vec::new(), 0);
    for entry in table.iter().map_err(redb::Error::from)? {
        let (key, value) = entry.map_err(redb::Error::from)?;
        let (key, value) = (key.value(), value.value());
        bytes += bytes_of(key, value);
        match key {
            [] if value == VERSION => {}
            [] => return Err(Unreadable::Later("all of it".to_owned())),
            key => {
                if take(key, value)? == Fate::Dead {
                    dead.push(key.to_vec());
                }
            }
        }
    }
    Ok((dead, bytes))
}
